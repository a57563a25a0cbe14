//! The one timer of a batching operator: made when first needed, moved from then on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use super::FlushReason;
use super::open::Open;

#[derive(Debug, Default)]
pub(super) struct Timer {
    /// Boxed, so that an operator can be moved as freely as what it stands on.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Waits for the clock to close the open batch.
    ///
    /// What the timer was last set to never matters, only what the batch says now.
    pub(super) fn poll_lapse<T>(
        &mut self,
        cx: &mut Context<'_>,
        open: &mut Open<T>,
    ) -> Poll<FlushReason> {
        loop {
            if let Some(reason) = open.lapsed() {
                return Poll::Ready(reason);
            }
            let Some(at) = open.due() else {
                return Poll::Pending;
            };
            ready!(self.poll_until(cx, at));
            open.settle(Instant::now().max(at));
        }
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}
