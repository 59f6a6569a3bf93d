use serde_json::json;

use super::*;

fn read(schema: &Value, submitted: &str, given: Value) -> Value {
    let Value::Object(given) = given else { panic!("not an object") };
    SchemaForm::new(Some(schema)).read(&Parameters::parse(submitted.as_bytes()), &given).into()
}

fn schema(property: Value) -> Value {
    json!({"properties": {"a": property}})
}

#[test]
fn values_have_the_types_of_the_schema() {
    for (property, submitted, expected) in [
        (json!({"type": "string"}), " b ", json!(" b ")),
        (json!({"type": "integer"}), "5432", json!(5432)),
        (json!({"type": "integer"}), "18446744073709551615", json!(u64::MAX)),
        (json!({"type": "number"}), "1,5", json!(1.5)),
        (json!({"type": "number"}), "1e3", json!(1000.0)),
        (json!({"type": "number"}), "many", json!("many")),
        (json!({"type": "number"}), "NaN", json!("NaN")),
        (json!({"type": "boolean"}), "on", json!(true)),
        (json!({"enum": ["eu", 2, true]}), "2", json!(2)),
        (json!({"enum": ["eu", 2, true]}), "true", json!(true)),
        (json!({"enum": ["eu"]}), "us", json!("us")),
        (json!({"oneOf": [{"const": 1, "title": "One"}]}), "1", json!(1)),
        (json!({"type": "string", "format": "date"}), "2026-01-31", json!("2026-01-31")),
        (json!({"type": "string", "format": "date-time"}), "2026-01-31T12:00", json!("2026-01-31T12:00:00Z")),
        (json!({"type": "string", "format": "date-time"}), "2026-01-31T12:00:07", json!("2026-01-31T12:00:07Z")),
        (json!({"type": "string", "format": "date-time"}), "soon", json!("soon")),
        (json!({"type": "string", "format": "multiline"}), "a\r\nb", json!("a\nb")),
        (json!({"type": "array", "items": {"type": "string"}}), "a\r\n\r\n b\r\n", json!(["a", "b"])),
        (json!({"type": "array", "items": {"type": "number"}}), "[1, 2]", json!([1, 2])),
        (json!({"type": "object"}), "{\"b\": 1}", json!({"b": 1})),
        (json!({"type": "object"}), "{", json!("{")),
        (json!({"type": ["null", "integer"]}), "1", json!(1)),
    ] {
        let submitted: String =
            form_urlencoded::Serializer::new(String::new()).append_pair("input/a", submitted).finish();
        assert_eq!(read(&schema(property.clone()), &submitted, json!({})), json!({"a": expected}), "{property}");
    }
}

#[test]
fn empty_fields_are_absent_and_unchecked_boxes_are_false() {
    let schema = json!({"properties": {
        "text": {"type": "string"}, "number": {"type": "integer"}, "choice": {"enum": ["a"]}, "box": {"type": "boolean"},
        "group": {"type": "object", "properties": {"b": {"type": "string"}}},
        "version": {"const": 2}, "other": {"const": 3},
    }, "required": ["text", "version"]});
    let submitted = "input%2Ftext=+&input%2Fnumber=&input%2Fchoice=&input%2Fgroup%2Fb=";
    assert_eq!(read(&schema, submitted, json!({})), json!({"box": false, "version": 2}));
    assert_eq!(read(&schema, "", json!({"text": "old", "group": {"b": "old"}})), json!({"box": false, "version": 2}));
}

#[test]
fn a_required_group_is_there_even_if_it_is_empty() {
    let schema = json!({"properties": {"a": {"properties": {"b": {}}}}, "required": ["a"]});
    assert_eq!(read(&schema, "input%2Fa%2Fb=", json!({})), json!({"a": {}}));
}

#[test]
fn known_secrets_and_members_without_a_field_are_kept() {
    let schema = json!({"properties": {
        "key": {"type": "string", "isSensitive": true},
        "login": {"type": "object", "properties": {"password": {"type": "string"}, "name": {"type": "string"}}},
    }});
    let given = json!({"key": "k", "login": {"password": "p", "name": "n"}, "more": 1});
    let left_empty = json!({"key": "k", "login": {"password": "p"}, "more": 1});
    assert_eq!(read(&schema, "input%2Fkey=", given.clone()), left_empty);
    let changed = json!({"key": "new", "login": {"password": "p", "name": "m"}, "more": 1});
    assert_eq!(read(&schema, "input%2Fkey=new&input%2Flogin%2Fname=m", given.clone()), changed);

    let form = SchemaForm::new(Some(&schema));
    let Value::Object(given) = given else { unreachable!() };
    assert_eq!(Value::Object(form.secrets(&given)), json!({"key": "k", "login": {"password": "p"}}));
    assert_eq!(Value::Object(form.without_secrets(given)), json!({"login": {"name": "n"}, "more": 1}));
}

#[test]
fn names_of_fields_are_unambiguous() {
    let schema = json!({"properties": {"a/b": {}, "a": {"type": "object", "properties": {"b": {}}}}});
    let names: Vec<_> = SchemaForm::new(Some(&schema)).leaves().map(Field::name).collect();
    assert_eq!(names, ["input/a~1b", "input/a/b"]);
}

#[test]
fn controls_follow_types_and_formats() {
    for (name, property, expected) in [
        ("a", json!({}), Control::Line(LineKind::Text)),
        ("a", json!({"format": "password"}), Control::Line(LineKind::Secret)),
        ("a", json!({"isSensitive": true}), Control::Line(LineKind::Secret)),
        ("clientSecret", json!({"type": "string"}), Control::Line(LineKind::Secret)),
        ("a", json!({"format": "email"}), Control::Line(LineKind::Email)),
        ("a", json!({"format": "uri"}), Control::Line(LineKind::Url)),
        ("privateKey", json!({"isSensitive": true}), Control::Block { is_secret: true }),
        ("a", json!({"format": "textarea"}), Control::Block { is_secret: false }),
        ("a", json!({"type": "object", "properties": {}}), Control::Json),
        ("a", json!({"const": 1}), Control::Constant(json!(1))),
    ] {
        let schema = json!({"properties": {name: property}});
        let form = SchemaForm::new(Some(&schema));
        assert_eq!(form.fields[0].control, expected, "{schema}");
    }
    let deep = json!({"type": "object", "properties": {"b": {"type": "object", "properties": {"c": {}}}}});
    let form = SchemaForm::new(Some(&schema(deep)));
    assert_eq!(form.leaves().map(|field| field.control.clone()).collect::<Vec<_>>(), [Control::Json]);
}

#[test]
fn choices_have_the_labels_of_the_connector() {
    let records = json!([{"id": "eu", "name": "Europe"}]);
    let schema = schema(json!({"enum": ["eu", "us", null], "referenceRecords": records}));
    let Control::Choice(choices) = &SchemaForm::new(Some(&schema)).fields[0].control else { panic!("no choice") };
    let labels: Vec<_> = choices.iter().map(|choice| choice.label.as_str()).collect();
    assert_eq!(labels, ["Europe", "us"]);
}

#[test]
fn references_within_the_schema_are_followed() {
    let definitions = json!({"port": {"type": "integer"}, "same": {"$ref": "#/definitions/port"},
                             "loop": {"$ref": "#/definitions/loop"}});
    for (name, expected) in [
        ("port", Control::Number { is_whole: true }),
        ("same", Control::Number { is_whole: true }),
        ("loop", Control::Line(LineKind::Text)),
        ("none", Control::Line(LineKind::Text)),
    ] {
        let property = json!({"$ref": format!("#/definitions/{name}")});
        let schema = json!({"definitions": definitions, "properties": {"a": property}});
        assert_eq!(SchemaForm::new(Some(&schema)).fields[0].control, expected, "{name}");
    }
}

#[test]
fn links_lead_to_web_pages_only() {
    for (uri, is_address) in [
        ("https://a.example/help", true),
        ("http://a.example", true),
        ("javascript:alert(1)", false),
        ("data:text/html,x", false),
        ("//a.example", false),
        ("help", false),
    ] {
        assert_eq!(is_web_address(uri), is_address, "{uri}");
    }
}

#[test]
fn secrets_of_any_type_are_hidden_and_kept_when_left_empty() {
    let schema = json!({"type": "object", "properties": {
        "clientSecret": {"type": "string"}, "pin": {"type": "integer", "isSensitive": true},
        "headers": {"type": "object", "isSensitive": true}, "codes": {"type": "array", "isSensitive": true},
        "login": {"type": "object", "isSensitive": true, "properties": {"name": {"type": "string"}}},
        "extra": {"type": "object"}, "plain": {"type": "object"}, "clientId": {"type": "string"},
    }});
    let stored = json!({"clientSecret": "a", "pin": 1, "headers": {"b": "c"}, "codes": ["d"], "login": {"name": "e"},
                        "extra": {"deep": [{"apiKey": "f"}]}, "plain": {"g": 1}, "clientId": "h"});
    let stored = stored.as_object().expect("an object");
    let form = SchemaForm::new(Some(&schema));
    let shown = form.shown(stored);
    assert_eq!(Value::from(shown.values), json!({"plain": {"g": 1}, "clientId": "h"}));
    let hidden: Vec<_> = shown.hidden.iter().map(|path| path.join(".")).collect();
    assert_eq!(hidden, ["clientSecret", "pin", "headers", "codes", "login.name", "extra"]);
    // Left empty, the hidden ones stay, and the others are removed.
    let mut kept = stored.clone();
    kept.retain(|name, _| name != "plain" && name != "clientId");
    assert_eq!(form.read(&Parameters::default(), stored), kept);
    // A checkbox removes one, unless another was entered.
    let submitted =
        Parameters::parse(b"remove=input/pin&remove=input/login/name&remove=input/headers&input/headers=%7B%7D");
    let read = form.read(&submitted, stored);
    assert_eq!((read.get("pin"), read.get("login"), &read["headers"]), (None, None, &json!({})));
    assert_eq!(read["clientSecret"], "a");
    let submitted = Parameters::parse(b"input/headers=%7B%7D&input/extra=%7B%7D&input/pin=2");
    let read = form.read(&submitted, stored);
    assert_eq!((&read["headers"], &read["extra"], &read["pin"]), (&json!({}), &json!({}), &json!(2)));
}
