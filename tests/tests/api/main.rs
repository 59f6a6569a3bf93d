//! The HTTP routes, the data behind them, and who may call them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod attempts;
mod callers;
mod cold_reads;
mod create;
mod credential_faults;
mod credential_stores;
mod credentials_page;
mod integrations_page;
mod limited_tokens;
mod lists;
mod logs;
mod manage;
mod management;
mod page_links;
mod picker;
mod rows;
mod sdk_routes;
mod sealing;
mod simultaneous;
mod storage;
mod token_keys;
