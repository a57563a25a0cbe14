//! The main job as its users meet it: `examples/quakes` as a process of its own, on good and bad feeds.
#![cfg(feature = "rate")]

// The two parts that compute without a process, for what only they can show.
#[path = "../examples/quakes/feed.rs"]
mod feed;
#[path = "../examples/quakes/report.rs"]
mod report;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::{JoinHandle, sleep, spawn as spawn_thread};
use std::time::{Duration, Instant};

use serde_json::Value;

const EXCERPT: &str = "examples/data/usgs-earthquakes-2021-06-excerpt.csv";
const PATIENCE: Duration = Duration::from_secs(60);
const HEADER: &str = "time,latitude,longitude,depth,mag,magType,nst,gap,dmin,rms,net,id,updated,place,type,\
    horizontalError,depthError,magError,magNst,status,locationSource,magSource";

// -- the excerpt --

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

// -- the options --

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

// -- the input --

#[test]
fn standard_input_is_a_feed() {
    let ended = quakes_on(&["-", "--json"], &month(7));
    assert_eq!(ended.balanced()["delivered"], 7);
}

#[test]
fn nothing_is_zero_rows() {
    for (name, data) in [("empty", ""), ("header", HEADER), ("blank", "\n\r\n\n")] {
        let input = temporary(&format!("{name}.csv"));
        fs::write(&input, data).unwrap();
        let ended = quakes(&["--json", path(&input)]);
        let summary = ended.balanced();
        for key in [
            "rows",
            "rejected",
            "pushed",
            "delivered",
            "batches",
            "events_per_second",
        ] {
            assert_eq!(summary[key].as_f64(), Some(0.0), "{name}: {key}");
        }
        assert_eq!(ended.stderr, "", "{name}");
        assert_eq!(quakes(&[path(&input)]).code, 0, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn the_null_device_is_zero_rows() {
    assert_eq!(quakes(&["--json", "/dev/null"]).balanced()["rows"], 0);
}

#[test]
fn a_feed_cut_in_the_middle_of_a_row_loses_that_row_only() {
    let whole = month(20);
    let last_row = whole.trim_end().rfind('\n').unwrap() + 1;
    let input = temporary("cut.csv");
    for cut in [
        last_row + 5,
        last_row + 70,
        whole.find("00000000,").unwrap() + 40,
    ] {
        fs::write(&input, &whole[..cut]).unwrap();
        let ended = quakes(&["--json", path(&input)]);
        let summary = ended.balanced();
        assert_eq!(
            (&summary["rows"], &summary["rejected"]),
            (&20.into(), &1.into()),
            "at {cut}"
        );
        assert!(
            ended.stderr.starts_with("quakes: line 21: "),
            "at {cut}: {}",
            ended.stderr
        );
    }

    // Wherever it is cut: each line that was begun is one row.
    for cut in HEADER.len() + 1..whole.len() {
        let feed = feed::parse(&whole.as_bytes()[..cut], |_, _| {}).unwrap();
        let begun = whole[..cut].trim_end().lines().count() - 1;
        assert_eq!(
            feed.events.len() as u64 + feed.rejected,
            begun as u64,
            "at {cut}"
        );
    }
}

#[test]
fn a_feed_cut_in_its_header_is_no_feed() {
    let ended = quakes_on(&["-"], HEADER.split("pth").next().unwrap());
    assert_eq!(ended.code, 2);
    assert_eq!(
        ended.stderr,
        "quakes: standard input is no feed: its header lacks depth, mag, magType, net, id, place, type\n"
    );
}

#[test]
fn a_foreign_table_is_no_feed() {
    let ended = quakes_on(&["-", "--json"], &HEADER.replace(",mag,", ",magnitude,"));
    assert_eq!((ended.code, &*ended.stdout), (2, ""));
    assert!(
        ended
            .stderr
            .ends_with(" is no feed: its header lacks mag\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_missing_file_is_named() {
    let ended = quakes(&["--json", "no/such/feed.csv"]);
    assert_eq!((ended.code, &*ended.stdout), (2, ""));
    assert!(
        ended
            .stderr
            .starts_with("quakes: cannot read no/such/feed.csv: "),
        "{}",
        ended.stderr
    );
    assert_eq!(quakes(&["."]).code, 2, "a folder");
}

#[test]
fn bad_rows_are_counted_and_reported_with_their_lines() {
    let good = |n| row(n, "us", "1");
    let bad = |n, from: &str, to: &str| good(n).replacen(from, to, 1);
    let mut input = Vec::new();
    let mut expected = Vec::new();
    let mut line = 1;
    let mut put = |row: &[u8], complaint: Option<&str>| {
        if let Some(complaint) = complaint {
            expected.push(format!("quakes: line {line}: {complaint}\n"));
        }
        input.extend_from_slice(row);
        line += row.iter().filter(|&&byte| byte == b'\n').count();
    };
    let lines = |row: String| row + "\n";
    put(b"\xef\xbb\xbf", None); // a byte order mark
    put(lines(HEADER.into()).as_bytes(), None);
    put(lines(good(1)).as_bytes(), None);
    put(
        lines(bad(2, "2021-", "2021/")).as_bytes(),
        Some("time: \"2021/07-01T00:00:02.000Z\" is not like 2021-06-30T23:59:59.999Z"),
    );
    put(b"\n\r\n\n", None); // blank lines are no rows
    put(
        lines(bad(3, ",id00000003,", ",,")).as_bytes(),
        Some("id: missing"),
    );
    put((good(4) + "\r\n").as_bytes(), None);
    put(
        (bad(5, ",12.5,", ",north,") + "\r\n").as_bytes(),
        Some("latitude: \"north\" is not a number"),
    );
    put(
        lines(good(6).replace("Nowhere", "No\nwhere\r\nat all")).as_bytes(),
        None,
    );
    put(
        lines(bad(7, ",-45.25,", ",,")).as_bytes(),
        Some("longitude: missing"),
    );
    put(
        lines(bad(8, ",-45.25,", ",-545.25,")).as_bytes(),
        Some("longitude: -545.25 is beyond 180 degrees"),
    );
    put(
        lines(bad(9, ",1,ml,", ",strong,ml,")).as_bytes(),
        Some("mag: \"strong\" is not a number"),
    );
    put(
        lines(bad(10, ",1,ml,", ",NaN,ml,")).as_bytes(),
        Some("mag: \"NaN\" is not a number"),
    );
    put(
        lines(bad(11, ",us,", ",us,us,")).as_bytes(),
        Some("23 fields instead of 22"),
    );
    put(b"hello\n", Some("1 fields instead of 22"));
    put(
        &lines(good(12))
            .into_bytes()
            .iter()
            .map(|&b| if b == b'w' { 0xff } else { b })
            .collect::<Vec<_>>(),
        Some("place: not UTF-8"),
    );
    put(
        lines(bad(13, "\"5 km", "5 km")).as_bytes(),
        Some("23 fields instead of 22"),
    );
    put(
        lines(bad(14, "Nowhere\"", "Nowhere")).as_bytes(),
        Some("a quote is left open, or there are 23 fields instead of 22"),
    );
    put(
        lines(bad(15, "2021", &"9".repeat(100))).as_bytes(),
        Some(&format!(
            "time: \"{}\".. is not like 2021-06-30T23:59:59.999Z",
            "9".repeat(40)
        )),
    );
    put(good(16).as_bytes(), None);

    let file = temporary("bad.csv");
    fs::write(&file, input).unwrap();
    let out = temporary("bad.jsonl");
    let ended = quakes(&["--json", "--out", path(&out), path(&file)]);
    let summary = ended.balanced();
    assert_eq!(ended.stderr, expected.concat());
    assert_eq!(summary["rejected"], expected.len());
    assert_eq!(
        json_lines(&out).iter().map(number).collect::<Vec<_>>(),
        [1, 4, 6, 16]
    );
    assert_eq!(
        json_lines(&out)[2]["place"],
        "5 km N of Somewhere, No\nwhere\r\nat all"
    );
}

#[test]
fn a_feed_of_bad_rows_only_is_told_and_ends_well() {
    let ended = quakes_on(
        &["-", "--json"],
        &format!("{HEADER}\n{}", "what?\n".repeat(2000)),
    );
    let summary = ended.balanced();
    assert_eq!(
        (&summary["rows"], &summary["rejected"]),
        (&2000.into(), &2000.into())
    );
    assert_eq!(ended.stderr.lines().count(), 2000);
}

#[test]
fn columns_are_found_by_name() {
    let data = "id,type,place,net,magType,mag,depth,longitude,latitude,time\n\
                a,earthquake,\"Here, or there\",us,,,,2,1,2021-07-01T00:00:00Z\n";
    let feed = feed::parse(data.as_bytes(), |line, reason| panic!("{line}: {reason}")).unwrap();
    let [event] = &feed.events[..] else {
        panic!("{feed:?}")
    };
    assert_eq!(
        (event.latitude, event.longitude, event.depth, event.mag),
        (1.0, 2.0, None, None)
    );
    assert_eq!((&*event.id, &*event.place), ("a", "Here, or there"));
}

// -- the output --

#[test]
fn out_is_emptied_first_and_keeps_what_is_missing_as_null() {
    let out = temporary("null.jsonl");
    fs::write(&out, "of another run\n").unwrap();
    let ended = quakes_on(
        &["-", "--json", "--out", path(&out)],
        &newest_first([row(3, "ak", "")]),
    );
    ended.balanced();
    let expected = serde_json::json!([{
        "time": "2021-07-01T00:00:03.000Z", "latitude": 12.5, "longitude": -45.25, "depth": null, "mag": null,
        "magType": "ml", "net": "ak", "id": "id00000003", "place": "5 km N of Somewhere, Nowhere",
        "type": "earthquake",
    }]);
    assert_eq!(Value::from(json_lines(&out)), expected);
}

#[test]
fn out_that_cannot_be_made_is_named() {
    let ended = quakes(&["--json", "--out", "no/such/folder/out.jsonl"]);
    assert_eq!((ended.code, &*ended.stdout), (2, ""));
    assert!(
        ended
            .stderr
            .starts_with("quakes: cannot write no/such/folder/out.jsonl: "),
        "{}",
        ended.stderr
    );
}

#[cfg(target_os = "linux")]
#[test]
fn out_that_cannot_be_written_is_named_and_ends_the_run() {
    // A queue so small that the replay would wait for ever for a delivery that has failed.
    let ended = quakes(&["--json", "--capacity", "1", "--out", "/dev/full"]);
    assert_eq!((ended.code, &*ended.stdout), (1, ""));
    assert!(
        ended.stderr.starts_with("quakes: cannot write /dev/full: "),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.lines().count(), 1);
}

#[test]
fn out_is_never_the_feed() {
    let file = temporary("both.csv");
    fs::write(&file, month(3)).unwrap();
    let ended = quakes(&[path(&file), "--out", path(&file)]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), month(3));
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    for options in [&["-", "--json"][..], &["-"]] {
        let mut child = spawn(options);
        drop(child.stdout.take());
        let ended = finish(child, month(10).as_bytes());
        assert_eq!((ended.code, &*ended.stderr), (0, ""));
    }
}

// -- Ctrl-C --

#[cfg(unix)]
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

#[cfg(unix)]
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

#[cfg(unix)]
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

// -- the sums --

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

// -- helpers --

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn summary(&self) -> Value {
        let summary: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}, {}", self.stdout, self.stderr));
        let count = |key: &str| {
            summary[key]
                .as_u64()
                .unwrap_or_else(|| panic!("{key} in {summary}"))
        };
        let sum = |key: &str| -> u64 {
            summary[key]
                .as_object()
                .unwrap()
                .values()
                .map(|count| count.as_u64().unwrap())
                .sum()
        };
        assert_eq!(
            count("rows"),
            count("rejected") + count("pushed") + count("refused"),
            "{summary}"
        );
        assert_eq!(
            count("pushed"),
            count("pulled") + count("dropped"),
            "{summary}"
        );
        assert_eq!(
            count("pulled"),
            count("delivered") + count("left"),
            "{summary}"
        );
        assert_eq!(sum("by_network"), count("delivered"), "{summary}");
        assert_eq!(sum("batches_by_reason"), count("batches"), "{summary}");
        assert_eq!(
            count("slow_subscriber_received") + count("slow_subscriber_missed"),
            count("delivered"),
            "{summary}"
        );
        summary
    }

    /// The summary of a run that came to its end.
    fn balanced(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.summary()
    }
}

fn quakes(options: &[&str]) -> Ended {
    quakes_on(options, "")
}

fn quakes_on(options: &[&str], input: &str) -> Ended {
    finish(spawn(options), input.as_bytes())
}

fn spawn(options: &[&str]) -> Child {
    Command::new(program())
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(mut child: Child, input: &[u8]) -> Ended {
    // Programs that do not read their input may end before it is written.
    let _ = child.stdin.take().unwrap().write_all(input);
    wait(child)
}

/// Waits for the end, which comes long before patience does.
fn wait(mut child: Child) -> Ended {
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let patience = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > patience {
            child.kill().unwrap();
            panic!("it does not end");
        }
        sleep(Duration::from_millis(2));
    };
    let text =
        |reader: Option<JoinHandle<String>>| reader.map_or_else(String::new, |r| r.join().unwrap());
    Ended {
        code: status.code().expect("killed by a signal"),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    spawn_thread(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

#[cfg(unix)]
#[derive(Clone, Copy)]
enum Press {
    Once,
    UntilItEnds,
}

/// Presses Ctrl-C when something has been delivered.
#[cfg(unix)]
fn interrupt(mut child: Child, input: &str, out: &Path, press: Press) -> Ended {
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let patience = Instant::now() + PATIENCE;
    while fs::metadata(out).map_or(0, |file| file.len()) == 0 {
        assert!(Instant::now() < patience, "nothing has been delivered");
        sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    loop {
        // Not before the process has been waited for can its id be somebody else's.
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        sleep(Duration::from_millis(50)); // signals that come at once are one
        if matches!(press, Press::Once) || child.try_wait().unwrap().is_some() {
            break;
        }
    }
    wait(child)
}

/// The example's binary, which cargo puts into a folder beside the one of the test's.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        let program = profile.join("examples").join(format!("quakes{}", env::consts::EXE_SUFFIX));
        let built = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        let written = fs::read_dir("examples/quakes").unwrap().map(|file| built(&file.unwrap().path()));
        assert!(
            built(&program) > written.max().unwrap(),
            "{} is missing or older than its source: `cargo test` builds it, but before `cargo test --test quakes` it \
             takes `cargo build --example quakes`",
            program.display()
        );
        program
    })
}

fn temporary(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quakes");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    let _ = fs::remove_file(&path);
    path
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json_lines(path: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(path).unwrap();
    assert!(lines.is_empty() || lines.ends_with('\n'));
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A feed of so many events, the newest first as in the real one.
fn month(events: u64) -> String {
    newest_first((0..events).map(|n| row(n, ["us", "ci", "ak"][n as usize % 3], "1.5")))
}

fn newest_first(rows: impl IntoIterator<Item = String, IntoIter: DoubleEndedIterator>) -> String {
    let mut feed = format!("{HEADER}\n");
    for row in rows.into_iter().rev() {
        feed += &row;
        feed += "\n";
    }
    feed
}

/// The n-th event, `n` seconds after the first of July.
fn row(n: u64, net: &str, mag: &str) -> String {
    let (day, hour, minute, second) = (1 + n / 86_400, n / 3600 % 24, n / 60 % 60, n % 60);
    format!(
        "2021-07-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z,12.5,-45.25,,{mag},ml,9,99,,0.02,{net},id{n:08},\
         2021-07-30T00:00:00.000Z,\"5 km N of Somewhere, Nowhere\",earthquake,0.39,1.06,,1,automatic,{net},{net}"
    )
}

/// What [`row`] was called with.
fn number(event: &Value) -> u64 {
    event["id"]
        .as_str()
        .unwrap()
        .strip_prefix("id")
        .unwrap()
        .parse()
        .unwrap()
}
