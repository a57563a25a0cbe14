//! guarantee: T3, T4
//!
//! The queue against a model of its guarantees: random calls, and after every one of them the contents, the counters,
//! the fate of every item and the wakes are compared. `PROPTEST_CASES` sets how many sequences a policy gets.

mod calls;
mod checks;
mod ends;
mod now;
mod oracle;
mod pulls;
mod pushes;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use pushpull::queue::Overflow;

use calls::{Start, What};
use ends::{SinkAct, StreamAct};
use world::World;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) capacity: usize,
    pub(crate) max_weight: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    TryPush(u8, usize),
    TryPushMany(u8, Vec<usize>),
    Force(u8, usize),
    TryReserve(u8),
    PermitPush(u8, usize),
    PermitDrop(u8),
    TryPull(u8),
    TryPullMany(u8, usize),
    Start(Start),
    Poll(u8, bool),
    Cancel(u8),
    PollWoken,
    Sink(u8, SinkAct),
    Stream(u8, StreamAct),
    Advance(u8),
    Resize(usize),
    MaxWeight(usize),
    Close,
    Abort,
    CloneTx(u8),
    CloneRx(u8),
    DropTx(u8),
    DropRx(u8),
    NewSink(u8),
    NewStream(u8),
    /// Pulls and pushes without waiting, past those who wait.
    Barge(u8),
}

fn weight() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 1..4_usize, 1 => Just(0_usize), 2 => 4..9_usize, 1 => Just(usize::MAX)]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        6 => weight().prop_map(What::Push),
        1 => (weight(), 0..5_u8).prop_map(|(w, ms)| What::PushTimeout(w, ms)),
        2 => weight().prop_map(What::PushFrom),
        3 => vec(weight(), 0..5).prop_map(What::PushMany),
        3 => Just(What::Reserve),
        6 => Just(What::Pull),
        1 => (0..5_u8).prop_map(What::PullTimeout),
        2 => (1..5_usize).prop_map(What::PullMany),
        3 => (1..5_usize, 0..5_u8).prop_map(|(max, ms)| What::PullBatch(max, ms)),
        1 => Just(What::Closed),
        1 => Just(What::Drained),
    ]
}

fn start(what: impl Strategy<Value = What>) -> impl Strategy<Value = Op> {
    (any::<u8>(), what, proptest::bool::weighted(0.9))
        .prop_map(|(handle, what, poll)| Op::Start(Start { handle, what, poll }))
}

fn sink_act() -> impl Strategy<Value = SinkAct> {
    prop_oneof![
        5 => Just(SinkAct::Ready),
        5 => weight().prop_map(SinkAct::Send),
        3 => Just(SinkAct::Flush),
        1 => Just(SinkAct::Close),
        1 => Just(SinkAct::Drop),
    ]
}

fn stream_act() -> impl Strategy<Value = StreamAct> {
    prop_oneof![
        6 => Just(StreamAct::Next),
        3 => (1..4_usize).prop_map(StreamAct::Many),
        1 => Just(StreamAct::Drop),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let at = any::<u8>;
    prop_oneof![
        300 => start(what()),
        200 => (at(), any::<bool>()).prop_map(|(at, fresh)| Op::Poll(at, fresh)),
        100 => at().prop_map(Op::Cancel),
        60 => Just(Op::PollWoken),
        100 => (at(), weight()).prop_map(|(at, w)| Op::TryPush(at, w)),
        40 => (at(), vec(weight(), 0..4)).prop_map(|(at, ws)| Op::TryPushMany(at, ws)),
        40 => (at(), weight()).prop_map(|(at, w)| Op::Force(at, w)),
        30 => at().prop_map(Op::TryReserve),
        50 => (at(), weight()).prop_map(|(at, w)| Op::PermitPush(at, w)),
        20 => at().prop_map(Op::PermitDrop),
        120 => at().prop_map(Op::TryPull),
        40 => (at(), 1..4_usize).prop_map(|(at, limit)| Op::TryPullMany(at, limit)),
        200 => (at(), sink_act()).prop_map(|(at, act)| Op::Sink(at, act)),
        150 => (at(), stream_act()).prop_map(|(at, act)| Op::Stream(at, act)),
        40 => (0..4_u8).prop_map(Op::Advance),
        30 => (1..7_usize).prop_map(Op::Resize),
        30 => (1..12_usize).prop_map(Op::MaxWeight),
        12 => (20..45_u8).prop_map(Op::Barge),
        20 => at().prop_map(Op::CloneTx),
        20 => at().prop_map(Op::CloneRx),
        10 => at().prop_map(Op::DropTx),
        10 => at().prop_map(Op::DropRx),
        40 => at().prop_map(Op::NewSink),
        40 => at().prop_map(Op::NewStream),
        4 => Just(Op::Close),
        2 => Just(Op::Abort),
        3 => start((0..5_u8).prop_map(What::Drain)),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    let capacity = prop_oneof![8 => 1..5_usize, 1 => Just(usize::MAX)];
    let max_weight = proptest::option::of(prop_oneof![6 => 2..10_usize, 1 => Just(usize::MAX)]);
    (capacity, max_weight).prop_map(|(capacity, max_weight)| Setup {
        capacity,
        max_weight,
    })
}

fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(1024)
}

fn run(policy: Overflow) {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let _in = rt.enter();
    let mut runner = TestRunner::new(Config {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 100_000,
        ..Config::default()
    });
    let ran = runner.run(&(setup(), vec(op(), 0..60)), |(setup, ops)| {
        let mut world = World::new(&rt, policy, setup);
        for op in &ops {
            world.step(op);
        }
        world.finish();
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
}

#[test]
fn waiting_keeps_every_guarantee() {
    // guarantee: Q1, Q2, Q3, Q4, Q5, Q7, Q9, Q10
    run(Overflow::Wait);
}

#[test]
fn rejecting_keeps_every_guarantee() {
    // guarantee: Q1, Q2, Q3, Q4, Q5, Q7, Q9, Q10
    run(Overflow::Reject);
}

#[test]
fn dropping_the_newest_keeps_every_guarantee() {
    // guarantee: Q1, Q2, Q3, Q4, Q5, Q7, Q9, Q10
    run(Overflow::DropNewest);
}

#[test]
fn dropping_the_oldest_keeps_every_guarantee() {
    // guarantee: Q1, Q2, Q3, Q4, Q5, Q7, Q9, Q10
    run(Overflow::DropOldest);
}
