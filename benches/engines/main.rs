//! `cargo bench --bench engines --features full [-- [--quick] [filter]...]`: our producers and consumers beside the bare clients,
//! in one process and one run.
//!
//! The bare side is written as somebody would who wants the same: every push carries an id or is idempotent and is waited for,
//! payloads end in bytes of their own, every record is acknowledged and what was acknowledged is stored at the end of a round.
//! Both sides have topics of the same settings and as many records under way.
//!
//! NATS is a server of its own process (from `NATS_SERVER` or the PATH) which keeps its streams in memory, so that the clients
//! count for more; Kafka is librdkafka's mock cluster in this process. Both share the machine with the clients.

#[path = "../peers/harness.rs"]
#[expect(dead_code, reason = "what the benches of peers need beside")]
mod harness;
#[path = "../broker/held.rs"]
mod held;
mod kafka;
mod nats;
mod ours;
#[path = "../../examples/support/nats.rs"]
#[expect(dead_code, reason = "what the examples need beside")]
mod server;
#[path = "../broker/table.rs"]
mod table;

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

pub(crate) use held::Held;

/// Ours may take a tenth longer.
pub(crate) const TARGET: Option<f64> = Some(1.1);

fn main() -> ExitCode {
    let mut run = match held::Run::from_arguments(Duration::from_millis(200)) {
        Ok(run) => run,
        Err(code) => return code,
    };
    match runtime().block_on(server::Server::start()) {
        Ok(Some(server)) => run.cases("nats", nats::cases(&server.url)),
        Ok(None) if std::env::var("PUSHPULL_SKIP_NATS").is_ok_and(|skip| skip == "1") => {
            println!("nats: skipped, as PUSHPULL_SKIP_NATS has it");
        }
        Ok(None) => {
            eprintln!(
                "there is no `nats-server`: `apt-get install nats-server`, or name it in NATS_SERVER; PUSHPULL_SKIP_NATS=1 does \
                 without"
            );
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    run.cases("kafka", kafka::cases());
    run.end()
}

/// Rounds on a bed that is made with the first one.
pub(crate) fn on<T: Send + 'static>(
    address: &str,
    topic: String,
    make: fn(&str, &str) -> T,
    round: fn(&mut T, u64) -> Duration,
) -> impl Fn(u64) -> Duration + Send + Sync + 'static {
    let address = address.to_owned();
    let bed = Mutex::new(None);
    move |items| {
        let mut bed = bed.lock().expect("no round has panicked");
        round(bed.get_or_insert_with(|| make(&address, &topic)), items)
    }
}

/// What a program has by default, but for the number of workers.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}
