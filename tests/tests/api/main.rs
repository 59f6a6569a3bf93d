//! The routes over HTTP and what is stored behind them: credentials, connections and integrations, and who may do what.

#![expect(clippy::unwrap_used, reason = "a test ends with the first thing that is not as it should be")]

mod callers;
mod cold_reads;
mod credential_faults;
mod credential_stores;
mod lists;
mod logs;
mod management;
mod rows;
mod sealing;
mod storage;
