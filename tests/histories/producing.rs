//! Processes that push: one by one, many at once, through the sink, and some that give up.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::SinkExt;
use futures::future::join_all;
use pushpull::broker::{Position, Producer, Record};

use super::content::{content, record};
use super::dice::Dice;
use super::history::{Content, Op, Outcome};
use super::world::{Engine, World, outcome};

pub(crate) async fn produce<E: Engine>(world: Arc<World<E>>, slot: u64) {
    let mut process = Process {
        number: world.recorder.process(),
        producer: world.engine.producer(),
        dice: world.dice(slot),
        pushed: 0,
        world,
    };
    while !process.world.is_over() {
        if process.world.may_push() {
            process.step().await;
        }
        let pause = process.dice.below(4);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

struct Process<E: Engine> {
    number: u64,
    producer: E::Producer,
    dice: Dice,
    /// Each value is its process's number and how many it has pushed.
    pushed: u64,
    world: Arc<World<E>>,
}

impl<E: Engine> Process<E> {
    async fn step(&mut self) {
        match self.dice.below(10) {
            0..=5 => self.side_by_side().await,
            6 | 7 => self.many_at_once().await,
            8 => self.given_up().await,
            _ => self.through_the_sink().await,
        }
    }

    fn next(&mut self) -> (u32, Record) {
        let topic = self.dice.below(self.world.plan.topics.len() as u64) as usize;
        let (name, partitions) = self.world.plan.topics[topic];
        let value = self.number * 1_000_000 + self.pushed;
        self.pushed += 1;
        let key = self.dice.chance(80).then(|| self.dice.below(40) as u32);
        let mut record = record(name, value, key);
        if key.is_none() && self.dice.chance(50) {
            record = record.partition(self.dice.below(u64::from(partitions)) as u32);
        }
        (topic as u32, record)
    }

    fn some(&mut self, most: u64) -> Vec<(u32, Record)> {
        let count = self.dice.between(1, most);
        (0..count).map(|_| self.next()).collect()
    }

    fn invoke(&self, topic: u32, record: &Record) -> u64 {
        let record: Content = content(record);
        let op = Op::Push { topic, record };
        self.world.recorder.invoke(self.number, op)
    }

    async fn side_by_side(&mut self) {
        let records = self.some(16);
        let this = &*self;
        join_all(records.into_iter().map(async |(topic, record)| {
            let call = this.invoke(topic, &record);
            let pushed = this.producer.push(record).await;
            this.world.recorder.done(call, stored(pushed));
        }))
        .await;
    }

    async fn many_at_once(&mut self) {
        let mut calls = VecDeque::new();
        let mut records = VecDeque::new();
        for (topic, record) in self.some(32) {
            calls.push_back(self.invoke(topic, &record));
            records.push_back(record);
        }
        let pushed = self.producer.push_many(&mut records).await;
        let untouched = calls.split_off(calls.len() - records.len());
        for call in calls {
            let outcome = match &pushed {
                Ok(_) => Outcome::Done,
                Err(error) => Outcome::Unknown(error.to_string()),
            };
            self.world.recorder.done(call, outcome);
        }
        for call in untouched {
            let outcome = Outcome::Refused("it was left with its owner".into());
            self.world.recorder.done(call, outcome);
        }
    }

    /// A push that is dropped after a few polls, or a moment.
    async fn given_up(&mut self) {
        let (topic, record) = self.next();
        let (polls, moment) = (self.dice.between(1, 3), self.dice.below(3));
        let call = self.invoke(topic, &record);
        let mut push = pin!(self.producer.push(record));
        let mut polled = 0;
        let few = poll_fn(|cx| {
            if polled == polls {
                return Poll::Ready(None);
            }
            polled += 1;
            push.as_mut().poll(cx).map(Some)
        });
        let pushed = tokio::time::timeout(Duration::from_millis(moment), few).await;
        let outcome = match pushed {
            Ok(Some(pushed)) => stored(pushed),
            _ => Outcome::Unknown("it was dropped".into()),
        };
        self.world.recorder.done(call, outcome);
    }

    async fn through_the_sink(&mut self) {
        let mut calls = Vec::new();
        let mut failed = None;
        for (topic, record) in self.some(16) {
            calls.push(self.invoke(topic, &record));
            if let Err(error) = self.producer.feed(record).await {
                failed = Some(error);
                break;
            }
        }
        let flushed = self.producer.flush().await;
        if failed.is_none() {
            failed = flushed.err();
        }
        for call in calls {
            let outcome = match &failed {
                None => Outcome::Done,
                Some(error) => Outcome::Unknown(error.to_string()),
            };
            self.world.recorder.done(call, outcome);
        }
    }
}

fn stored(pushed: Result<Position, pushpull::broker::Error>) -> Outcome {
    match pushed {
        Ok(position) => Outcome::Stored {
            partition: position.partition,
            offset: position.offset,
        },
        Err(error) => outcome(&error),
    }
}
