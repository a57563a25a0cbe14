//! A WebSocket server: every client has a read pump and a write pump, and what one says is broadcast to all.
//!
//! ```text
//! client -> read pump -> room (a broadcast) -> write pump -> each client
//! ```
//!
//! `cargo run --example websocket_server` starts it on a free port of this machine, lets three clients talk, and ends.

use std::error::Error;
use std::future::ready;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use pushpull::broadcast::{self, Lossy, Publisher};
use pushpull::prelude::*;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{accept_async, client_async};
use tokio_util::sync::CancellationToken;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let room = broadcast::channel(64);
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, room.clone(), stop.clone()));

    let clients: Vec<_> = ["Ann", "Ben", "Cat"]
        .map(|name| tokio::spawn(talk(address, room.clone(), name)))
        .into();
    let mut heard = Vec::new();
    for client in clients {
        heard.push(client.await??);
    }
    println!("{:#?}", heard[0]);
    assert!(
        heard.iter().all(|messages| *messages == heard[0]),
        "all hear the same in one order"
    );
    let mut messages = heard.remove(0);
    messages.sort();
    assert_eq!(messages, ["Ann is here", "Ben is here", "Cat is here"]);

    // The clients have hung up, so their pumps have ended.
    until(|| room.subscriber_count() == 0).await;
    stop.cancel();
    server.await?
}

/// Accepts clients until `stop` comes.
async fn serve(
    listener: TcpListener,
    room: Publisher<Utf8Bytes>,
    stop: CancellationToken,
) -> Outcome {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (connection, address) = accepted?;
        let client = converse(connection, room.clone());
        tokio::spawn(async move {
            if let Err(error) = client.await {
                eprintln!("{address}: {error}");
            }
        });
    }
    Ok(())
}

/// Two pumps, and when either ends the other does too.
async fn converse(connection: TcpStream, room: Publisher<Utf8Bytes>) -> Outcome {
    let (outgoing, incoming) = accept_async(connection).await?.split();

    // A client that is too slow loses the oldest messages, and is told. Nobody waits for it.
    let heard = room.subscribe_lossy(Lossy::DropOldest).map(|message| {
        Message::Text(message.unwrap_or_else(|lagged| format!("({} missed)", lagged.missed).into()))
    });
    let said = incoming.filter_map(|message| {
        ready(match message {
            Ok(Message::Text(text)) => Some(text),
            _ => None,
        })
    });

    let read_pump = said.pump_into(room);
    let write_pump = heard.pump_into(outgoing).close_sink(true).until(read_pump);
    write_pump.await?;
    Ok(())
}

/// A client: says one thing, hears three, and hangs up.
async fn talk(
    address: SocketAddr,
    room: Publisher<Utf8Bytes>,
    name: &'static str,
) -> Outcome<Vec<String>> {
    let connection = TcpStream::connect(address).await?;
    let (mut socket, _) = client_async(format!("ws://{address}/"), connection).await?;
    until(|| room.subscriber_count() == 3).await; // so that all hear all

    socket
        .send(Message::text(format!("{name} is here")))
        .await?;
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let message = socket.next().await.ok_or("the server has hung up")??;
        heard.push(message.to_text()?.to_owned());
    }
    socket.close(None).await?;
    Ok(heard)
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(Duration::from_millis(1)).await;
    }
}
