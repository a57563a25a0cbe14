//! The batching sink, polled by hand over an inner sink that is busy and fails at any time.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Sink;
use proptest::prelude::*;
use pushpull::batch::{Batch, FlushReason};
use pushpull::prelude::*;
use tokio::time::advance;
use tokio_test::task::spawn;

use super::reference::{Emitted, Reference};
use super::{Item, Rules, config, item, paused, rules};

#[derive(Clone, Debug)]
enum Op {
    Send((usize, bool)),
    Ready,
    Flush,
    FlushNow,
    Advance(u64),
    Inner(Answers),
}

/// What the inner sink answers. Errors are answered once.
#[derive(Clone, Debug, Default)]
struct Answers {
    busy: bool,
    slow: bool,
    fail_ready: bool,
    fail_flush: bool,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let one_in = |n: u32| proptest::bool::weighted(1.0 / f64::from(n));
    let answers = (one_in(3), one_in(3), one_in(6), one_in(6));
    let op = prop_oneof![
        8 => item().prop_map(Op::Send),
        2 => Just(Op::Ready),
        4 => Just(Op::Flush),
        1 => Just(Op::FlushNow),
        3 => prop_oneof![4 => 1..30_u64, 1 => 30..5_000_u64].prop_map(Op::Advance),
        2 => answers.prop_map(|(busy, slow, fail_ready, fail_flush)| {
            Op::Inner(Answers { busy, slow, fail_ready, fail_flush })
        }),
    ];
    proptest::collection::vec(op, 0..80)
}

type Answer = Poll<Result<(), ()>>;

const DONE: Answer = Poll::Ready(Ok(()));

/// The state of an inner sink, real or in the model.
#[derive(Clone, Debug, Default)]
struct Inner {
    answers: Answers,
    taken: Vec<Emitted>,
    flushed: usize,
}

impl Inner {
    fn ready(&mut self) -> Answer {
        if std::mem::take(&mut self.answers.fail_ready) {
            Poll::Ready(Err(()))
        } else if self.answers.busy {
            Poll::Pending
        } else {
            DONE
        }
    }

    fn flush(&mut self) -> Answer {
        if std::mem::take(&mut self.answers.fail_flush) {
            return Poll::Ready(Err(()));
        } else if self.answers.slow {
            return Poll::Pending;
        }
        self.flushed = self.taken.len();
        DONE
    }
}

#[derive(Debug)]
struct RealInner(Rc<RefCell<Inner>>);

impl Sink<Batch<Item>> for RealInner {
    type Error = ();

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Answer {
        self.0.borrow_mut().ready()
    }

    fn start_send(self: Pin<&mut Self>, batch: Batch<Item>) -> Result<(), ()> {
        let mut inner = self.0.borrow_mut();
        assert!(!inner.answers.busy, "sent to without being ready");
        let ids = batch.items.iter().map(|item| item.id).collect();
        inner
            .taken
            .push((ids, batch.reason, batch.age.as_millis() as u64));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Answer {
        self.0.borrow_mut().flush()
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Answer {
        self.0.borrow_mut().flush()
    }
}

struct Model {
    batch: Reference,
    closed: Option<FlushReason>,
    unflushed: bool,
    inner: Inner,
}

impl Model {
    fn hand_over(&mut self, reason: FlushReason, now: u64) -> Answer {
        std::task::ready!(self.inner.ready())?;
        let batch = self.batch.emit(reason, now);
        self.inner.taken.push(batch);
        self.unflushed = true;
        self.closed = self.batch.take_staged();
        DONE
    }

    fn hand_over_closed(&mut self, now: u64) -> Answer {
        while let Some(reason) = self.closed {
            std::task::ready!(self.hand_over(reason, now))?;
        }
        DONE
    }

    /// Keeps the inner sink at work on what it has.
    fn drive(&mut self) -> Result<(), ()> {
        if self.unflushed {
            match self.inner.flush() {
                Poll::Ready(flushed) => {
                    flushed?;
                    self.unflushed = false;
                }
                Poll::Pending => {}
            }
        }
        Ok(())
    }

    fn ready(&mut self, now: u64) -> Answer {
        std::task::ready!(self.hand_over_closed(now))?;
        self.batch.look(now);
        if let Some(reason) = self.batch.lapsed {
            if let Poll::Ready(Err(())) = self.hand_over(reason, now) {
                return Poll::Ready(Err(()));
            }
        }
        Poll::Ready(self.drive())
    }

    fn send(&mut self, item: Item, now: u64) {
        self.batch.look(now);
        self.batch.staged.push_back((item, now));
        self.closed = self.batch.take_staged();
        self.batch.look(now);
    }

    fn flush(&mut self, now: u64) -> Answer {
        while !self.batch.is_empty() {
            if self.closed.is_none() {
                self.drive()?;
                self.batch.look(now);
            }
            let Some(reason) = self.closed.or(self.batch.lapsed) else {
                return Poll::Pending;
            };
            std::task::ready!(self.hand_over(reason, now))?;
        }
        self.flush_inner()
    }

    fn flush_inner(&mut self) -> Answer {
        std::task::ready!(self.inner.flush())?;
        self.unflushed = false;
        DONE
    }

    fn empty(&mut self, reason: FlushReason, now: u64) -> Answer {
        while !self.batch.is_empty() {
            std::task::ready!(self.hand_over(self.closed.unwrap_or(reason), now))?;
        }
        DONE
    }

    fn flush_now(&mut self, now: u64) -> Answer {
        std::task::ready!(self.empty(FlushReason::Flush, now))?;
        self.flush_inner()
    }

    fn close(&mut self, now: u64) -> Answer {
        std::task::ready!(self.empty(FlushReason::End, now))?;
        self.inner.flush()
    }
}

async fn check(rules: Rules, ops: Vec<Op>, finish: bool) -> Result<(), TestCaseError> {
    let inner = Rc::new(RefCell::new(Inner::default()));
    let mut sink = spawn(RealInner(inner.clone()).sink_batch_with(rules.policy()));
    let batch = Reference::new(rules);
    let mut model = Model {
        batch,
        closed: None,
        unflushed: false,
        inner: Inner::default(),
    };
    let (mut now, mut sent, mut flushing) = (0, 0, false);
    for op in ops {
        // Whether somebody waits for the clock alone.
        let waiting = std::mem::take(&mut flushing);
        match op {
            Op::Send((weight, last)) => {
                let ready = sink.enter(|cx, sink| sink.poll_ready(cx));
                prop_assert_eq!(ready, model.ready(now), "ready at {}", now);
                if ready == DONE {
                    sent += 1;
                    let item = Item {
                        id: sent,
                        weight,
                        last,
                    };
                    model.send(item, now);
                    prop_assert_eq!(Pin::new(&mut *sink).start_send(item), Ok(()));
                }
            }
            Op::Ready => {
                let ready = sink.enter(|cx, sink| sink.poll_ready(cx));
                prop_assert_eq!(ready, model.ready(now), "ready at {}", now);
            }
            Op::Flush => {
                let flushed = sink.enter(|cx, sink| sink.poll_flush(cx));
                prop_assert_eq!(flushed, model.flush(now), "flush at {}", now);
                flushing = flushed.is_pending() && model.closed.or(model.batch.lapsed).is_none();
            }
            Op::FlushNow => {
                let flushed = sink.enter(|cx, sink| sink.poll_flush_now(cx));
                prop_assert_eq!(flushed, model.flush_now(now), "flush now at {}", now);
            }
            Op::Advance(ms) => {
                advance(Duration::from_millis(ms)).await;
                now += ms;
                let due = waiting && model.batch.due().is_some_and(|(at, _)| at <= now);
                prop_assert!(!due || sink.is_woken(), "its time is over");
                flushing = waiting;
            }
            Op::Inner(answers) => {
                inner.borrow_mut().answers = answers.clone();
                model.inner.answers = answers;
                flushing = waiting;
            }
        }
        prop_assert_eq!(
            &inner.borrow().taken,
            &model.inner.taken,
            "taken at {}",
            now
        );
        prop_assert_eq!(
            inner.borrow().flushed,
            model.inner.flushed,
            "flushed at {}",
            now
        );
        prop_assert_eq!(sink.held(), model.batch.held().len());
    }
    inner.borrow_mut().answers = Answers::default();
    model.inner.answers = Answers::default();
    if finish {
        let closed = sink.enter(|cx, sink| sink.poll_close(cx));
        prop_assert_eq!((closed, model.close(now)), (DONE, DONE));
    }
    prop_assert_eq!(&inner.borrow().taken, &model.inner.taken);
    let held = sink.into_inner().into_remainder();
    prop_assert!(!finish || held.is_empty());
    let taken = inner
        .borrow()
        .taken
        .iter()
        .flat_map(|(ids, ..)| ids.clone())
        .collect::<Vec<_>>();
    let all = taken
        .into_iter()
        .chain(held.into_iter().map(|item| item.id));
    prop_assert!(all.eq(1..=sent), "all that was sent, once and in order");
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    // guarantee: B1 B2 B3 B4 B6 B8
    #[test]
    fn before_a_sink(rules in rules(), ops in ops(), finish: bool) {
        paused(check(rules, ops, finish))?;
    }
}
