//! The bundled presets: what integrations may set, as before they were presets, and what they may not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use http::{Method, StatusCode};
use larder::dynamodb::{IntegrationParameters, OptionConfig};
use larder_engine::connector::{Catalog, Connector, schema};
use larder_engine::connector_setup::open_options;
use larder_local::bundle::{bundled_connectors, bundled_connectors_dir};
use larder_local::new_connector::{Generic, write};
use larder_tests::program::run;
use larder_tests::{Browser, World, root};
use serde_json::{Map, Value, json};

const ACME: &str = "\
extends: api-key
name: Acme
baseUri: https://api.acme.com
parameters: { headers: { X-Api-Key: \"{apiKey}\" } }
test: /me
";

/// A connector's schemas and words before it became a preset.
type Snapshot = BTreeMap<String, Map<String, Value>>;

fn schemas(connector: &Connector) -> [(&'static str, Option<Value>); 6] {
    let option = &connector.options[0];
    let text = |text: &Option<String>| text.clone().map(Value::from);
    [
        ("name", Some(connector.name.clone().into())),
        ("title", text(&option.title)),
        ("description", text(&option.description)),
        ("helpUri", text(&option.help_uri)),
        ("parametersSchema", option.parameters_schema.clone()),
        ("inputSchema", option.input_schema.clone()),
    ]
}

/// A schema whose required fields are in order, and whose choices have no titles.
fn sorted(mut schema: Value) -> Value {
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.sort_by_key(ToString::to_string);
    }
    for property in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        let property = property.as_object_mut().expect("an object");
        if let Some(Value::Array(choices)) = property.remove("oneOf") {
            let values = choices.into_iter().map(|mut choice| choice["const"].take());
            property.insert("enum".to_owned(), values.collect());
        }
    }
    schema
}

#[test]
fn parameters_and_inputs_stay_compatible() {
    let before = fs::read_to_string(root().join("tests/examples/connector-schemas.json")).expect("it is there");
    let before: Snapshot = serde_json::from_str(&before).expect("JSON");
    let catalog = bundled_connectors();
    for (key, before) in before {
        let connector = catalog.get(&key).unwrap_or_else(|| panic!("{key} is missing"));
        assert_eq!(connector.options[0].kind.spec_name(), before["type"], "{key}");
        if key == "oauth2" {
            let [.., (_, parameters), _] = schemas(&connector);
            let parameters = parameters.expect("a schema");
            assert_eq!(parameters["required"], before["parametersSchema"]["required"]);
            for (name, property) in before["parametersSchema"]["properties"].as_object().expect("properties") {
                let now = &parameters["properties"][name];
                assert_eq!(now["isSensitive"], property["isSensitive"], "{name}");
            }
            continue;
        }
        for (name, now) in schemas(&connector) {
            let before = before.get(name).cloned();
            match (name, now, before) {
                // There may be more parameters, such as those of other ways to connect, but none that is required.
                ("parametersSchema", Some(now), Some(before)) => {
                    let Value::Object(known) = &before["properties"] else { panic!("{key}") };
                    let now = sorted(now);
                    for (name, property) in known {
                        assert_eq!(now["properties"][name], *property, "{key}: {name}");
                    }
                    assert_eq!(now["required"], sorted(before)["required"], "{key}");
                }
                (_, now, before) => assert_eq!(now.map(sorted), before.map(sorted), "{key}: {name}"),
            }
        }
        check_former_integrations(&key, &connector, &before);
    }
}

/// Parameters that sufficed before a connector had options are accepted, and lead to the same only way to connect.
fn check_former_integrations(key: &str, connector: &Connector, before: &Map<String, Value>) {
    let required = before.get("parametersSchema").and_then(|schema| schema["required"].as_array());
    let required = required.into_iter().flatten().map(|name| name.as_str().expect("a name"));
    let parameters: Map<_, _> = required.map(|name| (name.to_owned(), json!("https://a.example"))).collect();
    let errors = schema::validate(connector.parameters_schema.as_ref(), &parameters).expect("a usable schema");
    assert_eq!(errors, [], "{key}");
    let stored = IntegrationParameters { parameters, ..IntegrationParameters::default() };
    let open: Vec<_> = open_options(connector, &stored).iter().map(|option| option.key.clone()).collect();
    let first = &connector.options[0].key;
    assert_eq!(open, std::slice::from_ref(first), "{key}");
    assert_eq!(connector.option("").map(|option| &option.key), Some(first), "{key}");
    // What was said about the connector's only way holds for the first one.
    let disabled = OptionConfig { disabled: true, ..OptionConfig::default() };
    let closed = IntegrationParameters { options: BTreeMap::from([(String::new(), disabled)]), ..stored };
    assert!(!open_options(connector, &closed).iter().any(|option| option.key == *first), "{key}");
}

#[tokio::test]
async fn integrations_without_parameters_offer_keys_only() {
    let world = World::new().await;
    let put = async |body: Value| {
        let answer = world.send(Method::PUT, "/integrations/it", &world.admin, Some(&body)).await;
        let shown = world.get("/integrations/it").await.expect(StatusCode::OK).json();
        let options = shown["authOptions"].as_array().expect("a list").iter();
        let keys: Vec<String> = options.map(|it| it["key"].as_str().expect("a key").to_owned()).collect();
        (answer.0.status().as_u16(), keys)
    };
    let client = json!({"clientId": "a", "clientSecret": "b"});
    let user = json!({"clientId": "a", "clientSecret": "b", "userScopes": ["search:read"]});
    for (body, expected) in [
        (json!({"parameters": {}}), vec!["token"]),
        (json!({"parameters": client}), vec!["oauth2"]),
        (json!({"parameters": client, "optionsConfig": {"token": {}}}), vec!["oauth2", "token"]),
        (json!({"parameters": client, "optionsConfig": {"oauth2": {"disabled": true}}}), vec!["token"]),
        (json!({"parameters": client, "optionsConfig": {"": {"disabled": true}}}), vec!["token"]),
        (json!({"parameters": {}, "optionsConfig": {"oauth2": {"parameters": client}}}), vec!["oauth2"]),
        (json!({"parameters": user, "optionsConfig": {}}), vec!["oauth2", "user"]),
    ] {
        let mut body = body;
        body["connectorKey"] = "slack".into();
        let (status, keys) = put(body.clone()).await;
        assert!(status < 300 && keys == expected, "{body}: {status} {keys:?}");
    }
    for incomplete in [json!({"clientId": "a"}), json!({"clientSecret": "b"}), json!({"userScopes": ["a"]})] {
        let body = json!({"connectorKey": "slack", "parameters": incomplete});
        assert_eq!(put(body).await.0, 400, "{incomplete}");
    }
}

#[test]
fn the_index_leads_to_every_connector_and_the_two_catalogs_agree() {
    let on_disk = Catalog::default().with_dirs(&[bundled_connectors_dir()]);
    let in_memory = bundled_connectors();
    assert_eq!(on_disk.entries(), in_memory.entries());
    let mut files = BTreeSet::from(["FORMAT.md", "README.md", "index.json"].map(str::to_owned));
    for entry in in_memory.entries() {
        let connector = in_memory.get(&entry.key).unwrap_or_else(|| panic!("{} does not load", entry.key));
        assert_eq!(on_disk.get(&entry.key).as_ref(), Some(&connector));
        assert_eq!(connector.options[0].kind.spec_name(), entry.auth_type);
        files.insert(entry.file);
    }
    assert_eq!(in_memory.broken(), []);
    let listed = fs::read_dir(bundled_connectors_dir()).expect("a folder").map(|entry| entry.expect("an entry"));
    let listed: BTreeSet<String> = listed.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(listed, files);
}

#[test]
fn every_preset_says_its_evidence_and_category() {
    let catalog = bundled_connectors();
    for entry in catalog.entries().into_iter().filter(|entry| entry.extends.is_some()) {
        let connector = catalog.get(&entry.key).expect("it loads");
        assert!(connector.about.details.contains_key("evidence"), "{}", entry.key);
        assert!(!entry.categories.is_empty(), "{}", entry.key);
    }
}

#[tokio::test]
async fn integrations_cannot_set_fixed_parameters() {
    let world = World::new().await;
    let put = async |body: Value| world.send(Method::PUT, "/integrations/it", &world.admin, Some(&body)).await;
    let client = json!({"clientId": "a", "clientSecret": "b"});
    let with = |name: &str| {
        let mut parameters = client.clone();
        parameters[name] = "https://evil.example".into();
        parameters
    };
    for name in ["tokenUri", "testUri", "revocationUri", "headers", "skipPkce"] {
        let answer = put(json!({"connectorKey": "slack", "parameters": with(name)})).await;
        let error = answer.expect(StatusCode::BAD_REQUEST).json();
        let message = error["message"].as_str().expect("a message");
        assert!(message.starts_with(&format!("`{name}` is fixed by the connector `slack`")), "{message}");
    }
    let options = json!({"": {"parameters": with("tokenUri")}});
    put(json!({"connectorKey": "slack", "optionsConfig": options})).await.expect(StatusCode::BAD_REQUEST);
    let done = "https://app.example/done";
    put(json!({"connectorKey": "slack", "parameters": client, "redirectUris": [done]}))
        .await
        .expect(StatusCode::CREATED);
    let payload = json!({"token": world.admin, "integrationKey": "it", "redirectUri": done,
                         "connectorParameters": {"tokenUri": "https://evil.example"}});
    let answer = Browser::default().post(&world, "/connect", &[("payload", &payload.to_string())]).await;
    let location = answer.header("location").unwrap_or_default();
    assert!(location.starts_with(done) && location.contains("is+fixed+by+the+connector"), "{location}");
}

#[tokio::test]
async fn connectors_are_listed_page_by_page_and_found_by_alias() {
    let world = World::new().await;
    let list = async |query: &str| world.get(&format!("/connectors?{query}")).await.expect(StatusCode::OK).json();
    let keys = |page: &Value| {
        let items = page["items"].as_array().expect("a list");
        items.iter().map(|item| item["key"].as_str().expect("a key").to_owned()).collect::<Vec<_>>()
    };
    let all = list("limit=1000").await;
    assert!(all.get("cursor").is_none() && all["broken"] == json!([]), "{all}");
    let (mut seen, mut query) = (Vec::new(), "limit=7".to_owned());
    loop {
        let page = list(&query).await;
        seen.extend(keys(&page));
        let Some(cursor) = page["cursor"].as_str() else { break };
        query = format!("limit=7&cursor={cursor}");
    }
    assert_eq!(seen, keys(&all));
    assert_eq!(keys(&list("search=twitter").await), ["x"]);
    assert_eq!(keys(&list("search=Git%20Hub").await)[0], "github");
    // A misspelled name finds nothing, but leads to the right one.
    let misspelled = list("search=slakc").await;
    assert_eq!((&misspelled["items"], &misspelled["suggestions"][0]["key"]), (&json!([]), &json!("slack")));
    for (key, meant) in [("slakc", "slack"), ("twitter", "x")] {
        let error = world.get(&format!("/connectors/{key}")).await.expect(StatusCode::NOT_FOUND).json();
        assert_eq!(error["message"], format!("there is no connector `{key}` (did you mean `{meant}`?)"));
    }
    let basic = keys(&list("authType=basic").await);
    assert!(basic.contains(&"twilio".to_owned()) && basic.contains(&"zendesk".to_owned()));
    for (auth_type, found) in [("oauth2", true), ("api-key", true), ("client-credentials", false), ("oauth1", false)] {
        assert_eq!(
            keys(&list(&format!("search=airtable&authType={auth_type}")).await).len() == 1,
            found,
            "{auth_type}"
        );
    }
    let crm = keys(&list("category=crm").await);
    assert!(crm.contains(&"hubspot".to_owned()) && !crm.contains(&"slack".to_owned()));
    let slack = &list("search=slack").await["items"][0];
    let expected = json!({"id": "slack", "key": "slack", "name": "Slack", "authType": "oauth2", "extends": "oauth2",
                          "authTypes": ["oauth2", "api-key"], "categories": ["messaging"], "aliases": [],
                          "connectionCount": 0});
    assert_eq!(*slack, expected);
    world.get("/connectors?cursor=nonsense").await.expect(StatusCode::BAD_REQUEST);
    let wrong = world.get("/connectors?category=sails").await.expect(StatusCode::BAD_REQUEST).json();
    let message = wrong["message"].as_str().expect("a message");
    assert!(message.starts_with("`category` must be one of accounting, ai, analytics, crm"), "{message}");
    let shown = world.get("/connectors/slack").await.expect(StatusCode::OK).json();
    assert!(shown["parametersSchema"]["properties"].get("tokenUri").is_none(), "{shown}");
}

#[tokio::test]
async fn a_connector_shows_its_evidence_and_help() {
    let world = World::new().await;
    let show = async |key: &str| world.get(&format!("/connectors/{key}")).await.expect(StatusCode::OK).json();
    let slack = show("slack").await;
    assert_eq!((&slack["evidence"], &slack["categories"]), (&json!("docs"), &json!(["messaging"])));
    assert_eq!(slack["apiDocsUri"], "https://docs.slack.dev/reference/methods");
    assert_eq!(slack["setup"]["registerUri"], "https://api.slack.com/apps");
    assert_eq!(slack["setup"]["date"], "2026-11-29");
    assert!(slack["setup"]["developer"].as_str().is_some_and(|text| text.contains("redirect URI")), "{slack}");
    let options = slack["authOptions"].as_array().expect("a list").iter();
    let ways: Vec<_> = options.map(|it| (it["key"].as_str(), it["extends"].as_str())).collect();
    let expected = [("oauth2", "oauth2"), ("token", "api-key"), ("user", "oauth2")];
    assert_eq!(ways, expected.map(|(key, extends)| (Some(key), Some(extends))));
    assert_eq!(slack["authOptions"][1]["ui"]["helpUri"], "https://docs.slack.dev/authentication/tokens");
    let hubspot = show("hubspot").await;
    assert!(hubspot["quirks"][0].as_str().is_some_and(|quirk| quirk.contains("Private apps")), "{hubspot}");
    assert!(hubspot["setup"]["endUser"].is_string() && hubspot["setup"].get("developer").is_none());
}

#[tokio::test]
async fn new_presets_pass_the_check_and_overwrite_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("UTF-8");
    for extends in ["oauth2", "oauth1", "api-key", "basic", "client-credentials", "two-step"] {
        let key = format!("acme-{extends}");
        let output = run(&["connector", "new", &key, "--extends", extends, "--dir", dir]).await;
        assert!(output.status.success(), "{output:?}");
    }
    let checked = run(&["check", dir]).await;
    let found = String::from_utf8(checked.stdout).expect("UTF-8");
    assert!(checked.status.success() && found.ends_with("\n6 connectors: no errors, 14 warnings\n"), "{found}");
    let is_placeholder = |line: &str| line.ends_with("example is a placeholder; write the provider's address");
    assert!(found.lines().rev().skip(1).all(is_placeholder), "{found}");
    let text = fs::read_to_string(folder.path().join("acme-basic.yml")).expect("it is written");
    assert!(text.contains("name: Acme Basic\n") && text.contains("https://api.acme-basic.example"), "{text}");
    fs::create_dir(folder.path().join("taken")).expect("it is created");
    for key in ["acme-basic", "taken", "../acme", ".", ""] {
        write(key, Generic::Basic, folder.path()).expect_err(key);
    }
    let taken = run(&["connector", "new", "acme-basic", "--extends", "basic", "--dir", dir]).await;
    let expected = format!("error: {dir}/acme-basic.yml exists already; delete it, or choose another key\n");
    assert_eq!(String::from_utf8(taken.stderr), Ok(expected));
    let replaced = run(&["connector", "new", "slack", "--extends", "oauth2", "--dir", dir]).await;
    let text = String::from_utf8(replaced.stdout).expect("UTF-8");
    assert!(text.contains("It replaces the bundled connector `slack`.") && text.contains(" connect slack "), "{text}");
    let checked = run(&["check", &format!("{dir}/slack.yml")]).await;
    let found = String::from_utf8(checked.stdout).expect("UTF-8");
    assert!(found.contains("slack.yml: warning: it replaces the bundled connector `slack`; choose"), "{found}");
}

#[tokio::test]
async fn an_index_is_written_once_asked_for_and_then_kept_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("UTF-8");
    let check = async |arguments: &[&str]| {
        let output = run(&[&["check", dir], arguments].concat()).await;
        (output.status.success(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    fs::write(folder.path().join("acme.yml"), ACME).expect("it is written");
    let passed = "1 connector: no errors, no warnings\n";
    assert_eq!(check(&[]).await, (true, passed.to_owned()));
    let summary = format!("{passed}1 presets, 0 folders; 0 aliases\ntypes: api-key 1\nevidence: none 1\n");
    assert_eq!(check(&["--write-index"]).await, (true, summary.clone()));
    assert_eq!(check(&[]).await, (true, summary));
    write("other", Generic::Basic, folder.path()).expect("it is written");
    let (passes, text) = check(&[]).await;
    let expected = format!(
        "{dir}/index.json: error: the index is out of date; make it again with `larder check {dir} --write-index`\n"
    );
    assert!(!passes && text.contains(&expected), "{text}");
    assert!(check(&["--write-index"]).await.0);
    let index = fs::read_to_string(folder.path().join("index.json")).expect("it is written");
    assert!(index.contains(
        r#"{"key":"other","name":"Other","type":"client-credentials","extends":"basic","file":"other.yml"}"#
    ));
}

#[tokio::test]
async fn a_preset_is_checked_and_tried_as_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write("acme", Generic::Oauth2, folder.path()).expect("it is written");
    let path = path.to_str().expect("UTF-8");
    let input = folder.path().join("input.json");
    let text = json!({"connectorParameters": {"clientId": "the-id", "clientSecret": "hunter2-secret"},
                      "credentials": {"access_token": "hunter2-token"}});
    fs::write(&input, text.to_string()).expect("it is written");
    let input = input.to_str().expect("UTF-8");
    let output = run(&["try", path, "--input", input, "--function", "makeApiClient"]).await;
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success() && text.contains("https://api.acme.example"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    fs::write(path, "extends: oauth3\nname: Acme\n").expect("it is written");
    let (checked, tried) = (run(&["check", path]).await, run(&["try", path, "--input", input]).await);
    let expected = format!("{path}:1: error: there is no generic connector `oauth3`");
    assert!(String::from_utf8_lossy(&checked.stdout).starts_with(&expected), "{checked:?}");
    assert!(String::from_utf8_lossy(&tried.stderr).contains("there is no generic connector `oauth3`"), "{tried:?}");
}
