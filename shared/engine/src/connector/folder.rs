//! Reads a connector's folder from disk, and parses it into a [`Connector`].
//!
//! # Decisions
//!
//! Options are merged into `auth` when the folder is loaded, so afterwards there is a list of complete `AuthOption`s
//! and no fallback. The option's values win, and schemas are merged by properties and required ones. The format does
//! not say where an option's files are: `auth/OPTION/` comes before `auth/`, and an explicit `filePath` before both. A
//! function of `auth` that the option's type doesn't have is skipped, because it may belong to another option.
//!
//! Inline `code` becomes a file, `auth/NAME.inline.js`, so that it can import its neighbors and its errors have a
//! location.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::preset::{self, ExpandedPreset, FindGeneric};
use super::yaml::Document;
use super::{
    About, AuthOption, AuthType, Connector, FunctionName, MalformedValue, Mapping, RefreshRules, Script, TokenHeaders,
    functions, pointer, schema,
};

/// A folder's files: relative paths (separated by `/`) and contents.
pub type Files = BTreeMap<String, String>;

/// The maximum file size, in bytes.
const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// The maximum depth of folders.
const MAX_FOLDER_DEPTH: usize = 8;

/// A reason why a folder cannot be used as a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderProblem {
    /// The file's path, as in [`Files`].
    pub file: String,
    /// The line, starting at 1.
    pub line: Option<u64>,
    /// The message.
    pub message: String,
    /// How to fix it; may be empty.
    pub help: String,
}

impl std::fmt::Display for FolderProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

/// Reads a folder. Hidden files, files over 1 MiB, files that are not UTF-8, and links out of the folder are skipped.
///
/// # Errors
///
/// When the folder or a file in it cannot be read.
pub fn read(dir: &Path) -> std::io::Result<Files> {
    let root = dir.canonicalize()?;
    let mut files = Files::new();
    read_into(&root, &root, "", 0, &mut files)?;
    Ok(files)
}

fn read_into(root: &Path, dir: &Path, prefix: &str, depth: usize, files: &mut Files) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if depth < MAX_FOLDER_DEPTH {
                read_into(root, &entry.path(), &format!("{prefix}{name}/"), depth + 1, files)?;
            }
            continue;
        }
        let path = match entry.path().canonicalize() {
            Ok(path) if path.starts_with(root) => path,
            Ok(_) => continue,
            Err(_) if kind.is_symlink() => continue,
            Err(error) => return Err(error),
        };
        if let Some(text) = read_file(&path)? {
            files.insert(format!("{prefix}{name}"), text);
        }
    }
    Ok(())
}

/// Reads one file of a folder, or returns `None` if the file must be skipped.
pub(super) fn read_file(path: &Path) -> std::io::Result<Option<String>> {
    let metadata = path.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_SIZE {
        return Ok(None);
    }
    Ok(String::from_utf8(std::fs::read(path)?).ok())
}

/// The files of a directory with the time of the last change and the size of each.
pub(super) type FileStamps = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// Returns the files of a directory of connectors that can be read. Hidden ones and links to folders are skipped.
pub(super) fn stamps(dir: &Path) -> FileStamps {
    let mut stamps = FileStamps::new();
    stamp_into(dir, 0, &mut stamps);
    stamps
}

fn stamp_into(dir: &Path, depth: usize, stamps: &mut FileStamps) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() && !is_hidden && depth <= MAX_FOLDER_DEPTH {
            stamp_into(&path, depth + 1, stamps);
        } else if let Some(metadata) = path.metadata().ok().filter(|metadata| metadata.is_file() && !is_hidden) {
            stamps.insert(path, (metadata.modified().ok(), metadata.len()));
        }
    }
}

/// Whether a string can be a connector's key: 1 to 100 letters, digits, `_`, `.` and `-`, and a plain file name.
pub fn is_key(key: &str) -> bool {
    let is_legal = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
    (1..=100).contains(&key.len()) && key.chars().all(is_legal) && !matches!(key, "." | "..")
}

/// Parses YAML, or JSON, which is also YAML.
///
/// # Errors
///
/// The syntax error, with its line.
pub fn parse_data(text: &str) -> Result<Value, String> {
    let document = Document::parse(text).map_err(|error| match error.line {
        Some(line) => format!("line {line}: {}", error.message),
        None => error.message,
    })?;
    Ok(document.value)
}

/// Parses a connector from its files.
///
/// # Errors
///
/// All problems, ordered by file and line.
pub fn parse(folder_name: &str, files: &Files) -> Result<Connector, Vec<FolderProblem>> {
    let mut problems = Problems::default();
    let spec = match files.get("spec.yml") {
        Some(text) => problems.parse_yaml("spec.yml", text),
        None => {
            let help = "add it, with `name` and `auth`".to_owned();
            problems.add("spec.yml", None, "the file is missing".to_owned(), help);
            None
        }
    };
    let connector = spec.and_then(|spec| parse_spec(folder_name, &spec, files, &mut problems));
    problems.or(connector)
}

/// Parses a preset. `file` is its name, for problems.
///
/// # Errors
///
/// All problems, ordered by line.
pub fn parse_preset(key: &str, file: &str, text: &str, find: FindGeneric<'_>) -> Result<Connector, Vec<FolderProblem>> {
    parse_expanded(key, file, &preset::expand(key, file, text, find)?)
}

/// Parses a preset that is expanded already.
pub(crate) fn parse_expanded(key: &str, file: &str, preset: &ExpandedPreset) -> Result<Connector, Vec<FolderProblem>> {
    let mut problems = Problems::default();
    let connector = parse_spec(key, &preset.spec, &Files::new(), &mut problems);
    let connector = connector.map(|connector| {
        let options = connector.options.into_iter().zip(&preset.generics).map(|(option, generic)| {
            Arc::new(AuthOption { extends: Some(generic.clone()), ..Arc::unwrap_or_clone(option) })
        });
        Connector { options: options.collect(), fixed: preset.fixed.clone(), ..connector }
    });
    problems.0.iter_mut().for_each(|problem| file.clone_into(&mut problem.file));
    problems.or(connector)
}

fn parse_spec(folder_name: &str, spec: &Document, files: &Files, problems: &mut Problems) -> Option<Connector> {
    if !spec.value.is_object() {
        let help = "write `name:` and `auth:`".to_owned();
        problems.add("spec.yml", spec.line(""), "the file must contain an object".to_owned(), help);
        return None;
    }
    let scripts = Arc::new(Script::sources(files));
    let mut fields = SpecReader { spec, files, scripts, problems };
    let key = fields.key(folder_name);
    let name = fields.string("/name").unwrap_or_else(|| key.clone());
    let logo_uri = fields.string("/logoUri");
    let parameters_schema = fields.schema("/parametersSchema");
    let options = fields.options(parameters_schema.as_ref())?;
    let about = About::of(&spec.value);
    let fixed = BTreeSet::new();
    Some(Connector { key, name, logo_uri, parameters_schema, options, about, fixed })
}

/// Reads the fields of `spec.yml` by their JSON pointers.
struct SpecReader<'a> {
    spec: &'a Document,
    files: &'a Files,
    scripts: Arc<Files>,
    problems: &'a mut Problems,
}

impl SpecReader<'_> {
    /// The connector's key, which defaults to the folder's name.
    fn key(&mut self, folder_name: &str) -> String {
        let key = self.string("/key").unwrap_or_else(|| folder_name.to_owned());
        if !is_key(&key) {
            let message = "invalid connector key (by default the folder's name)".to_owned();
            self.problem("/key", message, "use 1 to 100 characters of A-Z, a-z, 0-9, `_`, `.` and `-`".to_owned());
        }
        key
    }

    /// The options of `auth`, which is either its own object or, in the newer form with `type` and the functions at the top
    /// level, the whole file.
    fn options(&mut self, parameters_schema: Option<&Value>) -> Option<Vec<Arc<AuthOption>>> {
        let spec = &self.spec.value;
        let is_inline = spec.get("auth").is_none() && ["type", "options"].iter().any(|key| spec.get(key).is_some());
        let at = if is_inline { "" } else { "/auth" };
        let Some(auth) = spec.pointer(at).filter(|auth| auth.is_object()) else {
            let help = "write `auth:` with its `type` and its functions".to_owned();
            self.problem("/auth", "`auth` must be an object".to_owned(), help);
            return None;
        };
        let options = match auth.get("options") {
            None | Some(Value::Null) => vec![self.option("", &[at.to_owned()], parameters_schema)],
            Some(Value::Object(options)) if !options.is_empty() => options
                .keys()
                .map(|key| {
                    let own = pointer::child(&format!("{at}/options"), key);
                    self.option(key, &[own, at.to_owned()], parameters_schema)
                })
                .collect(),
            Some(_) => {
                let help = "write each option under its key, with `type` and its functions".to_owned();
                self.problem(&format!("{at}/options"), "`options` must be an object".to_owned(), help);
                return None;
            }
        };
        options.into_iter().map(|option| option.map(Arc::new)).collect()
    }

    /// One auth option. The first of `places` wins over the second: the option, then `auth`.
    fn option(&mut self, key: &str, places: &[String], parameters_schema: Option<&Value>) -> Option<AuthOption> {
        let kind = self.auth_type(places);
        let in_places = |path: &str| places.iter().map(|at| format!("{at}{path}")).collect::<Vec<_>>();
        let first_string = |fields: &mut Self, paths: Vec<String>| paths.iter().find_map(|path| fields.string(path));
        let title = first_string(self, in_places("/title"));
        let description = [in_places("/description"), in_places("/ui/description"), vec!["/ui/description".to_owned()]];
        let description = first_string(self, description.concat());
        let help_uri = [in_places("/ui/helpUri"), in_places("/helpUri"), vec!["/ui/helpUri".to_owned()]];
        let help_uri = first_string(self, help_uri.concat());
        // The schemas of `auth` and the option are merged; the option's wins.
        let mut input_schema = None;
        let mut own_parameters = parameters_schema.cloned();
        let mut credentials_schema = None;
        for at in places.iter().rev() {
            let mut input = vec![format!("{at}/inputSchema"), format!("{at}/ui/schema")];
            if Some(at) == places.last() {
                input.extend(["/ui/schema".to_owned(), "/inputSchema".to_owned()]);
            }
            let input = input.iter().find_map(|path| self.schema(path));
            input_schema = schema::merged(input_schema, input);
            if !at.is_empty() {
                own_parameters = schema::merged(own_parameters, self.schema(&format!("{at}/parametersSchema")));
            }
            let credentials = ["customCredentialsSchema", "credentialsSchema"];
            let credentials = credentials.iter().find_map(|name| self.schema(&format!("{at}/{name}")));
            credentials_schema = schema::merged(credentials_schema, credentials);
        }
        let enabled = self.enabled(places);
        let is_alternative = self.is_alternative(&places[0]);
        // Which functions are needed depends on the type.
        let kind = kind?;
        let place = functions::OptionEntry { key, at: places, kind: &kind };
        let functions = functions::read(&place, self.spec, self.files, &self.scripts, self.problems);
        let refresh_rules = self.refresh_rules(places);
        Some(AuthOption {
            key: key.to_owned(),
            kind,
            title,
            description,
            help_uri,
            enabled,
            is_alternative,
            extends: None,
            input_schema,
            parameters_schema: own_parameters,
            credentials_schema,
            functions,
            refresh_rules,
        })
    }

    /// The extra keys of `refreshCredentials`.
    fn refresh_rules(&mut self, places: &[String]) -> RefreshRules {
        let mut at = places.iter().map(|at| pointer::child(at, FunctionName::RefreshCredentials.spec_key()));
        let Some((entry, at)) = at.find_map(|at| Some((self.spec.value.pointer(&at)?, at))) else {
            return RefreshRules::default();
        };
        RefreshRules::read(entry).unwrap_or_else(|malformed| {
            for MalformedValue { pointer, message, help } in malformed {
                self.problem(&format!("{at}{pointer}"), message, help);
            }
            RefreshRules::default()
        })
    }

    fn enabled(&mut self, places: &[String]) -> Option<Mapping> {
        let at = places.iter().map(|at| format!("{at}/enabled")).find(|at| self.spec.value.pointer(at).is_some())?;
        match Mapping::parse(self.spec.value.pointer(&at)?.clone()) {
            Ok(mapping) => Some(mapping),
            Err(malformed) => {
                for each in malformed {
                    self.problem(&format!("{at}{}", each.pointer), each.message, each.help);
                }
                None
            }
        }
    }

    fn is_alternative(&mut self, place: &str) -> bool {
        let at = format!("{place}/isAlternative");
        match self.spec.value.pointer(&at) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(is_alternative)) => *is_alternative,
            Some(_) => {
                let help = "write true without quotes, or remove it".to_owned();
                self.problem(&at, "`isAlternative` must be true or false".to_owned(), help);
                false
            }
        }
    }

    fn auth_type(&mut self, places: &[String]) -> Option<AuthType> {
        let paths = places.iter().map(|at| pointer::child(at, "type"));
        let given =
            paths.filter_map(|at| Some((self.spec.value.pointer(&at)?, at))).find(|(given, _)| !given.is_null());
        let names = || AuthType::NAMES.join(", ");
        let Some((given, at)) = given else {
            let help = format!("set `type:` to one of {}", names());
            self.problem(&places[0], "`auth` has no `type`".to_owned(), help);
            return None;
        };
        match given.as_str() {
            Some("oauth2") => Some(AuthType::OAuth2),
            Some("oauth1") => Some(AuthType::OAuth1),
            Some("client-credentials") => Some(AuthType::ClientCredentials),
            Some("membrane-token") => Some(AuthType::MembraneToken(TokenHeaders::Both)),
            Some("integration-app-token") => Some(AuthType::MembraneToken(TokenHeaders::Legacy)),
            Some("proxy") => {
                let key = places.iter().find_map(|at| self.string(&pointer::child(at, "proxyKey")));
                if key.is_none() {
                    let help = "set `proxyKey:` to the key of one of this Larder's auth proxies".to_owned();
                    self.problem(&at, "auth type proxy needs `proxyKey`".to_owned(), help);
                }
                key.map(AuthType::Proxy)
            }
            _ => {
                self.problem(&at, "unknown auth type".to_owned(), format!("use one of {}", names()));
                None
            }
        }
    }

    fn string(&mut self, at: &str) -> Option<String> {
        match self.spec.value.pointer(at) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                let message = format!("`{}` must be a string", dotted(at));
                self.problem(at, message, "put it in quotes if it looks like a number".to_owned());
                None
            }
        }
    }

    fn schema(&mut self, at: &str) -> Option<Value> {
        match self.spec.value.pointer(at) {
            None | Some(Value::Null) => None,
            Some(schema @ Value::Object(_)) => Some(schema.clone()),
            Some(_) => {
                let help = "write a schema, such as `type: object` with `properties`".to_owned();
                self.problem(at, format!("`{}` must be an object", dotted(at)), help);
                None
            }
        }
    }

    fn problem(&mut self, at: &str, message: String, help: String) {
        self.problems.add("spec.yml", self.spec.line(at), message, help);
    }
}

fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// The problems found so far.
#[derive(Default)]
pub(crate) struct Problems(Vec<FolderProblem>);

impl Problems {
    pub(super) fn push(&mut self, problem: FolderProblem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub(super) fn add(&mut self, file: &str, line: Option<u64>, message: String, help: String) {
        self.push(FolderProblem { file: file.to_owned(), line, message, help });
    }

    /// Everything found, by file and line.
    pub(super) fn into_sorted(mut self) -> Vec<FolderProblem> {
        self.0.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        self.0
    }

    /// The result, if nothing was found.
    fn or(self, connector: Option<Connector>) -> Result<Connector, Vec<FolderProblem>> {
        match connector {
            Some(connector) if self.0.is_empty() => Ok(connector),
            _ => Err(self.into_sorted()),
        }
    }

    /// Parses a file, or records why it cannot be parsed.
    pub(super) fn parse_yaml(&mut self, file: &str, text: &str) -> Option<Document> {
        match Document::parse(text) {
            Ok(document) => Some(document),
            Err(error) => {
                let help = "the file must be one YAML document".to_owned();
                self.add(file, error.line, error.message, help);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
