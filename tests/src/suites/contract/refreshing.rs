//! Tokens that expire in real time. Here, tokens have a lifetime of a second.

use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};

use super::account::Account;
use crate::Target;

/// Connects with a token that has expired when this returns. The next tokens have a lifetime of an hour.
async fn expired(account: &Account<'_>) -> String {
    account.provider.set_expires_in(json!(1));
    let id = account.connect().await;
    account.provider.set_expires_in(json!(3600));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    id
}

pub(super) async fn a_reader_of_an_expired_token_gets_a_new_one(target: &Target) {
    let account = Account::open(target, "expired").await;
    let id = expired(&account).await;
    assert_eq!(account.access_token(&id).await, "access-2");
    assert_eq!(account.access_token(&id).await, "access-2");
    let [refresh] = &account.provider.refreshes()[..] else { panic!("one refresh") };
    assert_eq!(refresh.get("refresh_token"), Some("refresh-1"));
    let view = account.connection(&id).await;
    assert_eq!(view["state"], "READY");
    assert!(view["lastRefreshedAt"].is_string() && view["error"].is_null(), "{view}");
}

pub(super) async fn many_readers_of_an_expired_token_make_one_provider_call(target: &Target) {
    let account = Account::open(target, "crowded").await;
    let id = expired(&account).await;
    account.provider.set_delay(Duration::from_millis(300));
    let tokens = join_all((0..10).map(|_| account.access_token(&id))).await;
    assert_eq!(tokens, vec!["access-2"; 10]);
    assert_eq!(account.provider.refreshes().len(), 1);
}

pub(super) async fn requested_refreshes_run_at_most_once_a_minute(target: &Target) {
    let account = Account::open(target, "asked").await;
    let id = account.connect().await;
    for _ in 0..2 {
        let answer = target.post(&format!("/connections/{id}/refresh-credentials"), &account.token()).await;
        let view = answer.expect(StatusCode::OK).json();
        assert!(view["lastRefreshedAt"].is_string(), "{view}");
        assert_eq!(account.access_token(&id).await, "access-2");
    }
    assert_eq!(account.provider.refreshes().len(), 1);
}

pub(super) async fn an_expired_token_is_not_served_while_its_provider_is_down(target: &Target) {
    let account = Account::open(target, "down").await;
    let id = expired(&account).await;
    account.provider.script_raw(503, "<html>down</html>", &[("content-type", "text/html")]);
    for _ in 0..2 {
        let answer = account.read(&id).await.expect(StatusCode::SERVICE_UNAVAILABLE);
        let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u32>().ok());
        assert!(wait.is_some_and(|wait| (1..=120).contains(&wait)), "{}", answer.snapshot());
        assert!(!answer.text().contains("access-1"), "{}", answer.text());
    }
    assert_eq!(account.provider.refreshes().len(), 1);
    let view = account.connection(&id).await;
    assert_eq!((&view["state"], &view["retryAttempts"]), (&json!("READY"), &json!(1)));
    assert!(view["error"]["message"].as_str().is_some_and(|message| message.contains("503")), "{view}");
}

pub(super) async fn a_dead_grant_needs_a_reconnect_which_repairs_it(target: &Target) {
    let account = Account::open(target, "dead").await;
    let id = expired(&account).await;
    account.provider.script(400, &json!({"error": "invalid_grant"}));
    let error = account.read(&id).await.expect(StatusCode::BAD_REQUEST).json();
    assert_eq!((&error["type"], &error["key"]), (&json!("connection"), &json!("access_token_expired")), "{error}");
    let view = account.connection(&id).await;
    assert_eq!((&view["state"], &view["disconnected"]), (&json!("CLIENT_ACTION_REQUIRED"), &json!(true)));

    assert_eq!(account.connect().await, id);
    let view = account.connection(&id).await;
    assert_eq!((&view["state"], &view["error"]), (&json!("READY"), &Value::Null));
    assert_eq!(account.access_token(&id).await, "access-2");
}

pub(super) async fn a_put_on_a_connection_replaces_its_tokens(target: &Target) {
    let account = Account::open(target, "put").await;
    let id = account.connect().await;
    let own = json!({"credentials": {"access_token": "mine", "refresh_token": "my-refresh", "expires_in": 1}});
    let path = format!("/credentials?connectionId={id}");
    target.put(&path, &account.token(), &own).await.expect(StatusCode::CREATED);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(account.access_token(&id).await, "access-2");
    assert_eq!(account.provider.refreshes()[0].get("refresh_token"), Some("my-refresh"));

    for _ in 0..2 {
        target.delete(&path, &account.token()).await.expect(StatusCode::NO_CONTENT);
        account.read(&id).await.expect(StatusCode::NOT_FOUND);
    }
    assert_eq!(account.connection(&id).await["state"], "CLIENT_ACTION_REQUIRED");
}

pub(super) async fn new_credentials_are_tested_before_they_are_stored(target: &Target) {
    let account = Account::open(target, "put-tested").await;
    let id = account.connect().await;
    // The first read of the credentials is shown in the connection.
    account.access_token(&id).await;
    let before = account.connection(&id).await;
    let put = async |query: &str, token: &str, access_token: &str| {
        let body = json!({"credentials": {"access_token": access_token}});
        target.put(&format!("/credentials?connectionId={id}{query}"), token, &body).await
    };
    let (tenant, admin) = (account.token(), target.admin());
    for (status, expected) in [(403, StatusCode::BAD_REQUEST), (500, StatusCode::SERVICE_UNAVAILABLE)] {
        account.provider.set_test_status(status);
        for token in [&tenant, &admin] {
            let answer = put("", token, "wrong").await.expect(expected);
            let (error, is_later) = (answer.json(), answer.header("retry-after").is_some());
            assert_eq!((&error["type"], is_later), (&json!("connection"), status == 500), "{error}");
            let message = error["message"].as_str().expect("a message");
            assert!(message.contains("nothing was stored") && message.contains(&status.to_string()), "{message}");
            assert!(!answer.text().contains("wrong"), "{error}");
        }
        assert_eq!(account.access_token(&id).await, "access-1");
        assert_eq!(account.connection(&id).await, before);
    }
    put("&test=maybe", &admin, "wrong").await.expect(StatusCode::BAD_REQUEST);
    put("&test=false", &tenant, "wrong").await.expect(StatusCode::FORBIDDEN);
    put("&test=false", &admin, "untested").await.expect(StatusCode::CREATED);
    assert_eq!(account.access_token(&id).await, "untested");
    account.provider.set_test_status(200);
    put("&test=true", &tenant, "tested").await.expect(StatusCode::CREATED);
    assert_eq!(account.access_token(&id).await, "tested");
    assert_eq!(account.provider.tests().pop().flatten().as_deref(), Some("Bearer tested"));
}
