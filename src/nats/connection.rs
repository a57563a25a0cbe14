//! What all handles share: the connection, the topics that are known, and who wants to hear of it.

use std::collections::HashMap;
use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context, context};
use async_nats::{Client, ConnectOptions, ServerAddr};
use futures_util::TryStreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::broker::{Error, Event, Topic, TopicConfig};
use crate::queue::WeakProducer;
use crate::sync::{AtomicBool, AtomicU64, Mutex, lock};

use super::feeds::Feeds;
use super::line::Lines;
use super::topic::{self, TopicState};
use super::trouble::{Advised, Passing, engine_error};
use super::{ENGINE, Options, format};

/// How long one attempt at a request takes at the most, where there is time for another one.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// How long JetStream may take to come up after the server did.
const COMING_UP: Duration = Duration::from_secs(2);
/// How often to ask a silent server whether it is there.
const PING: Duration = Duration::from_secs(10);
/// Between two attempts to connect, at the most.
const RECONNECT: Duration = Duration::from_secs(1);
/// The same for a connection that nobody needs any more.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A connection to NATS.
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// For requests. What is published goes over a [line](super::line::Line).
    pub(crate) context: Context,
    pub(crate) options: Options,
    pub(crate) lines: Lines,
    feeds: Arc<Feeds>,
    topics: Mutex<HashMap<Topic, Arc<TopicState>>>,
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
    pub(crate) async fn open(url: &str, options: Options) -> Result<Self, Error> {
        options.check()?;
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
        let maker = maker.rsplit('.').next().unwrap_or_default().to_owned();
        let connection = Self {
            client,
            context,
            lines: Lines::new(plain, servers, attempt),
            options,
            feeds,
            topics: Mutex::default(),
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

    /// A topic that is known already.
    pub(crate) fn known(&self, name: &str) -> Option<Arc<TopicState>> {
        lock(&self.topics).get(name).cloned()
    }

    /// A topic.
    pub(crate) async fn topic(&self, name: &str) -> Result<Arc<TopicState>, Error> {
        match self.known(name) {
            Some(topic) => Ok(topic),
            None => self.look_up(name).await,
        }
    }

    /// A topic as the server has it now.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Arc<TopicState>, Error> {
        topic::check_topic(name)?;
        let stream = topic::stream_name(name);
        let found = self.request("looking up a topic", || self.context.get_stream(&stream));
        let unknown = || Error::UnknownTopic {
            topic: name.into(),
            record: None,
        };
        let state = match found.await? {
            Ok(found) => TopicState::of(&found.cached_info().config),
            Err(error) if is_unknown(&error) => None,
            Err(error) => return Err(engine_error("looking up a topic", error)),
        };
        let state = state.map(Arc::new);
        let mut topics = lock(&self.topics);
        match &state {
            Some(state) => topics.insert(state.name.clone(), Arc::clone(state)),
            None => topics.remove(name),
        };
        drop(topics);
        state.ok_or_else(unknown)
    }

    pub(crate) async fn create_topic(&self, name: &str, config: TopicConfig) -> Result<(), Error> {
        const ACTION: &str = "creating a topic";
        self.check()?;
        topic::check_topic(name)?;
        topic::check_config(name, &config, self.client.max_payload())?;
        let stream = topic::new_stream(name, &config, &self.options);
        let created = self.request(ACTION, || self.context.get_or_create_stream(&stream));
        let mut found = match created.await? {
            Ok(stream) => stream.cached_info().config.clone(),
            Err(error) => return Err(refused(name, ACTION, error)),
        };
        let Some(state) = TopicState::of(&found) else {
            return Err(topic::invalid(
                name,
                "NATS has a stream in its place whose subjects are not those of a topic",
            ));
        };
        if state.partitions() != config.partitions {
            return Err(Error::TopicExists {
                topic: state.name.clone(),
                partitions: state.partitions(),
            });
        }
        let before = found.clone();
        topic::bound(&mut found, &config);
        if before != found {
            let updated = self.request(ACTION, || self.context.update_stream(&found));
            updated
                .await?
                .map_err(|error| refused(name, ACTION, error))?;
        }
        let state = self.look_up(name).await?;
        match config.max_records {
            Some(keep) => self.trim(&state, &before, keep).await,
            None => Ok(()),
        }
    }

    /// A server holds what comes from now on against a new bound; what is there is left to us.
    async fn trim(&self, topic: &TopicState, before: &Config, keep: u64) -> Result<(), Error> {
        const ACTION: &str = "removing records above a new bound";
        let bound = before.max_messages_per_subject;
        if u64::try_from(bound).is_ok_and(|bound| bound > 0 && bound <= keep) {
            return Ok(());
        }
        let stream = self.request(ACTION, || self.context.get_stream(&topic.stream));
        let stream = stream.await?.map_err(|error| engine_error(ACTION, error))?;
        for subject in &topic.subjects {
            let purge = || {
                stream
                    .purge()
                    .filter(subject.as_str())
                    .keep(keep)
                    .into_future()
            };
            let purged = self.request(ACTION, purge).await?;
            purged.map_err(|error| engine_error(ACTION, error))?;
        }
        Ok(())
    }

    pub(crate) async fn topics(&self) -> Result<Vec<Topic>, Error> {
        let action = "listing the topics";
        let all = self.request(action, || self.context.streams().try_collect::<Vec<_>>());
        let all = all.await?.map_err(|error| engine_error(action, error))?;
        let all = all.iter().filter_map(|info| TopicState::of(&info.config));
        let mut names: Vec<_> = all.map(|topic| topic.name).collect();
        names.sort_unstable();
        Ok(names)
    }
}

/// How long one of several attempts takes.
fn attempt(within: Duration) -> Duration {
    ATTEMPT.min(within / 3).max(Duration::from_millis(1))
}

fn is_unknown(error: &context::GetStreamError) -> bool {
    use jetstream::ErrorCode;
    matches!(
        error.kind(),
        context::GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND
    )
}

fn refused(name: &str, action: &'static str, error: context::CreateStreamError) -> Error {
    use jetstream::ErrorCode;
    let context::CreateStreamErrorKind::JetStream(why) = error.kind() else {
        return engine_error(action, error);
    };
    match why.error_code() {
        ErrorCode::STREAM_SUBJECT_OVERLAP => topic::invalid(
            name,
            "another stream takes its subjects, which are the name, a dot and the partition",
        ),
        _ => engine_error(action, error),
    }
}

/// The servers that a URL names, or several with commas between them.
fn servers(url: &str) -> Result<Vec<ServerAddr>, Error> {
    let wrong = |why: &dyn std::fmt::Display| Error::InvalidConfig {
        reason: format!(
            "{ENGINE} is to be connected to `nats://host:port`, or several with commas between them: {why}"
        ),
    };
    let mut servers = Vec::new();
    for url in url.split(',') {
        let server: ServerAddr = url.trim().parse().map_err(|error| wrong(&error))?;
        if server.host().is_empty() {
            return Err(wrong(&"there is no host in it"));
        }
        servers.push(server);
    }
    Ok(servers)
}

/// What a URL says of who connects: a user and a password, or a token alone.
fn credentials_in(servers: &[ServerAddr], connect: ConnectOptions) -> ConnectOptions {
    let text = |encoded: &str| {
        let bytes = format::unescaped(encoded).unwrap_or_else(|| encoded.into());
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut named = servers
        .iter()
        .filter_map(|server| Some((server.username()?, server)));
    match named.next() {
        None => connect,
        Some((token, server)) => match server.password() {
            None => connect.token(text(token)),
            Some(password) => connect.user_and_password(text(token), text(password)),
        },
    }
}

async fn connect_options(
    options: &Options,
    servers: &[ServerAddr],
    over: &Arc<AtomicBool>,
) -> Result<ConnectOptions, Error> {
    let over = Arc::clone(over);
    let mut connect = ConnectOptions::new()
        .require_tls(options.tls)
        .request_timeout(Some(attempt(options.request_timeout)))
        .max_reconnects(None)
        .reconnect_delay_callback(move |attempts| {
            if over.load(Ordering::Relaxed) {
                return NEVER;
            }
            let doubled = 1_u64 << attempts.saturating_sub(1).min(10);
            Duration::from_millis(doubled).min(RECONNECT)
        })
        .ping_interval(PING);
    if !options.has_credentials() {
        connect = credentials_in(servers, connect);
    }
    if let Some(name) = &options.name {
        connect = connect.name(name);
    }
    if let Some((user, password)) = &options.user {
        connect = connect.user_and_password(user.clone(), password.clone());
    }
    if let Some(token) = &options.token {
        connect = connect.token(token.clone());
    }
    if let Some(seed) = &options.nkey {
        connect = connect.nkey(seed.clone());
    }
    if let Some(path) = &options.credentials_file {
        let read = connect.credentials_file(path).await;
        connect = read.map_err(|error| Error::InvalidConfig {
            reason: format!(
                "the credentials file `{}` cannot be used: {error}",
                path.display()
            ),
        })?;
    }
    if let Some(path) = &options.root_certificates {
        connect = connect.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &options.client_certificate {
        connect = connect.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(connect)
}
