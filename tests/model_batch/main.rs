//! Batches against a plain reference: any items, any policy, polls early and late, clocks that stand, run and jump.
//!
//! guarantee: T3
//!
//! `PROPTEST_CASES` says how many cases; 1,024 unless it is set.

mod reference;
mod sink;
mod stream;

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::Config;
use pushpull::batch::BatchPolicy;

/// Unique, so that a loss and a double show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    id: u32,
    weight: usize,
    last: bool,
}

/// A policy in plain numbers. Times in milliseconds; `u64::MAX` stands for `Duration::MAX`.
#[derive(Clone, Debug)]
struct Rules {
    max: usize,
    weight: Option<usize>,
    within: Option<u64>,
    idle: Option<u64>,
    until: bool,
}

impl Rules {
    fn policy(&self) -> BatchPolicy<Item> {
        let time = |ms| match ms {
            u64::MAX => Duration::MAX,
            ms => Duration::from_millis(ms),
        };
        let mut policy = BatchPolicy::items(self.max);
        if let Some(max) = self.weight {
            policy = policy.weight(max, |item: &Item| item.weight);
        }
        if let Some(within) = self.within {
            policy = policy.within(time(within));
        }
        if let Some(idle) = self.idle {
            policy = policy.idle(time(idle));
        }
        if self.until {
            policy = policy.until(|item: &Item| item.last);
        }
        policy
    }

    fn judges(&self) -> bool {
        self.weight.is_some() || self.until
    }
}

fn rules() -> impl Strategy<Value = Rules> {
    let time = || prop_oneof![Just(0), 1..40_u64, Just(u64::MAX)];
    (
        prop_oneof![1..8_usize, Just(1 << 40), Just(usize::MAX)],
        proptest::option::of(1..20_usize),
        proptest::option::weighted(0.7, time()),
        proptest::option::weighted(0.4, time()),
        any::<bool>(),
    )
        .prop_map(|(max, weight, within, idle, until)| Rules {
            max,
            weight,
            within,
            idle,
            until,
        })
}

fn item() -> impl Strategy<Value = (usize, bool)> {
    (
        prop_oneof![8 => 0..12_usize, 1 => 12..40_usize],
        proptest::bool::weighted(0.15),
    )
}

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    Config {
        cases: cases.unwrap_or(1_024),
        failure_persistence: None,
        ..Config::default()
    }
}

fn paused<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(test)
}
