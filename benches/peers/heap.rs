//! Bytes of heap that a queue holds, idle and full.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use futures::{FutureExt, SinkExt};

use crate::harness::{Case, Contender, Role};

/// Notes sizes while it is told to; otherwise it costs the timed cases one relaxed load a call.
struct Noting;

static NOTES: AtomicBool = AtomicBool::new(false);
static HELD: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn note(more: usize, less: usize) {
    if NOTES.load(Relaxed) {
        HELD.fetch_add(more as i64 - less as i64, Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator is not written without")]
// SAFETY: `System` does all of it; sizes are noted beside.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What is held by what `make` makes.
fn held<H>(make: impl Fn() -> H) -> u64 {
    // What is set up once in a process is not the queue's.
    drop(make());
    HELD.store(0, Relaxed);
    NOTES.store(true, Relaxed);
    let queue = make();
    NOTES.store(false, Relaxed);
    let bytes = HELD.load(Relaxed);
    drop(queue);
    u64::try_from(bytes).expect("nothing else runs")
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, capacity, queued) in [
        ("idle/1024", 1024, 0),
        ("full/1024", 1024, 1024),
        ("idle/10000", 10_000, 0),
    ] {
        cases
            .push(Case::new(name, "heap", queues(capacity, queued)).column("a queue of u64", name));
    }
    let ends = [
        ("producer", size_of::<pushpull::queue::Producer<u64>>()),
        ("consumer", size_of::<pushpull::queue::Consumer<u64>>()),
    ];
    for (end, size) in ends {
        let ours = Contender::bytes("pushpull", Role::Ours, move || size as u64);
        cases.push(Case::new(format!("handle/{end}"), "size", vec![ours]).column("a handle", end));
    }
    cases
}

macro_rules! weigh {
    ($name:literal, $role:ident, $queued:expr, $make:expr, |$tx:ident, $item:ident| $push:expr) => {
        Contender::bytes($name, Role::$role, move || {
            held(|| {
                let (mut $tx, rx) = $make;
                // Some ends want `&mut` to send.
                let _ = &mut $tx;
                for $item in 0..$queued {
                    $push.expect("there is room");
                }
                ($tx, rx)
            })
        })
    };
}

/// What has a kind for one sender and one receiver is of that kind.
fn queues(capacity: usize, queued: u64) -> Vec<Contender> {
    vec![
        weigh!(
            "pushpull",
            Ours,
            queued,
            pushpull::queue::bounded(capacity),
            |tx, item| tx.try_push(item)
        ),
        weigh!(
            "tokio mpsc",
            Glue,
            queued,
            tokio::sync::mpsc::channel(capacity),
            |tx, item| tx.try_send(item)
        ),
        weigh!(
            "futures mpsc",
            Peer,
            queued,
            futures::channel::mpsc::channel(capacity - 1),
            |tx, item| { tx.feed(item).now_or_never().expect("no wait") }
        ),
        weigh!(
            "flume",
            Peer,
            queued,
            flume::bounded(capacity),
            |tx, item| tx.try_send(item)
        ),
        weigh!(
            "async-channel",
            Peer,
            queued,
            async_channel::bounded(capacity),
            |tx, item| tx.try_send(item)
        ),
        weigh!(
            "kanal",
            Peer,
            queued,
            kanal::bounded_async(capacity),
            |tx, item| tx.try_send(item)
        ),
        weigh!(
            "crossfire",
            Peer,
            queued,
            crossfire::spsc::bounded_async(capacity),
            |tx, item| tx.try_send(item)
        ),
        weigh!(
            "rapidfire",
            Peer,
            queued,
            rapidfire::mpsc::bounded(capacity),
            |tx, item| tx.try_send(item)
        ),
        weigh!(
            "thingbuf",
            Peer,
            queued,
            thingbuf::mpsc::channel(capacity),
            |tx, item| tx.try_send(item)
        ),
        weigh!(
            "batch-channel",
            Peer,
            queued,
            batch_channel::bounded(capacity),
            |tx, item| tx.send(item).now_or_never().expect("no wait")
        ),
        weigh!(
            "fibre",
            Peer,
            queued,
            fibre::spsc::bounded_async(capacity),
            |tx, item| tx.try_send(item)
        ),
    ]
}
