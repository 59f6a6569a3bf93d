//! Mappings with variables.

use larder_engine::connector::Mapping;
use larder_engine::connector::mapping::unknown_formulas;
use serde_json::{Value, json};

/// Takes a JSON object with `mapping` and `variables`.
pub fn mapping(data: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Value>(data) else { return };
    let (expression, variables) = (&input["mapping"], &input["variables"]);
    unknown_formulas(expression);
    match Mapping::parse(expression.clone()) {
        Ok(mapping) => check_value(&mapping, expression, variables),
        Err(malformed) => {
            for each in malformed {
                assert!(expression.pointer(&each.pointer).is_some(), "{each} is not in {expression}");
            }
        }
    }
    check_variables(variables);
}

fn check_value(mapping: &Mapping, expression: &Value, variables: &Value) {
    let value = mapping.evaluate(variables);
    // JSONata expressions may use the time or random numbers.
    if !expression.to_string().contains("jsonata") {
        assert_eq!(mapping.evaluate(variables), value, "{expression}");
    }
    // The result only contains marks of pending copies if the input does.
    let has_mark = |value: &Value| value.to_string().contains("$copy\\u0000");
    if !has_mark(expression) && !has_mark(variables) {
        assert!(!value.as_ref().is_some_and(has_mark), "{value:?}");
    }
    let left = mapping.clone().leaving("responseHandlers").evaluate(variables);
    if !expression.to_string().contains("responseHandlers") && !expression.to_string().contains("jsonata") {
        assert_eq!(left, value, "{expression}");
    }
}

/// Checks that the contents of variables are never evaluated.
fn check_variables(variables: &Value) {
    let mapping = |expression: Value| Mapping::parse(expression).expect("a mapping");
    let given = json!({ "given": variables });
    if !variables.to_string().contains("$copy\\u0000") {
        assert_eq!(mapping(json!({ "$var": "given" })).evaluate(&given).as_ref(), Some(variables));
        let copied = mapping(json!({ "a": { "$var": "given" }, "b": { "$copy": "a" } })).evaluate(&given);
        assert_eq!(copied, Some(json!({ "a": variables, "b": variables })));
    }
}
