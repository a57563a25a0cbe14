//! The bucket against governor, against an ideal one, and at its extremes.

use proptest::prelude::*;

use super::*;

fn limits() -> impl Strategy<Value = RateLimit> {
    let units = prop_oneof![1..20_u32, 1..=u32::MAX, Just(1_000_000), Just(u32::MAX)];
    let period = prop_oneof![
        Just(Duration::from_secs(1)),
        Just(Duration::from_secs(60)),
        (1..2_000_000_000_u64).prop_map(Duration::from_nanos),
        any::<u64>().prop_map(Duration::from_secs),
        Just(Duration::MAX),
    ];
    let burst = prop_oneof![1..20_u32, 1..=u32::MAX, Just(u32::MAX)];
    (units, period, burst).prop_map(|(u, p, b)| RateLimit::per(u, p).burst(b))
}

/// Those within governor's reach, up to its edge.
fn governable() -> impl Strategy<Value = RateLimit> {
    let units = prop_oneof![1..20_u32, 1..=u32::MAX, Just(1_000_000), Just(u32::MAX)];
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let period_and_burst = prop_oneof![
        (
            Just(second),
            prop_oneof![1..20_u32, 1..=u32::MAX, Just(u32::MAX)]
        ),
        (Just(minute), 1..70_000_000_u32),
        (
            (1..1_000_000_000_u64).prop_map(Duration::from_nanos),
            1..=u32::MAX
        ),
        (
            (1..50_u64)
                .prop_map(|years| years * 365 * 24 * 3600)
                .prop_map(Duration::from_secs),
            1..3_u32
        ),
    ];
    (units, period_and_burst).prop_map(|(u, (p, b))| RateLimit::per(u, p).burst(b))
}

/// What a textbook does: so many parts of a unit a nanosecond, cut at the burst.
struct Ideal {
    limit: RateLimit,
    parts: u128,
    last: Instant,
}

impl Ideal {
    fn take(&mut self, now: Instant, n: u32) -> bool {
        let period = self.limit.period().as_nanos();
        let gained = now.duration_since(self.last).as_nanos() * u128::from(self.limit.units());
        self.parts = (self.parts + gained).min(u128::from(self.limit.max_burst()) * period);
        self.last = now;
        let cost = u128::from(n) * period;
        if cost <= self.parts {
            self.parts -= cost;
            return true;
        }
        false
    }
}

fn steps() -> impl Strategy<Value = Vec<(Duration, u32)>> {
    let pause = prop_oneof![
        Just(0_u64),
        1..10_u64,
        1..2_000_000_000_u64,
        1..100_000_000_000_000_000_u64,
    ];
    let cost = prop_oneof![1..4_u32, 1..=u32::MAX];
    prop::collection::vec((pause.prop_map(Duration::from_nanos), cost), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // guarantee: R7 (governor, and what stands in for it, give the same answers)
    #[test]
    fn our_arithmetic_is_governors(limit in governable(), steps in steps()) {
        let mut now = Instant::now();
        let mut governed = Bucket::new(limit, now);
        let mut ours = Bucket::new(limit, now);
        prop_assert!(governed.gcra.is_some());
        ours.gcra = None;
        for (pause, cost) in steps {
            now += pause;
            let cost = (cost - 1) % limit.max_burst() + 1;
            prop_assert_eq!(governed.take(now, cost), ours.take(now, cost));
            prop_assert_eq!(governed.level(now), ours.level(now));
        }
    }

    // guarantee: R1, R2 (no rounding, no drift, at every rate and period)
    #[test]
    fn equals_the_ideal_bucket(limit in limits(), steps in steps()) {
        prop_assume!(limit.period().as_nanos() < 1 << 62);
        let mut now = Instant::now();
        let mut bucket = Bucket::new(limit, now);
        let parts = u128::from(limit.max_burst()) * limit.period().as_nanos();
        let mut ideal = Ideal { limit, parts, last: now };
        for (pause, cost) in steps {
            now += pause;
            prop_assert_eq!(bucket.take(now, cost).is_ok(), ideal.take(now, cost));
        }
    }

    // guarantee: R1 (a refusal names the first nanosecond at which the same cost passes)
    #[test]
    fn the_time_of_a_refusal_is_exact(limit in limits(), steps in steps()) {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(limit, now);
        for (pause, cost) in steps {
            now += pause;
            let cost = (cost - 1) % limit.max_burst() + 1;
            if let Err(until) = bucket.take(now, cost) {
                prop_assert_eq!(
                    until,
                    now.checked_add(bucket.wait_for(now, cost.into())),
                    "both ways to ask agree"
                );
                let Some(until) = until else { continue };
                prop_assert!(until > now);
                prop_assert!(bucket.take(until - Duration::from_nanos(1), cost).is_err());
                prop_assert!(bucket.take(until, cost).is_ok());
                now = until;
            }
        }
    }

    // guarantee: R4 (the level is carried over, never more of it)
    #[test]
    fn a_new_limit_keeps_the_level(
        old in limits(),
        new in limits(),
        spent in any::<u32>(),
        pause in 0..100_000_000_000_u64,
    ) {
        let start = Instant::now();
        let mut bucket = Bucket::new(old, start);
        let _ = bucket.take(start, spent % (old.max_burst()) + 1);
        let now = start + Duration::from_nanos(pause);
        let level = bucket.level(now);
        bucket.set_limit(now, new);
        let carried = bucket.level(now);
        prop_assert!(carried <= level);
        prop_assert!(carried >= level.min(new.max_burst()).saturating_sub(1));
        bucket.set_limit(now, old);
        prop_assert!(bucket.level(now) <= carried);
    }

    // guarantee: R4 (a cancelled debt leaves the level as if it had never been)
    #[test]
    fn a_debt_given_back_leaves_nothing(
        limit in limits(),
        spent in any::<u32>(),
        debt in any::<u32>(),
        pause in 0..100_000_000_000_u64,
    ) {
        let start = Instant::now();
        let (mut bucket, mut other) = (Bucket::new(limit, start), Bucket::new(limit, start));
        let spent = spent % limit.max_burst() + 1;
        prop_assert_eq!(bucket.take(start, spent), Ok(()));
        prop_assert_eq!(other.take(start, spent), Ok(()));
        bucket.reserve(start, debt);
        let now = start + Duration::from_nanos(pause);
        bucket.give_back(now, debt);
        prop_assert_eq!(bucket.level(now), other.level(now));
        prop_assert_eq!(bucket.wait_for(now, spent.into()), other.wait_for(now, spent.into()));
    }

    // guarantee: R1 (bucket and leases together never exceed the burst, also after a pause)
    #[test]
    fn leases_count(limit in limits(), lease in 1..=u32::MAX, pause in any::<u64>(), used: bool) {
        let start = Instant::now();
        let mut bucket = Bucket::new(limit, start);
        let lease = (lease - 1) % limit.max_burst() + 1;
        prop_assert_eq!(bucket.lease(start, lease), Ok(()));
        let later = start + Duration::from_nanos(pause);
        prop_assert!(bucket.level(later) <= limit.max_burst() - lease);
        bucket.end_lease(later, lease, if used { 0 } else { lease });
        let most = if used { limit.max_burst() - lease } else { limit.max_burst() };
        prop_assert!(bucket.level(later) <= most);
        prop_assert!(used || bucket.is_full(later));
    }
}

// guarantee: R3 (the debt of a great cost is paid exactly in cost / rate)
#[test]
fn a_great_cost_is_paid_in_instalments() {
    let start = Instant::now();
    let mut bucket = Bucket::new(RateLimit::per_second(10).burst(5), start);
    bucket.reserve(start, 25);
    assert_eq!(
        bucket.paid(start),
        Err(Some(start + Duration::from_secs(2)))
    );
    let due = start + Duration::from_secs(2);
    assert!(bucket.paid(due - Duration::from_nanos(1)).is_err());
    assert_eq!(bucket.paid(due), Ok(()));
    assert_eq!(bucket.level(due), 0);
}

// guarantee: R1 (at every extreme there is a limit)
#[test]
fn extremes() {
    let start = Instant::now();
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    let mut slow = Bucket::new(RateLimit::per(1, Duration::MAX), start);
    assert_eq!(slow.take(start, 1), Ok(()));
    assert!(slow.take(start + century, 1).is_err());

    let mut huge = Bucket::new(
        RateLimit::per(u32::MAX, Duration::MAX).burst(u32::MAX),
        start,
    );
    assert_eq!(huge.take(start, u32::MAX), Ok(()));
    assert!(huge.take(start + century, 1).is_err());
    huge.reserve(start, u32::MAX);
    assert!(huge.paid(start + century).is_err());

    let mut fast = Bucket::new(RateLimit::per(u32::MAX, Duration::from_nanos(1)), start);
    assert_eq!(fast.take(start, u32::MAX), Ok(()));
    assert_eq!(
        fast.take(start, 1),
        Err(Some(start + Duration::from_nanos(1)))
    );
}

// guarantee: R1 (a clock that runs backwards stands still: nothing is refilled, nothing overflows)
#[test]
fn a_clock_set_back() {
    let start = Instant::now() + Duration::from_secs(10);
    let mut bucket = Bucket::new(RateLimit::per_second(1), start);
    assert_eq!(bucket.take(start, 1), Ok(()));
    let back = start - Duration::from_secs(5);
    assert_eq!(
        bucket.take(back, 1),
        Err(Some(start + Duration::from_secs(1)))
    );
    assert_eq!(bucket.level(back), 0);
    assert_eq!(bucket.take(start + Duration::from_secs(1), 1), Ok(()));
}
