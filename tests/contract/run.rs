//! A case on an engine: a test with a thread, a runtime and names of its own.

use std::panic::resume_unwind;
use std::thread;

use libtest_mimic::{Completion, Failed, Trial};
use tokio::runtime::{Builder, Runtime};

use crate::engines::Engine;
use crate::kit::{self, Clock};

/// This case on this engine.
pub(crate) fn trial<E: Engine, F: Future<Output = ()> + 'static>(
    name: &'static str,
    case: fn(E) -> F,
) -> Trial {
    let name = format!("{}::{name}", E::NAME);
    Trial::ignorable_test(name.clone(), move || {
        if let Some(reason) = E::skipped() {
            return Ok(Completion::ignored_with(reason));
        }
        on_a_thread(name, move || {
            kit::begin(E::CLOCK, E::SHARED);
            let runtime = runtime(E::CLOCK);
            runtime.block_on(kit::within_patience(async {
                case(E::start().await).await;
            }));
        })
    })
}

/// A case on several threads, where the clock cannot be paused and decides nothing.
pub(crate) fn on_threads<F: Future<Output = ()> + 'static>(
    name: &'static str,
    case: fn() -> F,
) -> Trial {
    Trial::ignorable_test(name, move || {
        on_a_thread(name.into(), move || {
            kit::begin(Clock::Real, false);
            let mut builder = Builder::new_multi_thread();
            let runtime = builder.worker_threads(3).enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(kit::within_patience(case()));
        })
    })
}

fn runtime(clock: Clock) -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder
        .enable_all()
        .start_paused(matches!(clock, Clock::Paused));
    builder.build().expect("a runtime")
}

/// A panic names its thread, and so the case.
fn on_a_thread(name: String, run: impl FnOnce() + Send + 'static) -> Result<Completion, Failed> {
    match thread::Builder::new().name(name).spawn(run)?.join() {
        Ok(()) => Ok(Completion::Completed),
        Err(panic) => resume_unwind(panic),
    }
}
