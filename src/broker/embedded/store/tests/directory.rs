//! Real directories: locks, and what cannot be opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A path of its own, which is removed in the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("pushpull-store-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn file(&self) -> PathBuf {
        self.0.join("broker.redb")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn open_dir(dir: &Path) -> Result<(Store, Recovered), Error> {
    Store::open(dir, SyncPolicy::Always).await
}

#[tokio::test]
async fn a_directory_is_made_and_opened_again() {
    let dir = Dir::new();
    let nested = dir.0.join("a/b");
    let (store, recovered) = open_dir(&nested).await.expect("made");
    assert!(recovered.topics.is_empty());
    create(&store, 0, "orders", TopicConfig::partitions(1))
        .await
        .expect("made");
    append(&store, (0, 0), 0, entries(0..2))
        .await
        .expect("stored");
    store.close().await.expect("closed");
    let names: Vec<_> = fs::read_dir(&nested)
        .expect("there")
        .map(|e| e.expect("read").file_name())
        .collect();
    assert_eq!(names, ["broker.redb"]);
    for policy in [
        SyncPolicy::Os,
        SyncPolicy::Every(Duration::from_secs(1)),
        SyncPolicy::Always,
    ] {
        let (store, _) = Store::open(&nested, policy).await.expect("opens");
        assert_eq!(values(&store, (0, 0)).await.expect("read").len(), 2);
        store.close().await.expect("closed");
    }
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_closes() {
    let dir = Dir::new();
    let (store, _) = open_dir(&dir.0).await.expect("made");
    for _ in 0..2 {
        let refused = open_dir(&dir.0).await.map(|_| ());
        assert!(
            matches!(&refused, Err(Error::Locked { path }) if *path == dir.0),
            "{refused:?}"
        );
    }
    create(&store, 0, "orders", TopicConfig::partitions(1))
        .await
        .expect("the first goes on");
    store.close().await.expect("closed");
    // A handle that is left does not hold the directory.
    let (second, recovered) = open_dir(&dir.0).await.expect("opens");
    assert_eq!(recovered.topics.len(), 1);
    second.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_make_it_at_once_one_gets_it() {
    let dir = Dir::new();
    for _ in 0..10 {
        let _ = fs::remove_dir_all(&dir.0);
        let openers = (0..8).map(|_| {
            let dir = dir.0.clone();
            tokio::spawn(async move { open_dir(&dir).await })
        });
        let mut opened = Vec::new();
        for opener in openers.collect::<Vec<_>>() {
            match opener.await.expect("no panic") {
                Ok((store, _)) => opened.push(store),
                Err(Error::Locked { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(opened.len(), 1);
        for store in opened {
            store.close().await.expect("closed");
        }
    }
}

/// What was left of a store that was never finished is no store.
#[tokio::test]
async fn an_unfinished_store_is_made_anew() {
    let dir = Dir::new();
    fs::create_dir_all(&dir.0).expect("made");
    for rest in [&b""[..], b"half a header", &[0; 100_000]] {
        fs::write(dir.0.join("broker.redb.new"), rest).expect("written");
        let (store, _) = open_dir(&dir.0).await.expect("made");
        store.close().await.expect("closed");
        fs::remove_file(dir.file()).expect("there");
    }
}

#[tokio::test]
async fn what_is_no_store_is_named() {
    let dir = Dir::new();
    fs::create_dir_all(&dir.0).expect("made");
    let file = dir.0.join("file");
    fs::write(&file, "text").expect("written");
    let refused = open_dir(&file).await.map(|_| ());
    assert!(
        matches!(&refused, Err(Error::Storage { path, .. }) if *path == file),
        "{refused:?}"
    );
    let below = file.join("below");
    let refused = open_dir(&below).await.map(|_| ());
    assert!(
        matches!(&refused, Err(Error::Storage { path, .. }) if *path == below),
        "{refused:?}"
    );

    fs::create_dir(dir.file()).expect("made");
    let refused = open_dir(&dir.0).await.map(|_| ());
    assert!(
        matches!(&refused, Err(Error::Storage { path, .. }) if *path == dir.file()),
        "{refused:?}"
    );
    fs::remove_dir(dir.file()).expect("there");

    fs::write(dir.file(), "").expect("written");
    let refused = open_dir(&dir.0).await.map(|_| ());
    assert!(
        matches!(&refused, Err(Error::Damaged { path, .. }) if *path == dir.file()),
        "{refused:?}"
    );
    let left = fs::read(dir.file()).expect("read");
    assert!(left.is_empty(), "it is left as it is");
    fs::write(dir.file(), "a text of somebody else's").expect("written");
    let refused = open_dir(&dir.0).await.map(|_| ());
    assert!(
        matches!(&refused, Err(Error::Storage { .. } | Error::Damaged { .. })),
        "{refused:?}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    // Root may write anywhere, but not there.
    let path = Path::new("/proc/pushpull");
    let refused = open_dir(path).await.map(|_| ());
    assert!(
        matches!(&refused, Err(Error::Storage { path: named, .. }) if named == path),
        "{refused:?}"
    );
    let path = Path::new("/proc");
    let refused = open_dir(path).await.map(|_| ());
    assert!(
        matches!(&refused, Err(Error::Storage { path: named, .. }) if named.starts_with(path)),
        "{refused:?}"
    );
}
