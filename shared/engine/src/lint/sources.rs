//! Finds the source of each of a connector's functions.

use std::rc::Rc;

use serde_json::Value;

use super::{Document, Files, Findings, LintedFile, Severity};
use crate::connector::{FunctionName, RestMapping, pointer, spelling};

/// `auth` or one of its options, which may both have functions.
pub(super) struct AuthScope<'a> {
    /// The pointer in `spec.yml`.
    pub(super) at: String,
    /// The option's key.
    pub(super) option: Option<&'a str>,
    /// The auth type: the option's own, or else that of `auth`.
    pub(super) kind: Option<&'a str>,
    pub(super) value: &'a Value,
    /// The parent of an option, for fallbacks.
    pub(super) parent: Option<&'a Value>,
    pub(super) has_options: bool,
}

/// How a function is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    Mapping,
    Rest,
    Script,
    Login,
    Other,
}

/// A function's implementation.
pub(super) struct FunctionSource<'a> {
    pub(super) name: FunctionName,
    pub(super) kind: SourceKind,
    /// The file; `None` is `spec.yml`.
    pub(super) file: Option<&'a str>,
    pub(super) content: Content<'a>,
}

pub(super) enum Content<'a> {
    /// A value in a document, at a pointer.
    Yaml(Rc<Document>, String),
    /// A script, and the number of lines before it in the file.
    Text(&'a str, u64),
    /// Invalid YAML, which was already reported on load.
    Broken,
}

const SUFFIXES: [(&str, SourceKind); 9] = [
    (".map.yml", SourceKind::Mapping),
    (".rest.yml", SourceKind::Rest),
    (".api.yml", SourceKind::Rest),
    (".db.yml", SourceKind::Login),
    (".graphql.yml", SourceKind::Other),
    (".op.yml", SourceKind::Other),
    (".js", SourceKind::Script),
    (".ts", SourceKind::Script),
    (".yml", SourceKind::Mapping),
];

impl FunctionSource<'_> {
    /// The YAML value, and the pointer to it in its file.
    pub(super) fn yaml(&self) -> Option<(&Value, &str)> {
        let Content::Yaml(document, at) = &self.content else { return None };
        Some((document.value.pointer(at)?, at))
    }

    /// The requests of a REST mapping with their pointers: those before it, and itself.
    pub(super) fn requests(&self) -> Vec<(&Value, String)> {
        let Some((whole, at)) = self.yaml() else { return Vec::new() };
        let before = whole.get(RestMapping::BEFORE).and_then(Value::as_array).into_iter().flatten().enumerate();
        let before = before.map(|(index, request)| (request, format!("{at}/{}/{index}", RestMapping::BEFORE)));
        before.chain([(whole, at.to_owned())]).collect()
    }

    /// The file of findings.
    pub(super) fn linted_file(&self) -> Option<LintedFile<'_>> {
        let Content::Yaml(document, _) = &self.content else { return None };
        Some(LintedFile { path: self.file.unwrap_or("spec.yml"), document })
    }
}

impl<'a> AuthScope<'a> {
    /// `auth` (or the whole file in the newer form), and its options.
    pub(super) fn all(spec: &'a Value) -> Vec<Self> {
        let is_inline = is_inline(spec);
        let at = if is_inline { "" } else { "/auth" };
        let Some(auth) = spec.pointer(at).filter(|auth| auth.is_object()) else { return Vec::new() };
        let kind = |value: &'a Value| value.get("type").and_then(Value::as_str);
        let options = auth.get("options").and_then(Value::as_object);
        let has_options = options.is_some();
        let own = Self { at: at.to_owned(), option: None, kind: kind(auth), value: auth, parent: None, has_options };
        let options =
            options.into_iter().flatten().filter(|(_, option)| option.is_object()).map(|(key, option)| Self {
                at: pointer::child(&format!("{at}/options"), key),
                option: Some(key),
                kind: kind(option).or(kind(auth)),
                value: option,
                parent: Some(auth),
                has_options: false,
            });
        std::iter::once(own).chain(options).collect()
    }

    /// A function's key and entry, unless it is marked as not supported.
    pub(super) fn entry(&self, name: FunctionName) -> Option<(&'static str, &'a Value)> {
        entry(self.value, name)
    }

    /// Whether the function is present, possibly inherited from `auth`.
    pub(super) fn has(&self, name: FunctionName) -> bool {
        self.entry(name).is_some() || self.parent.is_some_and(|parent| entry(parent, name).is_some())
    }

    /// The existing implementations.
    pub(super) fn sources(&self, spec: &Rc<Document>, files: &'a Files) -> Vec<FunctionSource<'a>> {
        FunctionName::ALL.into_iter().filter_map(|name| self.source(name, spec, files)).collect()
    }

    fn source(&self, name: FunctionName, spec: &Rc<Document>, files: &'a Files) -> Option<FunctionSource<'a>> {
        let (key, entry) = self.entry(name)?;
        let declared = entry.get("implementationType").or_else(|| entry.get("type")).and_then(Value::as_str);
        let declared = declared.map(|declared| match declared {
            "mapping" if name == FunctionName::Test => SourceKind::Rest,
            "mapping" => SourceKind::Mapping,
            "javascript" => SourceKind::Script,
            "rest-api-mapping" => SourceKind::Rest,
            "database-login" => SourceKind::Login,
            _ => SourceKind::Other,
        });
        let at = pointer::child(&self.at, key);
        if let Some(code) = entry.get("code").and_then(Value::as_str) {
            let line = spec.line(&pointer::child(&at, "code")).unwrap_or_default();
            return Some(FunctionSource {
                name,
                kind: SourceKind::Script,
                file: None,
                content: Content::Text(code, line),
            });
        }
        if entry.get("mapping").is_some() {
            let content = Content::Yaml(Rc::clone(spec), pointer::child(&at, "mapping"));
            return Some(FunctionSource { name, kind: declared.unwrap_or(SourceKind::Mapping), file: None, content });
        }
        let (file, text) = self.candidates(name, entry, declared).iter().find_map(|path| files.get_key_value(path))?;
        let by_suffix = SUFFIXES.iter().find(|(suffix, _)| file.ends_with(suffix)).map(|(_, kind)| *kind);
        let kind = match (declared, by_suffix) {
            (Some(SourceKind::Other) | None, Some(kind)) => kind,
            (declared, _) => declared.unwrap_or(SourceKind::Other),
        };
        let content = match kind {
            SourceKind::Script => Content::Text(text, 0),
            _ => Document::parse(text)
                .map_or(Content::Broken, |document| Content::Yaml(Rc::new(document), String::new())),
        };
        Some(FunctionSource { name, kind, file: Some(file), content })
    }

    /// The paths to try, in order. A declared type only decides between YAML and JavaScript.
    fn candidates(&self, name: FunctionName, entry: &Value, declared: Option<SourceKind>) -> Vec<String> {
        if let Some(path) = entry.get("filePath").and_then(Value::as_str) {
            let path = path.trim_start_matches("./");
            return vec![path.to_owned(), format!("auth/{path}")];
        }
        let likely = declared.or((name == FunctionName::Test).then_some(SourceKind::Rest));
        let fits =
            |kind| declared.is_none_or(|declared| (declared == SourceKind::Script) == (kind == SourceKind::Script));
        let mut suffixes: Vec<(&str, SourceKind)> = SUFFIXES.into_iter().filter(|(_, kind)| fits(*kind)).collect();
        suffixes.sort_by_key(|(_, kind)| Some(*kind) != likely);
        let of_option = self.option.map(|key| format!("auth/{key}/"));
        let mut paths = Vec::new();
        for folder in of_option.into_iter().chain(["auth/".to_owned()]) {
            for base in name.file_names() {
                paths.extend(suffixes.iter().map(|(suffix, _)| format!("{folder}{base}{suffix}")));
            }
        }
        paths
    }
}

/// Whether `auth` is omitted and its keys are at the top level.
pub(super) fn is_inline(spec: &Value) -> bool {
    spec.get("auth").is_none() && ["type", "options"].iter().any(|key| spec.get(key).is_some())
}

fn entry(value: &Value, name: FunctionName) -> Option<(&'static str, &Value)> {
    let keys = [Some(name.spec_key()), name.old_spec_key()];
    let (key, entry) = keys.into_iter().flatten().find_map(|key| Some((key, value.get(key)?)))?;
    let is_absent = entry.get("implementationType").is_some_and(|kind| kind == "not-supported");
    (!is_absent).then_some((key, entry))
}

/// Reports files under `auth/` that no function uses and no script imports.
pub(super) fn check_unused(used: &[&str], files: &Files, findings: &mut Findings) {
    let scripts = files.iter().filter(|(file, _)| file.ends_with(".js") || file.ends_with(".ts"));
    let imports: Vec<&str> = scripts.flat_map(|(_, text)| super::script::imports(text)).collect();
    for file in files.keys().filter(|file| file.starts_with("auth/") && !used.contains(&file.as_str())) {
        let name = file.rsplit('/').next().unwrap_or_default();
        let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
        if imports.iter().any(|import| matches!(import.rsplit('/').next(), Some(last) if last == name || last == stem))
        {
            continue;
        }
        let base_names = || FunctionName::ALL.into_iter().flat_map(|function| function.file_names()).copied();
        let function = FunctionName::ALL.into_iter().find(|function| function.file_names().contains(&stem));
        let help = match (function, spelling::nearest(stem, base_names())) {
            (Some(function), _) => format!("add `{}` to `auth` in spec.yml, or remove the file", function.spec_key()),
            (None, Some(meant)) => format!("did you mean {}?", file.replace(stem, meant)),
            (None, None) => "remove it, or set it as the `filePath` of a function".to_owned(),
        };
        findings.add(Severity::Warning, file, None, "no function uses this file".to_owned(), help);
    }
}
