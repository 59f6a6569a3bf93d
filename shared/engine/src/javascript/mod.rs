//! Runs a connector's functions in JavaScript.
//!
//! ```text
//! caller --Call--> thread: engine + host object + prelude --events--> caller's runtime: requests
//!    ^                 |
//!    '----Returned-----'   or, when the wall clock's limit passes first, Timeout
//! ```
//!
//! Every call has an engine and a thread of its own, so nothing is left over from one call to the next. The thread waits
//! for answers and timers itself; requests run in the caller's runtime. Most limits end a script through the engine's
//! interrupt handler. A single native call never asks it: then the caller goes on alone, and the thread ends when it can.
//!
//! - `host`: what native code does for the prelude; scripts never see it.
//! - `prelude/*.js`: the web's interfaces, written over `host`.
//! - `modules/*.js`: what scripts can import by name.
//!
//! # Decisions
//!
//! If more than four threads have not come back from such native calls, new calls are rejected. The prelude and the
//! modules are compiled once per process and kept as bytecode.
//!
//! Bytecode is not made at build time. That would save about 5 ms in a process's first call, but rquickjs would also be
//! a build-dependency, so QuickJS would be compiled twice (for both processors when arm64 is built on x86_64), and
//! reading foreign bytecode is `unsafe`: a wrong version, word size or byte order goes unnoticed. Code that was
//! compiled in the same process cannot be wrong.

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

/// What a function's `apiClient` calls.
#[async_trait::async_trait]
pub trait Api: Send + Sync {
    /// Sends `{path, method, query?, headers?, data? | dataBase64?, baseUri?, auth?, responseType?}` and returns
    /// `{status, headers: {lower-case: text}, data | dataBase64}`.
    ///
    /// # Errors
    /// `{type, key?, message, data?}`, which the script sees as an `Error` with these members.
    async fn request(&self, request: Value) -> Result<Value, Value>;
}

/// Makes an [`Api`] of what `makeApiClient` returned.
pub trait OpenApi: Send + Sync {
    /// Reads a configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    fn open(&self, config: Value) -> Result<Arc<dyn Api>, String>;
}

/// One call of a function.
pub struct Call<'a> {
    /// The function.
    pub script: &'a Script,
    /// Its one argument.
    pub arguments: Map<String, Value>,
    /// Where the argument also gets an `apiClient`.
    pub client: Option<Client>,
    /// The limits of each exchange of `fetch`, within those of the whole call.
    pub exchange: Exchange,
}

/// The API client that a function gets.
#[derive(Clone)]
pub struct Client {
    /// What `makeApiClient` returned, or returns.
    pub config: ClientConfig,
    /// What makes the client.
    pub open: Arc<dyn OpenApi>,
}

/// The configuration of an API client.
#[derive(Clone)]
pub enum ClientConfig {
    /// The value.
    Value(Value),
    /// The function that returns it, or a client of its own making, and its one argument.
    Script(Script, Map<String, Value>),
}

/// What a function returned.
#[derive(Clone, Debug, PartialEq)]
pub struct Returned {
    /// The result as `JSON.stringify` has it; `None` for `undefined`.
    pub value: Option<Value>,
    /// What it wrote to `console`.
    pub logs: Vec<LogLine>,
}

/// Why a function returned nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// Why.
    #[source]
    pub error: JavaScriptError,
    /// What it wrote to `console` until then.
    pub logs: Vec<LogLine>,
}

/// Calls functions, each in an engine of its own.
#[derive(Clone)]
pub struct JavaScript {
    egress: Egress,
    rng: Arc<dyn Rng>,
    limits: Limits,
    /// Threads whose callers do not wait for them any more.
    stuck: Arc<AtomicUsize>,
}

impl JavaScript {
    /// An engine whose `fetch` goes through `egress`, and whose `crypto` takes random bytes from `rng`.
    pub fn new(egress: Egress, rng: Arc<dyn Rng>, limits: Limits) -> Self {
        Self { egress, rng, limits, stuck: Arc::default() }
    }

    /// Calls a function. Dropping the future ends the call.
    ///
    /// # Errors
    /// See [`JavaScriptError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn call(&self, call: Call<'_>) -> Result<Returned, Failure> {
        if self.stuck.load(Ordering::Relaxed) > STUCK_CALLS {
            return Err(Failure { error: JavaScriptError::Busy, logs: Vec::new() });
        }
        let Call { script, arguments, client, exchange } = call;
        let arguments = Arc::new(arguments);
        let log = Arc::new(Log::new(&self.limits, Masking::new(Arc::clone(&arguments))));
        let (events, inbox) = std::sync::mpsc::channel();
        let running = Running { is_over: Arc::default(), events: events.clone(), stuck: Arc::clone(&self.stuck) };
        let network = host::Network {
            egress: self.egress.clone(),
            runtime: tokio::runtime::Handle::current(),
            caller: TaskContext::current(),
            exchange,
        };
        let setting = host::Setting {
            network: Some(network),
            rng: Arc::clone(&self.rng),
            limits: self.limits,
            deadline: Instant::now() + self.limits.wall_clock,
            log: Arc::clone(&log),
            events,
            is_over: Arc::clone(&running.is_over),
        };
        let script = script.clone();
        let outcome = self.run(engine::Task { script, arguments, client, setting, events: inbox }, &running).await;
        let logs = log.take();
        match outcome {
            Ok(value) => Ok(Returned { value, logs }),
            Err(error) => Err(Failure { error, logs }),
        }
    }

    async fn run(&self, task: engine::Task, running: &Running) -> Result<Option<Value>, JavaScriptError> {
        let thread = Thread { is_over: Arc::clone(&running.is_over), stuck: Arc::clone(&self.stuck) };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("javascript".to_owned())
            .stack_size(limits::THREAD_STACK_BYTES)
            .spawn(move || {
                let log = Arc::clone(&task.setting.log);
                // Here and not where it is waited for: how long it takes is up to the script.
                let outcome = engine::run(task).map_err(|error| error.masked(log.masking()));
                drop(thread);
                drop(sender.send(outcome));
            })
            .map_err(|error| JavaScriptError::Engine { message: error.to_string() })?;
        // A little longer than the engine's own limit, which is the rule.
        match tokio::time::timeout(self.limits.wall_clock + GRACE, receiver).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(JavaScriptError::Engine { message: "its thread ended early".to_owned() }),
            Err(_) => Err(JavaScriptError::timeout(&self.limits)),
        }
    }
}

/// What the caller waits beyond the limit for a script to be interrupted.
const GRACE: Duration = Duration::from_millis(50);

/// The caller's side of a call. When it goes while the thread still runs, the script is interrupted as soon as the engine
/// asks, and until then the thread counts as stuck.
struct Running {
    is_over: Arc<AtomicBool>,
    events: std::sync::mpsc::Sender<host::Event>,
    stuck: Arc<AtomicUsize>,
}

/// The thread's side of a call. It goes also when the thread panics.
struct Thread {
    is_over: Arc<AtomicBool>,
    stuck: Arc<AtomicUsize>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        if self.is_over.swap(true, Ordering::AcqRel) {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
        if self.is_over.swap(true, Ordering::AcqRel) {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        } else {
            drop(self.events.send(host::Event::Abandoned));
        }
    }
}
