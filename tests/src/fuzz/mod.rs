//! Entry points for fuzzers: one function for each kind of external input.
//!
//! Each takes bytes in a format that people can write, too, and panics if an invariant does not hold. `tests/fuzz` calls them
//! from libFuzzer, and `tests/tests/fuzz/main.rs` calls them with the same seeds and with variants of the seeds.

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
mod test_bed;
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
pub use test_bed::answered;
pub use token_response::token_response;

/// The placeholder for the secret in an input.
const SECRET: &str = "SECRET";
/// The secret, which must not be disclosed.
const MARKER: &str = "MARKER-7Fjfp0ZBr1KtDRbnfVdmIw";
/// The placeholder for the secret with invisible characters in it, and its JSON form.
const HIDDEN_SECRET: (&str, &str) = ("HIDDEN", r"\u0000MARKER\u200b-7Fjfp0ZBr1KtDRbnfVdmIw");

/// Replaces the placeholders for secrets.
fn with_secrets(text: &str) -> String {
    text.replace(SECRET, MARKER).replace(HIDDEN_SECRET.0, HIDDEN_SECRET.1)
}

/// Like [`with_secrets`], for bytes. Bytes that are not UTF-8 stay unchanged.
fn planted(body: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(body) {
        Ok(text) => with_secrets(text).into_bytes(),
        Err(_) => body.to_vec(),
    }
}

#[track_caller]
fn assert_no_secret(text: &str) {
    assert!(!text.contains("MARKER"), "a secret is disclosed: {text}");
}
