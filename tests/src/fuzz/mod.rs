//! What fuzzers and tests throw bytes at: one function for each kind of input that comes from outside.
//!
//! Each reads its bytes in a form that people can write, too, and panics where what came of them is not what must hold.
//! `fuzz/` calls them from libFuzzer, `tests/tests/fuzz.rs` with the same seeds and with variants of these.

mod callback;
mod connect;
mod envelope;
mod events;
mod jwt;
mod mapping;
mod oauth1;
mod refresh_event;
mod row;
mod spec;
mod stand;
mod token_response;

pub use callback::callback;
pub use connect::connect;
pub use envelope::envelope;
pub use events::events;
pub use jwt::jwt;
pub use mapping::mapping;
pub use oauth1::oauth1;
pub use refresh_event::refresh_event;
pub use row::row;
pub use spec::spec;
pub use stand::answered;
pub use token_response::token_response;

/// What stands for a secret in an input, and must not be told.
const SECRET: &str = "SECRET";
/// The secret itself.
const MARKER: &str = "MARKER-7Fjfp0ZBr1KtDRbnfVdmIw";

/// The input as text, and its placeholders for secrets replaced.
fn with_secrets(text: &str) -> String {
    text.replace(SECRET, MARKER)
}

#[track_caller]
fn assert_untold(text: &str) {
    assert!(!text.contains("MARKER"), "a secret is told: {text}");
}
