//! Whether the cluster is there.

use std::time::{Duration, Instant};

/// How often a cluster that is away is looked for.
const EVERY: Duration = Duration::from_millis(500);

pub(super) struct Health {
    is_down: bool,
    next: Instant,
    /// What was said last.
    last: String,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            is_down: false,
            next: Instant::now(),
            last: String::new(),
        }
    }

    pub(super) fn hear(&mut self, reason: &str) {
        reason.clone_into(&mut self.last);
    }

    /// All brokers are away. Answers why, if that is news.
    pub(super) fn down(&mut self, reason: String) -> Option<String> {
        self.next = Instant::now() + EVERY;
        if std::mem::replace(&mut self.is_down, true) {
            return None;
        }
        // That all are down says less than why they are.
        let last = std::mem::take(&mut self.last);
        Some(if last.is_empty() { reason } else { last })
    }

    /// Answers whether that is news.
    pub(super) fn up(&mut self) -> bool {
        std::mem::replace(&mut self.is_down, false)
    }

    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if !self.is_down || now < self.next {
            return false;
        }
        self.next = now + EVERY;
        true
    }
}
