//! Takes down a history while it happens.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::history::{Entry, Op, Outcome, What, line};

pub(crate) struct Recorder {
    entries: Out,
    /// The numbers of calls and processes that come next.
    calls: AtomicU64,
    processes: AtomicU64,
    began: Instant,
    /// When the history began, in microseconds before this.
    before: u64,
    operations: AtomicU64,
    pushes: AtomicU64,
}

enum Out {
    Kept(Mutex<Vec<Entry>>),
    /// To whoever started this process, a line each.
    Said,
}

impl Recorder {
    /// Keeps what it takes down.
    pub(crate) fn new() -> Self {
        Self::over(Out::Kept(Mutex::default()), 0, 0)
    }

    /// Says it on standard output. `run`: which of the processes of this history this is, from 1 on.
    pub(crate) fn saying(run: u64, before: u64) -> Self {
        Self::over(Out::Said, run << 40, before)
    }

    fn over(entries: Out, first: u64, before: u64) -> Self {
        Self {
            entries,
            calls: AtomicU64::new(first),
            // Values are made from the numbers of processes, which must not be large therefore.
            processes: AtomicU64::new((first >> 40) * 10_000 + 1),
            began: Instant::now(),
            before,
            operations: AtomicU64::new(0),
            pushes: AtomicU64::new(0),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.before + u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    /// A new process.
    pub(crate) fn process(&self) -> u64 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn invoke(&self, process: u64, op: Op) -> u64 {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if op.counts() {
            self.operations.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(op, Op::Push { .. }) {
            self.pushes.fetch_add(1, Ordering::Relaxed);
        }
        self.put(|at| Entry::Invoke {
            call,
            process,
            at,
            op,
        });
        call
    }

    pub(crate) fn done(&self, call: u64, outcome: Outcome) {
        self.put(|at| Entry::Return { call, at, outcome });
    }

    pub(crate) fn event(&self, what: What) {
        if matches!(what, What::Restarted | What::Killed | What::Cut) {
            self.operations.fetch_add(1, Ordering::Relaxed);
        }
        self.put(|at| Entry::Event { at, what });
    }

    /// What another process has said.
    pub(crate) fn heard(&self, entry: Entry) {
        if matches!(&entry, Entry::Invoke { op, .. } if op.counts()) {
            self.operations.fetch_add(1, Ordering::Relaxed);
        }
        if let Out::Kept(entries) = &self.entries {
            entries.lock().unwrap().push(entry);
        }
    }

    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    pub(crate) fn pushes(&self) -> u64 {
        self.pushes.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) -> Vec<Entry> {
        match &self.entries {
            Out::Kept(entries) => std::mem::take(&mut *entries.lock().unwrap()),
            Out::Said => Vec::new(),
        }
    }

    /// The time is taken and the entry put down as one, so that times grow.
    fn put(&self, entry: impl FnOnce(u64) -> Entry) {
        match &self.entries {
            Out::Kept(entries) => {
                let mut entries = entries.lock().unwrap();
                entries.push(entry(self.now()));
            }
            Out::Said => {
                let mut out = std::io::stdout().lock();
                let line = line(&entry(self.now()));
                out.write_all(format!("{line}\n").as_bytes()).unwrap();
                out.flush().unwrap();
            }
        }
    }
}
