//! Which public types are `Send`, `Sync` and `Unpin`: a change here is a change of the interface.

use std::cell::Cell;
use std::rc::Rc;

use pushpull::meter;

/// Neither `Send` nor `Sync`, but `Unpin`.
type Local = Rc<()>;
/// `Send`, not `Sync`.
type Moved = Cell<u8>;
/// `Send` and `Sync`, not `Unpin`.
type Pinned = std::marker::PhantomPinned;

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
    meter::Registry: true true true;
    meter::Snapshot: true true true;
    meter::QueueEntry: true true true;
    meter::BroadcastEntry: true true true;
    meter::OperatorEntry: true true true;
    meter::OperatorStats: true true true;
    meter::Rates: true true true;
    meter::QueueRates: true true true;
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

#[cfg(feature = "metrics")]
auto_traits! {
    meter::Exporter: true true true;
}
