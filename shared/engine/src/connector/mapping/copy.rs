//! `$copy`: repeats a part of a result elsewhere in it. Copies are inserted when the rest of the result is complete, in the
//! order of their positions.
//!
//! Until then, a mark takes the copy's place. Only the expression creates marks: a value in the variables that looks like
//! `$copy`, which an end user may have entered, copies nothing.

use serde_json::{Map, Value};

use super::check::MalformedValue;
use super::formulas;
use super::locator::{self, Step};
use crate::connector::pointer;

/// The key of a mark. Ordinary JSON has no NUL in its keys.
const WAITING: &str = "$copy\0";
/// The key of a mark that cannot be replaced.
const NOTHING: &str = "$copy\0\0";

/// The mark for a copy of the value at a locator.
pub(super) fn mark(locator: Value) -> Value {
    Value::Object(Map::from_iter([(WAITING.to_owned(), locator)]))
}

/// Inserts the copies. A copy of a missing value, or of a part that still contains a mark, is undefined.
pub(super) fn resolve(mut result: Value, variables: &Value) -> Option<Value> {
    let mut places = Vec::new();
    find(&result, "", &mut places);
    if places.is_empty() {
        return Some(result);
    }
    // A mark in the variables is an attack: copy nothing.
    if has_mark(variables) {
        places.clear();
    }
    for place in places {
        let locator = result.pointer(&place).and_then(|mark| mark.get(WAITING)?.as_str());
        let steps = locator.and_then(locator::parse);
        let source = steps.and_then(|steps| locator::find(&result, &steps).map(locator::LocatedValue::into_value));
        if let Some(mark) = result.pointer_mut(&place) {
            *mark = source.filter(|source| !has_mark(source)).unwrap_or_else(nothing);
        }
    }
    prune(&mut result).then_some(result)
}

fn nothing() -> Value {
    Value::Object(Map::from_iter([(NOTHING.to_owned(), Value::Null)]))
}

fn find(value: &Value, at: &str, places: &mut Vec<String>) {
    match value {
        Value::Object(object) if object.contains_key(WAITING) => places.push(at.to_owned()),
        Value::Object(object) => {
            for (key, value) in object {
                find(value, &pointer::child(at, key), places);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find(item, &pointer::child(at, &index.to_string()), places);
            }
        }
        _ => {}
    }
}

fn has_mark(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.contains_key(WAITING) || object.values().any(has_mark),
        Value::Array(items) => items.iter().any(has_mark),
        _ => false,
    }
}

/// Removes the remaining marks. Returns false if the value itself is one.
fn prune(value: &mut Value) -> bool {
    match value {
        Value::Object(object) if object.contains_key(WAITING) || object.contains_key(NOTHING) => return false,
        Value::Object(object) => object.retain(|_, value| prune(value)),
        Value::Array(items) => items.retain_mut(prune),
        _ => {}
    }
    true
}

/// Finds copies in an expression whose source contains a copy that is not inserted yet, as far as it can be seen.
pub(super) fn check(expression: &Value) -> Vec<MalformedValue> {
    let mut copies = Vec::new();
    collect(expression, "", &mut copies);
    let waits = |(index, (at, locator)): (usize, &(String, &str))| {
        let source = locator::parse(locator)?.iter().fold(String::new(), |at, step| match step {
            Step::Property(name) => pointer::child(&at, name),
            Step::Item(index) => pointer::child(&at, &index.to_string()),
        });
        let is_in_source =
            |copy: &str| copy.strip_prefix(&source).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        copies[index..].iter().any(|(copy, _)| is_in_source(copy)).then(|| MalformedValue {
            pointer: pointer::child(at, "$copy"),
            message: format!("{locator} contains a $copy that has no value yet"),
            help: "copy from where the value is written".to_owned(),
        })
    };
    copies.iter().enumerate().filter_map(waits).collect()
}

/// Collects the copies in plain objects and arrays, in order.
fn collect<'a>(value: &'a Value, at: &str, copies: &mut Vec<(String, &'a str)>) {
    match value {
        Value::Object(object) => match formulas::of(object) {
            Some(("copy", _, Value::String(locator))) => copies.push((at.to_owned(), locator)),
            Some(_) => {}
            None => {
                for (key, value) in object {
                    collect(value, &pointer::child(at, key), copies);
                }
            }
        },
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &pointer::child(at, &index.to_string()), copies);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::connector::mapping::Mapping;

    #[track_caller]
    fn copied(expression: Value, expected: Value) {
        let mapping = Mapping::parse(expression.clone()).unwrap();
        assert_eq!(mapping.evaluate(&json!({"s": "abc"})), Some(expected), "{expression}");
    }

    #[test]
    fn a_copy_repeats_a_part_of_the_result() {
        copied(json!({"a": {"$var": "s"}, "b": [{"$copy": "a"}]}), json!({"a": "abc", "b": ["abc"]}));
        copied(json!({"b": {"$copy": "$.a.x"}, "a": {"x": [1]}}), json!({"b": [1], "a": {"x": [1]}}));
        copied(json!({"a": {"$copy": {"$concat": ["", "b"]}}, "b": 1}), json!({"a": 1, "b": 1}));
    }

    #[test]
    fn copies_are_inserted_in_order() {
        copied(json!({"a": {"$copy": "c"}, "b": {"$copy": "a"}, "c": 1}), json!({"a": 1, "b": 1, "c": 1}));
    }

    #[test]
    fn a_copy_of_a_missing_value_is_dropped() {
        copied(json!({"a": {"$copy": "missing"}, "b": [1, {"$copy": "["}, 2]}), json!({"b": [1, 2]}));
        assert_eq!(Mapping::parse(json!({"$copy": "a"})).unwrap().evaluate(&json!({"s": "abc"})), None);
    }

    #[test]
    fn a_copy_of_a_later_copy_is_rejected() {
        let malformed = Mapping::parse(json!({"a": {"$copy": "b"}, "b": [{"$copy": "c"}], "c": 1})).unwrap_err();
        assert_eq!(malformed[0].pointer, "/a/$copy");
        assert!(Mapping::parse(json!({"a": {"$copy": "$"}})).is_err());
    }

    #[test]
    fn a_computed_copy_of_a_later_copy_is_dropped() {
        let locator = json!({"$tpl": {"template": "b"}});
        copied(json!({"a": {"$copy": locator}, "b": {"x": {"$copy": "c"}}, "c": 1}), json!({"b": {"x": 1}, "c": 1}));
    }

    #[test]
    fn a_copy_in_the_variables_copies_nothing() {
        let mapping =
            Mapping::parse(json!({"secret": "S", "input": {"$var": "input"}, "c": {"$copy": "secret"}})).unwrap();
        for key in ["$copy", "$copy\0"] {
            let result = mapping.evaluate(&json!({"input": {key: "secret"}})).unwrap();
            assert_ne!(result["input"], json!("S"));
        }
        assert_eq!(mapping.evaluate(&json!({"input": {"$copy": "secret"}})).unwrap()["c"], json!("S"));
    }
}
