//! `cargo bench --bench peers [-- [--quick] [filter]...]`: pushpull and its peers, in one process and one run.
//!
//! A filter is a path of parts: `queue`, `batch/xt`, `queue/64 bytes/4p4c`. Each part must be found, in this order, in
//! the path `<concept>/<case>/<mode>`; a concept's name as the first part means that concept alone.

mod batch;
mod broadcast;
mod bulk;
mod chain;
mod cpu;
mod growth;
mod harness;
mod heap;
mod queue;
mod race;
mod rate;
mod report;
mod waiting;

use std::process::ExitCode;
use std::{env, fs};

use harness::{Case, Pace, Role};
use report::{Lines, Table};

type Concept = (&'static str, fn() -> Vec<Case>);

const CONCEPTS: &[Concept] = &[
    ("queue", queue::cases),
    ("batch", batch::cases),
    ("growth", growth::cases),
    ("heap", heap::cases),
    ("broadcast", broadcast::cases),
    ("rate", rate::cases),
    ("chain", chain::cases),
    ("waiting", waiting::cases),
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
                    "unknown option {other}; there is --quick, and filters such as `queue` or `batch/xt`"
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
        println!(
            "{} rounds of {:?} after a warm-up; * is compared with nothing",
            pace.rounds, pace.round
        );
    }
    // As its documentation asks for.
    crossfire::detect_backoff_cfg();
    let mut sound = true;
    let mut ran = 0;
    for (concept, cases) in CONCEPTS {
        let chosen = cases()
            .into_iter()
            .filter(|case| is_chosen(&filters, concept, case));
        let mut lines = None;
        let mut table = Table::default();
        for case in chosen {
            ran += 1;
            let rows = case.run(pace);
            sound &= rows
                .iter()
                .all(|row| row.outcome.is_ok() || !matches!(row.role, Role::Ours | Role::Info));
            if pace.tiny {
                sound &= rows.iter().all(|row| row.outcome.is_ok());
                rows.iter()
                    .filter(|row| row.outcome.is_err())
                    .for_each(|row| eprintln!("{}: {row:?}", case.case));
                continue;
            }
            let lines = lines
                .get_or_insert_with(|| Lines::create(concept).expect("a file under target/peers"));
            lines
                .write(&case, &rows)
                .expect("to write under target/peers");
            table.add(concept, &case, rows);
        }
        table.print();
    }
    if pace.tiny {
        println!("{ran} cases ran once");
    } else if ran == 0 {
        eprintln!("no case is called {filters:?}");
    }
    // A peer that fails is reported; ours must not.
    if sound && ran > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn is_chosen(filters: &[String], concept: &str, case: &Case) -> bool {
    let path = format!("{concept}/{}/{}", case.case, case.mode).to_lowercase();
    filters.is_empty() || filters.iter().any(|filter| matches_path(filter, &path))
}

fn matches_path(filter: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let mut parts = filter.split('/').peekable();
    let first = parts.peek().copied().unwrap_or_default();
    if CONCEPTS.iter().any(|(name, _)| *name == first) && segments.clone().next() != Some(first) {
        return false;
    }
    parts.all(|part| segments.any(|segment| segment.contains(part)))
}
