//! The feed: from the bytes of a CSV file to events in the order in which they happened.

use std::fmt;

use csv::{ByteRecord, Reader, ReaderBuilder, StringRecord};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One event, with the columns that the replay needs under the names they have in the feed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    #[serde(skip)]
    pub at: Timestamp,
    pub time: String,
    pub latitude: f64,
    pub longitude: f64,
    pub depth: Option<f64>,
    pub mag: Option<f64>,
    pub mag_type: String,
    pub net: String,
    pub id: String,
    pub place: String,
    #[serde(rename = "type")]
    pub kind: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mag {
            Some(mag) => write!(f, "M {mag:.1}")?,
            None => write!(f, "M ?")?,
        }
        write!(f, ", {}, {}", self.place, self.time)
    }
}

/// What a file held.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// The oldest first.
    pub events: Vec<Event>,
    /// Rows that are no event.
    pub rejected: u64,
}

/// The file is not a feed: its first row lacks these columns.
#[derive(Debug)]
pub(crate) struct MissingColumns(pub Vec<&'static str>);

impl fmt::Display for MissingColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its header lacks {}", self.0.join(", "))
    }
}

impl std::error::Error for MissingColumns {}

const COLUMNS: [&str; 10] = [
    "time",
    "latitude",
    "longitude",
    "depth",
    "mag",
    "magType",
    "net",
    "id",
    "place",
    "type",
];

/// A row as it stands in the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    time: &'a str,
    latitude: &'a str,
    longitude: &'a str,
    depth: &'a str,
    mag: &'a str,
    mag_type: &'a str,
    net: &'a str,
    id: &'a str,
    place: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

/// Reads a whole feed, which comes with the newest event first. Rows that are no event are counted and given to
/// `complain` with the number of the line on which they begin.
pub(crate) fn parse(
    data: &[u8],
    mut complain: impl FnMut(usize, &str),
) -> Result<Feed, MissingColumns> {
    let mut feed = Feed::default();
    let mut rows = reader(data);
    let mut row = ByteRecord::new();
    // Reading from memory cannot fail, and `flexible` takes rows of any length.
    let Ok(true) = rows.read_byte_record(&mut row) else {
        return Ok(feed);
    };
    let header: StringRecord = row.iter().map(String::from_utf8_lossy).collect();
    let missing: Vec<_> = COLUMNS
        .into_iter()
        .filter(|&column| !header.iter().any(|name| name == column))
        .collect();
    if !missing.is_empty() {
        return Err(MissingColumns(missing));
    }

    let mut lines = Lines {
        data,
        counted_to: 0,
        line: 1,
    };
    let mut origin = 0; // where in `data` the reader began
    while let Ok(true) = rows.read_byte_record(&mut row) {
        let begin = origin + row.position().map_or(0, |at| at.byte() as usize);
        let (begin, line) = lines.first_after(begin);
        let end = origin + rows.position().byte() as usize;
        let rest = data[begin..end].trim_ascii_end();
        match (
            event(&row, &header),
            rest.iter().position(|&byte| byte == b'\n'),
        ) {
            (Ok(event), _) => {
                feed.events.push(event);
                continue;
            }
            (Err(reason), Some(next)) if row.len() != header.len() => {
                complain(
                    line,
                    &format!("a quote is left open, or there are {reason}"),
                );
                // It must not take the rows that it has swallowed with it: go on with the next line.
                origin = begin + next + 1;
                rows = reader(&data[origin..]);
            }
            (Err(reason), _) => complain(line, &reason),
        }
        feed.rejected += 1;
    }

    feed.events.sort_by_key(|event| event.at); // stable: events of one instant stay in the feed's order
    Ok(feed)
}

fn reader(data: &[u8]) -> Reader<&[u8]> {
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(data)
}

/// Counts lines. (The reader's own count is one short after blank lines and `\r\n`.)
struct Lines<'a> {
    data: &'a [u8],
    counted_to: usize,
    line: usize,
}

impl Lines<'_> {
    /// Where, and on which line, the first text at or after `offset` begins. Offsets must not fall.
    fn first_after(&mut self, offset: usize) -> (usize, usize) {
        let breaks = self.data[offset..]
            .iter()
            .take_while(|byte| b"\r\n".contains(byte))
            .count();
        let begin = offset + breaks;
        let passed = &self.data[self.counted_to..begin];
        self.line += passed.iter().filter(|&&byte| byte == b'\n').count();
        self.counted_to = begin;
        (begin, self.line)
    }
}

/// The event in a row, or what is wrong with the row. No magnitude is not wrong.
fn event(record: &ByteRecord, header: &StringRecord) -> Result<Event, String> {
    if record.len() != header.len() {
        return Err(format!(
            "{} fields instead of {}",
            record.len(),
            header.len()
        ));
    }
    let record = StringRecord::from_byte_record(record.clone()).map_err(|error| {
        let column = error.utf8_error().field();
        format!("{}: not UTF-8", header.get(column).unwrap_or_default())
    })?;
    let row: Row<'_> = record
        .deserialize(Some(header))
        .map_err(|error| error.to_string())?;

    let at: Timestamp = row.time.parse().map_err(|_| {
        format!(
            "time: {} is not like 2021-06-30T23:59:59.999Z",
            shortened(row.time)
        )
    })?;
    if row.id.is_empty() {
        return Err("id: missing".into());
    }
    Ok(Event {
        at,
        time: row.time.into(),
        latitude: degrees("latitude", row.latitude, 90.0)?,
        longitude: degrees("longitude", row.longitude, 180.0)?,
        depth: number("depth", row.depth)?,
        mag: number("mag", row.mag)?,
        mag_type: row.mag_type.into(),
        net: row.net.into(),
        id: row.id.into(),
        place: row.place.into(),
        kind: row.kind.into(),
    })
}

fn degrees(column: &str, text: &str, limit: f64) -> Result<f64, String> {
    let degrees = number(column, text)?.ok_or_else(|| format!("{column}: missing"))?;
    if degrees.abs() > limit {
        return Err(format!("{column}: {degrees} is beyond {limit} degrees"));
    }
    Ok(degrees)
}

fn number(column: &str, text: &str) -> Result<Option<f64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(format!("{column}: {} is not a number", shortened(text))),
    }
}

/// Text from the file for a message: quoted, escaped and not too long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}..", &text[..end]),
        None => format!("{text:?}"),
    }
}
