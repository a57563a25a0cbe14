//! The bundled earthquakes as records of a topic.

use pushpull::broker::Record;

const FEED: &str = include_str!("../data/usgs-earthquakes-2021-06-excerpt.csv");

/// The excerpt, the oldest earthquake first. The network that reported one is its key, so each network's stay in order; the
/// feed's id is the record's.
pub(crate) fn records(topic: &str) -> Result<Vec<Record>, csv::Error> {
    let rows: Result<Vec<_>, _> = csv::Reader::from_reader(FEED.as_bytes())
        .records()
        .collect();
    let record = |row: &csv::StringRecord| {
        Record::new(topic, row[13].to_owned())
            .key(row[10].to_owned())
            .id(&row[11])
            .header("time", row[0].to_owned())
            .header("magnitude", row[4].to_owned())
    };
    Ok(rows?.iter().rev().map(record).collect()) // the feed has the newest first
}
