//! The filters of `$case`: a formula, or a list of conditions on fields.

use serde_json::Value;

use super::locator::{self, LocatedValue, Step};
use super::operators::{Operator, compare, includes, is_empty};
use super::{evaluate, js};

/// Whether a case applies. A filter that is absent, falsy, or evaluates to null or undefined always matches.
pub(super) fn holds(filter: Option<&Value>, variables: &Value) -> bool {
    match filter {
        Some(Value::Array(conditions)) => conditions.iter().all(|condition| condition_holds(condition, variables)),
        Some(filter) if js::truthy(Some(filter)) => match evaluate(filter, variables) {
            None | Some(Value::Null) => true,
            result => js::truthy(result.as_ref()),
        },
        _ => true,
    }
}

/// Evaluates `{field, operator, value}`; an unknown operator always matches.
fn condition_holds(condition: &Value, variables: &Value) -> bool {
    let Some(operator) = condition.get("operator").and_then(Value::as_str).and_then(operator) else { return true };
    let steps = condition.get("field").and_then(Value::as_str).and_then(locator::parse);
    let mut reached = Vec::new();
    if let Some(steps) = steps {
        collect(variables, &steps, &mut reached);
    }
    let operand = condition.get("value");
    if reached.is_empty() {
        operator(None, operand)
    } else {
        reached.iter().any(|value| operator(Some(value), operand))
    }
}

/// Follows the steps, into every item when a name is applied to an array; null is skipped.
fn collect<'a>(value: &'a Value, steps: &[Step], reached: &mut Vec<&'a Value>) {
    match (steps.split_first(), value) {
        (_, Value::Null) => {}
        (None, value) => reached.push(value),
        (Some((Step::Property(_), _)), Value::Array(items)) => {
            for item in items {
                collect(item, steps, reached);
            }
        }
        (Some((Step::Item(index), rest)), value) => {
            if let Some(item) = locator::item(value, *index) {
                collect(item, rest, reached);
            }
        }
        (Some((step, rest)), value) => {
            if let Some(LocatedValue::Borrowed(value)) = locator::find(value, std::slice::from_ref(step)) {
                collect(value, rest, reached);
            }
        }
    }
}

fn operator(name: &str) -> Option<Operator> {
    let operator: Operator = match name {
        "is" => js::loosely_equal,
        "is_not" => |value, operand| !js::loosely_equal(value, operand),
        "is_one_of" => |value, operand| includes(operand, value),
        "is_not_one_of" => |value, operand| !includes(operand, value),
        "is_true" => |value, _| js::truthy(value),
        "is_false" => |value, _| value == Some(&Value::Bool(false)),
        "contains" => |value, operand| js::truthy(value) && js::string(value).contains(&js::string(operand)),
        "does_not_contain" => |value, operand| js::truthy(value) && !js::string(value).contains(&js::string(operand)),
        "array_includes" => includes,
        "array_does_not_include" => |value, operand| !includes(value, operand),
        "less_than" => |value, operand| compare(value, operand, |value, operand| value < operand),
        "less_than_or_equal" => |value, operand| compare(value, operand, |value, operand| value <= operand),
        "more_than" => |value, operand| compare(value, operand, |value, operand| value > operand),
        "more_than_or_equal" => |value, operand| compare(value, operand, |value, operand| value >= operand),
        "is_empty" => |value, _| is_empty(value),
        "is_not_empty" => |value, _| !is_empty(value),
        _ => return None,
    };
    Some(operator)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(field: &str, operator: &str, value: Value) -> bool {
        let variables = json!({
            "s": "abc", "z": 0, "n": null, "f": false, "e": "", "list": ["x", "y"],
            "users": [{"name": "ann", "tags": ["a"]}, {"name": "bob", "tags": []}]
        });
        holds(Some(&json!([{"field": field, "operator": operator, "value": value}])), &variables)
    }

    #[test]
    fn every_condition_must_match_and_an_empty_list_matches() {
        let variables = json!({"a": 1, "b": 2});
        let a = json!({"field": "a", "operator": "is", "value": 1});
        let b = json!({"field": "b", "operator": "is", "value": 1});
        assert!(holds(Some(&json!([])), &variables));
        assert!(holds(Some(&json!([a])), &variables));
        assert!(!holds(Some(&json!([a, b])), &variables));
    }

    #[test]
    fn an_unknown_operator_is_skipped() {
        assert!(matches("s", "is_prime", json!(1)));
    }

    #[test]
    fn equality_operators() {
        assert!(matches("z", "is", json!("0")));
        assert!(matches("missing", "is", json!(null)));
        assert!(matches("s", "is_not", json!("x")));
        assert!(matches("s", "is_one_of", json!(["abc"])));
        assert!(!matches("z", "is_one_of", json!(["0"])));
        assert!(matches("z", "is_not_one_of", json!("no list")));
    }

    #[test]
    fn only_false_is_false() {
        assert!(matches("f", "is_false", json!(null)));
        assert!(!matches("z", "is_false", json!(null)));
        assert!(matches("s", "is_true", json!(null)));
        assert!(!matches("z", "is_true", json!(null)));
    }

    #[test]
    fn contains_is_case_sensitive_and_false_for_falsy_values() {
        assert!(matches("s", "contains", json!("bc")));
        assert!(!matches("s", "contains", json!("BC")));
        assert!(matches("s", "does_not_contain", json!("BC")));
        assert!(!matches("e", "contains", json!("")));
        assert!(!matches("e", "does_not_contain", json!("x")));
    }

    #[test]
    fn array_operators() {
        assert!(matches("list", "array_includes", json!("x")));
        assert!(!matches("s", "array_includes", json!("abc")));
        assert!(matches("s", "array_does_not_include", json!("abc")));
    }

    #[test]
    fn order_operators() {
        assert!(matches("z", "less_than", json!("1")));
        assert!(matches("z", "less_than_or_equal", json!(0)));
        assert!(!matches("z", "more_than", json!(0)));
        assert!(matches("z", "more_than_or_equal", json!(0)));
        assert!(!matches("s", "more_than", json!(0)));
    }

    #[test]
    fn emptiness_operators() {
        assert!(matches("missing", "is_empty", json!(null)));
        assert!(matches("n", "is_empty", json!(null)));
        assert!(matches("z", "is_not_empty", json!(null)));
    }

    #[test]
    fn a_field_matches_if_any_array_item_matches() {
        assert!(matches("users.name", "is", json!("bob")));
        assert!(!matches("users.name", "is", json!("eve")));
        assert!(matches("users[1].name", "is", json!("bob")));
        assert!(matches("users.tags", "array_includes", json!("a")));
    }
}
