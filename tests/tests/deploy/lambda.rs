//! The real Lambda binaries, called over HTTP and invoked with the sample events in `events/`.

use std::fs;

use larder_local::WORKSPACE;
use larder_tests::{Program, Target, Watch, contract, root};
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_lambda_binaries_pass_the_contract_and_answer_events() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(&["--data", data.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]).await;
    let watch = Watch::start(data.path()).await;
    let target = Target::watch(&watch, data.path()).await;
    contract::check(&target, 2).await;
    answers_events(&watch, &program.admin).await;
    watch.stop().await;
}

async fn answers_events(watch: &Watch, admin: &str) {
    // One of the connections that the contract left behind.
    let id = connect::own_connection_id(WORKSPACE, "shown", Some("shown"));
    let event = json!({"workspace": WORKSPACE, "connectionId": id}).to_string();
    for outcome in [r#""refreshed""#, r#""tooSoon""#] {
        let answer = watch.invoke("refresh", &event).await;
        assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), outcome);
    }

    for entry in fs::read_dir(root().join("events")).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let function = name.split('.').next().unwrap();
        let output = watch.invoke_file(function, &file).await;
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        match name.as_str() {
            "refresh.json" => assert_eq!(answer, "gone"),
            "refresh.replace.json" => assert_eq!(answer, "stale"),
            "refresh.sweep.json" => assert_eq!(answer["failed"], 0),
            "refresh.queue.json" | "refresh.recovery.json" => assert_eq!(answer, json!({"batchItemFailures": []})),
            // The token in the file is only a placeholder.
            "oauth-callback.json" => assert_eq!(answer["statusCode"], 400, "{name}"),
            // A preflight request has no token.
            "connections.preflight.json" => assert_eq!(answer["statusCode"], 204, "{name}"),
            // Everyone may read the description of the API.
            "connections.openapi.json" => assert_eq!(answer["statusCode"], 200, "{name}"),
            // A posted callback is repeated as a GET before it is checked.
            "oauth-callback.post.json" => assert_eq!(answer["statusCode"], 200, "{name}"),
            // Some pages need neither a token nor a session.
            page if page.starts_with("pages.") => {
                assert!(answer["statusCode"].as_u64().is_some_and(|status| status < 500), "{name}: {answer}");
            }
            _ => assert_eq!(answer["statusCode"], 401, "{name}"),
        }
    }
    let sample = fs::read_to_string(root().join("events/connections.json")).unwrap();
    let output = watch.invoke("connections", &sample.replace("TOKEN", admin)).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["statusCode"], 200);
}
