//! A line to a server that can be cut, muted, held, slowed down and healed.
#![allow(clippy::allow_attributes, reason = "each test uses a part of it")]
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What the line does with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Open,
    /// Everything takes so long, in either direction.
    Slow(Duration),
    /// What the server says does not arrive; what it is told does.
    Mute,
    /// Nothing arrives, and nobody is told.
    Held,
    /// Connections break, and new ones break at once.
    Cut,
}

/// A line. It ends with its value.
pub(crate) struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (line, told) = watch::channel(Line::Open);
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *told.borrow() == Line::Cut {
                    continue;
                }
                let (server, told) = (server.clone(), told.clone());
                tokio::spawn(async move {
                    // A server that is down breaks the connection, as it would without a proxy.
                    let Ok(server) = TcpStream::connect(server).await else {
                        return;
                    };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(
                        pass(from_client, to_server, told.clone(), false),
                        pass(from_server, to_client, told, true),
                    );
                });
            }
        });
        Self {
            address,
            line,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        // Connections watch the line, and this is the last they hear of it.
        self.line.send_replace(Line::Cut);
    }
}

/// One direction of a connection, until it is cut or ends.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
    answers: bool,
) {
    let mut bytes = vec![0; 64 * 1024];
    let mut cut = line.clone();
    let cut = async move {
        let _gone = cut.wait_for(|line| *line == Line::Cut).await;
    };
    let passing = async {
        loop {
            let n = match from.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(n) => n,
            };
            let stuck = |line: &Line| *line == Line::Held || answers && *line == Line::Mute;
            let Ok(line) = line.wait_for(|line| !stuck(line)).await.map(|line| *line) else {
                return;
            };
            if let Line::Slow(time) = line {
                sleep(time).await;
            }
            if to.write_all(&bytes[..n]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = cut => {}
        () = passing => {}
    }
}
