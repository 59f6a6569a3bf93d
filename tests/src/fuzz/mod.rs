//! What fuzzers and tests throw bytes at: one function for each kind of input that comes from outside.
//!
//! Each reads its bytes in a form that people can write, too, and panics where what came of them is not what must hold.
//! `tests/fuzz` calls them from libFuzzer, `tests/tests/fuzz/main.rs` with the same seeds and with variants of these.

mod answer;
mod api_response;
mod callback;
mod connect;
mod content_encoding;
mod envelope;
mod events;
mod jwt;
mod mapping;
mod oauth1;
mod refresh_event;
mod row;
mod script_result;
mod spec;
mod stand;
mod token_response;

pub use api_response::api_response;
pub use callback::callback;
pub use connect::connect;
pub use content_encoding::content_encoding;
pub use envelope::envelope;
pub use events::events;
pub use jwt::jwt;
pub use mapping::mapping;
pub use oauth1::oauth1;
pub use refresh_event::refresh_event;
pub use row::row;
pub use script_result::script_result;
pub use spec::spec;
pub use stand::answered;
pub use token_response::token_response;

/// What stands for a secret in an input, and must not be told.
const SECRET: &str = "SECRET";
/// The secret itself.
const MARKER: &str = "MARKER-7Fjfp0ZBr1KtDRbnfVdmIw";
/// Stands for the secret with characters in it that nobody sees, as JSON has them.
const HIDDEN_SECRET: (&str, &str) = ("HIDDEN", r"\u0000MARKER\u200b-7Fjfp0ZBr1KtDRbnfVdmIw");

/// The input as text, and its placeholders for secrets replaced.
fn with_secrets(text: &str) -> String {
    text.replace(SECRET, MARKER).replace(HIDDEN_SECRET.0, HIDDEN_SECRET.1)
}

/// The same for bytes, which stay as they are where they are not text.
fn planted(body: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(body) {
        Ok(text) => with_secrets(text).into_bytes(),
        Err(_) => body.to_vec(),
    }
}

#[track_caller]
fn assert_untold(text: &str) {
    assert!(!text.contains("MARKER"), "a secret is told: {text}");
}
