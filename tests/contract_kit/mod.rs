//! Rules that every operator keeps, written once and held against each: a table of rule and operator.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test target uses its part of the kit"
)]

pub mod probe;
pub mod sink_rules;
pub mod stream_rules;

use std::any::Any;
use std::fmt::Debug;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{FutureExt, LocalBoxFuture};
use futures::stream::FusedStream;
use futures::{Sink, SinkExt, Stream};

/// An operator over a stream, with each item flattened to the values it carries.
pub type BoxOperator = Pin<Box<dyn FusedStream<Item = Vec<u32>> + Send>>;
pub type BoxSink<I> = Pin<Box<dyn Sink<I, Error = String> + Send>>;
pub type BoxStream = Pin<Box<dyn Stream<Item = probe::Token> + Send>>;

/// What a rule found.
pub enum Verdict {
    Kept,
    /// The rule speaks of something that this operator does not have.
    DoesNotApply,
}

pub struct Rule<O> {
    pub name: &'static str,
    pub check: fn(O) -> LocalBoxFuture<'static, Verdict>,
}

/// Holds every rule against every operator, each in a runtime of its own with a paused clock, and prints the table.
pub fn hold<O: Copy + 'static>(
    title: &str,
    operators: &[O],
    name: fn(&O) -> &'static str,
    rules: &[Rule<O>],
) {
    println!(
        "{title}: {} rules x {} operators",
        rules.len(),
        operators.len()
    );
    for (column, operator) in operators.iter().enumerate() {
        println!("  {:>2} = {}", column + 1, name(operator));
    }
    let broken = broken(operators, name, rules);
    assert!(
        broken.is_empty(),
        "{} rules broken:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

/// Prints the rows of the table and returns what was broken, as `operator: rule: how`.
pub fn broken<O: Copy + 'static>(
    operators: &[O],
    name: fn(&O) -> &'static str,
    rules: &[Rule<O>],
) -> Vec<String> {
    hush_planned_panics();
    let mut broken = Vec::new();
    let width = rules
        .iter()
        .map(|rule| rule.name.len())
        .max()
        .unwrap_or_default();
    let numbers: String = (1..=operators.len())
        .map(|column| format!("{column:>5}"))
        .collect();
    println!("{:width$} {numbers}", "");
    for rule in rules {
        let mut row = String::new();
        for operator in operators {
            row.push_str(match outcome((rule.check)(*operator)) {
                Ok(Verdict::Kept) => "   ok",
                Ok(Verdict::DoesNotApply) => "    -",
                Err(message) => {
                    broken.push(format!("{}: {}: {message}", name(operator), rule.name));
                    " FAIL"
                }
            });
        }
        println!("{:width$} {row}", rule.name);
    }
    broken
}

/// Keeps the panics that the probe was asked for out of the table.
fn hush_planned_panics() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&probe::PLANNED_PANIC) {
                print(info);
            }
        }));
    });
}

fn outcome(check: LocalBoxFuture<'static, Verdict>) -> Result<Verdict, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    // On a paused clock a year passes at once if nothing else is left to do: that is a hang.
    let limited = async { tokio::time::timeout(Duration::from_secs(365 * 86_400), check).await };
    match runtime.block_on(AssertUnwindSafe(limited).catch_unwind()) {
        Ok(Ok(verdict)) => Ok(verdict),
        Ok(Err(_)) => Err("it hangs".to_owned()),
        Err(payload) => Err(message(&*payload)),
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    match (
        payload.downcast_ref::<String>(),
        payload.downcast_ref::<&str>(),
    ) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "a panic without a message".to_owned(),
    }
}

/// Lets spawned tasks go on as far as they can, and renews the budget.
pub async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// Completes with what one poll answers.
pub async fn once<R>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>) -> Poll<R> {
    std::future::poll_fn(|cx| Poll::Ready(poll(cx))).await
}

/// Polls a future once with this waker.
pub fn poll_with<F: Future + ?Sized>(
    future: Pin<&mut F>,
    waker: &std::task::Waker,
) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Hides an operator's type and flattens its items. Everything else of it shows through.
pub fn flat<S, F>(stream: S, values: F) -> BoxOperator
where
    S: FusedStream + Send + 'static,
    F: FnMut(S::Item) -> Vec<u32> + Send + Unpin + 'static,
{
    Box::pin(Flat {
        stream: Box::pin(stream),
        values,
    })
}

/// Hides a sink's type and turns its error into text.
pub fn plain<I: 'static, S>(sink: S) -> BoxSink<I>
where
    S: Sink<I> + Send + 'static,
    S::Error: Debug,
{
    Box::pin(sink.sink_map_err(|error| format!("{error:?}")))
}

struct Flat<S, F> {
    stream: Pin<Box<S>>,
    values: F,
}

impl<S: Stream, F: FnMut(S::Item) -> Vec<u32> + Unpin> Stream for Flat<S, F> {
    type Item = Vec<u32>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<u32>>> {
        let this = self.get_mut();
        this.stream
            .as_mut()
            .poll_next(cx)
            .map(|item| item.map(&mut this.values))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<S: FusedStream, F: FnMut(S::Item) -> Vec<u32> + Unpin> FusedStream for Flat<S, F> {
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}
