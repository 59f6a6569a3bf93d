//! The formulas: a table from each name to its check and its evaluation.

mod data;
mod dates;
mod jsonata;
mod logic;
mod people;
mod references;
mod strings;

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::evaluate;

/// A formula's implementation.
pub(super) struct Formula {
    /// Checks the argument.
    pub(super) check: fn(&Value) -> Checked,
    /// Evaluates the formula.
    pub(super) evaluate: fn(&FormulaCall<'_>) -> Option<Value>,
    /// Whether the argument contains further expressions.
    pub(super) nests: bool,
}

/// The error says what the argument must be, to follow the formula's name: `takes a list`.
pub(super) type Checked = Result<(), Cow<'static, str>>;

/// A formula in an expression, with its argument and variables.
pub(super) struct FormulaCall<'a> {
    /// The value of the formula's key.
    pub(super) argument: &'a Value,
    /// The whole object, whose first key is the formula's name.
    pub(super) object: &'a Map<String, Value>,
    /// The variables that `$var` reads.
    pub(super) variables: &'a Value,
}

impl FormulaCall<'_> {
    /// Evaluates the argument.
    fn value(&self) -> Option<Value> {
        evaluate(self.argument, self.variables)
    }

    /// Evaluates the argument's items and drops undefined and null; `None` if it isn't a list or nothing is left.
    fn present_values(&self) -> Option<Vec<Value>> {
        let Some(Value::Array(mut values)) = self.value() else { return None };
        values.retain(|value| !value.is_null());
        (!values.is_empty()).then_some(values)
    }
}

/// The names of all formulas, without their `$`.
pub(crate) const NAMES: [&str; 25] = [
    "var",
    "copy",
    "tpl",
    "record",
    "lookup",
    "plain",
    "map",
    "concat",
    "firstName",
    "lastName",
    "iterate",
    "case",
    "extractDate",
    "extractTime",
    "findExternalRecordId",
    "findAppRecordId",
    "eval",
    "and",
    "or",
    "mergeObjects",
    "firstNotEmpty",
    "domainFromEmail",
    "formula",
    "jsonata",
    "dataSchemaRef",
];

/// The formula with this name, without its `$`.
pub(super) fn find(name: &str) -> Option<Formula> {
    let nesting = |check, evaluate| Formula { check, evaluate, nests: true };
    let literal = |check, evaluate| Formula { check, evaluate, nests: false };
    Some(match name {
        "var" => literal(data::check_var, data::var),
        "plain" => literal(|_| Ok(()), |call| Some(call.argument.clone())),
        "formula" => literal(|_| Ok(()), data::formula),
        "mergeObjects" => nesting(check_list, data::merge_objects),
        "iterate" => nesting(data::check_iterate, data::iterate),
        "jsonata" => nesting(jsonata::check, jsonata::jsonata),
        "concat" => nesting(strings::check_concat, strings::concat),
        "tpl" => nesting(strings::check_tpl, strings::tpl),
        "domainFromEmail" => nesting(check_string, strings::domain_from_email),
        "firstName" => nesting(check_string, people::first_name),
        "lastName" => nesting(check_string, people::last_name),
        "extractDate" => nesting(check_string, dates::extract_date),
        "extractTime" => nesting(check_string, dates::extract_time),
        "case" => nesting(logic::check_case, logic::case),
        "map" => nesting(logic::check_map, logic::map),
        "eval" => nesting(|_| Ok(()), logic::eval),
        "and" => nesting(check_list, logic::and),
        "or" => nesting(check_list, logic::or),
        "firstNotEmpty" => nesting(check_list, logic::first_not_empty),
        "copy" => nesting(references::check_copy, references::copy),
        "record" => literal(references::check_record, references::record),
        "lookup" => nesting(check_object, |call| references::unresolved("$lookup", call)),
        "findExternalRecordId" => nesting(check_object, |call| references::unresolved("$findExternalRecordId", call)),
        "findAppRecordId" => nesting(check_object, |call| references::unresolved("$findAppRecordId", call)),
        "dataSchemaRef" => nesting(check_object, |_| None),
        _ => return None,
    })
}

/// The formula that an object is, and its argument.
pub(super) fn of(object: &Map<String, Value>) -> Option<(&str, Formula, &Value)> {
    let (key, argument) = object.iter().next()?;
    let name = key.strip_prefix('$')?;
    Some((name, find(name)?, argument))
}

fn is_formula(value: &Value) -> bool {
    value.as_object().and_then(of).is_some()
}

fn check_list(argument: &Value) -> Checked {
    if argument.is_array() || is_formula(argument) { Ok(()) } else { Err("takes a list".into()) }
}

fn check_string(argument: &Value) -> Checked {
    if argument.is_string() || is_formula(argument) {
        Ok(())
    } else {
        Err("takes a string, or a formula that returns one".into())
    }
}

fn check_object(argument: &Value) -> Checked {
    if argument.is_object() { Ok(()) } else { Err("takes an object".into()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_name_has_a_formula() {
        for name in super::NAMES {
            assert!(super::find(name).is_some(), "{name}");
        }
    }
}
