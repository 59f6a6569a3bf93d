//! Traces where the parts of a string come from, by reading a mapping for its possible results.
//!
//! Formulas that choose or join are followed, so the position of each part is known. For all others, and for JSONata, any
//! value that they name may be at any position.

use serde_json::{Value, json};

use crate::connector::mapping::names_in_locator;

/// The variable that a value comes from, with the path in it; an empty path is the whole variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// An input of the end user.
    Input(String),
    /// The stored credentials.
    Credential(String),
    /// The integration's parameters.
    Parameter(String),
    /// The query of the callback, which comes from the browser.
    Callback(String),
}

/// A part of a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A literal.
    Text(String),
    /// A value with any of these origins; empty if none is of interest.
    From(Vec<Origin>),
}

/// One of the possible results of an expression.
pub(super) type Shape = Vec<Part>;

type OriginOf = fn(String) -> Origin;

const VARIABLES: [(&str, OriginOf); 5] = [
    ("connectionParameters", Origin::Input),
    ("connectionInput", Origin::Input),
    ("credentials", Origin::Credential),
    ("connectorParameters", Origin::Parameter),
    ("queryParameters", Origin::Callback),
];

/// The maximum number of alternatives; more of them are merged into one.
const MOST: usize = 64;

/// The possible results of an expression; `whole` is the mapping that contains it.
pub(super) fn shapes(expression: &Value, whole: &Value) -> Vec<Shape> {
    let shapes = follow(expression, whole);
    if shapes.len() > MOST { vec![anywhere(expression, whole)] } else { shapes }
}

fn follow(expression: &Value, whole: &Value) -> Vec<Shape> {
    let each = |values: Vec<&Value>| values.into_iter().flat_map(|value| shapes(value, whole)).collect();
    match formula(expression) {
        None => match expression {
            Value::String(text) => vec![vec![Part::Text(text.clone())]],
            Value::Number(number) => vec![vec![Part::Text(number.to_string())]],
            Value::Null | Value::Bool(_) => Vec::new(),
            Value::Array(_) | Value::Object(_) => vec![anywhere(expression, whole)],
        },
        Some(("$plain", argument)) => {
            argument.as_str().map(|text| vec![Part::Text(text.to_owned())]).into_iter().collect()
        }
        Some(("$eval" | "$and" | "$or" | "$dataSchemaRef", _)) => Vec::new(),
        Some(("$firstNotEmpty", Value::Array(items))) => each(items.iter().collect()),
        Some(("$case" | "$map", argument)) => each(choices(argument)),
        Some(("$concat", argument)) => joined(argument, whole).unwrap_or_else(|| vec![anywhere(expression, whole)]),
        Some(("$tpl", argument)) => filled(argument, whole),
        Some(("$jsonata", Value::String(text))) => vec![of_jsonata(text)],
        Some(_) => vec![anywhere(expression, whole)],
    }
}

/// The possible values of a key in an expression's result, with their pointers in the file.
pub(super) fn members(expression: &Value, at: &str, key: &str) -> Vec<(Value, String)> {
    let under = |value: &Value, step: String| members(value, &format!("{at}/{step}"), key);
    match formula(expression) {
        None => expression.get(key).map(|value| (value.clone(), format!("{at}/{key}"))).into_iter().collect(),
        Some(("$plain", _)) => Vec::new(),
        Some((name @ ("$mergeObjects" | "$firstNotEmpty"), Value::Array(items))) => {
            items.iter().enumerate().flat_map(|(index, item)| under(item, format!("{name}/{index}"))).collect()
        }
        Some((name @ ("$case" | "$map"), argument)) => {
            choices(argument).into_iter().flat_map(|value| under(value, name.to_owned())).collect()
        }
        Some(("$var", Value::String(locator))) => {
            vec![(json!({ "$var": format!("{locator}.{key}") }), at.to_owned())]
        }
        Some(_) => vec![(expression.clone(), at.to_owned())],
    }
}

/// All origins that an expression names.
pub(super) fn origins(expression: &Value) -> Vec<Origin> {
    let mut found = Vec::new();
    collect(expression, &mut found);
    found
}

/// The origins that a JSONata expression or a script names.
pub(super) fn named_in(text: &str) -> Vec<Origin> {
    let mut found = Vec::new();
    for (variable, origin) in VARIABLES {
        for (at, _) in text.match_indices(variable) {
            let is_part = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = &text[at + variable.len()..];
            if is_part || rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            found.push(origin(name_behind(rest)));
        }
    }
    if text.contains("$$") {
        found.extend(everything());
    }
    found
}

/// Like [`named_in`], but also finds variables used without their names: as the context (`$`), or with a wildcard.
fn named_in_jsonata(text: &str) -> Vec<Origin> {
    let mut found = named_in(text);
    let is_nameless = text.char_indices().any(|(at, c)| match c {
        '$' => !text[at + 1..].starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$'),
        // After a value it multiplies, and after a dot it continues a path whose start counts.
        '*' => {
            let before = text[..at].trim_end();
            !before
                .ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '}' | '`' | '"' | '\'' | '.'))
        }
        _ => false,
    });
    if is_nameless {
        found.extend(everything());
    }
    found
}

/// All variables, each as a whole.
fn everything() -> Vec<Origin> {
    VARIABLES.map(|(_, origin)| origin(String::new())).into()
}

/// The formula that an object is, and its argument.
pub(super) fn formula(value: &Value) -> Option<(&str, &Value)> {
    let (key, argument) = value.as_object()?.iter().next()?;
    key.starts_with('$').then_some((key.as_str(), argument))
}

fn anywhere(expression: &Value, whole: &Value) -> Shape {
    let mut found = origins(expression);
    // A copy may repeat any part of the result.
    if expression.to_string().contains("\"$copy\"") {
        found.extend(origins(whole));
    }
    vec![Part::From(found)]
}

fn collect(value: &Value, found: &mut Vec<Origin>) {
    match (formula(value), value) {
        (Some(("$plain", _)), _) => {}
        (Some(("$var", Value::String(locator))), _) => found.extend(of_locator(locator)),
        (Some(("$jsonata", Value::String(text))), _) => found.extend(named_in_jsonata(text)),
        // A computed expression may name anything.
        (Some(("$jsonata", _)), _) => found.extend(everything()),
        (_, Value::Array(items)) => items.iter().for_each(|item| collect(item, found)),
        (_, Value::Object(object)) => object.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

fn of_locator(locator: &str) -> Vec<Origin> {
    let names = names_in_locator(locator).unwrap_or_default();
    // `parent` occurs inside $iterate.
    let mut names = names.into_iter().skip_while(|name| name == "parent");
    let Some(variable) = names.next() else { return everything() };
    let name = names.collect::<Vec<_>>().join(".");
    VARIABLES.iter().filter(|(known, _)| *known == variable).map(|(_, origin)| origin(name.clone())).collect()
}

fn name_behind(rest: &str) -> String {
    let rest = rest.strip_prefix('?').unwrap_or(rest);
    let Some(rest) = rest.strip_prefix('.') else { return String::new() };
    let rest = rest.trim_start_matches('`');
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
}

/// The values that $case and $map choose from.
fn choices(argument: &Value) -> Vec<&Value> {
    let list = argument.as_array().or_else(|| argument.get("cases")?.as_array());
    let mapping = argument.get("mapping").and_then(Value::as_array);
    let cases = list.into_iter().flatten().filter_map(|case| case.get("value"));
    let mapped = mapping.into_iter().flatten().filter_map(|case| case.get("to"));
    cases.chain(mapped).chain(argument.get("default")).collect()
}

fn joined(argument: &Value, whole: &Value) -> Option<Vec<Shape>> {
    let (values, delimiter) = match argument {
        Value::Array(values) => (values, None),
        argument => (argument.get("values")?.as_array()?, argument.get("delimiter")),
    };
    let delimiters = delimiter.map_or_else(|| vec![Vec::new()], |delimiter| shapes(delimiter, whole));
    let mut joined: Vec<Shape> = vec![Vec::new()];
    for (index, value) in values.iter().enumerate() {
        let mut next = shapes(value, whole);
        if next.is_empty() {
            continue;
        }
        if index > 0 {
            next = product(&delimiters, &next)?;
        }
        joined = product(&joined, &next)?;
    }
    Some(joined)
}

fn filled(argument: &Value, whole: &Value) -> Vec<Shape> {
    let template = argument.get("template").and_then(Value::as_str).unwrap_or_default();
    let values = argument.get("values").and_then(Value::as_object);
    let find = |name: &str| values.and_then(|values| values.get(name));
    fill(template, |name| find(name).map(|value| shapes(value, whole)))
        .unwrap_or_else(|| vec![anywhere(argument, whole)])
}

/// The possible results of a template, with `shapes_of` giving each placeholder's; `None` if there are too many.
pub(super) fn fill(template: &str, shapes_of: impl Fn(&str) -> Option<Vec<Shape>>) -> Option<Vec<Shape>> {
    let mut filled: Vec<Shape> = vec![Vec::new()];
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let inside = rest[open + 1..].split_once('}');
        let values = inside.and_then(|(name, after)| Some((shapes_of(name)?, after)));
        let (mut parts, after) = match values {
            Some((values, after)) => (values, after),
            None => (vec![vec![Part::Text("{".to_owned())]], &rest[open + 1..]),
        };
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        filled = product(&filled, &[vec![Part::Text(rest[..open].to_owned())]])?;
        filled = product(&filled, &parts)?;
        rest = after;
    }
    product(&filled, &[vec![Part::Text(rest.to_owned())]])
}

/// Every combination of one shape followed by the other.
fn product(one: &[Shape], other: &[Shape]) -> Option<Vec<Shape>> {
    let both = one.iter().flat_map(|before| other.iter().map(|after| [before.as_slice(), after].concat()));
    (one.len() * other.len() <= MOST).then(|| both.collect())
}

/// The shape of a JSONata expression. Positions are known only for a literal with other values appended to it.
fn of_jsonata(text: &str) -> Shape {
    let trimmed = text.trim_start();
    let quoted = trimmed.strip_prefix('"').and_then(|rest| rest.split_once('"'));
    match quoted {
        Some((literal, rest))
            if rest.trim_start().starts_with('&') && !rest.contains(['?', '(', ';', '~', '{', '[']) =>
        {
            vec![Part::Text(literal.to_owned()), Part::From(named_in_jsonata(rest))]
        }
        _ => vec![Part::From(named_in_jsonata(text))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::mapping::NAMES;

    #[test]
    fn every_formulas_possible_results_are_traced() {
        let credential = json!({"$var": "credentials.x"});
        for name in NAMES {
            let argument = match name {
                "var" => json!("credentials.x"),
                "jsonata" => json!("credentials.x"),
                "tpl" => json!({"template": "{a}", "values": {"a": credential}}),
                "map" => json!({"value": 1, "mapping": [{"from": 1, "to": credential}]}),
                "case" => json!([{"filter": {}, "value": credential}]),
                "iterate" => json!({"source": [1], "item": {"$var": "parent.credentials.x"}}),
                "copy" => json!("elsewhere"),
                "mergeObjects" | "firstNotEmpty" | "concat" => json!([credential]),
                _ => json!({"argument": credential}),
            };
            let expression = json!({ format!("${name}"): argument });
            let whole = json!({"elsewhere": credential, "here": expression});
            let parts = shapes(&expression, &whole).concat();
            let is_found = parts.contains(&Part::From(vec![Origin::Credential("x".to_owned())]));
            let is_none = matches!(name, "plain" | "eval" | "and" | "or" | "dataSchemaRef");
            assert_eq!(is_found, !is_none, "${name}: {parts:?}");
        }
    }

    #[test]
    fn variables_in_scripts_are_found() {
        let input = |name: &str| Origin::Input(name.to_owned());
        assert_eq!(named_in("connectionParameters?.shop + myconnectionInput.x"), [input("shop")]);
        assert_eq!(named_in("$lookup($, 'connectionInput')"), [input("")]);
        assert_eq!(named_in("$$.x").len(), 5);
    }

    #[test]
    fn variables_are_found_without_their_names() {
        for expression in [
            json!({"$var": "connection\\Parameters.h"}),
            json!({"$jsonata": {"$concat": ["'https://' & connection", "Parameters.h"]}}),
            json!({"$jsonata": "'https://' & $sift($, function($v, $k){$k ~> /^connectionP/}).*.h"}),
            json!({"$jsonata": "'https://' & (**.h)[0]"}),
            json!({"$jsonata": "\"https://\" & *.h"}),
        ] {
            let parts = shapes(&expression, &expression).concat();
            let is_input = |origin: &Origin| matches!(origin, Origin::Input(_));
            let is_found = parts.iter().any(|part| matches!(part, Part::From(from) if from.iter().any(is_input)));
            assert!(is_found, "{expression}: {parts:?}");
        }
        assert_eq!(named_in_jsonata("a.b * 2 & c.*"), []);
    }

    #[test]
    fn alternatives_are_limited() {
        let choice = json!({"$firstNotEmpty": ["a", "b", "c"]});
        let many = json!({"$concat": [choice, choice, choice, choice, choice]});
        assert_eq!(shapes(&many, &many), [[Part::From(Vec::new())]]);
    }
}
