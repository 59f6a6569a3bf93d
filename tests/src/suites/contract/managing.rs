//! Integrations, connectors, and views of connections.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::account::Account;
use super::encode;
use crate::Target;

pub(super) async fn integrations_can_be_created_read_changed_and_removed(target: &Target) {
    let admin = target.admin();
    let path = "/integrations/changing";
    target.get(path, &admin).await.expect(StatusCode::NOT_FOUND);
    let account = Account::open(target, "changing").await;
    let read = target.get(path, &admin).await.expect(StatusCode::OK);
    assert_eq!((&read.json()["key"], &read.json()["connectorKey"]), (&json!("changing"), &json!("oauth2")));
    assert_eq!(read.json()["redirectUris"], json!([Account::DONE]));
    let listed = target.get("/integrations", &admin).await.expect(StatusCode::OK);
    let items = listed.json()["items"].as_array().expect("a list").clone();
    assert!(items.contains(&read.json()), "{items:?}");

    // A PUT replaces all members except parameters that it does not give.
    let renamed = json!({"connectorKey": "oauth2", "name": "Renamed"});
    let replaced = target.put(path, &admin, &renamed).await.expect(StatusCode::OK);
    assert_eq!((&replaced.json()["name"], &replaced.json()["redirectUris"]), (&json!("Renamed"), &json!([])));
    for shown in [read, listed, replaced] {
        assert!(!shown.text().contains("the-client") && !shown.text().contains("/token"), "{}", shown.text());
    }
    let id = account.connect().await;
    assert_eq!(account.access_token(&id).await, "access-1");

    let unknown = json!({"connectorKey": "oauth2", "colour": "red"});
    let error = target.put(path, &admin, &unknown).await.expect(StatusCode::BAD_REQUEST);
    assert!(error.text().contains("unknown field `colour`"), "{}", error.text());
}

pub(super) async fn an_integration_in_use_cannot_be_removed(target: &Target) {
    let (account, admin) = (Account::open(target, "in-use").await, target.admin());
    let id = account.connect().await;
    let error = target.delete("/integrations/in-use", &admin).await.expect(StatusCode::CONFLICT).json();
    assert_eq!(error["data"]["connections"], 1, "{error}");
    target.delete(&format!("/connections/{id}"), &admin).await.expect(StatusCode::NO_CONTENT);
    for _ in 0..2 {
        target.delete("/integrations/in-use", &admin).await.expect(StatusCode::NO_CONTENT);
        target.get("/integrations/in-use", &admin).await.expect(StatusCode::NOT_FOUND);
    }
}

pub(super) async fn invalid_parameters_are_named(target: &Target) {
    let body = json!({"connectorKey": "oauth2", "parameters": {"clientId": 7, "scopes": "read"}});
    let answer = target.put("/integrations/misfit", &target.admin(), &body).await.expect(StatusCode::BAD_REQUEST);
    let fields = answer.json()["data"]["fields"].to_string();
    for field in ["clientId", "scopes", "tokenUri"] {
        assert!(fields.contains(field), "{field}: {}", answer.text());
    }
    target.get("/integrations/misfit", &target.admin()).await.expect(StatusCode::NOT_FOUND);
}

pub(super) async fn connectors_are_listed_and_shown(target: &Target) {
    let answer = target.get("/connectors?limit=1000", &target.admin()).await.expect(StatusCode::OK).json();
    assert_eq!(answer["broken"], json!([]));
    let items = answer["items"].as_array().expect("a list");
    assert!(items.len() >= 40, "{} connectors", items.len());
    let oauth2 = items.iter().find(|item| item["key"] == "oauth2").expect("it is bundled");
    assert_eq!(oauth2["authType"], "oauth2");
    assert!(oauth2["connectionCount"].is_u64(), "{oauth2}");
    let oauth2 = target.get("/connectors/oauth2", &target.admin()).await.expect(StatusCode::OK).json();
    assert_eq!(oauth2["parametersSchema"]["properties"]["clientSecret"]["isSensitive"], true);
}

pub(super) async fn connections_are_listed_page_by_page(target: &Target) {
    let tenant = target.tenant("paged");
    let ids = ["p0", "p1", "p2", "p3", "p4"];
    for id in ids.iter().rev() {
        let path = format!("/credentials?connectionId={id}");
        target.put(&path, &tenant, &json!({"credentials": 1})).await.expect(StatusCode::CREATED);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    while seen.len() < 10 {
        let page = target.get(&format!("/connections?limit=2{cursor}"), &tenant).await.expect(StatusCode::OK).json();
        let items = page["items"].as_array().expect("a list");
        assert!(items.len() <= 2, "{page}");
        seen.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["cursor"].as_str() else { break };
        cursor = format!("&cursor={}", encode(next));
    }
    // They are sorted by id, not by creation time.
    assert_eq!(seen, ids);
    for query in ["limit=x", "limit=-1", "limit=1&limit=2", "cursor=a&cursor=b", "cursor=nonsense"] {
        target.get(&format!("/connections?{query}"), &tenant).await.expect(StatusCode::BAD_REQUEST);
    }
}

pub(super) async fn a_connection_shows_its_state_but_no_secrets(target: &Target) {
    let account = Account::open(target, "shown").await;
    let id = account.connect().await;
    let answer = target.get(&format!("/connections/{id}"), &account.token()).await.expect(StatusCode::OK);
    let view = answer.json();
    for (name, value) in [
        ("id", json!(id)),
        ("tenantId", json!("shown")),
        ("integrationKey", json!("shown")),
        ("connectorKey", json!("oauth2")),
        ("state", json!("READY")),
        ("connected", json!(true)),
        ("canRefreshCredentials", json!(true)),
    ] {
        assert_eq!(view[name], value, "{name}: {view}");
    }
    for time in ["createdAt", "updatedAt", "expiresAt", "nextCredentialsRefreshAt"] {
        assert!(view[time].as_str().is_some_and(|time| time.ends_with('Z')), "{time}: {view}");
    }
    for secret in ["access-1", "refresh-1", "the-client"] {
        assert!(!answer.text().contains(secret), "{secret}: {view}");
    }
    assert_eq!(account.connections().await, [view]);
}

pub(super) async fn a_test_reports_whether_the_credentials_work(target: &Target) {
    let account = Account::open(target, "tested").await;
    let id = account.connect().await;
    let before = account.connection(&id).await;
    let test = async || target.post(&format!("/connections/{id}/test"), &account.token()).await;
    assert_eq!(test().await.expect(StatusCode::OK).json(), json!({"success": true}));
    account.provider.set_test_status(500);
    let answer = test().await.expect(StatusCode::OK).json();
    assert_eq!((&answer["success"], &answer["error"]["type"]), (&json!(false), &json!("connection")), "{answer}");
    assert_eq!(account.connection(&id).await, before);
}

pub(super) async fn a_connection_can_be_removed(target: &Target) {
    let account = Account::open(target, "removed").await;
    let id = account.connect().await;
    let path = format!("/connections/{id}");
    target.delete(&path, &account.token()).await.expect(StatusCode::NO_CONTENT);
    target.get(&path, &account.token()).await.expect(StatusCode::NOT_FOUND);
    target.delete(&path, &account.token()).await.expect(StatusCode::NOT_FOUND);
    account.read(&id).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(account.connections().await, Vec::<Value>::new());
}

pub(super) async fn tokens_can_be_imported_replaced_and_disconnected(target: &Target) {
    let account = Account::open(target, "imported").await;
    let send = async |method: Method, path: &str, body: Value| {
        target.send(method, path, &account.token(), body.to_string()).await
    };
    let tokens = |name: &str| json!({"access_token": name, "refresh_token": "r", "expires_in": 3600});
    let body = json!({"integrationKey": "imported", "credentials": tokens("first"), "key": "main"});
    let created = send(Method::POST, "/connections", body.clone()).await.expect(StatusCode::OK).json();
    let id = created["id"].as_str().expect("an id").to_owned();
    assert_eq!((&created["state"], &created["key"]), (&json!("READY"), &json!("main")), "{created}");
    let taken = send(Method::POST, "/connections", body).await.expect(StatusCode::CONFLICT).json();
    assert_eq!(taken["key"], "already_exists", "{taken}");

    let path = format!("/connections/{id}");
    send(Method::PATCH, &path, json!({"credentials": tokens("second")})).await.expect(StatusCode::OK);
    account.provider.set_test_status(401);
    send(Method::PATCH, &path, json!({"credentials": tokens("third")})).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(account.access_token(&id).await, "second");

    let disconnect = format!("{path}/disconnect");
    target.post(&disconnect, &account.token()).await.expect(StatusCode::NO_CONTENT);
    account.read(&id).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(account.connection(&id).await["state"], "CLIENT_ACTION_REQUIRED");
    let history = target.get(&format!("{path}/attempts"), &account.token()).await.expect(StatusCode::OK).json();
    let types: Vec<_> = history["items"].as_array().expect("a list").iter().map(|it| it["type"].clone()).collect();
    assert_eq!(types, ["disconnect", "replace", "replace", "connect"], "{history}");
}
