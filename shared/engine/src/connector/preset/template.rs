//! `{name}` in a preset's strings.

use serde_json::{Map, Value, json};

use crate::connector::spelling;

/// The names that templates may use, with the expressions that they stand for.
pub(super) struct Names {
    known: Vec<(String, Value)>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { known: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &str, expression: Value) {
        self.known.push((name.to_owned(), expression));
    }

    /// The expression of a name: a known one, or a path into the credentials or the results of earlier requests.
    fn expression(&self, name: &str) -> Option<Value> {
        if let Some((_, expression)) = self.known.iter().find(|(known, _)| known == name) {
            return Some(expression.clone());
        }
        let is_variable = name == "redirectUri" || ["credentials.", "before."].iter().any(|it| name.starts_with(it));
        is_variable.then(|| json!({ "$var": name }))
    }

    /// Replaces the templates in a value by formulas. Formulas whose strings mean something else are left alone.
    ///
    /// # Errors
    /// The unknown names, with what may have been meant.
    pub(super) fn fill(&self, value: &Value) -> Result<Value, String> {
        match value {
            Value::String(text) => self.fill_text(text),
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(object) => {
                let first = object.keys().next().map(String::as_str);
                if matches!(first, Some("$var" | "$tpl" | "$jsonata" | "$plain" | "$formula" | "$copy")) {
                    return Ok(value.clone());
                }
                let filled = object.iter().map(|(key, value)| Ok((key.clone(), self.fill(value)?)));
                filled.collect::<Result<Map<_, _>, String>>().map(Value::Object)
            }
            other => Ok(other.clone()),
        }
    }

    fn fill_text(&self, text: &str) -> Result<Value, String> {
        let mut values = Map::new();
        for name in placeholders(text) {
            let expression = self.expression(name).ok_or_else(|| self.unknown(name))?;
            if text.len() == name.len() + 2 {
                // An undefined value stays undefined, so that its header or parameter is omitted.
                return Ok(expression);
            }
            values.insert(name.to_owned(), expression);
        }
        if values.is_empty() {
            return Ok(text.into());
        }
        Ok(json!({ "$tpl": { "template": text, "values": values } }))
    }

    /// The values of the placeholders in a path, which are encoded when the request is made.
    ///
    /// # Errors
    /// As in [`Names::fill`].
    pub(super) fn path_parameters(&self, path: &str) -> Result<Map<String, Value>, String> {
        let values = placeholders(path).map(|name| {
            let expression = self.expression(name).ok_or_else(|| self.unknown(name))?;
            Ok((name.to_owned(), expression))
        });
        values.collect()
    }

    fn unknown(&self, name: &str) -> String {
        let known = self.known.iter().map(|(known, _)| known.as_str());
        match spelling::nearest(name, known) {
            Some(meant) => {
                format!("`{{{name}}}` is neither an input nor an open parameter (did you mean `{{{meant}}}`?)")
            }
            None => format!("`{{{name}}}` is neither an input nor an open parameter"),
        }
    }
}

/// The names in braces: letters, digits, `_`, `-` and dots, so that JSON and GraphQL stay as they are.
pub(crate) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|char| char.is_ascii_alphanumeric() || "_-.".contains(char));
        is_name.then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let mut names = Names::new();
        names.add("shop", json!({"$var": "connectionParameters.shop"}));
        names
    }

    #[test]
    fn a_template_becomes_a_formula_with_its_values() {
        let filled =
            names().fill(&json!({"uri": "https://{shop}.acme.example", "v": 1, "token": "{credentials.token}"}));
        let tpl = json!({"$tpl": {
            "template": "https://{shop}.acme.example", "values": {"shop": {"$var": "connectionParameters.shop"}}
        }});
        assert_eq!(filled, Ok(json!({"uri": tpl, "v": 1, "token": {"$var": "credentials.token"}})));
    }

    #[test]
    fn unknown_names_are_errors_with_a_suggestion() {
        let error = names().fill(&json!(["{shp}"])).unwrap_err();
        assert_eq!(error, "`{shp}` is neither an input nor an open parameter (did you mean `{shop}`?)");
        assert!(names().path_parameters("/a/{b}").unwrap_err().contains("`{b}`"));
    }

    #[test]
    fn braces_that_hold_no_name_and_formulas_stay() {
        for value in [
            json!("{ viewer { id } }"),
            json!("{}"),
            json!("a } b { c"),
            json!({"$jsonata": "{shop}"}),
            json!({"$var": "{shop}"}),
        ] {
            assert_eq!(names().fill(&value), Ok(value));
        }
    }
}
