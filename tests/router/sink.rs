//! The router as a sink.

use futures::{Sink, SinkExt, StreamExt, stream};
use pushpull::PullExt;

use super::*;

#[test]
fn it_needs_to_be_ready() {
    let mut router = router(1, Overflow::Wait);
    let message = panic_of(|| Pin::new(&mut router).start_send(("ann", 1)));
    assert!(message.contains("without a `poll_ready`"), "{message}");
}

#[test]
fn each_handle_holds_one_message() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut router = router(1, Overflow::Wait);
    let mut ann = router.connect("ann");
    let mut bob = router.connect("bob");
    let mut other = router.clone();
    now(router.push(&"ann", 1)).unwrap();
    assert!(router.poll_ready_unpin(&mut cx).is_ready());
    router.start_send_unpin(("ann", 2)).unwrap();
    assert!(router.poll_ready_unpin(&mut cx).is_pending());
    assert!(router.poll_flush_unpin(&mut cx).is_pending());
    assert!(router.poll_close_unpin(&mut cx).is_pending());
    // Another handle has its own.
    now(other.send(("bob", 3))).unwrap();
    assert_eq!(rest(&mut bob).0, [(1, 3)]);
    assert_eq!(rest(&mut ann).0, [(1, 1)]);
    now(router.flush()).unwrap();
    assert_eq!(rest(&mut ann).0, [(2, 2)]);
    now(SinkExt::close(&mut router)).unwrap();
    now(SinkExt::close(&mut router)).unwrap();
    now(other.send(("bob", 4))).unwrap();
    assert_eq!(rest(&mut bob).0, [(2, 4)]);
}

#[test]
fn what_a_handle_holds_goes_with_it() {
    let mut cx = Context::from_waker(Waker::noop());
    let router = router(1, Overflow::Wait);
    let mut ann = router.connect("ann");
    now(router.push(&"ann", 1)).unwrap();
    let mut handle = router.clone();
    assert!(handle.poll_ready_unpin(&mut cx).is_ready());
    handle.start_send_unpin(("ann", 2)).unwrap();
    assert!(handle.poll_flush_unpin(&mut cx).is_pending());
    drop(handle);
    assert_eq!(rest(&mut ann).0, [(1, 1)]);
    now(router.push(&"ann", 3)).unwrap();
    assert_eq!(rest(&mut ann).0, [(2, 3)]);
}

#[test]
fn errors_bring_key_and_message() {
    let mailbox = Slow::new(0, 0);
    let mut router = Router::builder().mailbox(mailbox.clone()).build();
    mailbox.fails.store(1, Ordering::Relaxed);
    let error = now(router.send(("ann", 1))).unwrap_err();
    assert_eq!(error.into_item(), ("ann", 1));
    now(router.send(("ann", 2))).unwrap();
    assert_eq!(now(router.sync(&"ann", 0, 9)).unwrap(), [(1, 2)]);
    router.close();
    let error = now(router.send(("ann", 3))).unwrap_err();
    assert!(error.is_closed());
    assert_eq!(error.into_item(), ("ann", 3));
}

#[tokio::test(start_paused = true)]
async fn a_pump_fills_it() {
    let router = Router::<u32, u32>::builder()
        .connection_queue(bounded(4))
        .mailbox(Memory::new())
        .build();
    let readers: Vec<_> = (0..3)
        .map(|key| {
            let connection = router.connect(key);
            tokio::spawn(connection.map(|(_, item)| item).collect::<Vec<_>>())
        })
        .collect();
    let input = stream::iter((0..300).map(|n| (n % 3, n)));
    let pumped = input.pump_into(router.clone()).await.unwrap();
    assert_eq!(pumped.items, 300);
    drop(router);
    for (key, reader) in readers.into_iter().enumerate() {
        let expected: Vec<u32> = (0..300).filter(|n| n % 3 == key as u32).collect();
        assert_eq!(reader.await.unwrap(), expected);
    }
}
