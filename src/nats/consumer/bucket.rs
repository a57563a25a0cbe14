//! The bucket in which groups keep their leases.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::{Operation, Store, UpdateErrorKind};
use async_nats::jetstream::stream;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use crate::broker::Error;
use crate::nats::connection::Connection;
use crate::nats::lease::wire::token;
use crate::nats::lease::{Key, Lease, Note, Value, Write, Wrote};
use crate::nats::trouble::Advised;

/// One for all groups of an account.
const NAME: &str = "pushpull-groups";
/// Between two attempts to watch.
const AGAIN: Duration = Duration::from_millis(200);

/// The keys of one group.
#[derive(Clone)]
pub(super) struct Bucket {
    store: Store,
    group: String,
    /// How long one request takes at the most.
    within: Duration,
}

/// What a key holds, and since which revision.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) key: Key,
    pub(super) revision: u64,
    pub(super) value: Option<Value>,
}

impl Bucket {
    /// Opens the bucket, which comes into being with the first group.
    pub(super) async fn open(
        connection: &Connection,
        group: &str,
        within: Duration,
    ) -> Result<Self, Error> {
        const ACTION: &str = "opening the bucket of the groups";
        let context = &connection.context;
        // What a bucket is, as every client makes it.
        let config = stream::Config {
            name: format!("KV_{NAME}"),
            subjects: vec![format!("$KV.{NAME}.>")],
            description: Some("Who of a group reads what: leases of pushpull".into()),
            max_messages_per_subject: 1,
            discard: stream::DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            storage: if connection.options.in_memory {
                stream::StorageType::Memory
            } else {
                stream::StorageType::File
            },
            num_replicas: connection.options.replicas,
            ..stream::Config::default()
        };
        let made = connection.ask(ACTION, within, || context.get_or_create_stream(&config));
        match made.await {
            Ok(Ok(_stream)) => {}
            Ok(Err(error)) => return Err(Advised::no_bucket(ACTION, error)),
            Err(Error::Engine { source, .. }) => return Err(Advised::no_bucket(ACTION, source)),
            Err(error) => return Err(error),
        }
        let opened = timeout(within, context.get_key_value(NAME)).await;
        let opened = opened.map_err(|late| Advised::no_bucket(ACTION, late))?;
        let store = opened.map_err(|error| Advised::no_bucket(ACTION, error))?;
        Ok(Self {
            store,
            group: group.into(),
            within,
        })
    }

    /// Writes, if nobody else has meanwhile.
    pub(super) async fn write(&self, write: &Write) -> (Wrote, Option<Error>) {
        const ACTION: &str = "writing a lease";
        let key = write.key.encode(&self.group);
        let value = Bytes::from(write.value.encode());
        let written = self.store.update(&key, value, write.expected);
        match timeout(self.within, written).await {
            Ok(Ok(revision)) => (Wrote::As(revision), None),
            Ok(Err(error)) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                (Wrote::Conflict, None)
            }
            Ok(Err(error)) => (Wrote::Unknown, Some(Advised::no_bucket(ACTION, error))),
            Err(late) => (Wrote::Unknown, Some(Advised::no_bucket(ACTION, late))),
        }
    }

    /// What a key holds now. `None`: that could not be found out.
    pub(super) async fn read(&self, key: Key) -> Option<Seen> {
        let name = key.encode(&self.group);
        let found = timeout(self.within, self.store.entry(name)).await.ok()?;
        Some(match found.ok()? {
            Some(entry) => Seen {
                revision: entry.revision,
                value: value(&key, entry.operation, &entry.value),
                key,
            },
            None => Seen {
                key,
                revision: 0,
                value: None,
            },
        })
    }

    /// Removes all trace of a member. Whether that worked matters to nobody: somebody else does it, too.
    pub(super) async fn sweep(&self, member: String) {
        let key = Key::Member(member).encode(&self.group);
        let subject = format!("{}{key}", self.store.prefix);
        let purge = self.store.stream.purge().filter(subject);
        let _swept = timeout(self.within, purge.into_future()).await;
    }

    /// Tells what the group's keys hold, and whatever is written to them, until nobody listens. Begins anew when it is told to.
    pub(super) async fn watch(self, told: mpsc::UnboundedSender<Seen>, renew: Arc<Notify>) {
        let all = format!("{}.>", token(&self.group));
        while !told.is_closed() {
            let watch = timeout(self.within, self.store.watch_with_history(&all)).await;
            let Ok(Ok(mut watch)) = watch else {
                sleep(AGAIN).await;
                continue;
            };
            loop {
                let again = std::pin::pin!(renew.notified());
                let gone = std::pin::pin!(told.closed());
                let stop = select(again, gone);
                let entry = match select(watch.next(), stop).await {
                    Either::Left((entry, _)) => entry,
                    Either::Right((Either::Left(_), _)) => break,
                    Either::Right((Either::Right(_), _)) => return,
                };
                // What was missed meanwhile comes with the next watch.
                let Some(Ok(entry)) = entry else { break };
                let Some(key) = Key::decode(&self.group, &entry.key) else {
                    continue;
                };
                let value = value(&key, entry.operation, &entry.value);
                let revision = entry.revision;
                let seen = Seen {
                    key,
                    revision,
                    value,
                };
                if told.send(seen).is_err() {
                    return;
                }
            }
            sleep(AGAIN).await;
        }
    }
}

fn value(key: &Key, operation: Operation, value: &[u8]) -> Option<Value> {
    match operation {
        Operation::Put => Value::decode(key, value),
        // Somebody tidied up by hand.
        Operation::Delete | Operation::Purge => match key {
            Key::Member(_) => Some(Value::Gone),
            Key::Part(_) => Some(Value::Lease(Lease {
                owner: None,
                note: Note::default(),
            })),
        },
    }
}
