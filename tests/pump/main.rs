//! Pumps, and what runs in a task of its own, on the paused clock.

mod buffer;
mod driver;
mod into;
mod item_timeout;
#[path = "../pump_kit/mod.rs"]
mod pump_kit;

use std::task::Poll;
use std::time::Duration;

use futures::{Stream, stream};

const SECOND: Duration = Duration::from_secs(1);

/// Panics where it is polled after its end.
fn ends_once<T>(items: impl IntoIterator<Item = T>) -> impl Stream<Item = T> + Unpin
where
    T: Unpin,
{
    let mut items = items.into_iter().collect::<std::collections::VecDeque<_>>();
    let mut ended = false;
    stream::poll_fn(move |_| {
        assert!(!ended, "polled after its end");
        let next = items.pop_front();
        ended = next.is_none();
        Poll::Ready(next)
    })
}

/// How many tasks live on this runtime.
fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Lets spawned tasks go on as far as they can.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}
