//! The program under test: found, started, interrupted, and its summary held to the sums.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn summary(&self) -> Value {
        let summary: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}, {}", self.stdout, self.stderr));
        let count = |key: &str| {
            summary[key]
                .as_u64()
                .unwrap_or_else(|| panic!("{key} in {summary}"))
        };
        let sum = |key: &str| -> u64 {
            summary[key]
                .as_object()
                .unwrap()
                .values()
                .map(|count| count.as_u64().unwrap())
                .sum()
        };
        assert_eq!(
            count("rows"),
            count("rejected") + count("pushed") + count("refused"),
            "{summary}"
        );
        assert_eq!(
            count("pushed"),
            count("pulled") + count("dropped"),
            "{summary}"
        );
        assert_eq!(
            count("pulled"),
            count("delivered") + count("left"),
            "{summary}"
        );
        assert_eq!(sum("by_network"), count("delivered"), "{summary}");
        assert_eq!(sum("batches_by_reason"), count("batches"), "{summary}");
        assert_eq!(
            count("slow_subscriber_received") + count("slow_subscriber_missed"),
            count("delivered"),
            "{summary}"
        );
        summary
    }

    /// The summary of a run that came to its end.
    pub(crate) fn balanced(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.summary()
    }
}

pub(crate) fn quakes(options: &[&str]) -> Ended {
    quakes_on(options, "")
}

pub(crate) fn quakes_on(options: &[&str], input: &str) -> Ended {
    finish(spawn(options), input.as_bytes())
}

pub(crate) fn spawn(options: &[&str]) -> Child {
    Command::new(program())
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn finish(mut child: Child, input: &[u8]) -> Ended {
    // Programs that do not read their input may end before it is written.
    let _ = child.stdin.take().unwrap().write_all(input);
    wait(child)
}

/// Waits for the end, which comes long before patience does.
fn wait(mut child: Child) -> Ended {
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let patience = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > patience {
            child.kill().unwrap();
            panic!("it does not end");
        }
        sleep(Duration::from_millis(2));
    };
    let text =
        |reader: Option<JoinHandle<String>>| reader.map_or_else(String::new, |r| r.join().unwrap());
    Ended {
        code: status.code().expect("killed by a signal"),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

#[cfg(unix)]
#[derive(Clone, Copy)]
pub(crate) enum Press {
    Once,
    UntilItEnds,
}

/// Presses Ctrl-C when something has been delivered.
#[cfg(unix)]
pub(crate) fn interrupt(mut child: Child, input: &str, out: &Path, press: Press) -> Ended {
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let patience = Instant::now() + PATIENCE;
    while fs::metadata(out).map_or(0, |file| file.len()) == 0 {
        assert!(Instant::now() < patience, "nothing has been delivered");
        sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    loop {
        // Not before the process has been waited for can its id be somebody else's.
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        sleep(Duration::from_millis(50)); // signals that come at once are one
        if matches!(press, Press::Once) || child.try_wait().unwrap().is_some() {
            break;
        }
    }
    wait(child)
}

/// The example's binary, which cargo puts into a folder beside the one of the test's.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        let program = profile.join("examples").join(format!("quakes{}", env::consts::EXE_SUFFIX));
        let built = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        let written = fs::read_dir("examples/quakes").unwrap().map(|file| built(&file.unwrap().path()));
        assert!(
            built(&program) > written.max().unwrap(),
            "{} is missing or older than its source: `cargo test` builds it, but before `cargo test --test quakes` it \
             takes `cargo build --example quakes`",
            program.display()
        );
        program
    })
}
