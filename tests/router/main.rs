//! The router, one file for each of its sides.
//!
//! guarantee: K9

mod cancel;
mod hostile;
mod mailbox;
mod model;
mod policies;
mod replay;
mod routing;
mod sink;
mod stress;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use pushpull::router::mailbox::Memory;
use pushpull::router::{Connection, Mailbox, MailboxError, RouteError, Routed, Router};
use pushpull::{Overflow, queue};

type Key = &'static str;

/// One poll by nobody in particular.
fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// What an operation that does not wait answers.
#[track_caller]
fn now<F: Future>(future: F) -> F::Output {
    match poll(&mut Box::pin(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// Everything that can be pulled at this moment, and whether that is the end.
fn rest<T>(connection: &mut Connection<T>) -> (Vec<(u64, T)>, bool) {
    let mut all = Vec::new();
    loop {
        match poll(&mut Box::pin(connection.pull())) {
            Poll::Ready(Some(item)) => all.push(item),
            Poll::Ready(None) => return (all, true),
            Poll::Pending => return (all, false),
        }
    }
}

/// The numbers of everything that can be pulled at this moment.
fn seqs<T>(connection: &mut Connection<T>) -> Vec<u64> {
    rest(connection).0.into_iter().map(|(seq, _)| seq).collect()
}

fn bounded(capacity: usize) -> queue::Builder<(u64, u32)> {
    queue::builder().capacity(capacity)
}

/// A router without a mailbox whose connections have room for so many.
fn router(capacity: usize, overflow: Overflow) -> Router<Key, u32> {
    Router::builder()
        .connection_queue(bounded(capacity).overflow(overflow))
        .build()
}

/// A router with a mailbox in memory that retains everything.
fn stored() -> Router<Key, u32> {
    let mailbox = Memory::new().retain(usize::MAX);
    Router::builder().mailbox(mailbox).build()
}

/// A mailbox in memory that takes its time, or fails, as told.
struct Slow {
    memory: Memory<Key, u32>,
    /// How often an append is pending before it stores.
    before: AtomicUsize,
    /// How often it is pending after it has stored.
    after: AtomicUsize,
    /// How often the question for the last number is pending once it is known.
    asked: AtomicUsize,
    fails: AtomicUsize,
    reads_fail: AtomicUsize,
    appends: AtomicU64,
    wakers: Mutex<Vec<Waker>>,
}

impl Slow {
    fn new(before: usize, after: usize) -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new().retain(usize::MAX),
            before: AtomicUsize::new(before),
            after: AtomicUsize::new(after),
            asked: AtomicUsize::new(0),
            fails: AtomicUsize::new(0),
            reads_fail: AtomicUsize::new(0),
            appends: AtomicU64::new(0),
            wakers: Mutex::default(),
        })
    }

    async fn pause(&self, times: usize) {
        for _ in 0..times {
            let mut first = true;
            std::future::poll_fn(|cx| {
                if std::mem::take(&mut first) {
                    self.wakers.lock().unwrap().push(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
        }
    }

    /// Lets everybody go on.
    fn go_on(&self) {
        let wakers = std::mem::take(&mut *self.wakers.lock().unwrap());
        wakers.into_iter().for_each(Waker::wake);
    }

    fn fails_now(counter: &AtomicUsize) -> Result<(), MailboxError> {
        let less = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        match less {
            Ok(_) => Err(MailboxError::new("the disk is full")),
            Err(_) => Ok(()),
        }
    }
}

impl Mailbox<Key, u32> for Slow {
    async fn append(&self, key: &Key, item: &u32) -> Result<u64, MailboxError> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.pause(self.before.load(Ordering::Relaxed)).await;
        Self::fails_now(&self.fails)?;
        let seq = self.memory.append(key, item).await;
        self.pause(self.after.load(Ordering::Relaxed)).await;
        seq
    }

    async fn after(
        &self,
        key: &Key,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, u32)>, MailboxError> {
        Self::fails_now(&self.reads_fail)?;
        self.memory.after(key, after, limit).await
    }

    async fn last(&self, key: &Key) -> Result<u64, MailboxError> {
        let last = self.memory.last(key).await;
        self.pause(self.asked.load(Ordering::Relaxed)).await;
        last
    }
}

/// What it panics with.
fn panic_of<R>(act: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(act)) else {
        panic!("it did not panic");
    };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload
            .downcast_ref::<&str>()
            .map_or_else(String::new, |m| (*m).to_owned()),
    }
}
