//! Formulas that choose a value.

use serde_json::Value;

use super::{Checked, FormulaCall};
use crate::connector::mapping::{evaluate, filter, js, operators};

/// A default that evaluates to null is undefined, as in Membrane's evaluator. A case's value may be null.
pub(super) fn case(call: &FormulaCall<'_>) -> Option<Value> {
    let (cases, default) = match call.argument {
        Value::Array(cases) => (cases, None),
        Value::Object(options) => (options.get("cases")?.as_array()?, options.get("default")),
        _ => return None,
    };
    for case in cases.iter().filter_map(Value::as_object) {
        if filter::holds(case.get("filter"), call.variables) {
            return evaluate(case.get("value")?, call.variables);
        }
    }
    evaluate(default?, call.variables).filter(|value| !value.is_null())
}

pub(super) fn check_case(argument: &Value) -> Checked {
    let cases = argument.as_array().or_else(|| argument.get("cases").and_then(Value::as_array));
    match cases {
        None => Err("takes a list of cases, or `cases` (a list) and `default`".into()),
        Some(cases) if !cases.iter().all(Value::is_object) => Err("takes cases with `filter` and `value`".into()),
        Some(_) => Ok(()),
    }
}

pub(super) fn map(call: &FormulaCall<'_>) -> Option<Value> {
    let options = call.argument.as_object()?;
    let value = options.get("value").and_then(|value| evaluate(value, call.variables));
    let mapping = options.get("mapping").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for item in mapping {
        let from = item.get("from").and_then(|from| evaluate(from, call.variables));
        if js::deeply_equal(value.as_ref(), from.as_ref()) || js::loosely_equal(value.as_ref(), from.as_ref()) {
            return evaluate(item.get("to")?, call.variables);
        }
    }
    evaluate(options.get("default")?, call.variables)
}

pub(super) fn check_map(argument: &Value) -> Checked {
    if argument.get("mapping").is_some_and(Value::is_array) {
        Ok(())
    } else {
        Err("takes `value`, `mapping` (a list of `from` and `to`) and `default`".into())
    }
}

/// The second key is the operator; an unknown or missing operator returns true.
pub(super) fn eval(call: &FormulaCall<'_>) -> Option<Value> {
    let Some((operator, operand)) =
        call.object.iter().nth(1).and_then(|(key, operand)| Some((operators::find(key)?, operand)))
    else {
        return Some(Value::Bool(true));
    };
    let value = call.value();
    let operand = evaluate(operand, call.variables);
    Some(Value::Bool(operator(value.as_ref(), operand.as_ref())))
}

pub(super) fn and(call: &FormulaCall<'_>) -> Option<Value> {
    let values = call.present_values()?;
    Some(Value::Bool(values.iter().all(|value| js::truthy(Some(value)))))
}

pub(super) fn or(call: &FormulaCall<'_>) -> Option<Value> {
    let values = call.present_values()?;
    Some(Value::Bool(values.iter().any(|value| js::truthy(Some(value)))))
}

/// The first value that is neither undefined nor null; `""`, 0, and `{}` count as values.
pub(super) fn first_not_empty(call: &FormulaCall<'_>) -> Option<Value> {
    call.present_values()?.into_iter().next()
}
