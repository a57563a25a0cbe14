//! The batching streams, polled by hand: over a stream, over one that fails, over a queue that moves runs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::stream::{FusedStream, Stream, StreamExt};
use proptest::prelude::*;
use pushpull::batch::{Batch, FlushReason};
use pushpull::prelude::*;
use pushpull::queue;
use tokio::time::advance;
use tokio_test::task::spawn;

use super::reference::{Emitted, Reference};
use super::{Item, Rules, config, item, paused, rules};

#[derive(Clone, Debug)]
enum Op {
    Push((usize, bool)),
    Fail,
    Advance(u64),
    Poll,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => item().prop_map(Op::Push),
        1 => Just(Op::Fail),
        3 => prop_oneof![4 => 1..30_u64, 1 => 30..5_000_u64].prop_map(Op::Advance),
        5 => Just(Op::Poll),
    ];
    proptest::collection::vec(op, 0..80)
}

/// Where the items come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stream,
    Fallible,
    Queue,
}

type Output = Poll<Option<Result<Emitted, u32>>>;

/// What the operator must do, with the input as it was pushed.
struct Model {
    source: Source,
    rules: Rules,
    input: VecDeque<Result<Item, u32>>,
    ended: bool,
    error: Option<u32>,
    batch: Reference,
}

impl Model {
    fn is_empty(&self) -> bool {
        self.input.is_empty() && self.error.is_none() && self.batch.is_empty()
    }

    fn poll(&mut self, now: u64) -> Output {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        // What an earlier poll took opens the batch; a time that is over is over before anything is taken.
        let mut reason = None;
        let staged = self.batch.staged.len();
        for _ in 0..staged {
            reason = reason.or_else(|| self.batch.take_staged());
        }
        self.batch.look(now);
        while reason.is_none() {
            let run = self.source == Source::Queue && self.rules.judges();
            let room = self.rules.max - self.batch.open.len();
            match self.input.front() {
                Some(Ok(_)) => {
                    for _ in 0..if run { room } else { 1 } {
                        let Some(Ok(item)) = self.input.pop_front() else {
                            break;
                        };
                        self.batch.staged.push_back((item, now));
                    }
                    while reason.is_none() && !self.batch.staged.is_empty() {
                        reason = self.batch.take_staged();
                    }
                }
                Some(Err(error)) => {
                    let error = *error;
                    self.input.pop_front();
                    if self.batch.is_empty() {
                        return Poll::Ready(Some(Err(error)));
                    }
                    self.error = Some(error);
                    reason = Some(FlushReason::Error);
                }
                None if self.ended && self.batch.is_empty() => return Poll::Ready(None),
                None if self.ended => reason = Some(FlushReason::End),
                None => {
                    self.batch.look(now);
                    match self.batch.lapsed {
                        Some(_) => reason = self.batch.lapsed,
                        None => return Poll::Pending,
                    }
                }
            }
        }
        let reason = reason.expect("the loop ends with one");
        Poll::Ready(Some(Ok(self.batch.emit(reason, now))))
    }
}

/// The input as the operator sees it.
#[derive(Default)]
struct Input {
    items: VecDeque<Result<Item, u32>>,
    ended: bool,
    over: bool,
    waker: Option<Waker>,
}

struct Script<T>(Rc<RefCell<Input>>, fn(Result<Item, u32>) -> T);

impl<T> Stream for Script<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut input = self.0.borrow_mut();
        assert!(!input.over, "polled after its end");
        match input.items.pop_front() {
            Some(item) => Poll::Ready(Some(self.1(item))),
            None if input.ended => {
                input.over = true;
                Poll::Ready(None)
            }
            None => {
                input.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let input = self.0.borrow();
        (input.items.len(), input.ended.then(|| input.items.len()))
    }
}

/// An item, an error, or the end.
type Fed = Option<Result<Item, u32>>;

/// The operator under test, whatever its type, and how its input is fed.
struct Real {
    batches: Pin<Box<dyn FusedStream<Item = Result<Batch<Item>, u32>>>>,
    feed: Box<dyn FnMut(Fed)>,
}

impl Real {
    fn new(source: Source, rules: &Rules) -> Self {
        let input = Rc::new(RefCell::new(Input::default()));
        let policy = rules.policy();
        let fed = input.clone();
        let feed = move |item: Fed| {
            let mut input = fed.borrow_mut();
            input.ended |= item.is_none();
            input.items.extend(item);
            if let Some(waker) = input.waker.take() {
                waker.wake();
            }
        };
        let plain = |item: Result<Item, u32>| item.expect("no errors here");
        match source {
            Source::Stream => {
                let batches = Script(input, plain).batch_with(policy).map(Ok);
                Self {
                    batches: Box::pin(batches),
                    feed: Box::new(feed),
                }
            }
            Source::Fallible => {
                let batches = Script(input, |item| item).try_batch_with(policy);
                Self {
                    batches: Box::pin(batches),
                    feed: Box::new(feed),
                }
            }
            Source::Queue => {
                let (tx, rx) = queue::bounded(1_000);
                let feed = move |item: Fed| match item {
                    Some(item) => tx.try_push(plain(item)).expect("there is room"),
                    None => tx.close(),
                };
                let batches = rx.batch_with(policy).map(Ok);
                Self {
                    batches: Box::pin(batches),
                    feed: Box::new(feed),
                }
            }
        }
    }
}

async fn check(source: Source, rules: Rules, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let Real { batches, mut feed } = Real::new(source, &rules);
    let mut batches = spawn(batches);
    let mut model = Model {
        source,
        rules: rules.clone(),
        input: VecDeque::new(),
        ended: false,
        error: None,
        batch: Reference::new(rules),
    };
    let (mut now, mut id, mut idle) = (0, 0, false);
    // Outputs so far, and the hints given before each poll.
    let (mut outputs, mut hints) = (0, vec![]);
    let plenty = ops.len() + 5;
    let end = (0..plenty).map(|_| None);
    for op in ops.into_iter().map(Some).chain(end) {
        match op {
            Some(Op::Push((weight, last))) => {
                id += 1;
                let item = Item { id, weight, last };
                model.input.push_back(Ok(item));
                feed(Some(Ok(item)));
                prop_assert!(!idle || batches.is_woken(), "input wakes");
            }
            Some(Op::Fail) if source == Source::Fallible => {
                id += 1;
                model.input.push_back(Err(id));
                feed(Some(Err(id)));
            }
            Some(Op::Fail) => {}
            Some(Op::Advance(ms)) => {
                advance(Duration::from_millis(ms)).await;
                now += ms;
                let due = idle && model.batch.due().is_some_and(|(at, _)| at <= now);
                prop_assert!(!due || batches.is_woken(), "its time is over");
            }
            Some(Op::Poll) | None => {
                if op.is_none() && !model.ended {
                    model.ended = true;
                    feed(None);
                }
                hints.push((outputs, batches.size_hint()));
                let real = batches.enter(|cx, batches| batches.poll_next(cx));
                idle = real.is_pending();
                outputs += usize::from(matches!(real, Poll::Ready(Some(_))));
                let real: Output = real.map(|batch| batch.map(|batch| batch.map(emitted)));
                prop_assert_eq!(&real, &model.poll(now), "at {}", now);
                let over = model.ended && model.is_empty();
                prop_assert!(real != Poll::Ready(None) || batches.is_terminated());
                prop_assert!(over || !batches.is_terminated(), "there is more");
            }
        }
    }
    prop_assert!(batches.is_terminated() && model.is_empty());
    for (before, (least, most)) in hints {
        let left = outputs - before;
        prop_assert!(least <= left, "at least {} of {}", least, left);
        prop_assert!(
            most.is_none_or(|most| left <= most),
            "at most {:?} of {}",
            most,
            left
        );
    }
    Ok(())
}

fn emitted(batch: Batch<Item>) -> Emitted {
    let age = batch.age.as_millis() as u64;
    (
        batch.items.iter().map(|item| item.id).collect(),
        batch.reason,
        age,
    )
}

proptest! {
    #![proptest_config(config())]

    // guarantee: B1 B2 B3 B4 B6
    #[test]
    fn over_a_stream(rules in rules(), ops in ops()) {
        paused(check(Source::Stream, rules, ops))?;
    }

    // guarantee: B1 B2 B3 B4 B6
    #[test]
    fn over_a_stream_that_fails(rules in rules(), ops in ops()) {
        paused(check(Source::Fallible, rules, ops))?;
    }

    // guarantee: B1 B2 B3 B4 B6 B7
    #[test]
    fn over_a_queue(rules in rules(), ops in ops()) {
        paused(check(Source::Queue, rules, ops))?;
    }
}
