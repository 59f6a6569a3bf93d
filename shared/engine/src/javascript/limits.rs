//! What one call may take.

use std::time::Duration;

/// The limits of one call. The defaults suit a function of a connector in AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the start of the engine to the result, waiting for answers included.
    pub wall_clock: Duration,
    /// Of the engine's heap.
    pub heap_bytes: usize,
    /// Of the engine's stack.
    pub stack_bytes: usize,
    /// Requests made, whether they have been sent or wait for their turn, and redirects.
    pub requests: usize,
    /// Of one request's body.
    pub request_bytes: usize,
    /// Of all requests together that have not been answered yet.
    pub waiting_bytes: usize,
    /// Of all response bodies together.
    pub response_bytes: usize,
    /// Timers that wait at the same time.
    pub timers: usize,
    /// Lines that are kept; further ones are counted only.
    pub log_lines: usize,
    /// Of one line, in characters; the rest is cut off.
    pub log_line_length: usize,
    /// Of the result, as JSON.
    pub result_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_clock: Duration::from_secs(30),
            heap_bytes: 64 * 1024 * 1024,
            stack_bytes: 1024 * 1024,
            requests: 50,
            request_bytes: 10 * 1024 * 1024,
            waiting_bytes: 20 * 1024 * 1024,
            response_bytes: 30 * 1024 * 1024,
            timers: 1000,
            log_lines: 200,
            log_line_length: 1000,
            result_bytes: 400 * 1024,
        }
    }
}

/// Requests of one call that are under way at once; others wait. It bounds what unread answers take of the memory.
pub(super) const CONCURRENT_REQUESTS: usize = 4;

/// The most that a script hands to one function of native code, such as `crypto` or `TextDecoder`. It does not count as the
/// engine's heap there.
pub(super) const NATIVE_BYTES: usize = 16 * 1024 * 1024;

/// The same for a URL, of which native code makes several.
pub(super) const URL_BYTES: usize = 1024 * 1024;

/// The same for a key.
pub(super) const KEY_BYTES: usize = 64 * 1024;

/// Values of JSON in a request of an `apiClient`: each takes some eighty bytes in native code.
pub(super) const REQUEST_VALUES: usize = 200_000;

/// Headers of one request.
pub(super) const HEADERS: usize = 1000;

/// Of all headers of one request.
pub(super) const HEADER_BYTES: usize = 256 * 1024;

/// Redirects that one request may follow, as in the fetch standard.
pub(super) const REDIRECTS: usize = 20;

/// Calls whose thread did not come back; with more than these, new calls are refused.
pub(super) const STUCK_CALLS: usize = 4;

/// Of a call's thread: what the TypeScript parser may need, far more than the engine. Only what is used becomes memory.
pub(super) const THREAD_STACK_BYTES: usize = tsv_ts::STACK_SIZE;
