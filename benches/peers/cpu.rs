//! CPU time that the threads of this process have used, user and system, to the nanosecond.

use std::collections::HashMap;
use std::time::Duration;
use std::{fs, thread};

/// A reading of the process's CPU clock: Linux's `/proc/self/task/*/schedstat`, whose first number is time on a CPU.
///
/// A thread that ends takes its time along, so those that are measured have to outlive the second reading.
#[derive(Debug)]
pub(crate) struct CpuTime(HashMap<String, u64>);

impl CpuTime {
    pub(crate) fn now() -> Self {
        // The time of a thread is brought up to date when it enters the scheduler.
        thread::yield_now();
        let tasks = fs::read_dir("/proc/self/task").expect("measuring CPU time needs Linux");
        let used = tasks.filter_map(|task| {
            let task = task.ok()?;
            // One that has just ended.
            let line = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let used = line.split(' ').next()?.parse().ok()?;
            Some((task.file_name().into_string().ok()?, used))
        });
        Self(used.collect())
    }

    /// What all threads together have used since.
    pub(crate) fn elapsed(&self) -> Duration {
        let since = |(task, used): (&String, &u64)| {
            used.saturating_sub(self.0.get(task).copied().unwrap_or(0))
        };
        Duration::from_nanos(Self::now().0.iter().map(since).sum())
    }
}
