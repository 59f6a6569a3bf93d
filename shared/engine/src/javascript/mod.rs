//! Running a connector's JavaScript functions.
//!
//! ```text
//! caller --ScriptCall--> thread: engine + host object + prelude --events--> caller's runtime: requests
//!    ^                     |
//!    '------Returned-------'   or Timeout, if the wall-clock limit passes first
//! ```
//!
//! Every call has its own engine and thread, so nothing carries over from one call to the next. The thread itself waits
//! for responses and timers; requests run in the caller's runtime. Most limits end a script through the engine's
//! interrupt handler. A long native call never reaches the handler: then the caller continues alone, and the thread
//! ends when it can.
//!
//! - `host`: native functions for the prelude, invisible to scripts.
//! - `prelude/*.js`: the web APIs, written on top of `host`.
//! - `modules/*.js`: the modules that scripts can import by name.

mod check;
mod engine;
mod error;
mod host;
mod limits;
mod masking;
mod modules;
mod typescript;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use check::{ScriptProblem, check};
pub use error::{JavaScriptError, Thrown, Unshown};
use host::console::Log;
pub use host::console::LogLine;
use larder::random::Rng;
use larder::record::TaskContext;
pub use limits::Limits;
use limits::STUCK_CALLS;
use masking::Masking;
use serde_json::{Map, Value};

use crate::connector::script::Script;
use crate::egress::{Egress, Limits as Exchange};

#[cfg(test)]
mod tests;

/// The API behind a function's `apiClient`.
#[async_trait::async_trait]
pub trait Api: Send + Sync {
    /// Sends `{path, method, query?, headers?, data? | dataBase64?, baseUri?, auth?, responseType?}` and returns
    /// `{status, headers: {lowercase: string}, data | dataBase64}`.
    ///
    /// # Errors
    /// `{type, key?, message, data?}`, which the script sees as an `Error` with these members.
    async fn request(&self, request: Value) -> Result<Value, Value>;
}

/// Creates an [`Api`] from the result of `makeApiClient`.
pub trait OpenApi: Send + Sync {
    /// Creates an API with this configuration.
    ///
    /// # Errors
    /// The reason why the configuration is invalid.
    fn open(&self, config: Value) -> Result<Arc<dyn Api>, String>;
}

/// One call of a function.
pub struct ScriptCall<'a> {
    /// The function.
    pub script: &'a Script,
    /// The function's only argument.
    pub arguments: Map<String, Value>,
    /// The `apiClient` to add to the argument, if any.
    pub client: Option<ApiClientSetup>,
    /// The limits of each `fetch`, within the limits of the whole call.
    pub exchange: Exchange,
}

/// The setup of a function's `apiClient`.
#[derive(Clone)]
pub struct ApiClientSetup {
    /// The result of `makeApiClient`, or the function itself.
    pub config: ClientConfig,
    /// Creates the API behind the client.
    pub open: Arc<dyn OpenApi>,
}

/// The configuration of an API client.
#[derive(Clone)]
pub enum ClientConfig {
    /// A value.
    Value(Value),
    /// A function that returns the value or its own client, and the function's only argument.
    Script(Script, Map<String, Value>),
}

/// The result of a successful call.
#[derive(Clone, Debug, PartialEq)]
pub struct Returned {
    /// The function's result, converted by `JSON.stringify`. `None` for `undefined`.
    pub value: Option<Value>,
    /// The lines that the function wrote to `console`.
    pub logs: Vec<LogLine>,
}

/// The result of a failed call.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct ScriptFailure {
    /// The error.
    #[source]
    pub error: JavaScriptError,
    /// The lines that the function wrote to `console` before it failed.
    pub logs: Vec<LogLine>,
}

/// Calls functions, each in its own engine.
#[derive(Clone)]
pub struct JavaScript {
    egress: Egress,
    rng: Arc<dyn Rng>,
    limits: Limits,
    /// The number of threads whose callers no longer wait for them.
    stuck: Arc<AtomicUsize>,
}

impl JavaScript {
    /// Creates an engine whose `fetch` uses `egress` and whose `crypto` uses `rng`.
    pub fn new(egress: Egress, rng: Arc<dyn Rng>, limits: Limits) -> Self {
        Self { egress, rng, limits, stuck: Arc::default() }
    }

    /// Calls a function. Dropping the future ends the call.
    ///
    /// # Errors
    /// See [`JavaScriptError`].
    ///
    /// # Panics
    /// If called outside a tokio runtime.
    pub async fn call(&self, call: ScriptCall<'_>) -> Result<Returned, ScriptFailure> {
        if self.stuck.load(Ordering::Relaxed) > STUCK_CALLS {
            return Err(ScriptFailure { error: JavaScriptError::Busy, logs: Vec::new() });
        }
        let ScriptCall { script, arguments, client, exchange } = call;
        let arguments = Arc::new(arguments);
        let log = Arc::new(Log::new(&self.limits, Masking::new(Arc::clone(&arguments))));
        let (events, inbox) = std::sync::mpsc::channel();
        let guard = CallerGuard { is_over: Arc::default(), events: events.clone(), stuck: Arc::clone(&self.stuck) };
        let network = host::Network {
            egress: self.egress.clone(),
            runtime: tokio::runtime::Handle::current(),
            caller: TaskContext::current(),
            exchange,
        };
        let settings = host::CallSettings {
            network: Some(network),
            rng: Arc::clone(&self.rng),
            limits: self.limits,
            deadline: Instant::now() + self.limits.wall_clock,
            log: Arc::clone(&log),
            events,
            is_over: Arc::clone(&guard.is_over),
        };
        let script = script.clone();
        let outcome = self.run(engine::Task { script, arguments, client, settings, events: inbox }, &guard).await;
        let logs = log.take();
        match outcome {
            Ok(value) => Ok(Returned { value, logs }),
            Err(error) => Err(ScriptFailure { error, logs }),
        }
    }

    async fn run(&self, task: engine::Task, guard: &CallerGuard) -> Result<Option<Value>, JavaScriptError> {
        let thread = ThreadGuard { is_over: Arc::clone(&guard.is_over), stuck: Arc::clone(&self.stuck) };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("javascript".to_owned())
            .stack_size(limits::THREAD_STACK_BYTES)
            .spawn(move || {
                let log = Arc::clone(&task.settings.log);
                // Mask on this thread, not the caller's: the script determines how long it takes.
                let outcome = engine::run(task).map_err(|error| error.masked(log.masking()));
                drop(thread);
                drop(sender.send(outcome));
            })
            .map_err(|error| JavaScriptError::Engine { message: error.to_string() })?;
        // Normally the engine's own limit ends the script a little earlier.
        match tokio::time::timeout(self.limits.wall_clock + GRACE, receiver).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(JavaScriptError::Engine { message: "the thread ended early".to_owned() }),
            Err(_) => Err(JavaScriptError::timeout(&self.limits)),
        }
    }
}

/// How long the caller waits beyond the limit for the script to be interrupted.
const GRACE: Duration = Duration::from_millis(50);

/// The caller's side of a call. If it is dropped while the thread is still running, the script is interrupted as soon
/// as the engine checks; until then the thread counts as stuck.
struct CallerGuard {
    is_over: Arc<AtomicBool>,
    events: std::sync::mpsc::Sender<host::Event>,
    stuck: Arc<AtomicUsize>,
}

/// The thread's side of a call. It is dropped even if the thread panics.
struct ThreadGuard {
    is_over: Arc<AtomicBool>,
    stuck: Arc<AtomicUsize>,
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        if self.is_over.swap(true, Ordering::AcqRel) {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for CallerGuard {
    fn drop(&mut self) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
        if self.is_over.swap(true, Ordering::AcqRel) {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        } else {
            drop(self.events.send(host::Event::Abandoned));
        }
    }
}
