//! Credentials that callers store: any JSON value under any id.

use futures::future::join_all;
use http::{Method, StatusCode, header};
use larder::credentials::Credentials;
use serde_json::json;

use super::encode;
use crate::processes::target::respond;
use crate::{Answer, Target};

fn path(id: &str) -> String {
    format!("/credentials?connectionId={}", encode(id))
}

async fn put(target: &Target, id: &str, credentials: &str) -> Answer {
    let body = format!(r#"{{"credentials":{credentials}}}"#);
    target.send(Method::PUT, &path(id), &target.admin(), body).await
}

/// PUT with a content type. Gateways encode bodies of some types as base64.
async fn put_as(target: &Target, id: &str, content_type: &str, body: &[u8]) -> Answer {
    let request = target.request(Method::PUT, &path(id)).bearer_auth(target.admin());
    respond(request.header(header::CONTENT_TYPE, content_type).body(body.to_vec())).await
}

async fn read(target: &Target, id: &str) -> Answer {
    target.get(&path(id), &target.admin()).await
}

/// Checks an error response, which has the documented JSON, and returns its message.
#[track_caller]
fn error_message(answer: Answer, status: StatusCode) -> String {
    let error = answer.expect(status).json();
    assert_eq!(error["type"], "bad_request", "{error}");
    error["message"].as_str().expect("a message").to_owned()
}

pub(super) async fn any_json_value_comes_back_byte_for_byte(target: &Target) {
    let large = format!(r#"{{"key":"{}"}}"#, "x".repeat(300 * 1024));
    for credentials in [
        r#"{"z":1,"a":2,"m":{"y":1,"b":2}}"#,
        r#"{ "spaced" : [1,  2,	3 ],
            "and": "broken" }"#,
        r#"{"big":123456789012345678901234567890,"small":1e-400,"exact":0.10000000000000000555,"exp":1E+2,"minus":-0}"#,
        r#"{"escaped":"\u00e9\ud83d\ude00\/","plain":"é😀/","control":"\u0000"}"#,
        r#""a token""#,
        r#""""#,
        "12345678901234567890123456789.5",
        "null",
        "false",
        r#"["a",{"b":null},[[]]]"#,
        &large,
    ] {
        let shown = credentials.chars().take(60).collect::<String>();
        let answer = put(target, "bytes", credentials).await.expect(StatusCode::CREATED);
        assert_eq!(answer.text(), "", "{shown}");
        let answer = read(target, "bytes").await.expect(StatusCode::OK);
        assert!(answer.text() == format!(r#"{{"credentials":{credentials}}}"#), "{shown}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

pub(super) async fn a_body_is_read_whatever_its_content_type(target: &Target) {
    let types = [
        "application/json; charset=utf-8",
        "text/plain",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    ];
    for content_type in types {
        let body = format!(r#"{{"credentials":"é+%20 as {content_type}"}}"#);
        put_as(target, "types", content_type, body.as_bytes()).await.expect(StatusCode::CREATED);
        assert_eq!(read(target, "types").await.text(), body);
    }
}

pub(super) async fn a_put_replaces_the_whole_value(target: &Target) {
    put(target, "replaced", r#"{"a":1,"nested":{"b":2}}"#).await.expect(StatusCode::CREATED);
    put(target, "replaced", r#"{"nested":{"c":3}}"#).await.expect(StatusCode::CREATED);
    assert_eq!(read(target, "replaced").await.text(), r#"{"credentials":{"nested":{"c":3}}}"#);
}

pub(super) async fn a_delete_removes_credentials_and_is_idempotent(target: &Target) {
    put(target, "deleted", "1").await.expect(StatusCode::CREATED);
    for _ in 0..2 {
        let answer = target.delete(&path("deleted"), &target.admin()).await.expect(StatusCode::NO_CONTENT);
        assert_eq!(answer.text(), "");
        read(target, "deleted").await.expect(StatusCode::NOT_FOUND);
    }
    target.get("/connections/deleted", &target.admin()).await.expect(StatusCode::NOT_FOUND);
    put(target, "deleted", "2").await.expect(StatusCode::CREATED);
    assert_eq!(read(target, "deleted").await.text(), r#"{"credentials":2}"#);
}

pub(super) async fn unknown_credentials_are_not_found(target: &Target) {
    let error = read(target, "never-stored").await.expect(StatusCode::NOT_FOUND).json();
    assert_eq!((&error["type"], &error["key"]), (&json!("bad_request"), &json!("not_found")), "{error}");
}

pub(super) async fn a_malformed_body_is_rejected_with_the_reason(target: &Target) {
    for (body, hint) in [
        ("", "not a JSON object"),
        ("{", "line 1"),
        (r#"{"credentials":}"#, "line 1 column 16"),
        (r#"{"credentials":1} x"#, "trailing"),
        ("{}", "missing field `credentials`"),
        (r#"{"credentials":1,"credentials":2}"#, "duplicate field `credentials`"),
        ("[1]", "not a JSON object"),
        (r#""credentials""#, "not a JSON object"),
    ] {
        let answer = target.send(Method::PUT, &path("malformed"), &target.admin(), body).await;
        let message = error_message(answer, StatusCode::BAD_REQUEST);
        assert!(message.contains(hint), "{body}: {message}");
    }
    let answer = put_as(target, "malformed", "application/octet-stream", b"{\"credentials\":\"\xff\"}").await;
    let message = error_message(answer, StatusCode::BAD_REQUEST);
    assert!(message.contains("request body"), "{message}");
    read(target, "malformed").await.expect(StatusCode::NOT_FOUND);
}

pub(super) async fn the_connection_id_is_required_exactly_once(target: &Target) {
    for (query, hint) in [
        ("", "`connectionId` is missing"),
        ("?connectionid=c1", "`connectionId` is missing"),
        ("?connectionId=", "`connectionId` is missing"),
        ("?connectionId=once&connectionId=twice", "`connectionId` is given more than once"),
        ("?connectionId=once&x=1&connection%49d=once", "`connectionId` is given more than once"),
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let (uri, body) = (format!("/credentials{query}"), r#"{"credentials":1}"#);
            let answer = target.send(method.clone(), &uri, &target.admin(), body).await;
            let message = error_message(answer, StatusCode::BAD_REQUEST);
            assert!(message.contains(hint), "{method} {uri}: {message}");
        }
    }
}

pub(super) async fn other_query_parameters_are_ignored(target: &Target) {
    put(target, "ignoring", "1").await.expect(StatusCode::CREATED);
    for query in
        ["x=1&connectionId=ignoring&x=2&credentialsId=other&token=other", "%ff=%zz&&=&connectionId=%69gnoring&é=+"]
    {
        let answer = target.get(&format!("/credentials?{query}"), &target.admin()).await.expect(StatusCode::OK);
        assert_eq!(answer.text(), r#"{"credentials":1}"#, "{query}");
    }
}

pub(super) async fn similar_ids_are_distinct(target: &Target) {
    let longest = "x".repeat(512);
    let ids = [
        "Id",
        "ID",
        "i d",
        "i+d",
        "i/d",
        "i//d",
        "../id",
        "i#d",
        "i%2Fd",
        "i?d",
        "i&d=e",
        "ïd",
        "日本語",
        "😀",
        &longest,
    ];
    for id in ids {
        put(target, id, &json!(id).to_string()).await.expect(StatusCode::CREATED);
    }
    for id in ids {
        let answer = read(target, id).await.expect(StatusCode::OK);
        assert_eq!(answer.json(), json!({ "credentials": id }));
    }
    let message = error_message(put(target, &"x".repeat(513), "1").await, StatusCode::BAD_REQUEST);
    assert!(message.contains("512 bytes"), "{message}");
}

/// All characters except `/` and `?`, since gateways decode these in paths.
pub(super) async fn ids_with_special_characters_work_in_paths(target: &Target) {
    let path = |id: &str| format!("/connections/{}", encode(id));
    let ids = ["in path", "in+path", "in#path", "in%2Fpath", "in%path", "in&path=x", "ïn path", "日本の道"];
    for id in ids {
        put(target, id, "1").await.expect(StatusCode::CREATED);
    }
    for id in ids {
        let answer = target.get(&path(id), &target.admin()).await.expect(StatusCode::OK);
        assert_eq!(answer.json()["id"], id);
    }
    put(target, "in", "1").await.expect(StatusCode::CREATED);
    target.delete(&path("in#path"), &target.admin()).await.expect(StatusCode::NO_CONTENT);
    read(target, "in#path").await.expect(StatusCode::NOT_FOUND);
    read(target, "in").await.expect(StatusCode::OK);
}

pub(super) async fn oversized_credentials_are_rejected_and_change_nothing(target: &Target) {
    let of_size = |size: usize| format!(r#""{}""#, "x".repeat(size - 2));
    let most = of_size(Credentials::MAX_BYTES);
    put(target, "large", &most).await.expect(StatusCode::CREATED);
    for size in [Credentials::MAX_BYTES + 1, 1024 * 1024, 4 * 1024 * 1024] {
        let message = error_message(put(target, "large", &of_size(size)).await, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(message.contains("350 KiB") && message.contains(&size.to_string()), "{message}");
    }
    assert!(read(target, "large").await.text() == format!(r#"{{"credentials":{most}}}"#));
}

pub(super) async fn parallel_puts_leave_one_whole_value(target: &Target) {
    let puts = (0..4).map(async |number| {
        let credentials = json!({"number": number, "same": number}).to_string();
        put(target, "parallel", &credentials).await.expect(StatusCode::CREATED);
    });
    join_all(puts).await;
    let credentials = read(target, "parallel").await.expect(StatusCode::OK).json()["credentials"].take();
    assert_eq!(credentials["number"], credentials["same"]);
}

/// Gateways with a list of routes answer 404 themselves.
pub(super) async fn other_methods_are_rejected_and_change_nothing(target: &Target) {
    for method in [Method::POST, Method::PATCH] {
        let answer = target.send(method, &path("methods"), &target.admin(), r#"{"credentials":1}"#).await;
        let status = answer.0.status();
        assert!(matches!(status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND), "{}", answer.snapshot());
    }
    read(target, "methods").await.expect(StatusCode::NOT_FOUND);
}
