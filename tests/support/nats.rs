//! A real NATS server for a test: ephemeral, in a directory of its own, gone with its value.
//!
//! It is taken from `NATS_SERVER`, or from the path.
#![allow(clippy::allow_attributes, reason = "each test uses a part of it")]
#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to start, on a machine that is busy.
const STARTING: Duration = Duration::from_secs(30);

/// A server that runs. Dropping it kills it and removes what it stored.
pub(crate) struct Server {
    child: Option<Child>,
    guard: Option<Child>,
    port: u16,
    dir: PathBuf,
    more: Vec<String>,
}

/// Whether tests that need a server are to be left out: `PUSHPULL_SKIP_NATS=1`.
pub(crate) fn skipped() -> bool {
    let skipped = std::env::var_os("PUSHPULL_SKIP_NATS").is_some_and(|value| value == "1");
    if skipped {
        eprintln!("left out, as PUSHPULL_SKIP_NATS is 1");
    }
    skipped
}

impl Server {
    /// Starts a server with JetStream.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with JetStream and these arguments beside its own.
    pub(crate) fn start_with(more: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pushpull-nats-{}-{count}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        // What a killed process of the same number left.
        let _gone = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory for the server");
        let mut server = Self {
            child: None,
            guard: None,
            port: 0,
            dir,
            more: more.iter().map(ToString::to_string).collect(),
        };
        server.launch();
        server
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The directory that is its own, and goes with it.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Kills it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        for mut child in self.guard.take().into_iter().chain(self.child.take()) {
            child.kill().expect("the server is killed");
            child.wait().expect("the server is gone");
        }
    }

    /// Starts it again where it was, with what it had stored.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    fn launch(&mut self) {
        let log = self.dir.join("log");
        let ports = self.dir.join("ports");
        let _gone = fs::remove_dir_all(&ports);
        fs::create_dir_all(&ports).expect("a directory for the server's ports");
        let port = match self.port {
            0 => "-1".to_owned(),
            known => known.to_string(),
        };
        let mut command = Command::new(program());
        command
            .args(["-js", "-a", "127.0.0.1", "-p", &port])
            .arg("-sd")
            .arg(self.dir.join("store"))
            .arg("--ports_file_dir")
            .arg(&ports)
            .arg("-l")
            .arg(&log)
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = spawn(&mut command);
        let started = Instant::now();
        loop {
            let exited = child.try_wait().expect("the server's state");
            if exited.is_some() || started.elapsed() > STARTING {
                let _dead = child.kill();
                let said = fs::read_to_string(&log).unwrap_or_default();
                panic!("nats-server does not start: {exited:?}\n{said}");
            }
            if let Some(port) = port_in(&ports, child.id()) {
                self.port = port;
                if TcpStream::connect(self.address()).is_ok() {
                    break;
                }
            }
            sleep(Duration::from_millis(2));
        }
        self.guard = guard(child.id(), &self.dir);
        self.child = Some(child);
    }
}

/// Kills the server and removes its directory when this process is gone, however it ended: then the pipe closes.
fn guard(server: u32, dir: &Path) -> Option<Child> {
    let mut command = Command::new("sh");
    command
        .args(["-c", "read -r _; kill -9 \"$0\"; rm -rf \"$1\""])
        .arg(server.to_string())
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Without a shell there is no guard, and that is all.
    command.spawn().ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        for mut child in self.guard.take().into_iter().chain(self.child.take()) {
            let _dead = child.kill();
            let _gone = child.wait();
        }
        let _gone = fs::remove_dir_all(&self.dir);
    }
}

fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("NATS_SERVER") {
        return named.into();
    }
    // Debian's package puts it where the path of a user may not lead.
    let debian = Path::new("/usr/sbin/nats-server");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .map(|dir| dir.join("nats-server"))
        .find(|file| file.is_file())
        .unwrap_or_else(|| debian.into())
}

fn spawn(command: &mut Command) -> Child {
    match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!(
            "there is no nats-server: get it with `apt-get install nats-server`, name it with NATS_SERVER=path/to/nats-server, \
             or leave these tests out with PUSHPULL_SKIP_NATS=1"
        ),
        Err(error) => panic!("{:?} cannot be started: {error}", command.get_program()),
    }
}

/// The port in the file that the server writes when it listens.
fn port_in(ports: &Path, id: u32) -> Option<u16> {
    let end = format!("_{id}.ports");
    let mut files = fs::read_dir(ports).ok()?.flatten();
    let file = files.find(|file| file.file_name().to_string_lossy().ends_with(&end))?;
    let text = fs::read_to_string(file.path()).ok()?;
    let address = text.split('"').find(|part| part.contains("://"))?;
    address.rsplit_once(':')?.1.parse().ok()
}
