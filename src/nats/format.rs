//! A record as a message, and a message as a record. Pure.
//!
//! Everything stands where any other program of NATS would look for it: the value is the payload, a header is a header, the
//! id is `Nats-Msg-Id`, the key is `Pushpull-Key`. What a header of NATS cannot hold, or would mean something to the server,
//! is written with `%` and two digits for a byte, in headers that begin with `Pushpull-`:
//!
//! * `Pushpull-Key-Encoded`: a key that is no plain text.
//! * `Pushpull-Partition`: the partition, where the record named it itself.
//! * `Pushpull-Headers`: the names of all headers in their order, `a,b,a`, as messages have no order among different names; a
//!   header that is not plain stands there with its value, `c=%00`, and nowhere else.
//!
//! An id that is not plain, or looks like one of these, is `pushpull=` and the encoded id. A record without an id gets one
//! that begins with `pushpull:`, so that it is stored once however often it is sent; who reads it leaves it out.

use std::collections::HashMap;
use std::fmt::Write;

use async_nats::HeaderMap;
use async_nats::header::HeaderName;
use bytes::Bytes;

use crate::broker::{Record, Topic};

const KEY: &str = "Pushpull-Key";
const KEY_ENCODED: &str = "Pushpull-Key-Encoded";
const PARTITION: &str = "Pushpull-Partition";
const HEADERS: &str = "Pushpull-Headers";
const ID: &str = "Nats-Msg-Id";

/// What an id begins with that was made here.
const MADE: &str = "pushpull:";
/// What an id begins with that is encoded.
const ENCODED: &str = "pushpull=";

/// The message id of a record that has none of its own. `maker` tells those who make such ids apart.
pub(crate) fn made_id(maker: &str, number: u64) -> String {
    let mut id = String::with_capacity(MADE.len() + maker.len() + 21);
    id.push_str(MADE);
    id.push_str(maker);
    let _always = write!(id, ":{number}");
    id
}

/// The headers of a record's message. `made` is its id where it has none of its own.
pub(crate) fn encode(record: &Record, made: impl FnOnce() -> String) -> HeaderMap {
    let mut map = HeaderMap::new();
    let id = match &record.id {
        None => made(),
        Some(id) if is_plain_id(id) => id.clone(),
        Some(id) => format!("{ENCODED}{}", escaped(id.as_bytes())),
    };
    map.insert(HeaderName::from_static(ID), id);
    match record.key.as_deref().map(|key| (key, plain(key))) {
        None => {}
        Some((_, Some(text))) => map.insert(HeaderName::from_static(KEY), text),
        Some((key, None)) => map.insert(HeaderName::from_static(KEY_ENCODED), escaped(key)),
    }
    if let Some(partition) = record.partition {
        map.insert(HeaderName::from_static(PARTITION), partition.to_string());
    }
    let Some((first, _)) = record.headers.first() else {
        return map;
    };
    let mut order = String::new();
    let mut tells = false;
    for (name, value) in &record.headers {
        if !order.is_empty() {
            order.push(',');
        }
        escape(name.as_bytes(), &mut order);
        if let (true, Some(text)) = (is_plain_name(name), plain(value)) {
            tells |= name != first;
            map.append(name.as_str(), text);
        } else {
            tells = true;
            order.push('=');
            escape(value, &mut order);
        }
    }
    if tells {
        map.insert(HeaderName::from_static(HEADERS), order);
    }
    map
}

/// Bytes of a record's message, as the server counts them.
pub(crate) fn message_size(record: &Record) -> usize {
    let map = encode(record, || made_id("012345678901", u64::MAX));
    let lines = map.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values
            .iter()
            .map(|value| name.len() + value.as_str().len() + ": \r\n".len())
    });
    "NATS/1.0\r\n\r\n".len() + lines.sum::<usize>() + record.value.len()
}

/// The record of a message. One that another program sent has the headers in the order of their names, without those that
/// are the server's.
pub(crate) fn decode(topic: Topic, headers: Option<&HeaderMap>, payload: Bytes) -> Record {
    let mut record = Record::new(topic, payload);
    let Some(map) = headers else {
        return record;
    };
    let one = |name| Some(map.get(HeaderName::from_static(name))?.as_str());
    record.id = one(ID).and_then(own_id);
    record.key = match (one(KEY), one(KEY_ENCODED)) {
        (None, None) => None,
        (Some(text), _) => Some(Bytes::copy_from_slice(text.as_bytes())),
        (None, Some(text)) => Some(unescaped_or_as_it_is(text)),
    };
    record.partition = one(PARTITION).and_then(|text| text.parse().ok());
    record.headers = own_headers(map, one(HEADERS));
    record
}

fn own_headers(map: &HeaderMap, order: Option<&str>) -> Vec<(String, Bytes)> {
    let mut plain: HashMap<&str, std::slice::Iter<'_, _>> = HashMap::new();
    for (name, values) in map.iter() {
        let name: &str = name.as_ref();
        if is_own_name(name) {
            plain.insert(name, values.iter());
        }
    }
    let mut headers = Vec::new();
    for item in order.iter().flat_map(|order| order.split(',')) {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (item, None),
        };
        let name = unescaped_or_as_it_is(name);
        let name = String::from_utf8_lossy(&name).into_owned();
        let value = match value {
            Some(encoded) => Some(unescaped_or_as_it_is(encoded)),
            None => plain
                .get_mut(name.as_str())
                .and_then(Iterator::next)
                .map(bytes_of),
        };
        headers.extend(value.map(|value| (name, value)));
    }
    // What the order does not speak of: all of it, where there is no order.
    let mut rest: Vec<_> = plain.into_iter().collect();
    rest.sort_unstable_by_key(|(name, _)| *name);
    for (name, values) in rest {
        headers.extend(values.map(|value| (name.to_owned(), bytes_of(value))));
    }
    headers
}

fn bytes_of(value: &async_nats::HeaderValue) -> Bytes {
    Bytes::copy_from_slice(value.as_str().as_bytes())
}

/// The id that a record was given, if it was.
fn own_id(id: &str) -> Option<String> {
    if id.starts_with(MADE) {
        return None;
    }
    let decoded = id.strip_prefix(ENCODED).and_then(unescaped);
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    Some(decoded.unwrap_or_else(|| id.to_owned()))
}

fn is_plain_id(id: &str) -> bool {
    !id.is_empty()
        && !id.starts_with(MADE)
        && !id.starts_with(ENCODED)
        && plain(id.as_bytes()).is_some()
}

/// Whether a header is the application's: neither the server's nor one of these here.
fn is_own_name(name: &str) -> bool {
    let begins = |with: &str| {
        let start = name.as_bytes().get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    !begins("nats-") && !begins("pushpull-")
}

fn is_plain_name(name: &str) -> bool {
    let graphic = name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b':');
    !name.is_empty() && graphic && is_own_name(name) && !speaks_to_the_server(name)
}

/// Text that comes out of a header as it went in.
fn plain(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let kept = text.trim() == text && !text.chars().any(char::is_control);
    (kept && !speaks_to_the_server(text)).then_some(text)
}

/// Whether `nats-` is in a text. The server looks for its headers anywhere in a message's, and finds the first: one that
/// is not at the beginning of a line hides those behind it.
fn speaks_to_the_server(text: &str) -> bool {
    let mut windows = text.as_bytes().windows(5);
    windows.any(|five| five.eq_ignore_ascii_case(b"nats-"))
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    escape(bytes, &mut text);
    text
}

/// Letters, digits, `_`, `.` and `-` as they are, other bytes as `%` and two digits.
fn escape(bytes: &[u8], into: &mut String) {
    for &byte in bytes {
        let server = || speaks_to_the_server(&format!("{}-", tail(into)));
        let kept = match byte {
            b'-' => !server(),
            _ => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'),
        };
        if kept {
            into.push(char::from(byte));
        } else {
            let _always = write!(into, "%{byte:02X}");
        }
    }
}

/// The last four characters of a text that is ASCII.
fn tail(text: &str) -> &str {
    text.get(text.len().saturating_sub(4)..).unwrap_or_default()
}

/// Bytes from text with `%` in it.
pub(crate) fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || Some(char::from(rest.next()?).to_digit(16)? as u8);
        bytes.push(digit()? << 4 | digit()?);
    }
    Some(bytes)
}

/// What another program wrote there may not be encoded at all.
fn unescaped_or_as_it_is(text: &str) -> Bytes {
    unescaped(text).map_or_else(|| Bytes::copy_from_slice(text.as_bytes()), Bytes::from)
}

#[cfg(test)]
mod tests;
