//! Members of groups that take, answer, forget, stall, seek, leave, and come again.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use pushpull::broker::{Consumer, Delivery, Error, Event, Start};

use super::content::content;
use super::dice::Dice;
use super::history::{Op, Outcome, Spot, Taken, What};
use super::world::{Engine, World, outcome};

pub(crate) async fn consume<E: Engine>(world: Arc<World<E>>, group: usize, slot: u64) {
    let mut dice = world.dice(slot);
    while !world.is_over() {
        let mut member = Member::join(&world, group).await;
        for _ in 0..dice.between(20, 300) {
            if world.is_over() {
                break;
            }
            member.step(&mut dice).await;
            tokio::task::yield_now().await;
        }
        let politely = dice.chance(50);
        member.leave(politely).await;
    }
}

/// A consumer, from its joining to its leaving.
pub(crate) struct Member<E: Engine> {
    pub(crate) process: u64,
    group: usize,
    pub(crate) consumer: E::Consumer,
    /// Taken, and not answered.
    held: Vec<Delivery>,
    world: Arc<World<E>>,
}

impl<E: Engine> Member<E> {
    pub(crate) async fn join(world: &Arc<World<E>>, group: usize) -> Self {
        let member = Self {
            process: world.recorder.process(),
            group,
            consumer: world.engine.consumer(world.plan.config(group)),
            held: Vec::new(),
            world: Arc::clone(world),
        };
        let terms = world.plan.terms(group);
        let topics = world.plan.topics.iter().map(|(name, _)| *name);
        let call = member.invoke(Op::Join {
            group: group as u32,
            terms,
        });
        let joined = member.consumer.subscribe(topics).await;
        member.done(call, joined);
        member
    }

    fn invoke(&self, op: Op) -> u64 {
        self.world.recorder.invoke(self.process, op)
    }

    fn done(&self, call: u64, result: Result<(), Error>) {
        let outcome = result.map_or_else(|error| outcome(&error), |()| Outcome::Done);
        self.world.recorder.done(call, outcome);
    }

    async fn step(&mut self, dice: &mut Dice) {
        match dice.below(1000) {
            0..400 => {
                let (max, wait) = (dice.between(1, 40), dice.below(20));
                if self.poll(max, Duration::from_millis(wait)).await.is_none() {
                    // Whatever it is, it takes a moment to pass.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            400..450 => self.poll_and_give_up(dice).await,
            450..900 => self.answer(dice).await,
            900..920 => self.commit_to(dice).await,
            920..935 => self.commit().await,
            935..965 => self.look(dice).await,
            965..985 if self.world.plan.groups[self.group].seeks => self.seek(dice).await,
            985..988 => self.stall(dice).await,
            988..992 => self.forget(dice),
            _ => tokio::time::sleep(Duration::from_millis(dice.below(10))).await,
        }
        self.events();
    }

    /// Returns how many came, or `None` after an error.
    pub(crate) async fn poll(&mut self, max: u64, wait: Duration) -> Option<usize> {
        let call = self.invoke(Op::Poll { max });
        let polled = self.consumer.poll(max as usize, wait).await;
        self.polled(call, polled)
    }

    fn polled(&mut self, call: u64, polled: Result<Vec<Delivery>, Error>) -> Option<usize> {
        let deliveries = match polled {
            Ok(deliveries) => deliveries,
            Err(error) => {
                self.world.recorder.done(call, outcome(&error));
                return None;
            }
        };
        let taken = deliveries.iter().map(|delivery| Taken {
            at: self.spot(delivery),
            attempt: delivery.attempt,
            record: content(&delivery.record),
        });
        self.world
            .recorder
            .done(call, Outcome::Took(taken.collect()));
        let count = deliveries.len();
        self.held.extend(deliveries);
        Some(count)
    }

    async fn poll_and_give_up(&mut self, dice: &mut Dice) {
        let max = dice.between(1, 20);
        let call = self.invoke(Op::Poll { max });
        let poll = self.consumer.poll(max as usize, Duration::from_secs(1));
        let polled = tokio::time::timeout(Duration::from_millis(dice.below(5)), poll).await;
        match polled {
            Ok(polled) => drop(self.polled(call, polled)),
            Err(_) => {
                let outcome = Outcome::Refused("it was dropped".into());
                self.world.recorder.done(call, outcome);
            }
        }
    }

    fn spot(&self, delivery: &Delivery) -> Spot {
        let at = &delivery.position;
        Spot {
            place: (self.world.topic(&at.topic), at.partition),
            offset: at.offset,
            generation: at.generation(),
        }
    }

    /// Answers some of what is held, in any order.
    async fn answer(&mut self, dice: &mut Dice) {
        if self.held.is_empty() {
            return;
        }
        let mut chosen = Vec::new();
        for _ in 0..dice.between(1, 24) {
            if self.held.is_empty() {
                break;
            }
            // The oldest more often than others.
            let span = if dice.chance(60) {
                4.min(self.held.len())
            } else {
                self.held.len()
            };
            let index = dice.below(span as u64) as usize;
            let delivery = self.held.remove(index);
            let how = dice.below(100);
            let delay = dice
                .chance(50)
                .then(|| dice.below(200))
                .map(Duration::from_millis);
            // Some are answered once more later.
            if dice.chance(2) {
                self.held.push(delivery.clone());
            }
            if how < 97 {
                chosen.push((delivery, how >= 88, delay));
            }
        }
        let this = &*self;
        join_all(chosen.iter().map(async |(delivery, failed, delay)| {
            let at = this.spot(delivery);
            if *failed {
                let call = this.invoke(Op::Nack { at });
                this.done(call, this.consumer.nack(delivery, *delay).await);
            } else {
                let call = this.invoke(Op::Ack { at });
                this.done(call, this.consumer.ack(delivery).await);
            }
        }))
        .await;
    }

    /// Acknowledges everything that is held.
    pub(crate) async fn answer_all(&mut self) {
        let held = std::mem::take(&mut self.held);
        let this = &*self;
        join_all(held.iter().map(async |delivery| {
            let call = this.invoke(Op::Ack {
                at: this.spot(delivery),
            });
            this.done(call, this.consumer.ack(delivery).await);
        }))
        .await;
    }

    async fn commit_to(&mut self, dice: &mut Dice) {
        if self.held.is_empty() {
            return;
        }
        let index = dice.below(self.held.len() as u64) as usize;
        let delivery = self.held[index].clone();
        let at = self.spot(&delivery);
        let call = self.invoke(Op::CommitTo { at });
        self.done(call, self.consumer.commit_to(&delivery.position).await);
        self.held.retain(|held| {
            let (held, to) = (&held.position, &delivery.position);
            (&held.topic, held.partition) != (&to.topic, to.partition) || held.offset > to.offset
        });
    }

    pub(crate) async fn commit(&mut self) {
        let call = self.invoke(Op::Commit);
        let outcome = match self.consumer.commit().await {
            Ok(()) => Outcome::Done,
            // Of one partition, and the others were committed.
            Err(error) => Outcome::Unknown(error.to_string()),
        };
        self.world.recorder.done(call, outcome);
        self.held.clear();
    }

    async fn look(&self, dice: &mut Dice) {
        let topic = dice.below(self.world.plan.topics.len() as u64) as usize;
        let (name, partitions) = self.world.plan.topics[topic];
        let partition = dice.below(u64::from(partitions)) as u32;
        let call = self.invoke(Op::Committed {
            place: (topic as u32, partition),
        });
        let committed = self.consumer.committed(name, partition).await;
        let outcome = committed.map_or_else(|error| outcome(&error), Outcome::At);
        self.world.recorder.done(call, outcome);
    }

    /// Goes back to the beginning, or to something it holds.
    async fn seek(&mut self, dice: &mut Dice) {
        let assignment = self.consumer.assignment();
        if assignment.is_empty() {
            return;
        }
        let (topic, partition) = &assignment[dice.below(assignment.len() as u64) as usize];
        let mut here = self.held.iter().map(|it| &it.position);
        let held = here.find(|it| it.topic == *topic && it.partition == *partition);
        // To the beginning only as long as that is not far.
        let near = self
            .consumer
            .position(topic, *partition)
            .is_ok_and(|at| at < 300);
        let (to, start) = match held {
            Some(held) => (held.offset, Start::Offset(held.offset)),
            None if near => (0, Start::Earliest),
            None => return,
        };
        let place = (self.world.topic(topic), *partition);
        let call = self.invoke(Op::Seek { place, to });
        self.done(call, self.consumer.seek(topic, *partition, start).await);
    }

    /// Neither polls nor answers until it is taken for dead, then answers all the same.
    async fn stall(&mut self, dice: &mut Dice) {
        let session = self.world.plan.session;
        tokio::time::sleep(session + session / 2).await;
        self.answer(dice).await;
    }

    fn forget(&mut self, dice: &mut Dice) {
        let left = dice.below(self.held.len() as u64 + 1) as usize;
        self.held.truncate(left);
    }

    fn events(&self) {
        let events = self.consumer.events();
        while let Some(event) = events.try_next() {
            if let Event::Lost {
                topic,
                partition,
                from,
                missed,
            } = event
            {
                self.world.recorder.event(What::Lost {
                    process: self.process,
                    place: (self.world.topic(&topic), partition),
                    from,
                    missed,
                });
            }
        }
    }

    pub(crate) async fn leave(self, politely: bool) {
        self.events();
        let call = self.invoke(Op::Leave);
        let world = Arc::clone(&self.world);
        if politely {
            let closed = self.consumer.close().await;
            self.done(call, closed);
            return;
        }
        drop(self);
        world.recorder.done(call, Outcome::Done);
    }
}
