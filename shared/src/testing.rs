//! Test helpers for this and other crates.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::instrument::WithSubscriber as _;

use crate::logging;

/// The log lines of some work, as a function writes them.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Runs work and returns the lines that it logs with this filter.
    pub async fn of(filter: &str, work: impl Future<Output = ()>) -> Vec<Value> {
        let lines = Self::default();
        let writer = lines.clone();
        work.with_subscriber(logging::subscriber(filter, move || writer.clone())).await;
        let bytes = lines.0.lock().expect("the lock is not poisoned");
        serde_json::Deserializer::from_slice(&bytes).into_iter().map(|line| line.expect("a line of JSON")).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("the lock is not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
