//! Parses a connector's functions: each entry of `spec.yml`, with the file it refers to, becomes a [`Function`].

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::folder::{Files, FolderProblem, Problems};
use super::yaml::Document;
use super::{AuthType, DatabaseLogin, Function, FunctionName, MalformedValue, Mapping, RestMapping, Script, pointer};

/// The ways to implement a function. [`Implementation::allowed`] lists which function allows which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Implementation {
    Mapping,
    JavaScript,
    Rest,
    DatabaseLogin,
    GraphQl,
    Operation,
}

use Implementation::{GraphQl, JavaScript, Operation, Rest};

impl Implementation {
    const ALL: [Self; 6] = [Self::Mapping, JavaScript, Rest, Self::DatabaseLogin, GraphQl, Operation];

    fn spec_value(self) -> &'static str {
        match self {
            Self::Mapping => "mapping",
            JavaScript => "javascript",
            Rest => "rest-api-mapping",
            Self::DatabaseLogin => "database-login",
            GraphQl => "graphql-api-mapping",
            Operation => "operation-mapping",
        }
    }

    /// The file suffixes, in lookup order.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Mapping => &[".map.yml", ".yml"],
            JavaScript => &[".js", ".ts"],
            Rest => &[".rest.yml", ".api.yml"],
            Self::DatabaseLogin => &[".db.yml"],
            GraphQl => &[".graphql.yml"],
            Operation => &[".op.yml"],
        }
    }

    /// The implementations that a function allows. The format has REST mappings only for `test`; Larder also allows them
    /// for getting, refreshing, and revoking credentials.
    fn allowed(function: FunctionName) -> &'static [Self] {
        match function {
            FunctionName::GetOAuthConfig | FunctionName::MakeApiClient => &[Self::Mapping, JavaScript],
            FunctionName::RefreshCredentials | FunctionName::Disconnect => &[JavaScript, Rest],
            FunctionName::Test => &[Rest, JavaScript, Self::DatabaseLogin],
            _ => &[Self::Mapping, JavaScript, Rest],
        }
    }
}

/// The option whose functions are read.
pub(super) struct OptionEntry<'a> {
    /// Its key; empty for the connector itself.
    pub(super) key: &'a str,
    /// The pointers in `spec.yml` where its functions may be; the first match wins.
    pub(super) at: &'a [String],
    pub(super) kind: &'a AuthType,
}

type Functions = std::collections::BTreeMap<FunctionName, Function>;

/// Reads all functions of an option.
pub(super) fn read(
    place: &OptionEntry<'_>,
    spec: &Document,
    files: &Files,
    scripts: &Arc<Files>,
    problems: &mut Problems,
) -> Functions {
    let mut functions = Functions::new();
    let mut missing = Vec::new();
    for name in FunctionName::ALL.into_iter().filter(|name| name.belongs_to(place.kind)) {
        let keys = || [Some(name.spec_key()), name.old_spec_key()].into_iter().flatten();
        let mut candidates = place.at.iter().flat_map(|at| keys().map(|key| pointer::child(at, key)));
        let entry = candidates.find_map(|at| Some((spec.value.pointer(&at)?, at)));
        let is_present = entry.as_ref().is_some_and(|(entry, at)| {
            let reader = FunctionReader { name, at: at.clone(), option: place.key, spec, files, scripts };
            reader.read(entry, problems, &mut functions)
        });
        if name.is_required(place.kind) && !is_present {
            missing.push((name, entry.map_or_else(|| place.at[0].clone(), |(_, at)| at)));
        }
    }
    // A database login needs no API client.
    let is_database = matches!(functions.get(&FunctionName::Test), Some(Function::Database(_)));
    missing.retain(|(name, _)| *name != FunctionName::MakeApiClient || !is_database);
    for (name, at) in missing {
        let (key, kind) = (name.spec_key(), place.kind.spec_name());
        let help = format!("add `{key}: {{implementationType: mapping}}` and auth/{}.map.yml", name.file_names()[0]);
        problems.add("spec.yml", spec.line(&at), format!("auth type {kind} needs the function `{key}`"), help);
    }
    functions
}

/// Reads one function.
struct FunctionReader<'a> {
    name: FunctionName,
    at: String,
    option: &'a str,
    spec: &'a Document,
    files: &'a Files,
    scripts: &'a Arc<Files>,
}

/// An implementation's source: a file, or inline in `spec.yml`.
enum ImplementationSource<'a> {
    /// A value in a YAML file.
    Yaml { file: &'a str, document: Cow<'a, Document>, at: String },
    /// A JavaScript or TypeScript file.
    Script(&'a str),
    /// JavaScript under `code` in `spec.yml`.
    Code(&'a str),
}

impl<'a> FunctionReader<'a> {
    /// Reads the function. Returns whether it is present, even if invalid.
    fn read(&self, entry: &'a Value, problems: &mut Problems, functions: &mut Functions) -> bool {
        let key = self.name.spec_key();
        if !entry.is_object() && !entry.is_null() {
            let help = "write `implementationType: mapping` under it".to_owned();
            self.spec_problem(problems, format!("`{key}` must be an object"), help);
            return true;
        }
        let declared = entry.get("implementationType").or_else(|| entry.get("type")).filter(|given| !given.is_null());
        if declared.is_some_and(|given| given == "not-supported") {
            return false;
        }
        let declared = match declared {
            None => None,
            Some(given) => match Implementation::ALL.into_iter().find(|each| given == each.spec_value()) {
                Some(implementation) => Some(implementation),
                None => {
                    let known: Vec<&str> = Implementation::ALL.iter().map(|each| each.spec_value()).collect();
                    let help = format!("use one of {} or not-supported", known.join(", "));
                    self.spec_problem(problems, format!("unknown implementation type of `{key}`"), help);
                    return true;
                }
            },
        };
        if let Some(declared) = declared.filter(|&declared| !self.runs(declared)) {
            self.reject(declared, problems);
            return true;
        }
        if let Some((implementation, source)) = self.source(entry, declared, problems)
            && let Some(function) = self.build(implementation, source, problems)
        {
            functions.insert(self.name, function);
        }
        true
    }

    /// Whether this implementation of the function can run. A `test` may be declared as a mapping, because one of the
    /// format's own examples does it; its content decides.
    fn runs(&self, implementation: Implementation) -> bool {
        let is_mapped_test = implementation == Implementation::Mapping && self.name == FunctionName::Test;
        is_mapped_test || Implementation::allowed(self.name).contains(&implementation)
    }

    /// Reports why an implementation cannot run, and what to use instead.
    fn reject(&self, implementation: Implementation, problems: &mut Problems) {
        let (key, kind) = (self.name.spec_key(), implementation.spec_value());
        let allowed: Vec<&str> = Implementation::allowed(self.name).iter().map(|each| each.spec_value()).collect();
        let message = if matches!(implementation, GraphQl | Operation) {
            format!("`{key}` is implemented as {kind}, which Larder does not run because it has no operations")
        } else {
            format!("`{key}` cannot be implemented as {kind}")
        };
        self.spec_problem(problems, message, format!("implement it as {}", allowed.join(" or ")));
    }

    /// Finds the implementation: inline, else at `filePath`, else under the function's own file names.
    fn source(
        &self,
        entry: &'a Value,
        declared: Option<Implementation>,
        problems: &mut Problems,
    ) -> Option<(Implementation, ImplementationSource<'a>)> {
        if let Some(code) = entry.get("code") {
            if !self.runs(JavaScript) {
                self.reject(JavaScript, problems);
                return None;
            }
            let Some(code) = code.as_str() else {
                let message = format!("`code` of `{}` must be a string", self.name.spec_key());
                self.spec_problem(problems, message, "write the JavaScript under `code: |`".to_owned());
                return None;
            };
            return Some((JavaScript, ImplementationSource::Code(code)));
        }
        if entry.get("mapping").is_some() {
            let document = Cow::Borrowed(self.spec);
            let source =
                ImplementationSource::Yaml { file: "spec.yml", document, at: pointer::child(&self.at, "mapping") };
            return Some((declared.unwrap_or(Implementation::Mapping), source));
        }
        let candidates = match entry.get("filePath").and_then(Value::as_str) {
            Some(path) => {
                let path = path.trim_start_matches("./");
                let implementation = declared.or_else(|| by_suffix(path)).unwrap_or(Implementation::Mapping);
                vec![(implementation, path.to_owned()), (implementation, format!("auth/{path}"))]
            }
            None => self.candidates(declared),
        };
        let found = candidates.iter().find_map(|(implementation, path)| {
            let (path, text) = self.files.get_key_value(path)?;
            Some((*implementation, path.as_str(), text))
        });
        let Some((implementation, file, text)) = found else {
            let paths: Vec<&str> = candidates.iter().map(|(_, path)| path.as_str()).collect();
            let message = format!("the file for `{}` is missing", self.name.spec_key());
            self.spec_problem(problems, message, format!("add one of {}", paths.join(", ")));
            return None;
        };
        if !self.runs(implementation) {
            self.reject(implementation, problems);
            return None;
        }
        if implementation == JavaScript {
            return Some((implementation, ImplementationSource::Script(file)));
        }
        let document = Cow::Owned(problems.parse_yaml(file, text)?);
        Some((implementation, ImplementationSource::Yaml { file, document, at: String::new() }))
    }

    /// The files that may contain the function, the option's own folder first. Without a declared implementation, all
    /// allowed ones are tried.
    fn candidates(&self, declared: Option<Implementation>) -> Vec<(Implementation, String)> {
        let mut implementations = match declared {
            Some(Implementation::Mapping) if self.name == FunctionName::Test => vec![Implementation::Mapping, Rest],
            Some(declared) => vec![declared],
            None => Implementation::allowed(self.name).to_vec(),
        };
        if declared.is_none() && self.name == FunctionName::Test {
            implementations.push(Implementation::Mapping);
        }
        let own = (!self.option.is_empty()).then(|| format!("auth/{}/", self.option));
        let mut candidates = Vec::new();
        for folder in own.iter().map(String::as_str).chain(["auth/"]) {
            for base in self.name.file_names() {
                for &implementation in &implementations {
                    let files = implementation.suffixes().iter().map(|suffix| format!("{folder}{base}{suffix}"));
                    candidates.extend(files.map(|file| (implementation, file)));
                }
            }
        }
        candidates
    }

    fn build(
        &self,
        implementation: Implementation,
        source: ImplementationSource<'_>,
        problems: &mut Problems,
    ) -> Option<Function> {
        let name = self.name.spec_key();
        let (file, document, at) = match source {
            ImplementationSource::Script(file) => {
                return Some(Function::JavaScript(Script::new(Arc::clone(self.scripts), file, name)));
            }
            ImplementationSource::Code(code) => {
                let entry = format!("auth/{name}.inline.js");
                let mut files = Files::clone(self.scripts);
                files.insert(entry.clone(), code.to_owned());
                return Some(Function::JavaScript(Script::new(Arc::new(files), entry, name)));
            }
            ImplementationSource::Yaml { file, document, at } => (file, document, at),
        };
        let mut problem = |pointer: &str, message: String, help: String| {
            let line = document.line(&format!("{at}{pointer}"));
            problems.push(FolderProblem { file: file.to_owned(), line, message, help });
        };
        let value = document.value.pointer(&at)?;
        if value.is_null() {
            problem("", format!("the implementation of `{name}` is empty"), "write a mapping".to_owned());
            return None;
        }
        let is_request = value.get("path").is_some() && value.get("method").is_some();
        let built = match implementation {
            Implementation::Mapping if self.name == FunctionName::Test && !is_request => {
                let help = "write a REST mapping with `path` and `method` in auth/test.rest.yml".to_owned();
                problem("", "`test` cannot be implemented as mapping".to_owned(), help);
                return None;
            }
            Implementation::Mapping if self.name != FunctionName::Test => {
                for key in self.unsupported_keys(value) {
                    let message = format!("`{key}` of the API client is not supported");
                    problem(&pointer::child(settings_of(value), key), message, "remove it".to_owned());
                }
                self.mapping(value).map(Function::Mapping)
            }
            Implementation::Mapping | Rest => RestMapping::check(value).map(Function::Rest),
            Implementation::DatabaseLogin => DatabaseLogin::check(value).map(Function::Database),
            JavaScript | GraphQl | Operation => return None,
        };
        match built {
            Ok(function) => Some(function),
            Err(malformed) => {
                for MalformedValue { pointer, message, help } in malformed {
                    problem(&pointer, message, help);
                }
                None
            }
        }
    }

    /// Parses a mapping. Response handlers are formulas over a response that does not exist yet, so they are kept
    /// unevaluated until it does.
    fn mapping(&self, value: &Value) -> Result<Mapping, Vec<MalformedValue>> {
        let mapping = Mapping::parse(value.clone())?;
        Ok(if self.name == FunctionName::MakeApiClient { mapping.leaving("responseHandlers") } else { mapping })
    }

    /// The keys that the format allows in the result of `makeApiClient` but Larder does not support.
    fn unsupported_keys(&self, value: &Value) -> Vec<&'static str> {
        if self.name != FunctionName::MakeApiClient {
            return Vec::new();
        }
        let settings = settings_of(value);
        let is_there = |key: &&str| value.pointer(&pointer::child(settings, key)).is_some();
        ["overrides", "proxyUri"].into_iter().filter(is_there).collect()
    }

    fn spec_problem(&self, problems: &mut Problems, message: String, help: String) {
        problems.add("spec.yml", self.spec.line(&self.at), message, help);
    }
}

/// The pointer to an API client's settings: at the top level, or under `args`.
fn settings_of(client: &Value) -> &'static str {
    if client.get("args").is_some_and(Value::is_object) { "/args" } else { "" }
}

/// The implementation that a file's name indicates; the longest suffix wins.
fn by_suffix(path: &str) -> Option<Implementation> {
    let suffixes = Implementation::ALL.into_iter().flat_map(|each| each.suffixes().iter().map(move |&s| (s, each)));
    suffixes.filter(|(suffix, _)| path.ends_with(suffix)).max_by_key(|(suffix, _)| suffix.len()).map(|(_, each)| each)
}
