//! Where the two evaluators are known to differ, and why ours stays as it is. `shared/connectors/README.md` has
//! the same list.

use serde_json::Value;

use super::Theirs;

/// A difference that is meant, and the expressions in which it shows.
struct Deviation {
    name: &'static str,
    shows: fn(&Value, &Theirs) -> bool,
}

/// The deviation that explains why the values of an expression differ, if one does.
pub(crate) fn known(expression: &Value, theirs: &Theirs) -> Option<&'static str> {
    DEVIATIONS.iter().find(|deviation| (deviation.shows)(expression, theirs)).map(|deviation| deviation.name)
}

const DEVIATIONS: [Deviation; 8] = [
    Deviation {
        // It names places that have moved since, or reads `null.operator`.
        name: "an exception there is undefined here",
        shows: |_, theirs| matches!(theirs, Theirs::Error(_)),
    },
    Deviation {
        // Documented: `[n]` steps into an array.
        name: "[n] finds items that are falsy",
        shows: |expression, _| any(expression, &|value| value == "a.arr[1]"),
    },
    Deviation {
        // Documented: what is no object is skipped.
        name: "$mergeObjects merges no arrays",
        shows: |expression, _| has_key(expression, &["$mergeObjects"]),
    },
    Deviation {
        // Documented: each placeholder is replaced by its value, which is no template and no pattern.
        name: "$tpl does not search its values again",
        shows: |expression, _| has_key(expression, &["$tpl"]) && any(expression, &|value| value == "braces"),
    },
    Deviation {
        // JSON has no identity.
        name: "two arrays or objects are never the same",
        shows: |expression, _| has_key(expression, &["is", "isNot", "contains", "doesNotContain", "oneOf", "noneOf"]),
    },
    Deviation {
        // Documented: the `$var` inside are replaced. There not all are, or twice the same in an iteration.
        name: "$formula replaces every variable",
        shows: |expression, _| has_key(expression, &["$formula"]),
    },
    Deviation {
        // Documented: strings have no properties.
        name: "a text has no length for a condition",
        shows: |expression, _| any(expression, &|value| value.get("field").is_some_and(|field| field == "s.length")),
    },
    Deviation {
        // There the object has a key whose value is undefined, which JSON cannot say.
        name: "a reference to nothing is an empty object",
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
