//! Feeds to give to the program, and what it writes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) const EXCERPT: &str = "examples/data/usgs-earthquakes-2021-06-excerpt.csv";
pub(crate) const HEADER: &str = "time,latitude,longitude,depth,mag,magType,nst,gap,dmin,rms,net,id,updated,place,type,\
    horizontalError,depthError,magError,magNst,status,locationSource,magSource";

pub(crate) fn temporary(name: &str) -> PathBuf {
    // One for each run, so that two at once do not meet.
    let run = format!("quakes-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(run);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    let _ = fs::remove_file(&path);
    path
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn json_lines(path: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(path).unwrap();
    assert!(lines.is_empty() || lines.ends_with('\n'));
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A feed of so many events, the newest first as in the real one.
pub(crate) fn month(events: u64) -> String {
    newest_first((0..events).map(|n| row(n, ["us", "ci", "ak"][n as usize % 3], "1.5")))
}

pub(crate) fn newest_first(
    rows: impl IntoIterator<Item = String, IntoIter: DoubleEndedIterator>,
) -> String {
    let mut feed = format!("{HEADER}\n");
    for row in rows.into_iter().rev() {
        feed += &row;
        feed += "\n";
    }
    feed
}

/// The n-th event, `n` seconds after the first of July.
pub(crate) fn row(n: u64, net: &str, mag: &str) -> String {
    let (day, hour, minute, second) = (1 + n / 86_400, n / 3600 % 24, n / 60 % 60, n % 60);
    format!(
        "2021-07-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z,12.5,-45.25,,{mag},ml,9,99,,0.02,{net},id{n:08},\
         2021-07-30T00:00:00.000Z,\"5 km N of Somewhere, Nowhere\",earthquake,0.39,1.06,,1,automatic,{net},{net}"
    )
}

/// What [`row`] was called with.
pub(crate) fn number(event: &Value) -> u64 {
    event["id"]
        .as_str()
        .unwrap()
        .strip_prefix("id")
        .unwrap()
        .parse()
        .unwrap()
}
