//! Contenders of a case take turns, round by round; a watchdog waits for each of them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// No round may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) round: Duration,
    pub(crate) rounds: usize,
    /// Under `cargo test`: do the benches still run?
    pub(crate) tiny: bool,
}

impl Pace {
    pub(crate) fn normal() -> Self {
        Self {
            round: Duration::from_millis(30),
            rounds: 11,
            tiny: false,
        }
    }

    pub(crate) fn quick() -> Self {
        Self {
            round: Duration::from_millis(6),
            rounds: 5,
            tiny: false,
        }
    }

    pub(crate) fn tiny() -> Self {
        Self {
            round: Duration::ZERO,
            rounds: 1,
            tiny: true,
        }
    }
}

/// What a contender is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `pushpull`: the one that is compared.
    Ours,
    /// Another way through `pushpull`, or a floor: shown, and compared with nothing.
    Info,
    /// What people write today with tokio and tokio-stream; a peer, too.
    Glue,
    Peer,
}

type Round = Arc<dyn Fn(u64) -> Duration + Send + Sync>;
type Job = (Round, u64);
type Outcome = Result<Duration, String>;
type Weigh = Arc<dyn Fn() -> u64 + Send + Sync>;

#[derive(Clone)]
enum Measure {
    Time(Round),
    Bytes(Weigh),
}

/// One implementation of a case.
#[derive(Clone)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    measure: Measure,
}

impl Contender {
    /// `round` moves as many items as it is told, checks that all have arrived, and says how long that took.
    pub(crate) fn new(
        name: &'static str,
        role: Role,
        round: impl Fn(u64) -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            role,
            measure: Measure::Time(Arc::new(round)),
        }
    }

    pub(crate) fn ours(round: impl Fn(u64) -> Duration + Send + Sync + 'static) -> Self {
        Self::new("pushpull", Role::Ours, round)
    }

    pub(crate) fn peer(
        name: &'static str,
        round: impl Fn(u64) -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, Role::Peer, round)
    }

    pub(crate) fn glue(
        name: &'static str,
        round: impl Fn(u64) -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, Role::Glue, round)
    }

    pub(crate) fn info(
        name: &'static str,
        round: impl Fn(u64) -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, Role::Info, round)
    }

    /// `weigh` says how many bytes it takes: asked once.
    pub(crate) fn bytes(
        name: &'static str,
        role: Role,
        weigh: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            role,
            measure: Measure::Bytes(Arc::new(weigh)),
        }
    }
}

/// One cell for each contender: the same work, in one mode.
pub(crate) struct Case {
    /// As in the JSON, and for filters.
    pub(crate) case: String,
    pub(crate) mode: &'static str,
    /// Cases that follow each other with the same table are printed as its columns.
    pub(crate) table: String,
    pub(crate) column: String,
    contenders: Vec<Contender>,
    items: Option<u64>,
}

impl Case {
    /// A column named as the mode in a table named as the case.
    pub(crate) fn new(
        case: impl Into<String>,
        mode: &'static str,
        contenders: Vec<Contender>,
    ) -> Self {
        let case = case.into();
        Self {
            table: case.clone(),
            column: mode.to_owned(),
            case,
            mode,
            contenders,
            items: None,
        }
    }

    /// Another place in print.
    pub(crate) fn column(mut self, table: impl Into<String>, column: impl Into<String>) -> Self {
        self.table = table.into();
        self.column = column.into();
        self
    }

    /// Each round has this many items, however long that takes, instead of as many as fill a round.
    pub(crate) fn items(mut self, items: u64) -> Self {
        self.items = Some(items);
        self
    }

    /// Runs all rounds.
    pub(crate) fn run(&self, pace: Pace) -> Vec<Row> {
        let mut bench = Bench::default();
        let mut racers: Vec<Racer> = self
            .contenders
            .iter()
            .map(|one| Racer::new(one.clone()))
            .collect();
        for racer in &mut racers {
            racer.warm_up(&mut bench, pace, self.items);
        }
        let count = racers.len();
        for round in 0..pace.rounds {
            for turn in 0..count {
                racers[(round + turn) % count].round(&mut bench);
            }
        }
        racers.into_iter().map(Racer::row).collect()
    }
}

/// What came out for one contender.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) contender: &'static str,
    pub(crate) role: Role,
    pub(crate) outcome: Result<Figure, String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    /// Nanoseconds an item.
    Time {
        median: f64,
        min: f64,
        rounds: usize,
    },
    Bytes(u64),
}

impl Figure {
    /// What is compared.
    pub(crate) fn value(self) -> f64 {
        match self {
            Self::Time { median, .. } => median,
            Self::Bytes(bytes) => bytes as f64,
        }
    }
}

/// A contender in the race: its items a round, its figures so far, or what ended it.
struct Racer {
    contender: Contender,
    items: u64,
    figures: Vec<f64>,
    bytes: Option<u64>,
    failed: Option<String>,
}

impl Racer {
    fn new(contender: Contender) -> Self {
        Self {
            contender,
            items: 0,
            figures: Vec::new(),
            bytes: None,
            failed: None,
        }
    }

    /// Finds how many items fill a round, which warms the caches too, then runs one round for nothing.
    fn warm_up(&mut self, bench: &mut Bench, pace: Pace, fixed: Option<u64>) {
        if matches!(self.contender.measure, Measure::Bytes(_)) {
            return;
        }
        if pace.tiny {
            self.items = fixed.unwrap_or(64).min(64);
            return;
        }
        self.items = fixed.unwrap_or(1024);
        while let Some(took) = self.time(bench) {
            let wanted = pace.round.as_nanos() as f64 / took.as_nanos().max(1) as f64;
            if fixed.is_some() || wanted < 1.5 {
                self.items =
                    fixed.unwrap_or_else(|| ((self.items as f64 * wanted) as u64).max(256));
                break;
            }
            self.items = (self.items as f64 * wanted.min(32.0)) as u64;
        }
        if fixed.is_none() {
            self.time(bench);
        }
    }

    fn round(&mut self, bench: &mut Bench) {
        match &self.contender.measure {
            Measure::Time(_) => {
                if let Some(took) = self.time(bench) {
                    self.figures
                        .push(took.as_nanos() as f64 / self.items as f64);
                }
            }
            Measure::Bytes(weigh) => {
                if self.bytes.is_none() {
                    self.bytes = Some(weigh());
                }
            }
        }
    }

    fn time(&mut self, bench: &mut Bench) -> Option<Duration> {
        let Measure::Time(round) = &self.contender.measure else {
            return None;
        };
        if self.failed.is_some() {
            return None;
        }
        match bench.run(round.clone(), self.items) {
            Ok(took) => Some(took),
            Err(failure) => {
                self.failed = Some(failure);
                None
            }
        }
    }

    fn row(mut self) -> Row {
        let outcome = match (self.failed, self.bytes) {
            (Some(failure), _) => Err(failure),
            (None, Some(bytes)) => Ok(Figure::Bytes(bytes)),
            (None, None) => {
                self.figures.sort_unstable_by(f64::total_cmp);
                let rounds = self.figures.len();
                Ok(Figure::Time {
                    median: self.figures[rounds / 2],
                    min: self.figures[0],
                    rounds,
                })
            }
        };
        Row {
            contender: self.contender.name,
            role: self.contender.role,
            outcome,
        }
    }
}

/// The thread that rounds run on. One that hangs is left behind, and its contender with it.
#[derive(Default)]
struct Bench {
    at_work: Option<(Sender<Job>, Receiver<Outcome>)>,
}

impl Bench {
    fn run(&mut self, round: Round, items: u64) -> Outcome {
        let (jobs, outcomes) = self.at_work.get_or_insert_with(|| {
            let (jobs, todo) = mpsc::channel::<Job>();
            let (done, outcomes) = mpsc::channel();
            thread::spawn(move || {
                while let Ok((round, items)) = todo.recv() {
                    let outcome = catch_unwind(AssertUnwindSafe(|| round(items)));
                    if done
                        .send(outcome.map_err(|panic| message(&*panic)))
                        .is_err()
                    {
                        return;
                    }
                }
            });
            (jobs, outcomes)
        });
        let from = Instant::now();
        jobs.send((round, items))
            .map_err(|_| "its thread is gone".to_owned())?;
        match outcomes.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => {
                self.at_work = None;
                Err(format!(
                    "hangs: {items} items are not through after {:?}",
                    from.elapsed()
                ))
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.at_work = None;
                Err("its thread is gone".to_owned())
            }
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}
