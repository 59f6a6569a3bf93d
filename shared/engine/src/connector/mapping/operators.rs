//! The operators of `$eval`, and the comparisons they share with array filters.

use serde_json::Value;

use super::js;

/// A comparison of a value with an operand; either may be undefined.
pub(super) type Operator = fn(Option<&Value>, Option<&Value>) -> bool;

/// The keys of the `$eval` operators.
pub(super) const NAMES: [&str; 12] =
    ["is", "isNot", "isEmpty", "isNotEmpty", "contains", "doesNotContain", "oneOf", "noneOf", "gt", "gte", "lt", "lte"];

/// The `$eval` operator with this key.
pub(super) fn find(key: &str) -> Option<Operator> {
    let operator: Operator = match key {
        "is" => js::loosely_equal,
        "isNot" => |value, operand| !js::loosely_equal(value, operand),
        "isEmpty" => |value, _| is_empty(value),
        "isNotEmpty" => |value, _| !is_empty(value),
        "contains" => contains,
        "doesNotContain" => |value, operand| !contains(value, operand),
        "oneOf" => |value, operand| includes(operand, value),
        "noneOf" => |value, operand| !includes(operand, value),
        "gt" => |value, operand| compare(value, operand, |value, operand| value > operand),
        "gte" => |value, operand| compare(value, operand, |value, operand| value >= operand),
        "lt" => |value, operand| compare(value, operand, |value, operand| value < operand),
        "lte" => |value, operand| compare(value, operand, |value, operand| value <= operand),
        _ => return None,
    };
    Some(operator)
}

/// Undefined, null, `""`, `[]`, and `{}` are empty; 0 and false are not.
pub(super) fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(string)) => string.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(object)) => object.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => false,
    }
}

/// Whether `list` is an array that contains `item` (`===`).
pub(super) fn includes(list: Option<&Value>, item: Option<&Value>) -> bool {
    list.and_then(Value::as_array).is_some_and(|list| list.iter().any(|each| js::strictly_equal(Some(each), item)))
}

/// Compares both values as numbers read by `parseFloat`; false if either isn't a number.
pub(super) fn compare(value: Option<&Value>, operand: Option<&Value>, holds: fn(f64, f64) -> bool) -> bool {
    match (js::parse_float(value), js::parse_float(operand)) {
        (Some(value), Some(operand)) => holds(value, operand),
        _ => false,
    }
}

/// Membership in an array, or else a case-insensitive substring.
fn contains(value: Option<&Value>, operand: Option<&Value>) -> bool {
    if !js::truthy(value) {
        return false;
    }
    if value.is_some_and(Value::is_array) {
        return includes(value, operand);
    }
    // JavaScript evaluates `operand?.toString()`, so null is "undefined" here, not "null".
    let operand = js::string(operand.filter(|operand| !operand.is_null()));
    js::string(value).to_lowercase().contains(&operand.to_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn holds(value: impl Into<Option<Value>>, key: &str, operand: impl Into<Option<Value>>) -> bool {
        find(key).unwrap()(value.into().as_ref(), operand.into().as_ref())
    }

    #[test]
    fn is_compares_loosely() {
        assert!(holds(json!(0), "is", json!("0")));
        assert!(holds(None, "is", json!(null)));
        assert!(holds(json!(1), "isNot", json!(2)));
    }

    #[test]
    fn zero_and_false_are_not_empty() {
        for empty in [None, Some(json!(null)), Some(json!("")), Some(json!([])), Some(json!({}))] {
            assert!(holds(empty.clone(), "isEmpty", None));
            assert!(!holds(empty, "isNotEmpty", None));
        }
        for full in [json!(0), json!(false), json!(" "), json!([null]), json!({"a": null})] {
            assert!(!holds(full.clone(), "isEmpty", None));
            assert!(holds(full, "isNotEmpty", None));
        }
    }

    #[test]
    fn contains_ignores_case_in_strings_but_is_strict_in_arrays() {
        assert!(holds(json!("abc"), "contains", json!("BC")));
        assert!(holds(json!(1234), "contains", json!(23)));
        assert!(holds(json!([1, "a"]), "contains", json!("a")));
        assert!(!holds(json!([1, "a"]), "contains", json!("A")));
        assert!(!holds(json!([1]), "contains", json!("1")));
    }

    #[test]
    fn a_falsy_value_contains_nothing() {
        assert!(!holds(json!(""), "contains", json!("")));
        assert!(holds(json!(""), "doesNotContain", json!("")));
        assert!(holds(None, "doesNotContain", json!("x")));
    }

    #[test]
    fn one_of_is_strict_and_needs_an_array() {
        assert!(holds(json!(1), "oneOf", json!([1.0])));
        assert!(!holds(json!(1), "oneOf", json!(["1"])));
        assert!(!holds(json!(1), "oneOf", json!(1)));
        assert!(holds(json!(1), "noneOf", json!(1)));
    }

    #[test]
    fn order_operators_read_numbers_like_parse_float() {
        assert!(holds(json!("10 apples"), "gt", json!(9)));
        assert!(holds(json!(9), "gte", json!("9")));
        assert!(holds(json!(8), "lt", json!(9)));
        assert!(holds(json!(9), "lte", json!(9)));
        assert!(!holds(json!("x"), "lt", json!(1)));
        assert!(!holds(None, "gte", None));
    }
}
