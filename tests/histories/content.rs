//! Records that can be told from each other, and from damaged ones.

use pushpull::broker::Record;

use super::history::Content;

/// The record with this number. What it looks like follows from the number and the key.
pub(crate) fn record(topic: &str, value: u64, key: Option<u32>) -> Record {
    let padding = "pushpull".repeat((value % 23) as usize);
    let mut record = Record::new(topic.to_owned(), format!("{value}:{padding}"))
        .header("number", value.to_string())
        .id(format!("id-{value}"));
    if let Some(key) = key {
        record = record.key(key.to_string());
    }
    if value % 5 == 0 {
        record = record.header("number", vec![0, 255, (value % 256) as u8]);
    }
    record
}

/// What a record turns out to be.
pub(crate) fn content(record: &Record) -> Content {
    let text = String::from_utf8_lossy(&record.value);
    let number = text
        .split(':')
        .next()
        .and_then(|number| number.parse().ok());
    let key = record.key.as_ref().map(|key| {
        let text = String::from_utf8_lossy(key);
        text.parse().unwrap_or(u32::MAX)
    });
    let mut sum = 0xcbf2_9ce4_8422_2325;
    add(&mut sum, &record.value);
    add(&mut sum, record.key.as_deref().unwrap_or(b"none"));
    add(&mut sum, record.id.as_deref().unwrap_or("none").as_bytes());
    for (name, value) in &record.headers {
        add(&mut sum, name.as_bytes());
        add(&mut sum, value);
    }
    Content {
        value: number.unwrap_or(u64::MAX),
        key,
        sum,
    }
}

/// FNV-1a, with a mark after each part.
fn add(sum: &mut u64, part: &[u8]) {
    for byte in part.iter().chain(&[255, 0]) {
        *sum = (*sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
}
