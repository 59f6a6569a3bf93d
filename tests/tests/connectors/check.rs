//! `larder check`, as the author of a connector uses it.

use std::fs;
use std::path::Path;

use larder_tests::program::run;
use larder_tests::root;
use serde_json::{Value, json};
use tempfile::TempDir;

const SPEC: &str = "name: Acme\nauth:\n  type: oauth2\n  getOAuthConfig: {implementationType: mapping}\n  \
                    makeApiClient: {implementationType: mapping}\n";

/// A folder with one connector, which has these files in addition to the usual ones.
fn connectors(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let good = [
        (
            "auth/get-oauth-config.map.yml",
            "clientId: x\nauthorizeUri: https://a.example/a\ntokenUri: https://a.example/t\n",
        ),
        ("auth/make-api-client.map.yml", "baseUri: https://a.example\n"),
    ];
    for (path, text) in good.iter().chain(files) {
        let path = folder.path().join("acme").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is created");
        fs::write(path, text).expect("the file is written");
    }
    folder
}

async fn check(arguments: &[&str], dir: &Path) -> (bool, String) {
    let arguments = [&["check"], arguments, &[dir.to_str().expect("a path in UTF-8")]].concat();
    let output = run(&arguments).await;
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    (output.status.success(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[tokio::test]
async fn the_bundled_connectors_pass() {
    let (passes, text) = check(&[], &root().join("shared/connectors")).await;
    let lines: Vec<&str> = text.lines().collect();
    let heads = ["types: ", "further ways to connect: ", "categories: ", "evidence: docs ", "without a test: "];
    let are_there = lines.len() == 7 && heads.iter().zip(&lines[2..]).all(|(head, line)| line.starts_with(head));
    assert!(passes && are_there && lines[1].contains(" presets, "), "{text}");
    assert!(lines[0].ends_with(" connectors: no errors, no warnings"), "{text}");
    assert_eq!(check(&["--json"], &root().join("shared/connectors/demo")).await, (true, "[]\n".into()));
}

#[tokio::test]
async fn warnings_are_shown_but_pass() {
    let folder = connectors(&[("spec.yml", SPEC)]);
    let file = folder.path().join("acme/spec.yml");
    let expected = format!(
        "{}:2: warning: there is no `test`, so any credentials are accepted; add `test: \
         {{implementationType: rest-api-mapping}}` and auth/test.rest.yml\n",
        file.display()
    );
    let expected = format!("{expected}1 connector: no errors, 1 warning\n");
    assert_eq!(check(&[], folder.path()).await, (true, expected.clone()));
    assert_eq!(check(&[], &folder.path().join("acme")).await, (true, expected));
}

#[tokio::test]
async fn errors_fail_the_check_and_name_file_and_line() {
    let spec = format!("{SPEC}  test: {{implementationTyp: rest-api-mapping}}\n");
    let test = "path: /me\nmethod: gett\n";
    let folder = connectors(&[("spec.yml", &spec), ("auth/test.rest.yml", test)]);
    let dir = folder.path().join("acme");
    let (spec, test) = (dir.join("spec.yml"), dir.join("auth/test.rest.yml"));
    let expected = format!(
        "{}:2: error: `method` must be an HTTP method; write one of get, post, put, patch and delete\n\
         {}:6: error: unknown key `implementationTyp` in `test`; did you mean `implementationType`?\n\
         1 connector: 2 errors, no warnings\n",
        test.display(),
        spec.display()
    );
    assert_eq!(check(&[], &dir).await, (false, expected));

    let (passes, text) = check(&["--json"], &dir).await;
    let findings: Value = serde_json::from_str(&text).expect("JSON");
    let expected = json!([
        {
            "file": test, "line": 2, "severity": "error", "message": "`method` must be an HTTP method",
            "help": "write one of get, post, put, patch and delete",
        },
        {
            "file": spec, "line": 6, "severity": "error", "message": "unknown key `implementationTyp` in `test`",
            "help": "did you mean `implementationType`?",
        },
    ]);
    assert_eq!((passes, findings), (false, expected));
}

#[tokio::test]
async fn a_folder_without_connectors_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let (passes, text) = check(&[], folder.path()).await;
    assert!(!passes && text.contains("there is no connector in this folder"), "{text}");
    let (passes, text) = check(&[], &folder.path().join("nowhere")).await;
    assert!(!passes && text.contains("the folder cannot be read"), "{text}");
    let nowhere = folder.path().join("nowhere").display().to_string();
    let started = run(&["--connectors", &nowhere, "--data", &nowhere, "--listen", "127.0.0.1:0"]).await;
    let expected = format!("error: the connectors in {nowhere}: there is no such directory\n");
    assert_eq!((started.status.success(), String::from_utf8(started.stderr)), (false, Ok(expected)));
}

#[tokio::test]
async fn scripts_that_break_the_engine_do_not_stop_the_check() {
    let spec = format!("{SPEC}  test: {{implementationType: javascript}}\n");
    for text in [
        "Error.stackTraceLimit = {}; Error.stackTraceLimit = 1; export default () => 1",
        "Error.stackTraceLimit = {}; Object.defineProperty(Error, 'stackTraceLimit', {}); export default () => 1",
    ] {
        let folder = connectors(&[("spec.yml", &spec), ("auth/test.js", text)]);
        assert_eq!(
            check(&[], folder.path()).await,
            (true, "1 connector: no errors, no warnings\n".to_owned()),
            "{text}"
        );
    }
}
