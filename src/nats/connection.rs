//! What all handles share: the connection, the topics that are known, and who wants to hear of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{Context, context};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::broker::{Error, Event, Topic};
use crate::queue::WeakProducer;
use crate::sync::{AtomicBool, AtomicU64, Mutex};

use super::Options;
use super::dial::{connect_options, servers};
use super::feeds::Feeds;
use super::line::Lines;
use super::streams::is_unknown;
use super::topic::TopicState;
use super::trouble::{Advised, Passing, engine_error};

/// How long one attempt at a request takes at the most, where there is time for another one.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// How long JetStream may take to come up after the server did.
const COMING_UP: Duration = Duration::from_secs(2);
/// Longer is for ever, and beyond the clock's reach.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A connection to NATS.
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// For requests. What is published goes over a [line](super::line::Line).
    pub(crate) context: Context,
    pub(crate) options: Options,
    pub(crate) lines: Lines,
    feeds: Arc<Feeds>,
    pub(super) topics: Mutex<HashMap<Topic, Arc<TopicState>>>,
    /// Counts the changes of `topics`.
    pub(super) changes: AtomicU64,
    /// What tells ids that are made here from those that others make.
    maker: String,
    made: AtomicU64,
    closing: watch::Sender<bool>,
    guests: watch::Sender<usize>,
    /// Whether there is no more to be done: a client that looks for its server does not end by itself.
    over: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Somebody who has to say good-bye to the server before the connection closes.
pub(crate) struct Guest {
    connection: Arc<Connection>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.connection.guests.send_modify(|guests| *guests -= 1);
    }
}

impl Connection {
    pub(crate) async fn open(url: &str, mut options: Options) -> Result<Self, Error> {
        options.check()?;
        options.request_timeout = options.request_timeout.min(FAR);
        let servers = servers(url)?;
        let feeds = Arc::new(Feeds::default());
        let over = Arc::new(AtomicBool::new(false));
        let plain = connect_options(&options, &servers, &over).await?;
        let told = Arc::clone(&feeds);
        let connecting = plain
            .clone()
            .event_callback(move |event| {
                let told = Arc::clone(&told);
                async move { told.tell(&event) }
            })
            .connect(&servers[..]);
        let client = connecting.await.map_err(Advised::connecting)?;
        let attempt = attempt(options.request_timeout);
        let context = context::ContextBuilder::new()
            .timeout(attempt)
            .build(client.clone());
        let maker = client.new_inbox();
        // Its end is random enough to tell those apart who publish within the time that ids are remembered for.
        let maker = maker.get(maker.len().saturating_sub(12)..);
        let maker = maker.unwrap_or_default().to_owned();
        let connection = Self {
            client,
            context,
            lines: Lines::new(plain, servers, attempt),
            options,
            feeds,
            topics: Mutex::default(),
            changes: AtomicU64::new(0),
            maker,
            made: AtomicU64::new(0),
            closing: watch::Sender::new(false),
            guests: watch::Sender::new(0),
            over,
        };
        connection.find_jetstream().await?;
        Ok(connection)
    }

    /// Asks for a stream: whether there is one does not matter, as long as there is an answer.
    async fn find_jetstream(&self) -> Result<(), Error> {
        let action = "looking for JetStream";
        let within = COMING_UP.min(self.options.request_timeout);
        let found = self.ask(action, within, || self.context.get_stream("_"));
        match found.await {
            Ok(Err(error)) if !is_unknown(&error) => Err(Advised::no_jetstream(action, error)),
            Err(Error::Engine { source, .. }) => Err(Advised::no_jetstream(action, source)),
            found => found.map(|_answer| ()),
        }
    }

    /// Whether this end is open.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_closed() {
            return Err(Error::Closed { record: None });
        }
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until the connection is being closed.
    pub(crate) async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // The sender is this connection's own.
        let _closed = closing.wait_for(|&closing| closing).await;
    }

    /// Closes the connection when those have left who have to say good-bye.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.closing.send_replace(true);
        let mut guests = self.guests.subscribe();
        let leaving = async {
            // The sender is this connection's own.
            let _left = guests.wait_for(|&guests| guests == 0).await;
            self.lines.close().await;
            let drained = self.client.drain().await;
            // A client that has ended before has nothing left to say.
            drained.is_ok()
        };
        let left = timeout(self.options.request_timeout, leaving).await;
        self.over.store(true, Ordering::Relaxed);
        left.map(|_drained| ())
            .map_err(|late| engine_error("closing the connection", late))
    }

    /// From now on, [`close`](Self::close) waits until the guest is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Guest {
        self.guests.send_modify(|guests| *guests += 1);
        Guest {
            connection: Arc::clone(self),
        }
    }

    /// Has a consumer hear when the connection is lost and when it is back.
    pub(crate) fn feed(&self, events: WeakProducer<Event>) {
        self.feeds.add(events);
    }

    /// Changes whenever the connection was lost and is back.
    pub(crate) fn reconnects(&self) -> watch::Receiver<u64> {
        self.feeds.back.subscribe()
    }

    /// Asks until there is an answer or the time is over. What befell the connection is the outer error, a refusal the inner one.
    ///
    /// A request that was under way when the connection was lost never hears of it: so none takes all of the time.
    pub(crate) async fn ask<T, E, F>(
        &self,
        action: &'static str,
        within: Duration,
        mut request: impl FnMut() -> F,
    ) -> Result<Result<T, E>, Error>
    where
        F: Future<Output = Result<T, E>>,
        E: Passing,
    {
        let end = Instant::now() + within;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            let failed = match timeout(attempt(within).min(left), request()).await {
                Ok(Err(error)) if error.passes() => engine_error(action, error),
                Ok(answer) => return Ok(answer),
                Err(late) => engine_error(action, late),
            };
            if end.saturating_duration_since(Instant::now()) <= PAUSE {
                return Err(failed);
            }
            sleep(PAUSE).await;
        }
    }

    /// The same within the time that a request has.
    pub(crate) async fn request<T, E, F>(
        &self,
        action: &'static str,
        request: impl FnMut() -> F,
    ) -> Result<Result<T, E>, Error>
    where
        F: Future<Output = Result<T, E>>,
        E: Passing,
    {
        self.ask(action, self.options.request_timeout, request)
            .await
    }

    pub(crate) fn maker(&self) -> &str {
        &self.maker
    }

    /// A number for an id.
    pub(crate) fn next_number(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }
}

/// How long one of several attempts takes.
pub(super) fn attempt(within: Duration) -> Duration {
    ATTEMPT.min(within / 3).max(Duration::from_millis(1))
}
