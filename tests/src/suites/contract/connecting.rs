//! Connecting an account in a browser: to the provider, back, and to whoever wants the result.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use larder_engine::connector::database_login::{Driver, Login};
use serde_json::{Value, json};
use url::Url;

use super::account::Account;
use crate::processes::database::Database;
use crate::{Answer, Target, Visitor};

const DENIED: [(&str, &str); 1] = [("error", "access_denied")];

fn parameter(url: &str, name: &str) -> String {
    let url = Url::parse(url).expect("a URL");
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A page that says what is wrong, with the headers that every page has.
#[track_caller]
fn refused(page: Answer, status: StatusCode, hint: &str) {
    let page = page.expect(status);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert!(page.header("content-security-policy").is_some_and(|it| it.starts_with("default-src 'none';")));
    assert!(page.header("location").is_none());
    assert!(page.text().contains("Not connected") && page.text().contains(hint), "{hint}: {}", page.text());
    for secret in ["the-client-secret", "the-code", "access-1", "refresh-1", "eyJ"] {
        assert!(!page.text().contains(secret), "{secret}: {}", page.text());
    }
}

/// The message on a page, and the origins that it is posted to.
fn posted(page: &Answer) -> (Value, Vec<String>) {
    let rest = page.text().split_once(r#"<script type="application/json" id="result">"#).expect("a message").1;
    let (data, _) = rest.split_once("</script>").expect("an end");
    let mut data: Value = serde_json::from_str(data).expect("JSON");
    (data["message"].take(), serde_json::from_value(data["origins"].take()).expect("origins"))
}

pub(super) async fn a_connect_goes_to_the_provider_and_back(target: &Target) {
    let account = Account::open(target, "there-and-back").await;
    let (mut visitor, authorize) = account.begin(&[("name", "Näme & more"), ("customState", "mine")]).await;
    let redirect_uri = target.uri("/oauth-callback");
    for (name, expected) in [
        ("client_id", "the-client"),
        ("redirect_uri", &redirect_uri),
        ("response_type", "code"),
        ("scope", "read write"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(parameter(&authorize, name), expected, "{name}");
    }
    let state = parameter(&authorize, "state");
    assert!(state.len() >= 48 && state.ends_with(":mine"), "{state}");
    assert_eq!(account.connections().await, Vec::<Value>::new());

    let page = visitor.get(&account.provider.approve(&authorize)).await.expect(StatusCode::OK);
    assert!(page.text().contains("Connected"), "{}", page.text());
    assert!(page.header("content-security-policy").is_some_and(|it| it.starts_with("default-src 'none';")));
    let [request] = &account.provider.token_requests()[..] else { panic!("one token request") };
    assert_eq!(request.get("grant_type"), Some("authorization_code"));
    assert_eq!((request.get("code"), request.get("redirect_uri")), (Some("the-code"), Some(&*redirect_uri)));
    let verifier = digest(&SHA256, request.get("code_verifier").expect("a verifier").as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(verifier), parameter(&authorize, "code_challenge"));
    assert_eq!(account.provider.tests(), [Some("Bearer access-1".to_owned())]);

    let [connection] = &account.connections().await[..] else { panic!("one connection") };
    assert_eq!((&connection["state"], &connection["name"]), (&json!("READY"), &json!("Näme & more")));
    let id = connection["id"].as_str().expect("an id");
    let credentials = account.read(id).await.expect(StatusCode::OK).json()["credentials"].take();
    assert_eq!(
        (&credentials["access_token"], &credentials["refresh_token"]),
        (&json!("access-1"), &json!("refresh-1"))
    );
}

pub(super) async fn a_callback_works_once(target: &Target) {
    let account = Account::open(target, "once").await;
    let (mut visitor, authorize) = account.begin(&[]).await;
    let callback = account.provider.approve(&authorize);
    visitor.get(&callback).await.expect(StatusCode::OK);
    // A reload shows the same; a code does not work twice.
    assert!(visitor.get(&callback).await.expect(StatusCode::OK).text().contains("Connected"));
    refused(visitor.get(&callback.replace("the-code", "another")).await, StatusCode::BAD_REQUEST, "begin again");
    assert_eq!(account.provider.token_requests().len(), 1);
    let unknown = callback.replace(&parameter(&authorize, "state"), &"A".repeat(43));
    refused(visitor.get(&unknown).await, StatusCode::BAD_REQUEST, "");
}

pub(super) async fn only_the_browser_that_began_finishes(target: &Target) {
    let account = Account::open(target, "one-browser").await;
    let (mut visitor, authorize) = account.begin(&[]).await;
    let callback = account.provider.approve(&authorize);
    refused(Visitor::default().get(&callback).await, StatusCode::BAD_REQUEST, "");
    assert_eq!(account.provider.token_requests().len(), 0);
    visitor.get(&callback).await.expect(StatusCode::OK);
}

pub(super) async fn a_payload_in_a_form_says_the_same_as_a_query(target: &Target) {
    let account = Account::open(target, "form").await;
    let payload = json!({"token": account.token(), "integrationKey": "form", "name": "by form, ü+%", "customState": "mine",
                         "redirectUri": Account::DONE, "input": {"a": {"b": 1}}, "unknown": [1]});
    let mut visitor = Visitor::default();
    let answer = visitor.post(&target.uri("/connect"), &[("payload", &payload.to_string())]).await;
    let authorize = answer.expect(StatusCode::FOUND).location();
    assert!(parameter(&authorize, "state").ends_with(":mine"));
    let end = visitor.get(&account.provider.approve(&authorize)).await.expect(StatusCode::FOUND).location();
    assert!(end.starts_with(&format!("{}&connectionId=", Account::DONE)), "{end}");
    assert_eq!(account.connections().await[0]["name"], "by form, ü+%");
}

pub(super) async fn the_result_reaches_an_allowed_redirect_uri(target: &Target) {
    let account = Account::open(target, "redirected").await;
    let end = account.go(&[("redirectUri", Account::DONE)]).await.expect(StatusCode::FOUND).location();
    let id = account.connections().await[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(end, format!("{}&connectionId={id}", Account::DONE));

    let (mut visitor, authorize) = account.begin(&[("redirectUri", Account::DONE)]).await;
    let denied = [("error", "access_denied"), ("error_description", "no & never")];
    let end = visitor.get(&account.provider.come_back(&authorize, &denied)).await.expect(StatusCode::FOUND).location();
    let message = "the provider did not grant access (access_denied: no & never)";
    assert!(end.starts_with(Account::DONE) && parameter(&end, "error") == message, "{end}");
    let data: Value = serde_json::from_str(&parameter(&end, "errorData")).expect("JSON");
    assert_eq!(data, json!({"type": "connection", "message": message}));

    for evil in ["https://evil.example/done", "https://app.example/done", "//evil.example", "javascript:alert(1)"] {
        let page = Visitor::default().get(&account.link(&[("redirectUri", evil)])).await;
        refused(page, StatusCode::BAD_REQUEST, "must be one of the `redirectUris`");
    }
}

pub(super) async fn the_result_reaches_the_opener_as_a_message(target: &Target) {
    let account = Account::open(target, "posted").await;
    let page = account.go(&[("requestId", "request-1"), ("name", "</script><script>alert(1)")]).await;
    let (message, origins) = posted(&page.expect(StatusCode::OK));
    let own = Url::parse(&target.base_uri).expect("a URL").origin().ascii_serialization();
    assert_eq!(origins, ["https://app.example", &own]);
    let expected = json!({"source": "integration.app", "requestId": "request-1", "type": "newConnectionCreated",
                          "connection": account.connections().await[0]});
    assert_eq!(message, expected);

    let (mut visitor, authorize) = account.begin(&[("requestId", "request-2")]).await;
    let page = visitor.get(&account.provider.come_back(&authorize, &DENIED)).await.expect(StatusCode::BAD_REQUEST);
    let (message, _) = posted(&page);
    assert_eq!((&message["type"], &message["requestId"]), (&json!("newConnectionFailure"), &json!("request-2")));
}

pub(super) async fn who_denies_is_told_and_may_think_again(target: &Target) {
    let account = Account::open(target, "denied").await;
    let (mut visitor, authorize) = account.begin(&[]).await;
    let page = visitor.get(&account.provider.come_back(&authorize, &DENIED)).await;
    refused(page, StatusCode::BAD_REQUEST, "access_denied");
    assert_eq!(account.connections().await, Vec::<Value>::new());
    account.connect().await;
    assert_eq!(account.connections().await.len(), 1);
}

pub(super) async fn credentials_that_do_not_work_are_not_stored(target: &Target) {
    let account = Account::open(target, "untested").await;
    for (status, expected) in [(403, StatusCode::BAD_REQUEST), (500, StatusCode::SERVICE_UNAVAILABLE)] {
        account.provider.set_test_status(status);
        refused(account.go(&[]).await, expected, &status.to_string());
    }
    account.provider.set_test_status(200);
    account.provider.script(401, &json!({"error": "invalid_client"}));
    refused(account.go(&[]).await, StatusCode::BAD_REQUEST, "invalid_client");
    assert_eq!(account.connections().await, Vec::<Value>::new());
}

pub(super) async fn connecting_again_renews_the_same_connection(target: &Target) {
    let account = Account::open(target, "reconnected").await;
    let id = account.connect().await;
    let made = account.connection(&id).await;
    assert_eq!(account.connect().await, id);
    account.go(&[("connectionId", &id), ("name", "renamed")]).await.expect(StatusCode::OK);
    let [renewed] = &account.connections().await[..] else { panic!("one connection") };
    assert_eq!((&renewed["id"], &renewed["createdAt"]), (&made["id"], &made["createdAt"]));
    assert_eq!(renewed["name"], "renamed");
    assert_eq!(account.access_token(&id).await, "access-3");
    account.go(&[("allowMultipleConnections", "1")]).await.expect(StatusCode::OK);
    assert_eq!(account.connections().await.len(), 2);
    assert_eq!(account.access_token(&id).await, "access-3");
}

/// A login to a database, which is tried at once.
pub(super) async fn what_needs_no_approval_is_connected_at_once(target: &Target) {
    let server = Database::start(Driver::Postgres, None).await;
    let Login { host, port, user, database, .. } = server.login();
    let input = |password: &str| json!({"host": host, "port": port, "database": database, "username": user, "password": password, "tls": "prefer"});
    let body = json!({"connectorKey": "postgres", "redirectUris": [Account::DONE]});
    target.put("/integrations/database", &target.admin(), &body).await.expect(StatusCode::CREATED);
    let tenant = target.tenant("database");
    let link = |input: &Value| {
        let input = super::encode(&input.to_string());
        target.uri(&format!("/connect?integrationKey=database&token={tenant}&input={input}"))
    };
    let id = connect::own_connection_id(&target.workspace, "database", Some("database"));
    let path = format!("/credentials?connectionId={id}");

    let without_a_host = Visitor::default().get(&link(&json!({"port": port}))).await;
    refused(without_a_host, StatusCode::BAD_REQUEST, "host");
    refused(Visitor::default().get(&link(&input("letmein"))).await, StatusCode::BAD_REQUEST, "refused the login");
    target.get(&path, &tenant).await.expect(StatusCode::NOT_FOUND);
    let page = Visitor::default().get(&link(&input(Database::PASSWORD))).await.expect(StatusCode::OK);
    assert!(page.text().contains("Connected") && !page.text().contains(Database::PASSWORD), "{}", page.text());
    let stored = target.get(&path, &tenant).await.expect(StatusCode::OK).json();
    assert_eq!(stored["credentials"], input(Database::PASSWORD));
}

pub(super) async fn what_is_wrong_with_a_connect_is_told_on_a_page(target: &Target) {
    let account = Account::open(target, "pages").await;
    let token = account.token();
    for (query, status, hint) in [
        ("integrationKey=pages&token=garbage".to_owned(), StatusCode::UNAUTHORIZED, ""),
        ("integrationKey=pages".to_owned(), StatusCode::UNAUTHORIZED, ""),
        (format!("token={token}"), StatusCode::BAD_REQUEST, "`integrationKey` is missing"),
        (format!("integrationKey=unknown&token={token}"), StatusCode::NOT_FOUND, "`unknown`"),
        (format!("integrationKey=pages&integrationKey=x&token={token}"), StatusCode::BAD_REQUEST, "`integrationKey`"),
        (format!("integrationKey=pages&input=%7B&token={token}"), StatusCode::BAD_REQUEST, "`input`"),
        (format!("integrationKey=pages&connectionId=unknown&token={token}"), StatusCode::NOT_FOUND, "unknown"),
    ] {
        refused(Visitor::default().get(&target.uri(&format!("/connect?{query}"))).await, status, hint);
    }
    for form in [vec![("payload", "{")], vec![("payload", "[]")], vec![("payload", "{}"), ("payload", "{}")]] {
        let page = Visitor::default().post(&target.uri("/connect"), &form).await;
        refused(page, StatusCode::BAD_REQUEST, "`payload`");
    }
    refused(Visitor::default().get(&target.uri("/oauth-callback?code=c")).await, StatusCode::BAD_REQUEST, "");
    assert_eq!(account.provider.token_requests().len(), 0);
}
