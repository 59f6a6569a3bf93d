//! The functions of a connector: from an entry of `spec.yml` and the file it stands for to a [`Function`].

use super::folder::{Files, Problem, Problems};
use super::yaml::Document;
use super::{Function, FunctionName, Malformed, Mapping, RestMapping, pointer};
use serde_json::Value;

/// The ways to implement a function that the format knows. What runs is decided in [`Implementation::build`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Implementation {
    Mapping,
    JavaScript,
    Rest,
    GraphQl,
    Operation,
}

use Implementation::{GraphQl, JavaScript, Operation, Rest};

impl Implementation {
    const ALL: [Self; 5] = [Self::Mapping, JavaScript, Rest, GraphQl, Operation];

    fn spec_value(self) -> &'static str {
        match self {
            Self::Mapping => "mapping",
            JavaScript => "javascript",
            Rest => "rest-api-mapping",
            GraphQl => "graphql-api-mapping",
            Operation => "operation-mapping",
        }
    }

    /// In the order they are looked up.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Mapping => &[".map.yml", ".yml"],
            JavaScript => &[".js", ".ts"],
            Rest => &[".rest.yml", ".api.yml"],
            GraphQl => &[".graphql.yml"],
            Operation => &[".op.yml"],
        }
    }

    /// The implementations that the format allows for a function.
    fn allowed(function: FunctionName) -> &'static [Self] {
        match function {
            FunctionName::RefreshCredentials | FunctionName::Disconnect => &[JavaScript],
            FunctionName::Test => &[Operation, Rest, JavaScript],
            _ => &[Self::Mapping, JavaScript],
        }
    }
}

/// Reads all functions under `auth`, which is at `at` in `spec.yml`.
pub(super) fn read(auth: &Value, at: &str, spec: &Document, files: &Files, problems: &mut Problems) -> Functions {
    let mut functions = Functions::new();
    for name in FunctionName::ALL {
        let keys = [Some(name.spec_key()), name.old_spec_key()];
        let entry = keys.into_iter().flatten().find_map(|key| Some((key, auth.get(key)?)));
        let is_present = match entry {
            Some((key, entry)) => {
                let reader = Reader { name, at: pointer::child(at, key), spec, files };
                reader.read(entry, problems, &mut functions)
            }
            None => false,
        };
        if name.is_required() && !is_present {
            let key = name.spec_key();
            let line = spec.line(entry.map_or(at.to_owned(), |(key, _)| pointer::child(at, key)).as_str());
            let help =
                format!("add `{key}: {{implementationType: mapping}}` and auth/{}.map.yml", name.file_names()[0]);
            problems.add("spec.yml", line, format!("auth type oauth2 needs the function `{key}`"), help);
        }
    }
    functions
}

type Functions = std::collections::BTreeMap<FunctionName, Function>;

/// Reads one function.
struct Reader<'a> {
    name: FunctionName,
    at: String,
    spec: &'a Document,
    files: &'a Files,
}

/// Where an implementation is written: in a file, or inline in `spec.yml`.
struct Source<'a> {
    file: &'a str,
    document: std::borrow::Cow<'a, Document>,
    at: String,
}

impl Reader<'_> {
    /// Whether the function is there, be it faulty.
    fn read(&self, entry: &Value, problems: &mut Problems, functions: &mut Functions) -> bool {
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
                    let help = format!("write one of {} and not-supported", known.join(", "));
                    self.spec_problem(problems, format!("the implementation type of `{key}` is not known"), help);
                    return true;
                }
            },
        };
        if let Some(declared) = declared.filter(|&declared| !self.runs(declared)) {
            self.refuse(declared, problems);
            return true;
        }
        if let Some((implementation, source)) = self.source(entry, declared, problems)
            && let Some(function) = self.build(implementation, &source, problems)
        {
            functions.insert(self.name, function);
        }
        true
    }

    /// Whether this implementation of the function is legal and supported. `test` may be called a mapping, for one of
    /// the format's own examples does so; what is in its file decides.
    fn runs(&self, implementation: Implementation) -> bool {
        match implementation {
            Implementation::Mapping => {
                self.name == FunctionName::Test || Implementation::allowed(self.name).contains(&implementation)
            }
            Rest => Implementation::allowed(self.name).contains(&implementation),
            JavaScript | GraphQl | Operation => false,
        }
    }

    /// Says why an implementation does not run, and what to write instead.
    fn refuse(&self, implementation: Implementation, problems: &mut Problems) {
        let (key, kind) = (self.name.spec_key(), implementation.spec_value());
        let allowed = Implementation::allowed(self.name);
        let running: Vec<&str> =
            allowed.iter().filter(|&&each| self.runs(each)).map(|each| each.spec_value()).collect();
        let message = if allowed.contains(&implementation) || matches!(implementation, GraphQl | Operation) {
            format!("`{key}` is implemented as {kind}, which is not supported yet")
        } else {
            format!("`{key}` cannot be implemented as {kind}")
        };
        let help = match running.first() {
            Some(running) if self.name.is_required() => format!("write it as {running}"),
            Some(running) => format!("write it as {running}, or leave it out"),
            None => "leave it out, or write `implementationType: not-supported`".to_owned(),
        };
        self.spec_problem(problems, message, help);
    }

    /// Finds the implementation: inline, else at `filePath`, else under the function's own file names.
    fn source(
        &self,
        entry: &Value,
        declared: Option<Implementation>,
        problems: &mut Problems,
    ) -> Option<(Implementation, Source<'_>)> {
        if entry.get("code").is_some() {
            self.refuse(JavaScript, problems);
            return None;
        }
        if entry.get("mapping").is_some() {
            let document = std::borrow::Cow::Borrowed(self.spec);
            let source = Source { file: "spec.yml", document, at: pointer::child(&self.at, "mapping") };
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
            let message = format!("the file of `{}` is missing", self.name.spec_key());
            self.spec_problem(problems, message, format!("add one of {}", paths.join(", ")));
            return None;
        };
        if !self.runs(implementation) {
            self.refuse(implementation, problems);
            return None;
        }
        let document = std::borrow::Cow::Owned(problems.parse_yaml(file, text)?);
        Some((implementation, Source { file, document, at: String::new() }))
    }

    /// The files that may hold the function. Without a declared implementation, those of every one.
    fn candidates(&self, declared: Option<Implementation>) -> Vec<(Implementation, String)> {
        let implementations = match declared {
            Some(Implementation::Mapping) if self.name == FunctionName::Test => vec![Implementation::Mapping, Rest],
            Some(declared) => vec![declared],
            None if self.name == FunctionName::Test => vec![Rest, Implementation::Mapping, JavaScript, Operation],
            None => Implementation::allowed(self.name).to_vec(),
        };
        let of_base = |base: &'static str| {
            implementations.iter().flat_map(move |&implementation| {
                let suffixes = implementation.suffixes().iter();
                suffixes.map(move |suffix| (implementation, format!("auth/{base}{suffix}")))
            })
        };
        self.name.file_names().iter().flat_map(|&base| of_base(base)).collect()
    }

    fn build(&self, implementation: Implementation, source: &Source<'_>, problems: &mut Problems) -> Option<Function> {
        let value = source.document.value.pointer(&source.at)?;
        if value.is_null() {
            let message = format!("the implementation of `{}` is empty", self.name.spec_key());
            source.problem(problems, "", message, "write a mapping".to_owned());
            return None;
        }
        let is_request = value.get("path").is_some() && value.get("method").is_some();
        let built = match implementation {
            Implementation::Mapping if self.name == FunctionName::Test && !is_request => {
                source.problem(
                    problems,
                    "",
                    "`test` cannot be implemented as mapping".to_owned(),
                    "write a REST mapping with `path` and `method` in auth/test.rest.yml".to_owned(),
                );
                return None;
            }
            Implementation::Mapping if self.name != FunctionName::Test => {
                self.check_result(value, source, problems);
                Mapping::parse(value.clone()).map(Function::Mapping)
            }
            Implementation::Mapping | Rest => RestMapping::check(value).map(Function::Rest),
            JavaScript | GraphQl | Operation => return None,
        };
        match built {
            Ok(function) => Some(function),
            Err(malformed) => {
                for Malformed { pointer, message, help } in malformed {
                    source.problem(problems, &pointer, message, help);
                }
                None
            }
        }
    }

    /// What a mapping of `makeApiClient` may legally return and nothing here would heed.
    fn check_result(&self, value: &Value, source: &Source<'_>, problems: &mut Problems) {
        if self.name != FunctionName::MakeApiClient {
            return;
        }
        let settings = if value.get("args").is_some_and(Value::is_object) { "/args" } else { "" };
        for key in ["responseHandlers", "overrides", "proxyUri"] {
            let at = pointer::child(settings, key);
            if value.pointer(&at).is_some() {
                let message = format!("`{key}` of the API client is not supported yet");
                source.problem(problems, &at, message, "leave it out".to_owned());
            }
        }
    }

    fn spec_problem(&self, problems: &mut Problems, message: String, help: String) {
        problems.add("spec.yml", self.spec.line(&self.at), message, help);
    }
}

impl Source<'_> {
    fn problem(&self, problems: &mut Problems, pointer: &str, message: String, help: String) {
        let line = self.document.line(&format!("{}{pointer}", self.at));
        problems.push(Problem { file: self.file.to_owned(), line, message, help });
    }
}

/// The implementation a file's name tells; the longest suffix decides.
fn by_suffix(path: &str) -> Option<Implementation> {
    let suffixes = Implementation::ALL.into_iter().flat_map(|each| each.suffixes().iter().map(move |&s| (s, each)));
    suffixes.filter(|(suffix, _)| path.ends_with(suffix)).max_by_key(|(suffix, _)| suffix.len()).map(|(_, each)| each)
}
