//! What a listener says about its work.

use crate::broker::Error;
use crate::sync::{Arc, Mutex, lock};

/// What a listener did: every delivery that it took is counted once, as handled, failed, panicked or cancelled.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ListenerReport {
    /// Deliveries whose handler answered `Ok`.
    pub handled: u64,
    /// Deliveries whose handler answered `Err`.
    pub failed: u64,
    /// Deliveries whose handler panicked.
    pub panicked: u64,
    /// Deliveries whose handler was stopped in the middle, or not called any more.
    pub cancelled: u64,
    /// Acknowledgements, of either kind, that came too late: their deliveries had gone to others.
    pub fenced: u64,
    /// Other errors: of polls, of acknowledgements, and of closing.
    pub errors: u64,
    /// The last one of those.
    pub last_error: Option<Error>,
}

/// A report in the making.
#[derive(Clone, Default)]
pub(super) struct Counts(Arc<Mutex<ListenerReport>>);

impl Counts {
    pub(super) fn report(&self) -> ListenerReport {
        lock(&self.0).clone()
    }

    pub(super) fn error(&self, error: Error) {
        let mut report = lock(&self.0);
        report.errors += 1;
        let earlier = report.last_error.replace(error);
        drop(report);
        // An error may carry a record, whose bytes may have an owner.
        drop(earlier);
    }

    /// An error at the end. That the consumer is closed is none.
    pub(super) fn ended(&self, error: Error) {
        if !matches!(error, Error::Closed { .. }) {
            self.error(error);
        }
    }

    /// Counts what became of an acknowledgement.
    pub(super) fn settled(&self, result: Result<(), Error>) {
        match result {
            Ok(()) => {}
            Err(error) if error.is_fenced() => lock(&self.0).fenced += 1,
            Err(error) => self.error(error),
        }
    }

    /// A delivery has been taken.
    pub(super) fn take(&self) -> Turn {
        Turn {
            counts: self.clone(),
            outcome: |report| &mut report.cancelled,
        }
    }
}

/// Counts a delivery when its turn is over: as cancelled, unless it is told otherwise.
pub(super) struct Turn {
    counts: Counts,
    outcome: fn(&mut ListenerReport) -> &mut u64,
}

impl Turn {
    pub(super) fn over(mut self, outcome: fn(&mut ListenerReport) -> &mut u64) {
        self.outcome = outcome;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *(self.outcome)(&mut lock(&self.counts.0)) += 1;
    }
}
