//! One queue between producers and consumers.

use tokio::sync::mpsc;

use crate::harness::{Case, Contender};
use crate::race::{Item, MODES, Mode, Tally, race, share};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in MODES {
        cases.push(Case::new(
            "u64/100/1P1C",
            mode.name(),
            one_by_one::<u64>(mode, 100, 1, 1),
        ));
    }
    cases
}

fn one_by_one<T: Item>(
    mode: Mode,
    capacity: usize,
    producers: usize,
    consumers: usize,
) -> Vec<Contender> {
    let mut contenders = vec![Contender::ours(move |items| {
        let (tx, rx) = pushpull::queue::bounded::<T>(capacity);
        let pushing = (0..producers).map(|index| {
            let (tx, share) = (tx.clone(), share(items, producers, index));
            async move {
                for number in share {
                    tx.push(T::of(number)).await.expect("open");
                }
            }
        });
        let pushing = pushing.collect();
        drop(tx);
        let pulling = (0..consumers).map(|_| {
            let rx = rx.clone();
            async move {
                let mut tally = Tally::default();
                while let Some(item) = rx.pull().await {
                    tally.add(item);
                }
                tally
            }
        });
        race(mode, items, pushing, pulling.collect())
    })];
    if consumers == 1 {
        contenders.push(Contender::glue("tokio mpsc", move |items| {
            let (tx, mut rx) = mpsc::channel::<T>(capacity);
            let pushing = (0..producers).map(|index| {
                let (tx, share) = (tx.clone(), share(items, producers, index));
                async move {
                    for number in share {
                        tx.send(T::of(number)).await.expect("open");
                    }
                }
            });
            let pushing = pushing.collect();
            drop(tx);
            let pulling = async move {
                let mut tally = Tally::default();
                while let Some(item) = rx.recv().await {
                    tally.add(item);
                }
                tally
            };
            race(mode, items, pushing, vec![pulling])
        }));
    }
    contenders
}
