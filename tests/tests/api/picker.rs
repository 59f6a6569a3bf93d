//! The picker: what it offers to whom, where a choice goes, and that nothing happens without a press of its own buttons.

use http::{Method, StatusCode};
use larder::caller::Claims;
use larder::connection::{Account, Details, Problem, State};
use larder_tests::{Answer, Browser, MockProvider, World};
use serde_json::{Value, json};

use super::credentials_page::{Visitor, change, has, lacks, named};
use super::manage::{CRM, connected, patch, store};

/// The redirect URI of `crm`, in a query.
const DONE: &str = "https%3A%2F%2Fapp.example%2Fdone%3Ffrom%3Dlarder";

/// The flow for which most tests choose.
const FLOW: &str = "flow=7&flowName=Contact+sync&flowUri=https%3A%2F%2Fapp.example%2Fflows%2F7";

async fn flows(world: &World, id: &str) -> Value {
    world.get(&format!("/connections/{id}/dependencies")).await.expect(StatusCode::OK).json()
}

/// The address that a page leads to by itself.
fn leads_to(page: &Answer) -> String {
    let (_, rest) = page.text().split_once("; url=").expect("it leads on");
    rest.split_once('"').unwrap().0.replace("&#38;", "&")
}

/// The message that a page sends, and to whom.
fn message(page: &Answer) -> Value {
    let (_, rest) = page.text().split_once("id=\"result\">").expect("a message");
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[tokio::test]
async fn the_picker_offers_only_what_the_visitor_may_use() {
    let (world, provider, id) = connected().await;
    let body = json!({"connectorKey": "oauth2", "parameters": provider.parameters()});
    world.send(Method::PUT, "/integrations/erp", &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    store(&world, Some("alice"), "other", Some(["erp", "oauth2"]), named("Alice's ERP")).await;
    store(&world, Some("alice"), "off", CRM, Details { is_deactivated: true, ..named("Alice's old shop") }).await;
    store(&world, Some("alice"), "dead", CRM, named("Alice's dead shop")).await;
    change(&world, "alice-dead", |connection| connection.state = State::ClientActionRequired).await;
    store(&world, Some("alice"), "failed", CRM, named("Alice's closed shop")).await;
    change(&world, "alice-failed", |connection| connection.test_problem = Some(Problem::new(None, "closed"))).await;
    store(&world, Some("bob"), "1", CRM, named("Bob's shop")).await;
    patch(&world, &world.alice, &id, json!({"name": "Alice's shop"})).await.expect(StatusCode::OK);
    let mut alice = Visitor::tenant(&world, "alice").await;
    let page = alice.get(&world, &format!("/pick?integrationKey=crm&requestId=1&{FLOW}")).await.expect(StatusCode::OK);
    has(&page, &["Alice&#39;s shop", "Alice&#39;s old shop", "Alice&#39;s dead shop", "Contact sync", "(app.example)"]);
    has(&page, &[&format!("name=\"choose\" value=\"{id}\""), "name=\"reconnect\" value=\"alice-dead\""]);
    has(&page, &["Test failed", "name=\"reconnect\" value=\"alice-failed\""]);
    lacks(&page, &["Bob", "ERP", "value=\"alice-off\"", "name=\"choose\" value=\"alice-dead\""]);
    let found = alice.get(&world, "/pick?integrationKey=crm&search=dead").await.expect(StatusCode::OK);
    has(&found, &["Alice&#39;s dead shop", "value=\"dead\""]);
    lacks(&found, &["Alice&#39;s old shop"]);
    let missing = "This credential does not exist, or was deleted.";
    let unusable = "This credential cannot be used right now";
    for (wrong, status, words) in [
        ("bob-1", StatusCode::NOT_FOUND, missing),
        ("alice-other", StatusCode::NOT_FOUND, missing),
        ("none", StatusCode::NOT_FOUND, missing),
        ("alice-dead", StatusCode::CONFLICT, unusable),
        ("alice-off", StatusCode::CONFLICT, unusable),
        ("alice-failed", StatusCode::CONFLICT, unusable),
    ] {
        let path = format!("/pick?integrationKey=crm&redirectUri={DONE}&{FLOW}");
        let page = alice.post(&world, &path, &[("choose", wrong)]).await.expect(status);
        has(&page, &[words, "Alice&#39;s shop"]);
        lacks(&page, &["; url=", "Bob"]);
    }
    assert_eq!(flows(&world, "bob-1").await, json!([]));
    for path in ["/pick?integrationKey=none", "/pick?integrationKey=none&requestId=1"] {
        has(&alice.get(&world, path).await.expect(StatusCode::NOT_FOUND), &["This integration does not exist"]);
    }
    alice.get(&world, "/pick").await.expect(StatusCode::BAD_REQUEST);
    // An admin chooses among those of all tenants, and a workspace has only its own.
    let mut admin = Visitor::admin(&world).await;
    has(&admin.get(&world, "/pick?integrationKey=crm").await, &["Alice&#39;s shop", "Bob&#39;s shop"]);
    let elsewhere = world.sign("elsewhere", Claims { is_admin: true, ..Claims::default() }).await;
    let mut stranger = Visitor::with_link(&world, &elsewhere, json!({})).await;
    stranger.get(&world, "/pick?integrationKey=crm").await.expect(StatusCode::NOT_FOUND);
    let scope =
        Claims { is_admin: true, scope: Some("connections:read integrations:read".into()), ..Claims::default() };
    let token = world.sign("local", scope).await;
    let mut reader = Visitor::with_link(&world, &token, json!({"tenantKey": "alice"})).await;
    let path = format!("/pick?integrationKey=crm&{FLOW}");
    lacks(&reader.get(&world, &path).await.expect(StatusCode::OK), &["name=\"choose\"", "value=\"add\""]);
    reader.post(&world, &path, &[("choose", &id)]).await.expect(StatusCode::FORBIDDEN);
    reader.post(&world, &path, &[("do", "add")]).await.expect(StatusCode::FORBIDDEN);
    assert_eq!(flows(&world, &id).await, json!([]));
}

#[tokio::test]
async fn a_choice_is_returned_and_marked_as_used_by_the_flow() {
    let (world, _provider, id) = connected().await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    let path = format!("/pick?integrationKey=crm&redirectUri={DONE}&requestId=9&{FLOW}");
    let page = alice.post(&world, &path, &[("choose", &id)]).await.expect(StatusCode::OK);
    assert_eq!(leads_to(&page), format!("https://app.example/done?from=larder&connectionId={id}"));
    let marked = flows(&world, &id).await;
    assert_eq!((&marked[0]["id"], &marked[0]["name"]), (&json!("7"), &json!("Contact sync")));
    assert_eq!(marked[0]["uri"], "https://app.example/flows/7");

    let page = alice.post(&world, "/pick?integrationKey=crm&requestId=9", &[("choose", &id)]).await;
    let sent = message(&page.expect(StatusCode::OK));
    assert_eq!(sent["message"]["type"], "newConnectionCreated");
    assert_eq!((&sent["message"]["requestId"], &sent["message"]["connection"]["id"]), (&json!("9"), &json!(id)));
    assert_eq!(sent["origins"], json!(["https://app.example", World::BASE_URI]));
    let text = sent.to_string();
    assert!(!text.contains("access_token") && !text.contains("refresh_token"), "{text}");
    let page = alice.post(&world, "/pick?integrationKey=crm", &[("choose", &id)]).await.expect(StatusCode::OK);
    has(&page, &["Chosen", "was chosen. You can close this window."]);

    let page = alice.post(&world, &path, &[("do", "cancel")]).await.expect(StatusCode::OK);
    assert!(leads_to(&page).starts_with("https://app.example/done?from=larder&error="), "{}", page.text());
    let page = alice.post(&world, "/pick?integrationKey=crm&requestId=9", &[("do", "cancel")]).await;
    assert_eq!(message(&page)["message"]["type"], "newConnectionFailure");
}

#[tokio::test]
async fn a_choice_goes_only_where_results_may_go() {
    let (world, _provider, id) = connected().await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    for (parameters, words) in [
        ("redirectUri=https%3A%2F%2Fevil.example%2F", "redirectUri must be one of the redirectUris"),
        ("redirectUri=https%3A%2F%2Fapp.example%2Fdone", "character for character"),
        ("redirectUri=javascript%3Aalert(1)", "character for character"),
        ("requestId=1&flow=7&flowUri=https%3A%2F%2Fevil.example%2F7", "FlowUri must have the origin"),
        ("requestId=1&flow=7&flowUri=javascript%3Aalert(1)", "Uri must be an http(s) URL"),
        ("requestId=1&requestId=2", "more than once"),
    ] {
        let path = format!("/pick?integrationKey=crm&{parameters}");
        for page in [alice.get(&world, &path).await, alice.post(&world, &path, &[("choose", &id)]).await] {
            let page = page.expect(StatusCode::BAD_REQUEST);
            assert!(page.text().to_lowercase().contains(&words.to_lowercase()), "{parameters}: {}", page.text());
            lacks(&page, &["; url=", "id=\"result\""]);
        }
    }
    assert_eq!(flows(&world, &id).await, json!([]));
}

#[tokio::test]
async fn other_websites_choose_nothing() {
    let (world, _provider, id) = connected().await;
    let alice = Visitor::tenant(&world, "alice").await;
    let path = format!("/pick?integrationKey=crm&requestId=1&{FLOW}");
    let mut foreign = alice.browser.clone();
    for token in ["", "x"] {
        foreign.post(&world, &path, &[("formToken", token), ("choose", &id)]).await.expect(StatusCode::FORBIDDEN);
    }
    for site in ["cross-site", "same-site"] {
        foreign.set_header("sec-fetch-site", site);
        foreign.set_header("origin", "https://app.example");
        for action in [("choose", id.as_str()), ("reconnect", &id), ("do", "add"), ("do", "cancel")] {
            let form = [("formToken", alice.form_token.as_str()), action];
            foreign.post(&world, &path, &form).await.expect(StatusCode::FORBIDDEN);
        }
    }
    let form = [("formToken", alice.form_token.as_str()), ("choose", &id)];
    Browser::in_window().post(&world, &path, &form).await.expect(StatusCode::UNAUTHORIZED);
    assert_eq!(flows(&world, &id).await, json!([]));
}

#[tokio::test]
async fn opening_the_picker_changes_and_returns_nothing() {
    let (world, _provider, id) = connected().await;
    let path = format!("/pick?integrationKey=crm&requestId=1&{FLOW}");
    let signed_out = Browser::in_window().get(&world, &path).await.expect(StatusCode::UNAUTHORIZED);
    has(&signed_out, &["You are not signed in"]);
    lacks(&signed_out, &["crm", "Contact sync", "id=\"result\""]);
    // No token signs anybody in here.
    let with_token = format!("{path}&token={}", world.alice);
    Browser::in_window().get(&world, &with_token).await.expect(StatusCode::UNAUTHORIZED);
    let mut alice = Visitor::tenant(&world, "alice").await;
    for more in [format!("&choose={id}"), format!("&connectionId={id}"), String::new()] {
        let page = alice.get(&world, &format!("{path}{more}")).await.expect(StatusCode::OK);
        lacks(&page, &["id=\"result\"", "; url="]);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }
    assert_eq!(flows(&world, &id).await, json!([]));
}

#[tokio::test]
async fn a_new_credential_comes_back_to_the_picker_and_can_be_chosen() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    let path = format!("/pick?integrationKey=crm&requestId=9&{FLOW}");
    has(&alice.get(&world, &path).await, &["No credentials yet", "It is tested before you can choose it."]);
    let connect = async |alice: &mut Visitor, action: (&str, &str)| {
        let onward = alice.post(&world, &path, &[action]).await.expect(StatusCode::OK);
        let (_, rest) = onward.text().split_once("./connect?connectionRequestId=").expect("a link");
        let link = format!("/connect?connectionRequestId={}", rest.split_once('"').unwrap().0);
        alice.get(&world, &link).await.location()
    };
    let authorize = connect(&mut alice, ("do", "add")).await;
    let denied = provider.come_back(&authorize, &[("error", "access_denied"), ("error_description", "not today")]);
    let back = alice.get(&world, &denied).await.location();
    assert!(back.starts_with(&format!("{}/pick?for=integrationKey%3Dcrm", World::BASE_URI)), "{back}");
    has(&alice.get(&world, &back).await, &["Not connected", "not today", "Contact sync", "No credentials yet"]);

    let authorize = connect(&mut alice, ("do", "add")).await;
    let back = alice.get(&world, &provider.approve(&authorize)).await.location();
    let page = alice.get(&world, &back).await.expect(StatusCode::OK);
    has(
        &page,
        &["Connected", "It was tested and stored. You can use it now.", "Contact sync", "primary\" name=\"choose\""],
    );
    assert_eq!(page.text().matches("<li class=\"card\"").count(), 1);
    let (_, rest) = page.text().split_once("name=\"choose\" value=\"").unwrap();
    let id = rest.split_once('"').unwrap().0.to_owned();
    assert_eq!(flows(&world, &id).await, json!([]));
    // The page leads on with the application's own parameters.
    let (_, rest) = page.text().split_once("<form method=\"post\" action=\"pick").unwrap();
    let action = format!("/pick{}", rest.split_once('"').unwrap().0.replace("&#38;", "&"));
    let chosen = alice.post(&world, &action, &[("choose", &id)]).await.expect(StatusCode::OK);
    assert_eq!(message(&chosen)["message"]["requestId"], "9");
    assert_eq!(flows(&world, &id).await[0]["id"], "7");
    // The result in an address is what is stored, and only for the visitor it belongs to.
    let mut bob = Visitor::tenant(&world, "bob").await;
    lacks(&bob.get(&world, &back).await.expect(StatusCode::OK), &["Connected", &id]);
    let authorize = connect(&mut alice, ("reconnect", &id)).await;
    assert!(authorize.starts_with(&provider.uri("/authorize")), "{authorize}");
}

#[tokio::test]
async fn nothing_that_anybody_sets_becomes_markup_in_the_picker() {
    const EVIL: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";
    let (world, provider) = (World::new().await, MockProvider::start().await);
    let body = json!({"connectorKey": "oauth2", "name": EVIL, "parameters": provider.parameters()});
    world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    store(&world, Some("alice"), "1", CRM, named(EVIL)).await;
    change(&world, "alice-1", |connection| connection.account = Account::new(EVIL, Some(EVIL))).await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    let evil = form_urlencoded::byte_serialize(EVIL.as_bytes()).collect::<String>();
    let path = format!("/pick?integrationKey=crm&requestId={evil}&flow={evil}&flowName={evil}");
    let pages = [
        alice.get(&world, &path).await.expect(StatusCode::OK),
        alice.get(&world, &format!("{path}&search={evil}")).await.expect(StatusCode::OK),
        alice.get(&world, &format!("/pick?for={evil}&requestId={evil}")).await,
        alice.get(&world, &format!("/pick?integrationKey={evil}")).await,
        alice.post(&world, &path, &[("choose", EVIL)]).await,
        alice.post(&world, &path, &[("choose", "alice-1")]).await.expect(StatusCode::OK),
    ];
    for page in &pages {
        assert!(!page.text().contains("<img src=x") && !page.text().contains("<script>alert"), "{}", page.text());
    }
    alice.browser.set_header("accept-language", "fr");
    has(&alice.get(&world, "/pick?integrationKey=crm").await, &["Utiliser", "Choisir des identifiants pour"]);
}
