//! What every operator over a stream keeps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use futures_test::task::{new_count_waker, noop_waker};
use pushpull::PullExt;

use super::probe::{Hint, Phase, Probe, Step, Token};
use super::{BoxOperator, BoxSink, Rule, Verdict, settle};
use Step::{Item, Stall, Yield};
use Verdict::{DoesNotApply, Kept};

/// One operator, made over a probe in each of its disguises. `stream_operator!` writes these.
#[derive(Clone, Copy)]
pub struct StreamOperator {
    pub name: &'static str,
    /// A task of its own polls the input.
    pub spawned: bool,
    pub make: fn(Probe) -> BoxOperator,
    pub interleaved: fn(Probe) -> BoxOperator,
    pub unmoved: fn(Probe) -> BoxOperator,
    pub debug: fn(Probe) -> String,
    /// The sink half, where the operator forwards it.
    pub sink: Option<fn(Probe) -> BoxSink<Token>>,
}

/// `stream_operator!("name", |inner| inner.operator(), |item| values)`; `spawned` in front for operators whose task polls
/// the input, which have no sink half.
#[macro_export]
macro_rules! stream_operator {
    (@make $inner:ident, $make:expr, $item:pat_param, $values:expr) => {
        |probe| {
            let $inner = probe;
            $crate::contract_kit::flat($make, |$item| $values)
        }
    };
    (@operator $name:literal, $spawned:literal, $sink:expr, $inner:ident, $make:expr, $item:pat_param, $values:expr) => {
        $crate::contract_kit::stream_rules::StreamOperator {
            name: $name,
            spawned: $spawned,
            make: $crate::stream_operator!(@make $inner, $make, $item, $values),
            interleaved: |probe| {
                let $inner = futures_test::stream::StreamTestExt::interleave_pending(probe);
                $crate::contract_kit::flat($make, |$item| $values)
            },
            unmoved: |probe| {
                let $inner = futures_test::stream::StreamTestExt::assert_unmoved(probe);
                $crate::contract_kit::flat($make, |$item| $values)
            },
            debug: |probe| {
                let $inner = probe;
                format!("{:?}", $make)
            },
            sink: $sink,
        }
    };
    (spawned $name:literal, |$inner:ident| $make:expr, |$item:pat_param| $values:expr $(,)?) => {
        $crate::stream_operator!(@operator $name, true, None, $inner, $make, $item, $values)
    };
    ($name:literal, |$inner:ident| $make:expr, |$item:pat_param| $values:expr $(,)?) => {
        $crate::stream_operator!(@operator $name, false, Some(|probe| {
            let $inner = probe;
            $crate::contract_kit::plain::<$crate::contract_kit::probe::Token, _>($make)
        }), $inner, $make, $item, $values)
    };
}

macro_rules! rule {
    ($name:literal, $check:ident(op $(, $argument:expr)?)) => {
        Rule { name: $name, check: |op| $check(op $(, $argument)?).boxed_local() }
    };
}

pub const RULES: &[Rule<StreamOperator>] = &[
    rule!("delivers all, in order", delivers_all(op)),
    rule!("delivers all of an eager input", delivers_eager(op)),
    rule!("ends at once over an empty input", ends_empty(op)),
    rule!("is not started by being made", not_started(op)),
    rule!("size_hint true, input exact", hint(op, Hint::Exact)),
    rule!("size_hint true, input unknown", hint(op, Hint::Unknown)),
    rule!("size_hint bears the largest", hint_largest(op)),
    rule!("fused: None for ever", none_for_ever(op)),
    rule!("is_terminated only after the end", terminated(op)),
    rule!("input never polled after its end", end_respected(op)),
    rule!("wakes when the input wakes", wakes(op)),
    rule!("the last waker counts", last_waker(op)),
    rule!("quiet while the input is silent", quiet(op)),
    rule!("needless polls change nothing", needless_polls(op)),
    rule!("a late poll loses nothing", late_poll(op)),
    rule!("bears Pending between all steps", interleaved(op)),
    rule!("never moves a pinned input", unmoved(op)),
    rule!("drops its input once", input_dropped(op)),
    rule!("drops each held item once", items_dropped(op)),
    rule!("survives a panic of the input", input_panics(op)),
    rule!("an eager chain lets others run", polite(op)),
    rule!("Debug without T: Debug", debug(op)),
    rule!("sink half: all, flush, close once", sink_half(op)),
    rule!("sink half: each error passes", sink_errors(op)),
    rule!("sink half: waits and wakes", sink_waits(op)),
];

const MIXED: [Step; 10] = [
    Item(1),
    Yield,
    Item(2),
    Item(3),
    Yield,
    Yield,
    Item(4),
    Item(5),
    Item(6),
    Item(7),
];

async fn drain(operator: &mut BoxOperator) -> Vec<u32> {
    let mut all = Vec::new();
    while let Some(values) = operator.next().await {
        all.extend(values);
    }
    all
}

fn poll(operator: &mut BoxOperator) -> Poll<Option<Vec<u32>>> {
    operator
        .as_mut()
        .poll_next(&mut Context::from_waker(&noop_waker()))
}

async fn delivers_all(op: StreamOperator) -> Verdict {
    let (probe, _) = Probe::new(MIXED);
    assert_eq!(drain(&mut (op.make)(probe)).await, [1, 2, 3, 4, 5, 6, 7]);
    Kept
}

async fn delivers_eager(op: StreamOperator) -> Verdict {
    let (probe, _) = Probe::new((0..1_000).map(Item));
    assert_eq!(
        drain(&mut (op.make)(probe)).await,
        (0..1_000).collect::<Vec<_>>()
    );
    Kept
}

async fn ends_empty(op: StreamOperator) -> Verdict {
    let (probe, _) = Probe::new([]);
    let mut operator = (op.make)(probe);
    let begun = tokio::time::Instant::now();
    assert_eq!(drain(&mut operator).await, [0; 0]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    Kept
}

async fn not_started(op: StreamOperator) -> Verdict {
    if op.spawned {
        return DoesNotApply;
    }
    let (probe, control) = Probe::new(MIXED);
    let _operator = (op.make)(probe);
    settle().await;
    assert_eq!(control.record().polls, 0);
    Kept
}

/// Notes the hint before every poll, Pending or not, and judges all of them when the number of outputs is known.
async fn hint(op: StreamOperator, hint: Hint) -> Verdict {
    let (probe, _) = Probe::hinting(MIXED, hint);
    let mut operator = (op.make)(probe);
    let mut notes = vec![(0, operator.size_hint())];
    let mut outputs = 0;
    loop {
        let polled = std::future::poll_fn(|cx| {
            let polled = operator.as_mut().poll_next(cx);
            if polled.is_pending() {
                notes.push((outputs, operator.size_hint()));
            }
            polled
        });
        let Some(_) = polled.await else { break };
        outputs += 1;
        notes.push((outputs, operator.size_hint()));
    }
    notes.push((outputs, operator.size_hint()));
    for (seen, (lower, upper)) in notes {
        let left = outputs - seen;
        assert!(
            lower <= left,
            "{left} were to come after {seen}, the lower bound was {lower}"
        );
        assert!(
            upper.is_none_or(|upper| left <= upper),
            "{left} were to come after {seen}, the upper bound was {upper:?}"
        );
    }
    Kept
}

async fn hint_largest(op: StreamOperator) -> Verdict {
    let (probe, _) = Probe::hinting([Item(1), Item(2), Stall], Hint::Huge);
    let mut operator = (op.make)(probe);
    for _ in 0..4 {
        let (lower, upper) = operator.size_hint();
        assert!(upper.is_none_or(|upper| lower <= upper));
        let _ = poll(&mut operator);
        settle().await;
    }
    Kept
}

async fn none_for_ever(op: StreamOperator) -> Verdict {
    let (probe, _) = Probe::new(MIXED);
    let mut operator = (op.make)(probe);
    drain(&mut operator).await;
    for _ in 0..5 {
        assert_eq!(poll(&mut operator), Poll::Ready(None));
        tokio::time::advance(Duration::from_secs(3_600)).await;
    }
    Kept
}

async fn terminated(op: StreamOperator) -> Verdict {
    let (probe, _) = Probe::new(MIXED);
    let mut operator = (op.make)(probe);
    let mut seen = 0;
    while seen < 7 {
        assert!(!operator.is_terminated(), "terminated with items to come");
        seen += operator.next().await.expect("seven items").len();
    }
    assert_eq!(operator.next().await, None);
    assert!(operator.is_terminated(), "not terminated after the end");
    Kept
}

async fn end_respected(op: StreamOperator) -> Verdict {
    for script in [&MIXED[..], &[Item(1)], &[Yield], &[]] {
        let (probe, control) = Probe::new(script.iter().copied());
        let mut operator = (op.make)(probe);
        drain(&mut operator).await;
        for _ in 0..3 {
            let _ = poll(&mut operator);
        }
        assert_eq!(control.record().polls_after_end, 0);
    }
    Kept
}

async fn wakes(op: StreamOperator) -> Verdict {
    let (probe, control) = Probe::new([Stall, Item(1)]);
    let mut operator = (op.make)(probe);
    let (waker, woken) = new_count_waker();
    assert!(
        operator
            .as_mut()
            .poll_next(&mut Context::from_waker(&waker))
            .is_pending()
    );
    settle().await;
    let before = woken.get();
    control.release();
    settle().await;
    assert!(woken.get() > before, "nobody was woken");
    assert_eq!(drain(&mut operator).await, [1]);
    Kept
}

async fn last_waker(op: StreamOperator) -> Verdict {
    let (probe, control) = Probe::new([Stall, Item(1)]);
    let mut operator = (op.make)(probe);
    let (first, _) = new_count_waker();
    let (last, woken) = new_count_waker();
    for waker in [&first, &last] {
        assert!(
            operator
                .as_mut()
                .poll_next(&mut Context::from_waker(waker))
                .is_pending()
        );
        settle().await;
    }
    let before = woken.get();
    control.release();
    settle().await;
    assert!(
        woken.get() > before,
        "the waker of the last poll was not woken"
    );
    Kept
}

async fn quiet(op: StreamOperator) -> Verdict {
    let (probe, _) = Probe::new([Stall]);
    let mut operator = (op.make)(probe);
    let (waker, woken) = new_count_waker();
    assert!(
        operator
            .as_mut()
            .poll_next(&mut Context::from_waker(&waker))
            .is_pending()
    );
    settle().await;
    assert_eq!(woken.get(), 0, "woken without a reason");
    Kept
}

async fn needless_polls(op: StreamOperator) -> Verdict {
    let (probe, control) = Probe::new([Item(1), Stall, Item(2)]);
    let mut operator = (op.make)(probe);
    let mut all = Vec::new();
    for _ in 0..50 {
        if let Poll::Ready(Some(values)) = poll(&mut operator) {
            all.extend(values);
        }
        settle().await;
    }
    control.release();
    all.extend(drain(&mut operator).await);
    assert_eq!(all, [1, 2]);
    Kept
}

async fn late_poll(op: StreamOperator) -> Verdict {
    let (probe, control) = Probe::new([Item(1), Item(2), Stall, Item(3)]);
    let mut operator = (op.make)(probe);
    let mut all = Vec::new();
    if let Poll::Ready(Some(values)) = poll(&mut operator) {
        all.extend(values);
    }
    control.release();
    tokio::time::advance(Duration::from_secs(10 * 86_400)).await;
    all.extend(drain(&mut operator).await);
    assert_eq!(all, [1, 2, 3]);
    Kept
}

async fn interleaved(op: StreamOperator) -> Verdict {
    let (probe, _) = Probe::new(MIXED);
    assert_eq!(
        drain(&mut (op.interleaved)(probe)).await,
        [1, 2, 3, 4, 5, 6, 7]
    );
    Kept
}

async fn unmoved(op: StreamOperator) -> Verdict {
    let (probe, _) = Probe::new(MIXED);
    assert_eq!(drain(&mut (op.unmoved)(probe)).await, [1, 2, 3, 4, 5, 6, 7]);
    Kept
}

async fn input_dropped(op: StreamOperator) -> Verdict {
    // Before the first poll, in the middle, and after the end.
    for polls in [0, 1, 100] {
        let (probe, control) = Probe::new(MIXED);
        let mut operator = (op.make)(probe);
        for _ in 0..polls {
            let _ = poll(&mut operator);
            settle().await;
        }
        drop(operator);
        settle().await;
        assert_eq!(control.record().dropped, 1, "after {polls} polls");
    }
    Kept
}

async fn items_dropped(op: StreamOperator) -> Verdict {
    let (probe, control) = Probe::new([Item(1), Item(2), Item(3), Item(4), Stall]);
    let mut operator = (op.make)(probe);
    for _ in 0..2 {
        let _ = poll(&mut operator);
        settle().await;
    }
    drop(operator);
    settle().await;
    assert_eq!(control.dropped_tokens(), control.record().given);
    Kept
}

async fn input_panics(op: StreamOperator) -> Verdict {
    let (probe, control) = Probe::new(MIXED);
    control.record().panic_at_poll = Some(3);
    let mut operator = (op.make)(probe);
    let drained = AssertUnwindSafe(drain(&mut operator)).catch_unwind().await;
    assert!(op.spawned || drained.is_err(), "the panic was swallowed");
    // Whatever a poll after a panic answers, it neither hangs nor aborts.
    let _ = catch_unwind(AssertUnwindSafe(|| poll(&mut operator)));
    drop(operator);
    settle().await;
    assert_eq!(control.record().dropped, 1);
    assert_eq!(control.dropped_tokens(), control.record().given);
    Kept
}

async fn polite(op: StreamOperator) -> Verdict {
    let (probe, control) = Probe::new((0..5_000).map(Item));
    control.record().polite = true;
    let turns = Arc::new(AtomicUsize::new(0));
    let neighbour = tokio::spawn({
        let turns = turns.clone();
        async move {
            loop {
                // In the end it sleeps: a paused clock stands still while anybody runs.
                if turns.fetch_add(1, Ordering::Relaxed) < 1_000 {
                    tokio::task::yield_now().await;
                } else {
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                }
            }
        }
    });
    let operator = (op.make)(probe);
    let pump = tokio::spawn(operator.pump_into(futures::sink::drain()));
    assert!(pump.await.is_ok_and(|pumped| pumped.is_ok()));
    neighbour.abort();
    assert!(turns.load(Ordering::Relaxed) > 1, "the neighbour never ran");
    Kept
}

async fn debug(op: StreamOperator) -> Verdict {
    let (probe, _) = Probe::new(MIXED);
    let text = (op.debug)(probe);
    assert!(text.starts_with(char::is_uppercase), "{text}");
    Kept
}

async fn sink_half(op: StreamOperator) -> Verdict {
    let Some(make) = op.sink else {
        return DoesNotApply;
    };
    let (probe, control) = Probe::new([]);
    let mut sink = make(probe);
    for value in 1..=5 {
        sink.send(control.token(value)).await.expect("sent");
    }
    assert_eq!(control.record().received, [1, 2, 3, 4, 5]);
    assert_eq!(control.record().flushed, 5);
    sink.close().await.expect("closed");
    assert_eq!(control.record().closes, 1);
    assert_eq!(control.record().breaches, [""; 0]);
    Kept
}

async fn sink_errors(op: StreamOperator) -> Verdict {
    let Some(make) = op.sink else {
        return DoesNotApply;
    };
    for phase in [Phase::Ready, Phase::Start, Phase::Flush, Phase::Close] {
        let (probe, control) = Probe::new([]);
        let mut sink = make(probe);
        control.fail(phase);
        let result = match phase {
            Phase::Ready | Phase::Start => sink.feed(control.token(1)).await,
            Phase::Flush => sink.flush().await,
            Phase::Close => sink.close().await,
        };
        assert_eq!(result, Err(format!("Boom({phase:?})")));
    }
    Kept
}

async fn sink_waits(op: StreamOperator) -> Verdict {
    let Some(make) = op.sink else {
        return DoesNotApply;
    };
    for phase in [Phase::Ready, Phase::Flush, Phase::Close] {
        let (probe, control) = Probe::new([]);
        let mut sink = make(probe);
        control.block(phase);
        let mut step = |waker: &std::task::Waker| {
            let (sink, cx) = (Pin::new(&mut sink), &mut Context::from_waker(waker));
            match phase {
                Phase::Ready | Phase::Start => sink.poll_ready(cx),
                Phase::Flush => sink.poll_flush(cx),
                Phase::Close => sink.poll_close(cx),
            }
        };
        let (waker, woken) = new_count_waker();
        assert!(step(&waker).is_pending());
        control.unblock();
        assert!(woken.get() > 0, "nobody was woken for {phase:?}");
        assert_eq!(step(&waker), Poll::Ready(Ok(())));
    }
    Kept
}
