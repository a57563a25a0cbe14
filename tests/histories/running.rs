//! A round of work, and the reading to the end that follows the last.

use std::sync::Arc;
use std::time::Duration;

use pushpull::broker::Consumer;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::consuming::{Member, consume};
use super::history::What;
use super::producing::produce;
use super::world::{Engine, World};

/// Starts every process of the plan. They end when the round is over.
pub(crate) fn start<E: Engine>(world: &Arc<World<E>>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let mut slot = 0;
    for _ in 0..world.plan.producers {
        slot += 1;
        tasks.spawn(produce(Arc::clone(world), slot));
    }
    for (group, plan) in world.plan.groups.iter().enumerate() {
        for _ in 0..plan.members {
            slot += 1;
            tasks.spawn(consume(Arc::clone(world), group, slot));
        }
    }
    tasks
}

pub(crate) async fn finish(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Reads every group to its end.
pub(crate) async fn drain<E: Engine>(world: &Arc<World<E>>) {
    for group in 0..world.plan.groups.len() {
        let lag = drain_one(world, group).await;
        let group = u32::try_from(group).unwrap();
        world.recorder.event(What::Drained { group, lag });
    }
}

async fn drain_one<E: Engine>(world: &Arc<World<E>>, group: usize) -> u64 {
    let mut member = Member::join(world, group).await;
    let mut last = Instant::now();
    loop {
        let came = member.poll(500, Duration::from_millis(50)).await;
        member.answer_all().await;
        if came.is_some_and(|came| came > 0) {
            last = Instant::now();
            continue;
        }
        if came.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lag = lag(world, &member.consumer).await;
        if lag == 0 || last.elapsed() > world.plan.patience {
            member.commit().await;
            member.leave(true).await;
            return lag;
        }
    }
}

/// Everything that is left, as far as the engine says.
async fn lag<E: Engine>(world: &World<E>, consumer: &E::Consumer) -> u64 {
    let mut left = 0_u64;
    for (topic, partitions) in &world.plan.topics {
        for partition in 0..*partitions {
            let lag = consumer.lag(topic, partition).await;
            left = left.saturating_add(lag.unwrap_or(u64::MAX));
        }
    }
    left
}
