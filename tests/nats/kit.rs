//! What the cases have in common.

#[path = "../support/nats.rs"]
mod server;

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use pushpull::broker::{Consumer as _, Delivery, Record};
use pushpull::nats::{Consumer, Nats, Options};

pub(crate) use server::{Server, skipped};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Nothing here takes as long, unless it waits for what never comes.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Ends a test that needs a server where there is to be none.
macro_rules! need_server {
    () => {
        if crate::kit::skipped() {
            return;
        }
    };
}
pub(crate) use need_server;

pub(crate) async fn connect(url: &str) -> Nats {
    connect_with(url, Options::new()).await
}

pub(crate) async fn connect_with(url: &str, options: Options) -> Nats {
    Nats::connect(url, options).await.unwrap()
}

/// `n/0`, `n/1` and so on, without key.
pub(crate) fn records(topic: &str, numbers: std::ops::Range<usize>) -> VecDeque<Record> {
    numbers
        .map(|n| Record::new(topic, format!("n/{n}")))
        .collect()
}

/// What another program has in hand.
pub(crate) async fn context(server: &Server) -> Context {
    let client = async_nats::connect(server.url()).await.unwrap();
    async_nats::jetstream::new(client)
}

/// Everything that is in a stream, as another program sees it.
pub(crate) async fn stored(server: &Server, stream: &str) -> Vec<StreamMessage> {
    let mut stream = context(server).await.get_stream(stream).await.unwrap();
    let state = stream.info().await.unwrap().state.clone();
    let mut all = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        all.push(stream.get_raw_message(sequence).await.unwrap());
    }
    assert_eq!(all.len() as u64, state.messages);
    all
}

pub(crate) fn texts(messages: &[StreamMessage]) -> Vec<String> {
    let text = |message: &StreamMessage| String::from_utf8(message.payload.to_vec()).unwrap();
    messages.iter().map(text).collect()
}

/// `n/0`, `n/1` and so on.
pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("n/{n}")).collect()
}

pub(crate) async fn within<T>(time: Duration, case: impl Future<Output = T>) -> T {
    tokio::time::timeout(time, case)
        .await
        .expect("the case waits for what never comes")
}

/// So many deliveries.
pub(crate) async fn take(consumer: &Consumer, n: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < n {
        let more = consumer.poll(n - taken.len(), LONG).await.unwrap();
        taken.extend(more);
    }
    taken
}
