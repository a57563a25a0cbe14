//! A consumer that does as it is told, and remembers what was asked of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::broker::{
    Acker, Capabilities, Consumer, Delivery, Error, Events, Position, Record, Settle, Settled,
    Start, Topic, Verdict,
};

#[derive(Default)]
pub(super) struct Script {
    deliveries: Mutex<VecDeque<Delivery>>,
    errors: Mutex<VecDeque<Error>>,
    settle_errors: Mutex<VecDeque<Error>>,
    come: Notify,
    /// Answers nothing at once instead of waiting.
    hasty: bool,
    single: bool,
    pub(super) polls: Mutex<Vec<(usize, Instant)>>,
    pub(super) settled: Mutex<Vec<(u32, u64, Verdict)>>,
    pub(super) closed: Mutex<bool>,
}

impl Script {
    pub(super) fn hasty() -> Self {
        Self {
            hasty: true,
            ..Self::default()
        }
    }

    /// Yields a delivery a poll, however many are asked for.
    pub(super) fn single() -> Self {
        Self {
            single: true,
            ..Self::default()
        }
    }

    pub(super) fn deliver(&self, partition: u32, offset: u64, key: Option<&'static str>) {
        let mut record = Record::new("t", format!("{partition}/{offset}"));
        record.key = key.map(Into::into);
        let position = Position::new("t", partition, offset);
        let delivery = Delivery::new(record, position, 1, SystemTime::UNIX_EPOCH);
        self.deliveries.lock().unwrap().push_back(delivery);
        self.come.notify_one();
    }

    pub(super) fn fail(&self, error: Error) {
        self.errors.lock().unwrap().push_back(error);
        self.come.notify_one();
    }

    pub(super) fn fail_settling(&self, error: Error) {
        self.settle_errors.lock().unwrap().push_back(error);
    }

    pub(super) fn left(&self) -> usize {
        self.deliveries.lock().unwrap().len()
    }

    pub(super) fn acked(&self) -> Vec<(u32, u64)> {
        let settled = self.settled.lock().unwrap();
        let acked = settled
            .iter()
            .filter(|(_, _, verdict)| *verdict == Verdict::Ack);
        acked
            .map(|(partition, offset, _)| (*partition, *offset))
            .collect()
    }

    pub(super) fn reasons(&self) -> Vec<String> {
        let reason = |verdict: &Verdict| match verdict {
            Verdict::Nack { reason, .. } => reason.clone(),
            _ => None,
        };
        let settled = self.settled.lock().unwrap();
        settled
            .iter()
            .filter_map(|(_, _, verdict)| reason(verdict))
            .collect()
    }

    fn take(&self, max: usize) -> Option<Result<Vec<Delivery>, Error>> {
        if let Some(error) = self.errors.lock().unwrap().pop_front() {
            return Some(Err(error));
        }
        let mut deliveries = self.deliveries.lock().unwrap();
        if deliveries.is_empty() {
            return None;
        }
        let n = if self.single {
            1
        } else {
            max.min(deliveries.len())
        };
        Some(Ok(deliveries.drain(..n).collect()))
    }
}

impl Settle for Script {
    fn settle(&self, position: &Position, verdict: Verdict) -> Settled {
        let mut settled = self.settled.lock().unwrap();
        settled.push((position.partition, position.offset, verdict));
        let error = self.settle_errors.lock().unwrap().pop_front();
        Settled::now(error.map_or(Ok(()), Err))
    }
}

pub(super) struct Scripted(pub(super) Arc<Script>);

impl Consumer for Scripted {
    async fn poll(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        let script = &self.0;
        script.polls.lock().unwrap().push((max, Instant::now()));
        if max == 0 {
            let error = script.errors.lock().unwrap().pop_front();
            return error.map_or_else(|| Ok(Vec::new()), Err);
        }
        if script.hasty {
            return script.take(max).unwrap_or_else(|| Ok(Vec::new()));
        }
        let taken = timeout(wait, async {
            loop {
                let come = script.come.notified();
                if let Some(taken) = script.take(max) {
                    return taken;
                }
                come.await;
            }
        });
        taken.await.unwrap_or_else(|_| Ok(Vec::new()))
    }

    fn acker(&self) -> Acker {
        Acker::new(self.0.clone())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            redelivers: true,
            nack_delay: true,
            ..Capabilities::none("scripted")
        }
    }

    async fn close(&self) -> Result<(), Error> {
        *self.0.closed.lock().unwrap() = true;
        Ok(())
    }

    async fn subscribe<I>(&self, _: I) -> Result<(), Error>
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        unreachable!("no listener asks for this")
    }

    async fn add_topics<I>(&self, _: I) -> Result<(), Error>
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        unreachable!("no listener asks for this")
    }

    async fn remove_topics<I>(&self, _: I) -> Result<(), Error>
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        unreachable!("no listener asks for this")
    }

    fn subscription(&self) -> Vec<Topic> {
        unreachable!("no listener asks for this")
    }

    fn assignment(&self) -> Vec<(Topic, u32)> {
        unreachable!("no listener asks for this")
    }

    async fn seek(&self, _: &str, _: u32, _: Start) -> Result<(), Error> {
        unreachable!("no listener asks for this")
    }

    fn position(&self, _: &str, _: u32) -> Result<u64, Error> {
        unreachable!("no listener asks for this")
    }

    async fn committed(&self, _: &str, _: u32) -> Result<Option<u64>, Error> {
        unreachable!("no listener asks for this")
    }

    async fn lag(&self, _: &str, _: u32) -> Result<u64, Error> {
        unreachable!("no listener asks for this")
    }

    async fn commit(&self) -> Result<(), Error> {
        unreachable!("no listener asks for this")
    }

    fn pause(&self, _: &str, _: u32) -> Result<(), Error> {
        unreachable!("no listener asks for this")
    }

    fn resume(&self, _: &str, _: u32) -> Result<(), Error> {
        unreachable!("no listener asks for this")
    }

    fn events(&self) -> Events {
        unreachable!("no listener asks for this")
    }
}

impl Stream for Scripted {
    type Item = Result<Delivery, Error>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        unreachable!("no listener asks for this")
    }
}
