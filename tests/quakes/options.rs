//! What each option changes.

use std::fs;

use crate::files::{json_lines, month, newest_first, number, path, row, temporary};
use crate::process::quakes;

#[test]
fn every_policy_keeps_the_sums_when_the_queue_is_too_small() {
    let input = temporary("policies.csv");
    fs::write(&input, month(3000)).unwrap();
    for policy in ["wait", "reject", "drop-newest", "drop-oldest"] {
        let out = temporary(&format!("{policy}.jsonl"));
        // Three seconds' worth for a replay that takes milliseconds, unless it has to wait.
        let rate = if policy == "wait" { "1000000" } else { "1000" };
        let options = [
            "--json",
            "--capacity",
            "10",
            "--rate",
            rate,
            "--overflow",
            policy,
        ];
        let ended = quakes(&[&options[..], &["--out", path(&out), path(&input)]].concat());
        let summary = ended.balanced();
        let count = |key: &str| summary[key].as_u64().unwrap();

        assert_eq!(count("rows"), 3000, "{policy}");
        assert!(count("peak_queue") <= 10, "{policy}");
        assert_eq!(count("refused") > 0, policy == "reject", "{policy}");
        assert_eq!(count("dropped") > 0, policy.starts_with("drop"), "{policy}");

        let delivered = json_lines(&out);
        assert_eq!(delivered.len() as u64, count("delivered"), "{policy}");
        let ids: Vec<u64> = delivered.iter().map(number).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{policy}");
        let last_came_through = ids.last() == Some(&2999);
        match policy {
            "wait" | "drop-oldest" => assert!(last_came_through, "{policy}"),
            _ => assert_eq!(ids[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "{policy}"),
        }
    }
}

#[test]
fn a_queue_of_one_is_enough() {
    let summary = quakes(&["--json", "--capacity", "1"]).balanced();
    assert_eq!(
        (&summary["delivered"], &summary["peak_queue"]),
        (&1754.into(), &1.into())
    );
}

#[test]
fn full_batches_leave_at_once_and_the_rest_at_the_end() {
    let input = temporary("batches.csv");
    fs::write(&input, month(250)).unwrap();
    // Room for all, and the clock of a batch is a second: what is not full can only be the end.
    let summary = quakes(&["--json", path(&input)]).balanced();
    assert_eq!(summary["delivered"], 250);
    let reasons = summary["batches_by_reason"].as_object().unwrap();
    assert!(
        reasons
            .keys()
            .all(|reason| ["size", "end", "age"].contains(&&**reason)),
        "{reasons:?}"
    );
    assert!(reasons["size"].as_u64().unwrap() <= 2);
}

#[test]
fn rate_is_kept() {
    let input = temporary("rate.csv");
    fs::write(&input, month(500)).unwrap();
    let summary = quakes(&["--json", "--rate", "1000", path(&input)]).balanced();
    // guarantee: R1 (100 at once, since the burst is 100 ms' worth; the others at 1000/s)
    assert!(summary["seconds"].as_f64().unwrap() >= 0.399, "{summary}");
    assert_eq!(summary["delivered"], 500);
}

#[test]
fn alerts_begin_at_their_magnitude() {
    let input = temporary("alerts.csv");
    let magnitudes = ["4.49", "4.5", "", "-1.2", "6"];
    let rows = magnitudes
        .iter()
        .enumerate()
        .map(|(n, mag)| row(n as u64, "us", mag));
    fs::write(&input, newest_first(rows)).unwrap();
    for (alert, expected) in [("4.5", 2), ("4.51", 1), ("-2", 4), ("7", 0)] {
        let summary = quakes(&["--json", "--alert", alert, path(&input)]).balanced();
        assert_eq!(summary["alerts"], expected, "--alert {alert}");
        assert_eq!(summary["without_magnitude"], 1);
    }
}

#[test]
fn wrong_options_are_refused() {
    for options in [
        ["--capacity", "0"],
        ["--rate", "0"],
        ["--speed", "0"],
        ["--speed", "-1"],
        ["--speed", "inf"],
        ["--alert", "NaN"],
        ["--overflow", "explode"],
        ["--grace", "-1"],
    ] {
        let ended = quakes(&options);
        assert_eq!(ended.code, 2, "{options:?}");
        assert!(
            ended.stderr.contains(options[0]) && ended.stdout.is_empty(),
            "{}",
            ended.stderr
        );
    }
}
