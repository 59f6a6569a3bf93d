//! The limits of a call.

use std::time::Duration;

/// The limits of a call. The defaults suit a connector's functions on AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The time from starting the engine to the result, including waiting for responses.
    pub wall_clock: Duration,
    /// The size of the engine's heap.
    pub heap_bytes: usize,
    /// The size of the engine's stack.
    pub stack_bytes: usize,
    /// The number of requests, sent or queued, plus redirects.
    pub requests: usize,
    /// The size of a request's body.
    pub request_bytes: usize,
    /// The total size of all pending requests.
    pub waiting_bytes: usize,
    /// The total size of all response bodies.
    pub response_bytes: usize,
    /// The number of active timers.
    pub timers: usize,
    /// The number of log lines to keep. Further lines are only counted.
    pub log_lines: usize,
    /// The length of a log line in characters. The rest is cut off.
    pub log_line_length: usize,
    /// The size of the result as JSON.
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

/// The number of concurrent requests per call; others wait. This bounds the memory that unread responses need.
pub(super) const CONCURRENT_REQUESTS: usize = 4;

/// The maximum number of bytes that a script can pass to a native function, for example in `crypto` or `TextDecoder`.
/// There they do not count toward the engine's heap.
pub(super) const NATIVE_BYTES: usize = 16 * 1024 * 1024;

/// The maximum size of a URL. Native code makes several copies of it.
pub(super) const URL_BYTES: usize = 1024 * 1024;

/// The maximum size of a key.
pub(super) const KEY_BYTES: usize = 64 * 1024;

/// The maximum number of JSON values in a request of an `apiClient`. Each takes about eighty bytes in native code.
pub(super) const REQUEST_VALUES: usize = 200_000;

/// The maximum number of headers of a request.
pub(super) const HEADERS: usize = 1000;

/// The maximum total size of a request's headers.
pub(super) const HEADER_BYTES: usize = 256 * 1024;

/// The maximum number of redirects per request, as in the fetch standard.
pub(super) const REDIRECTS: usize = 20;

/// The maximum number of stuck threads. With more, new calls are rejected.
pub(super) const STUCK_CALLS: usize = 4;

/// The stack size of a call's thread. The TypeScript parser needs far more than the engine; unused stack costs no
/// memory.
pub(super) const THREAD_STACK_BYTES: usize = tsv_ts::STACK_SIZE;
