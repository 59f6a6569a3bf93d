//! Several Larder programs that share one data folder, killed and restarted.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use futures::future::join_all;
use larder_tests::Program;

/// The running programs, each in its slot.
pub(crate) struct Fleet {
    data: PathBuf,
    slots: Vec<Mutex<Option<Program>>>,
    kills: AtomicUsize,
}

impl Fleet {
    /// Starts more programs next to the first, `size` in total.
    pub(crate) async fn around(first: Program, data: &Path, size: usize) -> Self {
        let others = join_all((1..size).map(|_| start(data))).await;
        let programs = [first].into_iter().chain(others);
        let slots = programs.map(|program| Mutex::new(Some(program))).collect();
        Self { data: data.to_owned(), slots, kills: AtomicUsize::new(0) }
    }

    /// The base URIs of the running programs.
    pub(crate) fn base_uris(&self) -> Vec<String> {
        let uris = (0..self.slots.len()).map(|slot| self.slot(slot).as_ref().map(|it| it.base_uri.clone()));
        uris.flatten().collect()
    }

    pub(crate) fn size(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn kills(&self) -> usize {
        self.kills.load(Ordering::Relaxed)
    }

    /// Takes a program out of its slot, so that it gets no more requests.
    pub(crate) fn take(&self, slot: usize) -> Option<Program> {
        self.slot(slot).take()
    }

    /// Kills a program that was taken out.
    pub(crate) async fn kill(&self, program: Program) {
        self.kills.fetch_add(1, Ordering::Relaxed);
        program.kill().await;
    }

    /// Starts a new program in a slot.
    pub(crate) async fn start(&self, slot: usize) {
        let program = start(&self.data).await;
        *self.slot(slot) = Some(program);
    }

    /// The slot of the program that has a connection from this port.
    pub(crate) fn owner(&self, port: u16) -> Option<usize> {
        (0..self.slots.len()).find(|slot| self.slot(*slot).as_ref().is_some_and(|it| it.has_connection_from(port)))
    }

    /// Kills a program immediately and leaves it in its slot: the caller must take it out afterwards.
    pub(crate) fn strike(&self, slot: usize) {
        if let Some(program) = self.slot(slot).as_mut() {
            program.strike();
        }
    }

    fn slot(&self, slot: usize) -> MutexGuard<'_, Option<Program>> {
        self.slots[slot].lock().expect("the lock is not poisoned")
    }
}

pub(crate) async fn start(data: &Path) -> Program {
    let data = data.to_str().expect("a path in UTF-8");
    Program::start(&["--data", data, "--listen", "127.0.0.1:0", "--no-demo"]).await
}
