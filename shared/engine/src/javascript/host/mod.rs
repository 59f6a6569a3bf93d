//! What native code does for the prelude, gathered in one object that scripts never see.

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

/// What a call brings along.
pub(super) struct Setting {
    /// None where a script is only checked.
    pub(super) network: Option<Network>,
    pub(super) rng: Arc<dyn Rng>,
    pub(super) limits: Limits,
    pub(super) deadline: Instant,
    pub(super) log: Arc<Log>,
    pub(super) events: Sender<Event>,
    /// Set when the caller has gone.
    pub(super) is_over: Arc<AtomicBool>,
}

/// How requests get out.
pub(super) struct Network {
    pub(super) egress: Egress,
    /// Where they run.
    pub(super) runtime: tokio::runtime::Handle,
    /// On whose behalf they are made.
    pub(super) caller: TaskContext,
    /// The limits of each exchange.
    pub(super) exchange: Exchange,
}

/// What the engine's thread is told by others.
pub(super) enum Event {
    /// An operation has ended.
    Done(u64, Outcome),
    /// The caller has gone.
    Abandoned,
}

/// How an operation ended.
pub(super) type Outcome = std::result::Result<Answer, Refusal>;

/// Makes the value that an operation's promise resolves to.
pub(super) type Answer = Box<dyn for<'js> FnOnce(&Ctx<'js>) -> Result<Value<'js>> + Send>;

/// Why an operation failed.
pub(super) enum Refusal {
    /// The promise is rejected with a `TypeError`, as the fetch standard has it.
    Rejected(String),
    /// The call ends.
    Fatal(JavaScriptError),
}

/// The state of one call that native functions share.
pub(super) struct Host {
    pub(super) setting: Setting,
    /// Why the script must not go on.
    fatal: RefCell<Option<JavaScriptError>>,
    /// The prelude's function that makes the error of an operation.
    failure: RefCell<Option<Persistent<Function<'static>>>>,
    operations: RefCell<HashMap<u64, Operation>>,
    last_operation: Cell<u64>,
    timers: RefCell<timers::Timers>,
    traffic: Arc<fetch::Traffic>,
    clients: RefCell<Vec<Arc<dyn Api>>>,
    open: Option<Arc<dyn OpenApi>>,
}

/// A promise that something outside of the engine will settle.
struct Operation {
    resolve: Persistent<Function<'static>>,
    reject: Persistent<Function<'static>>,
    /// Made when the operation began, so that its stack shows the script's place.
    error: Persistent<Value<'static>>,
    task: tokio::task::AbortHandle,
}

impl Host {
    pub(super) fn new(setting: Setting, open: Option<Arc<dyn OpenApi>>) -> Rc<Self> {
        Rc::new(Self {
            traffic: Arc::new(fetch::Traffic::new(&setting.limits)),
            setting,
            fatal: RefCell::default(),
            failure: RefCell::default(),
            operations: RefCell::default(),
            last_operation: Cell::new(0),
            timers: RefCell::default(),
            clients: RefCell::default(),
            open,
        })
    }

    /// The object of native functions. To add one: write `pub(super) fn add(functions: &Functions<'_, '_>)` in a file
    /// here and call it below.
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

    /// Fails when the script must stop. The engine asks only every ten thousand steps, and each may be one of native code that
    /// takes long.
    fn proceed(&self, ctx: &Ctx<'_>) -> Result<()> {
        match self.check() {
            Ok(()) => Ok(()),
            Err(error) => Err(rquickjs::Exception::throw_range(ctx, &error.to_string())),
        }
    }

    /// Takes the prelude's function that makes errors: only an error made in a script's stack knows its place.
    pub(super) fn fails_with<'js>(&self, ctx: &Ctx<'js>, failure: Function<'js>) {
        *self.failure.borrow_mut() = Some(Persistent::save(ctx, failure));
    }

    /// Whether the script must stop, which the engine asks every few thousand steps.
    pub(super) fn must_stop(&self) -> bool {
        self.fatal.borrow().is_some()
            || self.setting.is_over.load(Ordering::Relaxed)
            || Instant::now() >= self.setting.deadline
    }

    /// Why the script must stop, if it must.
    pub(super) fn check(&self) -> std::result::Result<(), JavaScriptError> {
        match self.fatal.borrow().as_ref() {
            Some(error) => Err(error.clone()),
            None if self.must_stop() => Err(JavaScriptError::timeout(&self.setting.limits)),
            None => Ok(()),
        }
    }

    /// Ends the call: whatever the script does with the exception, it is interrupted soon.
    pub(super) fn stop(&self, ctx: &Ctx<'_>, error: JavaScriptError) -> rquickjs::Error {
        let thrown = rquickjs::Exception::throw_range(ctx, &error.to_string());
        self.fatal.borrow_mut().get_or_insert(error);
        thrown
    }

    /// The same for a passed limit.
    pub(super) fn stop_at(&self, ctx: &Ctx<'_>, what: String) -> rquickjs::Error {
        self.stop(ctx, JavaScriptError::Limit { what })
    }

    /// Starts what takes time; returns its id, see [`Host::abort`], and the promise of its answer.
    pub(super) fn start<'js>(
        self: &Rc<Self>,
        ctx: &Ctx<'js>,
        work: impl Future<Output = Outcome> + Send + 'static,
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
        let events = self.setting.events.clone();
        let task = runtime.spawn(caller.clone().run(async move {
            drop(events.send(Event::Done(id, work.await)));
        }));
        let (resolve, reject) = (Persistent::save(ctx, resolve), Persistent::save(ctx, reject));
        let operation = Operation { resolve, reject, error, task: task.abort_handle() };
        self.operations.borrow_mut().insert(id, operation);
        Ok((id, promise))
    }

    fn network(&self, ctx: &Ctx<'_>) -> Result<&Network> {
        let network = self.setting.network.as_ref();
        network.ok_or_else(|| rquickjs::Exception::throw_type(ctx, "there are no requests while a script is checked"))
    }

    /// Ends an operation. Its promise stays pending; whoever aborts it has told the script already.
    pub(super) fn abort(&self, id: u64) {
        if let Some(operation) = self.operations.borrow_mut().remove(&id) {
            operation.task.abort();
        }
    }

    /// Waits for a timer or an operation and lets the script know. `false` if there is nothing to wait for.
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
        let until = next_timer.unwrap_or(self.setting.deadline).min(self.setting.deadline);
        match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Done(id, outcome)) => self.settle(ctx, id, outcome)?,
            Ok(Event::Abandoned) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        Ok(true)
    }

    fn settle(&self, ctx: &Ctx<'_>, id: u64, outcome: Outcome) -> Result<()> {
        let Some(operation) = self.operations.borrow_mut().remove(&id) else { return Ok(()) };
        match outcome {
            Ok(answer) => match answer(ctx) {
                Ok(value) => operation.resolve.restore(ctx)?.call((value,)),
                Err(rquickjs::Error::Exception) => operation.reject.restore(ctx)?.call((ctx.catch(),)),
                Err(error) => Err(error),
            },
            Err(Refusal::Rejected(message)) => {
                let error = operation.error.restore(ctx)?;
                if let Some(error) = error.as_object() {
                    error.set("message", message)?;
                }
                operation.reject.restore(ctx)?.call((error,))
            }
            Err(Refusal::Fatal(error)) => {
                self.fatal.borrow_mut().get_or_insert(error);
                Ok(())
            }
        }
    }

    /// Gives up whatever is under way. Needed before the engine is freed: it cannot free what is still held here.
    pub(super) fn clear(&self) {
        for (_, operation) in self.operations.borrow_mut().drain() {
            operation.task.abort();
        }
        *self.timers.borrow_mut() = timers::Timers::default();
        *self.failure.borrow_mut() = None;
    }

    /// What is left of the time.
    fn remaining(&self) -> Duration {
        self.setting.deadline.saturating_duration_since(Instant::now())
    }
}

/// What a timer's function throws has nobody to tell; the others go on.
fn ignore_exception(ctx: &Ctx<'_>, error: rquickjs::Error) -> Result<()> {
    if matches!(error, rquickjs::Error::Exception) {
        ctx.catch();
        return Ok(());
    }
    Err(error)
}

/// The object of native functions while it is made.
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
