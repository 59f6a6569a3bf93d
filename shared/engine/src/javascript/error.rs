//! Why a call has no result.

use serde_json::Value;

use super::Limits;
use super::masking::Masking;

/// Of a message, in characters.
pub(super) const MAX_MESSAGE_LENGTH: usize = 2000;

/// Why a function has no result. The texts are for the connector's author.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JavaScriptError {
    /// The script threw, or what it called did.
    #[error(transparent)]
    Thrown(Box<Thrown>),
    /// The wall clock's limit passed.
    #[error("the function took longer than {seconds} seconds")]
    Timeout {
        /// The limit.
        seconds: f64,
    },
    /// The heap was full. A thrown `null` also counts as this: it is all that the engine can still throw then.
    #[error("the function used more than {mebibytes} MiB of memory")]
    OutOfMemory {
        /// The limit.
        mebibytes: usize,
    },
    /// Too many calls within each other.
    #[error("the function's calls are nested too deeply{}", At(.at))]
    StackOverflow {
        /// `file:line:column` of the connector.
        at: Option<String>,
    },
    /// The returned promise cannot settle any more: nothing is left to run or to wait for.
    #[error("the function waits for a promise that nothing will settle")]
    NeverSettled,
    /// Another limit was passed.
    #[error("the function passed a limit: {what}")]
    Limit {
        /// Which, with its number.
        what: String,
    },
    /// The script, or something that it imports, is missing, does not parse or exports no function.
    #[error("{}{message}", Prefix(.at))]
    Load {
        /// What is wrong.
        message: String,
        /// `file:line:column` of the connector.
        at: Option<String>,
    },
    /// The result is not JSON, or too large.
    #[error("the result cannot be used: {message}")]
    Result {
        /// Why.
        message: String,
    },
    /// The API client could not be made of what `makeApiClient` returned.
    #[error("the API client cannot be made: {message}")]
    Client {
        /// Why.
        message: String,
    },
    /// Earlier calls hang in the engine; they must end first.
    #[error("too many earlier calls have not ended yet")]
    Busy,
    /// The engine itself failed.
    #[error("the JavaScript engine failed: {message}")]
    Engine {
        /// How.
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

    /// Without credentials, and not longer than a person reads.
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

    /// The engine failed where no script can be blamed.
    pub(super) fn engine(error: rquickjs::Error) -> Self {
        Self::Engine { message: error.to_string() }
    }
}

/// A thrown value. An error of the API client carries `type`, `key` and, in its `data`, the answer.
#[derive(Clone, Debug, Default, PartialEq, thiserror::Error)]
#[error("{}{message}", Prefix(.at))]
pub struct Thrown {
    /// Its message; of what is no error, the value as text.
    pub message: String,
    /// Such as `TypeError`.
    pub name: Option<String>,
    /// `file:line:column` of the connector where it came from.
    pub at: Option<String>,
    /// `type` of the thrown error, such as `connection`. Secrets are not masked in this and what follows, or the names and codes
    /// that say what the error means could be.
    pub kind: Option<Unshown<String>>,
    /// `key` of the thrown error, such as `access_token_expired`.
    pub key: Option<Unshown<String>>,
    /// The application's answer that the error carries, `{status, headers, data}`.
    pub answer: Option<Unshown<Value>>,
}

/// A value that is for us alone. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq)]
pub struct Unshown<T>(T);

impl<T> Unshown<T> {
    pub(super) fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. Nothing of it may be shown or logged.
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
