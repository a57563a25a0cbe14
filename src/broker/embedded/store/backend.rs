//! The file below the engine, with a say in whether a sync is one.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{BackendError, StorageBackend};

/// Passes everything on. While it is `idle`, syncs are left to the operating system.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    inner: Arc<dyn StorageBackend>,
    idle: Arc<AtomicBool>,
}

impl Backend {
    pub(super) fn new(inner: Arc<dyn StorageBackend>, idle: bool) -> Self {
        Self {
            inner,
            idle: Arc::new(AtomicBool::new(idle)),
        }
    }

    /// Whether syncs are left to the operating system from now on.
    pub(super) fn idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::SeqCst);
    }

    /// Syncs what was written, idle or not.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.inner.sync_data()
    }
}

type Answer<T> = Result<T, BackendError>;

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.idle.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Answer<bool> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Answer<bool> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Answer<()> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Answer<()> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Answer<()> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Answer<bool> {
        self.inner.query_lock_range(start, end)
    }
}
