//! `cargo bench --bench broker [-- [--quick] [filter]...]`: the broker and the router beside bare queues, in one process and
//! one run.
//!
//! A filter is a path of parts: `memory`, `memory/1000`, `partitions`. Each part must be found, in this order, in the path
//! `<concept>/<case>`.

#[cfg(feature = "durable")]
mod durable;
mod fair;
#[path = "../peers/harness.rs"]
#[expect(dead_code, reason = "what the benches of peers need beside")]
mod harness;
mod memory;
mod router;
mod table;

use std::process::ExitCode;
use std::{env, fs};

use harness::{Case, Pace};

/// A case, and how many times as long as each bare queue ours may take.
pub(crate) struct Held {
    pub(crate) case: Case,
    pub(crate) target: Option<f64>,
}

type Concept = (&'static str, fn() -> Vec<Held>);

const CONCEPTS: &[Concept] = &[
    ("memory", memory::cases),
    ("partitions", fair::cases),
    ("router", router::cases),
    #[cfg(feature = "durable")]
    ("durable", durable::cases),
];

fn main() -> ExitCode {
    // `cargo bench` says `--bench`; `cargo test` says nothing, and wants to know only whether the benches still run.
    let mut pace = Pace::tiny();
    let mut quick = false;
    let mut filters = Vec::new();
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--bench" => pace = Pace::normal(),
            "--quick" => quick = true,
            other if other.starts_with('-') => {
                eprintln!(
                    "unknown option {other}; there is --quick, and filters such as `memory` or `memory/1000`"
                );
                return ExitCode::from(2);
            }
            filter => filters.push(filter.to_lowercase()),
        }
    }
    if quick && !pace.tiny {
        pace = Pace::quick();
    }
    if !pace.tiny {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!(
            "load before: {}",
            load.split(' ').take(3).collect::<Vec<_>>().join(" ")
        );
        println!("{} rounds of {:?} after a warm-up", pace.rounds, pace.round);
    }
    let mut sound = true;
    let mut ran = 0;
    for (concept, cases) in CONCEPTS {
        for held in cases() {
            let path = format!("{concept}/{}", held.case.case).to_lowercase();
            if !filters.is_empty() && !filters.iter().any(|filter| is_in(filter, &path)) {
                continue;
            }
            ran += 1;
            let rows = held.case.run(pace);
            sound &= rows.iter().all(|row| row.outcome.is_ok());
            for row in rows.iter().filter(|row| row.outcome.is_err()) {
                eprintln!("{path}: {row:?}");
            }
            if !pace.tiny {
                table::print(
                    &format!("{concept}: {}", held.case.case),
                    held.target,
                    &rows,
                );
            }
        }
    }
    if filters.is_empty()
        || filters
            .iter()
            .any(|filter| is_in(filter, "partitions/fairness"))
    {
        ran += 1;
        fair::polls_until_all_are_seen();
    }
    if pace.tiny {
        println!("{ran} cases ran once");
    } else if ran == 0 {
        eprintln!("no case is called {filters:?}");
    }
    if sound && ran > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn is_in(filter: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    filter
        .split('/')
        .all(|part| segments.any(|segment| segment.contains(part)))
}
