//! Locators: paths like `$.user.emails[0]`, used by `$var` and filters.

use serde_json::Value;

use super::js;

/// One step of a locator.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Property(String),
    /// The index is a JavaScript number: `[1.5]` is valid, but finds nothing.
    Item(f64),
}

/// Parses a locator; `None` if it is invalid.
///
/// A locator without a leading `$` is read as if it started with `$.`. In names, `\` escapes `.`, `[`, `]`, and itself.
pub(super) fn parse(locator: &str) -> Option<Vec<Step>> {
    let rooted = match locator {
        "" => return None,
        rooted if rooted.starts_with('$') => rooted.to_owned(),
        bare => format!("$.{bare}"),
    };
    let mut steps = Vec::new();
    let mut rest = &rooted[1..];
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = name_end(after);
            steps.push(Step::Property(unescape(&after[..end])));
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            steps.push(Step::Item(js::parse_number(index).filter(|&index| index >= 0.0)?));
            rest = after;
        } else {
            return None;
        }
    }
    Some(steps)
}

/// The property names in a locator; `None` if it is invalid.
pub(crate) fn names(locator: &str) -> Option<Vec<String>> {
    let name = |step| match step {
        Step::Property(name) => Some(name),
        Step::Item(_) => None,
    };
    Some(parse(locator)?.into_iter().filter_map(name).collect())
}

/// Finds the value at the end of the steps; `None` if there is none.
///
/// `[n]` returns falsy items too; Membrane's evaluator returns undefined for them.
pub(super) fn find<'a>(value: &'a Value, steps: &[Step]) -> Option<LocatedValue<'a>> {
    let mut found = LocatedValue::Borrowed(value);
    for step in steps {
        let LocatedValue::Borrowed(value) = found else { return None };
        found = match step {
            Step::Property(name) => property(value, name)?,
            Step::Item(index) => LocatedValue::Borrowed(item(value, *index)?),
        };
    }
    Some(found)
}

/// A value in the variables, or the length of an array, which only JavaScript has as a property.
#[derive(Debug, PartialEq)]
pub(super) enum LocatedValue<'a> {
    Borrowed(&'a Value),
    Length(usize),
}

impl LocatedValue<'_> {
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Borrowed(value) => value.clone(),
            Self::Length(length) => Value::from(length),
        }
    }
}

fn property<'a>(value: &'a Value, name: &str) -> Option<LocatedValue<'a>> {
    match value {
        Value::Object(object) => object.get(name).map(LocatedValue::Borrowed),
        Value::Array(items) if name == "length" => Some(LocatedValue::Length(items.len())),
        Value::Array(items) => {
            let index: usize = name.parse().ok().filter(|index: &usize| index.to_string() == name)?;
            items.get(index).map(LocatedValue::Borrowed)
        }
        _ => None,
    }
}

/// The item at a JavaScript index.
pub(super) fn item(value: &Value, index: f64) -> Option<&Value> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the next line compares it back")]
    let whole = index as usize;
    #[expect(clippy::cast_precision_loss, reason = "no array has 2^53 items")]
    let exact = whole as f64 == index;
    value.as_array()?.get(whole).filter(|_| exact)
}

fn name_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            '\\' => escaped = !escaped,
            '.' | '[' if !escaped => return at,
            _ => escaped = false,
        }
    }
    text.len()
}

fn unescape(name: &str) -> String {
    let mut chars = name.chars();
    let mut unescaped = String::with_capacity(name.len());
    while let Some(char) = chars.next() {
        unescaped.push(if char == '\\' { chars.next().unwrap_or('\\') } else { char });
    }
    unescaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lookup(value: &Value, locator: &str) -> Option<Value> {
        find(value, &parse(locator).unwrap()).map(LocatedValue::into_value)
    }

    #[test]
    fn a_locator_may_omit_the_root() {
        assert_eq!(parse("a.b"), parse("$.a.b"));
        assert_eq!(parse("$"), Some(vec![]));
    }

    #[test]
    fn invalid_locators_are_rejected() {
        for bad in ["", "a[", "a[-1]", "a[x]", "$a.b", "a[0]b"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_empty_name_is_valid() {
        assert_eq!(lookup(&json!({"a": {"b": 1}}), "a..b"), None);
        assert_eq!(lookup(&json!({"a": {"": {"b": 1}}}), "a..b"), Some(json!(1)));
    }

    #[test]
    fn a_backslash_escapes_special_characters_in_names() {
        let value = json!({"a.b": 1, "c[0]": 2, "d\\e": 3, "$f": 4});
        assert_eq!(lookup(&value, r"a\.b"), Some(json!(1)));
        assert_eq!(lookup(&value, r"$.c\[0\]"), Some(json!(2)));
        assert_eq!(lookup(&value, r"d\\e"), Some(json!(3)));
        assert_eq!(lookup(&value, r"\$f"), Some(json!(4)));
    }

    #[test]
    fn strings_have_no_properties() {
        assert_eq!(lookup(&json!({"s": "abc"}), "s.length"), None);
        assert_eq!(lookup(&json!({"s": "abc"}), "s[0]"), None);
        assert_eq!(lookup(&json!({"s": null}), "s.a"), None);
    }

    #[test]
    fn arrays_have_a_length_and_numbered_properties() {
        let value = json!({"arr": [10, 0, null, {"x": 1}]});
        assert_eq!(lookup(&value, "arr.length"), Some(json!(4)));
        assert_eq!(lookup(&value, "arr.length.x"), None);
        assert_eq!(lookup(&value, "arr.0"), Some(json!(10)));
        assert_eq!(lookup(&value, "arr.00"), None);
        assert_eq!(lookup(&value, "arr[3].x"), Some(json!(1)));
        assert_eq!(lookup(&value, "arr[9]"), None);
        assert_eq!(lookup(&value, "arr[0.5]"), None);
    }

    #[test]
    fn an_index_finds_falsy_items_too() {
        let value = json!({"arr": [0, "", false, null]});
        assert_eq!(lookup(&value, "arr[0]"), Some(json!(0)));
        assert_eq!(lookup(&value, "arr[3]"), Some(json!(null)));
    }
}
