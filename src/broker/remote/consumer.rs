//! The consumer over a seat, which the engines' consumers wrap.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::broker::{
    Acker, Capabilities, ConsumerConfig, Delivery, Error, Events, Settle, Start, Topic,
};

use super::{Engine, Seat};

/// A consumer of any engine outside the process. Dropping it leaves the group.
pub(crate) struct Consumer<E: Engine> {
    seat: Arc<Seat<E>>,
}

#[expect(unused_variables, clippy::todo, reason = "filled next")]
impl<E: Engine> Consumer<E> {
    pub(crate) fn new(seat: Arc<Seat<E>>) -> Self {
        Self { seat }
    }

    pub(crate) fn seat(&self) -> &Arc<Seat<E>> {
        &self.seat
    }

    pub(crate) async fn read(&self, names: Vec<Topic>, only: bool) -> Result<(), Error> {
        todo!()
    }

    pub(crate) async fn drop_topics(&self, names: Vec<Topic>) -> Result<(), Error> {
        todo!()
    }

    pub(crate) fn subscription(&self) -> Vec<Topic> {
        todo!()
    }

    pub(crate) fn assignment(&self) -> Vec<(Topic, u32)> {
        todo!()
    }

    pub(crate) async fn poll(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        self.seat.poll(max, wait).await
    }

    pub(crate) async fn seek(
        &self,
        topic: &str,
        partition: u32,
        start: Start,
    ) -> Result<(), Error> {
        self.seat.seek(topic, partition, start).await
    }

    pub(crate) fn position(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        todo!()
    }

    pub(crate) async fn committed(
        &self,
        topic: &str,
        partition: u32,
    ) -> Result<Option<u64>, Error> {
        todo!()
    }

    pub(crate) async fn lag(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        todo!()
    }

    pub(crate) fn acker(&self) -> Acker {
        Acker::new(Arc::clone(&self.seat) as Arc<dyn Settle>)
    }

    pub(crate) async fn commit(&self) -> Result<(), Error> {
        todo!()
    }

    pub(crate) fn pause(&self, topic: &str, partition: u32, paused: bool) -> Result<(), Error> {
        todo!()
    }

    pub(crate) fn events(&self) -> Events {
        self.seat.events()
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.seat.engine().capabilities()
    }

    pub(crate) async fn close(&self) -> Result<(), Error> {
        todo!()
    }

    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Delivery, Error>>> {
        todo!()
    }

    pub(crate) fn is_terminated(&self) -> bool {
        todo!()
    }

    pub(crate) fn describe(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}

/// Names as they are given.
pub(crate) fn names<I>(topics: I) -> Vec<Topic>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    topics
        .into_iter()
        .map(|name| Topic::from(name.as_ref()))
        .collect()
}

/// `delegate_consumer!(Consumer)` implements the trait [`Consumer`](crate::broker::Consumer), `Stream`, `FusedStream` and
/// `Debug` for a struct whose only field, `.0`, is the [`Consumer`] here.
macro_rules! delegate_consumer {
    ($outer:ty) => {
        impl $crate::broker::Consumer for $outer {
            fn subscribe<I>(
                &self,
                topics: I,
            ) -> impl Future<Output = Result<(), $crate::broker::Error>> + Send
            where
                I: IntoIterator + Send,
                I::Item: AsRef<str>,
            {
                self.0.read($crate::broker::remote::names(topics), true)
            }

            fn add_topics<I>(
                &self,
                topics: I,
            ) -> impl Future<Output = Result<(), $crate::broker::Error>> + Send
            where
                I: IntoIterator + Send,
                I::Item: AsRef<str>,
            {
                self.0.read($crate::broker::remote::names(topics), false)
            }

            fn remove_topics<I>(
                &self,
                topics: I,
            ) -> impl Future<Output = Result<(), $crate::broker::Error>> + Send
            where
                I: IntoIterator + Send,
                I::Item: AsRef<str>,
            {
                self.0.drop_topics($crate::broker::remote::names(topics))
            }

            fn subscription(&self) -> Vec<$crate::broker::Topic> {
                self.0.subscription()
            }

            fn assignment(&self) -> Vec<($crate::broker::Topic, u32)> {
                self.0.assignment()
            }

            fn poll(
                &self,
                max: usize,
                wait: std::time::Duration,
            ) -> impl Future<
                Output = Result<Vec<$crate::broker::Delivery>, $crate::broker::Error>,
            > + Send {
                self.0.poll(max, wait)
            }

            fn seek(
                &self,
                topic: &str,
                partition: u32,
                start: $crate::broker::Start,
            ) -> impl Future<Output = Result<(), $crate::broker::Error>> + Send {
                self.0.seek(topic, partition, start)
            }

            fn position(&self, topic: &str, partition: u32) -> Result<u64, $crate::broker::Error> {
                self.0.position(topic, partition)
            }

            fn committed(
                &self,
                topic: &str,
                partition: u32,
            ) -> impl Future<Output = Result<Option<u64>, $crate::broker::Error>> + Send {
                self.0.committed(topic, partition)
            }

            fn lag(
                &self,
                topic: &str,
                partition: u32,
            ) -> impl Future<Output = Result<u64, $crate::broker::Error>> + Send {
                self.0.lag(topic, partition)
            }

            fn acker(&self) -> $crate::broker::Acker {
                self.0.acker()
            }

            fn ack(
                &self,
                delivery: &$crate::broker::Delivery,
            ) -> impl Future<Output = Result<(), $crate::broker::Error>> + Send {
                let verdict = $crate::broker::Verdict::Ack;
                $crate::broker::Settle::settle(&**self.0.seat(), &delivery.position, verdict)
            }

            fn commit(&self) -> impl Future<Output = Result<(), $crate::broker::Error>> + Send {
                self.0.commit()
            }

            fn pause(&self, topic: &str, partition: u32) -> Result<(), $crate::broker::Error> {
                self.0.pause(topic, partition, true)
            }

            fn resume(&self, topic: &str, partition: u32) -> Result<(), $crate::broker::Error> {
                self.0.pause(topic, partition, false)
            }

            fn events(&self) -> $crate::broker::Events {
                self.0.events()
            }

            fn capabilities(&self) -> $crate::broker::Capabilities {
                self.0.capabilities()
            }

            fn close(&self) -> impl Future<Output = Result<(), $crate::broker::Error>> + Send {
                self.0.close()
            }
        }

        impl futures_core::Stream for $outer {
            type Item = Result<$crate::broker::Delivery, $crate::broker::Error>;

            fn poll_next(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Self::Item>> {
                self.0.poll_next(cx)
            }
        }

        impl futures_core::stream::FusedStream for $outer {
            fn is_terminated(&self) -> bool {
                self.0.is_terminated()
            }
        }

        impl std::fmt::Debug for $outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.describe(f)
            }
        }
    };
}
pub(crate) use delegate_consumer;
