//! What happens to an engine while it is worked with.

use std::time::Duration;

use tokio::time::sleep;

use super::dice::Dice;
use super::history::What;
use super::world::{Engine, World};

/// Something that can be taken away from an engine's clients, and given back.
pub(crate) trait Troubles: Send {
    /// Which trouble comes next, and how long it lasts. Nothing has happened yet.
    fn next(&mut self, dice: &mut Dice) -> (What, Duration);

    /// It happens.
    fn begin(&mut self) -> impl Future<Output = ()> + Send;

    /// All is well again.
    fn end(&mut self) -> impl Future<Output = ()> + Send;
}

/// One trouble after the other, until the round is over.
pub(crate) async fn trouble<E: Engine>(world: &World<E>, troubles: &mut impl Troubles) {
    let mut dice = world.dice(u64::MAX);
    while !world.is_over() {
        sleep(Duration::from_millis(dice.between(100, 700))).await;
        let (what, lasts) = troubles.next(&mut dice);
        world.recorder.event(what);
        troubles.begin().await;
        sleep(lasts).await;
        troubles.end().await;
        world.recorder.event(What::Healed);
    }
}
