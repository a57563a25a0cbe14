//! A broadcast, by what is delivered.

use futures::StreamExt;
use pushpull::broadcast::{self, Publisher, Subscriber};
use tokio::runtime::Runtime;
use tokio::spawn;

use crate::{ITEMS, Stage, Tally};

pub(crate) type Ends = Stage<(Publisher<u64>, Vec<Subscriber<u64>>)>;

pub(crate) fn to(subscribers: usize) -> Ends {
    let publisher = broadcast::channel(1024);
    let subscribers = (0..subscribers).map(|_| publisher.subscribe()).collect();
    Stage::new((publisher, subscribers))
}

pub(crate) fn deliver(stage: Ends) -> Runtime {
    let (publisher, subscribers) = stage.parts;
    let values = ITEMS / subscribers.len() as u64;
    stage.runtime.block_on(async {
        spawn(async move {
            for value in 0..values {
                publisher.publish(value).await.expect("open");
            }
        });
        let reading = subscribers.into_iter().map(|mut subscriber| {
            spawn(async move {
                let mut tally = Tally::default();
                while let Some(value) = subscriber.next().await {
                    tally.add(value);
                }
                tally.0
            })
        });
        let mut all = Tally::default();
        for reader in Vec::from_iter(reading) {
            all.0 += reader.await.expect("to the end");
        }
        all.is_complete();
    });
    stage.runtime
}
