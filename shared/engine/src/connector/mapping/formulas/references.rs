//! Formulas that refer to something outside the variables: another part of the result, or a record in Membrane.

use serde_json::{Map, Value, json};

use super::{Checked, FormulaCall, is_formula};
use crate::connector::mapping::copy;

/// A mark that is replaced by the copy once the whole result is complete.
pub(super) fn copy(call: &FormulaCall<'_>) -> Option<Value> {
    Some(copy::mark(call.value()?))
}

pub(super) fn check_copy(argument: &Value) -> Checked {
    if argument.is_string() || is_formula(argument) {
        Ok(())
    } else {
        Err("takes a locator in the result, such as `headers.Authorization`".into())
    }
}

/// The literal id.
pub(super) fn record(call: &FormulaCall<'_>) -> Option<Value> {
    call.argument.as_object()?.get("id").cloned()
}

pub(super) fn check_record(argument: &Value) -> Checked {
    if argument.get("id").is_some() { Ok(()) } else { Err("takes an object with `id`".into()) }
}

/// The formula with its argument evaluated, since Larder cannot look up records.
pub(super) fn unresolved(name: &str, call: &FormulaCall<'_>) -> Option<Value> {
    Some(call.value().map_or_else(|| Value::Object(Map::new()), |argument| json!({ name: argument })))
}
