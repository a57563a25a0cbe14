//! `--out`, and a summary that nobody reads.

use std::fs;

use serde_json::Value;

use crate::files::{json_lines, month, newest_first, path, row, temporary};
use crate::process::{finish, quakes, quakes_on, spawn};

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
