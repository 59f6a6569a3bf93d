//! Finds likely mistakes that the mapping language allows.

use serde_json::{Map, Value};

use super::check::MalformedValue;
use super::{formulas, operators};
use crate::connector::{pointer, spelling};

/// Finds unknown formulas, misplaced formulas, and unknown operators of `$eval`.
pub fn unknown_formulas(expression: &Value) -> Vec<MalformedValue> {
    let mut found = Vec::new();
    visit(expression, "", &mut found);
    found
}

fn visit(value: &Value, at: &str, found: &mut Vec<MalformedValue>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &pointer::child(at, &index.to_string()), found);
            }
        }
        Value::Object(object) => {
            let formula = formulas::of(object);
            match &formula {
                Some(("eval", ..)) => found.extend(unknown_operator(object, at)),
                Some(_) => {}
                None => {
                    found.extend(object.keys().enumerate().filter_map(|(index, key)| not_a_formula(index, key, at)))
                }
            }
            if formula.is_none_or(|(_, formula, _)| formula.nests) {
                for (key, value) in object {
                    visit(value, &pointer::child(at, key), found);
                }
            }
        }
        _ => {}
    }
}

fn not_a_formula(index: usize, key: &str, at: &str) -> Option<MalformedValue> {
    let name = key.strip_prefix('$')?;
    let (message, help) = if index > 0 && formulas::find(name).is_some() {
        (format!("{key} is not the first key, so it isn't a formula"), "move it into its own value".to_owned())
    } else if index == 0 {
        let help = match name {
            "template" => Some("use $tpl with `template` and `values`, or `auth` for Basic authentication".to_owned()),
            _ => did_you_mean(name, "$", &formulas::NAMES),
        };
        let help = help.unwrap_or_else(|| "use $plain to keep the key".to_owned());
        (format!("unknown formula {key}"), help)
    } else {
        return None;
    };
    Some(MalformedValue { pointer: pointer::child(at, key), message, help })
}

fn unknown_operator(object: &Map<String, Value>, at: &str) -> Option<MalformedValue> {
    let (message, help, pointer) = match object.keys().nth(1) {
        Some(operator) if operators::find(operator).is_some() => return None,
        Some(operator) => (
            format!("unknown operator {operator}, so $eval is always true"),
            did_you_mean(operator, "", &operators::NAMES)
                .unwrap_or_else(|| format!("write one of {}", operators::NAMES.join(", "))),
            pointer::child(at, operator),
        ),
        None => (
            "$eval has no operator, so it is always true".to_owned(),
            format!("add one of {}", operators::NAMES.join(", ")),
            pointer::child(at, "$eval"),
        ),
    };
    Some(MalformedValue { pointer, message, help })
}

fn did_you_mean(written: &str, prefix: &str, known: &[&str]) -> Option<String> {
    let meant = spelling::nearest(written, known.iter().copied())?;
    Some(format!("did you mean {prefix}{meant}?"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::unknown_formulas;

    fn lines(expression: Value) -> Vec<String> {
        unknown_formulas(&expression).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_nearest_formula_is_suggested() {
        let lines = lines(json!({"a": [{"$conact": ["x"]}], "b": {"$firstNotempty": [{"$template": 1}]}}));
        assert!(lines[0].starts_with("/a/0/$conact: unknown formula $conact; did you mean $concat?"), "{lines:?}");
        assert!(lines[1].contains("$firstNotEmpty"), "{lines:?}");
        assert!(lines[2].starts_with("/b/$firstNotempty/0/$template"), "{lines:?}");
    }

    #[test]
    fn a_formula_that_is_not_the_first_key_is_reported() {
        let lines = lines(json!({"a": 1, "$var": "x", "$other": 2}));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("/$var: $var is not the first key"), "{lines:?}");
    }

    #[test]
    fn an_eval_without_a_known_operator_is_reported() {
        let lines = lines(json!([{"$eval": 1, "equals": 1}, {"$eval": 1}, {"$eval": 1, "isnot": 2}]));
        assert!(lines[0].starts_with("/0/equals: unknown operator equals"), "{lines:?}");
        assert!(lines[1].contains("no operator, so"), "{lines:?}");
        assert!(lines[2].contains("did you mean isNot?"), "{lines:?}");
    }

    #[test]
    fn plain_values_may_contain_anything() {
        assert_eq!(lines(json!({"$plain": {"$x": 1}})), Vec::<String>::new());
        assert_eq!(lines(json!({"$concat": [{"$var": "x"}]})), Vec::<String>::new());
    }
}
