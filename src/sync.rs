//! The one place where the crate names its synchronisation primitives, so that loom can stand in for them.

#[expect(
    unsafe_code,
    reason = "a lock hands out the only reference to what it guards"
)]
#[cfg_attr(
    all(pushpull_loom, not(test)),
    expect(dead_code, reason = "its own model only")
)]
mod lock;
#[cfg(pushpull_loom)]
mod model_lock;
pub(crate) mod spin;

#[cfg(not(pushpull_loom))]
mod imp {
    pub(crate) use std::cell::UnsafeCell;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};
    pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
}

#[cfg(pushpull_loom)]
mod imp {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}

pub(crate) use imp::*;
#[cfg(not(pushpull_loom))]
pub(crate) use lock::{Guard, Lock};
#[cfg(pushpull_loom)]
pub(crate) use model_lock::{Guard, Lock};

/// Locks without regard to poison: no user code runs under a lock of this crate, so a poisoned lock still guards
/// whole state.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// True where the bug of this name is to be planted. Only builds made by `ci/plants` can answer true.
#[inline(always)]
pub(crate) fn planted(name: &str) -> bool {
    #[cfg(pushpull_plants)]
    {
        static PLANT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
        PLANT
            .get_or_init(|| std::env::var("PUSHPULL_PLANT").ok())
            .as_deref()
            == Some(name)
    }
    #[cfg(not(pushpull_plants))]
    {
        let _ = name;
        false
    }
}
