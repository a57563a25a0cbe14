//! A sink that records every call, answers as it is told, and insists on the contract.
#![allow(dead_code, unreachable_pub, clippy::allow_attributes)]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use futures::Sink;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Ok,
    /// Pending once, woken at once.
    Pending,
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

#[derive(Debug)]
pub struct Log<T> {
    pub sent: Vec<T>,
    /// Items that were sent when a flush or close was Ready.
    pub flushed: usize,
    pub flushes: usize,
    pub closes: usize,
    pub ready: VecDeque<Answer>,
    pub send: VecDeque<Answer>,
    pub flush: VecDeque<Answer>,
    pub close: VecDeque<Answer>,
    /// While shut there is no room.
    pub shut: bool,
    /// While stuck no flush ends.
    pub stuck: bool,
    waker: Option<Waker>,
    holds_room: bool,
    closed: bool,
}

/// The test's end of a [`Probe`].
#[derive(Debug)]
pub struct Told<T>(Arc<Mutex<Log<T>>>);

impl<T> Clone for Told<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone> Told<T> {
    pub fn sent(&self) -> Vec<T> {
        self.log().sent.clone()
    }
}

impl<T> Told<T> {
    pub fn flushes(&self) -> usize {
        self.log().flushes
    }

    pub fn flushed(&self) -> usize {
        self.log().flushed
    }

    pub fn closes(&self) -> usize {
        self.log().closes
    }

    pub fn log(&self) -> MutexGuard<'_, Log<T>> {
        self.0.lock().unwrap()
    }

    pub fn shut(&self, shut: bool) {
        let waker = {
            let mut log = self.log();
            log.shut = shut;
            log.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    pub fn stick(&self, stuck: bool) {
        let waker = {
            let mut log = self.log();
            log.stuck = stuck;
            log.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether the sink still exists.
    pub fn alive(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Another sink with the same log: what a reconnect would make.
    pub fn another(&self) -> Probe<T> {
        {
            let mut log = self.log();
            log.holds_room = false;
            log.closed = false;
        }
        Probe(self.0.clone())
    }
}

#[derive(Debug)]
pub struct Probe<T>(Arc<Mutex<Log<T>>>);

pub fn probe<T>() -> (Probe<T>, Told<T>) {
    let log = Arc::new(Mutex::new(Log {
        sent: Vec::new(),
        flushed: 0,
        flushes: 0,
        closes: 0,
        ready: VecDeque::new(),
        send: VecDeque::new(),
        flush: VecDeque::new(),
        close: VecDeque::new(),
        shut: false,
        stuck: false,
        waker: None,
        holds_room: false,
        closed: false,
    }));
    (Probe(log.clone()), Told(log))
}

fn answer(script: &mut VecDeque<Answer>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
    match script.pop_front().unwrap_or(Answer::Ok) {
        Answer::Ok => Poll::Ready(Ok(())),
        Answer::Fail => Poll::Ready(Err(Broken)),
        Answer::Pending => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

impl<T> Sink<T> for Probe<T> {
    type Error = Broken;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut log = self.0.lock().unwrap();
        assert!(!log.closed, "poll_ready after close");
        if log.shut {
            log.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let ready = answer(&mut log.ready, cx);
        log.holds_room = ready == Poll::Ready(Ok(()));
        ready
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), Broken> {
        let mut log = self.0.lock().unwrap();
        assert!(!log.closed, "start_send after close");
        assert!(
            std::mem::take(&mut log.holds_room),
            "start_send without poll_ready"
        );
        if log.send.pop_front() == Some(Answer::Fail) {
            return Err(Broken);
        }
        log.sent.push(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut log = self.0.lock().unwrap();
        assert!(!log.closed, "poll_flush after close");
        if log.stuck {
            log.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let flushed = answer(&mut log.flush, cx);
        if flushed == Poll::Ready(Ok(())) {
            log.flushes += 1;
            log.flushed = log.sent.len();
        }
        flushed
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut log = self.0.lock().unwrap();
        assert!(!log.closed, "poll_close after close");
        let closed = answer(&mut log.close, cx);
        if closed == Poll::Ready(Ok(())) {
            log.closes += 1;
            log.flushed = log.sent.len();
            log.closed = true;
        }
        closed
    }
}
