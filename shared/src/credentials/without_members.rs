//! Removes members from JSON and keeps every other byte.
//!
//! # Decisions
//!
//! The string is read once, without building values: each read of credentials by a token that may not see all of them takes
//! this path. It is valid JSON already, so positions are enough.

/// Removes the members with these names from all objects. A removed member takes along the comma behind it with the
/// spaces up to the next member; the last one in an object takes the comma before it instead.
pub(super) fn without_members(json: &str, names: &[&str]) -> String {
    let mut cut = Cut { json, names, kept: String::with_capacity(json.len()), copied: 0 };
    let (mut open, mut at) = (Vec::<Option<Object>>::new(), 0);
    while let Some(byte) = json.as_bytes().get(at) {
        match (byte, open.last_mut()) {
            (b'"', Some(Some(object))) if object.is_at_name => at = cut.member(at, object),
            (b'"', _) => at = end_of_string(json, at),
            (b',', Some(Some(object))) => {
                cut.copy_to(at);
                *object = Object { is_at_name: true, last_comma: Some(cut.kept.len()) };
                at += 1;
            }
            _ => {
                match byte {
                    b'{' => open.push(Some(Object { is_at_name: true, last_comma: None })),
                    b'[' => open.push(None),
                    b'}' | b']' => drop(open.pop()),
                    _ => {}
                }
                at += 1;
            }
        }
    }
    cut.copy_to(json.len());
    cut.kept
}

/// An object that is being read.
struct Object {
    /// Whether the next string is the name of a member.
    is_at_name: bool,
    /// The position in the result of the comma after the last member that was kept.
    last_comma: Option<usize>,
}

struct Cut<'a> {
    json: &'a str,
    names: &'a [&'a str],
    kept: String,
    /// The end of the input that is in `kept` or removed.
    copied: usize,
}

impl Cut<'_> {
    fn copy_to(&mut self, end: usize) {
        self.kept.push_str(&self.json[self.copied..end]);
        self.copied = end;
    }

    /// Reads the name at a position, or removes its whole member. Returns where to read on.
    fn member(&mut self, start: usize, object: &mut Object) -> usize {
        let end = end_of_string(self.json, start);
        if !self.is_removed(&self.json[start..end]) {
            object.is_at_name = false;
            return end;
        }
        self.copy_to(start);
        let colon = skip_spaces(self.json, end);
        let end = end_of_value(self.json, skip_spaces(self.json, colon + 1));
        let next = skip_spaces(self.json, end);
        if self.json.as_bytes().get(next) == Some(&b',') {
            self.copied = skip_spaces(self.json, next + 1);
        } else {
            if let Some(comma) = object.last_comma {
                self.kept.truncate(comma);
            }
            self.copied = end;
        }
        self.copied
    }

    /// Whether a name, in quotes, is one of those to remove. It may be written with escapes.
    fn is_removed(&self, quoted: &str) -> bool {
        if !quoted.contains('\\') {
            return self.names.contains(&&quoted[1..quoted.len() - 1]);
        }
        serde_json::from_str::<String>(quoted).is_ok_and(|name| self.names.contains(&&*name))
    }
}

fn skip_spaces(json: &str, at: usize) -> usize {
    let spaces = json.as_bytes()[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    at + spaces.count()
}

/// Returns the position behind the string that starts at `at`.
fn end_of_string(json: &str, at: usize) -> usize {
    let (mut end, bytes) = (at + 1, json.as_bytes());
    while bytes[end] != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    end + 1
}

/// Returns the position behind the value that starts at `at`.
fn end_of_value(json: &str, at: usize) -> usize {
    let (mut end, mut depth) = (at, 0_usize);
    loop {
        match json.as_bytes()[end] {
            b'"' => end = end_of_string(json, end),
            b'{' | b'[' => {
                depth += 1;
                end += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                end += 1;
            }
            _ => end += 1,
        }
        let is_over = || matches!(json.as_bytes()[end], b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
        if depth == 0 && is_over() {
            return end;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Credentials;
    use super::without_members;

    fn stripped(json: &str) -> String {
        without_members(json, &Credentials::REFRESH_SECRETS)
    }

    #[test]
    fn secrets_of_a_refresh_are_removed_at_any_depth() {
        for (json, expected) in [
            (r#"{"access_token":"a","refresh_token":"r"}"#, r#"{"access_token":"a"}"#),
            (r#"{"refresh_token":"r","access_token":"a"}"#, r#"{"access_token":"a"}"#),
            (r#"{"refresh_token":"r"}"#, "{}"),
            (r#"{ "clientSecret" : null , "client_secret" : {"a":[1]} }"#, "{  }"),
            ("{\n  \"a\": 1,\n  \"refreshToken\": \"r\"\n}", "{\n  \"a\": 1\n}"),
            ("{\n  \"refreshToken\": \"r\",\n  \"a\": 1\n}", "{\n  \"a\": 1\n}"),
            (r#"{"refresh_token":"r","a":1,"refresh_token":"s","b":2,"refresh_token":"t"}"#, r#"{"a":1,"b":2}"#),
            (r#"{"authed_user":{"refresh_token":"r","id":"U"}}"#, r#"{"authed_user":{"id":"U"}}"#),
            (r#"[{"refresh_token":"r"},[[{"refresh_token":"r","b":1e2}]]]"#, r#"[{},[[{"b":1e2}]]]"#),
            (r#"{"\u0072efresh_token":"r","client\u005fsecret":"c","a":1.10}"#, r#"{"a":1.10}"#),
            (r#"{"refresh_token":"\"},\\","a":"\\"}"#, r#"{"a":"\\"}"#),
        ] {
            assert_eq!(stripped(json), expected, "{json}");
        }
    }

    #[test]
    fn values_that_look_like_names_are_kept() {
        for json in [
            r#""refresh_token""#,
            r#"["refresh_token","client_secret"]"#,
            r#"{"a":"refresh_token","b":["refreshToken"]}"#,
            r#"{"Refresh_Token":1,"refresh_token ":2,"refresh_tokens":3,"\ud800refresh_token":4,"":5}"#,
            r#"{"a":"{\"refresh_token\":\"r\"}"}"#,
            " 12345678901234567890.10 ",
            "null",
        ] {
            assert_eq!(stripped(json), json);
        }
    }

    #[test]
    fn nesting_takes_no_stack() {
        let deep = format!("{}{}{}", r#"{"a":["#.repeat(50_000), r#"{"refresh_token":[[]]}"#, "]}".repeat(50_000));
        assert_eq!(stripped(&deep), deep.replace(r#""refresh_token":[[]]"#, ""));
    }

    /// A value as written, with the spaces around its parts.
    #[derive(Debug, Clone)]
    enum Node {
        Scalar(String),
        Array(Vec<(String, Node)>),
        Object(Vec<Member>),
    }

    #[derive(Debug, Clone)]
    struct Member {
        name: String,
        /// Before the name, before the colon, behind it, and behind the value.
        spaces: [String; 4],
        value: Node,
    }

    fn node() -> impl Strategy<Value = Node> {
        let spaces = || prop::sample::select(vec!["", "", " ", "\n\t", "\r\n  "]).prop_map(str::to_owned);
        let scalar = prop::sample::select(vec![
            "null",
            "true",
            "-0",
            "1E+2",
            "0.10",
            "12345678901234567890123",
            r#""""#,
            r#""refresh_token""#,
            r#""a\"}],{""#,
            r#""\\""#,
            r#""é\u00e9""#,
        ]);
        let names = vec![
            r#""refresh_token""#,
            r#""refreshToken""#,
            r#""client_secret""#,
            r#""clientSecret""#,
            r#""refresh\u005ftoken""#,
            r#""access_token""#,
            r#""id""#,
            r#""""#,
            r#""a\"b""#,
        ];
        scalar.prop_map(|text| Node::Scalar(text.to_owned())).prop_recursive(4, 40, 6, move |inner| {
            let name = prop::sample::select(names.clone()).prop_map(str::to_owned);
            let member = (name, [spaces(), spaces(), spaces(), spaces()], inner.clone());
            let member = member.prop_map(|(name, spaces, value)| Member { name, spaces, value });
            prop_oneof![
                prop::collection::vec((spaces(), inner), 0..5).prop_map(Node::Array),
                prop::collection::vec(member, 0..6).prop_map(Node::Object),
            ]
        })
    }

    fn is_secret(name: &str) -> bool {
        let name: String = serde_json::from_str(name).expect("a string");
        Credentials::REFRESH_SECRETS.contains(&&*name)
    }

    /// Writes a value, with or without its secrets.
    fn write(node: &Node, with_secrets: bool) -> String {
        match node {
            Node::Scalar(text) => text.clone(),
            Node::Array(items) => {
                let items: Vec<_> =
                    items.iter().map(|(space, item)| space.clone() + &write(item, with_secrets)).collect();
                format!("[{}]", items.join(","))
            }
            Node::Object(members) => {
                let (mut text, mut kept) = ("{".to_owned(), 0);
                // The spaces before the first and behind the last of some members that are removed in a row.
                let mut removed: Option<(&str, &str)> = None;
                for Member { name, spaces: [before, colon, value, behind], value: node } in members {
                    if !with_secrets && is_secret(name) {
                        removed = Some((removed.map_or(before, |(first, _)| first), behind));
                        continue;
                    }
                    let comma = if kept > 0 { "," } else { "" };
                    let before = removed.take().map_or(&**before, |(first, _)| first);
                    let node = write(node, with_secrets);
                    text += &format!("{comma}{before}{name}{colon}:{value}{node}{behind}");
                    kept += 1;
                }
                if let Some((before, behind)) = removed {
                    text += &format!("{}{behind}", if kept > 0 { "" } else { before });
                }
                text + "}"
            }
        }
    }

    proptest! {
        #[test]
        fn removal_keeps_every_other_byte(node in node()) {
            let json = write(&node, true);
            prop_assert_eq!(stripped(&json), write(&node, false), "{}", json);
        }
    }
}
