//! Producers and consumers whose engine is chosen at run time.

mod consumer;
mod producer;

use std::pin::Pin;

pub use consumer::BoxConsumer;
pub use producer::BoxProducer;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[cfg(test)]
mod tests {
    use super::{BoxConsumer, BoxProducer};

    #[test]
    fn they_go_wherever_they_are_taken() {
        fn anywhere<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
        anywhere::<BoxProducer>();
        anywhere::<BoxConsumer>();
    }
}
