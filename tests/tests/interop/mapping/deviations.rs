//! Known differences between the two evaluators, and why ours stays as it is.

use serde_json::Value;

use super::Theirs;

/// An intended difference, and the expressions in which it shows.
struct Deviation {
    name: &'static str,
    shows: fn(&Value, &Theirs) -> bool,
}

/// The deviation that explains the different values of an expression, if there is one.
pub(crate) fn known(expression: &Value, theirs: &Theirs) -> Option<&'static str> {
    DEVIATIONS.iter().find(|deviation| (deviation.shows)(expression, theirs)).map(|deviation| deviation.name)
}

const DEVIATIONS: [Deviation; 8] = [
    Deviation {
        // Theirs throws for resources that have moved since, or reads `null.operator`.
        name: "an exception in theirs is undefined in ours",
        shows: |_, theirs| matches!(theirs, Theirs::Error(_)),
    },
    Deviation {
        // Documented: `[n]` steps into an array.
        name: "[n] finds falsy items",
        shows: |expression, _| any(expression, &|value| value == "a.arr[1]"),
    },
    Deviation {
        // Documented: values that aren't objects are skipped.
        name: "$mergeObjects skips arrays",
        shows: |expression, _| has_key(expression, &["$mergeObjects"]),
    },
    Deviation {
        // Documented: each placeholder is replaced by its value, which is neither a template nor a pattern.
        name: "$tpl does not expand its values",
        shows: |expression, _| has_key(expression, &["$tpl"]) && any(expression, &|value| value == "braces"),
    },
    Deviation {
        // JSON values have no identity.
        name: "two arrays or objects are never identical",
        shows: |expression, _| has_key(expression, &["is", "isNot", "contains", "doesNotContain", "oneOf", "noneOf"]),
    },
    Deviation {
        // Documented: each `$var` inside is replaced. Theirs misses some, and repeats values in an iteration.
        name: "$formula replaces every variable",
        shows: |expression, _| has_key(expression, &["$formula"]),
    },
    Deviation {
        // Documented: strings have no properties.
        name: "a string has no length in a condition",
        shows: |expression, _| any(expression, &|value| value.get("field").is_some_and(|field| field == "s.length")),
    },
    Deviation {
        // Their object has a key whose value is undefined, which JSON cannot express.
        name: "an empty reference is an empty object",
        shows: |expression, _| has_key(expression, &["$lookup", "$findAppRecordId", "$findExternalRecordId"]),
    },
];

fn has_key(expression: &Value, keys: &[&str]) -> bool {
    any(expression, &|value| value.as_object().is_some_and(|object| keys.iter().any(|key| object.contains_key(*key))))
}

fn any(value: &Value, holds: &dyn Fn(&Value) -> bool) -> bool {
    holds(value)
        || match value {
            Value::Array(items) => items.iter().any(|item| any(item, holds)),
            Value::Object(object) => object.values().any(|value| any(value, holds)),
            _ => false,
        }
}
