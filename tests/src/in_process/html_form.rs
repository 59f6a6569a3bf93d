//! A form on a page, filled in and submitted as browsers do (HTML, "form submission algorithm").

use std::collections::BTreeMap;

/// The form of a page. Only the tags that our pages use are known.
#[derive(Debug, Clone, Default)]
pub struct HtmlForm {
    controls: Vec<HtmlControl>,
}

/// One control of a form.
#[derive(Debug, Clone, Default)]
pub struct HtmlControl {
    tag: String,
    attributes: BTreeMap<String, String>,
    value: String,
    is_on: bool,
}

impl HtmlForm {
    /// Reads the first form of a page.
    ///
    /// # Panics
    /// If the page has none.
    #[track_caller]
    pub fn of(page: &str) -> Self {
        let (_, rest) = page.split_once("<form").unwrap_or_else(|| panic!("no form: {page}"));
        let (mut rest, _) = rest.split_once("</form>").expect("an end of the form");
        let mut form = Self::default();
        while let Some((_, tag)) = rest.split_once('<') {
            let (name, attributes, after) = read_tag(tag);
            rest = after;
            match name {
                "input" | "button" => form.controls.push(HtmlControl::new(name, attributes)),
                "textarea" => {
                    let (text, after) = rest.split_once("</textarea>").expect("an end of the text");
                    let value = unescaped(text.strip_prefix('\n').unwrap_or(text));
                    form.controls.push(HtmlControl { value, is_on: true, ..HtmlControl::new(name, attributes) });
                    rest = after;
                }
                "select" => form.controls.push(HtmlControl { is_on: true, ..HtmlControl::new(name, attributes) }),
                "option" => {
                    let select = form.controls.last_mut().expect("a select");
                    let is_first = !select.attributes.contains_key("data-options");
                    select.attributes.insert("data-options".into(), String::new());
                    if is_first || attributes.contains_key("selected") {
                        select.value = attributes.get("value").cloned().unwrap_or_default();
                    }
                }
                _ => {}
            }
        }
        form
    }

    /// Returns the control with this name.
    #[track_caller]
    pub fn control(&self, name: &str) -> &HtmlControl {
        let named = self.controls.iter().find(|control| control.name() == name);
        named.unwrap_or_else(|| panic!("no control {name} in {:?}", self.names()))
    }

    /// Returns the names of all controls.
    pub fn names(&self) -> Vec<&str> {
        self.controls.iter().map(HtmlControl::name).collect()
    }

    /// Fills in a field, or chooses the radio button with this value.
    #[must_use]
    #[track_caller]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.control(name);
        for control in self.controls.iter_mut().filter(|control| control.name() == name) {
            if control.kind() == "radio" {
                control.is_on = control.value == value;
            } else {
                value.clone_into(&mut control.value);
            }
        }
        self
    }

    /// Sets or clears a checkbox.
    #[must_use]
    #[track_caller]
    pub fn check(mut self, name: &str, is_on: bool) -> Self {
        self.control(name);
        for control in self.controls.iter_mut().filter(|control| control.name() == name) {
            control.is_on = is_on;
        }
        self
    }

    /// Presses the button with this value. Only a pressed button is part of a submitted form.
    #[must_use]
    #[track_caller]
    pub fn press(mut self, value: &str) -> Self {
        let button = self.controls.iter_mut().find(|control| control.tag == "button" && control.value == value);
        button.unwrap_or_else(|| panic!("no button {value}")).is_on = true;
        self
    }

    /// Returns the fields that a browser submits.
    pub fn fields(&self) -> Vec<(&str, String)> {
        let submitted = self.controls.iter().filter(|control| control.is_on && !control.name().is_empty());
        // Browsers send each line break as CR LF.
        submitted.map(|control| (control.name(), control.value.replace('\n', "\r\n"))).collect()
    }
}

impl HtmlControl {
    fn new(tag: &str, attributes: BTreeMap<String, String>) -> Self {
        let kind = attributes.get("type").map(String::as_str).unwrap_or_default();
        let is_on = match (tag, kind) {
            ("button", _) => false,
            (_, "radio" | "checkbox") => attributes.contains_key("checked"),
            _ => true,
        };
        let value = attributes.get("value").cloned().unwrap_or_default();
        Self { tag: tag.to_owned(), attributes, value, is_on }
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// The current value.
    pub fn value(&self) -> &str {
        &self.value
    }

    fn name(&self) -> &str {
        self.attribute("name").unwrap_or_default()
    }

    fn kind(&self) -> &str {
        self.attribute("type").unwrap_or_default()
    }
}

/// Reads a tag behind its `<`. Returns its name, its attributes and the rest behind its `>`.
fn read_tag(mut rest: &str) -> (&str, BTreeMap<String, String>, &str) {
    let end = |text: &str| text.find(|c: char| c.is_whitespace() || c == '>' || c == '=').unwrap_or(text.len());
    let (name, after) = rest.split_at(end(rest));
    let mut attributes = BTreeMap::new();
    rest = after.trim_start();
    while !rest.starts_with('>') && !rest.is_empty() {
        let (attribute, after) = rest.split_at(end(rest).max(1));
        let value = after.strip_prefix("=\"").map(|after| after.split_once('"').expect("a quotation mark"));
        let (value, after) = value.unwrap_or(("", after));
        attributes.insert(attribute.to_owned(), unescaped(value));
        rest = after.trim_start();
    }
    (name, attributes, rest.strip_prefix('>').unwrap_or(rest))
}

/// Decodes the character references that askama writes.
fn unescaped(text: &str) -> String {
    let named = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    named.iter().fold(text.to_owned(), |text, (reference, character)| text.replace(reference, character))
}
