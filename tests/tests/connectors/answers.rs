//! Answers that a preset can read: JSON with everything that its mappings look for. The facts say nothing about these.

use serde_json::{Map, Value, json};

/// The variable with a response's body.
const DATA: &str = "response.data";

/// The variable with its headers.
const HEADERS: &str = "response.headers.";

/// The headers that these mappings look for.
pub(crate) fn headers(mappings: &[&Value]) -> Vec<String> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '-';
    let texts = mappings.iter().map(ToString::to_string);
    let names = texts.flat_map(|text| {
        let rests: Vec<String> = text.split(HEADERS).skip(1).map(str::to_owned).collect();
        rests.into_iter().map(move |rest| rest.chars().take_while(|char| is_part(*char)).collect())
    });
    names.collect()
}

/// A body with every value that these mappings look for.
pub(crate) fn body(mappings: &[&Value]) -> Value {
    let mut body = Value::Null;
    for mapping in mappings {
        look(mapping, None, &mut body);
    }
    if body.is_null() { json!({}) } else { body }
}

/// Finds locators in a mapping. `name` is the member that gets the value.
fn look(mapping: &Value, name: Option<&str>, body: &mut Value) {
    let value = match name {
        Some("expires_in") => json!(3600),
        _ => json!("sample"),
    };
    match mapping {
        Value::String(text) => {
            for path in paths(text) {
                put(body, &path, value.clone());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| look(item, name, body)),
        Value::Object(object) => {
            let wanted = object.get("is").filter(|_| object.contains_key("$eval"));
            let locator = object.get("$eval").and_then(|eval| eval.get("$var")).and_then(Value::as_str);
            if let (Some(wanted), Some(locator)) = (wanted, locator) {
                return paths(locator).for_each(|path| put(body, &path, wanted.clone()));
            }
            for (key, inside) in object {
                look(inside, if key.starts_with('$') { name } else { Some(key) }, body);
            }
        }
        _ => {}
    }
}

/// A member's name, or an index.
#[derive(Debug, PartialEq)]
enum Segment {
    Member(String),
    Index,
}

/// The paths into a response's body in a string.
fn paths(text: &str) -> impl Iterator<Item = Vec<Segment>> {
    text.split(DATA).skip(1).map(|rest| {
        let mut path = Vec::new();
        let mut rest = rest;
        while let Some(first) = rest.chars().next() {
            if first == '[' {
                let Some((inside, after)) = rest[1..].split_once(']') else { break };
                let name = inside.trim_matches(['"', '\'']);
                let is_index = name.parse::<usize>().is_ok();
                path.push(if is_index { Segment::Index } else { Segment::Member(name.to_owned()) });
                rest = after;
                continue;
            }
            let Some(member) = rest.strip_prefix('.') else { break };
            let member = member.strip_prefix('`').unwrap_or(member);
            let is_part = |char: char| char.is_alphanumeric() || "_-$@".contains(char);
            let end = member.find(|char| !is_part(char)).unwrap_or(member.len());
            if end == 0 {
                break;
            }
            path.push(Segment::Member(member[..end].to_owned()));
            rest = member[end..].strip_prefix('`').unwrap_or(&member[end..]);
        }
        path
    })
}

/// Puts a value at a path, unless something is there. Lists have one item.
fn put(at: &mut Value, path: &[Segment], value: Value) {
    match path {
        [] if at.is_null() => *at = value,
        [] => {}
        [Segment::Member(name), rest @ ..] => {
            if !at.is_object() {
                *at = Map::new().into();
            }
            put(&mut at[name.as_str()], rest, value);
        }
        [Segment::Index, rest @ ..] => {
            if !at.is_array() {
                *at = json!([null]);
            }
            put(&mut at[0], rest, value);
        }
    }
}

#[test]
fn a_body_has_everything_that_mappings_look_for() {
    let mapping = json!({
        "path": "/me",
        "responseMapping": {"$eval": {"$var": "response.data.stat"}, "is": "ok"},
        "expires_in": {"$var": "response.data.seconds"},
        "a": [{"$var": "response.data.list[0].id"}, "response.data['x-y'].z"],
        "b": {"$jsonata": "response.data.user.name & response.data.user.mail"},
    });
    let expected = json!({
        "stat": "ok", "seconds": 3600, "list": [{"id": "sample"}], "x-y": {"z": "sample"},
        "user": {"name": "sample", "mail": "sample"},
    });
    assert_eq!(body(&[&mapping]), expected);
    assert_eq!(body(&[&json!("/me")]), json!({}));
    assert_eq!(headers(&[&json!({"$var": "response.headers.x-id"})]), ["x-id"]);
    assert_eq!(body(&[&json!({"$var": "response.data[0].id"})]), json!([{"id": "sample"}]));
}
