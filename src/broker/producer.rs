//! What every engine's producer does.

use std::collections::VecDeque;

use futures_sink::Sink;

use super::{Error, Position, Record};

/// Pushes records into topics.
///
/// As a [`Sink`] it takes records and may hold them: flushing waits until the broker has acknowledged them all.
///
/// A key decides the partition, by the hash that Kafka's own clients use (murmur2), so a key keeps its partition when a
/// program moves from one engine to another with the same number of partitions.
pub trait Producer: Sink<Record, Error = Error> {
    /// Pushes one record and waits until the broker has acknowledged it: where it lies is the answer.
    ///
    /// # Back-pressure
    /// Where the partition is full and its topic waits, so does this call.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the record has been stored or it has not, as a whole.
    ///
    /// # Errors
    /// With the record: [`UnknownTopic`](Error::UnknownTopic), [`UnknownPartition`](Error::UnknownPartition),
    /// [`TooLarge`](Error::TooLarge), [`Full`](Error::Full), [`Closed`](Error::Closed), or what befell the store.
    fn push(&self, record: Record) -> impl Future<Output = Result<Position, Error>> + Send;

    /// Pushes records from the front of `records` until none is left, and waits until they are acknowledged. The answer
    /// is how many there were.
    ///
    /// Where the engine can, many are moved at once. Records without key and partition may then stay together in one
    /// partition.
    ///
    /// # Cancel safety
    /// What is left in `records` was not pushed. What is not has been stored, or may have been.
    ///
    /// # Errors
    /// Those of [`push`](Self::push). The record at fault comes with the error; those behind it are left in `records`.
    fn push_many(
        &self,
        records: &mut VecDeque<Record>,
    ) -> impl Future<Output = Result<usize, Error>> + Send
    where
        Self: Sync,
    {
        async move {
            let mut pushed = 0;
            while let Some(record) = records.pop_front() {
                self.push(record).await?;
                pushed += 1;
            }
            Ok(pushed)
        }
    }

    /// Waits until everything that was acknowledged so far would outlive a crash of the machine, as far as the engine has
    /// a say in it.
    ///
    /// # Errors
    /// What befell the store, or the connection.
    fn sync(&self) -> impl Future<Output = Result<(), Error>> + Send;
}
