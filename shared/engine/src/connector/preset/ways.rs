//! The ways to connect of a preset: the one that its top level describes, and those in `options`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{FindGeneric, GenericConnector, at};
use crate::connector::folder::{self, Problems};
use crate::connector::yaml::Document;

/// The keys of an option.
pub(crate) const OPTION_KEYS: [&str; 15] = [
    "account",
    "baseUri",
    "customCredentialsSchema",
    "defaults",
    "description",
    "disconnect",
    "extends",
    "helpUri",
    "inputs",
    "openParameters",
    "parameters",
    "scopes",
    "steps",
    "test",
    "title",
];

/// Keys about the API, which options inherit even if they extend another generic connector.
const OF_THE_API: [&str; 3] = ["account", "baseUri", "test"];

/// Objects whose members are inherited one by one.
const OBJECTS: [&str; 4] = ["defaults", "inputs", "openParameters", "parameters"];

/// Parameters that every generic connector has for the API. They, too, are inherited by member.
const API_PARAMETERS: [&str; 2] = ["headers", "query"];

/// One way to connect, as a preset of its own.
pub(crate) struct Way {
    /// Its key among the options.
    pub(crate) key: String,
    /// The generic connector that it extends.
    pub(crate) generic: Arc<GenericConnector>,
    /// Everything that it says or inherits, with the lines of the preset.
    pub(crate) document: Document,
}

/// Returns the ways to connect of a preset, the one of its top level first. Problems are added to the list, and ways that
/// have some may be missing.
pub(crate) fn all(preset: &Document, file: &str, find: FindGeneric<'_>, problems: &mut Problems) -> Vec<Way> {
    let mut reader = Reader { preset, file, find, problems };
    let Some(first) = reader.generic("") else { return Vec::new() };
    let key = first.key().to_owned();
    let mut ways = vec![Way { key, generic: Arc::clone(&first), document: preset.clone() }];
    ways.extend(reader.options(&first));
    ways
}

struct Reader<'a> {
    preset: &'a Document,
    file: &'a str,
    find: FindGeneric<'a>,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    /// The generic connector that the top level or an option names.
    fn generic(&mut self, place: &str) -> Option<Arc<GenericConnector>> {
        let at = format!("{place}/extends");
        let Some(key) = self.preset.value.pointer(&at).and_then(Value::as_str) else {
            let help = "add `extends: oauth2`, or the key of another generic connector";
            self.problem(&at, "`extends` is missing".to_owned(), help);
            return None;
        };
        match (self.find)(key) {
            Ok(generic) => Some(generic),
            Err(message) => {
                let help = "extend a connector that has `presets` in its spec.yml, such as `oauth2` or `api-key`";
                self.problem(&at, message, help);
                None
            }
        }
    }

    fn options(&mut self, first: &Arc<GenericConnector>) -> Vec<Way> {
        let options = match self.preset.value.get("options") {
            None => return Vec::new(),
            Some(Value::Object(options)) if !options.is_empty() => options,
            Some(_) => {
                let help = "write each further way to connect under a key, such as `token:`";
                self.problem("/options", "`options` must be an object".to_owned(), help);
                return Vec::new();
            }
        };
        options.iter().filter_map(|(key, option)| self.option(key, option, first)).collect()
    }

    fn option(&mut self, key: &str, option: &Value, first: &Arc<GenericConnector>) -> Option<Way> {
        let place = at("options", key);
        if !folder::is_key(key) {
            let help = "use letters, digits, `_`, `.` and `-`, as in `api-key`";
            self.problem(&place, format!("`{key}` cannot be the key of an option"), help);
            return None;
        }
        if key == first.key() {
            let message = format!("`{key}` is the key of the way to connect that the top level describes");
            self.problem(&place, message, "choose another key, such as `token`");
            return None;
        }
        let Value::Object(own) = option else {
            let help = "write `extends:` and what differs from the top level under it";
            self.problem(&place, format!("the option `{key}` must be an object"), help);
            return None;
        };
        let generic = if own.contains_key("extends") { self.generic(&place)? } else { Arc::clone(first) };
        let document = self.merged(own, &place, first);
        Some(Way { key: key.to_owned(), generic, document })
    }

    /// An option merged over what it inherits.
    fn merged(&self, own: &Map<String, Value>, place: &str, first: &GenericConnector) -> Document {
        let is_another = own.contains_key("extends");
        let mut merged = inherited(&self.preset.value, is_another, first);
        let fixed = own.get("parameters").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        for name in fixed {
            for object in ["openParameters", "defaults"] {
                if let Some(members) = merged.get_mut(object).and_then(Value::as_object_mut) {
                    members.shift_remove(name);
                }
            }
            if name == "scopes" {
                merged.shift_remove("scopes");
            }
        }
        for (key, value) in own {
            match merged.get_mut(key) {
                Some(lower) if OBJECTS.contains(&key.as_str()) => merge(lower, value, key == "parameters"),
                _ => {
                    merged.insert(key.clone(), value.clone());
                }
            }
        }
        if let Some(name) = self.preset.value.get("name") {
            merged.insert("name".to_owned(), name.clone());
        }
        let mut document = Document::made(merged.into(), self.preset.line(place).unwrap_or(1));
        for key in merged_keys().filter(|key| *key != "extends") {
            document.place(&format!("/{key}"), self.preset, &format!("/{key}"));
        }
        document.place("", self.preset, place);
        document
    }

    fn problem(&mut self, at: &str, message: String, help: &str) {
        self.problems.add(self.file, self.preset.line(at), message, help.to_owned());
    }
}

/// Returns what an option inherits: everything, or, with another generic connector, all that is about the API. Parameters
/// and inputs are about the API if the preset adds them to its generic connector.
fn inherited(preset: &Value, is_another: bool, first: &GenericConnector) -> Map<String, Value> {
    let values = merged_keys().filter_map(|key| Some((key, preset.get(key)?)));
    let about_the_api = |key: &str, name: &str| match key {
        "inputs" => first.input(name).is_none(),
        "parameters" => API_PARAMETERS.contains(&name),
        _ => first.parameter(name).is_none(),
    };
    let values = values.filter_map(|(key, value)| match value {
        _ if !is_another || OF_THE_API.contains(&key) => Some((key.to_owned(), value.clone())),
        Value::Object(members) if OBJECTS.contains(&key) => {
            let members = members.iter().filter(|(name, _)| about_the_api(key, name));
            let members: Map<_, _> = members.map(|(name, value)| (name.clone(), value.clone())).collect();
            Some((key.to_owned(), members.into()))
        }
        _ => None,
    });
    values.collect()
}

fn merged_keys() -> impl Iterator<Item = &'static str> {
    OPTION_KEYS.into_iter().chain(["lifetimes"])
}

/// Merges the members of an object over another's; those of plain objects in it, too, if `is_deep`.
fn merge(lower: &mut Value, upper: &Value, is_deep: bool) {
    match (lower, upper) {
        (Value::Object(lower), Value::Object(upper)) if !is_formula(lower) && !is_formula(upper) => {
            for (name, value) in upper {
                match lower.get_mut(name) {
                    Some(before) if is_deep => merge(before, value, false),
                    _ => {
                        lower.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (lower, upper) => *lower = upper.clone(),
    }
}

fn is_formula(object: &Map<String, Value>) -> bool {
    object.keys().next().is_some_and(|key| key.starts_with('$'))
}
