//! The excerpt that is built in.

use std::collections::BTreeMap;
use std::fs;

use crate::feed;
use crate::files::{EXCERPT, json_lines, path, temporary};
use crate::process::quakes;

#[test]
fn excerpt_is_delivered_whole_and_in_order() {
    let out = temporary("excerpt.jsonl");
    let ended = quakes(&["--json", "--out", path(&out)]);
    let summary = ended.balanced();

    let excerpt = fs::read_to_string(EXCERPT).unwrap();
    let rows: Vec<&str> = excerpt.lines().skip(1).collect();
    assert!(rows.len() >= 1000);
    for key in ["rows", "pushed", "pulled", "delivered"] {
        assert_eq!(summary[key], rows.len(), "{key}");
    }
    for key in ["rejected", "refused", "dropped", "left", "not_offered"] {
        assert_eq!(summary[key], 0, "{key}");
    }
    assert_eq!(summary["interrupted"], false);

    // No column up to the id is ever quoted, so the count needs no CSV reader.
    fn column(row: &str, n: usize) -> &str {
        row.split(',').nth(n).unwrap()
    }
    let mut by_network = BTreeMap::<&str, u64>::new();
    for row in &rows {
        *by_network.entry(column(row, 10)).or_default() += 1;
    }
    assert_eq!(
        summary["by_network"],
        serde_json::to_value(by_network).unwrap()
    );
    let magnitudes = || rows.iter().map(|row| column(row, 4));
    let alerts = magnitudes()
        .filter_map(|mag| mag.parse::<f64>().ok())
        .filter(|&mag| mag >= 4.5);
    assert_eq!(summary["alerts"], alerts.count());
    assert_eq!(
        summary["without_magnitude"],
        magnitudes().filter(|mag| mag.is_empty()).count()
    );

    let delivered = json_lines(&out);
    let ids: Vec<&str> = delivered
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    let oldest_first: Vec<&str> = rows.iter().rev().map(|row| column(row, 11)).collect();
    // Two events of one instant stay in the order of the feed.
    let turned = ids
        .iter()
        .zip(&oldest_first)
        .filter(|(id, row)| id != row)
        .count();
    assert_eq!(turned, 2);
    assert!(delivered.is_sorted_by_key(|event| event["time"].as_str().unwrap().to_owned()));
}

#[test]
fn excerpt_holds_the_oddities_it_promises() {
    let feed = feed::parse(&fs::read(EXCERPT).unwrap(), |line, reason| {
        panic!("{line}: {reason}")
    });
    let events = feed.unwrap().events;
    let holds = |odd: &dyn Fn(&feed::Event) -> bool| events.iter().any(odd);
    assert!(holds(&|event| event.place.contains(',')));
    assert!(holds(
        &|event| event.mag.is_none() && event.id == "nc73577935"
    ));
    assert!(holds(&|event| event.mag.is_some_and(|mag| mag < 0.0)));
    for kind in [
        "earthquake",
        "quarry blast",
        "explosion",
        "ice quake",
        "sonic boom",
    ] {
        assert!(holds(&|event| event.kind == kind), "{kind}");
    }
    assert!(fs::metadata(EXCERPT).unwrap().len() < 400_000);
}

#[test]
fn json_has_every_key() {
    let ended = quakes(&["--json"]);
    let summary = ended.summary();
    for key in [
        "rows",
        "rejected",
        "refused",
        "pushed",
        "pulled",
        "dropped",
        "delivered",
        "batches",
        "alerts",
        "without_magnitude",
        "slow_subscriber_received",
        "slow_subscriber_missed",
        "peak_queue",
        "left",
        "not_offered",
    ] {
        assert!(summary[key].is_u64(), "{key}: {}", summary[key]);
    }
    assert!(summary["events_per_second"].as_f64().unwrap() > 0.0);
    assert!(summary["batches_by_reason"].is_object() && summary["by_network"].is_object());
    assert_eq!(ended.stdout.lines().count(), 1);
}

#[test]
fn summary_can_be_read_by_people() {
    let ended = quakes(&[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for part in [
        "rows             1754   0 bad",
        "delivered        1754",
        "ci 3",
        "missed",
        "events/s",
        "\nquakes",
    ] {
        assert!(ended.stdout.contains(part), "{part}:\n{}", ended.stdout);
    }
}

#[test]
fn a_pipe_gets_no_progress_bar() {
    let ended = quakes(&["--speed", "1e9"]);
    assert_eq!((ended.code, &*ended.stderr), (0, ""));
}

#[test]
fn slow_subscriber_misses_what_it_is_too_slow_for() {
    let summary = quakes(&["--json"]).balanced();
    let count = |key: &str| summary[key].as_u64().unwrap();
    assert!(count("slow_subscriber_received") > 0);
    assert_eq!(
        count("slow_subscriber_received") + count("slow_subscriber_missed"),
        count("delivered")
    );
}
