use super::*;
use crate::connector::{Function, FunctionName};
use serde_json::json;

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
        ("auth/disconnect.js", "nobody mentions this"),
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
fn problems(files: &Files) -> Vec<String> {
    parse("example", files).expect_err("it is refused").iter().map(ToString::to_string).collect()
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
    assert_eq!(connector.auth.kind, AuthType::OAuth2);
    assert_eq!(connector.auth.title.as_deref(), Some("Sign in"));
    assert_eq!(connector.auth.input_schema, Some(json!({"type": "object"})));
    assert_eq!(connector.auth.help_uri.as_deref(), Some("https://example.com/help"));
    let names: Vec<FunctionName> = connector.auth.functions.keys().copied().collect();
    assert_eq!(names, [FunctionName::GetOAuthConfig, FunctionName::MakeApiClient, FunctionName::Test]);
    let Some(Function::Mapping(config)) = connector.function(FunctionName::GetOAuthConfig) else { panic!() };
    let config = config.evaluate(&json!({"connectorParameters": {"clientId": "C"}}));
    assert_eq!(config, Some(json!({"clientId": "C"})));
    assert!(matches!(connector.function(FunctionName::Test), Some(Function::Rest(_))));
}

#[test]
fn the_example_of_the_format_loads_but_for_its_javascript() {
    let spec = "auth:
  type: oauth2

  # Required functions
  getOAuthConfig:
    implementationType: mapping
  makeApiClient:
    implementationType: mapping
  test:
    implementationType: javascript
  refreshCredentials:
    implementationType: javascript
";
    let problems = problems(&with(&[("spec.yml", spec)]));
    assert_eq!(
        problems,
        [
            "spec.yml:9: `test` is implemented as javascript, which is not supported yet; write it as \
             rest-api-mapping, or leave it out",
            "spec.yml:11: `refreshCredentials` is implemented as javascript, which is not supported yet; leave it \
             out, or write `implementationType: not-supported`"
        ]
    );
}

#[test]
fn the_newer_form_without_auth_is_the_same() {
    let spec = "type: oauth2\ninputSchema: {type: object}\ngetOAuthConfig: {type: mapping, mapping: {clientId: x}}\n\
                makeApiClient: {type: mapping, mapping: {baseUri: 'https://a.example'}}\n";
    let connector = parse("example", &with(&[("spec.yml", spec)])).unwrap();
    assert_eq!(connector.auth.functions.len(), 2);
    assert_eq!(connector.auth.input_schema, Some(json!({"type": "object"})));
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
fn a_file_path_is_honoured() {
    let entry = "makeApiClient:\n    implementationType: mapping\n    filePath: ";
    let named = |path: &str| spec("makeApiClient:\n    implementationType: mapping", &format!("{entry}{path}"));
    for path in ["./auth/test.rest.yml", "test.rest.yml"] {
        assert!(parse("example", &named(path)).is_ok(), "{path}");
    }
    one_problem(&named("../elsewhere.yml"), "spec.yml:11: ", &["`makeApiClient` is missing", "../elsewhere.yml"]);
}

#[test]
fn a_missing_file_is_named_with_where_it_was_looked_for() {
    let mut files = files();
    files.remove("auth/get-oauth-config.map.yml");
    let looked_for = "auth/get-oauth-config.map.yml, auth/get-oauth-config.yml, auth/oauth-config.map.yml, \
                      auth/oauth-config.yml";
    one_problem(&files, "spec.yml:9: ", &["`getOAuthConfig` is missing", looked_for]);
    files.insert("auth/oauth-config.yml".to_owned(), CONFIG.to_owned());
    assert!(parse("example", &files).is_ok());
}

#[test]
fn a_missing_spec_is_a_problem() {
    one_problem(&Files::new(), "spec.yml: the file is missing", &[]);
}

#[test]
fn bad_yaml_is_reported_at_its_line() {
    one_problem(&with(&[("auth/test.rest.yml", "path: /me\nmethod: [GET\n")]), "auth/test.rest.yml:", &[]);
    one_problem(&with(&[("spec.yml", "name: x\nauth: {}\nname: y\n")]), "spec.yml:3: ", &["duplicate"]);
}

#[test]
fn two_problems_are_reported_at_once() {
    let files = with(&[
        ("auth/get-oauth-config.map.yml", "clientId: 1\nextra:\n  a:\n    $jsonata: x\n"),
        ("auth/test.rest.yml", "path: 5\nmethod: trace\n"),
    ]);
    let problems = problems(&files);
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems[0].starts_with("auth/get-oauth-config.map.yml:4: the formula $jsonata is not supported yet"));
    assert!(problems[1].starts_with("auth/test.rest.yml:1: `path`"));
    assert!(problems[2].starts_with("auth/test.rest.yml:2: `method`"));
}

#[test]
fn other_auth_types_are_not_supported_yet() {
    one_problem(&spec("oauth2", "client-credentials"), "spec.yml:7: ", &["client-credentials is not supported yet"]);
    one_problem(&spec("oauth2", "magic"), "spec.yml:7: ", &["not known", "oauth2"]);
    one_problem(&spec("  type: oauth2\n", ""), "spec.yml:6: ", &["no `type`"]);
    let options = with(&[("spec.yml", "auth:\n  options:\n    a: {type: oauth2}\n")]);
    one_problem(&options, "spec.yml:2: ", &["`options` of `auth` are not supported yet"]);
}

#[test]
fn the_wrong_type_of_a_field_is_reported() {
    one_problem(&spec("name: Example", "name: 5"), "spec.yml:1: ", &["`name` must be a text"]);
    one_problem(&spec("  type: object\nauth", "  - object\nauth"), "spec.yml:4: ", &["`parametersSchema`"]);
    one_problem(&with(&[("spec.yml", "- a\n")]), "spec.yml:1: ", &["must hold an object"]);
    one_problem(&with(&[("spec.yml", "name: x\n")]), "spec.yml:1: ", &["`auth` must be an object"]);
}

#[test]
fn required_functions_must_be_there() {
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
fn only_what_the_format_allows_implements_a_function() {
    let config = |kind: &str| {
        let to = format!("getOAuthConfig:\n    implementationType: {kind}");
        spec("getOAuthConfig:\n    implementationType: mapping", &to)
    };
    one_problem(&config("rest-api-mapping"), "spec.yml:9: ", &["cannot be implemented as rest-api-mapping"]);
    one_problem(&config("graphql-api-mapping"), "spec.yml:9: ", &["not supported yet", "write it as mapping"]);
    one_problem(&config("javascript"), "spec.yml:9: ", &["not supported yet", "write it as mapping"]);
    one_problem(&config("rust"), "spec.yml:9: ", &["not known", "not-supported"]);
    let refresh = spec("implementationType: not-supported", "implementationType: mapping");
    one_problem(&refresh, "spec.yml:15: ", &["cannot be implemented as mapping", "leave it out"]);
}

#[test]
fn a_test_called_a_mapping_runs_as_rest_if_it_is_a_request() {
    let files = spec("rest-api-mapping", "mapping");
    assert!(matches!(parse("example", &files).unwrap().function(FunctionName::Test), Some(Function::Rest(_))));
    let mut files = files;
    files.insert("auth/test.yml".to_owned(), "ok: true\n".to_owned());
    one_problem(&files, "auth/test.yml:1: ", &["`test` cannot be implemented as mapping"]);
}

#[test]
fn without_an_implementation_type_the_file_tells() {
    let files = spec("test:\n    implementationType: rest-api-mapping", "test:");
    assert!(parse("example", &files).is_ok());
    let mut files = files;
    files.remove("auth/test.rest.yml");
    files.insert("auth/test.js".to_owned(), String::new());
    one_problem(&files, "spec.yml:13: ", &["javascript, which is not supported yet"]);
}

#[test]
fn an_empty_file_is_a_problem() {
    one_problem(&with(&[("auth/make-api-client.yml", "# later\n")]), "auth/make-api-client.yml", &["is empty"]);
}

#[test]
fn response_handlers_are_not_supported_yet() {
    let files = with(&[("auth/make-api-client.yml", "args:\n  baseUri: x\n  responseHandlers: []\n")]);
    one_problem(&files, "auth/make-api-client.yml:3: ", &["`responseHandlers`"]);
}

#[test]
fn a_key_is_checked() {
    assert_eq!(parse("example", &spec("name: Example", "name: E\nkey: my.key_1-x")).unwrap().key, "my.key_1-x");
    one_problem(&spec("name: Example", "key: a/b"), "spec.yml:1: ", &["key"]);
    assert!(parse("has space", &files()).is_err());
    assert!(parse(&"x".repeat(101), &files()).is_err());
}

#[cfg(unix)]
#[test]
fn reading_leaves_out_what_is_hidden_binary_large_or_outside() {
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
