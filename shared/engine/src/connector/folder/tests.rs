use serde_json::json;

use super::*;
use crate::connector::{Function, FunctionName};

const SPEC: &str = "name: Example
logoUri: https://example.com/logo.svg
someday: {new: key}
parametersSchema:
  type: object
auth:
  type: oauth2
  title: Sign in
  getOAuthConfig:
    implementationType: mapping
  makeApiClient:
    implementationType: mapping
  test:
    implementationType: rest-api-mapping
  refreshCredentials:
    implementationType: not-supported
ui:
  schema: {type: object}
  helpUri: https://example.com/help
";
const CONFIG: &str = "clientId:\n  $var: connectorParameters.clientId\n";
const CLIENT: &str = "args:\n  baseUri: https://api.example.com\n";
const TEST: &str = "path: /me\nmethod: GET\n";

fn files() -> Files {
    [
        ("spec.yml", SPEC),
        ("auth/get-oauth-config.map.yml", CONFIG),
        ("auth/make-api-client.yml", CLIENT),
        ("auth/test.rest.yml", TEST),
        ("auth/disconnect.js", "never declared"),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into()
}

fn with(changes: &[(&str, &str)]) -> Files {
    let mut files = files();
    files.extend(changes.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    files
}

fn spec(from: &str, to: &str) -> Files {
    assert!(SPEC.contains(from));
    with(&[("spec.yml", &SPEC.replace(from, to))])
}

#[track_caller]
fn only(connector: &Connector) -> &AuthOption {
    assert_eq!(connector.options.len(), 1);
    &connector.options[0]
}

#[track_caller]
fn problems(files: &Files) -> Vec<String> {
    parse("example", files).expect_err("problems").iter().map(ToString::to_string).collect()
}

#[track_caller]
fn one_problem(files: &Files, at: &str, parts: &[&str]) {
    let problems = problems(files);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with(at), "{}", problems[0]);
    for part in parts {
        assert!(problems[0].contains(part), "{} has no {part}", problems[0]);
    }
}

#[test]
fn a_folder_is_a_connector() {
    let connector = parse("example", &files()).unwrap();
    assert_eq!((connector.key.as_str(), connector.name.as_str()), ("example", "Example"));
    assert_eq!(connector.logo_uri.as_deref(), Some("https://example.com/logo.svg"));
    assert_eq!(connector.parameters_schema, Some(json!({"type": "object"})));
    assert_eq!(only(&connector).kind, AuthType::OAuth2);
    assert_eq!(only(&connector).title.as_deref(), Some("Sign in"));
    assert_eq!(only(&connector).input_schema, Some(json!({"type": "object"})));
    assert_eq!(only(&connector).help_uri.as_deref(), Some("https://example.com/help"));
    let names: Vec<FunctionName> = only(&connector).functions.keys().copied().collect();
    assert_eq!(names, [FunctionName::GetOAuthConfig, FunctionName::MakeApiClient, FunctionName::Test]);
    let Some(Function::Mapping(config)) = only(&connector).function(FunctionName::GetOAuthConfig) else { panic!() };
    let config = config.evaluate(&json!({"connectorParameters": {"clientId": "C"}}));
    assert_eq!(config, Some(json!({"clientId": "C"})));
    assert!(matches!(only(&connector).function(FunctionName::Test), Some(Function::Rest(_))));
}

#[test]
fn the_formats_own_example_loads() {
    let spec = "auth:
  type: oauth2

  # Required functions
  getOAuthConfig:
    implementationType: mapping
  makeApiClient:
    implementationType: mapping
  test:
    implementationType: javascript

  # Optional functions
  getTokenData:
    implementationType: javascript
  refreshCredentials:
    implementationType: javascript
";
    let code = "export default async function () {}";
    let scripts = ["auth/test.js", "auth/get-token-data.ts", "auth/refresh-credentials.js"].map(|path| (path, code));
    let mut files = with(&scripts);
    files.insert("spec.yml".to_owned(), spec.to_owned());
    let connector = parse("example", &files).unwrap();
    for name in [FunctionName::Test, FunctionName::GetTokenData, FunctionName::RefreshCredentials] {
        assert!(matches!(only(&connector).function(name), Some(Function::JavaScript(_))), "{name:?}");
    }
}

#[test]
fn javascript_may_be_inline() {
    let inline = spec("implementationType: not-supported", "code: |\n      export default () => ({})");
    let connector = parse("example", &inline).unwrap();
    let refresh = only(&connector).function(FunctionName::RefreshCredentials);
    assert!(matches!(refresh, Some(Function::JavaScript(_))));
}

#[test]
fn the_newer_form_without_auth_works_too() {
    let spec = "type: oauth2\ninputSchema: {type: object}\ngetOAuthConfig: {type: mapping, mapping: {clientId: x}}\n\
                makeApiClient: {type: mapping, mapping: {baseUri: 'https://a.example'}}\n";
    let connector = parse("example", &with(&[("spec.yml", spec)])).unwrap();
    assert_eq!(only(&connector).functions.len(), 2);
    assert_eq!(only(&connector).input_schema, Some(json!({"type": "object"})));
}

#[test]
fn a_function_may_be_inline() {
    let inline = "makeApiClient:\n    mapping: {baseUri: {$var: x}}";
    assert!(parse("example", &spec("makeApiClient:\n    implementationType: mapping", inline)).is_ok());
    let bad = "makeApiClient:\n    mapping:\n      baseUri:\n        $concat: x";
    let bad = spec("makeApiClient:\n    implementationType: mapping", bad);
    one_problem(&bad, "spec.yml:14: ", &["$concat is malformed"]);
}

#[test]
fn file_path_names_the_file() {
    let entry = "makeApiClient:\n    implementationType: mapping\n    filePath: ";
    let named = |path: &str| spec("makeApiClient:\n    implementationType: mapping", &format!("{entry}{path}"));
    for path in ["./auth/test.rest.yml", "test.rest.yml"] {
        assert!(parse("example", &named(path)).is_ok(), "{path}");
    }
    one_problem(&named("../elsewhere.yml"), "spec.yml:11: ", &["`makeApiClient` is missing", "../elsewhere.yml"]);
}

#[test]
fn a_missing_file_is_reported_with_every_path_tried() {
    let mut files = files();
    files.remove("auth/get-oauth-config.map.yml");
    let looked_for = "auth/get-oauth-config.map.yml, auth/get-oauth-config.yml, auth/oauth-config.map.yml, \
                      auth/oauth-config.yml";
    one_problem(&files, "spec.yml:9: ", &["`getOAuthConfig` is missing", looked_for]);
    files.insert("auth/oauth-config.yml".to_owned(), CONFIG.to_owned());
    assert!(parse("example", &files).is_ok());
}

#[test]
fn a_missing_spec_is_reported() {
    one_problem(&Files::new(), "spec.yml: the file is missing", &[]);
}

#[test]
fn bad_yaml_is_reported_at_its_line() {
    one_problem(&with(&[("auth/test.rest.yml", "path: /me\nmethod: [GET\n")]), "auth/test.rest.yml:", &[]);
    one_problem(&with(&[("spec.yml", "name: x\nauth: {}\nname: y\n")]), "spec.yml:3: ", &["duplicate"]);
}

#[test]
fn all_problems_are_reported_at_once() {
    let files = with(&[
        ("auth/get-oauth-config.map.yml", "clientId: 1\nextra:\n  a:\n    $concat: x\n"),
        ("auth/test.rest.yml", "path: 5\nmethod: trace\n"),
    ]);
    let problems = problems(&files);
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems[0].starts_with("auth/get-oauth-config.map.yml:4: the argument of $concat is malformed"));
    assert!(problems[1].starts_with("auth/test.rest.yml:1: `path`"));
    assert!(problems[2].starts_with("auth/test.rest.yml:2: `method`"));
}

#[test]
fn every_auth_type_of_the_format_is_known() {
    for name in AuthType::NAMES {
        let files = spec("type: oauth2", &format!("type: {name}\n  proxyKey: p"));
        let connector = parse("example", &files).unwrap();
        assert_eq!(only(&connector).kind.spec_name(), name);
    }
    one_problem(&spec("oauth2", "magic"), "spec.yml:7: ", &["unknown auth type", "oauth2"]);
    one_problem(&spec("oauth2", "proxy"), "spec.yml:7: ", &["needs `proxyKey`"]);
    one_problem(&spec("  type: oauth2\n", ""), "spec.yml:6: ", &["no `type`"]);
}

#[test]
fn options_override_auth() {
    let spec = "ui: {schema: {properties: {region: {type: string}}}}
auth:
  title: Both
  description: Of all
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
  inputSchema: {required: [region], properties: {region: {type: string}}}
  options:
    oauth:
      type: oauth2
      title: Sign in
      enabled: {$eval: {$var: connectorParameters.clientId}, isNotEmpty: true}
      getOAuthConfig: {implementationType: mapping}
    key:
      type: client-credentials
      inputSchema: {required: [apiKey], properties: {apiKey: {type: string}}}
      makeApiClient: {implementationType: mapping}
";
    let files = with(&[("spec.yml", spec), ("auth/key/make-api-client.map.yml", "baseUri: https://key.example\n")]);
    let connector = parse("example", &files).unwrap();
    let keys: Vec<&str> = connector.options.iter().map(|option| option.key.as_str()).collect();
    assert_eq!(keys, ["oauth", "key"]);
    let (oauth, key) = (connector.option("oauth").unwrap(), connector.option("key").unwrap());
    assert_eq!((oauth.title.as_deref(), key.title.as_deref()), (Some("Sign in"), Some("Both")));
    assert_eq!(key.description.as_deref(), Some("Of all"));
    assert_eq!(key.input_schema.as_ref().unwrap()["required"], json!(["region", "apiKey"]));
    assert!(oauth.function(FunctionName::Test).is_some() && key.function(FunctionName::Test).is_some());
    let base = |option: &AuthOption| match option.function(FunctionName::MakeApiClient) {
        Some(Function::Mapping(mapping)) => mapping.evaluate(&json!({})).unwrap(),
        _ => panic!("no mapping"),
    };
    assert_eq!(base(key)["baseUri"], "https://key.example");
    assert_eq!(base(oauth)["args"]["baseUri"], "https://api.example.com");
    let parameters = |value: Value| value.as_object().cloned().unwrap();
    assert!(oauth.is_enabled(&parameters(json!({"clientId": "x"}))) && !oauth.is_enabled(&parameters(json!({}))));
    assert!(key.is_enabled(&parameters(json!({}))));
}

#[test]
fn a_database_login_needs_no_api_client() {
    let spec = "auth:\n  type: client-credentials\n  test: {implementationType: database-login}\n";
    let login = "driver: postgres\nhost: {$var: credentials.host}\nuser: u\npassword: p\ndatabase: d\n";
    let files =
        Files::from([("spec.yml".to_owned(), spec.to_owned()), ("auth/test.db.yml".to_owned(), login.to_owned())]);
    let connector = parse("example", &files).unwrap();
    assert!(matches!(only(&connector).function(FunctionName::Test), Some(Function::Database(_))));
}

#[test]
fn a_field_of_the_wrong_type_is_reported() {
    one_problem(&spec("name: Example", "name: 5"), "spec.yml:1: ", &["`name` must be a string"]);
    one_problem(&spec("  type: object\nauth", "  - object\nauth"), "spec.yml:4: ", &["`parametersSchema`"]);
    one_problem(&with(&[("spec.yml", "- a\n")]), "spec.yml:1: ", &["must contain an object"]);
    one_problem(&with(&[("spec.yml", "name: x\n")]), "spec.yml:1: ", &["`auth` must be an object"]);
}

#[test]
fn required_functions_must_be_present() {
    let absent = "makeApiClient:\n    implementationType: not-supported";
    one_problem(
        &spec("makeApiClient:\n    implementationType: mapping", absent),
        "spec.yml:11: ",
        &["needs the function `makeApiClient`", "auth/make-api-client.map.yml"],
    );
    one_problem(
        &spec("  getOAuthConfig:\n    implementationType: mapping\n", ""),
        "spec.yml:6: ",
        &["needs the function `getOAuthConfig`"],
    );
}

#[test]
fn each_function_allows_only_certain_implementations() {
    let config = |kind: &str| {
        let to = format!("getOAuthConfig:\n    implementationType: {kind}");
        spec("getOAuthConfig:\n    implementationType: mapping", &to)
    };
    one_problem(&config("rest-api-mapping"), "spec.yml:9: ", &["cannot be implemented as rest-api-mapping"]);
    one_problem(&config("graphql-api-mapping"), "spec.yml:9: ", &["does not run", "implement it as mapping"]);
    one_problem(&config("rust"), "spec.yml:9: ", &["unknown implementation type", "not-supported"]);
    let refresh = spec("implementationType: not-supported", "implementationType: mapping");
    one_problem(&refresh, "spec.yml:15: ", &["cannot be implemented as mapping", "javascript or rest-api-mapping"]);
}

#[test]
fn a_test_declared_as_mapping_runs_as_rest_if_it_is_a_request() {
    let files = spec("rest-api-mapping", "mapping");
    assert!(matches!(only(&parse("example", &files).unwrap()).function(FunctionName::Test), Some(Function::Rest(_))));
    let mut files = files;
    files.insert("auth/test.yml".to_owned(), "ok: true\n".to_owned());
    one_problem(&files, "auth/test.yml:1: ", &["`test` cannot be implemented as mapping"]);
}

#[test]
fn without_an_implementation_type_the_file_name_decides() {
    let files = spec("test:\n    implementationType: rest-api-mapping", "test:");
    assert!(parse("example", &files).is_ok());
    let mut files = files;
    files.remove("auth/test.rest.yml");
    files.insert("auth/test.js".to_owned(), String::new());
    let connector = parse("example", &files).unwrap();
    assert!(matches!(only(&connector).function(FunctionName::Test), Some(Function::JavaScript(_))));
}

#[test]
fn an_empty_file_is_reported() {
    one_problem(&with(&[("auth/make-api-client.yml", "# later\n")]), "auth/make-api-client.yml", &["is empty"]);
}

#[test]
fn response_handlers_are_checked_but_not_evaluated() {
    let client = |handlers: &str| {
        let text =
            format!("args:\n  baseUri: x\n  responseHandlers:\n    - match: {handlers}\n      isSuccess: false\n");
        with(&[("auth/make-api-client.yml", text.as_str())])
    };
    let connector = parse("example", &client("{$eval: {$var: response.data.ok}, is: false}")).unwrap();
    let Some(Function::Mapping(mapping)) = only(&connector).function(FunctionName::MakeApiClient) else { panic!() };
    let settings = mapping.evaluate(&json!({})).unwrap();
    assert_eq!(settings["args"]["responseHandlers"][0]["match"]["$eval"], json!({"$var": "response.data.ok"}));
    one_problem(&client("{$concat: x}"), "auth/make-api-client.yml:4: ", &["$concat is malformed"]);
    let files = with(&[("auth/make-api-client.yml", "baseUri: x\nproxyUri: y\n")]);
    one_problem(&files, "auth/make-api-client.yml:2: ", &["`proxyUri` of the API client is not supported"]);
}

#[test]
fn keys_are_validated() {
    assert_eq!(parse("example", &spec("name: Example", "name: E\nkey: my.key_1-x")).unwrap().key, "my.key_1-x");
    one_problem(&spec("name: Example", "key: a/b"), "spec.yml:1: ", &["key"]);
    assert!(parse("has space", &files()).is_err());
    assert!(parse(&"x".repeat(101), &files()).is_err());
}

#[cfg(unix)]
#[test]
fn hidden_binary_large_and_outside_files_are_skipped() {
    let base = std::env::temp_dir().join(format!("larder-folder-{}", std::process::id()));
    let root = base.join("connector");
    std::fs::create_dir_all(root.join("auth")).unwrap();
    std::fs::write(base.join("secret"), "outside").unwrap();
    std::fs::write(root.join("spec.yml"), "name: x").unwrap();
    std::fs::write(root.join("auth/test.rest.yml"), "path: x").unwrap();
    std::fs::write(root.join(".hidden"), "x").unwrap();
    std::fs::write(root.join("logo.png"), [0xff, 0xfe]).unwrap();
    std::fs::write(root.join("large.txt"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
    std::os::unix::fs::symlink(base.join("secret"), root.join("outside.yml")).unwrap();
    std::os::unix::fs::symlink(root.join("spec.yml"), root.join("inside.yml")).unwrap();
    std::os::unix::fs::symlink(&root, root.join("loop")).unwrap();
    std::os::unix::fs::symlink(base.join("nothing"), root.join("dangling.yml")).unwrap();
    let files = read(&root).unwrap();
    std::fs::remove_dir_all(&base).unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["auth/test.rest.yml", "inside.yml", "spec.yml"]);
}

#[test]
fn refresh_rules_come_from_the_option_or_else_from_auth() {
    let spec = "\
name: Example
auth:
  type: client-credentials
  makeApiClient: {mapping: {baseUri: 'https://a.example'}}
  refreshCredentials: {mapping: {path: /t, method: post}, implementationType: rest-api-mapping, refreshMargin: 25}
  options:
    one: {}
    other:
      refreshCredentials: {mapping: {path: /t, method: post}, implementationType: rest-api-mapping, permanentErrors: [190]}
";
    let connector = parse("example", &with(&[("spec.yml", spec)])).expect("a connector");
    let rules = |key: &str| connector.option(key).expect("an option").refresh_rules.clone();
    assert_eq!(rules("one").margin, Some(std::time::Duration::from_secs(25)));
    assert_eq!((rules("other").margin, rules("other").permanent_errors), (None, vec!["190".to_owned()]));
}
