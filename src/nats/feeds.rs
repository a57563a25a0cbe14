//! Who hears what befalls the connection.

use async_nats::Event as Told;
use tokio::sync::watch;

use crate::broker::Event;
use crate::queue::WeakProducer;
use crate::sync::{Mutex, lock};

use super::trouble::engine_error;

/// Hands what befalls the connection to the consumers.
#[derive(Default)]
pub(crate) struct Feeds {
    state: Mutex<State>,
    /// Counts how often the connection came back.
    pub(crate) back: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// The consumers' events; they go with the consumers.
    feeds: Vec<WeakProducer<Event>>,
    /// Whether the connection was lost and is not back.
    lost: bool,
    /// The last error that the server or the client spoke of.
    error: Option<String>,
}

impl Feeds {
    pub(crate) fn add(&self, events: WeakProducer<Event>) {
        let mut state = lock(&self.state);
        let feeds = std::mem::take(&mut state.feeds).into_iter();
        let (gone, living): (Vec<_>, Vec<_>) = feeds.partition(WeakProducer::is_closed);
        state.feeds = living;
        state.feeds.push(events);
        drop(state);
        // What nobody has read goes with them.
        drop(gone);
    }

    /// What the client says.
    pub(crate) fn tell(&self, told: &Told) {
        let mut state = lock(&self.state);
        let event = match told {
            Told::Connected if !state.lost => None,
            Told::Connected => {
                state.lost = false;
                state.error = None;
                self.back.send_modify(|times| *times += 1);
                Some(Event::Connected)
            }
            Told::Disconnected => {
                state.lost = true;
                let reason = state.error.clone();
                let reason =
                    reason.unwrap_or_else(|| "the connection to the server was lost".into());
                Some(Event::Disconnected { reason })
            }
            // The same error again and again, while the server is away, is told once.
            Told::ServerError(_) | Told::ClientError(_) => {
                let error = told.to_string();
                let news = state.error.as_ref() != Some(&error);
                state.error = Some(error.clone());
                news.then(|| Event::Failed(engine_error("talking to the server", Plain(error))))
            }
            Told::SlowConsumer(_) => {
                let what = "messages came faster than they were taken, and some were dropped";
                let error = Plain(what.into());
                Some(Event::Failed(engine_error("receiving", error)))
            }
            _ => None,
        };
        let Some(event) = event else {
            return;
        };
        let feeds = std::mem::take(&mut state.feeds);
        // Those who hear it may be woken by it.
        drop(state);
        let mut living = Vec::with_capacity(feeds.len());
        for feed in feeds {
            if let Some(events) = feed.upgrade() {
                // A feed drops its oldest event where it is full, and one that is closed wants no more.
                let _heard = events.try_push(event.clone());
                living.push(feed);
            }
        }
        lock(&self.state).feeds.append(&mut living);
    }
}

/// An error of which there is only the text.
#[derive(Debug)]
struct Plain(String);

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Plain {}
