//! The native functions for the prelude, in an object that scripts never see.

mod api;
mod bytes;
pub(super) mod console;
mod crypto;
mod encoding;
mod fetch;
mod keys;
mod timers;
mod url;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use console::Log;
use larder::random::Rng;
use larder::record::TaskContext;
use rquickjs::function::IntoJsFunc;
use rquickjs::{Ctx, Function, Object, Persistent, Promise, Result, Value};

use super::error::JavaScriptError;
use super::limits::Limits;
use super::{Api, OpenApi};
use crate::egress::{Egress, Limits as Exchange};

/// The settings of a call.
pub(super) struct CallSettings {
    /// `None` if a script is only checked.
    pub(super) network: Option<Network>,
    pub(super) rng: Arc<dyn Rng>,
    pub(super) limits: Limits,
    pub(super) deadline: Instant,
    pub(super) log: Arc<Log>,
    pub(super) events: Sender<Event>,
    /// Set when the caller is gone.
    pub(super) is_over: Arc<AtomicBool>,
}

/// The network access of a call.
pub(super) struct Network {
    pub(super) egress: Egress,
    /// The runtime that requests run in.
    pub(super) runtime: tokio::runtime::Handle,
    /// The caller's context, which requests run in.
    pub(super) caller: TaskContext,
    /// The limits of each request.
    pub(super) exchange: Exchange,
}

/// A message to the engine's thread.
pub(super) enum Event {
    /// An operation is done.
    Done(u64, OperationResult),
    /// The caller is gone.
    Abandoned,
}

/// The result of an operation.
pub(super) type OperationResult = std::result::Result<MakeValue, OperationError>;

/// Creates the value that an operation's promise resolves to.
pub(super) type MakeValue = Box<dyn for<'js> FnOnce(&Ctx<'js>) -> Result<Value<'js>> + Send>;

/// The reason why an operation failed.
pub(super) enum OperationError {
    /// The promise is rejected with a `TypeError`, as in the fetch standard.
    Rejected(String),
    /// The whole call fails.
    Fatal(JavaScriptError),
}

/// The state of a call that native functions share.
pub(super) struct Host {
    pub(super) settings: CallSettings,
    /// The reason why the script must stop, if it must.
    fatal: RefCell<Option<JavaScriptError>>,
    /// The prelude's function that creates an operation's error.
    failure: RefCell<Option<Persistent<Function<'static>>>>,
    operations: RefCell<HashMap<u64, Operation>>,
    last_operation: Cell<u64>,
    timers: RefCell<timers::Timers>,
    traffic: Arc<fetch::Traffic>,
    clients: RefCell<Vec<Arc<dyn Api>>>,
    open: Option<Arc<dyn OpenApi>>,
}

/// A promise that something outside the engine will settle.
struct Operation {
    resolve: Persistent<Function<'static>>,
    reject: Persistent<Function<'static>>,
    /// Created when the operation started, so that its stack trace shows the script's location.
    error: Persistent<Value<'static>>,
    task: tokio::task::AbortHandle,
}

impl Host {
    pub(super) fn new(settings: CallSettings, open: Option<Arc<dyn OpenApi>>) -> Rc<Self> {
        Rc::new(Self {
            traffic: Arc::new(fetch::Traffic::new(&settings.limits)),
            settings,
            fatal: RefCell::default(),
            failure: RefCell::default(),
            operations: RefCell::default(),
            last_operation: Cell::new(0),
            timers: RefCell::default(),
            clients: RefCell::default(),
            open,
        })
    }

    /// Creates the object with the native functions. To add functions, write another `add` in a file in this folder and
    /// call it below.
    pub(super) fn object<'js>(self: &Rc<Self>, ctx: &Ctx<'js>) -> Result<Object<'js>> {
        let functions = Functions { object: Object::new(ctx.clone())?, host: self };
        functions.object.set_prototype(None)?;
        console::add(&functions)?;
        timers::add(&functions)?;
        fetch::add(&functions)?;
        api::add(&functions)?;
        url::add(&functions)?;
        encoding::add(&functions)?;
        crypto::add(&functions)?;
        keys::add(&functions)?;
        let host = Rc::clone(self);
        functions.add("proceed", move |ctx: Ctx<'js>| host.proceed(&ctx))?;
        Ok(functions.object)
    }

    /// Throws if the script must stop. The engine only checks every ten thousand steps, and each step may be a slow
    /// native call.
    fn proceed(&self, ctx: &Ctx<'_>) -> Result<()> {
        match self.check() {
            Ok(()) => Ok(()),
            Err(error) => Err(rquickjs::Exception::throw_range(ctx, &error.to_string())),
        }
    }

    /// Sets the prelude's function that creates errors. Only an error created inside the script's stack knows its
    /// location.
    pub(super) fn fails_with<'js>(&self, ctx: &Ctx<'js>, failure: Function<'js>) {
        *self.failure.borrow_mut() = Some(Persistent::save(ctx, failure));
    }

    /// Returns whether the script must stop. The engine checks this every few thousand steps.
    pub(super) fn must_stop(&self) -> bool {
        self.fatal.borrow().is_some()
            || self.settings.is_over.load(Ordering::Relaxed)
            || Instant::now() >= self.settings.deadline
    }

    /// Returns an error if the script must stop.
    pub(super) fn check(&self) -> std::result::Result<(), JavaScriptError> {
        match self.fatal.borrow().as_ref() {
            Some(error) => Err(error.clone()),
            None if self.must_stop() => Err(JavaScriptError::timeout(&self.settings.limits)),
            None => Ok(()),
        }
    }

    /// Ends the call. Even if the script catches the exception, it is interrupted soon.
    pub(super) fn stop(&self, ctx: &Ctx<'_>, error: JavaScriptError) -> rquickjs::Error {
        let thrown = rquickjs::Exception::throw_range(ctx, &error.to_string());
        self.fatal.borrow_mut().get_or_insert(error);
        thrown
    }

    /// Ends the call because it exceeded a limit.
    pub(super) fn stop_at(&self, ctx: &Ctx<'_>, what: String) -> rquickjs::Error {
        self.stop(ctx, JavaScriptError::Limit { what })
    }

    /// Starts an operation. Returns its id for [`Host::abort`], and a promise of its value.
    pub(super) fn start<'js>(
        self: &Rc<Self>,
        ctx: &Ctx<'js>,
        work: impl Future<Output = OperationResult> + Send + 'static,
    ) -> Result<(u64, Promise<'js>)> {
        let Network { runtime, caller, .. } = self.network(ctx)?;
        let (promise, resolve, reject) = ctx.promise()?;
        let failure = self.failure.borrow().clone();
        let error: Value = match failure {
            Some(failure) => failure.restore(ctx)?.call(())?,
            None => Value::new_undefined(ctx.clone()),
        };
        let error = Persistent::save(ctx, error);
        let id = self.last_operation.get() + 1;
        self.last_operation.set(id);
        let events = self.settings.events.clone();
        let task = runtime.spawn(caller.clone().run(async move {
            drop(events.send(Event::Done(id, work.await)));
        }));
        let (resolve, reject) = (Persistent::save(ctx, resolve), Persistent::save(ctx, reject));
        let operation = Operation { resolve, reject, error, task: task.abort_handle() };
        self.operations.borrow_mut().insert(id, operation);
        Ok((id, promise))
    }

    fn network(&self, ctx: &Ctx<'_>) -> Result<&Network> {
        let network = self.settings.network.as_ref();
        network.ok_or_else(|| {
            rquickjs::Exception::throw_type(ctx, "a script cannot send requests while it is being checked")
        })
    }

    /// Aborts an operation. Its promise stays pending: the code that aborts it has already notified the script.
    pub(super) fn abort(&self, id: u64) {
        if let Some(operation) = self.operations.borrow_mut().remove(&id) {
            operation.task.abort();
        }
    }

    /// Waits for a timer or an operation and runs its callbacks. Returns `false` if there is nothing to wait for.
    pub(super) fn wait(&self, ctx: &Ctx<'_>, inbox: &Receiver<Event>) -> Result<bool> {
        let due = self.timers.borrow_mut().due();
        if let Some(timer) = due {
            timer.restore(ctx)?.call::<_, ()>(()).or_else(|error| ignore_exception(ctx, error))?;
            return Ok(true);
        }
        let next_timer = self.timers.borrow().next_at();
        if self.operations.borrow().is_empty() && next_timer.is_none() {
            return Ok(false);
        }
        let until = next_timer.unwrap_or(self.settings.deadline).min(self.settings.deadline);
        match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Done(id, outcome)) => self.settle(ctx, id, outcome)?,
            Ok(Event::Abandoned) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        Ok(true)
    }

    fn settle(&self, ctx: &Ctx<'_>, id: u64, outcome: OperationResult) -> Result<()> {
        let Some(operation) = self.operations.borrow_mut().remove(&id) else { return Ok(()) };
        match outcome {
            Ok(make) => match make(ctx) {
                Ok(value) => operation.resolve.restore(ctx)?.call((value,)),
                Err(rquickjs::Error::Exception) => operation.reject.restore(ctx)?.call((ctx.catch(),)),
                Err(error) => Err(error),
            },
            Err(OperationError::Rejected(message)) => {
                let error = operation.error.restore(ctx)?;
                if let Some(error) = error.as_object() {
                    error.set("message", message)?;
                }
                operation.reject.restore(ctx)?.call((error,))
            }
            Err(OperationError::Fatal(error)) => {
                self.fatal.borrow_mut().get_or_insert(error);
                Ok(())
            }
        }
    }

    /// Aborts everything and releases the engine's values. Must be called before the engine is freed.
    pub(super) fn clear(&self) {
        for (_, operation) in self.operations.borrow_mut().drain() {
            operation.task.abort();
        }
        *self.timers.borrow_mut() = timers::Timers::default();
        *self.failure.borrow_mut() = None;
    }

    /// Returns the remaining time.
    fn remaining(&self) -> Duration {
        self.settings.deadline.saturating_duration_since(Instant::now())
    }
}

/// Ignores an exception of a timer's function: nothing can handle it, and the other timers continue.
fn ignore_exception(ctx: &Ctx<'_>, error: rquickjs::Error) -> Result<()> {
    if matches!(error, rquickjs::Error::Exception) {
        ctx.catch();
        return Ok(());
    }
    Err(error)
}

/// The object with the native functions, under construction.
pub(super) struct Functions<'a, 'js> {
    object: Object<'js>,
    pub(super) host: &'a Rc<Host>,
}

impl<'js> Functions<'_, 'js> {
    /// Adds a function.
    pub(super) fn add<P>(&self, name: &str, function: impl IntoJsFunc<'js, P> + 'js) -> Result<()> {
        self.object.set(name, Function::new(self.object.ctx().clone(), function)?.with_name(name)?)
    }
}
