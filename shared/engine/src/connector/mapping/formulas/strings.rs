//! Formulas that build strings.

use serde_json::{Map, Value};

use super::{Checked, FormulaCall};
use crate::connector::mapping::{evaluate, js};

pub(super) fn concat(call: &FormulaCall<'_>) -> Option<Value> {
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

pub(super) fn check_concat(argument: &Value) -> Checked {
    let values = if argument.is_array() { Some(argument) } else { argument.get("values") };
    match values {
        Some(Value::Array(_) | Value::Object(_)) => Ok(()),
        _ => Err("takes a list, or `values` (a list) and `delimiter`".into()),
    }
}

/// Fills in all values in one pass: a placeholder inside a value is not filled in.
pub(super) fn tpl(call: &FormulaCall<'_>) -> Option<Value> {
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

pub(super) fn check_tpl(argument: &Value) -> Checked {
    let values_fit = argument.get("values").is_none_or(|values| values.is_object() || values.is_null());
    if argument.get("template").is_some_and(Value::is_string) && values_fit {
        Ok(())
    } else {
        Err("takes `template` (a string) and `values` (an object)".into())
    }
}

/// The part after the only `@`.
pub(super) fn domain_from_email(call: &FormulaCall<'_>) -> Option<Value> {
    let address = call.value()?;
    let (_, domain) = address.as_str()?.split_once('@')?;
    (!domain.contains('@')).then(|| Value::from(domain))
}
