//! The mapping language: JSON in which some objects are formulas over variables.
//!
//! An object whose *first* key is `$` and the name of a formula is that formula; everything else is copied. Undefined
//! (`None`) is not null: a key whose value is undefined is dropped, an item is left out of its array, and an object or
//! array that loses everything this way is undefined itself. What was written as `{}` or `[]` stays.
//!
//! ```yaml
//! Authorization: { $concat: ["Bearer ", { $var: credentials.access_token }] }
//! ```

mod check;
mod filter;
mod formulas;
pub(crate) mod js;
mod locator;
mod operators;

pub use check::Malformed;

use serde_json::{Map, Value};

/// An expression that has been checked. Its `Debug` says nothing, as secrets may have been written into a file.
#[derive(Clone, PartialEq)]
pub struct Mapping(Value);

impl Mapping {
    /// Checks an expression.
    ///
    /// # Errors
    ///
    /// Every formula that is malformed or not supported yet.
    pub fn parse(expression: Value) -> Result<Self, Vec<Malformed>> {
        let malformed = check::check(&expression);
        if malformed.is_empty() { Ok(Self(expression)) } else { Err(malformed) }
    }

    /// The value of the expression; `None` is undefined.
    pub fn evaluate(&self, variables: &Value) -> Option<Value> {
        evaluate(&self.0, variables)
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
    let formula = object.iter().next().and_then(|(key, argument)| {
        let formula = formulas::find(key.strip_prefix('$')?)?;
        Some((formula, formulas::Call { argument, object, variables }))
    });
    if let Some((formula, call)) = formula {
        return (formula.evaluate)(&call);
    }
    let values: Map<String, Value> =
        object.iter().filter_map(|(key, value)| Some((key.clone(), evaluate(value, variables)?))).collect();
    (!values.is_empty()).then_some(Value::Object(values))
}

#[cfg(test)]
mod tests;
