//! Data schemas, which describe parameters and inputs: a subset of JSON Schema with extra keywords that do not affect
//! validity.
//!
//! # Decisions
//!
//! Schemas are checked when connecting, not when refreshing: a schema that became stricter does not stop existing
//! connections.

use serde_json::{Map, Value};

/// A value that does not match its schema. The message never contains the value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// The field, as a path with dots; empty for the whole value.
    pub field: String,
    /// The message, worded to follow the field's name.
    pub message: String,
    /// The field's path in the value.
    #[serde(skip)]
    pub path: Vec<String>,
    /// The problem, for messages in other languages.
    #[serde(skip)]
    pub problem: FieldProblem,
}

/// A way in which a value does not match its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldProblem {
    /// A required value is missing.
    Missing,
    /// The value is an empty string.
    Empty,
    /// The string has fewer characters than this.
    TooShort(u64),
    /// The string has more characters than this.
    TooLong(u64),
    /// The number is less than this.
    TooSmall(String),
    /// The number is greater than this.
    TooLarge(String),
    /// The value has another type.
    Type,
    /// The string has another format, or does not match the pattern.
    Format,
    /// The string should be only the beginning of a host that ends like this.
    BeginningOf(String),
    /// The value is not in the list of allowed values.
    NotListed,
    /// The schema has a message of its own, which is the error's.
    Described,
    /// Any other problem, as in the error's message.
    Other,
}

/// An unusable schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(String);

/// The start of the pattern of a web address.
pub(crate) const WEB_ADDRESS: &str = "^https://";

/// Returns a property's first example.
pub(crate) fn example(property: &Value) -> Option<String> {
    match property.get("examples")?.get(0)? {
        Value::String(example) if !example.trim().is_empty() => Some(example.clone()),
        Value::Number(example) => Some(example.to_string()),
        _ => None,
    }
}

/// Merges two schemas: `properties` and `required` are combined, any other keyword is `upper`'s.
pub(super) fn merged(lower: Option<Value>, upper: Option<Value>) -> Option<Value> {
    let (lower, upper) = match (lower, upper) {
        (Some(Value::Object(lower)), Some(Value::Object(upper))) => (lower, upper),
        (lower, upper) => return upper.or(lower),
    };
    let mut merged = lower;
    for (key, value) in upper {
        match (merged.get_mut(&key), value) {
            (Some(Value::Object(properties)), Value::Object(more)) if key == "properties" => properties.extend(more),
            (Some(Value::Array(required)), Value::Array(more)) if key == "required" => {
                let new: Vec<Value> = more.into_iter().filter(|name| !required.contains(name)).collect();
                required.extend(new);
            }
            (_, value) => {
                merged.insert(key, value);
            }
        }
    }
    Some(Value::Object(merged))
}

/// Fills in the schema's defaults for missing inputs.
pub fn with_defaults(schema: Option<&Value>, mut input: Map<String, Value>) -> Map<String, Value> {
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if let Some(default) = property.get("default").filter(|default| !default.is_null())
            && input.get(name).is_none_or(Value::is_null)
        {
            input.insert(name.clone(), default.clone());
        }
    }
    input
}

/// Validates an object and returns its invalid fields. Without a schema, everything is valid. Null counts as missing.
///
/// # Errors
/// When the schema itself is invalid.
pub fn validate(schema: Option<&Value>, object: &Map<String, Value>) -> Result<Vec<FieldError>, Unusable> {
    let Some(schema) = schema else { return Ok(Vec::new()) };
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft7)
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| Unusable(format!("the schema is malformed at {}: {}", error.schema_path(), error.masked())))?;
    let given = object.iter().filter(|(_, value)| !value.is_null());
    let value = given.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into();
    Ok(validator.iter_errors(&value).map(|error| field_error(schema, &error)).collect())
}

/// A one-line summary of all invalid fields.
pub fn summary(errors: &[FieldError]) -> String {
    let lines: Vec<String> = errors
        .iter()
        .map(|error| match error.field.as_str() {
            "" => error.message.clone(),
            field => format!("`{field}` {}", error.message),
        })
        .collect();
    lines.join("; ")
}

fn field_error(schema: &Value, error: &jsonschema::ValidationError<'_>) -> FieldError {
    use jsonschema::error::ValidationErrorKind as Kind;
    let mut field: Vec<String> = error.instance_path().as_str().split('/').skip(1).map(unescaped).collect();
    let (problem, message) = match error.kind() {
        Kind::Required { property } => {
            field.push(property.as_str().unwrap_or_default().to_owned());
            (FieldProblem::Missing, "is missing".to_owned())
        }
        Kind::AdditionalProperties { unexpected } => match unexpected.as_slice() {
            [name] => {
                field.push(name.clone());
                (FieldProblem::Other, "is unknown".to_owned())
            }
            names => (FieldProblem::Other, format!("has unknown fields: {}", names.join(", "))),
        },
        Kind::Enum { options } => (FieldProblem::NotListed, format!("is not one of {}", joined(options))),
        Kind::Pattern { pattern } => (FieldProblem::Format, format!("must match {pattern}")),
        Kind::MinLength { limit: 1 } => (FieldProblem::Empty, "must not be empty".to_owned()),
        kind => match listed(kind) {
            Some(values) => (FieldProblem::NotListed, format!("is not one of {values}")),
            None => (problem(kind), error.masked_with("").to_string().trim_start().to_owned()),
        },
    };
    // A schema may bring its own error message.
    let property = field.iter().try_fold(schema, |schema, name| schema.get("properties")?.get(name));
    let hint = property.and_then(|property| property.get("errorMessage")).and_then(Value::as_str);
    let (problem, message) = match hint {
        Some(hint) => (FieldProblem::Described, hint.to_owned()),
        None => (problem, message),
    };
    FieldError { field: field.join("."), message, path: field, problem }
}

/// Returns a segment of a JSON Pointer as the name that it stands for (RFC 6901 §4).
fn unescaped(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// The values of a `oneOf` of constants, none of which was given.
fn listed(kind: &jsonschema::error::ValidationErrorKind) -> Option<String> {
    use jsonschema::error::ValidationErrorKind as Kind;
    let Kind::OneOfNotValid { context } = kind else { return None };
    let value = |errors: &Vec<jsonschema::ValidationError<'_>>| match errors.first()?.kind() {
        Kind::Constant { expected_value } => Some(expected_value.to_string()),
        _ => None,
    };
    Some(context.iter().map(value).collect::<Option<Vec<_>>>()?.join(", "))
}

fn problem(kind: &jsonschema::error::ValidationErrorKind) -> FieldProblem {
    use jsonschema::error::ValidationErrorKind as Kind;
    match kind {
        Kind::MinLength { limit } => FieldProblem::TooShort(*limit),
        Kind::MaxLength { limit } => FieldProblem::TooLong(*limit),
        Kind::Minimum { limit } => FieldProblem::TooSmall(limit.to_string()),
        Kind::Maximum { limit } => FieldProblem::TooLarge(limit.to_string()),
        Kind::Type { .. } => FieldProblem::Type,
        Kind::Format { .. } => FieldProblem::Format,
        Kind::Enum { .. } | Kind::Constant { .. } => FieldProblem::NotListed,
        _ => FieldProblem::Other,
    }
}

/// All values of a list, while the validator's own message leaves most of them out.
fn joined(options: &Value) -> String {
    let options: Vec<String> = options.as_array().into_iter().flatten().map(Value::to_string).collect();
    options.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(schema: Value, object: Value) -> Vec<(String, String)> {
        let errors = validate(Some(&schema), object.as_object().unwrap()).unwrap();
        errors.into_iter().map(|error| (error.field, error.message)).collect()
    }

    #[test]
    fn each_field_gets_its_own_message_without_the_value() {
        let schema = json!({"type": "object", "required": ["shop", "key"], "properties": {
            "shop": {"type": "string", "pattern": "^[a-z]+$"},
            "key": {"type": "string", "format": "password", "isSensitive": true, "minLength": 1},
            "port": {"type": "integer", "maximum": 65535},
            "mode": {"enum": ["a", "b", "c", "d", 5]},
        }});
        let found = errors(schema, json!({"shop": "Hunter2/..", "port": "hunter2", "mode": "hunter2"}));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.contains(&("mode".into(), r#"is not one of "a", "b", "c", "d", 5"#.into())));
        assert!(found.contains(&("shop".into(), "must match ^[a-z]+$".into())));
        assert!(found.contains(&("key".into(), "is missing".into())));
        assert!(found.iter().all(|(_, message)| !message.to_lowercase().contains("hunter2")), "{found:?}");
    }

    #[test]
    fn titled_choices_are_named_by_their_values() {
        let choices = json!([{"const": "api", "title": "Production"}, {"const": "test", "title": "Sandbox"}]);
        let schema = json!({"properties": {"environment": {"oneOf": choices}}});
        assert!(errors(schema.clone(), json!({"environment": "test"})).is_empty());
        let found = validate(Some(&schema), json!({"environment": "Sandbox"}).as_object().unwrap()).unwrap();
        assert_eq!(summary(&found), "`environment` is not one of \"api\", \"test\"");
        assert_eq!(found[0].problem, FieldProblem::NotListed);
    }

    #[test]
    fn keywords_beyond_json_schema_do_not_affect_validity() {
        let schema = json!({"title": "T", "isImplied": true, "referenceRecords": [{"id": "a", "name": "A"}],
            "properties": {"a": {"type": "string", "format": "password", "allowCustom": true, "isRichText": true}}});
        assert!(errors(schema, json!({"a": "x", "b": 1})).is_empty());
    }

    #[test]
    fn a_malformed_schema_is_an_error() {
        assert!(validate(Some(&json!({"type": "magic"})), &Map::new()).is_err());
        assert!(validate(None, &Map::new()).unwrap().is_empty());
    }

    #[test]
    fn schemas_of_auth_and_option_are_merged() {
        let lower =
            json!({"title": "L", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"title": "L"}}});
        let upper = json!({"title": "U", "required": ["a", "b"], "properties": {"b": {"title": "U"}}});
        let expected =
            json!({"title": "U", "required": ["a", "b"], "properties": {"a": {"type": "string"}, "b": {"title": "U"}}});
        assert_eq!(merged(Some(lower.clone()), Some(upper)), Some(expected));
        assert_eq!(merged(Some(lower.clone()), None), Some(lower));
    }

    #[test]
    fn null_counts_as_missing() {
        let schema = json!({"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["b"]});
        assert_eq!(errors(schema, json!({"a": null, "b": null})), [("b".into(), "is missing".into())]);
    }

    #[test]
    fn defaults_fill_in_missing_inputs() {
        let schema = json!({"properties": {"port": {"default": 5432}, "host": {"default": "h"}}});
        let input = json!({"host": "mine"}).as_object().cloned().unwrap();
        assert_eq!(Value::Object(with_defaults(Some(&schema), input)), json!({"host": "mine", "port": 5432}));
    }
}
