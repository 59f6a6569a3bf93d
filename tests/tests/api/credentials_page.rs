//! The credentials page: who sees what, what its buttons do, and that nothing anybody sets becomes markup.

use std::collections::BTreeMap;

use dynoxide::types::Item;
use http::{Method, StatusCode};
use larder::caller::Claims;
use larder::connection::{Account, Connection, ConnectionKey, Details, Flow, Problem, State};
use larder::dynamodb::{Expect, Write};
use larder_tests::{Answer, Browser, MockProvider, World};
use serde_json::{Value, json};
use time::OffsetDateTime;
use url::Url;

use super::lists::former_world;
use super::manage::{CRM, connected, connections, patch, store};

/// A browser that is signed in, and the form token of its session.
pub(super) struct Visitor {
    pub(super) browser: Browser,
    pub(super) form_token: String,
}

impl Visitor {
    /// Signs in as the workspace's admin.
    pub(super) async fn admin(world: &World) -> Self {
        Self::with_link(world, &world.admin, json!({})).await
    }

    /// Signs in as a tenant.
    pub(super) async fn tenant(world: &World, tenant: &str) -> Self {
        Self::with_link(world, &world.admin, json!({ "tenantKey": tenant })).await
    }

    /// Signs in with a link that this token makes.
    pub(super) async fn with_link(world: &World, token: &str, body: Value) -> Self {
        let created = world.send(Method::POST, "/page-links", token, Some(&body)).await.expect(StatusCode::CREATED);
        let url = created.json()["url"].as_str().unwrap().to_owned();
        let mut browser = Browser::with(&[
            ("accept", "text/html"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "same-origin"),
            ("origin", World::BASE_URI),
        ]);
        browser.get(world, &url).await.expect(StatusCode::FOUND);
        let page = browser.get(world, "/").await;
        let (_, rest) = page.text().split_once("name=\"formToken\" value=\"").expect("a form");
        let form_token = rest.split_once('"').unwrap().0.to_owned();
        Self { browser, form_token }
    }

    pub(super) async fn get(&mut self, world: &World, path: &str) -> Answer {
        self.browser.get(world, path).await
    }

    /// Submits a form with the session's form token.
    pub(super) async fn post(&mut self, world: &World, path: &str, form: &[(&str, &str)]) -> Answer {
        let form_token = self.form_token.clone();
        self.browser.post(world, path, &[&[("formToken", form_token.as_str())], form].concat()).await
    }

    /// Presses a button of a credential's page.
    async fn press(&mut self, world: &World, id: &str, action: &str, more: &[(&str, &str)]) -> Answer {
        self.post(world, &format!("/c/{id}"), &[&[("do", action)], more].concat()).await
    }

    /// Presses a button and follows the redirect.
    async fn presses(&mut self, world: &World, id: &str, action: &str, more: &[(&str, &str)]) -> Answer {
        let location = self.press(world, id, action, more).await.expect(StatusCode::FOUND).location();
        let page = Url::parse(&format!("{}/c/{id}", World::BASE_URI)).and_then(|page| page.join(&location)).unwrap();
        self.get(world, page.as_str()).await.expect(StatusCode::OK)
    }
}

/// Whether a page has these words, in any order.
#[track_caller]
pub(super) fn has(page: &Answer, words: &[&str]) {
    for word in words {
        assert!(page.text().contains(word), "{word}: {}", page.text());
    }
}

#[track_caller]
pub(super) fn lacks(page: &Answer, words: &[&str]) {
    for word in words {
        assert!(!page.text().contains(word), "{word}: {}", page.text());
    }
}

pub(super) fn named(name: &str) -> Details {
    Details { name: Some(name.into()), ..Details::default() }
}

/// Changes a stored connection, as a refresh would.
pub(super) async fn change(world: &World, id: &str, change: impl FnOnce(&mut Connection)) {
    let mut connection = connections(world).get(&ConnectionKey::new("local", id)).await.unwrap().unwrap();
    change(&mut connection);
    assert_eq!(connections(world).put(&connection, Expect::Version(connection.version)).await.unwrap(), Write::Done);
}

/// A world with an integration `crm` and credentials of alice and bob.
async fn shared_world() -> World {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    store(&world, Some("alice"), "1", CRM, named("Alice's shop")).await;
    store(&world, Some("alice"), "2", CRM, named("Alice's sandbox")).await;
    store(&world, Some("bob"), "1", CRM, named("Bob's shop")).await;
    world
}

#[tokio::test]
async fn a_tenant_sees_its_own_credentials_and_an_admin_all() {
    let world = shared_world().await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    let page = alice.get(&world, "/").await.expect(StatusCode::OK);
    has(&page, &["Alice&#39;s shop", "Alice&#39;s sandbox", "Credentials: 2"]);
    lacks(&page, &["Bob", "Workspace local", "href=\"./i\"", "href=\"i\""]);
    let mut admin = Visitor::admin(&world).await;
    let page = admin.get(&world, "/").await.expect(StatusCode::OK);
    has(&page, &["Alice&#39;s shop", "Bob&#39;s shop", "Workspace local", "Credentials: 3", "href=\"./i\""]);
    let found = admin.get(&world, "/?search=sandbox").await.expect(StatusCode::OK);
    has(&found, &["Alice&#39;s sandbox", "value=\"sandbox\""]);
    lacks(&found, &["Bob&#39;s shop"]);
    // A search and an integration keep each other, and each can be removed.
    has(
        &found,
        &["href=\"./?search=sandbox&#38;integrationKey=crm\"", "href=\"./\"><span class=\"unseen\">Remove filter: "],
    );
    let both = admin.get(&world, "/?search=sandbox&integrationKey=crm").await.expect(StatusCode::OK);
    has(
        &both,
        &["<input type=\"hidden\" name=\"integrationKey\" value=\"crm\">", "href=\"./?integrationKey=crm\"><span"],
    );
    has(&both, &["href=\"./?search=sandbox\"><span class=\"unseen\">Remove filter: "]);
    has(&admin.get(&world, "/?search=nobody").await, &["No results", "Show all"]);
    has(&admin.get(&world, "/?state=CLIENT_ACTION_REQUIRED").await, &["All is well"]);
    has(&admin.get(&world, "/?state=CLIENT_ACTION_REQUIRED&integrationKey=crm").await, &["No results"]);
    let name = json!({"name": "Sales"});
    world.send(Method::PATCH, "/integrations/crm", &world.admin, Some(&name)).await.expect(StatusCode::OK);
    has(&admin.get(&world, "/?search=SALES").await, &["Alice&#39;s sandbox", "Bob&#39;s shop"]);
    // The list may end exactly where a page does.
    let full = admin.get(&world, "/?limit=3").await;
    let next = full.text().split_once("rel=\"next\" href=\".").expect("a link").1.split_once('"').expect("its end").0;
    has(
        &admin.get(&world, &next.replace("&#38;", "&")).await,
        &["No more credentials", "href=\"./?limit=3\">First page"],
    );
    has(&admin.get(&world, "/?state=nonsense").await.expect(StatusCode::BAD_REQUEST), &["That did not work"]);
    for (filter, words) in [
        ("includeArchived=true", "Including deleted"),
        ("connected=false", "Needs attention"),
        ("disconnected=0", "Needs no attention"),
    ] {
        let page = admin.get(&world, &format!("/?{filter}")).await.expect(StatusCode::OK);
        has(&page, &[&format!("Remove filter: </span>{words} <span")]);
    }
    lacks(&admin.get(&world, "/?includeArchived=false").await.expect(StatusCode::OK), &["Remove filter: "]);
    // The links of a page count the segments of its path.
    for (path, location) in
        [("/i/", "./../i"), ("/new/", "./../new"), ("/c/alice-1/?ask=delete", "./../../c/alice-1?ask=delete")]
    {
        assert_eq!(admin.get(&world, path).await.expect(StatusCode::FOUND).location(), location);
    }
    let posted = admin.post(&world, "/add/", &[("integrationKey", "crm")]).await.expect(StatusCode::NOT_FOUND);
    has(&posted, &["This page does not exist."]);
}

#[tokio::test]
async fn another_tenants_credential_is_not_found_and_not_changed() {
    let world = shared_world().await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    let page = alice.get(&world, "/c/bob-1").await.expect(StatusCode::NOT_FOUND);
    has(&page, &["This credential does not exist, or was deleted."]);
    lacks(&page, &["Bob"]);
    for action in ["test", "refresh", "rename", "deactivate", "disconnect", "delete", "restore", "reconnect"] {
        let answer = alice.press(&world, "bob-1", action, &[("name", "mine")]).await;
        lacks(&answer.expect(StatusCode::NOT_FOUND), &["Bob"]);
    }
    alice.press(&world, "alice-1", "link", &[]).await.expect(StatusCode::FORBIDDEN);
    alice.press(&world, "alice-1", "delete", &[("force", "true")]).await.expect(StatusCode::FORBIDDEN);
    let stored = world.connection("bob-1").await;
    assert_eq!((&stored["name"], &stored["state"]), (&json!("Bob's shop"), &json!("READY")));
    // A credential belongs to its workspace, even if another has one with the same id.
    let elsewhere = world.sign("elsewhere", Claims { is_admin: true, ..Claims::default() }).await;
    let mut stranger = Visitor::with_link(&world, &elsewhere, json!({})).await;
    stranger.get(&world, "/c/bob-1").await.expect(StatusCode::NOT_FOUND);
    has(&stranger.get(&world, "/").await, &["Set up your first integration"]);
}

#[tokio::test]
async fn other_websites_press_no_button() {
    let world = shared_world().await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    let mut foreign = alice.browser.clone();
    for token in ["", "x"] {
        let form = [("formToken", token), ("do", "delete")];
        foreign.post(&world, "/c/alice-1", &form).await.expect(StatusCode::FORBIDDEN);
        let form = [("formToken", token), ("integrationKey", "crm")];
        foreign.post(&world, "/add", &form).await.expect(StatusCode::FORBIDDEN);
    }
    for (site, origin) in [("cross-site", "https://evil.example"), ("same-site", "https://evil.example")] {
        foreign.set_header("sec-fetch-site", site);
        foreign.set_header("origin", origin);
        let form = [("formToken", alice.form_token.as_str()), ("do", "delete")];
        foreign.post(&world, "/c/alice-1", &form).await.expect(StatusCode::FORBIDDEN);
        let form = [("formToken", alice.form_token.as_str()), ("integrationKey", "crm")];
        foreign.post(&world, "/add", &form).await.expect(StatusCode::FORBIDDEN);
    }
    assert_eq!(world.connection("alice-1").await["state"], "READY");
    let page = alice.get(&world, "/").await;
    let policy = page.header("content-security-policy").unwrap();
    for directive in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "connect-src 'self'"] {
        assert!(policy.contains(directive), "{policy}");
    }
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    // Without a session, there is nothing to press.
    let form = [("formToken", alice.form_token.as_str()), ("do", "delete")];
    Browser::in_window().post(&world, "/c/alice-1", &form).await.expect(StatusCode::UNAUTHORIZED);
    Browser::in_window().get(&world, "/c/alice-1").await.expect(StatusCode::UNAUTHORIZED);
    Browser::in_window().get(&world, "/add").await.expect(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn nothing_that_anybody_sets_becomes_markup_on_the_credentials_page() {
    const EVIL: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let body = json!({"connectorKey": "oauth2", "name": EVIL, "parameters": provider.parameters()});
    world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await.expect(StatusCode::OK);
    let flow = |uri: &str| Flow { name: Some(EVIL.into()), uri: Some(uri.into()), active: true };
    let details = Details {
        name: Some(EVIL.into()),
        key: Some(EVIL.into()),
        tags: BTreeMap::from([(EVIL.to_owned(), EVIL.to_owned())]),
        // The API takes no such address, but earlier versions or an import might have stored one.
        flows: [("1", "javascript:alert(1)"), ("2", "https://flows.example/2"), ("3", "data:text/html,x")]
            .map(|(id, uri)| (id.to_owned(), flow(uri)))
            .into(),
        ..Details::default()
    };
    store(&world, Some("alice"), "1", CRM, details).await;
    change(&world, "alice-1", |connection| {
        connection.problem = Some(Problem::new(None, EVIL));
        connection.account = Account::new(EVIL, Some(EVIL));
        connection.scopes = Some(vec![EVIL.into()]);
        connection.state = State::ClientActionRequired;
    })
    .await;
    let mut admin = Visitor::admin(&world).await;
    let search = url::form_urlencoded::byte_serialize(EVIL.as_bytes()).collect::<String>();
    let deleted = admin.press(&world, "alice-1", "delete", &[]).await.expect(StatusCode::CONFLICT);
    has(&deleted, &["It is in use", "href=\"https://flows.example/2\""]);
    let renamed = admin.press(&world, "alice-1", "rename", &[("name", &EVIL.repeat(30))]).await;
    let pages = [
        admin.get(&world, "/").await,
        admin.get(&world, &format!("/?search={search}&tags%5B{search}%5D={search}")).await,
        admin.get(&world, &format!("/?done=deleted&on={search}&requestId={search}")).await,
        admin.get(&world, "/c/alice-1").await,
        admin.get(&world, "/add").await,
        admin.get(&world, &format!("/c/{search}")).await,
        deleted,
        renamed.expect(StatusCode::BAD_REQUEST),
    ];
    for page in &pages {
        assert!(!page.text().contains("<img src=x") && !page.text().contains("<script>alert"), "{}", page.text());
        for scheme in ["href=\"javascript", "href=\"data:"] {
            assert!(!page.text().contains(scheme), "{}", page.text());
        }
    }
    has(&pages[3], &["&#60;script&#62;alert(1)", "href=\"https://flows.example/2\" rel=\"noreferrer\""]);
}

#[tokio::test]
async fn a_session_does_only_what_its_link_allows() {
    let world = shared_world().await;
    let scope = |scope: &str| Claims { is_admin: true, scope: Some(scope.to_owned()), ..Claims::default() };
    let reader = world.sign("local", scope("connections:read integrations:read")).await;
    let mut reader = Visitor::with_link(&world, &reader, json!({"tenantKey": "alice"})).await;
    let page = reader.get(&world, "/").await.expect(StatusCode::OK);
    lacks(&page, &["value=\"test\"", "value=\"reconnect\""]);
    let page = reader.get(&world, "/c/alice-1").await.expect(StatusCode::OK);
    lacks(&page, &["value=\"rename\"", "value=\"reconnect\"", "ask=delete", "Add credential"]);
    for action in ["test", "refresh", "rename", "deactivate", "disconnect", "delete", "restore", "reconnect", "link"] {
        let answer = reader.press(&world, "alice-1", action, &[("name", "x")]).await.expect(StatusCode::FORBIDDEN);
        has(&answer, &["Your session does not allow this"]);
    }
    has(&reader.get(&world, "/add").await.expect(StatusCode::FORBIDDEN), &["Your session does not allow this"]);
    let form_token = reader.form_token.clone();
    let form = [("formToken", form_token.as_str()), ("integrationKey", "crm")];
    reader.browser.post(&world, "/add", &form).await.expect(StatusCode::FORBIDDEN);
    assert_eq!(world.connection("alice-1").await["name"], "Alice's shop");
}

#[tokio::test]
async fn buttons_test_refresh_rename_deactivate_and_disconnect() {
    let (world, provider, id) = connected().await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    has(&alice.get(&world, "/").await, &["Fresh", "refreshes in <time", "not used by any flow"]);
    has(&alice.presses(&world, &id, "test", &[]).await, &["The test passed"]);
    provider.set_test_status(403);
    let failed = alice.presses(&world, &id, "test", &[("back", "")]).await;
    has(&failed, &["class=\"outcome bad\" role=\"status\">The test failed", "The last test failed.", "403"]);
    has(&failed, &["class=\"badge bad\">Test failed", "class=\"count bad\" aria-hidden=\"true\">1<", "Test again"]);
    // For programs, nothing has changed: it is served.
    assert_eq!(world.connection(&id).await["state"], "READY");
    world.credentials(&id).await;
    provider.set_test_status(200);
    has(&alice.presses(&world, &id, "test", &[]).await, &["The test passed", "class=\"badge good\">Fresh"]);
    provider.set_test_status(403);
    has(&alice.presses(&world, &id, "test", &[]).await, &["class=\"banner bad\"", "Test failed"]);
    world.advance(120);
    has(&alice.presses(&world, &id, "refresh", &[]).await, &["Refreshed", "class=\"badge good\">Fresh"]);
    let again = alice.presses(&world, &id, "refresh", &[]).await;
    has(&again, &["class=\"banner none\"", "It was tried less than a minute ago. Try again in a moment."]);
    provider.set_test_status(200);
    assert_eq!(provider.refreshes().len(), 1);
    world.advance(120);
    provider.script(503, &json!({"error": "maintenance"}));
    let failed = alice.press(&world, &id, "refresh", &[]).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    has(&failed, &["That did not work", "503"]);
    let again = alice.presses(&world, &id, "refresh", &[("back", "")]).await;
    has(&again, &["class=\"outcome none\" role=\"status\">It was tried less than a minute ago."]);
    let listed = alice.get(&world, "/").await;
    has(&listed, &["Refresh failing", "still valid, expires in <time", "Try now", "503", "Larder keeps trying."]);
    has(&alice.presses(&world, &id, "rename", &[("name", " My account ")]).await, &["My account", "Renamed"]);
    // From the list, the browser returns there, and nowhere else.
    let back = [("back", "search=acc&evil=1&cursor=")];
    let location = alice.press(&world, &id, "deactivate", &back).await.expect(StatusCode::FOUND).location();
    assert!(location.starts_with("../?search=acc&done=deactivated."), "{location}");
    assert!(location.ends_with(&format!("&on={id}#c-{id}")), "{location}");
    assert_eq!(world.connection(&id).await["isDeactivated"], true);
    has(&alice.presses(&world, &id, "activate", &[]).await, &["Activated", "Deactivate"]);
    let disconnected = alice.presses(&world, &id, "disconnect", &[]).await;
    has(&disconnected, &["Disconnected", "Reconnect needed", "must be connected again.", "Sign in at"]);
    lacks(&disconnected, &["end user must reconnect"]);
    assert_eq!(disconnected.text().matches("value=\"reconnect\"").count(), 1);
    let mut admin = Visitor::admin(&world).await;
    lacks(&admin.get(&world, &format!("/c/{id}")).await, &["Sign in at", "The owner has to"]);
    assert_eq!(world.connection(&id).await["state"], "CLIENT_ACTION_REQUIRED");
    alice.press(&world, &id, "explode", &[]).await.expect(StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn people_read_their_own_words_on_pages() {
    let world = shared_world().await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    // A tenant's name does not turn a warning around.
    alice.press(&world, "alice-1", "rename", &[("name", "a\u{202e}b")]).await.expect(StatusCode::FOUND);
    let page = alice.get(&world, "/").await;
    has(&page, &["ab</bdi></a>"]);
    assert_eq!(page.text().matches('\u{202e}').count(), 0);
    for (action, name, status, words) in [
        ("explode", "", StatusCode::BAD_REQUEST, "Something about this request is not right"),
        ("link", "", StatusCode::FORBIDDEN, "Your session does not allow this"),
        ("rename", &*"n".repeat(1_025), StatusCode::BAD_REQUEST, "This name is too long."),
    ] {
        let page = alice.press(&world, "alice-1", action, &[("name", name)]).await.expect(status);
        has(&page, &[words]);
        lacks(&page, &["token:", "claim", "must be one of", "1024 bytes"]);
    }
    // A page from before the last sign-in says so; without a session, it is about signing in.
    let mut again = Visitor::tenant(&world, "alice").await;
    let form = [("formToken", alice.form_token.as_str()), ("do", "test")];
    let page = again.browser.post(&world, "/c/alice-1", &form).await.expect(StatusCode::FORBIDDEN);
    has(&page, &["You are now signed in as alice; reload this page and try again.", "href=\"\">Reload</a>"]);
    let page = Browser::in_window().get(&world, "/c/alice-1").await.expect(StatusCode::UNAUTHORIZED);
    has(&page, &["<h1>Please sign in</h1>", "You are not signed in, or your session has ended. "]);
}

#[tokio::test]
async fn an_outcome_is_at_its_row_for_its_visitor_and_a_minute() {
    let world = shared_world().await;
    let (mut alice, mut other) = (Visitor::tenant(&world, "alice").await, Visitor::tenant(&world, "alice").await);
    let location = alice.press(&world, "alice-1", "deactivate", &[("back", "")]).await.location();
    let list = location.trim_start_matches("..").to_owned();
    let done = "<p class=\"outcome good\" role=\"status\">Deactivated";
    let page = alice.get(&world, &list).await.expect(StatusCode::OK);
    has(&page, &[&format!("id=\"c-alice-1\" data-live>{done}")]);
    lacks(&page, &["class=\"banner"]);
    for url in ["/?done=deactivated&on=alice-1", "/c/alice-1?done=deactivated", &list.replace("alice-1", "alice-2")] {
        lacks(&alice.get(&world, url).await.expect(StatusCode::OK), &["class=\"banner", "class=\"outcome good"]);
    }
    lacks(&other.get(&world, &list).await.expect(StatusCode::OK), &["class=\"banner", "class=\"outcome good"]);
    // A list without the row says it above.
    let elsewhere = list.replacen('?', "?search=sandbox&", 1);
    has(&alice.get(&world, &elsewhere).await, &["class=\"banner good\"", "Deactivated"]);
    world.advance(61);
    lacks(&alice.get(&world, &list).await.expect(StatusCode::OK), &["class=\"banner", "class=\"outcome good"]);
}

#[tokio::test]
async fn a_used_credential_is_not_deleted_and_a_deleted_one_is_restored() {
    let (world, _provider, id) = connected().await;
    let flow = json!({"name": "Contact sync", "uri": "https://flows.example/7"});
    let uri = format!("/connections/{id}/flows/7");
    world.send(Method::PUT, &uri, &world.alice, Some(&flow)).await.expect(StatusCode::NO_CONTENT);
    let mut alice = Visitor::tenant(&world, "alice").await;
    has(&alice.get(&world, "/").await, &["used by Contact sync"]);
    has(&alice.get(&world, &format!("/c/{id}?ask=delete")).await, &["Delete this credential?"]);
    lacks(&alice.get(&world, &format!("/c/{id}")).await, &["value=\"disconnect\""]);
    let asked = alice.get(&world, &format!("/c/{id}?ask=disconnect")).await;
    has(&asked, &["Disconnect this credential?", "will stop working", "value=\"disconnect\""]);
    let refused = alice.press(&world, &id, "delete", &[]).await.expect(StatusCode::CONFLICT);
    has(&refused, &["It is in use", "<a href=\"https://flows.example/7\" rel=\"noreferrer\">Contact sync</a>"]);
    lacks(&refused, &["Delete anyway"]);
    let mut admin = Visitor::admin(&world).await;
    has(&admin.press(&world, &id, "delete", &[]).await.expect(StatusCode::CONFLICT), &["Delete anyway"]);
    world.send(Method::DELETE, &uri, &world.alice, None).await.expect(StatusCode::NO_CONTENT);
    let list = alice.presses(&world, &id, "delete", &[]).await;
    has(&list, &["Deleted", "No credentials yet", &format!("href=\"c/{id}\" rel=\"noreferrer\">Undo")]);
    has(&alice.get(&world, &format!("/c/{id}")).await.expect(StatusCode::OK), &["Deleted", "value=\"restore\""]);
    let restored = alice.presses(&world, &id, "restore", &[]).await;
    has(&restored, &["Restored.", "Reconnect needed"]);
    lacks(&restored, &["ask=disconnect"]);
}

#[tokio::test]
async fn adding_and_reconnecting_lead_to_the_form_and_back() {
    let (world, provider, id) = connected().await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    has(&alice.get(&world, "/add").await.expect(StatusCode::OK), &["name=\"integrationKey\" value=\"crm\""]);
    let form_token = alice.form_token.clone();
    let form = [("formToken", form_token.as_str()), ("integrationKey", "crm")];
    let onward = alice.browser.post(&world, "/add", &form).await.expect(StatusCode::OK);
    let connect = |page: &Answer| {
        let (_, rest) = page.text().split_once("connect?connectionRequestId=").expect("a link");
        format!("/connect?connectionRequestId={}", rest.split_once('"').unwrap().0)
    };
    let authorize = alice.get(&world, &connect(&onward)).await.location();
    let back = alice.get(&world, &provider.approve(&authorize)).await.location();
    assert!(back.starts_with(&format!("{}/?connectionId=", World::BASE_URI)), "{back}");
    has(&alice.get(&world, &back).await.expect(StatusCode::OK), &["Connected", "Credentials: 2"]);
    // Somebody else's result says nothing, and neither do words in the URL.
    let mut bob = Visitor::tenant(&world, "bob").await;
    lacks(&bob.get(&world, &format!("{back}&error=Call+us")).await, &["Connected", "Call us"]);

    let onward = alice.press(&world, &id, "reconnect", &[]).await.expect(StatusCode::OK);
    has(&onward, &["../connect?connectionRequestId="]);
    let authorize = alice.get(&world, &connect(&onward)).await.location();
    let denied = provider.come_back(&authorize, &[("error", "access_denied"), ("error_description", "not `today`")]);
    let back = alice.get(&world, &denied).await.location();
    has(&alice.get(&world, &back).await, &["Not connected", "not today"]);
    assert_eq!(world.connection(&id).await["state"], "READY");

    let mut admin = Visitor::admin(&world).await;
    let page = admin.press(&world, &id, "link", &[]).await.expect(StatusCode::OK);
    let (_, rest) = page.text().split_once("readonly autocomplete=\"off\" value=\"").expect("a link");
    let link = rest.split_once('"').unwrap().0;
    let authorize = Browser::in_window().get(&world, link).await.location();
    assert!(authorize.starts_with(&provider.uri("/authorize")), "{authorize}");
    let unknown = [("formToken", form_token.as_str()), ("integrationKey", "none")];
    let unknown = alice.browser.post(&world, "/add", &unknown).await.expect(StatusCode::NOT_FOUND);
    has(&unknown, &["This integration does not exist, or was deleted."]);
}

/// A row of an integration `crm` with a token, in a state.
fn full_row(id: &str, tenant: &str, state: &str, age: usize) -> Item {
    let now = 1_767_225_600_000_i64;
    let created = (now - i64::try_from(age).unwrap()).to_string();
    let row = json!({
        "id": {"S": format!("local#{id}")}, "workspace": {"S": "local"}, "version": {"N": "1"}, "tenant": {"S": tenant},
        "integration_key": {"S": "crm"}, "connector_key": {"S": "oauth2"}, "auth_option": {"S": ""},
        "name": {"S": format!("Account {id} of a company with a long name")},
        "account": {"S": json!({"id": id, "label": format!("{id}@customer.example")}).to_string()},
        "flow#1": {"S": json!({"name": "Contact sync", "uri": "https://flows.example/1", "active": true}).to_string()},
        "sealed_version": {"N": "1"}, "sealed": {"B": "AAAA"}, "state": {"S": state}, "refreshable": {"N": "1"},
        "obtained_at": {"N": created}, "expires_at": {"N": (now + 3_600_000).to_string()},
        "next_refresh_at": {"N": (now + 3_300_000).to_string()}, "last_refreshed_at": {"N": created},
        "renews_itself": {"N": "0"}, "retry_attempts": {"N": "0"}, "created_at": {"N": created},
        "updated_at": {"N": created},
    });
    serde_json::from_value(row).unwrap()
}

/// How many credentials of others there are: 100,000 in the long form, which takes a minute.
fn others() -> usize {
    std::env::var("LARDER_PAGE_CONNECTIONS").map_or(8_000, |text| text.parse().expect("a number"))
}

#[tokio::test]
async fn a_page_of_50_takes_few_calls_and_60_kb() {
    let others = others();
    let rows = (0..others).map(|number| full_row(&format!("b{number}"), "bob", "READY", number));
    let own = (0..50).map(|number| full_row(&format!("a{number}"), "alice", "READY", others + number));
    let mut world = former_world(rows.chain(own).collect()).await;
    world.restart().await;
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    let mut admin = Visitor::admin(&world).await;
    let total = format!("Credentials: {}", grouped(others + 50));
    for (is_admin, url, number) in [
        // Numbers come after the first page, by its script or a refresh, and with the next pages.
        (true, "/", "<noscript><meta http-equiv=\"refresh\" content=\"0; url=?&#38;counts=1\"></noscript>"),
        (true, "/?counts=1", &total),
        (true, "/?state=READY", &total),
        (false, "/?counts=1", "Credentials: 50"),
        (false, "/", "Credentials: 50"),
    ] {
        let visitor = if is_admin { &mut admin } else { &mut alice };
        world.requests.take();
        let page = visitor.get(&world, url).await.expect(StatusCode::OK);
        let calls = world.requests.take();
        assert!(calls.len() < 5 || url.contains("counts"), "{calls:?}");
        assert_eq!(page.text().matches("<li class=\"card\"").count(), 50);
        has(&page, &[number, "used by Contact sync"]);
        let html = without(&without(page.text(), "<style>", "</style>"), "<script", "</script>");
        assert!(html.len() < 60 * 1024, "{} bytes", html.len());
        assert!(page.text().len() < 80 * 1024, "{} bytes with style sheets and script", page.text().len());
    }
    let first = admin.get(&world, "/?integrationKey=crm").await.expect(StatusCode::OK);
    let (_, rest) = first.text().split_once("rel=\"next\" href=\"").expect("a next page");
    let next = rest.split_once('"').unwrap().0.replace("&#38;", "&");
    let next = admin.get(&world, next.trim_start_matches('.')).await.expect(StatusCode::OK);
    has(&next, &["First page"]);
    assert_eq!(next.text().matches("<li class=\"card\"").count(), 50);
}

fn grouped(number: usize) -> String {
    let text = number.to_string();
    let (start, end) = text.split_at(text.len().saturating_sub(3));
    if start.is_empty() { end.to_owned() } else { format!("{start},{end}") }
}

/// A text without the parts between two others.
fn without(text: &str, from: &str, to: &str) -> String {
    let mut parts = text.split(from);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(to).map_or("", |(_, rest)| rest))
}

#[tokio::test]
async fn credentials_that_need_attention_are_counted_up_to_a_thousand() {
    let attention =
        (0..1_100).map(|number| full_row(&format!("b{number:04}"), "bob", "CLIENT_ACTION_REQUIRED", number));
    let ready = (0..40).map(|number| full_row(&format!("a{number}"), "alice", "READY", number));
    let own = (0..20).map(|number| full_row(&format!("z{number:02}"), "alice", "CLIENT_ACTION_REQUIRED", number));
    let mut world = former_world(attention.chain(ready).chain(own).collect()).await;
    world.restart().await;
    let mut admin = Visitor::admin(&world).await;
    has(&admin.get(&world, "/?counts=1").await, &["Credentials: 1,000+", "Credentials: 1,160"]);
    let mut alice = Visitor::tenant(&world, "alice").await;
    has(&alice.get(&world, "/?counts=1").await, &["Credentials: 60", "Credentials: 20"]);

    // The filter uses the index: it reads no row that works.
    world.requests.take();
    let page = admin.get(&world, "/?state=CLIENT_ACTION_REQUIRED").await.expect(StatusCode::OK);
    assert_eq!(page.text().matches("<li class=\"card\"").count(), 50);
    assert!(world.requests.take().len() < 5);
    let answer = world.get("/connections?state=CLIENT_ACTION_REQUIRED&limit=1000").await.expect(StatusCode::OK).json();
    assert_eq!(answer["items"].as_array().unwrap().len(), 1000);
    let cursor = answer["cursor"].as_str().unwrap().to_owned();
    let uri = format!("/connections?state=CLIENT_ACTION_REQUIRED&limit=1000&cursor={cursor}");
    let rest = world.get(&uri).await.expect(StatusCode::OK).json();
    let ids: Vec<_> = rest["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), ids[119], &rest["cursor"]), (120, "z19", &Value::Null));
    // A cursor of one list is none of another.
    let other = format!("/connections?state=READY&cursor={cursor}");
    world.get(&other).await.expect(StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_the_index_of_states_lists_still_work() {
    let rows = ["READY", "CLIENT_ACTION_REQUIRED"].map(|state| full_row(&format!("a-{state}"), "alice", state, 1));
    let world = former_world(rows.into()).await;
    let delete = aws_sdk_dynamodb::types::DeleteGlobalSecondaryIndexAction::builder().index_name("by_state");
    let delete = aws_sdk_dynamodb::types::GlobalSecondaryIndexUpdate::builder().delete(delete.build().unwrap());
    let update = world.dynamodb().update_table().table_name("larder-connections");
    update.global_secondary_index_updates(delete.build()).send().await.unwrap();
    let answer = world.get("/connections?state=CLIENT_ACTION_REQUIRED").await.expect(StatusCode::OK).json();
    assert_eq!(answer["items"][0]["id"], "a-CLIENT_ACTION_REQUIRED");
    assert_eq!(answer["items"].as_array().unwrap().len(), 1);
    let mut admin = Visitor::admin(&world).await;
    let page = admin.get(&world, "/?state=CLIENT_ACTION_REQUIRED&counts=1").await.expect(StatusCode::OK);
    has(&page, &["Account a-CLIENT_ACTION_REQUIRED", "Reconnect needed"]);
    lacks(&page, &["class=\"count bad\""]);
}

/// Changes a connection for the worse.
type Change = fn(&mut Connection, Option<Problem>);

#[tokio::test]
async fn badges_filters_and_numbers_agree() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let problem = || Some(Problem::new(None, "no"));
    let rows: [(&str, Change); 7] = [
        ("Works", |_, _| {}),
        ("Deactivated", |it, _| it.details.is_deactivated = true),
        ("Refresh failing", |it, problem| it.problem = problem),
        ("Cannot refresh", |it, problem| (it.problem, it.is_lapsing) = (problem, true)),
        ("Test failed", |it, problem| it.test_problem = problem),
        ("Test failed", |it, problem| (it.details.is_deactivated, it.test_problem) = (true, problem)),
        ("Reconnect needed", |it, _| it.state = State::ClientActionRequired),
    ];
    for (index, (_, make)) in rows.iter().enumerate() {
        let id = index.to_string();
        let mut sample = Connection::new(ConnectionKey::new("local", "sample"), OffsetDateTime::UNIX_EPOCH);
        make(&mut sample, problem());
        store(&world, Some("alice"), &id, CRM, sample.details.clone()).await;
        change(&world, &format!("alice-{id}"), |connection| {
            let details = connection.details.clone();
            make(connection, problem());
            connection.details = details;
        })
        .await;
    }
    store(&world, Some("bob"), "1", CRM, named("Bob's")).await;
    let badges = |page: &Answer| {
        let badges = page.text().split("class=\"badge ").skip(1);
        badges.map(|rest| rest.split_once('>').unwrap().1.split_once('<').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    let (mut alice, mut admin) = (Visitor::tenant(&world, "alice").await, Visitor::admin(&world).await);
    let names = |of: std::ops::Range<usize>| rows[of].iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    for visitor in [&mut alice, &mut admin] {
        let unwell = visitor.get(&world, "/?state=CLIENT_ACTION_REQUIRED").await.expect(StatusCode::OK);
        assert_eq!(badges(&unwell), names(3..7));
        has(&unwell, &["class=\"count bad\" aria-hidden=\"true\">4<"]);
        let filtered = visitor.get(&world, "/?state=CLIENT_ACTION_REQUIRED&integrationKey=crm").await;
        assert_eq!(badges(&filtered), names(3..7));
        // Bob's is the last.
        let well = visitor.get(&world, "/?state=READY&counts=1").await.expect(StatusCode::OK);
        assert_eq!(badges(&well)[..3], names(0..3));
        has(&well, &["class=\"count bad\" aria-hidden=\"true\">4<"]);
    }
    // For programs, the state says who has to reconnect.
    for (state, count) in [("CLIENT_ACTION_REQUIRED", 1), ("READY", 7)] {
        let listed = world.get(&format!("/connections?state={state}")).await.expect(StatusCode::OK).json();
        assert_eq!(listed["items"].as_array().unwrap().len(), count, "{state}");
    }
}

#[tokio::test]
async fn deleted_credentials_need_no_attention() {
    let world = shared_world().await;
    for id in ["alice-1", "alice-2"] {
        change(&world, id, |connection| connection.state = State::ClientActionRequired).await;
    }
    let mut admin = Visitor::admin(&world).await;
    let attention = async |admin: &mut Visitor| {
        let page = admin.get(&world, "/?state=CLIENT_ACTION_REQUIRED&counts=1").await.expect(StatusCode::OK);
        page.text().split_once("class=\"count bad\" aria-hidden=\"true\">").map(|(_, rest)| rest[..1].to_owned())
    };
    assert_eq!(attention(&mut admin).await.as_deref(), Some("2"));
    admin.presses(&world, "alice-1", "delete", &[]).await;
    assert_eq!(attention(&mut admin).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_credentials_page_has_its_facts_in_the_visitors_language() {
    let (world, _provider, id) = connected().await;
    change(&world, &id, |connection| {
        connection.account = Account::new("7", Some("ada@acme.example"));
    })
    .await;
    patch(&world, &world.alice, &id, json!({"tags": {"team": "sales"}})).await.expect(StatusCode::OK);
    let mut alice = Visitor::tenant(&world, "alice").await;
    let page = alice.get(&world, &format!("/c/{id}")).await.expect(StatusCode::OK);
    has(&page, &["ada@acme.example", "Granted access", "<li>read</li>", "Next refresh", "2026-01-01 00:55:00 UTC"]);
    has(&page, &["<li>team: sales</li>", "Connected", " ms"]);
    for (language, words) in
        [("de", ["Aktuell", "wird in <time", "Verlauf"]), ("fr", ["À jour", "renouvelé dans <time", "Historique"])]
    {
        alice.browser.set_header("accept-language", language);
        let page = alice.get(&world, &format!("/c/{id}")).await.expect(StatusCode::OK);
        has(&page, &words);
        has(&page, &[&format!("<html lang=\"{language}\">")]);
    }
}
