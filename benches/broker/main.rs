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
mod held;
mod memory;
mod router;
mod table;

use std::process::ExitCode;
use std::time::Duration;

pub(crate) use held::Held;

type Concept = (&'static str, fn() -> Vec<Held>);

const CONCEPTS: &[Concept] = &[
    ("memory", memory::cases),
    ("partitions", fair::cases),
    ("router", router::cases),
    #[cfg(feature = "durable")]
    ("durable", durable::cases),
];

fn main() -> ExitCode {
    let mut run = match held::Run::from_arguments(Duration::from_millis(30)) {
        Ok(run) => run,
        Err(code) => return code,
    };
    for (concept, cases) in CONCEPTS {
        run.cases(concept, cases());
    }
    if run.wants("partitions/fairness") {
        fair::polls_until_all_are_seen();
    }
    run.end()
}
