//! The real Lambda binaries, called over HTTP and invoked with the sample events.

#![expect(clippy::unwrap_used, reason = "a test ends with the first thing that is not as it should be")]

use std::fs;
use std::time::Duration;

use http::{Method, StatusCode};
use larder_tests::{Program, Visitor, Watch, root};
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_lambda_binaries_store_connect_refresh_and_read() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(&["--data", data.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]).await;
    let watch = Watch::start(data.path()).await;
    let admin = program.admin.clone();

    stores_and_reads(&watch, &admin).await;
    let id = connects(&program, &watch, &admin).await;
    renews_an_expired_token(&program, &watch, &admin, &id).await;
    answers_events(&watch, &admin, &id).await;
    watch.stop().await;
}

async fn stores_and_reads(watch: &Watch, admin: &str) {
    let path = "/credentials?connectionId=a%2Fb&other=x";
    let body = r#"{"credentials":{"b":1,  "a":123456789012345678901234567890,"é":"ü"}}"#;
    let put = watch.send(Method::PUT, path, admin, body).await.expect(StatusCode::CREATED);
    assert_eq!(put.text(), "");
    let get = watch.send(Method::GET, path, admin, "").await.expect(StatusCode::OK);
    assert_eq!((get.text(), get.header("cache-control")), (body, Some("no-store")));
    watch.send(Method::GET, path, "wrong", "").await.expect(StatusCode::UNAUTHORIZED);
    watch.send(Method::PUT, path, admin, "{").await.expect(StatusCode::BAD_REQUEST);
    let repeated = "/credentials?connectionId=a&connectionId=b";
    watch.send(Method::GET, repeated, admin, "").await.expect(StatusCode::BAD_REQUEST);
    let large = json!({"credentials": "x".repeat(300 * 1024)}).to_string();
    watch.send(Method::PUT, "/credentials?connectionId=large", admin, &large).await.expect(StatusCode::CREATED);
    let back = watch.send(Method::GET, "/credentials?connectionId=large", admin, "").await.expect(StatusCode::OK);
    assert!(back.text() == large);
    for _ in 0..2 {
        watch.send(Method::DELETE, path, admin, "").await.expect(StatusCode::NO_CONTENT);
    }
    watch.send(Method::GET, path, admin, "").await.expect(StatusCode::NOT_FOUND);
}

/// Connects the demo account through the binaries, in a browser of its own.
async fn connects(program: &Program, watch: &Watch, admin: &str) -> String {
    let mut visitor = Visitor::default();
    let link = program.connect_link.as_ref().unwrap().replace(&program.base_uri, &watch.base_uri);
    let authorize = visitor.get(&link).await.location();
    assert!(authorize.starts_with(&program.base_uri), "{authorize}");
    let back = visitor.post(&authorize, &[("decision", "approve")]).await.location();
    assert!(back.starts_with(&format!("{}/oauth-callback?", watch.base_uri)), "{back}");
    let page = visitor.get(&back).await.expect(StatusCode::OK);
    assert!(page.text().contains("Connected"));
    assert!(page.header("content-security-policy").is_some());
    visitor.get(&back).await.expect(StatusCode::BAD_REQUEST);

    let list = watch.send(Method::GET, "/connections", admin, "").await.expect(StatusCode::OK).json();
    let item = list["items"].as_array().unwrap().iter().find(|item| item["integrationKey"] == "demo").unwrap();
    let id = item["id"].as_str().unwrap().to_owned();
    let test = watch.send(Method::POST, &format!("/connections/{id}/test"), admin, "").await;
    assert_eq!(test.expect(StatusCode::OK).json(), json!({"success": true}));
    id
}

/// `get-credentials` has the real `refresh` binary renew what has expired, through the Invoke API.
async fn renews_an_expired_token(program: &Program, watch: &Watch, admin: &str, id: &str) {
    let path = format!("/credentials?connectionId={id}");
    let read =
        async || watch.send(Method::GET, &path, admin, "").await.expect(StatusCode::OK).json()["credentials"].clone();
    let mut credentials = read().await;
    let old = credentials["access_token"].clone();
    credentials["expires_in"] = json!(1);
    let body = json!({ "credentials": credentials }).to_string();
    watch.send(Method::PUT, &path, admin, &body).await.expect(StatusCode::CREATED);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let new = read().await["access_token"].clone();
    assert_ne!(old, new);
    program.get("/demo/me", new.as_str().unwrap()).await.expect(StatusCode::OK);
}

async fn answers_events(watch: &Watch, admin: &str, id: &str) {
    let event = json!({"workspace": "local", "connectionId": id}).to_string();
    let refreshed = watch.invoke("refresh", &event).await;
    // The reader's refresh was just now.
    assert_eq!(String::from_utf8_lossy(&refreshed.stdout).trim(), r#""tooSoon""#);

    for entry in fs::read_dir(root().join("events")).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let function = name.split('.').next().unwrap();
        let output = watch.invoke_file(function, &file).await;
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        match name.as_str() {
            "refresh.json" => assert_eq!(answer, "gone"),
            "refresh.sweep.json" => assert_eq!(answer["failed"], 0),
            // The token in the file is none.
            "oauth-callback.json" => assert_eq!(answer["statusCode"], 400, "{name}"),
            _ => assert_eq!(answer["statusCode"], 401, "{name}"),
        }
    }
    let sample = fs::read_to_string(root().join("events/connections.json")).unwrap();
    let output = watch.invoke("connections", &sample.replace("TOKEN", admin)).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["statusCode"], 200);
}
