//! Which public types are `Send`, `Sync` and `Unpin`: a change here is a change of the interface.

use std::cell::Cell;
use std::rc::Rc;

use futures::stream::{Once, Pending};
use pushpull::{batch, broadcast, meter, pull, pump, push, queue, router};

/// Neither `Send` nor `Sync`, but `Unpin`.
type Local = Rc<()>;
/// `Send`, not `Sync`.
type Moved = Cell<u8>;
/// `Send` and `Sync`, not `Unpin`.
type Pinned = std::marker::PhantomPinned;

/// A stream that is what its items are.
type Input<T> = Pending<T>;
/// A stream that is not `Unpin`.
type Unmoving = Once<tokio::time::Sleep>;

/// Answers whether a type has a trait: an inherent constant, where its bound holds, hides the one of the trait.
macro_rules! probes {
    ($($module:ident: $bound:ident;)*) => {$(
        mod $module {
            pub(crate) trait Not {
                const HAS: bool = false;
            }

            pub(crate) struct Is<T: ?Sized>(std::marker::PhantomData<T>);

            impl<T: ?Sized> Not for Is<T> {}

            impl<T: ?Sized + $bound> Is<T> {
                pub(crate) const HAS: bool = true;
            }
        }

        use $module::Not as _;
    )*};
}

probes! {
    send: Send;
    sync: Sync;
    unpin: Unpin;
}

macro_rules! auto_traits {
    ($($type:ty: $send:literal $sync:literal $unpin:literal;)*) => {$(
        const _: () = {
            assert!(<send::Is<$type>>::HAS == $send, concat!(stringify!($type), ": Send"));
            assert!(<sync::Is<$type>>::HAS == $sync, concat!(stringify!($type), ": Sync"));
            assert!(<unpin::Is<$type>>::HAS == $unpin, concat!(stringify!($type), ": Unpin"));
        };
    )*};
}

// The type, and whether it is Send, Sync, Unpin.
auto_traits! {
    batch::Batch<u8>: true true true;
    batch::Batch<Moved>: true false true;
    batch::Batch<Local>: false false true;
    batch::FlushReason: true true true;
    batch::BatchStats: true true true;
    batch::BatchPolicy<u8>: true true true;
    batch::BatchPolicy<Local>: true true true;
    batch::Batched<Input<u8>>: true true true;
    batch::Batched<Input<Moved>, batch::Detailed>: true false true;
    batch::Batched<Input<Local>>: false false true;
    batch::Batched<Input<Pinned>>: true true true;
    batch::Batched<Unmoving>: true true false;
    batch::TryBatched<Input<Result<u8, Moved>>>: true false true;
    batch::TryBatched<Input<Result<Local, u8>>, batch::Detailed>: false false true;
    batch::SinkBatch<u8, u8>: true true true;
    batch::SinkBatch<u8, Moved, batch::Detailed>: true false true;
    batch::SinkBatch<Local, u8>: false false true;
    batch::SinkBatch<Pinned, u8>: true true false;
    meter::Registry: true true true;
    meter::Snapshot: true true true;
    meter::QueueEntry: true true true;
    meter::BatchEntry: true true true;
    meter::BroadcastEntry: true true true;
    meter::OperatorEntry: true true true;
    meter::OperatorStats: true true true;
    meter::Rates: true true true;
    meter::QueueRates: true true true;
    meter::BatchRates: true true true;
    meter::BroadcastRates: true true true;
    meter::OperatorRates: true true true;
    meter::Percentiles: true true true;
    meter::Meter: true true true;
    meter::Metered<u8>: true true true;
    meter::Metered<Moved>: true false true;
    meter::Metered<Local>: false false true;
    meter::Metered<Pinned>: true true false;
    meter::SinkMetered<u8>: true true true;
    meter::SinkMetered<Moved>: true false true;
    meter::SinkMetered<Local>: false false true;
    meter::SinkMetered<Pinned>: true true false;
}

// Items are moved under the lock and never shared: `Send` is enough.
auto_traits! {
    queue::Overflow: true true true;
    queue::DropReason: true true true;
    queue::QueueStats: true true true;
    queue::PushError<Local>: false false true;
    queue::PullError: true true true;
    queue::Builder<Local>: true true true;
    queue::Producer<Moved>: true true true;
    queue::Producer<Local>: false false true;
    queue::Producer<Pinned>: true true true;
    queue::WeakProducer<Moved>: true true true;
    queue::WeakProducer<Local>: false false true;
    queue::Consumer<Moved>: true true true;
    queue::Consumer<Local>: false false true;
    queue::Consumer<Pinned>: true true true;
    queue::Permit<Moved>: true true true;
    queue::Permit<Local>: false false true;
    queue::Drained<Moved>: true false true;
    queue::Drained<Local>: false false true;
}

// Subscribers clone a value side by side, outside of the lock: it has to be `Sync`.
auto_traits! {
    broadcast::BroadcastStats: true true true;
    broadcast::Lagged: true true true;
    broadcast::Lossy: true true true;
    broadcast::Builder<Local>: true true true;
    broadcast::Publisher<u8>: true true true;
    broadcast::Publisher<Moved>: false false true;
    broadcast::Publisher<Pinned>: true true true;
    broadcast::Subscriber<u8>: true true true;
    broadcast::Subscriber<Moved>: false false true;
    broadcast::Subscriber<Pinned>: true true true;
    broadcast::LossySubscriber<u8>: true true true;
    broadcast::LossySubscriber<Moved>: false false true;
    broadcast::Hub<u8>: true true true;
    broadcast::Hub<Moved>: false false true;
}

// Messages are moved under a lock; what is made or used with them asks for `Sync`, since clones are made outside of it.
auto_traits! {
    router::Router<u8, u8>: true true true;
    router::Router<u8, Moved>: true true true;
    router::Router<Local, u8>: false false true;
    router::Router<u8, Pinned>: true true true;
    router::Builder<u8, u8>: true true true;
    router::Connection<u8>: true true true;
    router::Connection<Moved>: true false true;
    router::Connection<Local>: false false true;
    router::Connection<Pinned>: true true true;
    router::Routed: true true true;
    router::RoutedMany: true true true;
    router::RouterStats: true true true;
    router::ConnectionStats: true true true;
    router::RouteError<Moved>: true false true;
    router::RouteError<Local>: false false true;
    router::MailboxError: true true true;
    router::mailbox::Memory<u8, u8>: true true true;
    router::mailbox::Memory<u8, Moved>: false false true;
}

// Tasks and pumps are as their parts are.
auto_traits! {
    pull::Elapsed: true true true;
    pull::ItemTimeout<Input<u8>>: true true true;
    pull::ItemTimeout<Input<Local>>: false false true;
    pump::Ended: true true true;
    pump::Pumped: true true true;
    pump::PumpError<u8, Local>: false false true;
    pump::Pump<Input<u8>, u8>: true true true;
    pump::Pump<Input<Local>, u8>: false false true;
    pump::Pump<Input<u8>, Local>: false false true;
    push::Each<u8, u8>: true true true;
    push::Each<u8, Local>: false false true;
    push::FanOut<u8, u8>: true true true;
    push::FanOut<Moved, u8>: true false true;
    push::FanOut<Local, u8>: false false true;
    push::FanOut<Pinned, u8>: true true true;
    push::FanOutError<Local>: false false true;
    push::LegFailure<Local>: false false true;
    push::SendTimeoutError<Local, u8>: false false true;
    push::SendTimeout<'static, u8, u8>: true true false;
}

#[cfg(feature = "metrics")]
auto_traits! {
    meter::Exporter: true true true;
}

#[cfg(feature = "rate")]
mod rate {
    use futures::stream::Empty;
    use pushpull::rate;

    use super::*;

    type Weight = fn(&u8) -> u32;

    auto_traits! {
        rate::RateLimit: true true true;
        rate::RateLimiter: true true true;
        rate::KeyedRateLimiter<u8>: true true true;
        rate::KeyedRateLimiter<Moved>: false false true;
        rate::KeyedRateLimiter<Local>: false false true;
        rate::Limited<Moved>: true false true;
        rate::RateLimited<Empty<u8>>: true true true;
        rate::RateLimited<Empty<Moved>>: true false true;
        rate::RateLimited<Empty<Local>>: false false true;
        rate::RateLimited<Empty<u8>, rate::Weighted<Weight>>: true true true;
        rate::RateLimitedBy<Empty<u8>, u8, Weight>: true true true;
        rate::RateLimitedBy<Empty<u8>, Local, Weight>: false false true;
        rate::Policed<u8>: true true true;
        rate::Policed<Local>: false false true;
        rate::Policed<Pinned>: true true false;
        rate::SinkRateLimited<u8>: true true true;
        rate::SinkRateLimited<Moved>: true false true;
        rate::SinkRateLimited<Local>: false false true;
        rate::SinkRateLimited<Pinned>: true true false;
    }
}

#[cfg(feature = "broker")]
mod broker {
    use pushpull::broker;

    use super::*;

    auto_traits! {
        broker::Record: true true true;
        broker::Delivery: true true true;
        broker::Error: true true true;
        broker::Events: true true true;
        broker::Acker: true true true;
        broker::Broker: true true true;
        broker::embedded::Producer: true true true;
        broker::embedded::Consumer: true true true;
        broker::BoxProducer: true true true;
        broker::BoxConsumer: true true true;
        broker::Listen: true true true;
        broker::Listener: true true true;
        broker::ListenerReport: true true true;
    }
}

#[cfg(feature = "nats")]
mod nats {
    use pushpull::nats;

    use super::*;

    auto_traits! {
        nats::Nats: true true true;
        nats::Options: true true true;
        nats::Producer: true true true;
        nats::Consumer: true true true;
    }
}
