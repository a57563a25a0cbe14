//! Ctrl-C, in three steps.

use crate::files::{json_lines, month, newest_first, number, path, row, temporary};
use crate::process::{Press, interrupt, spawn};

#[test]
fn interrupted_while_it_waits_for_the_next_event() {
    let out = temporary("year.jsonl");
    let year = newest_first([row(1, "us", "1")]) + &row(2, "us", "1").replacen("2021", "2020", 1);
    let child = spawn(&["-", "--json", "--speed", "1", "--out", path(&out)]);
    let ended = interrupt(child, &year, &out, Press::Once);
    let summary = ended.summary();
    assert_eq!(ended.code, 130, "{}", ended.stderr);
    for (key, expected) in [
        ("rows", 1),
        ("delivered", 1),
        ("not_offered", 1),
        ("left", 0),
        ("refused", 0),
    ] {
        assert_eq!(summary[key], expected, "{key}");
    }
    assert_eq!(summary["interrupted"], true);
}

#[test]
fn interrupted_under_load_it_delivers_what_is_queued_if_there_is_time() {
    let out = temporary("patient.jsonl");
    // Twenty seconds of delivery, of which little is queued at any time.
    let options = ["--rate", "500", "--capacity", "300", "--grace", "3600"];
    let child = spawn(&[&options[..], &["-", "--json", "--out", path(&out)]].concat());
    let ended = interrupt(child, &month(10_000), &out, Press::Once);
    let summary = ended.summary();
    assert_eq!(ended.code, 130, "{}", ended.stderr);
    assert_eq!(summary["left"], 0);
    assert_eq!(summary["pulled"], summary["delivered"]);
    let delivered = json_lines(&out);
    assert_eq!(summary["delivered"], delivered.len());
    assert!(
        delivered.iter().map(number).eq(0..delivered.len() as u64),
        "a run without a gap"
    );
    assert!(summary["not_offered"].as_u64().unwrap() > 0);
}

#[test]
fn interrupted_without_time_it_says_what_is_left() {
    // No grace to begin with, or one that a second Ctrl-C ends.
    for (grace, press) in [("0", Press::Once), ("3600", Press::UntilItEnds)] {
        for overflow in ["wait", "reject", "drop-newest", "drop-oldest"] {
            let out = temporary(&format!("impatient-{grace}-{overflow}.jsonl"));
            // More is queued than can be delivered in 20 s.
            let options = [
                "--rate",
                "1000",
                "--capacity",
                "20000",
                "--overflow",
                overflow,
            ];
            let options = [
                &options[..],
                &["--grace", grace, "-", "--json", "--out", path(&out)],
            ]
            .concat();
            let ended = interrupt(spawn(&options), &month(22_000), &out, press);
            let summary = ended.summary();
            assert_eq!(ended.code, 130, "{}", ended.stderr);
            assert!(summary["left"].as_u64().unwrap() > 0, "{summary}");
            assert_eq!(summary["delivered"], json_lines(&out).len(), "{summary}");
        }
    }
}
