//! `--out`: one JSON object a line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

#[derive(Debug)]
pub(crate) struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Creates the file, or empties it.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.into(),
            file: fs::File::create(path)?.into(),
        })
    }

    /// Writes a line for each item. When this returns, they are the system's.
    pub(crate) async fn append<T: Serialize>(&mut self, items: &[T]) -> io::Result<()> {
        let mut lines = Vec::new();
        for item in items {
            serde_json::to_writer(&mut lines, item)?;
            lines.push(b'\n');
        }
        self.write(&lines).await.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot write {}: {error}", self.path.display()),
            )
        })
    }

    async fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines).await?;
        self.file.flush().await
    }
}
