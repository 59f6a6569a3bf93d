//! The conformance suite for credential stores. It runs against a store directly and through the routes.

use std::sync::Arc;

use futures::future::join_all;
use http::{Method, StatusCode};
use larder::caller::Claims;
use larder::credential_store::{CredentialStore, Key};
use larder::credentials::Credentials;
use larder::random::{self, SystemRng};

use crate::World;

/// Something that stores credentials as JSON strings.
#[expect(async_fn_in_trait, reason = "only tests implement and use it, in one task")]
pub trait Keeper {
    /// Returns the stored JSON, if any.
    async fn get(&self, workspace: &str, id: &str) -> Option<String>;
    /// Stores JSON in place of any previous value.
    async fn set(&self, workspace: &str, id: &str, json: &str);
    /// Removes the stored value, if any.
    async fn remove(&self, workspace: &str, id: &str);
}

/// A credential store, called directly.
pub struct Port(pub Arc<dyn CredentialStore>);

impl Keeper for Port {
    async fn get(&self, workspace: &str, id: &str) -> Option<String> {
        let credentials = self.0.get(key(workspace, id)).await.expect("it answers");
        credentials.map(|credentials| credentials.as_json().to_owned())
    }

    async fn set(&self, workspace: &str, id: &str, json: &str) {
        let credentials: Credentials = serde_json::from_str(json).expect("JSON");
        let write_id = random::token::<32>(&SystemRng);
        self.0.set(key(workspace, id), &credentials, &write_id).await.expect("it is stored");
    }

    async fn remove(&self, workspace: &str, id: &str) {
        self.0.remove(key(workspace, id)).await.expect("it is removed");
    }
}

fn key<'a>(workspace: &'a str, id: &'a str) -> Key<'a> {
    Key { workspace, connection_id: id, tenant: None }
}

/// The routes of a Larder, called as an admin.
pub struct Routes<'a>(pub &'a World);

impl Routes<'_> {
    async fn send(&self, method: Method, workspace: &str, id: &str, body: String) -> crate::Answer {
        let token = self.0.sign(workspace, Claims { is_admin: true, ..Claims::default() }).await;
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("connectionId", id).finish();
        self.0.send_raw(method, &format!("/credentials?{query}"), &token, body).await
    }
}

impl Keeper for Routes<'_> {
    async fn get(&self, workspace: &str, id: &str) -> Option<String> {
        let answer = self.send(Method::GET, workspace, id, String::new()).await;
        if answer.0.status() == StatusCode::NOT_FOUND {
            return None;
        }
        let text = answer.expect(StatusCode::OK).text().to_owned();
        Some(text.strip_prefix(r#"{"credentials":"#)?.strip_suffix('}')?.to_owned())
    }

    async fn set(&self, workspace: &str, id: &str, json: &str) {
        let body = format!(r#"{{"credentials":{json}}}"#);
        self.send(Method::PUT, workspace, id, body).await.expect(StatusCode::CREATED);
    }

    async fn remove(&self, workspace: &str, id: &str) {
        self.send(Method::DELETE, workspace, id, String::new()).await.expect(StatusCode::NO_CONTENT);
    }
}

/// Runs the suite. `max_bytes` is the size of the largest JSON that the keeper accepts.
pub async fn conform(keeper: &impl Keeper, max_bytes: usize) {
    every_value_comes_back_byte_for_byte(keeper, max_bytes).await;
    a_set_replaces_the_whole_value(keeper).await;
    a_removal_is_idempotent(keeper).await;
    other_entries_are_untouched(keeper).await;
    similar_ids_are_distinct(keeper).await;
    parallel_writers_leave_one_whole_value(keeper).await;
}

async fn every_value_comes_back_byte_for_byte(keeper: &impl Keeper, max_bytes: usize) {
    let large = format!(r#"{{"key":"{}"}}"#, "x".repeat(max_bytes - 10));
    assert_eq!(large.len(), max_bytes);
    for json in [
        r#"{"accessToken":"test-access-token","refreshToken":"test-refresh-token","expiresAt":"2024-12-31T23:59:59Z"}"#,
        r#"{"z":1,"a":2,"m":{"y":1,"b":2}}"#,
        "{ \"spaced\" : [1,  2,\t3 ],\n\"and\": \"broken\" }",
        r#"{"big":123456789012345678901234567890,"small":1e-400,"exact":0.10000000000000000555,"exp":1E+2,"minus":-0}"#,
        r#"{"escaped":"\u00e9\ud83d\ude00\/","plain":"é😀/","control":"\u0000","quote":"\"\\"}"#,
        r#"{"twice":1,"twice":2}"#,
        r#""a token""#,
        r#""""#,
        "12345678901234567890123456789.5",
        "null",
        "false",
        "[]",
        "{}",
        r#"["a",{"b":null},[[]]]"#,
        &large,
    ] {
        keeper.set("local", "values", json).await;
        let back = keeper.get("local", "values").await;
        let shown = &json[..json.len().min(60)];
        assert!(back.as_deref() == Some(json), "{shown} came back as {:.80}", back.unwrap_or_default());
    }
}

async fn a_set_replaces_the_whole_value(keeper: &impl Keeper) {
    keeper.set("local", "replaced", r#"{"a":1,"nested":{"b":2}}"#).await;
    keeper.set("local", "replaced", r#"{"nested":{"c":3}}"#).await;
    assert_eq!(keeper.get("local", "replaced").await.as_deref(), Some(r#"{"nested":{"c":3}}"#));
    // The new value may equal an earlier one.
    for json in ["1", "2", "1"] {
        keeper.set("local", "replaced", json).await;
        assert_eq!(keeper.get("local", "replaced").await.as_deref(), Some(json));
    }
}

async fn a_removal_is_idempotent(keeper: &impl Keeper) {
    assert_eq!(keeper.get("local", "removed").await, None);
    keeper.remove("local", "removed").await;
    for json in ["1", "2", "1"] {
        keeper.set("local", "removed", json).await;
        assert_eq!(keeper.get("local", "removed").await.as_deref(), Some(json));
        keeper.remove("local", "removed").await;
        keeper.remove("local", "removed").await;
        assert_eq!(keeper.get("local", "removed").await, None);
    }
}

async fn other_entries_are_untouched(keeper: &impl Keeper) {
    for (workspace, id, json) in [("local", "one", "1"), ("local", "two", "2"), ("other", "one", "3")] {
        keeper.set(workspace, id, json).await;
    }
    keeper.remove("local", "one").await;
    assert_eq!(keeper.get("local", "one").await, None);
    assert_eq!(keeper.get("local", "two").await.as_deref(), Some("2"));
    assert_eq!(keeper.get("other", "one").await.as_deref(), Some("3"));
    assert_eq!(keeper.get("other", "two").await, None);
}

async fn similar_ids_are_distinct(keeper: &impl Keeper) {
    let (long, longer) = ("é".repeat(256), format!("{}f", "é".repeat(255)));
    let ids = [
        ".",
        "..",
        "../other/x",
        "/",
        "a/b",
        "a",
        "A",
        "a ",
        "a+",
        "a%20",
        "a b",
        "a&b=c",
        "a?b#c",
        "=61",
        "a=",
        "%2F",
        "é",
        "e\u{301}",
        "😀",
        "\u{0}",
        "\n",
        "\"",
        "'",
        "<a>",
        "~",
        "null",
        "-abcdef",
        "a-abcdef",
        "*",
        "#",
        &long,
        &longer,
    ];
    for (number, id) in ids.iter().enumerate() {
        keeper.set("local", id, &number.to_string()).await;
    }
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(keeper.get("local", id).await, Some(number.to_string()), "{id:?}");
    }
    for id in &ids {
        keeper.remove("local", id).await;
        assert_eq!(keeper.get("local", id).await, None, "{id:?}");
    }
}

async fn parallel_writers_leave_one_whole_value(keeper: &impl Keeper) {
    let values: Vec<_> = (0..4).map(|number| format!("[{}]", vec![number.to_string(); 4000].join(","))).collect();
    for _ in 0..3 {
        join_all(values.iter().map(|json| keeper.set("local", "contended", json))).await;
        let left = keeper.get("local", "contended").await.expect("one of them");
        assert!(values.contains(&left), "{left:.80}");
    }
    keeper.remove("local", "contended").await;
}
