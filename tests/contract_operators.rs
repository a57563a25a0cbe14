//! Holds the rules of `contract_kit` against every operator of the crate, and shows that the rules can be broken.
//!
//! guarantee: T6

mod contract_kit;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use contract_kit::probe::{Boom, Carry, Probe, Token};
use contract_kit::sink_rules::{self, SinkOperator};
use contract_kit::stream_rules::{self, StreamOperator};
use contract_kit::{broken, hold};
use futures::stream::FusedStream;
use futures::{Sink, Stream, StreamExt};
use pushpull::batch::{Batch, BatchPolicy};
use pushpull::broadcast::{self, Lossy};
use pushpull::prelude::*;
use pushpull::push;
use pushpull::queue::{self, Consumer};
use pushpull::router::{Connection, RouteError, Router};

const SECOND: Duration = Duration::from_secs(1);

fn streams() -> Vec<StreamOperator> {
    vec![
        stream_operator!("metered", |inner| inner.metered("rules"), |token| vec![
            token.value
        ]),
        stream_operator!("batch", |inner| inner.batch(3, SECOND), |batch| batch
            .values()),
        stream_operator!(
            "batch, of one",
            |inner| inner.batch(1, Duration::ZERO),
            |batch| batch.values()
        ),
        stream_operator!(
            "batch, unbounded",
            |inner| inner.batch(usize::MAX, Duration::MAX),
            |batch| batch.values()
        ),
        stream_operator!(
            "batch_with, all clauses",
            |inner| inner.batch_with(
                BatchPolicy::items(4)
                    .weight(10, |token: &Token| token.value as usize)
                    .within(SECOND)
                    .idle(SECOND / 2)
                    .until(|token: &Token| token.value % 3 == 0)
            ),
            |batch| batch.items.values()
        ),
        stream_operator!(
            "try_batch",
            |inner| StreamExt::map(inner, Ok::<_, Boom>).try_batch(3, SECOND),
            |batch| batch.map_or_else(|_| vec![], |batch| batch.values())
        ),
        stream_operator!(
            "item_timeout",
            |inner| inner.item_timeout(Duration::MAX),
            |item| item.map_or_else(|_| vec![], |token| vec![token.value])
        ),
        stream_operator!(
            spawned "buffer",
            |inner| inner.buffer(2),
            |token| vec![token.value]
        ),
        stream_operator!(
            spawned "broadcast, lossless",
            |inner| inner.broadcast(4).subscribe(),
            |token| vec![token.value]
        ),
        stream_operator!(
            spawned "broadcast, lossy",
            |inner| inner.broadcast(1_024).subscribe_lossy(Lossy::DropOldest),
            |token| token.map_or_else(|_| vec![], |token| vec![token.value])
        ),
        stream_operator!(
            spawned "queue::Consumer::batch",
            |inner| through_a_queue(inner).batch(3, SECOND),
            |batch| batch.values()
        ),
        stream_operator!(
            spawned "queue::Consumer::batch_with",
            |inner| through_a_queue(inner).batch_with(
                BatchPolicy::items(4)
                    .weight(9, |token: &Token| token.value as usize % 10)
                    .within(SECOND)
                    .until(|token: &Token| token.value % 7 == 0)
            ),
            |batch| batch.items.values()
        ),
        stream_operator!(
            spawned "queue::Consumer",
            |inner| through_a_queue(inner),
            |token| vec![token.value]
        ),
        stream_operator!(
            spawned "router::Connection",
            |inner| through_a_router(inner),
            |(_, token)| vec![token.value]
        ),
    ]
}

fn sinks() -> Vec<SinkOperator> {
    vec![
        sink_operator!(plain "sink_metered", Token, |inner| inner.sink_metered("rules")),
        sink_operator!("sink_batch", Vec<Token>, |inner| inner
            .sink_batch(3, SECOND)),
        sink_operator!("sink_batch_with", Batch<Token>, |inner| inner
            .sink_batch_with(
                BatchPolicy::items(4)
                    .weight(9, |token: &Token| token.value as usize % 10)
                    .within(SECOND)
                    .idle(SECOND / 2)
            )),
        sink_operator!("sink_batch, of one", Vec<Token>, |inner| inner
            .sink_batch(1, SECOND)),
        sink_operator!(terminal "each", |control| {
            push::each(move |token| control.clone().take(token))
        }),
        sink_operator!(terminal "each, concurrently", |control| {
            push::each(move |token| control.clone().take(token)).concurrency(3)
        }),
        #[cfg(feature = "retry")]
        sink_operator!(terminal "each, retried", |control| {
            push::each(move |token| control.clone().take(token)).retry([SECOND; 3].into_iter())
        }),
        sink_operator!(absorbs "fan_out", Token, |inner| push::fan_out([inner])),
        #[cfg(feature = "retry")]
        sink_operator!(absorbs "retry", Token, |inner| {
            let mut inner = Some(inner);
            push::retry(
                move || std::future::ready(inner.take().ok_or(Boom(contract_kit::probe::Phase::Ready))),
                [SECOND; 3].into_iter(),
            )
        }),
        sink_operator!(spawned "spawn", Token, |inner| {
            let (tx, driver) = inner.spawn(queue::builder().capacity(4));
            tokio::spawn(driver);
            tx
        }),
        sink_operator!(spawned "broadcast::Publisher", Token, |inner| {
            let publisher = broadcast::channel(4);
            tokio::spawn(publisher.subscribe().map(Ok).forward(inner));
            publisher
        }),
        sink_operator!(spawned "queue::Producer", Token, |inner| {
            let (tx, rx) = queue::bounded(4);
            tokio::spawn(rx.map(Ok).forward(inner));
            tx
        }),
        sink_operator!(spawned "Router", Token, |inner| {
            let router = Router::builder().connection_queue(queue::builder().capacity(4)).build();
            let connection = router.connect(());
            tokio::spawn(connection.map(|(_, token)| Ok(token)).forward(inner));
            ToOne(Some(router))
        }),
    ]
}

/// The consumer of a small queue that a task fills until the consumer is gone.
fn through_a_queue(inner: impl Stream<Item = Token> + Send + 'static) -> Consumer<Token> {
    let (tx, rx) = queue::bounded(2);
    tokio::spawn(async move {
        let mut inner = Box::pin(inner);
        let feed = async {
            while let Some(token) = inner.next().await {
                if tx.push(token).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = feed => {}
            () = tx.closed() => {}
        }
    });
    rx
}

/// A connection with a small queue that a task fills until the connection is gone.
fn through_a_router(inner: impl Stream<Item = Token> + Send + 'static) -> Connection<Token> {
    let router = Router::builder()
        .connection_queue(queue::builder().capacity(2))
        .build();
    let connection = router.connect(());
    tokio::spawn(async move {
        let mut inner = Box::pin(inner);
        while let Some(token) = inner.next().await {
            if router
                .push(&(), token)
                .await
                .is_ok_and(|routed| routed.connections == 0)
            {
                break;
            }
        }
    });
    connection
}

/// A router as a sink of messages to one key. A router outlives the closing of its sinks; this handle goes with it.
#[derive(Debug)]
struct ToOne(Option<Router<(), Token>>);

impl ToOne {
    fn router(&mut self) -> Pin<&mut Router<(), Token>> {
        Pin::new(self.0.as_mut().expect("it is closed"))
    }
}

impl Sink<Token> for ToOne {
    type Error = RouteError<((), Token)>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.router().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, token: Token) -> Result<(), Self::Error> {
        self.router().start_send(((), token))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.router().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.0.is_some() {
            ready!(self.router().poll_close(cx))?;
            self.0 = None;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "rate")]
mod rate {
    use pushpull::rate::{Limited, RateLimit};

    use super::*;

    pub(crate) fn streams() -> Vec<StreamOperator> {
        vec![
            stream_operator!(
                "rate_limit",
                |inner| inner.rate_limit(RateLimit::per_second(1_000)),
                |token| vec![token.value]
            ),
            stream_operator!(
                "rate_limit, one by one",
                |inner| inner.rate_limit(RateLimit::per_minute(1)),
                |token| vec![token.value]
            ),
            stream_operator!(
                "rate_limit_weighted",
                |inner| inner
                    .rate_limit_weighted(RateLimit::per_second(10).burst(3), |token: &Token| token
                        .value),
                |token| vec![token.value]
            ),
            stream_operator!(
                "rate_limit_by",
                |inner| inner
                    .rate_limit_by(RateLimit::per_second(10), |token: &Token| token.value % 3),
                |token| vec![token.value]
            ),
            stream_operator!(
                "police",
                |inner| inner.police(RateLimit::per_second(3)),
                |token| vec![token.unwrap_or_else(Limited::into_item).value]
            ),
        ]
    }

    pub(crate) fn sinks() -> Vec<SinkOperator> {
        vec![
            sink_operator!(plain "sink_rate_limit", Token, |inner| inner
                .sink_rate_limit(RateLimit::per_second(1_000))),
            sink_operator!(plain "sink_rate_limit, one by one", Token, |inner| inner
                .sink_rate_limit(RateLimit::per_second(10))),
        ]
    }
}

#[cfg(not(feature = "rate"))]
mod rate {
    use super::*;

    pub(crate) fn streams() -> Vec<StreamOperator> {
        vec![]
    }

    pub(crate) fn sinks() -> Vec<SinkOperator> {
        vec![]
    }
}

#[test]
fn every_stream_operator_keeps_every_rule() {
    hold(
        "streams",
        &[streams(), rate::streams()].concat(),
        |op| op.name,
        stream_rules::RULES,
    );
}

#[test]
fn every_sink_operator_keeps_every_rule() {
    hold(
        "sinks",
        &[sinks(), rate::sinks()].concat(),
        |op| op.name,
        sink_rules::RULES,
    );
}

/// An operator with one fault, to see that the kit finds it.
struct Faulty<S: Stream> {
    inner: S,
    fault: Fault,
    held: Option<S::Item>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    ForgetsHeldInHint,
    PollsAfterEnd,
    ForgetsTheWaker,
    WakesItself,
    LosesTheLast,
}

impl<S: Stream + Unpin> Faulty<S> {
    fn new(inner: S, fault: Fault) -> Self {
        Self {
            inner,
            fault,
            held: None,
            ended: false,
        }
    }
}

impl<S: Stream + Unpin> Unpin for Faulty<S> {}

impl<S: Stream + Unpin> Stream for Faulty<S> {
    type Item = S::Item;

    /// Holds one item back until it has seen the next.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.get_mut();
        loop {
            if this.ended && this.fault != Fault::PollsAfterEnd {
                return Poll::Ready(None);
            }
            let polled = if this.fault == Fault::ForgetsTheWaker {
                Pin::new(&mut this.inner)
                    .poll_next(&mut Context::from_waker(std::task::Waker::noop()))
            } else {
                Pin::new(&mut this.inner).poll_next(cx)
            };
            match polled {
                Poll::Ready(Some(item)) => {
                    if let Some(before) = this.held.replace(item) {
                        return Poll::Ready(Some(before));
                    }
                }
                Poll::Ready(None) => {
                    this.ended = true;
                    let last = this.held.take();
                    return Poll::Ready(last.filter(|_| this.fault != Fault::LosesTheLast));
                }
                Poll::Pending => {
                    if this.fault == Fault::WakesItself {
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let held = usize::from(self.held.is_some() && self.fault != Fault::ForgetsHeldInHint);
        let (lower, upper) = self.inner.size_hint();
        (
            lower.saturating_add(held),
            upper.and_then(|upper| upper.checked_add(held)),
        )
    }
}

impl<S: Stream + Unpin> FusedStream for Faulty<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

macro_rules! faulty {
    ($fault:ident) => {
        StreamOperator {
            name: stringify!($fault),
            spawned: false,
            make: |probe| {
                contract_kit::flat(Faulty::new(probe, Fault::$fault), |token: Token| {
                    vec![token.value]
                })
            },
            interleaved: |probe| {
                let probe = futures_test::stream::StreamTestExt::interleave_pending(probe);
                contract_kit::flat(Faulty::new(probe, Fault::$fault), |token: Token| {
                    vec![token.value]
                })
            },
            unmoved: |probe| {
                let probe = futures_test::stream::StreamTestExt::assert_unmoved(probe);
                contract_kit::flat(
                    Faulty::new(Box::pin(probe), Fault::$fault),
                    |token: Token| vec![token.value],
                )
            },
            debug: |_| String::from("Faulty"),
            sink: None,
        }
    };
}

#[test]
fn a_faulty_stream_operator_is_found() {
    let none = broken(&[faulty!(None)], |op| op.name, stream_rules::RULES);
    assert_eq!(none, [""; 0]);
    let finds = |op: StreamOperator, rule: &str| {
        let found = broken(&[op], |op| op.name, stream_rules::RULES);
        assert!(
            found.iter().any(|line| line.contains(rule)),
            "{rule}: {found:#?}"
        );
    };
    finds(faulty!(ForgetsHeldInHint), "size_hint true, input exact");
    finds(faulty!(PollsAfterEnd), "input never polled after its end");
    finds(faulty!(ForgetsTheWaker), "wakes when the input wakes");
    finds(faulty!(WakesItself), "quiet while the input is silent");
    finds(faulty!(LosesTheLast), "delivers all, in order");
}

/// futures' `buffer` can neither flush nor close while it is empty over a full sink, and closes a closed sink again: a real
/// operator that the rules tell apart.
#[test]
fn a_faulty_sink_operator_is_found() {
    let buffer = SinkOperator {
        name: "futures::buffer",
        spawned: false,
        absorbs_errors: true,
        plain: false,
        terminal: false,
        make: || {
            let (probe, control) = Probe::<Token>::new([]);
            (
                contract_kit::plain(futures::SinkExt::buffer(probe, 4)),
                control,
            )
        },
        interleaved: None,
        unmoved: None,
        debug: || String::from("Buffer"),
        stream: None,
    };
    let found = broken(&[buffer], |op| op.name, sink_rules::RULES);
    for rule in [
        "empty: flushes without room",
        "empty: closes without room",
        "closing again touches nothing",
    ] {
        assert!(
            found.iter().any(|line| line.contains(rule)),
            "{rule}: {found:#?}"
        );
    }
}
