//! Feeds that are empty, cut, foreign or damaged.

use std::fs;

use crate::feed;
use crate::files::{HEADER, json_lines, month, number, path, row, temporary};
use crate::process::{quakes, quakes_on};

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
