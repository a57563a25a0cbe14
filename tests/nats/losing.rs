//! Connections and servers that go away in the middle of it.

use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt;
use pushpull::broker::{Error, Producer, Record, TopicConfig};
use pushpull::nats::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::kit::*;

/// What a proxy does with what goes through it.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    /// Hands everything on.
    Fair,
    /// Swallows what the server says.
    Mute,
    /// Cuts all connections, and takes no new ones.
    Cut,
}

/// A way to the server that can be bad.
struct Proxy {
    address: String,
    mood: Arc<watch::Sender<Mood>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mood = Arc::new(watch::Sender::new(Mood::Fair));
        let (to, moods) = (server.address(), Arc::clone(&mood));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *moods.borrow() == Mood::Cut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&to).await else {
                    continue;
                };
                tokio::spawn(hand_on(client, server, moods.subscribe()));
            }
        });
        Self {
            address,
            mood,
            task,
        }
    }

    fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    fn be(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hand_on(client: TcpStream, server: TcpStream, mut moods: watch::Receiver<Mood>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let saying = moods.clone();
    let up = async { tokio::io::copy(&mut from_client, &mut to_server).await };
    let down = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let count = from_server.read(&mut bytes).await?;
            if count == 0 {
                return std::io::Result::Ok(());
            }
            if *saying.borrow() == Mood::Fair {
                to_client.write_all(&bytes[..count]).await?;
            }
        }
    };
    tokio::select! {
        _ended = up => {}
        _ended = down => {}
        _cut = moods.wait_for(|&mood| mood == Mood::Cut) => {}
    }
}

#[tokio::test]
async fn a_publish_whose_answer_was_lost_is_stored_once() {
    // guarantee: K1
    need_server!();
    let server = Server::start();
    let proxy = Proxy::before(&server).await;
    let nats = connect(&proxy.url()).await;
    nats.create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let producer = nats.producer();
    let first = producer.push(Record::new("t", "n/0")).await.unwrap();

    proxy.be(Mood::Mute);
    let pushing = tokio::spawn({
        let producer = producer.clone();
        async move { producer.push(Record::new("t", "n/1")).await }
    });
    // The server has it, and the answer is swallowed.
    within(LONG, async {
        while stored(&server, "t").await.len() < 2 {}
    })
    .await;
    assert!(!pushing.is_finished());
    proxy.be(Mood::Cut);
    proxy.be(Mood::Fair);
    let second = within(LONG, pushing).await.unwrap().unwrap();
    assert_eq!(second.offset, first.offset + 1);
    assert_eq!(texts(&stored(&server, "t").await), numbers(0..2));
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_replaced() {
    need_server!();
    let server = Server::start();
    let proxy = Proxy::before(&server).await;
    let options = Options::new().request_timeout(Duration::from_secs(6));
    let nats = connect_with(&proxy.url(), options).await;
    nats.create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let producer = nats.producer();
    producer.push(Record::new("t", "n/0")).await.unwrap();
    proxy.be(Mood::Mute);
    let waiting = tokio::time::sleep(SECOND);
    let (pushed, ()) = within(LONG, async {
        tokio::join!(producer.push(Record::new("t", "n/1")), async {
            waiting.await;
            // Connections that are made from now on speak; the one that was mute goes on being deaf to its answer.
            proxy.be(Mood::Fair);
        })
    })
    .await;
    pushed.unwrap();
    assert_eq!(texts(&stored(&server, "t").await), numbers(0..2));
}

/// Pushes as a sink while connections are cut again and again; everything has to be there once, and in order.
#[tokio::test]
async fn cut_connections_neither_lose_nor_repeat_nor_reorder() {
    // guarantee: K1 K2
    need_server!();
    const COUNT: usize = 20_000;
    let server = Server::start();
    let proxy = Proxy::before(&server).await;
    let nats = connect(&proxy.url()).await;
    nats.create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let mut sink = nats.producer();
    let cutting = async {
        for round in 0_u64.. {
            tokio::time::sleep(Duration::from_millis(20 + round % 7 * 10)).await;
            proxy.be(if round % 2 == 0 {
                Mood::Mute
            } else {
                Mood::Fair
            });
            tokio::time::sleep(Duration::from_millis(round % 3)).await;
            proxy.be(Mood::Cut);
            tokio::task::yield_now().await;
            proxy.be(Mood::Fair);
        }
    };
    let pushing = async {
        for record in records("t", 0..COUNT) {
            sink.feed(record).await.unwrap();
        }
        sink.flush().await.unwrap();
    };
    within(LONG, async {
        tokio::select! {
            () = pushing => {}
            () = cutting => {}
        }
    })
    .await;
    // Wherever the last cut had come to.
    proxy.be(Mood::Fair);
    let lines = nats.producer();
    lines.push(Record::new("t", "the end")).await.unwrap();
    assert_in_order(&server, COUNT).await;
}

async fn assert_in_order(server: &Server, count: usize) {
    let got = texts(&stored(server, "t").await);
    let expected = numbers(0..count);
    let same = got
        .iter()
        .zip(&expected)
        .take_while(|(got, expected)| got == expected);
    let same = same.count();
    let around = &got[same.saturating_sub(3)..(same + 3).min(got.len())];
    assert_eq!(same, count, "of {} there, in the end {around:?}", got.len());
}

#[tokio::test]
async fn a_server_that_is_killed_has_everything_when_it_is_back() {
    // guarantee: K1 K2
    need_server!();
    const COUNT: usize = 30_000;
    let mut server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let producer = nats.producer();
    let pushing = tokio::spawn(async move {
        for from in (0..COUNT).step_by(3000) {
            let mut some = records("t", from..from + 3000);
            assert_eq!(producer.push_many(&mut some).await.unwrap(), 3000);
        }
    });
    let mut kills = 0;
    while !pushing.is_finished() && kills < 20 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(kills * 10)).await;
        server.restart();
        kills += 1;
    }
    within(LONG, pushing).await.unwrap();
    assert!(kills > 2, "pushed before anything was killed");
    assert_in_order(&server, COUNT).await;
}

#[tokio::test]
async fn a_server_that_stays_away_is_an_error_in_time() {
    need_server!();
    let mut server = Server::start();
    let options = Options::new().request_timeout(SECOND);
    let nats = connect_with(&server.url(), options).await;
    nats.create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let producer = nats.producer();
    producer.push(Record::new("t", "n/0")).await.unwrap();
    server.kill();
    let record = Record::new("t", "n/1");
    let error = within(LONG, producer.push(record.clone()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Engine { .. }), "{error:?}");
    assert_eq!(error.into_record().unwrap(), record);
    let mut many = records("t", 1..5);
    let error = within(LONG, producer.push_many(&mut many))
        .await
        .unwrap_err();
    assert_eq!(error.into_record().unwrap().value, "n/1");
    assert_eq!(many, records("t", 2..5));
    let error = within(LONG, nats.topics()).await.unwrap_err();
    assert!(matches!(error, Error::Engine { .. }), "{error:?}");

    // And it goes on where it was.
    server.restart();
    let mut all = records("t", 1..5);
    within(LONG, async {
        while producer.push_many(&mut all).await.is_err() {
            all = records("t", 1..5);
        }
    })
    .await;
    assert_eq!(nats.topics().await.unwrap(), ["t"]);
    assert_eq!(texts(&stored(&server, "t").await), numbers(0..5));
}
