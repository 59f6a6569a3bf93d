//! The errors of calls.

use serde_json::Value;

use super::Limits;
use super::masking::Masking;

/// The maximum length of a message, in characters.
pub(super) const MAX_MESSAGE_LENGTH: usize = 2000;

/// The reason why a call has no result. Messages are for the connector's author.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JavaScriptError {
    /// The script, or something that it called, threw an error.
    #[error(transparent)]
    Thrown(Box<Thrown>),
    /// The wall-clock limit passed.
    #[error("the function took longer than {seconds} seconds")]
    Timeout {
        /// The limit.
        seconds: f64,
    },
    /// The heap was full. A thrown `null` counts, too: that is all the engine can throw in this case.
    #[error("the function used more than {mebibytes} MiB of memory")]
    OutOfMemory {
        /// The limit.
        mebibytes: usize,
    },
    /// The calls were nested too deeply.
    #[error("the function's calls are nested too deeply{}", At(.at))]
    StackOverflow {
        /// The location in the connector: `file:line:column`.
        at: Option<String>,
    },
    /// The returned promise can never settle: nothing is left to run or wait for.
    #[error("the function is waiting for a promise that will never settle")]
    NeverSettled,
    /// The function exceeded another limit.
    #[error("the function exceeded a limit: {what}")]
    Limit {
        /// The limit, with its number.
        what: String,
    },
    /// The script or one of its imports is missing, has a syntax error, or exports no function.
    #[error("{}{message}", Prefix(.at))]
    Load {
        /// The problem.
        message: String,
        /// The location in the connector: `file:line:column`.
        at: Option<String>,
    },
    /// The result is not JSON, or too large.
    #[error("the result cannot be used: {message}")]
    Result {
        /// The reason.
        message: String,
    },
    /// The API client could not be created from the result of `makeApiClient`.
    #[error("the API client cannot be created: {message}")]
    Client {
        /// The reason.
        message: String,
    },
    /// Earlier calls are stuck in the engine and must end first.
    #[error("too many earlier calls are still running")]
    Busy,
    /// The engine itself failed.
    #[error("the JavaScript engine failed: {message}")]
    Engine {
        /// The engine's error.
        message: String,
    },
}

impl JavaScriptError {
    pub(super) fn timeout(limits: &Limits) -> Self {
        Self::Timeout { seconds: limits.wall_clock.as_secs_f64() }
    }

    pub(super) fn out_of_memory(limits: &Limits) -> Self {
        Self::OutOfMemory { mebibytes: limits.heap_bytes / (1024 * 1024) }
    }

    /// Masks credentials in the error's strings and cuts them to a readable length.
    pub(super) fn masked(self, masking: &Masking) -> Self {
        let text = |text: String| masking.text(&text, MAX_MESSAGE_LENGTH);
        match self {
            Self::Thrown(thrown) => {
                Self::Thrown(Box::new(Thrown { message: text(thrown.message), name: thrown.name.map(text), ..*thrown }))
            }
            Self::Load { message, at } => Self::Load { message: text(message), at },
            Self::Result { message } => Self::Result { message: text(message) },
            Self::Client { message } => Self::Client { message: text(message) },
            Self::Engine { message } => Self::Engine { message: text(message) },
            other => other,
        }
    }

    /// Returns an engine failure that no script caused.
    pub(super) fn engine(error: rquickjs::Error) -> Self {
        Self::Engine { message: error.to_string() }
    }
}

/// A thrown value. Errors of the API client have a `type`, a `key` and, in their `data`, the response.
#[derive(Clone, Debug, Default, PartialEq, thiserror::Error)]
#[error("{}{message}", Prefix(.at))]
pub struct Thrown {
    /// The error's message, or the value as a string if it is not an error.
    pub message: String,
    /// The error's name, like `TypeError`.
    pub name: Option<String>,
    /// The location in the connector: `file:line:column`.
    pub at: Option<String>,
    /// The error's `type`, like `connection`. Secrets are not masked here and in the following members: that could hide
    /// the names and codes that determine the error's meaning.
    pub kind: Option<Unshown<String>>,
    /// The error's `key`, like `access_token_expired`.
    pub key: Option<Unshown<String>>,
    /// The provider's response in the error, as `{status, headers, data}`.
    pub answer: Option<Unshown<Value>>,
}

/// A value for internal use only. Its `Debug` output reveals nothing.
#[derive(Clone, PartialEq)]
pub struct Unshown<T>(T);

impl<T> Unshown<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value, which must not be shown or logged.
    pub fn inner(&self) -> &T {
        &self.0
    }
}

impl<T> std::fmt::Debug for Unshown<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unshown(…)")
    }
}

struct Prefix<'a>(&'a Option<String>);

impl std::fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |at| write!(f, "{at}: "))
    }
}

struct At<'a>(&'a Option<String>);

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |at| write!(f, " at {at}"))
    }
}
