//! Load with failures and kills, and processes that compete for one data folder. The load test has the machine to itself.

mod competition;
mod seeded;
mod traffic;

use tokio::sync::RwLock;

/// Locked for writing by the test that needs the whole machine, and for reading by the others.
static MACHINE: RwLock<()> = RwLock::const_new(());
