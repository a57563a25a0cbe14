//! Memory for items, by position. What lies in it is known to its users only.

use std::collections::VecDeque;
use std::mem::{self, MaybeUninit};
use std::ops::Deref;
use std::ptr::NonNull;

/// A power of two of slots, or none. Freed with its owner, without a look at what is in it.
pub(super) struct Slots<T>(View<T>);

/// Access to slots without owning them, as each end of a ring has.
pub(super) struct View<T> {
    first: NonNull<MaybeUninit<T>>,
    /// One less than the number of slots, also where there are none.
    mask: usize,
    #[cfg(pushpull_loom)]
    shadow: std::sync::Arc<[loom::cell::UnsafeCell<()>]>,
}

// SAFETY: slots are memory for `T`s which go from thread to thread; nothing is reached through a shared reference.
unsafe impl<T: Send> Send for Slots<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for View<T> {}

/// What items without size have room for.
const ENDLESS: usize = 1 << (usize::BITS - 1);

impl<T> Slots<T> {
    #[cfg(not(pushpull_loom))]
    pub(super) const fn none() -> Self {
        Self(View {
            first: NonNull::dangling(),
            mask: Self::NONE,
        })
    }

    #[cfg(pushpull_loom)]
    pub(super) fn none() -> Self {
        Self(View {
            first: NonNull::dangling(),
            mask: Self::NONE,
            shadow: std::sync::Arc::new([]),
        })
    }

    /// The mask of none, or of more than could ever be used where items take no memory.
    const NONE: usize = if size_of::<T>() == 0 {
        ENDLESS - 1
    } else {
        usize::MAX
    };

    /// At least `slots` of them.
    pub(super) fn with_room(slots: usize) -> Self {
        if size_of::<T>() == 0 || slots == 0 {
            return Self::none();
        }
        let count = slots.checked_next_power_of_two().unwrap_or(usize::MAX);
        let memory: Box<[MaybeUninit<T>]> = Box::new_uninit_slice(count);
        Self(View {
            first: NonNull::from(Box::leak(memory)).cast(),
            mask: count - 1,
            #[cfg(pushpull_loom)]
            shadow: (0..count)
                .map(|_| loom::cell::UnsafeCell::new(()))
                .collect(),
        })
    }

    /// Copies the items at `len` positions from `from` on to the same positions of `to`. The copies are the items; the
    /// slots they were in count as empty.
    ///
    /// # Safety
    ///
    /// The positions hold items, nobody else has access to either slots, and `to` has at least `len` of them.
    pub(super) unsafe fn move_run(&self, to: &Self, from: u64, len: usize) {
        let mut moved = 0;
        while moved < len {
            let at = from + moved as u64;
            let run = self.0.reach(at, len - moved);
            let run = to.0.reach(at, run);
            let source = self.0.touch(at, run);
            let target = to.0.touch(at, run);
            // SAFETY: both are runs of `run` slots within an allocation each, which differ.
            unsafe { target.copy_from_nonoverlapping(source, run) };
            moved += run;
        }
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        if size_of::<T>() > 0 && self.count() > 0 {
            let memory = NonNull::slice_from_raw_parts(self.0.first, self.count());
            // SAFETY: this is the box that was leaked in `with_room`, and the owner gives it up.
            drop(unsafe { Box::from_raw(memory.as_ptr()) });
        }
    }
}

impl<T> Deref for Slots<T> {
    type Target = View<T>;

    fn deref(&self) -> &View<T> {
        &self.0
    }
}

impl<T> View<T> {
    #[inline]
    pub(super) const fn count(&self) -> usize {
        self.mask.wrapping_add(1)
    }

    /// How many of the `len` slots from this position on lie in one piece. There are slots.
    #[inline]
    const fn reach(&self, at: u64, len: usize) -> usize {
        let piece = self.mask + 1 - self.index(at);
        if len < piece { len } else { piece }
    }

    #[inline]
    const fn index(&self, at: u64) -> usize {
        at as usize & self.mask
    }

    /// The `len` slots from this position on, which are there and lie in one piece. Under loom the access is noted, so that a race
    /// is found.
    #[inline]
    fn touch(&self, at: u64, len: usize) -> *mut T {
        #[cfg(pushpull_loom)]
        for slot in self.shadow.iter().skip(self.index(at)).take(len) {
            slot.with_mut(|_| ());
        }
        let _ = len;
        // SAFETY: there are slots, and what the mask leaves is the index of one of them.
        unsafe { self.first.as_ptr().add(self.index(at)).cast() }
    }

    /// Has the line of memory that the slot `ahead` of this position lies in brought over from the other core, to be
    /// written (or read) when it is its turn. A hint: nothing is read, and there need not even be such a slot.
    #[inline]
    pub(super) fn prefetch<const WRITE: bool>(&self, at: u64, ahead: u64) {
        #[cfg(all(target_arch = "x86_64", not(miri), not(pushpull_loom)))]
        if size_of::<T>() > 0 {
            let slot = self.first.as_ptr().wrapping_add(self.index(at + ahead));
            // SAFETY: a prefetch of any address is without effect but on caches.
            unsafe {
                if WRITE {
                    // The intrinsic would ask for shared use where the instruction is not part of the baseline, though
                    // processors without it pass over it.
                    std::arch::asm!("prefetchw [{}]", in(reg) slot, options(nostack, preserves_flags));
                } else {
                    std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(
                        slot.cast(),
                    );
                }
            }
        }
        let _ = (at, ahead);
    }

    /// Puts an item into the slot at this position.
    ///
    /// # Safety
    ///
    /// There are slots, they live, and this one is empty and nobody else's.
    #[inline]
    pub(super) unsafe fn write(&self, at: u64, item: T) {
        // SAFETY: the slot is within the allocation, empty, and the caller's.
        unsafe { self.touch(at, 1).write(item) };
    }

    /// Moves the item in `from` straight into the slot at this position. False: there is none.
    ///
    /// # Safety
    ///
    /// As [`View::write`].
    #[inline]
    pub(super) unsafe fn write_from(&self, at: u64, from: &mut Option<T>) -> bool {
        let Some(item) = from else { return false };
        // SAFETY: as for `write`; the item is forgotten where it was.
        unsafe { self.touch(at, 1).copy_from_nonoverlapping(item, 1) };
        mem::forget(from.take());
        true
    }

    /// Takes the item out of the slot at this position.
    ///
    /// # Safety
    ///
    /// The slots live, and this one holds an item and is nobody else's. It counts as empty from now on.
    #[inline]
    pub(super) unsafe fn read(&self, at: u64) -> T {
        // SAFETY: the slot is within the allocation, holds an item, and is the caller's.
        unsafe { self.touch(at, 1).read() }
    }

    /// Moves the first `len` items of `from` into the slots from this position on.
    ///
    /// # Safety
    ///
    /// As [`View::write`], for each of them, of which there is one at least; and `from` has so many.
    #[inline]
    pub(super) unsafe fn write_run(&self, at: u64, from: &mut VecDeque<T>, len: usize) {
        let (front, back) = from.as_slices();
        let front = &front[..len.min(front.len())];
        let back = &back[..len - front.len()];
        // SAFETY: as the caller promises; the two runs go to positions one behind the other.
        unsafe {
            self.write_slice(at, front);
            self.write_slice(at + front.len() as u64, back);
        }
        // They are in the slots now; what is left behind is forgotten.
        from.drain(..len).for_each(mem::forget);
    }

    /// # Safety
    ///
    /// As [`View::write`]; and the items are forgotten where they came from.
    #[inline]
    unsafe fn write_slice(&self, at: u64, items: &[T]) {
        let first = self.reach(at, items.len());
        let (one, two) = items.split_at(first);
        // SAFETY: each run lies in one piece, in the allocation, and is the caller's; `items` is not part of it.
        unsafe {
            self.touch(at, one.len())
                .copy_from_nonoverlapping(one.as_ptr(), one.len());
            self.touch(at + first as u64, two.len())
                .copy_from_nonoverlapping(two.as_ptr(), two.len());
        }
    }

    /// Moves the items in the `len` slots from this position on to the end of `into`.
    ///
    /// # Safety
    ///
    /// As [`View::read`], for each of them, of which there is one at least; and `into` has room for so many.
    #[inline]
    pub(super) unsafe fn read_run(&self, at: u64, into: &mut Vec<T>, len: usize) {
        let first = self.reach(at, len);
        let end = into.len();
        // SAFETY: each run lies in one piece, in the allocation, and is the caller's; the room behind the end is not
        // part of it. What is copied counts as moved, and is all there when the length is set.
        unsafe {
            let room = into.as_mut_ptr().add(end);
            self.touch(at, first).copy_to_nonoverlapping(room, first);
            self.touch(at + first as u64, len - first)
                .copy_to_nonoverlapping(room.add(first), len - first);
            into.set_len(end + len);
        }
    }
}

impl<T> Clone for View<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            first: self.first,
            mask: self.mask,
            #[cfg(pushpull_loom)]
            shadow: self.shadow.clone(),
        }
    }
}
