//! Producers and consumers whose engine is chosen at run time.

mod consumer;
mod producer;

use std::pin::Pin;

pub use consumer::BoxConsumer;
pub use producer::BoxProducer;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
