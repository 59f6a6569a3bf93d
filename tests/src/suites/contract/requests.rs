//! Connection requests: links for one browser, their status, and the confirmation of what they connect.

use std::time::Duration;

use http::{Method, StatusCode};
use larder::digest::sha256_base64url;
use serde_json::{Value, json};
use url::Url;

use super::account::Account;
use crate::processes::target::respond;
use crate::{Answer, Target, Visitor};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A connection request of an account's end user.
struct Requested {
    uri: String,
    url: String,
    status_token: String,
}

impl Requested {
    /// Creates a request through the account's integration, with these extra members.
    async fn new(account: &Account<'_>, body: Value) -> Self {
        let mut body = body;
        body["integrationKey"] = account.key.into();
        let body = body.to_string();
        let answer = account.target.send(Method::POST, "/connection-requests", &account.token(), body).await;
        let created = answer.expect(StatusCode::CREATED).json();
        assert_eq!(created["status"], "pending");
        let text = |name: &str| created[name].as_str().expect("a string").to_owned();
        let url = text("url");
        assert!(url.starts_with(&account.target.uri("/connect?connectionRequestId=")), "{url}");
        Self { uri: format!("/connection-requests/{}", text("requestId")), url, status_token: text("statusToken") }
    }

    /// The answer to a client that polls.
    async fn poll(&self, target: &Target) -> Value {
        target.get(&self.uri, &self.status_token).await.expect(StatusCode::OK).json()
    }

    async fn confirm(&self, account: &Account<'_>, body: Value) -> Answer {
        let uri = format!("{}/confirm", self.uri);
        account.target.send(Method::POST, &uri, &account.token(), body.to_string()).await
    }
}

#[track_caller]
fn says(page: Answer, status: StatusCode, words: &str) {
    let page = page.expect(status);
    assert!(page.text().contains("Not connected") && page.text().contains(words), "{words}: {}", page.text());
}

pub(super) async fn a_link_connects_and_its_status_can_be_polled(target: &Target) {
    let account = Account::open(target, "linked").await;
    let it = Requested::new(&account, json!({"name": "By link", "redirectUri": Account::DONE})).await;
    let mut visitor = Visitor::default();
    let location = visitor.get(&it.url).await.expect(StatusCode::FOUND).location();
    let denied = account.provider.come_back(&location, &[("error", "access_denied")]);
    visitor.get(&denied).await.expect(StatusCode::FOUND);
    let shown = it.poll(target).await;
    assert_eq!((&shown["status"], &shown["resultError"]["type"]), (&json!("error"), &json!("connection")));
    // The end user tries again, in the same browser only.
    says(Visitor::default().get(&it.url).await, StatusCode::CONFLICT, "another browser");
    let location = visitor.get(&it.url).await.expect(StatusCode::FOUND).location();
    let end = visitor.get(&account.provider.approve(&location)).await.expect(StatusCode::FOUND).location();
    let id = account.connections().await[0]["id"].as_str().expect("an id").to_owned();
    let request_id = it.uri.rsplit('/').next().expect("an id");
    assert_eq!(end, format!("{}&connectionId={id}&requestId={request_id}", Account::DONE));
    let shown = it.poll(target).await;
    assert_eq!((&shown["status"], &shown["resultConnectionId"]), (&json!("success"), &json!(id)));
    assert_eq!(account.connection(&id).await["name"], "By link");
    let used = visitor.get(&it.url).await.expect(StatusCode::CONFLICT);
    assert!(used.text().contains("Already connected") && used.text().contains("already used"), "{}", used.text());
    // The token shows only the status.
    target.get(&format!("/credentials?connectionId={id}"), &it.status_token).await.expect(StatusCode::UNAUTHORIZED);
    target.get(&it.uri, &target.tenant("linked-stranger")).await.expect(StatusCode::NOT_FOUND);
}

pub(super) async fn only_a_navigation_or_a_button_takes_a_link(target: &Target) {
    let account = Account::open(target, "previewed").await;
    let it = Requested::new(&account, json!({})).await;
    let path = it.url.strip_prefix(&target.base_uri).expect("its own URL");
    let prefetch = target.request(Method::GET, path).header("sec-fetch-mode", "navigate").header("purpose", "prefetch");
    respond(prefetch).await.expect(StatusCode::NO_CONTENT);
    let preview = respond(target.request(Method::GET, path)).await.expect(StatusCode::OK);
    assert!(preview.text().contains(">Continue</button>") && preview.header("set-cookie").is_none());
    let url = Url::parse(&it.url).expect("a URL");
    let (name, secret) = url.query_pairs().next().expect("a parameter");
    let mut visitor = Visitor::default();
    let page = visitor.post(&target.uri("/connect"), &[(&*name, &*secret)]).await.expect(StatusCode::OK);
    assert!(page.text().contains(&account.provider.uri("/authorize?")), "{}", page.text());
    says(Visitor::default().get(&it.url).await, StatusCode::CONFLICT, "another browser");
    visitor.get(&it.url).await.expect(StatusCode::FOUND);
    assert_eq!(it.poll(target).await["status"], "pending");
}

pub(super) async fn canceled_and_expired_links_connect_nothing(target: &Target) {
    let account = Account::open(target, "ended").await;
    let (canceled, expired) =
        (Requested::new(&account, json!({})).await, Requested::new(&account, json!({"expiresIn": 1})).await);
    let mut visitor = Visitor::default();
    let location = visitor.get(&canceled.url).await.expect(StatusCode::FOUND).location();
    target.delete(&canceled.uri, &account.token()).await.expect(StatusCode::NO_CONTENT);
    says(visitor.get(&account.provider.approve(&location)).await, StatusCode::CONFLICT, "canceled");
    assert_eq!(canceled.poll(target).await["status"], "cancelled");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    says(visitor.get(&expired.url).await, StatusCode::BAD_REQUEST, "expired");
    assert_eq!(expired.poll(target).await["status"], "expired");
    assert_eq!((account.connections().await.len(), account.provider.token_requests().len()), (0, 0));
}

pub(super) async fn a_bound_connection_waits_for_its_confirmation(target: &Target) {
    let account = Account::open(target, "bound").await;
    let body = json!({"redirectUri": Account::DONE, "codeChallenge": sha256_base64url(VERIFIER)});
    let it = Requested::new(&account, body).await;
    let mut visitor = Visitor::default();
    let location = visitor.get(&it.url).await.expect(StatusCode::FOUND).location();
    let end = visitor.get(&account.provider.approve(&location)).await.expect(StatusCode::FOUND).location();
    assert_eq!((account.connections().await.len(), &it.poll(target).await["status"]), (0, &json!("pending")));
    let end = Url::parse(&end).expect("a URL");
    let parameter = |name: &str| end.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let code = parameter("confirmation").expect("a code");
    for wrong in [json!({"codeVerifier": "a".repeat(43)}), json!({"codeVerifier": VERIFIER, "confirmation": "x"})] {
        it.confirm(&account, wrong).await.expect(StatusCode::BAD_REQUEST);
    }
    for _ in 0..2 {
        let body = json!({"codeVerifier": VERIFIER, "confirmation": code});
        let confirmed = it.confirm(&account, body).await.expect(StatusCode::OK).json();
        assert_eq!(confirmed["status"], "success");
    }
    let id = parameter("connectionId").expect("an id");
    assert_eq!(account.access_token(&id).await, "access-1");
}
