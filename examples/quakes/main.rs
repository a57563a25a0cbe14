//! The main job: earthquakes as the U.S. Geological Survey publishes them, replayed as if they came in live.
//!
//! ```text
//! file -> queue -> batches of 100 or 1 s -> rate limit -> JSON Lines -> broadcast -> alerts
//!                                                                                 -> counts by network
//!                                                                                 -> a slow reader that loses some
//! ```
//!
//! `cargo run --release --example quakes` replays the excerpt in `examples/data/`; `-- --help` lists the options. Every
//! row is accounted for in the summary, and the program fails where the sums do not agree.

mod args;
mod feed;
mod json_lines;
mod pipeline;
mod report;

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use pushpull::meter;

use args::Args;
use feed::Feed;
use json_lines::JsonLines;
use report::Summary;

const EXCERPT: &[u8] = include_bytes!("../data/usgs-earthquakes-2021-06-excerpt.csv");

/// Something went wrong on the way.
const FAILED: u8 = 1;
/// There was nothing to begin with: also what `clap` answers to a wrong option.
const UNUSABLE: u8 = 2;
/// What a shell reports of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(code: u8, message: impl fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }
}

async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let feed = read(args.file.as_deref())?;
    let out = args
        .out
        .as_deref()
        .map(|path| create(path, args.file.as_deref()))
        .transpose()?;

    let summary = pipeline::run(feed, out, args)
        .await
        .map_err(|error| Failure::new(FAILED, error))?;

    print(&summary, args.json)?;
    let violations = summary.violations();
    if !violations.is_empty() {
        let message = format!("the sums do not agree: {}", violations.join("; "));
        return Err(Failure::new(FAILED, message));
    }
    Ok(if summary.interrupted {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Reads all of the feed, since its oldest event comes last.
fn read(file: Option<&Path>) -> Result<Feed, Failure> {
    let (name, data) = match file {
        None => ("the excerpt".into(), Ok(EXCERPT.to_vec())),
        Some(path) if path == Path::new("-") => {
            let mut data = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut data);
            ("standard input".into(), read.map(|_| data))
        }
        Some(path) => (path.display().to_string(), fs::read(path)),
    };
    let data =
        data.map_err(|error| Failure::new(UNUSABLE, format_args!("cannot read {name}: {error}")))?;
    feed::parse(&data, |line, reason| {
        complain(format_args!("line {line}: {reason}"))
    })
    .map_err(|error| Failure::new(UNUSABLE, format_args!("{name} is no feed: {error}")))
}

fn create(path: &Path, input: Option<&Path>) -> Result<JsonLines, Failure> {
    let unusable = |error: &dyn fmt::Display| {
        Failure::new(
            UNUSABLE,
            format_args!("cannot write {}: {error}", path.display()),
        )
    };
    let same = |input: &Path| fs::canonicalize(input).ok() == fs::canonicalize(path).ok();
    if path.is_file() && input.is_some_and(same) {
        return Err(unusable(&"it is the feed itself"));
    }
    JsonLines::create(path).map_err(|error| unusable(&error))
}

/// Prints the summary. A reader that has gone does not want it.
fn print(summary: &Summary, json: bool) -> Result<(), Failure> {
    let text = if json {
        serde_json::to_string(summary).map_err(|error| Failure::new(FAILED, error))?
    } else {
        format!("{summary}\n\n{}", meter::registry().snapshot())
    };
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            FAILED,
            format_args!("cannot write the summary: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Says what is wrong on standard error, if anybody listens there.
fn complain(message: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "quakes: {message}");
}
