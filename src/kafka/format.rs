//! Records as messages, and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};

use super::fault;
use crate::broker::{Error, Record, Topic};

/// The header that has a record's id. Where it is the first one, it is ours: without a value it says that there is no id, which
/// is for records whose own first header has this name.
const ID: &str = "pushpull-id";

/// How much of what was copied shares memory, at the most.
const SHARED: usize = 16 * 1024;
/// What is larger has memory of its own.
const LARGE: usize = 4 * 1024;

/// The headers of a record's message.
pub(super) fn headers(record: &Record) -> Result<Option<OwnedHeaders>, Error> {
    let first = record.headers.first();
    let hides = record.id.is_none() && first.is_some_and(|(name, _)| name == ID);
    if record.id.is_none() && record.headers.is_empty() {
        return Ok(None);
    }
    if record.headers.iter().any(|(name, _)| name.contains('\0')) {
        return Err(fault::because(
            "pushing",
            "a header has a NUL in its name, which clients would cut off there",
        ));
    }
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len() + 1);
    if record.id.is_some() || hides {
        headers = headers.insert(Header {
            key: ID,
            value: record.id.as_deref(),
        });
    }
    for (name, value) in &record.headers {
        headers = headers.insert(Header {
            key: name,
            value: Some(&value[..]),
        });
    }
    Ok(Some(headers))
}

/// Copies what librdkafka holds, with few allocations.
#[derive(Default)]
pub(super) struct Copier {
    buffer: BytesMut,
}

impl Copier {
    fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        if bytes.len() > LARGE {
            return Bytes::copy_from_slice(bytes);
        }
        if self.buffer.capacity() < bytes.len() {
            self.buffer = BytesMut::with_capacity(SHARED);
        }
        self.buffer.extend_from_slice(bytes);
        self.buffer.split().freeze()
    }

    /// The record of a message. A header whose name is no text is left out, which the second answer says.
    pub(super) fn record(&mut self, message: &BorrowedMessage<'_>, topic: Topic) -> (Record, bool) {
        let value = message.payload().unwrap_or_default();
        let mut record = Record::new(topic, self.copy(value));
        record.key = message.key().map(|key| self.copy(key));
        let mut whole = true;
        if let Some(headers) = message.headers() {
            for at in 0..headers.count() {
                // The client panics where the name is not UTF-8.
                let read = catch_unwind(AssertUnwindSafe(|| headers.try_get(at)));
                let Ok(read) = read else {
                    whole = false;
                    continue;
                };
                let Some(Header { key, value }) = read else {
                    break;
                };
                if at == 0 && key == ID {
                    match value.map(std::str::from_utf8) {
                        Some(Ok(id)) => record.id = Some(id.to_owned()),
                        Some(Err(_)) => whole = false,
                        None => {}
                    }
                    continue;
                }
                let value = self.copy(value.unwrap_or_default());
                record.headers.push((key.to_owned(), value));
            }
        }
        (record, whole)
    }
}

/// When a broker, or the producer, says that the message was taken.
pub(super) fn time(message: &BorrowedMessage<'_>) -> SystemTime {
    let (Timestamp::CreateTime(millis) | Timestamp::LogAppendTime(millis)) = message.timestamp()
    else {
        return SystemTime::UNIX_EPOCH;
    };
    let millis = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    SystemTime::UNIX_EPOCH + millis
}

/// A moment as Kafka counts it: milliseconds, rounded up, so that nothing earlier is meant.
pub(super) fn millis(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let millis = since.as_nanos().div_ceil(1_000_000);
    i64::try_from(millis).unwrap_or(i64::MAX)
}
