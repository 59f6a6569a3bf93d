//! Expands a preset into the `spec.yml` of an ordinary connector.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::template::Names;
use super::ways::{self, Way};
use super::{ExpandedPreset, FindGeneric, GenericConnector, at, parse_file};
use crate::connector::folder::Problems;
use crate::connector::yaml::Document;
use crate::connector::{FolderProblem, FunctionName, pointer, schema, spelling};

/// The variable that functions see the integration's parameters in.
const PARAMETERS: &str = "connectorParameters.";

/// Stands for the variable in names of closed parameters, so that they have no value and count as no secret.
pub(crate) const CLOSED: &str = "closed";

/// The parameter of every generic connector that `baseUri` takes the place of.
pub(crate) const TEST_URI: &str = "testUri";

/// Keys that are copied to `spec.yml` as they are.
const COPIED: [&str; 9] =
    ["logoUri", "apiDocsUri", "categories", "aliases", "evidence", "lifetimes", "quirks", "setup", "testReason"];

/// Expands a preset. `file` is its name, for problems.
///
/// # Errors
/// Everything that keeps it from being used, by line.
pub fn expand(key: &str, file: &str, text: &str, find: FindGeneric<'_>) -> Result<ExpandedPreset, Vec<FolderProblem>> {
    expand_document(key, file, &parse_file(file, text)?, find).1
}

/// Expands a preset that is parsed already. Also returns its ways to connect; those that have problems may be missing.
pub(crate) fn expand_document(
    key: &str,
    file: &str,
    preset: &Document,
    find: FindGeneric<'_>,
) -> (Vec<Way>, Result<ExpandedPreset, Vec<FolderProblem>>) {
    let mut problems = Problems::default();
    let ways = ways::all(preset, file, find, &mut problems);
    let expanded = ways.iter().map(|way| expand_way(way, key, file, &mut problems));
    let expanded: Vec<ExpandedWay> = expanded.collect();
    let problems = problems.into_sorted();
    let result = if problems.is_empty() { Ok(assembled(key, preset, &ways, &expanded)) } else { Err(problems) };
    (ways, result)
}

/// A way to connect in the form of an `auth` section.
struct ExpandedWay {
    auth: Document,
    open: Fields,
}

fn expand_way(way: &Way, key: &str, file: &str, problems: &mut Problems) -> ExpandedWay {
    let mut expander = Expander {
        generic: &way.generic,
        file,
        preset: &way.document,
        names: Names::new(),
        open: BTreeSet::new(),
        values: BTreeMap::new(),
        faulty: BTreeSet::new(),
        places: Vec::new(),
        problems,
    };
    expander.expand(key)
}

/// Puts the ways together. If there are several, each becomes an option.
fn assembled(key: &str, preset: &Document, ways: &[Way], expanded: &[ExpandedWay]) -> ExpandedPreset {
    let is_only = ways.len() == 1;
    let name = preset.value.get("name").and_then(Value::as_str).unwrap_or(key);
    let mut spec = json!({ "name": name, "key": key });
    let schema = schema_of_all(expanded);
    if !schema.is_null() {
        spec["parametersSchema"] = schema;
    }
    spec["auth"] = if is_only { expanded[0].auth.value.clone() } else { json!({ "options": options(ways, expanded) }) };
    let copied = COPIED.into_iter().filter_map(|key| Some((key, preset.value.get(key)?)));
    let copied: Vec<_> = copied.filter(|(_, value)| !value.is_null()).collect();
    for (key, value) in &copied {
        spec[key] = (*value).clone();
    }
    let is_untested = |way: &Way| way.document.value.get("test").is_some_and(|test| test == "none");
    if ways.iter().any(is_untested) && spec.get("testReason").is_none() {
        spec["testReason"] = "".into();
    }
    let mut document = Document::made(spec, preset.line("/extends").unwrap_or(1));
    for key in copied.into_iter().map(|(key, _)| key).chain(["name"]) {
        document.place(&format!("/{key}"), preset, &format!("/{key}"));
    }
    for (way, ExpandedWay { auth, .. }) in ways.iter().zip(expanded) {
        let place = if is_only { "/auth".to_owned() } else { pointer::child("/auth/options", &way.key) };
        document.place(&place, auth, "");
        for at in ["/parametersSchema/properties".to_owned(), format!("{place}/parametersSchema/properties")] {
            document.place(&at, &way.document, "/openParameters");
        }
    }
    let is_open = |name: &str| expanded.iter().any(|way| way.open.properties.contains_key(name));
    let parameters = ways.iter().flat_map(|way| way.generic.parameters());
    let fixed = parameters.filter(|name| !is_open(name)).map(str::to_owned).collect();
    let generics = ways.iter().map(|way| way.generic.key().to_owned()).collect();
    ExpandedPreset { spec: document, fixed, generics }
}

/// The ways as options of a connector.
fn options(ways: &[Way], expanded: &[ExpandedWay]) -> Map<String, Value> {
    let of_first = &expanded[0].open.required;
    let options = ways.iter().zip(expanded).enumerate().map(|(index, (way, ExpandedWay { auth, open }))| {
        let mut option = auth.value.clone();
        let schema = open.schema();
        if !schema.is_null() {
            option["parametersSchema"] = schema;
        }
        if let Some(enabled) = enabled(&open.required) {
            option["enabled"] = enabled;
        }
        if index > 0 && open.required.iter().all(|name| of_first.contains(name)) {
            option["isAlternative"] = true.into();
        }
        (way.key.clone(), option)
    });
    options.collect()
}

/// An option is open only to integrations that have what it requires.
fn enabled(required: &[String]) -> Option<Value> {
    let given = |name: &String| json!({ "$eval": { "$var": format!("{PARAMETERS}{name}") }, "isNotEmpty": true });
    let conditions: Vec<Value> = required.iter().map(given).collect();
    match conditions.len() {
        0 => None,
        1 => conditions.into_iter().next(),
        _ => Some(json!({ "$and": conditions })),
    }
}

/// The schema of an integration's parameters, which need to suffice for one of the ways. Those that are required together
/// are given together, or not at all.
fn schema_of_all(ways: &[ExpandedWay]) -> Value {
    let open: Vec<&Fields> = ways.iter().map(|way| &way.open).collect();
    let mut all = Fields::default();
    for fields in &open {
        for (name, property) in &fields.properties {
            all.properties.entry(name.clone()).or_insert_with(|| property.clone());
        }
    }
    let is_common = |name: &String| open.iter().all(|fields| fields.required.contains(name));
    all.required = open[0].required.iter().filter(|name| is_common(name)).cloned().collect();
    let mut dependencies = Map::new();
    for name in all.properties.keys().filter(|name| !is_common(name)) {
        let mut together = open.iter().map(|fields| &fields.required).filter(|required| required.contains(name));
        let Some(first) = together.next() else { continue };
        let together: Vec<_> = together.collect();
        let others = first.iter().filter(|other| *other != name && !is_common(other));
        let others: Vec<_> = others.filter(|other| together.iter().all(|required| required.contains(other))).collect();
        if !others.is_empty() {
            dependencies.insert(name.clone(), json!(others));
        }
    }
    let mut schema = all.schema();
    if !dependencies.is_empty() {
        schema["dependencies"] = dependencies.into();
    }
    schema
}

struct Expander<'a> {
    generic: &'a GenericConnector,
    file: &'a str,
    preset: &'a Document,
    names: Names,
    open: BTreeSet<String>,
    /// The replacements of parameters, with the pointers to them in the preset.
    values: BTreeMap<String, (Value, String)>,
    /// Parameters whose values have a problem.
    faulty: BTreeSet<String>,
    /// Pointers in the `auth` section, and where they come from in the preset.
    places: Vec<(String, String)>,
    problems: &'a mut Problems,
}

/// A schema's properties, and the names of those that are required.
#[derive(Default)]
struct Fields {
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Expander<'_> {
    fn expand(&mut self, key: &str) -> ExpandedWay {
        let preset = &self.preset.value;
        let name = preset.get("name").and_then(Value::as_str).unwrap_or(key);
        let inputs = self.inputs();
        let open = self.open_parameters();
        self.open = open.properties.keys().cloned().collect();
        self.name_fields(&inputs, &open);
        self.read_values(&open);
        let mut auth = self.generic.spec["auth"].clone();
        auth["title"] = self.text_for_users("title", name);
        auth["description"] = self.text_for_users("description", name);
        auth["inputSchema"] = inputs.schema();
        if let Some(help) = preset.get("helpUri") {
            auth["ui"] = json!({ "helpUri": help });
        }
        if let Some(schema) = preset.get("customCredentialsSchema") {
            auth["customCredentialsSchema"] = schema.clone();
        }
        self.replace_functions(&mut auth);
        self.check_required(&auth);
        if let Value::Object(auth) = &mut auth {
            auth.retain(|_, value| !value.is_null());
        }
        ExpandedWay { auth: self.placed(auth), open }
    }

    /// The `auth` section with the preset's lines.
    fn placed(&self, auth: Value) -> Document {
        let line = |at: &str| self.preset.line(at).unwrap_or(1);
        let mut document = Document::made(auth, line("/extends"));
        for (at, from) in [
            ("/inputSchema/properties", "/inputs"),
            ("/customCredentialsSchema", "/customCredentialsSchema"),
            ("/title", "/title"),
            ("/description", "/description"),
            ("/ui/helpUri", "/helpUri"),
            ("/test", "/test"),
            ("/test/mapping", "/test"),
            ("/getAccount/mapping", "/account"),
            ("/disconnect/mapping", "/disconnect"),
        ] {
            document.place(at, self.preset, from);
        }
        for (at, from) in &self.places {
            document.place(at, self.preset, from);
        }
        document
    }

    /// The end user's fields: those that presets inherit, changed and extended by `inputs`.
    fn inputs(&mut self) -> Fields {
        let schema = &self.generic.spec["auth"]["inputSchema"];
        let inherited = self.generic.listed("inputs");
        self.fields("inputs", schema, &inherited, &required(schema))
    }

    /// The parameters that integrations set: those that presets leave open, changed and extended by `openParameters`, and
    /// those that have a default here.
    fn open_parameters(&mut self) -> Fields {
        let schema = &self.generic.spec["parametersSchema"];
        let mut open = self.generic.listed("open");
        open.retain(|name| self.preset.value.pointer(&at("parameters", name)).is_none());
        let defaults = self.defaults();
        open.extend(defaults.keys().map(String::as_str).filter(|name| self.generic.parameter(name).is_some()));
        let mut fields = self.fields("openParameters", schema, &open, &self.generic.listed("required"));
        fields.required.retain(|name| !defaults.contains_key(name));
        for (name, default) in &defaults {
            let Some(property) = fields.properties.get_mut(name) else {
                let message = format!("`{name}` has a default, but is not a parameter");
                self.problem("/defaults", message, "describe it in `openParameters`");
                continue;
            };
            if let (None, Some(description)) = (property.get("description"), described(default)) {
                property["description"] = description.into();
            }
        }
        fields
    }

    fn fields(&mut self, key: &str, schema: &Value, inherited: &[&str], required: &[&str]) -> Fields {
        let mut fields = Fields::default();
        let base = |name: &str| schema["properties"].get(name).cloned();
        for name in inherited {
            if let Some(property) = base(name) {
                fields.properties.insert((*name).to_owned(), property);
                fields.required.extend(required.iter().filter(|it| *it == name).map(|it| (*it).to_owned()));
            }
        }
        for (name, own) in self.object(key) {
            fields.required.retain(|required| *required != name);
            let Value::Object(mut own) = own else {
                if own.is_null() {
                    fields.properties.shift_remove(&name);
                } else {
                    let help = "write `title`, `description`, `example` and `pattern` under it";
                    self.problem(&at(key, &name), format!("`{name}` must be an object, or null to remove it"), help);
                }
                continue;
            };
            if own.remove("isOptional") != Some(Value::Bool(true)) {
                fields.required.push(name.clone());
            }
            if let Some(example) = own.remove("example") {
                own.insert("examples".to_owned(), json!([example]));
            }
            if own.get("isSensitive") == Some(&Value::Bool(true)) {
                own.entry("format").or_insert_with(|| "password".into());
            }
            let mut property = match fields.properties.get(&name).cloned().or_else(|| base(&name)) {
                Some(Value::Object(property)) => property,
                _ => Map::from_iter([("type".to_owned(), "string".into())]),
            };
            property.extend(own);
            fields.properties.insert(name, property.into());
        }
        fields
    }

    fn defaults(&mut self) -> Map<String, Value> {
        let mut defaults = self.object("defaults");
        if let Some(scopes) = self.preset.value.get("scopes").filter(|scopes| !scopes.is_null()) {
            defaults.insert("scopes".to_owned(), scopes.clone());
        }
        defaults
    }

    /// The names that templates may use.
    fn name_fields(&mut self, inputs: &Fields, open: &Fields) {
        let owner = if self.generic.is_entered() { "credentials" } else { "connectionParameters" };
        let defaults = self.defaults();
        for name in open.properties.keys() {
            let expression = with_default(json!({ "$var": format!("{PARAMETERS}{name}") }), defaults.get(name));
            self.names.add(name, expression);
        }
        for name in inputs.properties.keys() {
            self.names.add(name, json!({ "$var": format!("{owner}.{name}") }));
        }
    }

    /// Reads the values of the generic connector's parameters: fixed ones, and defaults of open ones.
    fn read_values(&mut self, open: &Fields) {
        for (name, value) in self.object("parameters") {
            let from = at("parameters", &name);
            if self.generic.parameter(&name).is_none() {
                let known: Vec<&str> = self.generic.parameters().collect();
                let message = format!("`{}` has no parameter `{name}`", self.generic.key());
                let help = match spelling::nearest(&name, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("its parameters are {}", known.join(", ")),
                };
                self.problem(&from, message, &help);
            } else if open.properties.contains_key(&name) {
                let help = "keep it in either `parameters`, or `openParameters` and `defaults`";
                self.problem(&from, format!("`{name}` is both fixed and open"), help);
            } else if !value.is_null() {
                self.set(&name, &value, from);
            }
        }
        if let Some(base) = self.preset.value.get("baseUri") {
            self.set(TEST_URI, base, "/baseUri".to_owned());
        }
        let has_default_lifetime = self.generic.parameter("defaultExpiresIn").is_some();
        if let Some(lifetime) = self.lifetime().filter(|_| has_default_lifetime)
            && !self.values.contains_key("defaultExpiresIn")
        {
            self.set("defaultExpiresIn", &lifetime, "/lifetimes/accessToken".to_owned());
        }
        for (name, default) in self.defaults() {
            let from = if name == "scopes" { "/scopes".to_owned() } else { at("defaults", &name) };
            let own = json!({ "$var": format!("{PARAMETERS}{name}") });
            self.values.insert(name, (with_default(own, Some(&default)), from));
        }
    }

    fn lifetime(&self) -> Option<Value> {
        self.preset.value.pointer("/lifetimes/accessToken").filter(|lifetime| !lifetime.is_null()).cloned()
    }

    fn set(&mut self, name: &str, value: &Value, from: String) {
        match self.names.fill(value) {
            Ok(value) => {
                self.values.insert(name.to_owned(), (value, from));
            }
            Err(message) => {
                self.faulty.insert(name.to_owned());
                self.problem(&from, message, "describe it in `inputs` or `openParameters`");
            }
        }
    }

    fn replace_functions(&mut self, auth: &mut Value) {
        for name in FunctionName::ALL {
            let at = format!("/{}/mapping", name.spec_key());
            if let Some(mapping) = auth.get(name.spec_key()).and_then(|entry| entry.get("mapping")).cloned() {
                auth[name.spec_key()]["mapping"] = self.substituted(mapping, &at);
            }
        }
        let rest = |mapping: Value| json!({ "implementationType": "rest-api-mapping", "mapping": mapping });
        let preset = self.preset;
        match preset.value.get("test") {
            None => {}
            Some(none) if none == "none" => auth["test"] = json!({ "implementationType": "not-supported" }),
            Some(test) => auth["test"] = rest(self.request(test, "/test")),
        }
        if let Some(disconnect) = preset.value.get("disconnect") {
            auth["disconnect"] = rest(self.request(disconnect, "/disconnect"));
        }
        if let Some(account) = preset.value.get("account").and_then(Value::as_object) {
            let mapping: Map<_, _> = account.iter().map(|(key, value)| (key.clone(), located(value))).collect();
            auth["getAccount"] = json!({ "implementationType": "mapping", "mapping": mapping });
        }
        if let Some(steps) = preset.value.get("steps") {
            self.chain(steps, auth);
        }
        let refresh = FunctionName::RefreshCredentials.spec_key();
        if let (Some(lifetime), Some(entry)) = (self.lifetime(), auth.get_mut(refresh)) {
            entry["defaultExpiresIn"] = lifetime;
        }
    }

    /// Replaces the requests that get credentials by a chain.
    fn chain(&mut self, steps: &Value, auth: &mut Value) {
        let minting = FunctionName::GetCredentialsFromConnectionParameters;
        if auth.get(minting.spec_key()).is_none() {
            let message = format!("`{}` makes no requests for credentials", self.generic.key());
            return self.problem("/steps", message, "remove `steps`, or extend `two-step`");
        }
        let steps = steps.as_array().map(Vec::as_slice).unwrap_or_default();
        let requests = steps.iter().enumerate().map(|(index, step)| self.request(step, &format!("/steps/{index}")));
        let mut requests: Vec<Value> = requests.collect();
        let Some(mut last) = requests.pop() else {
            return self.problem(
                "/steps",
                "`steps` must be a list of requests".to_owned(),
                "write `- path: https://…`",
            );
        };
        for name in [minting, FunctionName::RefreshCredentials] {
            let at = format!("/{}/mapping", name.spec_key());
            self.places.push((at.clone(), format!("/steps/{}", requests.len())));
            let before = (0..requests.len()).map(|index| (format!("{at}/before/{index}"), format!("/steps/{index}")));
            self.places.extend(before);
        }
        if !requests.is_empty() {
            last["before"] = requests.into();
        }
        for name in [minting, FunctionName::RefreshCredentials] {
            if let Some(entry) = auth.get_mut(name.spec_key()) {
                entry["mapping"] = last.clone();
            }
        }
    }

    /// A REST mapping: a path alone is a GET, and templates are filled in.
    fn request(&mut self, given: &Value, from: &str) -> Value {
        let mut request = match given {
            Value::String(path) => Map::from_iter([("path".to_owned(), Value::from(path.as_str()))]),
            Value::Object(request) => request.clone(),
            _ => {
                let message = format!("`{}` must be a path or a request", from.trim_start_matches('/'));
                self.problem(from, message, "write a path such as /me, or `path`, `method` and `requestMapping`");
                return Value::Null;
            }
        };
        request.entry("method").or_insert_with(|| "get".into());
        let path = request.get("path").and_then(Value::as_str).unwrap_or_default();
        let own = request.get("requestMapping").cloned().unwrap_or_else(|| json!({}));
        match (self.names.path_parameters(path), self.names.fill(&own)) {
            (Ok(parameters), Ok(Value::Object(mut filled))) => {
                if !parameters.is_empty() {
                    filled.entry("pathParameters").or_insert_with(|| parameters.into());
                }
                if !filled.is_empty() {
                    request.insert("requestMapping".to_owned(), filled.into());
                }
            }
            (Err(message), _) | (_, Err(message)) => {
                self.problem(from, message, "describe it in `inputs` or `openParameters`");
            }
            (Ok(_), Ok(_)) => {}
        }
        request.into()
    }

    /// Replaces the parameters in one of the generic connector's mappings.
    fn substituted(&mut self, expression: Value, at: &str) -> Value {
        if let Some(name) = expression.get("$var").and_then(Value::as_str).and_then(|it| it.strip_prefix(PARAMETERS)) {
            return match self.values.get(name) {
                Some((value, from)) => {
                    self.places.push((at.to_owned(), from.clone()));
                    value.clone()
                }
                None if self.is_open(name) => expression,
                None => json!({ "$var": format!("{CLOSED}.{name}") }),
            };
        }
        if let Some(text) = expression.get("$jsonata").and_then(Value::as_str) {
            return json!({ "$jsonata": self.substituted_in_jsonata(text) });
        }
        match expression {
            Value::Array(items) => {
                let items = items.into_iter().enumerate();
                items.map(|(index, item)| self.substituted(item, &format!("{at}/{index}"))).collect()
            }
            Value::Object(object) => {
                let members = object.into_iter();
                let members = members.map(|(key, value)| {
                    let value = self.substituted(value, &pointer::child(at, &key));
                    (key, value)
                });
                members.collect::<Map<_, _>>().into()
            }
            other => other,
        }
    }

    /// Replaces the parameters in a JSONata expression, where only plain values can stand.
    fn substituted_in_jsonata(&mut self, text: &str) -> String {
        let mut parts = text.split(PARAMETERS);
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            match self.values.get(name).cloned() {
                Some((value @ (Value::String(_) | Value::Number(_) | Value::Bool(_)), _)) => {
                    result += &value.to_string()
                }
                Some((_, from)) => {
                    let help = format!("`{}` needs a plain value here", self.generic.key());
                    self.problem(&from, format!("`{name}` cannot be a formula or a template"), &help);
                }
                None if self.is_open(name) => result += &format!("{PARAMETERS}{name}"),
                None => result += &format!("{CLOSED}.{name}"),
            }
            result += rest;
        }
        result
    }

    fn is_open(&self, name: &str) -> bool {
        self.open.contains(name)
    }

    /// Reports required parameters that functions need, but that are neither fixed nor open.
    fn check_required(&mut self, auth: &Value) {
        let used = auth.to_string();
        for name in required(&self.generic.spec["parametersSchema"]) {
            let is_given = self.is_open(name) || self.values.contains_key(name) || self.faulty.contains(name);
            if is_given || !used.contains(&format!("\"{CLOSED}.{name}\"")) {
                continue;
            }
            let (message, help) = if name == TEST_URI {
                ("`baseUri` is missing".to_owned(), "add the address of the API, and a `test` under it".to_owned())
            } else {
                (
                    format!("`{name}` is missing; `{}` requires it", self.generic.key()),
                    "add it to `parameters`".to_owned(),
                )
            };
            self.problem("/parameters", message, &help);
        }
    }

    /// The title or description for end users: the preset's own, or else the generic connector's with the name.
    fn text_for_users(&self, key: &str, name: &str) -> Value {
        let own = self.preset.value.get(key).cloned();
        let common = || Some(self.generic.spec["presets"].get(key)?.as_str()?.replace("{name}", name).into());
        own.or_else(common).unwrap_or_default()
    }

    fn object(&mut self, key: &str) -> Map<String, Value> {
        match self.preset.value.get(key) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(object)) => object.clone(),
            Some(_) => {
                self.problem(
                    &format!("/{key}"),
                    format!("`{key}` must be an object"),
                    "write names and values under it",
                );
                Map::new()
            }
        }
    }

    fn problem(&mut self, at: &str, message: String, help: &str) {
        self.problems.add(self.file, self.preset.line(at), message, help.to_owned());
    }
}

impl Fields {
    fn schema(&self) -> Value {
        if self.properties.is_empty() {
            return Value::Null;
        }
        let own = json!({ "type": "object", "properties": self.properties });
        let required = (!self.required.is_empty()).then(|| json!({ "required": self.required }));
        schema::merged(Some(own), required).unwrap_or_default()
    }
}

fn required(schema: &Value) -> Vec<&str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn with_default(own: Value, default: Option<&Value>) -> Value {
    match default {
        Some(default) => json!({ "$firstNotEmpty": [own, default] }),
        None => own,
    }
}

/// Tells integrators what a default is.
fn described(default: &Value) -> Option<String> {
    Some(match default {
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            match items.as_slice() {
                [] => return None,
                [only] => format!("Replaces the default, {only}."),
                [first @ .., last] => format!("Replaces the defaults, {} and {last}.", first.join(", ")),
            }
        }
        Value::String(text) => format!("Defaults to {text}."),
        Value::Number(number) => format!("Defaults to {number}."),
        _ => return None,
    })
}

/// A part of the account: a locator, or several of which the first with a value counts.
fn located(value: &Value) -> Value {
    match value {
        Value::String(locator) => json!({ "$var": locator }),
        Value::Array(locators) => json!({ "$firstNotEmpty": locators.iter().map(located).collect::<Vec<_>>() }),
        formula => formula.clone(),
    }
}
