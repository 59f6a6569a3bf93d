//! Refreshing: when and how often, what an answer means, and faults on the way to the saved row.

#![expect(clippy::unwrap_used, reason = "a test ends with the first thing that is not as it should be")]

mod answers;
mod basics;
mod faults;
mod interruption;
mod isolation;
mod lifetimes;
mod memory;
mod recovery;
mod follow_up;
