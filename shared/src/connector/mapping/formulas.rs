//! The formulas: one table from a name to what checks and what evaluates it.

use super::{evaluate, filter, js, locator, operators};
use serde_json::{Map, Value};

/// A formula that can be evaluated.
pub(super) struct Formula {
    /// Says what is wrong with an argument that cannot be meant.
    pub(super) check: fn(&Value) -> Result<(), &'static str>,
    /// Evaluates the formula.
    pub(super) evaluate: fn(&Call<'_>) -> Option<Value>,
    /// Whether the argument holds further expressions.
    pub(super) nests: bool,
}

/// One formula in an expression.
pub(super) struct Call<'a> {
    /// What stands behind the formula's name.
    pub(super) argument: &'a Value,
    /// The whole object, of which the name is the first key.
    pub(super) object: &'a Map<String, Value>,
    /// What `$var` reads.
    pub(super) variables: &'a Value,
}

/// The formula of a name without its `$`. To add one, add a line here and take it off [`NOT_YET`].
pub(super) fn find(name: &str) -> Option<Formula> {
    let nesting = |check, evaluate| Formula { check, evaluate, nests: true };
    let literal = |check, evaluate| Formula { check, evaluate, nests: false };
    Some(match name {
        "var" => literal(check_var, var),
        "plain" => literal(|_| Ok(()), |call| Some(call.argument.clone())),
        "concat" => nesting(check_concat, concat),
        "tpl" => nesting(check_tpl, tpl),
        "case" => nesting(check_case, case),
        "map" => nesting(check_map, map),
        "eval" => nesting(|_| Ok(()), eval),
        "and" => nesting(check_list, and),
        "or" => nesting(check_list, or),
        "firstNotEmpty" => nesting(check_list, first_not_empty),
        "mergeObjects" => nesting(check_list, merge_objects),
        _ => return None,
    })
}

/// Formulas of the language that are not written yet.
pub(super) const NOT_YET: [&str; 14] = [
    "copy",
    "record",
    "lookup",
    "firstName",
    "lastName",
    "iterate",
    "extractDate",
    "extractTime",
    "findExternalRecordId",
    "findAppRecordId",
    "domainFromEmail",
    "formula",
    "jsonata",
    "dataSchemaRef",
];

/// A missing variable is undefined, an invalid locator null.
fn var(call: &Call<'_>) -> Option<Value> {
    let Some(steps) = call.argument.as_str().and_then(locator::parse) else { return Some(Value::Null) };
    locator::find(call.variables, &steps).map(locator::Found::into_value)
}

fn check_var(argument: &Value) -> Result<(), &'static str> {
    if argument.is_string() { Ok(()) } else { Err("takes a locator, such as `credentials.access_token`") }
}

fn concat(call: &Call<'_>) -> Option<Value> {
    let (values, delimiter) = match call.argument {
        Value::Object(options) => (options.get("values")?, options.get("delimiter").filter(|given| !given.is_null())),
        values => (values, None),
    };
    let Some(Value::Array(mut values)) = evaluate(values, call.variables) else { return None };
    if values.is_empty() {
        return None;
    }
    let delimiter = delimiter.map_or_else(String::new, |given| js::string(evaluate(given, call.variables).as_ref()));
    values.retain(|value| !value.is_null() && !js::string(Some(value)).is_empty());
    Some(Value::String(js::join(&values, &delimiter)))
}

fn check_concat(argument: &Value) -> Result<(), &'static str> {
    let values = if argument.is_array() { Some(argument) } else { argument.get("values") };
    match values {
        Some(Value::Array(_) | Value::Object(_)) => Ok(()),
        _ => Err("takes a list, or `values` (a list) and `delimiter`"),
    }
}

/// Values are put in at once: text that a value brings is not searched for further placeholders.
fn tpl(call: &Call<'_>) -> Option<Value> {
    let template = call.argument.get("template")?.as_str()?;
    let no_values = Map::new();
    let values = call.argument.get("values").and_then(Value::as_object).unwrap_or(&no_values);
    let mut text = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        rest = &rest[open..];
        let placeholder = values
            .iter()
            .find(|(name, _)| rest[1..].strip_prefix(name.as_str()).is_some_and(|after| after.starts_with('}')));
        if let Some((name, value)) = placeholder {
            let value = evaluate(value, call.variables).filter(|value| !value.is_null());
            text.push_str(&value.map_or_else(String::new, |value| js::string(Some(&value))));
            rest = &rest[name.len() + 2..];
        } else {
            text.push('{');
            rest = &rest[1..];
        }
    }
    text.push_str(rest);
    Some(Value::String(text))
}

fn check_tpl(argument: &Value) -> Result<(), &'static str> {
    let values_fit = argument.get("values").is_none_or(|values| values.is_object() || values.is_null());
    if argument.get("template").is_some_and(Value::is_string) && values_fit {
        Ok(())
    } else {
        Err("takes `template` (a text) and `values` (an object)")
    }
}

/// A default that evaluates to null is undefined, as in Membrane's evaluator; a case's value may be null.
fn case(call: &Call<'_>) -> Option<Value> {
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

fn check_case(argument: &Value) -> Result<(), &'static str> {
    let cases = argument.as_array().or_else(|| argument.get("cases").and_then(Value::as_array));
    match cases {
        None => Err("takes a list of cases, or `cases` (a list) and `default`"),
        Some(cases) if !cases.iter().all(Value::is_object) => Err("takes cases of the form `filter` and `value`"),
        Some(_) => Ok(()),
    }
}

fn map(call: &Call<'_>) -> Option<Value> {
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

fn check_map(argument: &Value) -> Result<(), &'static str> {
    if argument.get("mapping").is_some_and(Value::is_array) {
        Ok(())
    } else {
        Err("takes `value`, `mapping` (a list of `from` and `to`) and `default`")
    }
}

/// The second key is the operator; without one that is known, true.
fn eval(call: &Call<'_>) -> Option<Value> {
    let Some((operator, operand)) =
        call.object.iter().nth(1).and_then(|(key, operand)| Some((operators::find(key)?, operand)))
    else {
        return Some(Value::Bool(true));
    };
    let value = evaluate(call.argument, call.variables);
    let operand = evaluate(operand, call.variables);
    Some(Value::Bool(operator(value.as_ref(), operand.as_ref())))
}

fn and(call: &Call<'_>) -> Option<Value> {
    let values = present_values(call)?;
    Some(Value::Bool(values.iter().all(|value| js::truthy(Some(value)))))
}

fn or(call: &Call<'_>) -> Option<Value> {
    let values = present_values(call)?;
    Some(Value::Bool(values.iter().any(|value| js::truthy(Some(value)))))
}

/// Present is what is neither undefined nor null: `""`, 0 and `{}` are.
fn first_not_empty(call: &Call<'_>) -> Option<Value> {
    present_values(call)?.into_iter().next()
}

/// Only objects are merged; Membrane's evaluator also takes an array for an object with numbered keys.
fn merge_objects(call: &Call<'_>) -> Option<Value> {
    let mut merged = Map::new();
    for value in present_values(call)? {
        if let Value::Object(object) = value {
            merged.extend(object);
        }
    }
    (!merged.is_empty()).then_some(Value::Object(merged))
}

/// The argument's items without undefined and null; `None` if it is no list or none is left.
fn present_values(call: &Call<'_>) -> Option<Vec<Value>> {
    let Some(Value::Array(mut values)) = evaluate(call.argument, call.variables) else { return None };
    values.retain(|value| !value.is_null());
    (!values.is_empty()).then_some(values)
}

fn check_list(argument: &Value) -> Result<(), &'static str> {
    let is_formula =
        argument.as_object().and_then(|object| object.keys().next()).is_some_and(|key| key.starts_with('$'));
    if argument.is_array() || is_formula { Ok(()) } else { Err("takes a list") }
}
