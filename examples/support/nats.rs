//! A connection to NATS: to the server that was named, or to one that is started for the length of the run.

use std::error::Error;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use pushpull::nats::{Nats, Options};

const DEFAULT: &str = "nats://127.0.0.1:4222";

/// Connects to `url`. Where none is given, a server of this run's own is started if there is one to start (`NATS_SERVER`
/// names the program; else it is looked for on the PATH); if not, one may be running where NATS usually does.
///
/// The server, if any, ends when it is dropped.
pub(crate) async fn connect(url: Option<&str>) -> Result<(Nats, Option<Server>), Box<dyn Error>> {
    if let Some(url) = url {
        return Ok((Nats::connect(url, Options::new()).await?, None));
    }
    if let Some(server) = Server::start().await? {
        let nats = Nats::connect(&server.url, Options::new()).await?;
        return Ok((nats, Some(server)));
    }
    match Nats::connect(DEFAULT, Options::new()).await {
        Ok(nats) => Ok((nats, None)),
        Err(error) => Err(format!(
            "there is no `nats-server` to start, and none answers at {DEFAULT} ({error}). Debian has it as \
             `apt-get install nats-server`; NATS_SERVER may name the program, and --url a server with JetStream"
        )
        .into()),
    }
}

/// A server with JetStream on a free port, and a directory that goes with it.
pub(crate) struct Server {
    process: Child,
    dir: PathBuf,
    pub(crate) url: String,
}

impl Server {
    /// Starts it; `None` where there is no such program.
    pub(crate) async fn start() -> Result<Option<Self>, Box<dyn Error>> {
        let program = program();
        let dir = env::temp_dir().join(format!("pushpull-example-nats-{}", process::id()));
        fs::create_dir_all(&dir)?;
        let started = Command::new(&program)
            .args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"])
            .arg(&dir)
            .arg("--ports_file_dir")
            .arg(&dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match started {
            Ok(process) => process,
            Err(error) => {
                fs::remove_dir_all(&dir)?;
                return match error.kind() {
                    ErrorKind::NotFound if env::var_os("NATS_SERVER").is_none() => Ok(None),
                    _ => Err(
                        format!("cannot start {}: {error}", Path::new(&program).display()).into(),
                    ),
                };
            }
        };
        let url = String::new();
        let mut server = Self { process, dir, url };
        server.url = server.listening().await?;
        Ok(Some(server))
    }

    /// Waits until it says where it listens.
    async fn listening(&mut self) -> Result<String, Box<dyn Error>> {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("nats-server ended at once: {status}").into());
            }
            if let Some(url) = ports(&self.dir)? {
                return Ok(url);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err("nats-server does not say where it listens".into())
    }
}

/// Debian has it where only root looks for programs.
fn program() -> OsString {
    const DEBIAN: &str = "/usr/sbin/nats-server";
    let named = env::var_os("NATS_SERVER");
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).any(|dir| dir.join("nats-server").is_file());
    match named {
        Some(program) => program,
        None if !on_path && Path::new(DEBIAN).is_file() => DEBIAN.into(),
        None => "nats-server".into(),
    }
}

/// The address in the file that the server writes when it is up.
fn ports(dir: &Path) -> Result<Option<String>, Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "ports")
        {
            // A file that is half written is no JSON yet.
            let ports: Result<serde_json::Value, _> = serde_json::from_slice(&fs::read(path)?);
            return Ok(ports
                .ok()
                .and_then(|ports| Some(ports["nats"][0].as_str()?.to_owned())));
        }
    }
    Ok(None)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_by_itself = self.process.kill();
        let _ended_by_itself = self.process.wait();
        let _left_behind = fs::remove_dir_all(&self.dir);
    }
}
