//! Imports: the files of the connector's folder, and the modules included in the engine.
//!
//! | name | meaning |
//! |---|---|
//! | `auth/test.js` | a file of the connector, by its path in the folder |
//! | `larder:modules/axios` | the module that `import "axios"` refers to |
//! | `larder:prelude/index.js` | a file of the prelude, which only the prelude and the modules can import |

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use rquickjs::context::EvalOptions;
use rquickjs::loader::bundle::Bundle;
use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::WriteOptions;
use rquickjs::promise::PromiseState;
use rquickjs::{Ctx, Error, Exception, Function, Module, Object, Persistent, Promise, Result, Value};

use super::typescript::{self, StripError};
use crate::connector::script::Script;

/// The modules that scripts can import by name, with or without `node:`.
const MODULES: &[(&str, &str)] = &[
    ("axios", include_str!("modules/axios.js")),
    ("buffer", include_str!("modules/buffer.js")),
    ("crypto", include_str!("modules/crypto.js")),
    ("jsonwebtoken", include_str!("modules/jsonwebtoken.js")),
    ("querystring", include_str!("modules/querystring.js")),
    ("url", include_str!("modules/url.js")),
    ("util", include_str!("modules/util.js")),
];

/// The modules' other files.
const PARTS: &[(&str, &str)] = &[
    ("axios/cancel.js", include_str!("modules/axios/cancel.js")),
    ("axios/config.js", include_str!("modules/axios/config.js")),
    ("axios/dispatch.js", include_str!("modules/axios/dispatch.js")),
    ("axios/error.js", include_str!("modules/axios/error.js")),
    ("axios/fetch.js", include_str!("modules/axios/fetch.js")),
    ("axios/form.js", include_str!("modules/axios/form.js")),
    ("axios/headers.js", include_str!("modules/axios/headers.js")),
    ("axios/status.js", include_str!("modules/axios/status.js")),
    ("axios/transform.js", include_str!("modules/axios/transform.js")),
    ("axios/uri.js", include_str!("modules/axios/uri.js")),
];

/// The prelude's files.
const PRELUDE: &[(&str, &str)] = &[
    ("index.js", include_str!("prelude/index.js")),
    ("api-client.js", include_str!("prelude/api-client.js")),
    ("console.js", include_str!("prelude/console.js")),
    ("timers.js", include_str!("prelude/timers.js")),
    ("events.js", include_str!("prelude/events.js")),
    ("bytes.js", include_str!("prelude/bytes.js")),
    ("encoding.js", include_str!("prelude/encoding.js")),
    ("url.js", include_str!("prelude/url.js")),
    ("blob.js", include_str!("prelude/blob.js")),
    ("headers.js", include_str!("prelude/headers.js")),
    ("body.js", include_str!("prelude/body.js")),
    ("fetch.js", include_str!("prelude/fetch.js")),
    ("buffer.js", include_str!("prelude/buffer.js")),
    ("crypto.js", include_str!("prelude/crypto.js")),
    ("clone.js", include_str!("prelude/clone.js")),
];

const PRELUDE_PREFIX: &str = "larder:prelude/";
const MODULES_PREFIX: &str = "larder:modules/";

/// The prefix of a CommonJS file, on its first line.
const WRAPPER: &str = "(function(exports,require,module,__filename,__dirname){";

/// The prelude's entry file.
pub(super) const INDEX: &str = "larder:prelude/index.js";

/// The modules of a call.
#[derive(Clone)]
pub(super) struct Modules(Rc<Inner>);

struct Inner {
    scripts: Vec<Script>,
    /// The `module` objects of the CommonJS files that have run, by path.
    common: RefCell<HashMap<String, Persistent<Object<'static>>>>,
    /// The name that we are about to import ourselves, which needs no resolving.
    resolved: RefCell<Option<String>>,
    last_error: RefCell<Option<ImportError>>,
    files: RefCell<Vec<String>>,
    /// For each file, the length of the prefix on its first line.
    offsets: RefCell<HashMap<String, usize>>,
}

/// The reason why an import failed.
#[derive(Clone, Debug)]
pub(super) struct ImportError {
    pub(super) message: String,
    /// `file:line:column`.
    pub(super) at: Option<String>,
}

impl Modules {
    pub(super) fn new(scripts: Vec<Script>) -> Self {
        Self(Rc::new(Inner {
            scripts,
            common: RefCell::default(),
            resolved: RefCell::default(),
            last_error: RefCell::default(),
            files: RefCell::default(),
            offsets: RefCell::default(),
        }))
    }

    /// Returns the last import error, if this is its message.
    pub(super) fn import_error(&self, message: &str) -> Option<ImportError> {
        self.0.last_error.borrow().clone().filter(|error| error.message == message)
    }

    /// Returns the connector's files that were loaded.
    pub(super) fn files(&self) -> Vec<String> {
        self.0.files.borrow().clone()
    }

    /// Returns whether a name in a stack trace is a file of the connector.
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// Returns the length of the prefix on a file's first line.
    pub(super) fn offset(&self, name: &str) -> usize {
        self.0.offsets.borrow().get(name).copied().unwrap_or(0)
    }

    /// Releases the engine's values. Must be called before the engine is freed.
    pub(super) fn clear(&self) {
        self.0.common.borrow_mut().clear();
    }

    /// Runs a file or module, once per call, and returns a promise of its namespace. CommonJS files have
    /// `module.exports` as their default export.
    pub(super) fn import<'js>(&self, ctx: &Ctx<'js>, name: &str) -> Result<Promise<'js>> {
        *self.0.resolved.borrow_mut() = Some(name.to_owned());
        Module::import(ctx, name)
    }

    /// Compiles a file or module. Runs it if it is CommonJS.
    fn load<'js>(&self, ctx: &Ctx<'js>, name: &str) -> Result<Loaded<'js>> {
        let common = self.0.common.borrow().get(name).cloned();
        match (common, bundled(name)) {
            (Some(module), _) => Ok(Loaded::Common(module.restore(ctx)?.get("exports")?)),
            (None, Some(text)) => declare_bundled(ctx, name, text).map(Loaded::Module),
            (None, None) => self.load_file(ctx, name),
        }
    }

    fn load_file<'js>(&self, ctx: &Ctx<'js>, path: &str) -> Result<Loaded<'js>> {
        let Some(text) = self.text(path) else {
            return Err(self.fail(ctx, ImportError { message: format!("the file {path} is missing"), at: None }));
        };
        self.0.files.borrow_mut().push(path.to_owned());
        if path.ends_with(".json") {
            return Ok(Loaded::Common(ctx.json_parse(text)?));
        }
        let stripped;
        let text = if path.ends_with(".ts") {
            stripped = typescript::strip(text).map_err(|StripError { message, at }| {
                let at = at.map_or_else(|| path.to_owned(), |at| format!("{path}:{at}"));
                self.fail(ctx, ImportError { message, at: Some(at) })
            })?;
            stripped.as_str()
        } else {
            text
        };
        if path.ends_with(".mjs") {
            return self.declare(ctx, path, text).map(Loaded::Module);
        }
        // Anything that is not a function's body must be an ES module. The parser notices at the first such statement.
        let mut options = EvalOptions::default();
        options.strict = false;
        options.filename = Some(path.to_owned());
        self.put_before(path, WRAPPER);
        match ctx.eval_with_options::<Function, _>(format!("{WRAPPER}{text}\n}})"), options) {
            Ok(function) => self.run_common(ctx, path, &function).map(Loaded::Common),
            Err(Error::Exception) if !path.ends_with(".cjs") => {
                let as_common = ctx.catch();
                match self.declare(ctx, path, text) {
                    Err(Error::Exception) => {
                        let as_module = ctx.catch();
                        // Report the error of the parser that got further: it understood the file.
                        if syntax_error(&as_module, path, 0)
                            .is_none_or(|place| syntax_error(&as_common, path, WRAPPER.len()) <= Some(place))
                        {
                            return Err(ctx.throw(as_module));
                        }
                        self.put_before(path, WRAPPER);
                        Err(ctx.throw(as_common))
                    }
                    declared => declared.map(Loaded::Module),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn put_before(&self, path: &str, prefix: &str) {
        self.0.offsets.borrow_mut().insert(path.to_owned(), prefix.len());
    }

    fn run_common<'js>(&self, ctx: &Ctx<'js>, path: &str, function: &Function<'js>) -> Result<Value<'js>> {
        let (module, exports) = self.common(ctx, path)?;
        self.0.common.borrow_mut().insert(path.to_owned(), Persistent::save(ctx, module.clone()));
        let require: Function = module.get("require")?;
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let this = rquickjs::function::This(exports.clone());
        function.call::<_, ()>((this, exports, require, module.clone(), path, dir))?;
        module.get("exports")
    }

    /// Creates a file's `module` and its `exports`.
    fn common<'js>(&self, ctx: &Ctx<'js>, path: &str) -> Result<(Object<'js>, Object<'js>)> {
        let (module, exports) = (Object::new(ctx.clone())?, Object::new(ctx.clone())?);
        let (modules, base) = (self.clone(), path.to_owned());
        let require = move |ctx: Ctx<'js>, name: String| modules.require(&ctx, &base, &name);
        module.set("exports", exports.clone())?;
        module.set("require", Function::new(ctx.clone(), require)?.with_name("require")?)?;
        module.set("id", path)?;
        Ok((module, exports))
    }

    /// Compiles an ES module. If it mentions `module`, `exports` or `require` without declaring them, it gets them.
    fn declare<'js>(&self, ctx: &Ctx<'js>, path: &str, text: &str) -> Result<Module<'js>> {
        let names: Vec<&str> =
            ["module", "exports", "require"].into_iter().filter(|name| text.contains(name)).collect();
        if !names.is_empty() {
            let prefix = format!("const{{{}}}=import.meta.common;", names.join(","));
            let exports = if names == ["require"] { "" } else { "\n;export default import.meta.common.module.exports" };
            self.put_before(path, &prefix);
            for suffix in [exports, ""] {
                match Module::declare(ctx.clone(), path, format!("{prefix}{text}{suffix}")) {
                    Ok(module) => {
                        let (common, exports) = self.common(ctx, path)?;
                        common.set("module", common.clone())?;
                        common.set("exports", exports)?;
                        module.meta()?.set("common", common)?;
                        return Ok(module);
                    }
                    Err(Error::Exception) => {
                        let error = ctx.catch();
                        if syntax_error(&error, path, 0).is_none() {
                            return Err(ctx.throw(error));
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.put_before(path, "");
        Module::declare(ctx.clone(), path, text)
    }

    fn require<'js>(&self, ctx: &Ctx<'js>, base: &str, name: &str) -> Result<Value<'js>> {
        let name = self.find(ctx, base, name)?;
        let common = self.0.common.borrow().get(&name).cloned();
        if let Some(module) = common {
            // The file may still be running and have only part of its exports.
            return module.restore(ctx)?.get("exports");
        }
        let promise = self.import(ctx, &name)?;
        while promise.state() == PromiseState::Pending && ctx.execute_pending_job() {}
        let Some(namespace) = promise.result::<Object>() else {
            return Err(Exception::throw_type(
                ctx,
                &format!("{name} uses top-level await: use `import` instead of `require`"),
            ));
        };
        let namespace = namespace?;
        let is_module =
            bundled(&name).is_none() && !self.0.common.borrow().contains_key(&name) && !name.ends_with(".json");
        // The default export of included modules has all of their exports.
        if is_module { Ok(namespace.into_value()) } else { namespace.get("default") }
    }

    /// Resolves `specifier` in the file `base` to a name.
    fn find(&self, ctx: &Ctx<'_>, base: &str, specifier: &str) -> Result<String> {
        let resolved = self.0.resolved.borrow_mut().take();
        if let Some(name) = resolved.filter(|name| name == specifier) {
            return Ok(name);
        }
        if base.starts_with("larder:") {
            let folder = base.rsplit_once('/').map_or(base, |(folder, _)| folder);
            let name = match specifier.strip_prefix("./") {
                Some(file) => format!("{folder}/{file}"),
                None if specifier.starts_with("larder:") => specifier.to_owned(),
                None => format!("{MODULES_PREFIX}{specifier}"),
            };
            return bundled(&name).map(|_| name).ok_or_else(|| Error::new_resolving(base, specifier));
        }
        let owner = self.0.scripts.iter().find(|script| script.file(base).is_some());
        let owner = owner.ok_or_else(|| Error::new_resolving(base, specifier))?;
        resolve(owner, base, specifier).map_err(|message| {
            let at = owner.file(base).and_then(|text| position(text, specifier)).map(|at| format!("{base}:{at}"));
            self.fail(ctx, ImportError { message, at })
        })
    }

    fn fail(&self, ctx: &Ctx<'_>, error: ImportError) -> Error {
        let thrown = Exception::throw_message(ctx, &error.message);
        *self.0.last_error.borrow_mut() = Some(error);
        thrown
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.0.scripts.iter().find_map(|script| script.file(path))
    }
}

/// Resolves `specifier` in the connector's file `base` to a name, or returns a message for its author.
pub(super) fn resolve(script: &Script, base: &str, specifier: &str) -> std::result::Result<String, String> {
    if specifier.starts_with('.') {
        let file = script.resolve(base, specifier).map(str::to_owned);
        return file.ok_or_else(|| format!("the connector has no file `{specifier}` relative to {base}"));
    }
    let name = specifier.strip_prefix("node:").unwrap_or(specifier);
    if MODULES.iter().any(|(each, _)| *each == name) {
        return Ok(format!("{MODULES_PREFIX}{name}"));
    }
    let names: Vec<&str> = MODULES.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    Err(format!("there is no module `{specifier}`; import {names}, or one of the connector's own files by ./ or ../"))
}

/// A compiled file or module.
enum Loaded<'js> {
    /// The exports of CommonJS or JSON.
    Common(Value<'js>),
    /// An ES module that has not run yet.
    Module(Module<'js>),
}

impl Resolver for Modules {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        self.find(ctx, base, name)
    }
}

impl Loader for Modules {
    fn load<'js>(&mut self, ctx: &Ctx<'js>, name: &str, _: Option<ImportAttributes<'js>>) -> Result<Module<'js>> {
        match Self::load(self, ctx, name)? {
            Loaded::Module(module) => Ok(module),
            Loaded::Common(exports) => {
                let module = wrap(ctx, name, &exports)?;
                module.meta()?.set("exports", exports)?;
                Ok(module)
            }
        }
    }
}

/// The bytecode of included modules. Loading it is faster than parsing the source in every call.
static BYTECODE: Mutex<Vec<&'static (&'static str, &'static [u8])>> = Mutex::new(Vec::new());

/// Compiles an included module in the process's first call, and loads its bytecode from then on.
fn declare_bundled<'js>(ctx: &Ctx<'js>, name: &str, text: &str) -> Result<Module<'js>> {
    let lock = || BYTECODE.lock().unwrap_or_else(PoisonError::into_inner);
    let known = lock().iter().find(|(each, _)| *each == name).copied();
    if let Some(entry) = known {
        return Bundle(std::slice::from_ref(entry)).load(ctx, name, None);
    }
    let module = Module::declare(ctx.clone(), name, text)?;
    let options = WriteOptions { strip_source: true, ..WriteOptions::default() };
    let entry: (&'static str, &'static [u8]) = (name.to_owned().leak(), module.write(options)?.leak());
    lock().push(&*Box::leak(Box::new(entry)));
    Ok(module)
}

/// Creates an ES module with a CommonJS file's exports: the default is `module.exports`, and each member has its name.
fn wrap<'js>(ctx: &Ctx<'js>, name: &str, exports: &Value<'js>) -> Result<Module<'js>> {
    let mut source =
        "const m=import.meta.exports;export default m&&m.__esModule&&\"default\"in m?m.default:m;".to_owned();
    for (index, key) in exports.as_object().into_iter().flat_map(Object::keys::<String>).enumerate() {
        let key = key?;
        let is_name = key.starts_with(|first: char| first.is_ascii_alphabetic() || "_$".contains(first))
            && key.chars().all(|each| each.is_ascii_alphanumeric() || "_$".contains(each));
        if is_name && key != "default" {
            source.push_str(&format!("const v{index}=m.{key};export{{v{index} as {key}}};"));
        }
    }
    Module::declare(ctx.clone(), name, source)
}

/// Returns the source of an included module.
fn bundled(name: &str) -> Option<&'static str> {
    let (tables, name) = match name.strip_prefix(PRELUDE_PREFIX) {
        Some(name) => ([PRELUDE, &[]], name),
        None => ([MODULES, PARTS], name.strip_prefix(MODULES_PREFIX)?),
    };
    tables.into_iter().flatten().find(|(each, _)| *each == name).map(|(_, text)| *text)
}

/// Returns where a file imports something, as `line:column`.
fn position(text: &str, specifier: &str) -> Option<String> {
    let at = ['"', '\''].iter().filter_map(|quote| text.find(&format!("{quote}{specifier}{quote}"))).min()?;
    let before = &text[..at];
    let column = before.chars().rev().take_while(|&each| each != '\n').count() + 1;
    Some(format!("{}:{column}", before.matches('\n').count() + 1))
}

/// Returns the line and column of a file's syntax error, or `None` for other errors or files. `offset` is the length of
/// the prefix on the first line.
fn syntax_error(error: &Value<'_>, path: &str, offset: usize) -> Option<(usize, usize)> {
    let error = error.as_object().filter(|error| error.get::<_, String>("name").is_ok_and(|it| it == "SyntaxError"))?;
    let stack: String = error.get("stack").ok()?;
    let place = stack.trim_start().strip_prefix("at ")?.strip_prefix(path)?.strip_prefix(':')?;
    let (line, column) = place.split_once(':')?;
    let column = column.split(|each: char| !each.is_ascii_digit()).next()?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    Some((line, if line == 1 { column.saturating_sub(offset) } else { column }))
}
