//! Load, failures and kills, and processes that compete over one data folder. One test at a time: each takes the machine.

mod competition;
mod seeded;
mod traffic;

use tokio::sync::Mutex;

/// Held by the test that runs.
static MACHINE: Mutex<()> = Mutex::const_new(());
