//! Parses YAML 1.2 into JSON values that remember their lines.

use std::collections::HashMap;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use super::pointer;

/// The maximum nesting depth. The parser recurses; an unoptimized build overflows a 2 MiB stack beyond depth 80.
const MAX_DEPTH: usize = 48;

/// A YAML file as a JSON value.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) value: Value,
    lines: HashMap<String, u64>,
}

/// A file that is not valid YAML, or exceeds the limits.
pub(crate) struct SyntaxError {
    pub(crate) line: Option<u64>,
    pub(crate) message: String,
}

impl Document {
    /// Parses one document. Duplicate keys, non-finite numbers, and aliases that expand without bound are errors.
    pub(crate) fn parse(text: &str) -> Result<Self, SyntaxError> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: MAX_DEPTH,
                max_events: 200_000,
                max_aliases: 1_000,
                max_nodes: 100_000,
                max_total_scalar_bytes: 4 * 1024 * 1024,
            },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
            strict_booleans: true,
            underscored_numbers_as_strings: true,
        };
        let root: Node = serde_saphyr::from_str_with_options(text, options).map_err(|error| SyntaxError {
            line: error.location().map(|location| location.line()).filter(|&line| line > 0),
            message: describe(&error),
        })?;
        let mut lines = HashMap::new();
        let value = flatten(root, 1, String::new(), &mut lines);
        Ok(Self { value, lines })
    }

    /// A document that is made from others. Everything in it is at this line, unless [`Document::place`] says otherwise.
    pub(crate) fn made(value: Value, line: u64) -> Self {
        Self { value, lines: HashMap::from([(String::new(), line)]) }
    }

    /// Takes the lines of a node and everything in it from a node of another document.
    pub(crate) fn place(&mut self, at: &str, other: &Self, from: &str) {
        let inside = other.lines.iter().filter_map(|(pointer, line)| {
            let rest = pointer.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
            Some((format!("{at}{rest}"), *line))
        });
        self.lines.extend(inside);
    }

    /// The line of the node at a JSON pointer, or of its nearest ancestor.
    pub(crate) fn line(&self, mut pointer: &str) -> Option<u64> {
        loop {
            if let Some(&line) = self.lines.get(pointer) {
                return Some(line).filter(|&line| line > 0);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// The error in one line, without its snippet of the file, which may contain a secret.
fn describe(error: &serde_saphyr::Error) -> String {
    let message = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
    message.lines().next().unwrap_or_default().to_owned()
}

/// A node. Only keys carry spans: a span around every node would overflow the stack on a deep file.
enum Node {
    Scalar(Value),
    List(Vec<Node>),
    Object(Vec<(Spanned<String>, Node)>),
}

/// Moves the lines out of a node. A node without a key has the line of its first key, or else of its parent.
fn flatten(node: Node, line: u64, at: String, lines: &mut HashMap<String, u64>) -> Value {
    let mut line = line;
    let value = match node {
        Node::Scalar(value) => value,
        Node::List(items) => {
            let items = items.into_iter().enumerate().map(|(index, item)| {
                let line = match &item {
                    Node::Object(entries) => entries.first().map_or(line, |(key, _)| key.referenced.line()),
                    _ => line,
                };
                flatten(item, line, pointer::child(&at, &index.to_string()), lines)
            });
            Value::Array(items.collect())
        }
        Node::Object(entries) => {
            if let (true, Some((key, _))) = (at.is_empty(), entries.first()) {
                line = key.referenced.line();
            }
            let mut object = Map::with_capacity(entries.len());
            for (key, node) in entries {
                let value = flatten(node, key.referenced.line(), pointer::child(&at, &key.value), lines);
                object.insert(key.value, value);
            }
            Value::Object(object)
        }
    };
    lines.insert(at, line);
    value
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Node::Scalar(number.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries: Vec<(Spanned<String>, Node)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = map.next_entry::<Spanned<String>, _>()? {
            if !seen.insert(key.value.clone()) {
                return Err(A::Error::custom(format_args!("duplicate mapping key: {}", key.value)));
            }
            entries.push((key, value));
        }
        Ok(Node::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn parse(text: &str) -> Document {
        Document::parse(text).unwrap_or_else(|error| panic!("{:?}: {}", error.line, error.message))
    }

    #[track_caller]
    fn rejected_at(text: &str) -> Option<u64> {
        Document::parse(text).err().expect("an error").line
    }

    #[test]
    fn keys_keep_their_order() {
        assert_eq!(parse("z: 1\na: 2\nm: {y: 1, b: 2}\n").value.to_string(), r#"{"z":1,"a":2,"m":{"y":1,"b":2}}"#);
    }

    #[test]
    fn scalars_follow_yaml_1_2() {
        let value = parse("[yes, on, no, true, ~, null, 0o17, 1_000, 1.5, '1', 2026-01-01, 1e3, .5, 0x1F]").value;
        let expected =
            json!(["yes", "on", "no", true, null, null, 15, "1_000", 1.5, "1", "2026-01-01", 1000.0, 0.5, 31]);
        assert_eq!(value, expected);
    }

    #[test]
    fn every_node_knows_its_line() {
        let document = parse("a: 1\nb:\n  # note\n  c:\n    - x\n    - y/z: 2\n");
        assert_eq!(document.line(""), Some(1));
        assert_eq!(document.line("/b"), Some(2));
        assert_eq!(document.line("/b/c"), Some(4));
        assert_eq!(document.line("/b/c/1"), Some(6));
        assert_eq!(document.line("/b/c/1/y~1z"), Some(6));
        assert_eq!(document.line("/b/missing/x"), Some(2));
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        assert_eq!(rejected_at("a: 1\nb: [1, 2\nc: }\n"), Some(3));
    }

    #[test]
    fn duplicate_keys_are_rejected() {
        assert_eq!(rejected_at("a: 1\nb: 2\na: 3\n"), Some(3));
    }

    #[test]
    fn numbers_must_be_finite() {
        assert_eq!(rejected_at("a: 1\nb: .nan\n"), Some(2));
    }

    #[test]
    fn an_alias_repeats_its_anchor() {
        assert_eq!(parse("a: &x {k: 1}\nb: *x\n").value, json!({"a": {"k": 1}, "b": {"k": 1}}));
    }

    #[test]
    fn a_billion_laughs_are_rejected() {
        let mut bomb = "l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..10 {
            let below = vec![format!("*l{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("l{level}: &l{level} [{below}]\n"));
        }
        rejected_at(&bomb);
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(900_000), vec!["*a"; 100].join(", "));
        rejected_at(&long);
    }

    #[test]
    fn deep_nesting_is_rejected() {
        let nest = |depth: usize| format!("{}{}", "{a: ".repeat(depth), "}".repeat(depth));
        parse(&nest(MAX_DEPTH));
        rejected_at(&nest(MAX_DEPTH + 1));
        rejected_at(&nest(50_000));
        rejected_at(&"[".repeat(100_000));
        rejected_at(&"- ".repeat(100_000));
    }

    #[test]
    fn a_second_document_is_rejected() {
        rejected_at("a: 1\n---\nb: 2\n");
    }
}
