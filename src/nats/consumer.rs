//! The consumer of NATS JetStream.

mod acks;
mod bucket;
mod durable;
mod engine;
mod feed;
mod member;
mod passes;
mod reply;

use std::sync::Arc;

use crate::broker::{ConsumerConfig, remote};

use super::connection::Connection;
use engine::Engine;

/// Reads topics of a NATS server as a member of a group.
///
/// Each group has a durable pull consumer for each partition, `<group>-<partition>`, which any program can look at. Which member
/// reads which partition is decided by leases, in the bucket `pushpull-groups` that all groups of an account share: each member
/// writes a key of its own again and again, and one that has not done so for its [session
/// timeout](ConsumerConfig::session_timeout) (a second at the least) loses what it had. A member that cannot reach the server
/// counts itself out a quarter of that time before others may, with [`Event::Expired`](crate::broker::Event::Expired), and is a
/// member again when the server is back. That holds where the clocks of the machines run equally fast, to within a quarter; a
/// machine that was suspended does not know how long.
///
/// Dropping it leaves the group, in the background and where the runtime still runs; [`close`](crate::broker::Consumer::close)
/// waits for it. What it had goes to the others at once.
///
/// # What is delivered
/// Offsets are places in the topic's stream: they begin at 1, grow, and have gaps where a topic has several partitions. Records
/// are fetched ahead, about as many as may be [in flight](ConsumerConfig::max_in_flight), and the server is told that they are
/// still in work for as long as they are held here.
///
/// After a member died, the next owner gets what it had not acknowledged first, and in order. How often the server had delivered
/// it counts as attempts, also where it was fetched and never handed out; attempts by
/// [`nack`](crate::broker::Consumer::nack) are counted by the member alone, and forgotten with it.
///
/// # Acknowledging
/// [`ack`](crate::broker::Consumer::ack) sends and does not wait; [`commit`](crate::broker::Consumer::commit) and
/// [`commit_to`](crate::broker::Consumer::commit_to) wait until the server has it all. What was acknowledged and lost with a
/// connection is delivered to this member again, which does not hand it out but acknowledges it once more.
///
/// # Seeking
/// A durable cannot be moved: a seek deletes it and makes it anew at the other place. Until something is acknowledged there, the
/// lease remembers where the group was.
///
/// # Losses
/// What retention removes unread is an [event](crate::broker::Event::Lost). In a topic with several partitions the number may
/// count records of the others, and only what was lost before a partition was taken over is found.
///
/// ```no_run
/// # async fn run() -> Result<(), pushpull::broker::Error> {
/// use std::time::Duration;
/// use pushpull::broker::{Consumer, ConsumerConfig, Error};
/// use pushpull::nats::{Nats, Options};
///
/// let nats = Nats::connect("nats://localhost:4222", Options::new()).await?;
/// let consumer = nats.consumer(ConsumerConfig::group("billing").session_timeout(Duration::from_secs(10)));
/// match consumer.subscribe(["orders"]).await {
///     Err(Error::UnknownTopic { topic, .. }) => println!("create `{topic}` first"),
///     subscribed => subscribed?,
/// }
/// for delivery in consumer.poll(100, Duration::from_secs(5)).await? {
///     println!("{}: {:?}", delivery.position, delivery.record.value);
///     consumer.ack(&delivery).await?;
/// }
/// consumer.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct Consumer(remote::Consumer<Engine>);

impl Consumer {
    pub(crate) fn new(connection: Arc<Connection>, config: ConsumerConfig) -> Self {
        let engine = Arc::new(Engine::new(connection, &config));
        Self(remote::Consumer::new(remote::Seat::new(engine, config)))
    }
}

remote::delegate_consumer!(Consumer);
