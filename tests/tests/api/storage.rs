//! The storage protocol: reading, putting and deleting credentials.

use std::fs;
use std::sync::Arc;

use http::{Method, StatusCode};
use larder::clock::Clock as _;
use larder::connection::ConnectionKey;
use larder::credentials::Credentials;
use larder::dynamodb::{Expect, Write};
use larder_local::server;
use larder_tests::{Answer, World};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const C1: &str = "/credentials?connectionId=c1";

async fn put(world: &World, uri: &str, body: impl Into<bytes::Bytes>) -> Answer {
    world.send_raw(Method::PUT, uri, &world.admin, body).await
}

/// The message of an error, whose JSON must have the documented form.
#[track_caller]
fn refusal(answer: Answer, status: StatusCode) -> String {
    let error = answer.expect(status).json();
    assert_eq!(error["type"], "bad_request", "{error}");
    error["message"].as_str().unwrap().to_owned()
}

/// Reads `c1` with these headers only.
async fn read_with(world: &World, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(http::Request::get(C1), |request, (name, value)| request.header(*name, *value));
    Answer(world.bundle.handle(request.body(Default::default()).unwrap()).await)
}

#[tokio::test]
async fn any_json_value_comes_back_byte_for_byte() {
    let world = World::new().await;
    let large = format!(r#"{{"key":"{}"}}"#, "x".repeat(300 * 1024));
    for credentials in [
        r#"{"accessToken":"test-access-token","refreshToken":"test-refresh-token","expiresAt":"2024-12-31T23:59:59Z"}"#,
        r#"{"z":1,"a":2,"m":{"y":1,"b":2}}"#,
        r#"{ "spaced" : [1,  2,	3 ],
            "and": "broken" }"#,
        r#"{"big":123456789012345678901234567890,"small":1e-400,"exact":0.10000000000000000555,"exp":1E+2,"minus":-0}"#,
        r#"{"escaped":"\u00e9\ud83d\ude00\/","plain":"é😀/","control":"\u0000"}"#,
        r#"{"twice":1,"twice":2}"#,
        r#""a token""#,
        r#""""#,
        "42",
        "12345678901234567890123456789.5",
        "null",
        "true",
        "false",
        "[]",
        "{}",
        r#"["a",{"b":null},[[]]]"#,
        &large,
    ] {
        let shown = &credentials[..credentials.len().min(60)];
        let answer = put(&world, C1, format!(r#"{{"credentials":{credentials}}}"#)).await.expect(StatusCode::CREATED);
        assert_eq!(answer.text(), "", "{shown}");
        let answer = world.get(C1).await.expect(StatusCode::OK);
        assert!(answer.text() == format!(r#"{{"credentials":{credentials}}}"#), "{shown}");
    }
}

#[tokio::test]
async fn answers_match_the_documentation_and_are_never_cached() {
    let world = World::new().await;
    let written = put(&world, C1, r#"{"credentials":{"token":"t"}}"#).await;
    let read = world.get(C1).await;
    let removed = world.send(Method::DELETE, C1, &world.admin, None).await;
    let unknown = world.get(C1).await;
    let unauthorized = read_with(&world, &[]).await;
    let all = [&written, &read, &removed, &unknown, &unauthorized];
    for answer in all {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    insta::assert_snapshot!("storage", all.map(Answer::snapshot).join("\n----\n"));
}

#[tokio::test]
async fn credentials_never_stored_are_not_found() {
    let world = World::new().await;
    let answer = world.get("/credentials?connectionId=unknown").await.expect(StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["key"], "not_found");
}

#[tokio::test]
async fn a_put_replaces_all_credentials() {
    let world = World::new().await;
    put(&world, C1, r#"{"credentials":{"a":1,"nested":{"b":2}}}"#).await.expect(StatusCode::CREATED);
    put(&world, C1, r#"{"credentials":{"nested":{"c":3}}}"#).await.expect(StatusCode::CREATED);
    assert_eq!(world.credentials("c1").await, json!({"nested": {"c": 3}}));
    put(&world, C1, r#"{"credentials":null}"#).await.expect(StatusCode::CREATED);
    assert_eq!(world.credentials("c1").await, Value::Null);
}

#[tokio::test]
async fn deleting_removes_credentials_and_can_be_repeated() {
    let world = World::new().await;
    put(&world, C1, r#"{"credentials":"x"}"#).await.expect(StatusCode::CREATED);
    for _ in 0..2 {
        let answer = world.send(Method::DELETE, C1, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
        assert_eq!(answer.text(), "");
        world.get(C1).await.expect(StatusCode::NOT_FOUND);
    }
    world.get("/connections/c1").await.expect(StatusCode::NOT_FOUND);
    put(&world, C1, r#"{"credentials":"y"}"#).await.expect(StatusCode::CREATED);
    assert_eq!(world.credentials("c1").await, "y");
}

#[tokio::test]
async fn put_credentials_are_served_forever_and_never_interpreted() {
    let world = World::new().await;
    let credentials = json!({"access_token": "a", "refresh_token": "r", "expires_in": 1, "expires_at": 1});
    put(&world, C1, json!({ "credentials": credentials }).to_string()).await.expect(StatusCode::CREATED);
    world.advance(30 * 86_400);
    world.sweep().await;
    assert_eq!(world.credentials("c1").await, credentials);
}

#[tokio::test]
async fn a_malformed_body_is_rejected_with_the_reason() {
    let world = World::new().await;
    for (body, hint) in [
        ("", "not a JSON object"),
        ("{", "line 1"),
        (r#"{"credentials":}"#, "line 1 column 16"),
        (r#"{"credentials":1} x"#, "trailing"),
        (r#"{"credentials":NaN}"#, "line 1"),
        (r#"{"credentials":'a'}"#, "line 1"),
        ("{}", "missing field `credentials`"),
        (r#"{"Credentials":1}"#, "missing field `credentials`"),
        (r#"{"credentials":1,"credentials":2}"#, "duplicate field `credentials`"),
        ("null", "not a JSON object"),
        ("7", "not a JSON object"),
        (r#""credentials""#, "not a JSON object"),
        ("[]", "not a JSON object"),
        ("[1]", "not a JSON object"),
    ] {
        let message = refusal(put(&world, C1, body).await, StatusCode::BAD_REQUEST);
        assert!(message.contains("request body") && message.contains(hint), "{body}: {message}");
    }
    let message = refusal(put(&world, C1, &b"{\"credentials\":\"\xff\"}"[..]).await, StatusCode::BAD_REQUEST);
    assert!(message.contains("request body"), "{message}");
    world.get(C1).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn error_messages_never_repeat_the_request_body() {
    let world = World::new().await;
    for body in [
        r#""marker-5ecret""#,
        r#"["marker-5ecret"]"#,
        r#"{"credentials":"marker-5ecret"} "marker-5ecret""#,
        r#"{"credentials":"marker-5ecret""#,
    ] {
        let message = refusal(put(&world, C1, body).await, StatusCode::BAD_REQUEST);
        assert!(!message.contains("marker"), "{body}: {message}");
    }
    let body = r#"{"connectorKey":"oauth2","parameters":"marker-5ecret"}"#;
    let answer = world.send_raw(Method::PUT, "/integrations/crm", &world.admin, body).await;
    let message = refusal(answer, StatusCode::BAD_REQUEST);
    assert!(!message.contains("marker"), "{message}");
}

#[tokio::test]
async fn the_connection_id_must_be_given_once_and_not_be_empty() {
    let world = World::new().await;
    for (uri, hint) in [
        ("/credentials", "`connectionId` is missing"),
        ("/credentials?", "`connectionId` is missing"),
        ("/credentials?connectionid=c1", "`connectionId` is missing"),
        ("/credentials?connectionId", "`connectionId` is missing"),
        ("/credentials?connectionId=", "`connectionId` is missing"),
        ("/credentials?connectionId=c1&connectionId=c2", "`connectionId` is given more than once"),
        ("/credentials?connectionId=c1&x=1&connectionId=c1", "`connectionId` is given more than once"),
        ("/credentials?connectionId=c1&connection%49d=c2", "`connectionId` is given more than once"),
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let body = json!({"credentials": 1});
            let message = refusal(world.send(method, uri, &world.admin, Some(&body)).await, StatusCode::BAD_REQUEST);
            assert!(message.contains(hint), "{uri}: {message}");
        }
    }
}

#[tokio::test]
async fn oversized_credentials_are_rejected_and_change_nothing() {
    let world = World::new().await;
    let of_size = |size: usize| format!(r#"{{"credentials":"{}"}}"#, "x".repeat(size - 2));
    let most = of_size(Credentials::MAX_BYTES);
    put(&world, C1, most.clone()).await.expect(StatusCode::CREATED);
    for size in [Credentials::MAX_BYTES + 1, 1024 * 1024, 5 * 1024 * 1024] {
        let message = refusal(put(&world, C1, of_size(size)).await, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(message.contains("350 KiB") && message.contains(&size.to_string()), "{message}");
    }
    assert!(world.get(C1).await.text() == most);
}

#[tokio::test]
async fn credentials_with_too_many_values_are_rejected() {
    let world = World::new().await;
    let uri = "/credentials?connectionId=c";
    let body = |values: usize| format!("{{\"credentials\":[{}0]}}", "0,".repeat(values - 2));
    put(&world, uri, body(10_000)).await.expect(StatusCode::CREATED);
    let answer = put(&world, uri, body(10_001)).await.expect(StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.text().contains("at most 10000 values"), "{}", answer.text());
    assert_eq!(world.credentials("c").await.as_array().map(Vec::len), Some(9_999));
    put(&world, uri, format!("{{\"credentials\":\"{}\"}}", "0,".repeat(20_000))).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn requests_too_large_for_lambda_are_rejected_with_the_limit() {
    const MOST: usize = 6 * 1024 * 1024;
    let world = World::new().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::serve(listener, Arc::clone(&world.bundle), None));
    // Up to the limit of Lambda, the function itself rejects credentials that are too large.
    for (size, limit) in [(MOST, "350 KiB"), (MOST + 1, "6291456 bytes")] {
        let around = r#"{"credentials":""}"#;
        let body = format!(r#"{{"credentials":"{}"}}"#, "x".repeat(size - around.len()));
        let head = format!(
            "PUT {C1} HTTP/1.1\r\nhost: larder\r\nauthorization: Bearer {}\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n",
            world.admin
        );
        let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
        let sending = tokio::spawn(async move {
            drop(to.write_all(head.as_bytes()).await);
            drop(to.write_all(body.as_bytes()).await);
            to
        });
        let mut answer = String::new();
        drop(from.read_to_string(&mut answer).await);
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains(limit), "{size}: {answer}");
        sending.abort();
    }
    world.get(C1).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn odd_paths_and_headers_never_cause_a_server_error() {
    let world = World::new().await;
    let (good, garbage) = (format!("Bearer {}", world.admin).into_bytes(), b"Bearer \xff\xfe".to_vec());
    let headers: [Vec<(&str, &[u8])>; 8] = [
        vec![],
        vec![("authorization", &good)],
        vec![("authorization", &garbage)],
        vec![("authorization", &good), ("authorization", &garbage)],
        vec![("authorization", &garbage), ("x-membrane-token", &garbage), ("x-membrane-token", b"")],
        vec![("authorization", &good), ("content-type", b"\xff"), ("content-type", b";;;=")],
        vec![("authorization", &good), ("content-type", b"application/x-www-form-urlencoded;charset=utf-16")],
        vec![("authorization", &good), ("cookie", b"=;;a;\xff=\xff"), ("cookie", b""), ("content-length", b"no")],
    ];
    for path in [
        "/credentials?connectionId=%",
        "/credentials?connectionId=%ff%fe&%ff=%zz",
        "/credentials?connectionId=%00",
        "/credentials?&=&&==&connectionId=a;b",
        "//credentials//?connectionId=a",
        "/connections/%",
        "/connections/%2",
        "/connections/%ff",
        "/connections/%E2%82",
        "/connections/%00/test",
        "/connections/..%2F..%2Fx/refresh-credentials",
        "/connections?cursor=%ff&limit=%31",
        "/integrations/%c3%28",
        "/integrations/%2e%2e",
        "/connect?payload=%7B%22token%22%3A1%7D&input=%ff",
        "/connect?integrationKey=%00&token=%ff",
        "/oauth-callback?state=%ff&code=%",
        "/oauth-callback?%",
    ] {
        for headers in &headers {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                for body in [&b""[..], b"\xff\xfe", b"payload=%7B%ff&payload=%", b"{\"credentials\":1}"] {
                    let mut request = http::Request::builder().method(&method).uri(path);
                    for (name, value) in headers {
                        request = request.header(*name, *value);
                    }
                    let answer = world.bundle.handle(request.body(body.into()).unwrap()).await;
                    assert!(!answer.status().is_server_error(), "{method} {path} {headers:?}: {answer:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn extra_query_parameters_and_path_prefixes_are_ignored() {
    let world = World::new().await;
    let uris = [
        "/credentials?connectionId=c1",
        "/prod/credentials?connectionId=c1",
        "/a/b/c/credentials/?connectionId=c1",
        "/credentials?x=1&connectionId=c1&x=2&credentialsId=other&token=other",
        "/credentials?%ff=%zz&&=&connectionId=c1",
        "/credentials?connectionId=%631",
    ];
    for (number, uri) in uris.into_iter().enumerate() {
        put(&world, uri, json!({ "credentials": number }).to_string()).await.expect(StatusCode::CREATED);
        for uri in uris {
            assert_eq!(world.get(uri).await.expect(StatusCode::OK).json(), json!({ "credentials": number }), "{uri}");
        }
    }
    let list = world.get("/connections").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn ids_with_special_characters_stay_distinct() {
    let world = World::new().await;
    let longest = "x".repeat(512);
    let ids = [
        "a",
        "A",
        "a b",
        "a+b",
        "a/b",
        "a//b",
        "/",
        "..",
        "../a",
        "a#b",
        "#",
        "a%2Fb",
        "%",
        "a?b",
        "a&b=c",
        "é",
        "e\u{301}",
        "日本語",
        "😀",
        "\u{202e}",
        "\0",
        "a\nb",
        "\"",
        "'; DROP TABLE connections; --",
        "null",
        "connections",
        "test",
        &longest,
    ];
    let encode = |id: &str| form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>();
    for id in ids {
        let uri = format!("/credentials?connectionId={}", encode(id));
        put(&world, &uri, json!({ "credentials": id }).to_string()).await.expect(StatusCode::CREATED);
    }
    for id in ids {
        let answer = world.get(&format!("/credentials?connectionId={}", encode(id))).await;
        assert_eq!(answer.expect(StatusCode::OK).json(), json!({ "credentials": id }));
        // In a path, a space is encoded as %20.
        let path = format!("/connections/{}", encode(id).replace('+', "%20"));
        assert_eq!(world.get(&path).await.expect(StatusCode::OK).json()["id"], id, "{path}");
    }
    for id in ids {
        let path = format!("/connections/{}", encode(id).replace('+', "%20"));
        world.send(Method::DELETE, &path, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    }
    assert_eq!(world.get("/connections").await.json(), json!({"items": []}));
}

#[tokio::test]
async fn an_id_over_512_bytes_is_rejected_everywhere() {
    let world = World::new().await;
    for length in [513, 2048, 10_000] {
        let id = "x".repeat(length);
        let uri = format!("/credentials?connectionId={id}");
        let message = refusal(put(&world, &uri, r#"{"credentials":1}"#).await, StatusCode::BAD_REQUEST);
        assert!(message.contains("512 bytes"), "{message}");
        let read = world.get(&uri).await;
        assert!(read.0.status().is_client_error(), "{length}: {}", read.snapshot());
        let read = world.get(&format!("/connections/{id}")).await;
        assert!(read.0.status().is_client_error(), "{length}: {}", read.snapshot());
        let removed = world.send(Method::DELETE, &uri, &world.admin, None).await;
        assert!(!removed.0.status().is_server_error(), "{length}: {}", removed.snapshot());
    }
    // The limit counts bytes, not characters.
    let uri = format!("/credentials?connectionId={}", "%C3%A9".repeat(257));
    refusal(put(&world, &uri, r#"{"credentials":1}"#).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let world = World::new().await;
    for method in [Method::POST, Method::PATCH] {
        let answer = world.send(method, C1, &world.admin, Some(&json!({"credentials": 1}))).await;
        answer.expect(StatusCode::METHOD_NOT_ALLOWED);
    }
    world.get(C1).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn parallel_puts_leave_one_intact_result() {
    let world = World::new().await;
    let puts =
        (0..4).map(|number| put(&world, C1, json!({"credentials": {"number": number, "same": number}}).to_string()));
    for answer in futures::future::join_all(puts).await {
        answer.expect(StatusCode::CREATED);
    }
    let credentials = world.credentials("c1").await;
    assert_eq!(credentials["number"], credentials["same"]);
}

#[tokio::test]
async fn a_write_based_on_an_old_version_changes_nothing() {
    let world = World::new().await;
    put(&world, C1, r#"{"credentials": 1}"#).await.expect(StatusCode::CREATED);
    let connections = world.bundle.environment().connections();
    let seen = connections.get(&ConnectionKey::new("local", "c1")).await.unwrap().unwrap();
    put(&world, C1, r#"{"credentials": 2}"#).await.expect(StatusCode::CREATED);
    for expect in [Expect::Absent, Expect::Version(seen.version), Expect::Unleased(seen.version, world.clock.now())] {
        assert_eq!(connections.put(&seen, expect).await.unwrap(), Write::Conflict, "{expect:?}");
    }
    assert_eq!(world.credentials("c1").await, 2);
}

#[tokio::test]
async fn credentials_are_unreadable_at_rest() {
    let mut world = World::new().await;
    let body = r#"{"credentials":{"user":"marker-user","password":"marker-pässword"}}"#;
    put(&world, C1, body).await.expect(StatusCode::CREATED);
    put(&world, "/credentials?connectionId=c2", r#"{"credentials":"marker-text"}"#).await.expect(StatusCode::CREATED);
    put(&world, C1, body.replace("user\":", "name\":")).await.expect(StatusCode::CREATED);
    world.restart().await;
    assert_eq!(world.credentials("c1").await["name"], "marker-user");

    let mut read = 0;
    for entry in fs::read_dir(world.folder()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        read += bytes.len();
        for marker in ["marker", "password", "pässword"].map(str::as_bytes) {
            let found = bytes.windows(marker.len()).any(|window| window == marker);
            assert!(!found, "{}", path.display());
        }
    }
    assert!(read > 4096, "the database must be somewhere else: only {read} bytes");
}
