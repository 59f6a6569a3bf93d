//! A call on its own thread: the engine, the prelude, the script, and the event loop.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rquickjs::promise::PromiseState;
use rquickjs::{Coerced, Context, Ctx, Error, Function, Object, Promise, Runtime, Value};
use serde_json::Map;

use super::error::{JavaScriptError, MAX_MESSAGE_LENGTH, Thrown, Unshown};
use super::host::{CallSettings, Event, Host};
use super::masking::deciding_bytes;
use super::modules::{INDEX, Modules};
use super::{ApiClientSetup, ClientConfig, OpenApi};
use crate::connector::script::Script;

/// The thread's input.
pub(super) struct Task {
    pub(super) script: Script,
    pub(super) arguments: Arc<Map<String, serde_json::Value>>,
    pub(super) client: Option<ApiClientSetup>,
    pub(super) settings: CallSettings,
    pub(super) events: Receiver<Event>,
}

type ScriptResult<T> = Result<T, JavaScriptError>;

/// The response headers that matter for an error's meaning.
const RESPONSE_HEADERS: [&str; 2] = ["location", "retry-after"];
/// The maximum number of headers to search in a thrown error's response.
const MAX_HEADERS: usize = 200;
/// The maximum number of bytes to copy from a thrown error's string.
const MAX_STRING_BYTES: usize = deciding_bytes(MAX_MESSAGE_LENGTH);

/// Runs a call to completion.
pub(super) fn run(task: Task) -> ScriptResult<Option<serde_json::Value>> {
    let open = task.client.as_ref().map(|client| Arc::clone(&client.open));
    let mut scripts = vec![task.script.clone()];
    if let Some(ApiClientSetup { config: ClientConfig::Script(script, _), .. }) = &task.client {
        scripts.push(script.clone());
    }
    let config = task.client.map(|client| client.config);
    start(task.settings, open, scripts, &task.events, |call| call.run(&task.script, &task.arguments, config))
}

/// Loads a script without calling its function. Also returns the files that were loaded.
pub(super) fn load(
    script: &Script,
    settings: CallSettings,
    events: &Receiver<Event>,
) -> (ScriptResult<()>, Vec<String>) {
    let mut files = Vec::new();
    let outcome = start(settings, None, vec![script.clone()], events, |call| {
        let loaded = call.install().and_then(|_| call.function(script));
        files = call.modules.files();
        loaded.map(drop)
    });
    (outcome, files)
}

/// Creates an engine, does the work, and cleans up.
fn start<T>(
    settings: CallSettings,
    open: Option<Arc<dyn OpenApi>>,
    scripts: Vec<Script>,
    events: &Receiver<Event>,
    work: impl FnOnce(RunningScript<'_, '_>) -> ScriptResult<T>,
) -> ScriptResult<T> {
    let runtime = Runtime::new().map_err(JavaScriptError::engine)?;
    runtime.set_memory_limit(settings.limits.heap_bytes);
    runtime.set_max_stack_size(settings.limits.stack_bytes);
    let context = Context::full(&runtime).map_err(JavaScriptError::engine)?;
    let host = Host::new(settings, open);
    let modules = Modules::new(scripts);
    runtime.set_loader(modules.clone(), modules.clone());
    let guard = Rc::clone(&host);
    runtime.set_interrupt_handler(Some(Box::new(move || guard.must_stop())));
    let outcome =
        context.with(|ctx| work(RunningScript { ctx, host: Rc::clone(&host), modules: modules.clone(), events }));
    host.clear();
    modules.clear();
    outcome
}

/// A call whose engine is running.
struct RunningScript<'a, 'js> {
    ctx: Ctx<'js>,
    host: Rc<Host>,
    modules: Modules,
    events: &'a Receiver<Event>,
}

impl<'js> RunningScript<'_, 'js> {
    fn run(
        &self,
        script: &Script,
        arguments: &Map<String, serde_json::Value>,
        client: Option<ClientConfig>,
    ) -> ScriptResult<Option<serde_json::Value>> {
        let internals = self.install()?;
        let function = self.function(script)?;
        let argument = self.parsed(arguments)?;
        if let (Some(config), Some(argument)) = (client, argument.as_object()) {
            let config = match config {
                ClientConfig::Value(value) => self.caught(self.ctx.json_parse(value.to_string()))?,
                ClientConfig::Script(script, arguments) => {
                    let function = self.function(&script)?;
                    let argument = self.parsed(&arguments)?;
                    self.call(&internals, &function, argument)?
                }
            };
            let make: Function = self.caught(internals.get("apiClient"))?;
            let client: Value = self.caught(make.call((config,)))?;
            for name in ["apiClient", "externalApiClient"] {
                self.caught(argument.set(name, client.clone()))?;
            }
        }
        let result = self.call(&internals, &function, argument)?;
        self.json(result)
    }

    fn parsed(&self, arguments: &Map<String, serde_json::Value>) -> ScriptResult<Value<'js>> {
        let text = serde_json::to_string(arguments);
        let text = text.map_err(|error| JavaScriptError::Engine { message: error.to_string() })?;
        self.caught(self.ctx.json_parse(text))
    }

    /// Runs the prelude, which defines the globals.
    fn install(&self) -> ScriptResult<Object<'js>> {
        let prelude = self.import(INDEX)?;
        let install: Function = self.caught(prelude.get("default"))?;
        let host = self.caught(self.host.object(&self.ctx))?;
        let internals: Object = self.caught(install.call((host, self.ctx.globals())))?;
        self.host.fails_with(&self.ctx, self.caught(internals.get("failure"))?);
        Ok(internals)
    }

    /// Returns the function that the script's entry file exports, in any style.
    fn function(&self, script: &Script) -> ScriptResult<Function<'js>> {
        let name = script.entry();
        let namespace = self.import(name)?;
        let default: Value = self.caught(namespace.get("default"))?;
        for exports in [default, namespace.into_value()] {
            if let Some(function) = self.caught(exported(&exports, script.function()))? {
                return Ok(function);
            }
        }
        Err(JavaScriptError::Load {
            message: format!(
                "the file exports no function; write `export default async function ({{ … }}) {{ … }}`, or export one named `{}`",
                script.function()
            ),
            at: Some(name.to_owned()),
        })
    }

    /// Runs a file. Reports syntax errors as load errors, not as thrown errors.
    fn import(&self, name: &str) -> ScriptResult<Object<'js>> {
        let namespace = self.caught(self.modules.import(&self.ctx, name)).and_then(|promise| self.settled(&promise));
        let namespace = namespace.map_err(|error| match error {
            JavaScriptError::Thrown(thrown) if thrown.name.as_deref() == Some("SyntaxError") => {
                JavaScriptError::Load { message: thrown.message, at: thrown.at }
            }
            other => other,
        })?;
        namespace.into_object().ok_or_else(|| JavaScriptError::Engine { message: format!("{name} is not a module") })
    }

    fn call(
        &self,
        internals: &Object<'js>,
        function: &Function<'js>,
        argument: Value<'js>,
    ) -> ScriptResult<Value<'js>> {
        let call: Function = self.caught(internals.get("call"))?;
        let promise: Promise = self.caught(call.call((function.clone(), argument)))?;
        self.settled(&promise)
    }

    /// Runs jobs, timers and operations until a promise settles.
    fn settled(&self, promise: &Promise<'js>) -> ScriptResult<Value<'js>> {
        loop {
            self.host.check()?;
            while promise.state() == PromiseState::Pending && self.ctx.execute_pending_job() {
                self.host.check()?;
            }
            if let Some(result) = promise.result::<Value>() {
                return self.caught(result);
            }
            if !self.caught(self.host.wait(&self.ctx, self.events))? {
                return Err(JavaScriptError::NeverSettled);
            }
        }
    }

    /// Converts the result with `JSON.stringify`.
    fn json(&self, value: Value<'js>) -> ScriptResult<Option<serde_json::Value>> {
        if value.is_undefined() {
            return Ok(None);
        }
        let unusable = |message: &str| JavaScriptError::Result { message: message.to_owned() };
        if value.is_function() || value.is_symbol() {
            return Err(unusable("it is a function or a symbol"));
        }
        let text = match self.ctx.json_stringify(value) {
            Ok(Some(text)) => self.caught(text.to_string())?,
            Ok(None) => return Ok(None),
            Err(error) => {
                return Err(match self.error(error) {
                    JavaScriptError::Thrown(thrown) => unusable(&thrown.message),
                    other => other,
                });
            }
        };
        let max = self.host.settings.limits.result_bytes;
        if text.len() > max {
            return Err(JavaScriptError::Limit { what: format!("a result of more than {max} bytes") });
        }
        crate::response::json(text.as_bytes()).map(Some).ok_or_else(|| unusable("it is not valid JSON"))
    }

    fn caught<T>(&self, result: Result<T, Error>) -> ScriptResult<T> {
        result.map_err(|error| self.error(error))
    }

    /// Converts an engine error, reading the thrown value if there is one.
    fn error(&self, error: Error) -> JavaScriptError {
        if !matches!(error, Error::Exception) {
            return match error {
                Error::Allocation => JavaScriptError::out_of_memory(&self.host.settings.limits),
                other => self.host.check().err().unwrap_or_else(|| JavaScriptError::engine(other)),
            };
        }
        let value = self.ctx.catch();
        if let Err(fatal) = self.host.check() {
            return fatal;
        }
        let Some(error) = value.as_object() else {
            if value.is_null() {
                return JavaScriptError::out_of_memory(&self.host.settings.limits);
            }
            let message = value.get::<Coerced<String>>().map_or_else(|_| String::new(), |text| cut(text.0));
            return JavaScriptError::Thrown(Box::new(Thrown { message, ..Thrown::default() }));
        };
        self.thrown(error)
    }

    fn thrown(&self, error: &Object<'js>) -> JavaScriptError {
        let whole = |name: &str| self.member(error, name).and_then(|value| value.as_string()?.to_string().ok());
        let text = |name: &str| whole(name).map(cut);
        let unshown = |name: &str| text(name).map(Unshown::new);
        let message = text("message").unwrap_or_default();
        let name = text("name");
        let at = whole("stack").and_then(|stack| self.place(&stack));
        match (name.as_deref(), message.as_str()) {
            (Some("InternalError"), "out of memory") => {
                return JavaScriptError::out_of_memory(&self.host.settings.limits);
            }
            (Some("InternalError" | "RangeError"), "stack overflow" | "Maximum call stack size exceeded") => {
                return JavaScriptError::StackOverflow { at };
            }
            _ => {}
        }
        if let Some(error) = self.modules.import_error(&message) {
            return JavaScriptError::Load { message, at: error.at };
        }
        // Errors of the API client have the response in their `data`; errors of axios and others have it directly.
        let data = self.member(error, "data").and_then(Value::into_object);
        let answer = data.and_then(|data| self.answer(&data));
        let answer =
            answer.or_else(|| self.answer(error).filter(|answer| !answer["status"].is_null())).map(Unshown::new);
        let message = match message.is_empty() && !error.is_error() {
            true => self.json_text(error.clone().into_value()).map(cut).unwrap_or_default(),
            false => message,
        };
        let thrown = Thrown { message, name, at, kind: unshown("type"), key: unshown("key"), answer };
        // Reading the members may have run the script's getters, up to a limit.
        self.host.check().err().unwrap_or_else(|| JavaScriptError::Thrown(Box::new(thrown)))
    }

    /// Returns an error's response, in the format of the API client. A `Response` of `fetch` works, too.
    fn answer(&self, error: &Object<'js>) -> Option<serde_json::Value> {
        let response = self.member(error, "response")?.into_object()?;
        let status = self.member(&response, "status").and_then(|status| self.as_json(status));
        let data = self.member(&response, "data").and_then(|data| self.as_json(data));
        let headers: Map<String, serde_json::Value> = RESPONSE_HEADERS
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), self.header(&response, name)?.into())))
            .collect();
        Some(serde_json::json!({"status": status, "headers": headers, "data": data}))
    }

    /// Returns a header of a response. Its headers are an object with names in any case, or have a `get` method.
    fn header(&self, response: &Object<'js>, wanted: &str) -> Option<String> {
        let headers = self.member(response, "headers")?.into_object()?;
        let get = self.member(&headers, "get").and_then(Value::into_function);
        let got = get.and_then(|get| {
            let value = get.call::<_, Value>((rquickjs::prelude::This(headers.clone()), wanted));
            value.inspect_err(|_| drop(self.ctx.catch())).ok()
        });
        let found = got.filter(|value| !value.is_null() && !value.is_undefined()).or_else(|| {
            let names = headers.keys::<String>().filter_map(Result::ok);
            let name = names.take(MAX_HEADERS).find(|name| name.eq_ignore_ascii_case(wanted))?;
            self.member(&headers, &name)
        })?;
        found.get::<Coerced<String>>().inspect_err(|_| drop(self.ctx.catch())).ok().map(|text| text.0)
    }

    /// Converts a value with `JSON.stringify`. Returns `None` if that fails or exceeds the limit for results.
    fn as_json(&self, value: Value<'js>) -> Option<serde_json::Value> {
        let text = self.json_text(value).filter(|text| text.len() <= self.host.settings.limits.result_bytes)?;
        crate::response::json(text.as_bytes())
    }

    fn json_text(&self, value: Value<'js>) -> Option<String> {
        let text = self.ctx.json_stringify(value).inspect_err(|_| drop(self.ctx.catch())).ok()??;
        text.to_string().ok()
    }

    /// Reads a member of a thrown object. Its getters may throw, too.
    fn member(&self, object: &Object<'js>, name: &str) -> Option<Value<'js>> {
        object.get(name).inspect_err(|_| drop(self.ctx.catch())).ok()
    }

    /// Returns the first location in a stack trace that is in a file of the connector.
    fn place(&self, stack: &str) -> Option<String> {
        stack.lines().find_map(|line| {
            let place = line.trim().trim_end_matches(')');
            let place = place.rsplit_once('(').map_or_else(|| place.trim_start_matches("at "), |(_, place)| place);
            let (rest, column) = place.rsplit_once(':')?;
            let (file, line) = rest.rsplit_once(':')?;
            if !self.modules.is_own(file) {
                return None;
            }
            let mut column: usize = column.parse().ok()?;
            if line == "1" {
                column = column.saturating_sub(self.modules.offset(file)).max(1);
            }
            Some(format!("{file}:{line}:{column}"))
        })
    }
}

/// Cuts a string to the part that may be shown.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_STRING_BYTES));
    text.shrink_to_fit();
    text
}

/// Finds the function in a file's exports: the exports themselves, the default, the one with that name, or the only
/// one.
fn exported<'js>(exports: &Value<'js>, name: &str) -> rquickjs::Result<Option<Function<'js>>> {
    if let Some(function) = exports.as_function() {
        return Ok(Some(function.clone()));
    }
    let Some(object) = exports.as_object() else { return Ok(None) };
    for key in ["default", name] {
        if let Some(function) = object.get::<_, Value>(key)?.as_function() {
            return Ok(Some(function.clone()));
        }
    }
    let mut functions = Vec::new();
    for key in object.keys::<String>() {
        functions.extend(object.get::<_, Value>(key?)?.into_function());
    }
    Ok(if functions.len() == 1 { functions.pop() } else { None })
}
