//! Load, failures and kills, and processes that compete over one data folder. The load has the machine to itself.

mod competition;
mod seeded;
mod traffic;

use tokio::sync::RwLock;

/// Held to write by the test that needs all of the machine, and to read by the others.
static MACHINE: RwLock<()> = RwLock::const_new(());
