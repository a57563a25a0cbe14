//! What every operator over a sink keeps.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use futures_test::task::{new_count_waker, noop_waker};

use super::probe::{Control, Phase, Step, Token};
use super::{BoxSink, BoxStream, Rule, Verdict, settle};
use Verdict::{DoesNotApply, Kept};

/// An operator over a probe, and the hand on the probe.
type MakeSink = fn() -> (BoxSink<Token>, Control);

/// One operator, made over a probe in each of its disguises. `sink_operator!` writes these.
#[derive(Clone, Copy)]
pub struct SinkOperator {
    pub name: &'static str,
    /// A task of its own polls the sink, so that errors end that task instead of passing through.
    pub spawned: bool,
    /// An error of the inner sink is told by the operator's own means, or ends its use of that sink.
    pub absorbs_errors: bool,
    /// Holds nothing and passes each phase on as often as it is called.
    pub plain: bool,
    /// There is no inner sink: what it takes goes to a function.
    pub terminal: bool,
    pub make: MakeSink,
    pub interleaved: Option<MakeSink>,
    pub unmoved: Option<MakeSink>,
    pub debug: fn() -> String,
    /// The stream half, where the operator forwards it.
    pub stream: Option<fn(Vec<Step>) -> BoxStream>,
}

/// `sink_operator!("name", Carried, |inner| inner.operator())`, where the inner sink takes `Carried`; in front of the name
/// `plain` for operators that only pass the phases on, `spawned` for operators whose task polls the sink, `absorbs` for those that keep the inner sink's errors to themselves.
#[macro_export]
macro_rules! sink_operator {
    (@operator $name:literal, $spawned:literal, $absorbs:literal, $plain:literal, $stream:expr, $carried:ty, $inner:ident, $make:expr) => {
        $crate::contract_kit::sink_rules::SinkOperator {
            name: $name,
            spawned: $spawned,
            absorbs_errors: $absorbs,
            plain: $plain,
            terminal: false,
            make: || {
                let ($inner, control) = $crate::contract_kit::probe::Probe::<$carried>::new([]);
                ($crate::contract_kit::plain($make), control)
            },
            interleaved: Some(|| {
                let (probe, control) = $crate::contract_kit::probe::Probe::<$carried>::new([]);
                let $inner = futures_test::sink::SinkTestExt::<$carried>::interleave_pending_sink(probe);
                ($crate::contract_kit::plain($make), control)
            }),
            unmoved: Some(|| {
                let (probe, control) = $crate::contract_kit::probe::Probe::<$carried>::new([]);
                let $inner = futures_test::sink::SinkTestExt::<$carried>::assert_unmoved_sink(probe);
                ($crate::contract_kit::plain($make), control)
            }),
            debug: || {
                let ($inner, _) = $crate::contract_kit::probe::Probe::<$carried>::new([]);
                format!("{:?}", $make)
            },
            stream: $stream,
        }
    };
    (spawned $name:literal, $carried:ty, |$inner:ident| $make:expr $(,)?) => {
        $crate::sink_operator!(@operator $name, true, true, false, None, $carried, $inner, $make)
    };
    (absorbs $name:literal, $carried:ty, |$inner:ident| $make:expr $(,)?) => {
        $crate::sink_operator!(@operator $name, false, true, false, None, $carried, $inner, $make)
    };
    (terminal $name:literal, |$control:ident| $make:expr $(,)?) => {
        $crate::contract_kit::sink_rules::SinkOperator {
            name: $name,
            spawned: false,
            absorbs_errors: true,
            plain: false,
            terminal: true,
            make: || {
                let (_, control) = $crate::contract_kit::probe::Probe::<$crate::contract_kit::probe::Token>::new([]);
                let $control = control.clone();
                ($crate::contract_kit::plain($make), control)
            },
            interleaved: None,
            unmoved: None,
            debug: || {
                let (_, $control) = $crate::contract_kit::probe::Probe::<$crate::contract_kit::probe::Token>::new([]);
                format!("{:?}", $make)
            },
            stream: None,
        }
    };
    (plain $name:literal, $carried:ty, |$inner:ident| $make:expr $(,)?) => {
        $crate::sink_operator!(@operator $name, false, false, true, Some(|script| {
            let ($inner, _) = $crate::contract_kit::probe::Probe::<$carried>::new(script);
            Box::pin($make)
        }), $carried, $inner, $make)
    };
    ($name:literal, $carried:ty, |$inner:ident| $make:expr $(,)?) => {
        $crate::sink_operator!(@operator $name, false, false, false, Some(|script| {
            let ($inner, _) = $crate::contract_kit::probe::Probe::<$carried>::new(script);
            Box::pin($make)
        }), $carried, $inner, $make)
    };
}

macro_rules! rule {
    ($name:literal, $check:ident(op $(, $argument:expr)?)) => {
        Rule { name: $name, check: |op| $check(op $(, $argument)?).boxed_local() }
    };
}

pub const RULES: &[Rule<SinkOperator>] = &[
    rule!("delivers all on close, in order", delivers_on_close(op)),
    rule!("delivers all on flush", delivers_on_flush(op)),
    rule!("flush means the inner is flushed", flush_is_inner(op)),
    rule!("flush waits for the inner's", waits(op, Phase::Flush)),
    rule!("close waits for the inner's", waits(op, Phase::Close)),
    rule!("close passes once", close_once(op)),
    rule!("closing again touches nothing", close_again(op)),
    rule!("empty: flushes without room", empty_flush(op)),
    rule!("empty: closes without room", empty_close(op)),
    rule!("empty: flush twice is nothing", empty_flushes(op)),
    rule!("a full inner is felt", back_pressure(op)),
    rule!("wakes when the inner has room", wakes(op)),
    rule!("the last waker counts", last_waker(op)),
    rule!("quiet while the inner is full", quiet(op)),
    rule!("needless poll_ready changes nothing", needless_ready(op)),
    rule!("ready, never used: closes", ready_unused(op)),
    rule!("goes on after a flush", goes_on(op)),
    rule!("bears a late poll", late_poll(op)),
    rule!("error of poll_ready passes", error(op, Phase::Ready)),
    rule!("error of start_send passes", error(op, Phase::Start)),
    rule!("error of poll_flush passes", error(op, Phase::Flush)),
    rule!("error of poll_close passes", error(op, Phase::Close)),
    rule!("an error keeps what was held", error_keeps(op)),
    rule!("bears Pending between all steps", interleaved(op)),
    rule!("never moves a pinned inner", unmoved(op)),
    rule!("drops its inner once", inner_dropped(op)),
    rule!("drops each held item once", items_dropped(op)),
    rule!("Debug without T: Debug", debug(op)),
    rule!("stream half passes through", stream_half(op)),
];

const NOTHING: [&str; 0] = [];

fn ready(sink: &mut BoxSink<Token>, waker: &Waker) -> Poll<Result<(), String>> {
    sink.as_mut().poll_ready(&mut Context::from_waker(waker))
}

async fn feed(sink: &mut BoxSink<Token>, control: &Control, values: std::ops::RangeInclusive<u32>) {
    for value in values {
        sink.feed(control.token(value)).await.expect("taken");
    }
}

/// Feeds until the sink is Pending over a full inner, and says how many it took.
async fn fill(sink: &mut BoxSink<Token>, control: &Control) -> u32 {
    let mut taken = 0;
    loop {
        match ready(sink, &noop_waker()) {
            Poll::Ready(Ok(())) => {
                taken += 1;
                sink.as_mut()
                    .start_send(control.token(taken))
                    .expect("taken");
            }
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => {
                // Room may come of what a spawned task does meanwhile.
                settle().await;
                if ready(sink, &noop_waker()).is_pending() {
                    return taken;
                }
            }
        }
        assert!(taken < 10_000, "takes without end though the inner is full");
    }
}

async fn delivers_on_close(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    feed(&mut sink, &control, 1..=10).await;
    sink.close().await.expect("closed");
    settle().await;
    assert_eq!(control.record().received, (1..=10).collect::<Vec<_>>());
    assert_eq!(control.record().breaches, NOTHING);
    Kept
}

async fn delivers_on_flush(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    feed(&mut sink, &control, 1..=10).await;
    sink.flush().await.expect("flushed");
    if op.spawned {
        // There flush means handed over to the task.
        settle().await;
        tokio::time::sleep(Duration::from_secs(86_400)).await;
    }
    assert_eq!(control.record().received, (1..=10).collect::<Vec<_>>());
    assert_eq!(control.record().breaches, NOTHING);
    Kept
}

async fn flush_is_inner(op: SinkOperator) -> Verdict {
    if op.spawned || op.terminal {
        return DoesNotApply;
    }
    let (mut sink, control) = (op.make)();
    for value in 1..=5 {
        sink.send(control.token(value)).await.expect("sent");
        assert_eq!(control.record().flushed, value as usize);
    }
    Kept
}

async fn waits(op: SinkOperator, phase: Phase) -> Verdict {
    if op.spawned || op.terminal {
        return DoesNotApply;
    }
    let (mut sink, control) = (op.make)();
    feed(&mut sink, &control, 1..=1).await;
    control.block(phase);
    {
        let mut step = match phase {
            Phase::Flush => sink.flush().boxed_local(),
            _ => sink.close().boxed_local(),
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(86_400), &mut step)
                .await
                .is_err(),
            "done before the inner was"
        );
        control.unblock();
        step.await.expect("done");
    }
    assert_eq!(control.record().received, [1]);
    assert_eq!(control.record().flushed, 1);
    Kept
}

async fn close_once(op: SinkOperator) -> Verdict {
    if op.terminal {
        return DoesNotApply;
    }
    let (mut sink, control) = (op.make)();
    feed(&mut sink, &control, 1..=2).await;
    sink.close().await.expect("closed");
    settle().await;
    assert_eq!(control.record().closes, 1);
    assert_eq!(control.record().breaches, NOTHING);
    Kept
}

async fn close_again(op: SinkOperator) -> Verdict {
    if op.plain || op.terminal {
        return DoesNotApply;
    }
    let (mut sink, control) = (op.make)();
    feed(&mut sink, &control, 1..=2).await;
    for _ in 0..3 {
        sink.close().await.expect("closed");
        settle().await;
    }
    assert_eq!(control.record().closes, 1);
    assert_eq!(control.record().breaches, NOTHING);
    Kept
}

async fn empty_flush(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    control.block(Phase::Ready);
    sink.flush().await.expect("flushed");
    Kept
}

async fn empty_close(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    control.block(Phase::Ready);
    sink.close().await.expect("closed");
    settle().await;
    let closes = control.record().closes;
    // What makes its inner sink when it is needed has none to close.
    assert!(
        closes == 1 || (closes == 0 && op.absorbs_errors),
        "closed {closes} times"
    );
    Kept
}

async fn empty_flushes(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    let begun = tokio::time::Instant::now();
    sink.flush().await.expect("flushed");
    sink.flush().await.expect("flushed");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(control.record().received, [0; 0]);
    Kept
}

async fn back_pressure(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    control.block(Phase::Ready);
    let taken = fill(&mut sink, &control).await;
    control.unblock();
    sink.close().await.expect("closed");
    settle().await;
    assert_eq!(control.record().received, (1..=taken).collect::<Vec<_>>());
    Kept
}

async fn wakes(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    control.block(Phase::Ready);
    fill(&mut sink, &control).await;
    let (waker, woken) = new_count_waker();
    assert!(ready(&mut sink, &waker).is_pending());
    let before = woken.get();
    control.unblock();
    settle().await;
    assert!(woken.get() > before, "nobody was woken");
    assert!(ready(&mut sink, &waker).is_ready());
    Kept
}

async fn last_waker(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    control.block(Phase::Ready);
    fill(&mut sink, &control).await;
    let (first, _) = new_count_waker();
    let (last, woken) = new_count_waker();
    assert!(ready(&mut sink, &first).is_pending());
    assert!(ready(&mut sink, &last).is_pending());
    let before = woken.get();
    control.unblock();
    settle().await;
    assert!(
        woken.get() > before,
        "the waker of the last poll was not woken"
    );
    Kept
}

async fn quiet(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    control.block(Phase::Ready);
    fill(&mut sink, &control).await;
    let (waker, woken) = new_count_waker();
    assert!(ready(&mut sink, &waker).is_pending());
    settle().await;
    assert_eq!(woken.get(), 0, "woken without a reason");
    Kept
}

async fn needless_ready(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    for value in 1..=5 {
        for _ in 0..5 {
            futures::future::poll_fn(|cx| sink.as_mut().poll_ready(cx))
                .await
                .expect("ready");
        }
        sink.as_mut()
            .start_send(control.token(value))
            .expect("taken");
    }
    sink.close().await.expect("closed");
    settle().await;
    assert_eq!(control.record().received, [1, 2, 3, 4, 5]);
    assert_eq!(control.record().breaches, NOTHING);
    Kept
}

async fn ready_unused(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    futures::future::poll_fn(|cx| sink.as_mut().poll_ready(cx))
        .await
        .expect("ready");
    sink.flush().await.expect("flushed");
    sink.close().await.expect("closed");
    settle().await;
    assert_eq!(control.record().closes, usize::from(!op.terminal));
    assert_eq!(control.record().received, [0; 0]);
    Kept
}

async fn goes_on(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    for first in [1, 4, 7] {
        feed(&mut sink, &control, first..=first + 2).await;
        sink.flush().await.expect("flushed");
    }
    sink.close().await.expect("closed");
    settle().await;
    assert_eq!(control.record().received, (1..=9).collect::<Vec<_>>());
    Kept
}

async fn late_poll(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    feed(&mut sink, &control, 1..=1).await;
    tokio::time::advance(Duration::from_secs(10 * 86_400)).await;
    feed(&mut sink, &control, 2..=2).await;
    tokio::time::advance(Duration::from_secs(10 * 86_400)).await;
    sink.close().await.expect("closed");
    settle().await;
    assert_eq!(control.record().received, [1, 2]);
    Kept
}

async fn error(op: SinkOperator, phase: Phase) -> Verdict {
    if op.absorbs_errors {
        return DoesNotApply;
    }
    let (mut sink, control) = (op.make)();
    control.fail(phase);
    let mut errors = Vec::new();
    errors.extend(sink.feed(control.token(1)).await.err());
    errors.extend(sink.flush().await.err());
    errors.extend(sink.close().await.err());
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains(&format!("Boom({phase:?})")),
        "{}",
        errors[0]
    );
    Kept
}

/// Each phase fails once; what was taken arrives all the same.
async fn error_keeps(op: SinkOperator) -> Verdict {
    if op.absorbs_errors {
        return DoesNotApply;
    }
    for phase in [Phase::Ready, Phase::Flush, Phase::Close] {
        let (mut sink, control) = (op.make)();
        for value in 1..=5 {
            if value == 3 {
                control.fail(phase);
            }
            for _ in 0..2 {
                if futures::future::poll_fn(|cx| sink.as_mut().poll_ready(cx))
                    .await
                    .is_ok()
                {
                    break;
                }
            }
            sink.as_mut()
                .start_send(control.token(value))
                .expect("taken");
            let _ = sink.flush().await;
        }
        let _ = sink.flush().await;
        if sink.close().await.is_err() {
            sink.close().await.expect("closed");
        }
        assert_eq!(
            control.record().received,
            [1, 2, 3, 4, 5],
            "after an error in {phase:?}"
        );
        assert_eq!(control.record().breaches, NOTHING);
    }
    Kept
}

async fn disguised(make: Option<MakeSink>) -> Verdict {
    let Some(make) = make else {
        return DoesNotApply;
    };
    let (mut sink, control) = make();
    feed(&mut sink, &control, 1..=5).await;
    sink.flush().await.expect("flushed");
    feed(&mut sink, &control, 6..=10).await;
    sink.close().await.expect("closed");
    settle().await;
    assert_eq!(control.record().received, (1..=10).collect::<Vec<_>>());
    Kept
}

async fn interleaved(op: SinkOperator) -> Verdict {
    disguised(op.interleaved).await
}

async fn unmoved(op: SinkOperator) -> Verdict {
    disguised(op.unmoved).await
}

async fn inner_dropped(op: SinkOperator) -> Verdict {
    if op.terminal {
        return DoesNotApply;
    }
    for count in [0, 1, 5] {
        let (mut sink, control) = (op.make)();
        feed(&mut sink, &control, 1..=count).await;
        drop(sink);
        settle().await;
        assert_eq!(control.record().dropped, 1, "after {count} items");
    }
    Kept
}

async fn items_dropped(op: SinkOperator) -> Verdict {
    let (mut sink, control) = (op.make)();
    control.block(Phase::Ready);
    let taken = fill(&mut sink, &control).await;
    drop(sink);
    control.unblock();
    settle().await;
    assert_eq!(control.dropped_tokens(), (1..=taken).collect::<Vec<_>>());
    Kept
}

async fn debug(op: SinkOperator) -> Verdict {
    let text = (op.debug)();
    assert!(text.starts_with(char::is_uppercase), "{text}");
    Kept
}

async fn stream_half(op: SinkOperator) -> Verdict {
    let Some(make) = op.stream else {
        return DoesNotApply;
    };
    let mut stream = make(vec![Step::Item(1), Step::Yield, Step::Item(2)]);
    assert_eq!(stream.size_hint(), (2, Some(2)));
    let mut values = Vec::new();
    while let Some(token) = stream.next().await {
        values.push(token.value);
    }
    assert_eq!(values, [1, 2]);
    Kept
}
