//! Refreshing: when and how often, how answers are interpreted, and faults before the row is saved.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod answers;
mod basics;
mod faults;
mod interruption;
mod isolation;
mod lifetimes;
mod memory;
mod recovery;
mod follow_up;
