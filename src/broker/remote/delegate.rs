//! The engines' consumers are thin: everything they do is done here.

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
