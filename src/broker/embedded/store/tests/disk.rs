//! A disk in memory. It notes what is done to it, so that every crash can be played back, and fails when told to.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;
use tokio::time::Instant;

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// What was there when `log` began.
    base: Vec<u8>,
    log: Vec<(Instant, Action)>,
    syncs: usize,
    /// Operations of the kind that is to fail which still succeed.
    trouble: Option<(Trouble, usize)>,
    failing: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Write(usize, Vec<u8>),
    Resize(usize),
    Sync,
}

/// What begins to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Writes fail; from then on everything does.
    Write,
    /// A sync fails once, and what it was to sync may never reach the disk.
    Sync,
    /// There is no room.
    Full,
    /// Reads fail.
    Read,
}

/// What had reached the disk, of all that was done to it since the last sync.
#[derive(Clone, Copy, Debug)]
pub(super) enum Survives {
    Nothing,
    All,
    /// What begins at the first byte, where the engine has its header.
    Front,
    /// What does not.
    Back,
    /// Some of it, torn in places; which is decided by this seed.
    Some(u64),
}

impl Disk {
    pub(super) fn with(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        {
            let mut state = disk.state();
            state.base.clone_from(&bytes);
            state.bytes = bytes;
        }
        disk
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the past: what lies on the disk now is what every crash begins with.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        state.base = state.bytes.clone();
        state.log.clear();
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    pub(super) fn syncs(&self) -> usize {
        self.state().syncs
    }

    /// How many things were done to it.
    pub(super) fn actions(&self) -> usize {
        self.state().log.len()
    }

    pub(super) fn log(&self) -> Vec<(Instant, Action)> {
        self.state().log.clone()
    }

    /// The operation of this kind after `after` more fails.
    pub(super) fn fail(&self, trouble: Trouble, after: usize) {
        self.state().trouble = Some((trouble, after));
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state().failing
    }

    /// What lies on the disk when the power goes after `actions` things were done to it.
    pub(super) fn crashed(&self, actions: usize, survives: Survives) -> Self {
        let state = self.state();
        let done = &state.log[..actions];
        let synced = done
            .iter()
            .rposition(|(_, action)| matches!(action, Action::Sync))
            .map_or(0, |last| last + 1);
        let mut bytes = state.base.clone();
        for (_, action) in &done[..synced] {
            action.happen(&mut bytes);
        }
        let mut dice = Dice(match survives {
            Survives::Some(seed) => seed,
            _ => 0,
        });
        for (_, action) in &done[synced..] {
            let front = matches!(action, Action::Write(0, _));
            match survives {
                Survives::Nothing => {}
                Survives::All => action.happen(&mut bytes),
                Survives::Front if front => action.happen(&mut bytes),
                Survives::Back if !front => action.happen(&mut bytes),
                Survives::Front | Survives::Back => {}
                Survives::Some(_) => match (dice.roll(), action) {
                    (0, _) => {}
                    (1, Action::Write(at, data)) => {
                        let half = data.len() / 2;
                        Action::Write(*at, data[..half].to_vec()).happen(&mut bytes);
                    }
                    (2, Action::Write(at, data)) => {
                        let half = data.len() / 2;
                        Action::Write(at + half, data[half..].to_vec()).happen(&mut bytes);
                    }
                    _ => action.happen(&mut bytes),
                },
            }
        }
        Self::with(bytes)
    }
}

impl Action {
    fn happen(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Resize(len) => bytes.resize(*len, 0),
            Self::Write(at, data) => {
                // What lies behind the end is lost with the growth.
                let end = bytes.len().min(at + data.len());
                if *at < end {
                    bytes[*at..end].copy_from_slice(&data[..end - at]);
                }
            }
            Self::Sync => {}
        }
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % 6
    }
}

impl State {
    /// Whether this operation fails.
    fn strikes(&mut self, trouble: Trouble) -> bool {
        match &mut self.trouble {
            Some((kind, left)) if *kind == trouble => {
                if *left > 0 {
                    *left -= 1;
                    return false;
                }
                self.failing = true;
                if trouble == Trouble::Sync {
                    // The next one would succeed: a failed sync is not repeated with profit.
                    self.trouble = None;
                }
                true
            }
            _ => false,
        }
    }

    fn note(&mut self, action: Action) {
        self.log.push((Instant::now(), action));
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.strikes(Trouble::Read) {
            return Err(io::Error::other("the disk is gone"));
        }
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(out.len());
        let found = end.and_then(|end| state.bytes.get(start..end));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        let len = usize::try_from(len).map_err(io::Error::other)?;
        if state.strikes(Trouble::Write) {
            return Err(io::Error::other("the disk is gone"));
        }
        if len > state.bytes.len() && state.strikes(Trouble::Full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.bytes.resize(len, 0);
        state.note(Action::Resize(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.strikes(Trouble::Sync) || (state.failing && state.trouble.is_some()) {
            return Err(io::Error::other("the sync failed"));
        }
        state.syncs += 1;
        state.note(Action::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.strikes(Trouble::Write) {
            return Err(io::Error::other("the disk is gone"));
        }
        // Without room reserved, any write may find the disk full.
        if state.strikes(Trouble::Full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let action = Action::Write(
            usize::try_from(offset).map_err(io::Error::other)?,
            data.to_vec(),
        );
        action.happen(&mut state.bytes);
        state.note(action);
        Ok(())
    }
}
