//! Calls that wait: started, polled, dropped, each poll compared with what the oracle expects.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use pushpull::queue::{Drained, DropReason, Permit, PullError};
use tokio::time::Instant;

use crate::oracle::{Oracle, Refusal, Ticket};
use crate::pulls::expect_reserve;
use crate::world::{Item, World, refusal, refusal_of};

/// A call to be made.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) handle: u8,
    pub(crate) what: What,
    /// Whether it is polled at once.
    pub(crate) poll: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Push(usize),
    PushTimeout(usize, u8),
    PushFrom(usize),
    PushMany(Vec<usize>),
    Reserve,
    Pull,
    PullTimeout(u8),
    PullMany(usize),
    PullBatch(usize, u8),
    Drain(u8),
    Closed,
    Drained,
}

type Fut<R> = LocalBoxFuture<'static, R>;

enum Work {
    Push(Fut<Result<(), Refusal>>, (u32, usize)),
    PushFrom(
        Fut<Result<(), Refusal>>,
        (u32, usize),
        Rc<RefCell<Option<Item>>>,
    ),
    PushMany {
        fut: Fut<Result<usize, Refusal>>,
        items: Rc<RefCell<VecDeque<Item>>>,
        left: VecDeque<(u32, usize)>,
        moved: usize,
    },
    Reserve(Fut<Result<Permit<Item>, Refusal>>),
    Pull(Fut<Result<Item, PullError>>),
    PullMany(Fut<usize>, Rc<RefCell<Vec<Item>>>, usize),
    PullBatch(Fut<Option<Vec<Item>>>, usize),
    Drain(Fut<Drained<Item>>, Option<u64>),
    Watch(Fut<()>, Sight),
}

/// What a watcher watches for.
#[derive(Clone, Copy, Debug)]
enum Sight {
    Closed,
    Drained,
}

pub(crate) struct Call {
    work: Work,
    pub(crate) ticket: Ticket,
    owner: u64,
    polled: bool,
    within: Option<Duration>,
    due: Option<Instant>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.work {
            Work::Push(..) => "push",
            Work::PushFrom(..) => "push_from",
            Work::PushMany { .. } => "push_many",
            Work::Reserve(..) => "reserve",
            Work::Pull(..) => "pull",
            Work::PullMany(..) => "pull_many",
            Work::PullBatch(..) => "pull_batch",
            Work::Drain(..) => "drain",
            Work::Watch(..) => "watch",
        };
        write!(f, "{name} {}", self.ticket)
    }
}

impl Call {
    /// How many items it holds.
    pub(crate) fn holds(&self) -> usize {
        match &self.work {
            Work::Push(..) | Work::PushFrom(..) => 1,
            Work::PushMany { left, .. } => left.len(),
            _ => 0,
        }
    }

    /// Its time is over.
    pub(crate) fn is_late(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// What is not in the oracle's lists of waiters: watchers and timers.
    pub(crate) fn must_wake(&self, oracle: &Oracle) -> bool {
        let met = match self.work {
            Work::Drain(..) | Work::Watch(_, Sight::Drained) => oracle.finished(),
            Work::Watch(_, Sight::Closed) => oracle.closed,
            _ => false,
        };
        self.polled && (met || self.is_late())
    }
}

impl World<'_> {
    pub(crate) fn start(&mut self, start: &Start) {
        if self.calls.len() >= 12 {
            return;
        }
        let pulls = matches!(
            start.what,
            What::Pull
                | What::PullTimeout(_)
                | What::PullMany(_)
                | What::PullBatch(..)
                | What::Drain(_)
                | What::Drained
        );
        let made = if pulls {
            self.pulling(start)
        } else {
            self.pushing(start)
        };
        let Some((owner, work, within)) = made else {
            return;
        };
        let ticket = self.ticket();
        self.calls.push(Call {
            work,
            ticket,
            owner,
            polled: false,
            within: within.map(|ms| Duration::from_millis(u64::from(ms))),
            due: None,
        });
        if start.poll {
            self.poll_call(self.calls.len() - 1, false);
        }
    }

    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "the call keeps the items until it is over; then they are looked at"
    )]
    fn pushing(&mut self, start: &Start) -> Option<(u64, Work, Option<u8>)> {
        let (owner, tx) = self.tx(start.handle)?;
        let mut within = None;
        let work = match &start.what {
            What::Push(weight) => {
                let item = self.item(*weight);
                let named = (item.id, self.weight(&item));
                let fut = async move { tx.push(item).await.map_err(refusal) };
                Work::Push(fut.boxed_local(), named)
            }
            What::PushTimeout(weight, ms) => {
                within = Some(*ms);
                let item = self.item(*weight);
                let named = (item.id, self.weight(&item));
                let ms = Duration::from_millis(u64::from(*ms));
                let fut = async move { tx.push_timeout(item, ms).await.map_err(refusal) };
                Work::Push(fut.boxed_local(), named)
            }
            What::PushFrom(weight) => {
                let item = self.item(*weight);
                let named = (item.id, self.weight(&item));
                let slot = Rc::new(RefCell::new(Some(item)));
                let own = slot.clone();
                let fut = async move {
                    let pushed = tx.push_from(&mut own.borrow_mut()).await;
                    pushed.map_err(|e| refusal_of(&e))
                };
                Work::PushFrom(fut.boxed_local(), named, slot)
            }
            What::PushMany(weights) => {
                let items: VecDeque<Item> = weights.iter().map(|w| self.item(*w)).collect();
                let left = items.iter().map(|i| (i.id, self.weight(i))).collect();
                let items = Rc::new(RefCell::new(items));
                let own = items.clone();
                let fut = async move {
                    let pushed = tx.push_many(&mut own.borrow_mut()).await;
                    pushed.map_err(|e| refusal_of(&e))
                };
                Work::PushMany {
                    fut: fut.boxed_local(),
                    items,
                    left,
                    moved: 0,
                }
            }
            What::Reserve => {
                let fut = async move { tx.reserve().await.map_err(|e| refusal_of(&e)) };
                Work::Reserve(fut.boxed_local())
            }
            _ => Work::Watch(
                async move { tx.closed().await }.boxed_local(),
                Sight::Closed,
            ),
        };
        Some((owner, work, within))
    }

    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "the call keeps the items until it is over; then they are looked at"
    )]
    fn pulling(&mut self, start: &Start) -> Option<(u64, Work, Option<u8>)> {
        let (owner, rx) = self.rx(start.handle)?;
        let mut within = None;
        let work = match start.what {
            What::PullTimeout(ms) => {
                within = Some(ms);
                let ms = Duration::from_millis(u64::from(ms));
                Work::Pull(async move { rx.pull_timeout(ms).await }.boxed_local())
            }
            What::PullMany(limit) => {
                let out = Rc::new(RefCell::new(Vec::new()));
                let own = out.clone();
                let fut = async move { rx.pull_many(&mut own.borrow_mut(), limit).await };
                Work::PullMany(fut.boxed_local(), out, limit)
            }
            What::PullBatch(max, ms) => {
                within = Some(ms);
                let ms = Duration::from_millis(u64::from(ms));
                Work::PullBatch(
                    async move { rx.pull_batch(max, ms).await }.boxed_local(),
                    max,
                )
            }
            What::Drain(ms) => {
                within = Some(ms);
                let ms = Duration::from_millis(u64::from(ms));
                Work::Drain(async move { rx.drain(ms).await }.boxed_local(), None)
            }
            What::Drained => Work::Watch(
                async move { rx.drained().await }.boxed_local(),
                Sight::Drained,
            ),
            _ => {
                let fut = async move { rx.pull().await.ok_or(PullError::Closed) };
                Work::Pull(fut.boxed_local())
            }
        };
        Some((owner, work, within))
    }

    pub(crate) fn poll_call(&mut self, at: usize, fresh: bool) {
        let mut call = self.calls.remove(at);
        let waker = self.waker(call.ticket, fresh);
        let mut cx = Context::from_waker(&waker);
        if !call.polled {
            call.polled = true;
            call.due = call.within.map(|within| Instant::now() + within);
        }
        let (ticket, late) = (call.ticket, call.is_late());
        let done = match &mut call.work {
            Work::Push(fut, (id, weight)) => {
                let got = fut.as_mut().poll(&mut cx);
                self.polled_push(ticket, (*id, *weight), late, got)
            }
            Work::PushFrom(fut, (id, weight), slot) => {
                let got = fut.as_mut().poll(&mut cx);
                let done = self.polled_push(ticket, (*id, *weight), false, got);
                if done {
                    assert_eq!(slot.borrow().is_none(), got == Poll::Ready(Ok(())));
                }
                done
            }
            Work::PushMany {
                fut,
                items,
                left,
                moved,
            } => {
                let got = fut.as_mut().poll(&mut cx);
                let done = self.polled_many(ticket, left, moved, got);
                if done {
                    let items = items.borrow();
                    assert!(
                        items
                            .iter()
                            .map(|i| i.id)
                            .eq(left.iter().map(|(id, _)| *id))
                    );
                }
                done
            }
            Work::Reserve(fut) => {
                let got = fut.as_mut().poll(&mut cx);
                self.polled_reserve(ticket, got)
            }
            Work::Pull(fut) => {
                let got = fut.as_mut().poll(&mut cx).map_ok(|item| item.id);
                self.polled_pull(ticket, late, got)
            }
            Work::PullMany(fut, out, limit) => {
                let got = fut.as_mut().poll(&mut cx);
                let got = got.map(|n| {
                    let ids: Vec<u32> = out.borrow().iter().map(|item| item.id).collect();
                    assert_eq!(n, ids.len());
                    ids
                });
                self.polled_run(ticket, *limit, got)
            }
            Work::PullBatch(fut, max) => {
                let got = fut.as_mut().poll(&mut cx);
                let got = got.map(|batch| batch.map(|b| b.iter().map(|i| i.id).collect()));
                self.polled_batch(ticket, *max, late, got)
            }
            Work::Drain(fut, before) => {
                let got = fut.as_mut().poll(&mut cx);
                self.polled_drain(before, late, got)
            }
            Work::Watch(fut, what) => {
                let met = match what {
                    Sight::Closed => self.oracle.closed,
                    Sight::Drained => self.oracle.finished(),
                };
                let got = fut.as_mut().poll(&mut cx);
                assert_eq!(got.is_ready(), met);
                met
            }
        };
        if !done {
            self.calls.insert(at, call);
        }
    }

    /// Drops a call before its end.
    pub(crate) fn cancel(&mut self, at: usize) {
        let call = self.calls.remove(at);
        self.oracle.leave(call.ticket);
        match call.work {
            Work::Push(fut, (id, _)) => {
                drop(fut);
                // Here the item waits outside of the call until the first poll.
                if call.polled {
                    self.oracle.count.cancelled += 1;
                    self.oracle.dropped.push((id, DropReason::Cancelled));
                }
            }
            Work::PushFrom(fut, (id, _), slot) => {
                drop(fut);
                let kept = slot.borrow().as_ref().map(|item| item.id);
                assert_eq!(kept, Some(id), "the item stays with the caller");
            }
            Work::PushMany {
                fut, items, left, ..
            } => {
                drop(fut);
                let items = items.borrow();
                assert!(
                    items
                        .iter()
                        .map(|i| i.id)
                        .eq(left.iter().map(|(id, _)| *id))
                );
            }
            work => drop(work),
        }
    }

    pub(crate) fn cancel_all(&mut self, owner: u64) {
        while let Some(at) = self.calls.iter().position(|call| call.owner == owner) {
            self.cancel(at);
        }
    }

    fn polled_reserve(&mut self, ticket: Ticket, got: Poll<Result<Permit<Item>, Refusal>>) -> bool {
        let oracle = &mut self.oracle;
        let brief = match &got {
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(refusal)) => Poll::Ready(Err(*refusal)),
            Poll::Pending => Poll::Pending,
        };
        let want = expect_reserve(oracle, ticket, brief);
        assert_eq!(brief, want);
        if let Poll::Ready(Ok(permit)) = got {
            self.keep(permit);
        }
        want.is_ready()
    }
}
