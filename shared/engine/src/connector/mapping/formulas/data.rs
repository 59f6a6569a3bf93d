//! Formulas that read and restructure the variables.

use serde_json::{Map, Value, json};

use super::{Checked, FormulaCall, of};
use crate::connector::mapping::{evaluate, js, locator};

/// A missing variable is undefined; an invalid locator is null.
pub(super) fn var(call: &FormulaCall<'_>) -> Option<Value> {
    let Some(steps) = call.argument.as_str().and_then(locator::parse) else { return Some(Value::Null) };
    locator::find(call.variables, &steps).map(locator::LocatedValue::into_value)
}

pub(super) fn check_var(argument: &Value) -> Checked {
    if argument.is_string() { Ok(()) } else { Err("takes a locator, such as `credentials.access_token`".into()) }
}

/// Merges only objects; Membrane's evaluator also treats an array as an object with numeric keys.
pub(super) fn merge_objects(call: &FormulaCall<'_>) -> Option<Value> {
    let mut merged = Map::new();
    for value in call.present_values()? {
        if let Value::Object(object) = value {
            merged.extend(object);
        }
    }
    (!merged.is_empty()).then_some(Value::Object(merged))
}

/// Evaluates `item` for each value of the source, with the variables `item`, `parent`, and `index`. Falsy results are dropped.
pub(super) fn iterate(call: &FormulaCall<'_>) -> Option<Value> {
    let Some(Value::Array(source)) = evaluate(call.argument.get("source")?, call.variables) else { return None };
    let item = call.argument.get("item")?;
    let mut variables = json!({ "item": null, "parent": call.variables, "index": 0 });
    let mut results = Vec::new();
    for (index, value) in source.into_iter().enumerate() {
        variables["item"] = value;
        variables["index"] = index.into();
        results.extend(evaluate(item, &variables).filter(|result| js::truthy(Some(result))));
    }
    (!results.is_empty()).then_some(Value::Array(results))
}

pub(super) fn check_iterate(argument: &Value) -> Checked {
    if argument.get("source").is_some() && argument.get("item").is_some() {
        Ok(())
    } else {
        Err("takes `source` (a list) and `item` (the result for each value, using `item`, `parent` and `index`)".into())
    }
}

/// The argument, usually another formula, with the variables substituted.
pub(super) fn formula(call: &FormulaCall<'_>) -> Option<Value> {
    with_variables(call.argument, call.variables)
}

fn with_variables(value: &Value, variables: &Value) -> Option<Value> {
    match value {
        Value::Array(items) => Some(items.iter().filter_map(|item| with_variables(item, variables)).collect()),
        Value::Object(object) => {
            let formula = of(object).map(|(name, ..)| name);
            if formula == Some("var") {
                return evaluate(value, variables);
            }
            let put_in = |(key, value): (&String, &Value)| Some((key.clone(), with_variables(value, variables)?));
            if formula != Some("iterate") {
                return Some(Value::Object(object.iter().filter_map(put_in).collect()));
            }
            // Only the source of an iteration uses these variables.
            let mut iterate = value.clone();
            if let Some(argument) =
                iterate["$iterate"].as_object_mut().filter(|argument| argument.contains_key("source"))
            {
                match with_variables(&argument["source"], variables) {
                    Some(source) => argument["source"] = source,
                    None => drop(argument.shift_remove("source")),
                }
            }
            Some(iterate)
        }
        scalar => Some(scalar.clone()),
    }
}
