//! `larder try`, as the author of a connector uses it.

use std::fs;

use larder_tests::program::run;
use larder_tests::{MockProvider, TempConnector};
use serde_json::{Value, json};

const FILES: &[(&str, &str)] = &[
    (
        "spec.yml",
        "name: Acme
auth:
  type: client-credentials
  inputSchema: {type: object, properties: {apiKey: {type: string, isSensitive: true}}, required: [apiKey]}
  getCredentialsFromConnectionParameters: {implementationType: javascript}
  makeApiClient: {implementationType: mapping}
  test: {implementationType: javascript}
  refreshCredentials: {implementationType: javascript}
",
    ),
    (
        "auth/get-credentials-from-connection-parameters.js",
        "export default ({ connectionInput }) => ({ token: 'of-' + connectionInput.apiKey, account: 'acme-7' })",
    ),
    (
        "auth/make-api-client.map.yml",
        "baseUri: {$var: connectorParameters.apiUri}\nheaders: {Authorization: {$concat: ['Bearer ', {$var: credentials.token}]}}\n",
    ),
    ("auth/test.js", "export default async ({ apiClient }) => {\n  await apiClient.get('/me')\n  return true\n}\n"),
    ("auth/refresh-credentials.js", "export default () => { throw new Error('not now') }"),
];

/// A connector whose input is its credentials.
const KEY: &[(&str, &str)] = &[
    (
        "spec.yml",
        "name: Acme
auth:
  type: client-credentials
  inputSchema: {type: object, properties: {apiKey: {type: string, isSensitive: true}}, required: [apiKey]}
  makeApiClient: {implementationType: mapping}
  test: {mapping: {path: /me, method: get}}
",
    ),
    (
        "auth/make-api-client.map.yml",
        "baseUri: {$var: connectorParameters.apiUri}\nheaders: {Authorization: {$concat: ['Key ', {$var: credentials.apiKey}]}}\n",
    ),
];

/// Runs `larder try` with an input file. Returns whether it passed, and its output.
async fn try_with(provider: &MockProvider, arguments: &[&str]) -> (bool, String) {
    try_files(FILES, provider, json!({"input": {"apiKey": "hunter2-key"}}), arguments).await
}

async fn try_files(
    files: &[(&str, &str)],
    provider: &MockProvider,
    mut given: Value,
    arguments: &[&str],
) -> (bool, String) {
    let connector = TempConnector::new(files);
    let input = connector.path().join("input.json");
    given["connectorParameters"] = json!({"apiUri": provider.uri("")});
    fs::write(&input, given.to_string()).expect("the file is written");
    let dir = connector.folder();
    let paths = [dir.to_str().expect("a path"), "--input", input.to_str().expect("a path")];
    let output = run(&[&["try"], &paths[..], arguments].concat()).await;
    let text = String::from_utf8(output.stdout).expect("UTF-8") + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[tokio::test]
async fn function_inputs_and_results_are_shown_with_secrets_masked() {
    let provider = MockProvider::start().await;
    let (passed, text) = try_with(&provider, &[]).await;
    assert!(passed, "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("- ")).collect();
    let names: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(names, ["getCredentialsFromConnectionParameters", "makeApiClient", "test"]);
    assert!(text.contains(r#"returned {"token":"…","account":"acme-7"}"#), "{text}");
    assert!(text.contains(r#"got      {"connectorParameters":{"apiUri":"http://"#), "{text}");
    assert!(text.contains(r#""connectionParameters":{"apiKey":"…"}}"#), "{text}");
    assert!(text.contains("returned true"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(provider.tests(), [Some("Bearer of-hunter2-key".to_owned())]);
}

#[tokio::test]
async fn a_failing_function_is_reported_by_line_and_fails_the_run() {
    let provider = MockProvider::start().await;
    provider.set_test_status(403);
    let (passed, text) = try_with(&provider, &[]).await;
    assert!(!passed && text.contains("failed   test: auth/test.js:2:"), "{text}");
}

#[tokio::test]
async fn functions_with_side_effects_run_only_when_named() {
    let provider = MockProvider::start().await;
    let named = ["--function", "getCredentialsFromConnectionParameters", "--function", "refreshCredentials"];
    let (passed, text) = try_with(&provider, &named).await;
    assert!(!passed && text.contains("not now"), "{text}");
    let (passed, text) = try_with(&provider, &["--function", "refresh"]).await;
    assert!(!passed && text.contains("there is no function `refresh`; the functions are getOAuthConfig"), "{text}");
}

#[tokio::test]
async fn an_input_that_is_the_credentials_is_given_once() {
    let provider = MockProvider::start().await;
    for given in ["input", "credentials"] {
        let (passed, text) = try_files(KEY, &provider, json!({ given: {"apiKey": "hunter2-key"} }), &[]).await;
        assert!(passed && text.contains("- test ("), "{given}: {text}");
        assert_eq!(provider.tests().last(), Some(&Some("Key hunter2-key".to_owned())), "{given}");
    }
    let (passed, text) = try_files(KEY, &provider, json!({}), &[]).await;
    assert!(!passed && text.contains("`connectionParameters` is invalid: `apiKey` is missing"), "{text}");
}

#[tokio::test]
async fn skipped_functions_say_why_and_do_not_pass() {
    let provider = MockProvider::start().await;
    let failing =
        ("auth/get-credentials-from-connection-parameters.js", "export default () => { throw new Error('no') }");
    let files: Vec<_> = FILES.iter().map(|file| if file.0 == failing.0 { failing } else { *file }).collect();
    let (passed, text) = try_files(&files, &provider, json!({"input": {"apiKey": "k"}}), &[]).await;
    assert!(
        !passed && text.contains("- test: skipped because getCredentialsFromConnectionParameters failed"),
        "{text}"
    );
    let (passed, text) = try_with(&provider, &["--function", "test"]).await;
    assert!(
        !passed && text.contains("- test: skipped because the input has no `credentials`\nno function was run"),
        "{text}"
    );
}
