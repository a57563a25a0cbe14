//! What the benches of brokers share: arguments, which cases are wanted, and what came out.

use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs};

use crate::harness::{Case, Pace};
use crate::table;

/// A case, and how many times as long as each of the others ours may take.
pub(crate) struct Held {
    pub(crate) case: Case,
    pub(crate) target: Option<f64>,
}

/// A run of the bench.
pub(crate) struct Run {
    pub(crate) pace: Pace,
    filters: Vec<String>,
    sound: bool,
    ran: usize,
}

impl Run {
    /// The arguments of the command line; rounds take so long, unless it says otherwise.
    pub(crate) fn from_arguments(round: Duration) -> Result<Self, ExitCode> {
        // `cargo bench` says `--bench`; `cargo test` says nothing, and wants to know only whether the benches still run.
        let mut pace = Pace::tiny();
        let mut quick = false;
        let mut filters = Vec::new();
        for argument in env::args().skip(1) {
            match argument.as_str() {
                "--bench" => {
                    pace = Pace::normal();
                    pace.round = round;
                }
                "--quick" => quick = true,
                other if other.starts_with('-') => {
                    eprintln!(
                        "unknown option {other}; there is --quick, and filters: parts of the path concept/case"
                    );
                    return Err(ExitCode::from(2));
                }
                filter => filters.push(filter.to_lowercase()),
            }
        }
        if quick && !pace.tiny {
            pace = Pace::quick();
            pace.round = round / 5;
        }
        if !pace.tiny {
            let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
            let load: Vec<_> = load.split(' ').take(3).collect();
            println!("load before: {}", load.join(" "));
            println!("{} rounds of {:?} after a warm-up", pace.rounds, pace.round);
        }
        Ok(Self {
            pace,
            filters,
            sound: true,
            ran: 0,
        })
    }

    /// Runs those cases of a concept that are wanted.
    pub(crate) fn cases(&mut self, concept: &str, cases: Vec<Held>) {
        for Held { case, target } in cases {
            let path = format!("{concept}/{}", case.case);
            if !self.wants(&path) {
                continue;
            }
            let rows = case.run(self.pace);
            self.sound &= rows.iter().all(|row| row.outcome.is_ok());
            for row in rows.iter().filter(|row| row.outcome.is_err()) {
                eprintln!("{path}: {row:?}");
            }
            if !self.pace.tiny {
                table::print(&format!("{concept}: {}", case.case), target, &rows);
            }
        }
    }

    /// Whether something by this path is to run; it counts as run then.
    pub(crate) fn wants(&mut self, path: &str) -> bool {
        let path = path.to_lowercase();
        let wanted =
            self.filters.is_empty() || self.filters.iter().any(|filter| is_in(filter, &path));
        self.ran += usize::from(wanted);
        wanted
    }

    pub(crate) fn end(self) -> ExitCode {
        if self.pace.tiny {
            println!("{} cases ran once", self.ran);
        } else if self.ran == 0 {
            eprintln!("no case is called {:?}", self.filters);
        }
        if self.sound && self.ran > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn is_in(filter: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    filter
        .split('/')
        .all(|part| segments.any(|segment| segment.contains(part)))
}
