//! The mapping language: JSON in which some objects are formulas over variables.
//!
//! An object whose *first* key is `$` plus the name of a formula is that formula; everything else is copied. Undefined
//! (`None`) is not null: keys and array items with an undefined value are dropped, and an object or array that loses
//! everything this way is itself undefined. A literal `{}` or `[]` stays.
//!
//! ```yaml
//! Authorization: { $concat: ["Bearer ", { $var: credentials.access_token }] }
//! ```
//!
//! # Decisions
//!
//! All 25 formulas are implemented. Of Membrane's two evaluators, this one follows the synchronous one (`buildData`),
//! which applies lists of conditions and copies. `tests/tests/interop/mapping` compares 20,000 generated expressions
//! with `@membranehq/sdk` 0.28.3 on every run; `shared/connectors/FORMAT.md` lists the intended differences.

mod check;
mod copy;
mod date;
mod filter;
mod formulas;
pub(crate) mod js;
mod lint;
mod locator;
mod operators;

pub use check::MalformedValue;
#[cfg(test)]
pub(crate) use formulas::NAMES;
pub use lint::unknown_formulas;
pub(crate) use locator::names as names_in_locator;
use serde_json::{Map, Value, json};

/// A checked expression. Its `Debug` output hides the content, since the file may contain secrets.
#[derive(Clone, PartialEq)]
pub struct Mapping(Value);

impl Mapping {
    /// Checks an expression and wraps it.
    ///
    /// # Errors
    ///
    /// Every malformed formula.
    pub fn parse(expression: Value) -> Result<Self, Vec<MalformedValue>> {
        let malformed = check::check(&expression);
        if malformed.is_empty() { Ok(Self(expression)) } else { Err(malformed) }
    }

    /// Leaves the values under `key` unevaluated.
    ///
    /// They are formulas for later (an API client's `responseHandlers`, for example): they are checked now, and become a
    /// separate [`Mapping`] once their variables exist.
    #[must_use]
    pub fn leaving(mut self, key: &str) -> Self {
        leave(&mut self.0, key);
        self
    }

    /// The expression, for checks of the variables it uses.
    pub(super) fn expression(&self) -> &Value {
        &self.0
    }

    /// Returns the first variable in a member of the expression that has no value.
    pub fn undefined_in(&self, key: &str, variables: &Value) -> Option<String> {
        undefined(self.0.get(key)?, variables)
    }

    /// Evaluates the expression; `None` is undefined.
    pub fn evaluate(&self, variables: &Value) -> Option<Value> {
        copy::resolve(evaluate(&self.0, variables)?, variables)
    }
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mapping(…)")
    }
}

fn evaluate(expression: &Value, variables: &Value) -> Option<Value> {
    match expression {
        Value::Array(items) if !items.is_empty() => {
            let items: Vec<Value> = items.iter().filter_map(|item| evaluate(item, variables)).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(object) if !object.is_empty() => evaluate_object(object, variables),
        unchanged => Some(unchanged.clone()),
    }
}

fn evaluate_object(object: &Map<String, Value>, variables: &Value) -> Option<Value> {
    if let Some((_, formula, argument)) = formulas::of(object) {
        return (formula.evaluate)(&formulas::FormulaCall { argument, object, variables });
    }
    let values: Map<String, Value> =
        object.iter().filter_map(|(key, value)| Some((key.clone(), evaluate(value, variables)?))).collect();
    (!values.is_empty()).then_some(Value::Object(values))
}

fn undefined(expression: &Value, variables: &Value) -> Option<String> {
    match expression {
        Value::Array(items) => items.iter().find_map(|item| undefined(item, variables)),
        Value::Object(object) => match object.get("$var").and_then(Value::as_str) {
            Some(locator) => {
                let value = evaluate(expression, variables).filter(|value| !value.is_null());
                value.is_none().then(|| locator.to_owned())
            }
            // One of several is enough.
            None if object.contains_key("$firstNotEmpty") => None,
            None => object.values().find_map(|value| undefined(value, variables)),
        },
        _ => None,
    }
}

fn leave(expression: &mut Value, key: &str) {
    match expression {
        Value::Array(items) => items.iter_mut().for_each(|item| leave(item, key)),
        Value::Object(object) if formulas::of(object).is_some_and(|(_, formula, _)| !formula.nests) => {}
        Value::Object(object) => {
            for (name, value) in object {
                if name == key {
                    *value = json!({ "$plain": value.take() });
                } else {
                    leave(value, key);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
