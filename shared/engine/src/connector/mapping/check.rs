//! Finds mistakes in a mapping when it is loaded, rather than when it is first used.

use serde_json::Value;

use super::{copy, formulas};
use crate::connector::pointer;

/// The maximum nesting depth of an expression.
const MAX_DEPTH: usize = 128;

/// A malformed formula or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedValue {
    /// The location, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// The message.
    pub message: String,
    /// How to fix it.
    pub help: String,
}

impl std::fmt::Display for MalformedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = if self.pointer.is_empty() { "at the top" } else { &self.pointer };
        write!(f, "{at}: {}; {}", self.message, self.help)
    }
}

/// Returns everything malformed in an expression, in written order.
pub(super) fn check(expression: &Value) -> Vec<MalformedValue> {
    let mut found = Vec::new();
    check_node(expression, "", 0, &mut found);
    // An expression nested too deeply to check is also too deep to search.
    if found.is_empty() { copy::check(expression) } else { found }
}

fn check_node(node: &Value, at: &str, depth: usize, found: &mut Vec<MalformedValue>) {
    if depth > MAX_DEPTH {
        found.push(MalformedValue {
            pointer: at.to_owned(),
            message: format!("the mapping is nested deeper than {MAX_DEPTH} levels"),
            help: "flatten it".to_owned(),
        });
        return;
    }
    match node {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check_node(item, &pointer::child(at, &index.to_string()), depth + 1, found);
            }
        }
        Value::Object(object) => {
            let Some((name, formula, argument)) = formulas::of(object) else {
                return check_values(object, at, depth, found);
            };
            let here = pointer::child(at, &format!("${name}"));
            if let Err(takes) = (formula.check)(argument) {
                found.push(MalformedValue {
                    pointer: here.clone(),
                    message: format!("the argument of ${name} is malformed"),
                    help: format!("${name} {takes}"),
                });
            }
            if formula.nests {
                check_node(argument, &here, depth + 1, found);
            }
            if let Some((operator, operand)) = object.iter().nth(1).filter(|_| name == "eval") {
                check_node(operand, &pointer::child(at, operator), depth + 1, found);
            }
        }
        _ => {}
    }
}

fn check_values(object: &serde_json::Map<String, Value>, at: &str, depth: usize, found: &mut Vec<MalformedValue>) {
    for (key, value) in object {
        check_node(value, &pointer::child(at, key), depth + 1, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn malformed_at(expression: Value, pointers: &[&str]) {
        let found: Vec<String> = check(&expression).into_iter().map(|malformed| malformed.pointer).collect();
        assert_eq!(found, pointers, "{expression}");
    }

    #[test]
    fn malformed_formulas_are_found_with_their_location() {
        malformed_at(json!({"a": {"$case": {"default": 1}}}), &["/a/$case"]);
        malformed_at(json!({"$concat": "x"}), &["/$concat"]);
        malformed_at(json!({"$concat": {"$var": "x"}}), &["/$concat"]);
        malformed_at(json!({"$tpl": {"values": {}}}), &["/$tpl"]);
        malformed_at(json!({"$map": {"value": 1, "mappings": []}}), &["/$map"]);
        malformed_at(json!([{"$and": 1}, {"$or": {"a": 1}}]), &["/0/$and", "/1/$or"]);
        malformed_at(json!({"$var": null}), &["/$var"]);
    }

    #[test]
    fn arguments_of_references_names_and_dates_are_checked() {
        malformed_at(json!({"$copy": 1}), &["/$copy"]);
        malformed_at(json!({"$record": "x"}), &["/$record"]);
        malformed_at(json!([{"$lookup": 1}, {"$findAppRecordId": "x"}]), &["/0/$lookup", "/1/$findAppRecordId"]);
        malformed_at(
            json!([{"$findExternalRecordId": []}, {"$dataSchemaRef": 1}]),
            &["/0/$findExternalRecordId", "/1/$dataSchemaRef"],
        );
        malformed_at(json!([{"$firstName": 1}, {"$lastName": {}}]), &["/0/$firstName", "/1/$lastName"]);
        malformed_at(json!([{"$extractDate": null}, {"$extractTime": []}]), &["/0/$extractDate", "/1/$extractTime"]);
        malformed_at(json!([{"$domainFromEmail": true}, {"$iterate": {}}]), &["/0/$domainFromEmail", "/1/$iterate"]);
    }

    #[test]
    fn a_jsonata_syntax_error_is_reported() {
        let found = check(&json!({"a/b": {"$concat": [{"$jsonata": "a["}]}}));
        assert_eq!(found[0].pointer, "/a~1b/$concat/0/$jsonata");
        assert!(found[0].help.contains("S0"), "{}", found[0].help);
        malformed_at(json!({"$jsonata": 1}), &["/$jsonata"]);
        malformed_at(json!({"$jsonata": ""}), &["/$jsonata"]);
    }

    #[test]
    fn unevaluated_parts_are_not_checked() {
        malformed_at(json!({"$plain": {"$jsonata": "a["}}), &[]);
        malformed_at(json!({"first": 1, "$jsonata": "a["}), &[]);
    }

    #[test]
    fn legal_oddities_pass() {
        malformed_at(json!({"$var": "$a.b"}), &[]);
        malformed_at(json!({"$template": "x"}), &[]);
        malformed_at(json!({"$eval": 1, "isPrime": 1}), &[]);
        malformed_at(json!({"$and": {"$var": "list"}}), &[]);
    }

    #[test]
    fn too_deep_nesting_is_rejected() {
        let nested = (0..200).fold(json!(1), |inner, _| json!([inner]));
        assert!(check(&nested)[0].message.contains("deeper than 128"));
    }
}
