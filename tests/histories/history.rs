//! What was done, in the order in which it was seen: calls with their beginning and their end, and what befell the engine.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A partition: the number of its topic, and its own.
pub(crate) type Place = (u32, u32);

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A call begins.
    Invoke {
        call: u64,
        process: u64,
        /// Microseconds since the history began.
        at: u64,
        op: Op,
    },
    /// A call ends. One that never does had an unknown outcome.
    Return {
        call: u64,
        at: u64,
        outcome: Outcome,
    },
    /// Something that no process did.
    Event { at: u64, what: What },
}

/// What a process does. A consumer is a process of its own from its joining to its leaving.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    Push {
        topic: u32,
        record: Content,
    },
    Join {
        group: u32,
        terms: Terms,
    },
    Poll {
        max: u64,
    },
    Ack {
        at: Spot,
    },
    Nack {
        at: Spot,
    },
    /// Everything of the partition up to here.
    CommitTo {
        at: Spot,
    },
    /// Everything that was delivered to the process and not said to have failed.
    Commit,
    Seek {
        place: Place,
        to: u64,
    },
    Committed {
        place: Place,
    },
    /// Closes the consumer, or drops it.
    Leave,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Done,
    /// The push: where the record lies.
    Stored {
        partition: u32,
        offset: u64,
    },
    /// The poll.
    Took(Vec<Taken>),
    /// The committed offset, if there is one.
    At(Option<u64>),
    /// It did not happen.
    Refused(String),
    /// It did not happen: the partition is in other hands.
    Fenced,
    /// It may have happened.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum What {
    /// The broker was closed in good order, and opened again.
    Restarted,
    /// The process or the server that the broker ran in was killed.
    Killed,
    /// Connections were cut, or nothing arrives over them.
    Cut,
    /// What was killed or cut before is there again.
    Healed,
    /// A consumer was told that retention took records from its group.
    Lost {
        process: u64,
        place: Place,
        from: u64,
        missed: u64,
    },
    /// A group was read until nothing came any more. `lag`: what the engine says is left.
    Drained { group: u32, lag: u64 },
}

/// A record: its own number, its key, and a sum over everything in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) value: u64,
    pub(crate) key: Option<u32>,
    pub(crate) sum: u64,
}

/// A delivery, as it is named in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spot {
    pub(crate) place: Place,
    pub(crate) offset: u64,
    pub(crate) generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) at: Spot,
    pub(crate) attempt: u32,
    pub(crate) record: Content,
}

/// What a member asked for; times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    pub(crate) ordered: bool,
    pub(crate) ack_wait: u64,
    pub(crate) session: u64,
}

impl Op {
    /// Whether it is an operation; a look at the committed offset is none.
    pub(crate) fn counts(&self) -> bool {
        !matches!(self, Self::Committed { .. })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Push { .. } => "push",
            Self::Join { .. } => "join",
            Self::Poll { .. } => "poll",
            Self::Ack { .. } => "ack",
            Self::Nack { .. } => "nack",
            Self::CommitTo { .. } => "commit_to",
            Self::Commit => "commit",
            Self::Seek { .. } => "seek",
            Self::Committed { .. } => "committed",
            Self::Leave => "leave",
        }
    }
}

impl Outcome {
    /// It took place, and the process knows.
    pub(crate) fn is_done(&self) -> bool {
        matches!(
            self,
            Self::Done | Self::Stored { .. } | Self::Took(_) | Self::At(_)
        )
    }

    /// It did not take place, and the process knows.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Fenced)
    }
}

/// Writes a history into a file for somebody to read, one entry a line.
pub(crate) fn write(history: &[Entry], name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pushpull-{name}-{}.jsonl", std::process::id()));
    let mut out = BufWriter::new(File::create(&path).unwrap());
    for entry in history {
        writeln!(out, "{}", line(entry)).unwrap();
    }
    out.flush().unwrap();
    path
}

/// A history that was written before.
pub(crate) fn read(path: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn line(entry: &Entry) -> String {
    serde_json::to_string(entry).unwrap()
}
