//! A connector's folder: from a disk into memory, and from there to a [`Connector`].

use super::functions;
use super::yaml::Document;
use super::{Auth, AuthType, Connector, pointer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The files of a folder: their path in it, with `/` between its parts, and their text.
pub type Files = BTreeMap<String, String>;

/// The largest file that is read, in bytes.
const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// How deep folders are read.
const MAX_FOLDER_DEPTH: usize = 8;

/// The authentication types of the format, and whether they run.
const AUTH_TYPES: [(&str, Option<AuthType>); 6] = [
    ("oauth2", Some(AuthType::OAuth2)),
    ("oauth1", None),
    ("client-credentials", None),
    ("proxy", None),
    ("membrane-token", None),
    ("integration-app-token", None),
];

/// Why a folder is no connector, or none that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as in [`Files`].
    pub file: String,
    /// The line, from 1.
    pub line: Option<u64>,
    /// What is wrong.
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

/// Reads a folder. Hidden files, files over 1 MiB, files that are not UTF-8 and links that lead out of the folder are
/// left out.
///
/// # Errors
///
/// The folder or something in it cannot be read.
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
        let metadata = path.metadata()?;
        if metadata.is_file()
            && metadata.len() <= MAX_FILE_SIZE
            && let Ok(text) = String::from_utf8(std::fs::read(&path)?)
        {
            files.insert(format!("{prefix}{name}"), text);
        }
    }
    Ok(())
}

/// Reads a connector out of its files.
///
/// # Errors
///
/// Everything that is wrong with it, ordered by file and line.
pub fn parse(folder_name: &str, files: &Files) -> Result<Connector, Vec<Problem>> {
    let mut problems = Problems::default();
    let connector = parse_spec(folder_name, files, &mut problems);
    match connector {
        Some(connector) if problems.0.is_empty() => Ok(connector),
        _ => {
            problems.0.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
            Err(problems.0)
        }
    }
}

fn parse_spec(folder_name: &str, files: &Files, problems: &mut Problems) -> Option<Connector> {
    let Some(text) = files.get("spec.yml") else {
        problems.add("spec.yml", None, "the file is missing".to_owned(), "add it, with `name` and `auth`".to_owned());
        return None;
    };
    let spec = problems.parse_yaml("spec.yml", text)?;
    if !spec.value.is_object() {
        let help = "write `name:` and `auth:`".to_owned();
        problems.add("spec.yml", spec.line(""), "the file must hold an object".to_owned(), help);
        return None;
    }
    let mut fields = Fields { spec: &spec, problems };
    let key = fields.key(folder_name);
    let name = fields.text("/name").unwrap_or_else(|| key.clone());
    let logo_uri = fields.text("/logoUri");
    let parameters_schema = fields.schema("/parametersSchema");
    let auth = fields.auth(files)?;
    Some(Connector { key, name, logo_uri, parameters_schema, auth })
}

/// Reads the fields of `spec.yml`, by JSON pointers.
struct Fields<'a> {
    spec: &'a Document,
    problems: &'a mut Problems,
}

impl Fields<'_> {
    /// The connector's key, by default the folder's name.
    fn key(&mut self, folder_name: &str) -> String {
        let key = self.text("/key").unwrap_or_else(|| folder_name.to_owned());
        let is_legal = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
        if !(1..=100).contains(&key.len()) || !key.chars().all(is_legal) {
            let message = "the connector's key (by default its folder's name) is malformed".to_owned();
            self.problem("/key", message, "use 1 to 100 of A-Z, a-z, 0-9, `_`, `.` and `-`".to_owned());
        }
        key
    }

    /// The `auth` object, or the whole file in the newer form, which has `type` and the functions at the top.
    fn auth(&mut self, files: &Files) -> Option<Auth> {
        let spec = self.spec;
        let is_inline =
            spec.value.get("auth").is_none() && ["type", "options"].iter().any(|key| spec.value.get(key).is_some());
        let at = if is_inline { "" } else { "/auth" };
        let Some(auth) = spec.value.pointer(at).filter(|auth| auth.is_object()) else {
            let help = "write `auth:` with `type: oauth2` and its functions".to_owned();
            self.problem("/auth", "`auth` must be an object".to_owned(), help);
            return None;
        };
        let under = |path: &str| format!("{at}{path}");
        if auth.get("options").is_some_and(|options| !options.is_null()) {
            let help = "write one connector per option, each with its own folder and key".to_owned();
            self.problem(&under("/options"), "`options` of `auth` are not supported yet".to_owned(), help);
        }
        let kind = self.auth_type(auth, at);
        let first_text = |fields: &mut Self, paths: &[String]| paths.iter().find_map(|path| fields.text(path));
        let title = self.text(&under("/title"));
        let description =
            first_text(self, &[under("/description"), under("/ui/description"), "/ui/description".to_owned()]);
        let help_uri = first_text(self, &[under("/ui/helpUri"), under("/helpUri"), "/ui/helpUri".to_owned()]);
        let input_schema =
            [under("/inputSchema"), under("/ui/schema"), "/ui/schema".to_owned(), "/inputSchema".to_owned()]
                .iter()
                .find_map(|path| self.schema(path));
        // What another type needs is not known here.
        let kind = kind?;
        let functions = functions::read(auth, at, spec, files, self.problems);
        Some(Auth { kind, title, description, input_schema, help_uri, functions })
    }

    fn auth_type(&mut self, auth: &Value, at: &str) -> Option<AuthType> {
        let given = auth.get("type").filter(|given| !given.is_null());
        let known = given.and_then(|given| AUTH_TYPES.iter().find(|(name, _)| given == name));
        let (message, help) = match (given, known) {
            (_, Some((_, Some(kind)))) => return Some(*kind),
            (_, Some((name, None))) => {
                (format!("the auth type {name} is not supported yet"), "only `type: oauth2` runs".to_owned())
            }
            (None, _) if auth.get("options").is_some() => return None,
            (None, _) => ("`auth` has no `type`".to_owned(), "write `type: oauth2`".to_owned()),
            (Some(_), None) => {
                let names: Vec<&str> = AUTH_TYPES.iter().map(|(name, _)| *name).collect();
                ("the auth type is not known".to_owned(), format!("the format has {}", names.join(", ")))
            }
        };
        self.problem(&pointer::child(at, "type"), message, help);
        None
    }

    fn text(&mut self, at: &str) -> Option<String> {
        match self.spec.value.pointer(at) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                let message = format!("`{}` must be a text", dotted(at));
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
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub(super) fn add(&mut self, file: &str, line: Option<u64>, message: String, help: String) {
        self.push(Problem { file: file.to_owned(), line, message, help });
    }

    /// Reads a file, or notes why that cannot be done.
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
