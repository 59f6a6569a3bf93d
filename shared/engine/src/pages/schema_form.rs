//! A schema as the fields of a form, and a submitted form as the JSON that the schema describes.
//!
//! A field's name is its path in the value as a JSON Pointer, in front of which is the form's name: `input/account/id`.
//!
//! # Decisions
//!
//! A string that does not fit its field's type is kept as a string, so that the schema reports it like any other wrong value.
//!
//! A date with a time is entered in UTC: without a script, a page does not know the visitor's time zone.
//!
//! A secret is never shown, and neither is JSON with a member that is named like a secret. Left empty, such a field keeps its
//! value. An optional one has a checkbox that removes it: a field `remove` with its name.

use larder::credentials::is_secret_name;
use larder::http::Parameters;
use serde_json::{Map, Number, Value};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::connector::secrecy::is_hidden;
use crate::connector::{pointer, schema};

/// The name of the checkboxes that remove a value.
const REMOVE: &str = "remove";

/// The fields of a form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemaForm {
    pub(super) fields: Vec<Field>,
}

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    /// The form's name.
    form: &'static str,
    pub(super) path: Vec<String>,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) help_uri: Option<String>,
    /// An example of a value that is typed.
    pub(super) example: Option<String>,
    pub(super) is_required: bool,
    pub(super) default: Option<Value>,
    /// Whether the schema or the name says that the value is secret.
    is_hidden: bool,
    pub(super) control: Control,
}

/// Stored values as a form shows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShownValues {
    /// The values that are not secret.
    pub values: Map<String, Value>,
    /// The paths of the others.
    pub(super) hidden: Vec<Vec<String>>,
    /// Those that the form is about to remove.
    pub(super) removed: Vec<Vec<String>>,
}

/// The way in which a value is entered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Control {
    /// The fields of an object.
    Group(Vec<Field>),
    /// One line.
    Line(LineKind),
    /// A string of several lines.
    Block { is_secret: bool },
    /// A number.
    Number { is_whole: bool },
    /// Yes or no.
    Checkbox,
    /// One of several values.
    Choice(Vec<Choice>),
    /// A list of strings, one per line.
    List,
    /// Any other value, in JSON.
    Json,
    /// The only value.
    Constant(Value),
}

/// The kinds of one-line strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineKind {
    Text,
    Secret,
    Email,
    Url,
    Date,
    Time,
}

/// A value to choose.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) value: Value,
    pub(super) label: String,
}

impl SchemaForm {
    /// Returns the fields of an object's schema, in its order. Objects in objects are shown as groups; deeper ones are
    /// entered as JSON.
    pub fn new(schema: Option<&Value>) -> Self {
        Self::named("input", schema)
    }

    /// Returns the fields of one of several forms on a page.
    pub fn named(form: &'static str, schema: Option<&Value>) -> Self {
        let above = Above { form, path: &[], is_hidden: false };
        Self { fields: schema.map(|schema| fields(schema, schema, above)).unwrap_or_default() }
    }

    /// Leaves out the fields of these members, which the end user cannot change.
    #[must_use]
    pub fn without(mut self, locked: &Map<String, Value>) -> Self {
        self.fields.retain(|field| !field.path.first().is_some_and(|name| locked.contains_key(name)));
        self
    }

    /// Whether there is nothing to enter.
    pub fn is_empty(&self) -> bool {
        self.leaves().all(|field| matches!(field.control, Control::Constant(_)))
    }

    /// Whether it has secret fields.
    pub fn has_secrets(&self) -> bool {
        self.leaves().any(Field::is_secret)
    }

    /// Whether a field has no value in an input.
    pub fn has_field_without(&self, input: &Map<String, Value>) -> bool {
        let shown = self.leaves().filter(|field| !matches!(field.control, Control::Constant(_)));
        shown.into_iter().any(|field| get(input, &field.path).is_none())
    }

    /// Reads a submitted form. Values that the page did not show are taken from `given`: secrets that were left empty and not
    /// removed, and members that have no field. An optional field that was left empty is absent.
    pub fn read(&self, submitted: &Parameters, given: &Map<String, Value>) -> Map<String, Value> {
        let mut input = given.clone();
        for field in self.leaves() {
            match field.read(submitted) {
                Some(value) => put(&mut input, &field.path, value),
                None if field.is_removed(submitted) => remove(&mut input, &field.path),
                None if field.is_secret() => {}
                None if get(given, &field.path).is_some_and(|given| field.hides(given)) => {}
                None => remove(&mut input, &field.path),
            }
        }
        // The fields of a missing group could not be reported one by one.
        for group in self.fields.iter().filter(|field| field.is_required && matches!(field.control, Control::Group(_)))
        {
            if get(&input, &group.path).is_none() {
                put(&mut input, &group.path, Map::new().into());
            }
        }
        input
    }

    /// Removes the secrets from an input.
    pub fn without_secrets(&self, mut input: Map<String, Value>) -> Map<String, Value> {
        for field in self.leaves().filter(|field| field.is_secret()) {
            remove(&mut input, &field.path);
        }
        input
    }

    /// Returns the values that have a field, as the form shows them.
    pub fn shown(&self, stored: &Map<String, Value>) -> ShownValues {
        let mut shown = ShownValues::default();
        for field in self.leaves() {
            match get(stored, &field.path) {
                Some(value) if field.hides(value) => shown.hidden.push(field.path.clone()),
                Some(value) => put(&mut shown.values, &field.path, value.clone()),
                None => {}
            }
        }
        shown
    }

    /// Returns the paths of the values that a submitted form removes.
    pub(super) fn removed(&self, submitted: &Parameters) -> Vec<Vec<String>> {
        self.leaves().filter(|field| field.is_removed(submitted)).map(|field| field.path.clone()).collect()
    }

    /// Returns an input with only its secrets.
    pub fn secrets(&self, input: &Map<String, Value>) -> Map<String, Value> {
        let mut secrets = Map::new();
        for field in self.leaves().filter(|field| field.is_secret()) {
            if let Some(value) = get(input, &field.path) {
                put(&mut secrets, &field.path, value.clone());
            }
        }
        secrets
    }

    /// Returns the fields, with those of groups instead of the groups.
    pub(super) fn leaves(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().flat_map(|field| match &field.control {
            Control::Group(fields) => fields.iter(),
            _ => std::slice::from_ref(field).iter(),
        })
    }
}

impl Field {
    /// Returns the name of its control.
    pub(super) fn name(&self) -> String {
        self.path.iter().fold(self.form.to_owned(), |at, name| pointer::child(&at, name))
    }

    /// Whether its value is never shown.
    pub(super) fn is_secret(&self) -> bool {
        match self.control {
            Control::Line(kind) => kind == LineKind::Secret,
            Control::Block { is_secret } => is_secret,
            Control::Number { .. } | Control::List | Control::Json => self.is_hidden,
            Control::Group(_) | Control::Checkbox | Control::Choice(_) | Control::Constant(_) => false,
        }
    }

    /// Whether a value is not shown in it.
    fn hides(&self, value: &Value) -> bool {
        self.is_secret() || (self.control == Control::Json && has_secret_member(value))
    }

    /// Whether a submitted form removes its value, unless it has another one.
    fn is_removed(&self, submitted: &Parameters) -> bool {
        submitted.iter().any(|(name, field)| name == REMOVE && field == self.name())
    }

    /// Returns the submitted value.
    fn read(&self, submitted: &Parameters) -> Option<Value> {
        let name = self.name();
        let text = submitted.iter().find(|(it, _)| *it == name).map(|(_, text)| text).unwrap_or_default();
        match &self.control {
            Control::Checkbox => return Some(Value::Bool(!text.is_empty())),
            Control::Constant(value) => return self.is_required.then(|| value.clone()),
            _ if text.trim().is_empty() => return None,
            _ => {}
        }
        // Browsers send line breaks as CR LF.
        let lines = || text.replace("\r\n", "\n");
        Some(match &self.control {
            Control::Number { .. } => number(text.trim()).map_or_else(|| text.into(), Value::Number),
            Control::Choice(choices) => {
                let chosen = choices.iter().find(|choice| value_text(&choice.value) == text);
                chosen.map_or_else(|| text.into(), |choice| choice.value.clone())
            }
            Control::List => lines().lines().map(str::trim).filter(|line| !line.is_empty()).collect(),
            Control::Json => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
            Control::Line(LineKind::Time) => with_zone(text).into(),
            Control::Block { .. } => lines().into(),
            _ => text.into(),
        })
    }

    /// Returns the text that shows a value in its control.
    pub(super) fn text(&self, value: &Value) -> String {
        match (&self.control, value) {
            (Control::List, Value::Array(items)) => items.iter().map(value_text).collect::<Vec<_>>().join("\n"),
            (Control::Json, Value::String(text)) => text.clone(),
            (Control::Json, value) => serde_json::to_string_pretty(value).unwrap_or_default(),
            (Control::Line(LineKind::Time), Value::String(text)) => without_zone(text),
            (_, value) => value_text(value),
        }
    }
}

/// The place of fields in a form.
#[derive(Clone, Copy)]
struct Above<'a> {
    form: &'static str,
    path: &'a [String],
    is_hidden: bool,
}

fn fields(root: &Value, schema: &Value, above: Above<'_>) -> Vec<Field> {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    let field = |(name, property): (&String, &Value)| {
        let property = resolved(root, property);
        let text = |keyword: &str| property.get(keyword).and_then(Value::as_str).map(ToOwned::to_owned);
        let path = [above.path, std::slice::from_ref(name)].concat();
        let is_hidden = above.is_hidden || is_hidden(property) || is_secret_name(name);
        let control = control(root, property, Above { path: &path, is_hidden, ..above });
        Field {
            form: above.form,
            title: text("title").filter(|title| !title.trim().is_empty()).unwrap_or_else(|| name.clone()),
            description: text("description").filter(|text| !text.trim().is_empty()),
            help_uri: text("helpUri").filter(|uri| is_web_address(uri)),
            is_required: required.contains(&name.as_str()),
            default: property.get("default").filter(|default| !default.is_null()).cloned(),
            example: schema::example(property).filter(|_| {
                matches!(control, Control::Line(_) | Control::Block { .. } | Control::Number { .. } | Control::List)
            }),
            control,
            is_hidden,
            path,
        }
    };
    properties.into_iter().flatten().map(field).collect()
}

fn control(root: &Value, property: &Value, at: Above<'_>) -> Control {
    let Above { path, is_hidden: is_secret, .. } = at;
    let name = path.last().map(String::as_str).unwrap_or_default();
    if let Some(value) = property.get("const") {
        return Control::Constant(value.clone());
    }
    if let Some(choices) = choices(property) {
        return Control::Choice(choices);
    }
    let is = |keyword: &str, value: &str| property.get(keyword).is_some_and(|it| it == value);
    match kind(property) {
        "object"
            if path.len() == 1 && property.get("properties").is_some_and(|it| *it != Value::Object(Map::new())) =>
        {
            Control::Group(fields(root, property, at))
        }
        "boolean" => Control::Checkbox,
        "integer" => Control::Number { is_whole: true },
        "number" => Control::Number { is_whole: false },
        "array" if property.get("items").is_none_or(|items| kind(items) == "string") => Control::List,
        "array" | "object" => Control::Json,
        _ => {
            let has_lines = ["multiline", "multi-line", "textarea"].iter().any(|format| is("format", format))
                || property.get("contentMediaType").is_some()
                || name.to_lowercase().ends_with("privatekey");
            if has_lines {
                return Control::Block { is_secret };
            }
            Control::Line(match property.get("format").and_then(Value::as_str) {
                _ if is_secret => LineKind::Secret,
                Some("email" | "idn-email") => LineKind::Email,
                Some("uri" | "url" | "iri") => LineKind::Url,
                _ if is_web_address_pattern(property) => LineKind::Url,
                Some("date") => LineKind::Date,
                Some("date-time") => LineKind::Time,
                _ => LineKind::Text,
            })
        }
    }
}

/// Returns the schema that a `$ref` in a schema leads to. A reference to itself is left as it is.
fn resolved<'a>(root: &'a Value, property: &'a Value) -> &'a Value {
    const MAX_STEPS: usize = 8;
    let step = |property: &&'a Value| {
        let pointer = property.get("$ref")?.as_str()?.strip_prefix('#')?;
        root.pointer(pointer)
    };
    std::iter::successors(Some(property), step).take(MAX_STEPS).last().unwrap_or(property)
}

/// Returns the type of a value, or the first one that is not null.
fn kind(property: &Value) -> &str {
    let named = match property.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find_map(|kind| kind.as_str().filter(|kind| *kind != "null")),
        kind => kind.and_then(Value::as_str),
    };
    named.unwrap_or(if property.get("properties").is_some() { "object" } else { "string" })
}

/// Returns the values of an `enum`, labeled by `referenceRecords`, or of a `oneOf` of constants, labeled by their titles.
fn choices(property: &Value) -> Option<Vec<Choice>> {
    let choice = |value: &Value, label: Option<&Value>| Choice {
        value: value.clone(),
        label: label.and_then(Value::as_str).map_or_else(|| value_text(value), ToOwned::to_owned),
    };
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        let records = property.get("referenceRecords").and_then(Value::as_array);
        let name = |value: &Value| {
            records.into_iter().flatten().find(|record| record.get("id") == Some(value)).and_then(|it| it.get("name"))
        };
        return Some(values.iter().filter(|value| !value.is_null()).map(|value| choice(value, name(value))).collect());
    }
    let constants = property.get("oneOf").or_else(|| property.get("anyOf")).and_then(Value::as_array)?;
    constants.iter().map(|it| Some(choice(it.get("const")?, it.get("title")))).collect()
}

/// Whether an object in a value has a member whose name says that it is secret.
fn has_secret_member(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| is_secret_name(name) || has_secret_member(value)),
        Value::Array(items) => items.iter().any(has_secret_member),
        _ => false,
    }
}

fn value_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// Reads a number, with a point or a comma.
fn number(text: &str) -> Option<Number> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    text.replacen(',', ".", 1).parse().ok().and_then(Number::from_f64)
}

/// Whether its values are web addresses.
fn is_web_address_pattern(property: &Value) -> bool {
    property.get("pattern").and_then(Value::as_str).is_some_and(|pattern| pattern.starts_with(schema::WEB_ADDRESS))
}

/// Whether a link may lead to it: nothing runs, and nothing but a page opens.
pub fn is_web_address(uri: &str) -> bool {
    url::Url::parse(uri).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// Returns the value of a browser's date and time as RFC 3339, in UTC.
fn with_zone(text: &str) -> String {
    let seconds = if text.len() == "2026-01-31T12:00".len() { ":00Z" } else { "Z" };
    let complete = format!("{text}{seconds}");
    if OffsetDateTime::parse(&complete, &Rfc3339).is_ok() { complete } else { text.to_owned() }
}

/// Returns a time in RFC 3339 as a browser shows it.
fn without_zone(text: &str) -> String {
    let utc = OffsetDateTime::parse(text, &Rfc3339).ok().map(|time| time.to_offset(UtcOffset::UTC));
    let formatted = utc.and_then(|time| time.format(&Rfc3339).ok());
    formatted.map_or_else(|| text.to_owned(), |time| time.trim_end_matches('Z').to_owned())
}

/// Returns the value at a path.
pub(super) fn get<'a>(object: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(object.get(first)?, |value, name| value.get(name)).filter(|value| !value.is_null())
}

fn put(object: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            object.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let inner = object.entry(name).or_insert_with(|| Map::new().into());
            if !inner.is_object() {
                *inner = Map::new().into();
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Removes the value at a path, and objects that are then empty.
fn remove(object: &mut Map<String, Value>, path: &[String]) {
    match path {
        [] => {}
        [name] => {
            object.remove(name);
        }
        [name, rest @ ..] => {
            if let Some(Value::Object(inner)) = object.get_mut(name) {
                remove(inner, rest);
                if inner.is_empty() {
                    object.remove(name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
