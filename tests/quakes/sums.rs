//! The program checks its own sums.

use crate::report;

#[test]
fn sums_that_do_not_agree_are_told() {
    let good = report::Summary {
        rows: 10,
        rejected: 1,
        refused: 2,
        pushed: 7,
        pulled: 6,
        dropped: 1,
        delivered: 4,
        left: 2,
        batches: 1,
        batches_by_reason: [("size".to_owned(), 1)].into(),
        by_network: [("us".to_owned(), 3), ("ci".to_owned(), 1)].into(),
        slow_subscriber_received: 3,
        slow_subscriber_missed: 1,
        ..report::Summary::default()
    };
    assert!(good.violations().is_empty());
    let wrong = |change: fn(&mut report::Summary)| {
        let mut summary = good.clone();
        change(&mut summary);
        summary.violations()
    };
    assert_eq!(
        wrong(|s| s.refused += 1),
        ["rows = 10, but rejected + pushed + refused = 1 + 7 + 3"]
    );
    assert_eq!(
        wrong(|s| s.dropped -= 1),
        ["pushed = 7, but pulled + dropped = 6 + 0"]
    );
    assert_eq!(
        wrong(|s| s.left = 0),
        ["pulled = 6, but delivered + left = 4 + 0"]
    );
    assert_eq!(wrong(|s| s.batches = 2).len(), 1);
    assert_eq!(wrong(|s| s.by_network.clear()).len(), 1);
    assert_eq!(wrong(|s| s.slow_subscriber_missed = 0).len(), 1);
}
