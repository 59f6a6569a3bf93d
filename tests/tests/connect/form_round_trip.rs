//! Forms made from schemas: whatever a form shows, it submits as the same JSON.

use larder::http::Parameters;
use larder_engine::connector::{AuthOption, AuthType, Catalog, RefreshRules};
use larder_engine::pages::{self, FormHead, Language, Mark, SchemaForm, WayToConnect};
use larder_tests::{HtmlForm, root};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// An option without functions.
fn option(schema: Value) -> AuthOption {
    AuthOption {
        key: String::new(),
        kind: AuthType::ClientCredentials,
        title: None,
        description: None,
        help_uri: None,
        enabled: None,
        is_alternative: false,
        extends: None,
        input_schema: Some(schema),
        parameters_schema: None,
        credentials_schema: None,
        functions: std::collections::BTreeMap::new(),
        refresh_rules: RefreshRules::default(),
    }
}

fn page(option: &AuthOption, values: &Map<String, Value>) -> String {
    let mark = Mark::new("app", "App", None);
    let head = FormHead {
        language: Language::En,
        name: "App",
        connection: None,
        mark: &mark,
        is_reconnect: false,
        hidden: &[],
        can_cancel: true,
        frame: None,
    };
    let form = SchemaForm::new(option.input_schema.as_ref());
    pages::form(head, WayToConnect { option, has_others: true }, &form, values, None).into_body()
}

/// A property and a value for it. Optional strings that are blank are absent, so no value is blank.
fn property() -> impl Strategy<Value = (Value, Value)> {
    let text = "[^\\p{C}\\p{Z}][^\\p{C}]{0,20}";
    let line = text.prop_map(|text| (json!({"type": "string", "title": "<b>&amp;"}), json!(text)));
    let secret = text.prop_map(|text| (json!({"type": "string", "isSensitive": true}), json!(text)));
    let block = "[a-z\"<&]{1,9}(\n[a-z>']{0,9}){0,3}"
        .prop_map(|text| (json!({"type": "string", "format": "multiline"}), json!(text)));
    let whole = any::<i64>().prop_map(|number| (json!({"type": "integer"}), json!(number)));
    let number = (-1e9..1e9).prop_map(|number| (json!({"type": "number"}), json!(number)));
    let checkbox = any::<bool>().prop_map(|value| (json!({"type": "boolean"}), json!(value)));
    let choice = (1..9_usize, any::<prop::sample::Index>()).prop_map(|(count, index)| {
        let values: Vec<Value> =
            (0..count).map(|at| if at % 2 == 0 { json!(format!("\"{at}\"")) } else { json!(at) }).collect();
        let chosen = index.get(&values).clone();
        (json!({"enum": values}), chosen)
    });
    let date = Just((json!({"type": "string", "format": "date"}), json!("2026-01-31")));
    let time = (0..60_u8).prop_map(|second| {
        (json!({"type": "string", "format": "date-time"}), json!(format!("2026-01-31T23:59:{second:02}Z")))
    });
    let list = prop::collection::vec("[a-z<&]{1,9}", 1..4).prop_map(|items| (json!({"type": "array"}), json!(items)));
    let other =
        "[a-z<]{1,9}".prop_map(|text| (json!({"type": "array", "items": {"type": "object"}}), json!([{"a": text}])));
    prop_oneof![line, secret, block, whole, number, checkbox, choice, date, time, list, other]
}

fn object() -> impl Strategy<Value = (Value, Value)> {
    prop::collection::vec(("[a-zA-Z/~.&<\"]{1,8}", any::<bool>(), property()), 1..6).prop_map(|members| {
        let (mut properties, mut required, mut values) = (Map::new(), Vec::new(), Map::new());
        for (name, is_required, (property, value)) in members {
            if is_required && !properties.contains_key(&name) {
                required.push(name.clone());
            }
            properties.insert(name.clone(), property);
            values.insert(name, value);
        }
        (json!({"type": "object", "properties": properties, "required": required}), Value::Object(values))
    })
}

/// Types the secrets of an object into the form, which does not show them.
fn type_secrets(mut form: HtmlForm, schema: &Value, values: &Value, above: &str) -> HtmlForm {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"));
        if property["properties"].is_object() {
            form = type_secrets(form, property, &values[name], &at);
        } else if form.control(&at).attribute("type") == Some("password") {
            assert_eq!(form.control(&at).value(), "", "{at}");
            form = form.set(&at, values[name].as_str().expect("a string"));
        }
    }
    form
}

proptest! {
    #[test]
    fn a_rendered_form_submits_the_same_json((outer, values) in object(), (inner, inside) in object()) {
        let (mut schema, mut values) = (outer, values);
        schema["properties"]["group 1"] = inner;
        values["group 1"] = inside;
        let option = option(schema.clone());
        let shown = HtmlForm::of(&page(&option, values.as_object().expect("an object")));
        let typed = type_secrets(shown, &schema, &values, "input");
        let fields = typed.fields();
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let read = SchemaForm::new(Some(&schema)).read(&Parameters::parse(body.as_bytes()), &Map::new());
        prop_assert_eq!(Value::Object(read), values);
    }
}

/// Text as the templates write it.
fn escaped(text: &str) -> String {
    let characters = [("&", "&#38;"), ("<", "&#60;"), (">", "&#62;"), ("\"", "&#34;"), ("'", "&#39;")];
    characters.iter().fold(text.to_owned(), |text, (character, reference)| text.replace(character, reference))
}

/// The values of an attribute in a page.
fn values_of<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    page.split(&*start).skip(1).map(|rest| rest.split_once('"').expect("an end").0).collect()
}

/// Checks that each property has one labeled field, with a title, a description and links.
fn check_fields(connector: &str, page: &str, schema: &Value, above: &str) {
    let form = HtmlForm::of(page);
    for (name, property) in schema["properties"].as_object().expect("properties") {
        let at = format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"));
        let title = property["title"].as_str().unwrap_or(name);
        assert!(page.contains(&escaped(title)), "{connector}: {at} has no title");
        let description = property["description"].as_str().unwrap_or_default();
        assert!(page.contains(&escaped(description)), "{connector}: {at} has no description");
        if property["properties"].as_object().is_some_and(|inner| !inner.is_empty()) && above == "input" {
            check_fields(connector, page, property, &at);
            continue;
        }
        let control = form.control(&at);
        let is_labeled = match control.attribute("type") {
            // Each is in its label, and the group has a legend.
            Some("radio") => page.contains("<legend>"),
            Some("checkbox") => true,
            _ => page.contains(&format!("<label for=\"{}\">", control.attribute("id").expect("an id"))),
        };
        assert!(is_labeled, "{connector}: {at} has no label");
        let is_required = schema["required"].as_array().is_some_and(|required| required.contains(&json!(name)));
        if control.attribute("type") != Some("checkbox") {
            assert_eq!(control.attribute("required").is_some(), is_required, "{connector}: {at}");
        }
        if control.attribute("type") == Some("password") {
            assert_eq!(control.value(), "", "{connector}: {at}");
        }
    }
}

#[test]
fn every_bundled_connectors_form_is_made_from_its_schema() {
    let catalog = Catalog::default().with_dirs(&[root().join("shared/connectors")]);
    let mut forms = 0;
    for entry in catalog.entries() {
        let connector = catalog.get(&entry.key).expect("it loads");
        for option in &connector.options {
            let Some(schema) = &option.input_schema else { continue };
            let page = page(option, &Map::new());
            check_fields(&connector.key, &page, schema, "input");
            let ids = values_of(&page, "id");
            for (at, id) in ids.iter().enumerate() {
                assert!(!ids[..at].contains(id), "{}: {id} is not unique", connector.key);
            }
            let references = ["for", "aria-describedby"].map(|name| values_of(&page, name)).concat();
            for id in references.iter().flat_map(|ids| ids.split(' ')) {
                assert!(ids.contains(&id), "{}: {id} is nowhere", connector.key);
            }
            assert!(!page.contains("aria-invalid=") && !page.contains("role=\"alert\""), "{}: {page}", connector.key);
            forms += 1;
        }
    }
    assert!(forms >= 12, "{forms}");
}
