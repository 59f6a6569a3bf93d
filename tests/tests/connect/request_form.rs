//! The form behind a connection request's link.

use std::sync::Arc;

use connect::own_connection_id;
use http::{Method, StatusCode};
use larder_tests::{Answer, Browser, HtmlForm, MockProvider, World};
use serde_json::{Value, json};

use crate::form::{CLIENT, OAUTH, SPEC, SUBDOMAIN, WAYS, error_at, send, world_of};
use crate::requests::{
    CANCELED, ELSEWHERE, EXPIRED, Requested, USED, VERIFIER, challenge, ids, onward, parameter, request, says,
};

/// The redirect URI of the integration `app`.
const DONE: &str = "https://app.example/done";
const REJECTED: &str = "Not accepted. Enter the whole value again.";

/// Creates a request of alice's application through `app`, unless the body says otherwise.
async fn requested(world: &World, mut body: Value) -> Requested {
    if ["integrationKeys", "connectionId"].iter().all(|name| body.get(name).is_none()) {
        body["integrationKeys"] = json!(["app"]);
    }
    request(world, body).await
}

/// Opens a link in a window, where it leads to a form.
async fn open(world: &World, it: &Requested) -> (Browser, HtmlForm) {
    let mut browser = Browser::in_window();
    let page = browser.get(world, &it.url).await.expect(StatusCode::OK);
    (browser, HtmlForm::of(page.text()))
}

fn own_id() -> String {
    own_connection_id("local", "app", Some("alice"))
}

fn fields(form: &HtmlForm) -> Vec<(String, String)> {
    form.fields().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Posts fields as this browser.
async fn post(world: &World, browser: &mut Browser, fields: &[(String, String)]) -> Answer {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    browser.post(world, "/connect", &fields).await
}

#[tokio::test]
async fn a_wrong_key_keeps_a_request_pending_and_a_right_one_ends_it() {
    let (world, provider) = world_of(SPEC, json!({})).await;
    let it = requested(&world, json!({"input": {"region": "us", "apiKey": "key-of-the-link", "port": 25}})).await;
    // Everything is there, so the link connects at once, and its application learns that the key is wrong.
    provider.set_test_status(401);
    let mut browser = Browser::in_window();
    let page = browser.get(&world, &it.url).await.expect(StatusCode::BAD_REQUEST);
    assert!(!page.text().contains("<form"), "{}", page.text());
    assert_eq!(it.status(&world).await, "error");

    let it = requested(&world, json!({"input": {"region": "us"}})).await;
    let (mut browser, form) = open(&world, &it).await;
    assert!(form.control("input/region").attribute("checked").is_none() && form.names().contains(&"input/port"));
    let form = form.set("input/apiKey", "wrong");
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(error_at(&page, "input/apiKey"), "This does not have the expected format.");
    assert!(provider.api_calls().len() == 1 && it.status(&world).await == "pending");
    for _ in 0..2 {
        let page = send(&world, &mut browser, &form.clone().set("input/apiKey", "key-wrong")).await;
        let page = page.expect(StatusCode::BAD_REQUEST);
        assert_eq!(error_at(&page, "input/apiKey"), REJECTED);
        assert!(!page.text().contains("key-wrong") && !page.text().contains("eyJ"), "{}", page.text());
        assert_eq!(it.status(&world).await, "pending");
    }
    provider.set_test_status(503);
    let page = send(&world, &mut browser, &form.clone().set("input/apiKey", "key-1")).await;
    assert!(page.expect(StatusCode::SERVICE_UNAVAILABLE).text().contains("could not be tested"));
    assert_eq!(it.status(&world).await, "pending");
    provider.set_test_status(200);
    let page = send(&world, &mut browser, &form.clone().set("input/apiKey", "key-right")).await;
    assert!(page.expect(StatusCode::OK).text().contains("Connected"));
    assert_eq!(it.poll(&world).await["resultConnectionId"], own_id());
    let expected = json!({"apiKey": "key-right", "region": "us", "sandbox": false});
    assert_eq!(world.credentials(&own_id()).await, expected);
    // Sent again, the form connects nothing.
    says(send(&world, &mut browser, &form.set("input/apiKey", "key-2")).await, StatusCode::CONFLICT, USED);
    assert_eq!(world.credentials(&own_id()).await, expected);
}

#[tokio::test]
async fn locked_values_are_neither_shown_nor_changeable() {
    let (world, _provider) = world_of(SPEC, json!({})).await;
    let body = json!({"input": {"region": "us", "contact": "a@b.example"},
                      "lockedInput": {"region": "eu", "port": 4711, "contact": "locked@b.example"}});
    let it = requested(&world, body).await;
    let (mut browser, form) = open(&world, &it).await;
    let page = browser.get(&world, &it.url).await.expect(StatusCode::OK);
    for hidden in ["4711", "b.example", "Region", "Port", "Contact"] {
        assert!(!page.text().contains(hidden), "{hidden}: {}", page.text());
    }
    let mut sent = fields(&form.set("input/apiKey", "nonsense"));
    let more =
        [("input/region", "us"), ("input/port", "1"), ("input/contact", ""), ("lockedInput", "{}"), ("input", "{}")];
    sent.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let page = post(&world, &mut browser, &sent).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(error_at(&page, "input/apiKey"), "This does not have the expected format.");
    assert!(!page.text().contains("4711") && !page.text().contains("b.example"), "{}", page.text());
    let key = sent.iter_mut().find(|(name, _)| name == "input/apiKey").unwrap();
    key.1 = "key-1".to_owned();
    post(&world, &mut browser, &sent).await.expect(StatusCode::OK);
    let expected = json!({"apiKey": "key-1", "region": "eu", "port": 4711, "contact": "locked@b.example",
                          "sandbox": false});
    assert_eq!(world.credentials(&own_id()).await, expected);

    // With a locked key, there is nothing to ask on a reconnect. A locked value that is wrong is the application's mistake.
    let it = requested(&world, json!({"connectionId": own_id(), "lockedInput": {"apiKey": "key-2"}})).await;
    Browser::in_window().get(&world, &it.url).await.expect(StatusCode::OK);
    assert_eq!(world.credentials(&own_id()).await["apiKey"], "key-2");
    let it = requested(&world, json!({"lockedInput": {"port": -1}, "allowMultipleConnections": true})).await;
    let page = Browser::in_window().get(&world, &it.url).await.expect(StatusCode::BAD_REQUEST);
    assert!(!page.text().contains("<form"), "{}", page.text());
    let message = it.poll(&world).await["resultError"]["message"].take();
    assert!(message.as_str().unwrap().ends_with("`port` is less than the minimum of 1"), "{message}");
}

#[tokio::test]
async fn a_link_offers_integrations_then_ways_and_then_a_form() {
    let (world, provider) = world_of(WAYS, json!({"name": "Mail"})).await;
    world.integrate(&MockProvider::start().await, json!({})).await;
    let it = requested(&world, json!({"integrationKeys": ["crm", "app"]})).await;
    let (mut browser, choice) = open(&world, &it).await;
    let page = send(&world, &mut browser, &choice.press("app")).await.expect(StatusCode::OK);
    assert!(page.text().contains("Choose how you want to connect."), "{}", page.text());
    let ways = HtmlForm::of(page.text());
    assert_eq!(ways.control("integrationKey").value(), "app");
    let page = send(&world, &mut browser, &ways.clone().press("key")).await.expect(StatusCode::OK);
    assert!(page.text().contains("name=\"choose\""), "{}", page.text());
    // Back to the ways.
    let mut back = fields(&ways);
    back.push(("choose".to_owned(), "1".to_owned()));
    let again = post(&world, &mut browser, &back).await.expect(StatusCode::OK);
    let page = send(&world, &mut browser, &HtmlForm::of(again.text()).press("login")).await.expect(StatusCode::OK);
    provider.set_test_status(401);
    let form = HtmlForm::of(page.text()).set("input/apiKey", "p").set("input/account/name", "Ada");
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("Connect Mail") && page.text().contains("did not accept"), "{}", page.text());
    // A reload of the link starts with the choice.
    let page = browser.get(&world, &it.url).await.expect(StatusCode::OK);
    assert!(page.text().contains("value=\"crm\"") && it.status(&world).await == "pending");
    provider.set_test_status(200);
    send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    assert_eq!(it.poll(&world).await["resultConnectionId"], own_id());
    // An integration that was not offered is no choice.
    let it = requested(&world, json!({"integrationKeys": ["crm", "app"]})).await;
    let (mut browser, choice) = open(&world, &it).await;
    let mut other = fields(&choice);
    other.push(("integrationKey".to_owned(), "demo".to_owned()));
    let page = post(&world, &mut browser, &other).await.expect(StatusCode::OK);
    assert!(page.text().contains("value=\"crm\""), "{}", page.text());
}

#[tokio::test]
async fn another_way_to_reconnect_can_be_chosen() {
    let (world, _provider) = world_of(WAYS, json!({})).await;
    let it = requested(&world, json!({"authOptionKey": "key", "input": {"apiKey": "k"}})).await;
    Browser::in_window().get(&world, &it.url).await.expect(StatusCode::OK);
    let it = requested(&world, json!({ "connectionId": own_id() })).await;
    let (mut browser, form) = open(&world, &it).await;
    assert_eq!(form.control("authOptionKey").value(), "key");
    let link = form.control("connectionRequestId").value().to_owned();
    let page = browser.post(&world, "/connect", &[("connectionRequestId", &link), ("choose", "1")]).await;
    let page = page.expect(StatusCode::OK);
    assert!(page.text().contains("Reconnect Mailer"), "{}", page.text());
    let page = send(&world, &mut browser, &HtmlForm::of(page.text()).press("login")).await.expect(StatusCode::OK);
    let form = HtmlForm::of(page.text()).set("input/apiKey", "p").set("input/account/name", "Ada");
    send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    assert_eq!(world.credentials(&own_id()).await["apiKey"], "p");
}

#[tokio::test]
async fn a_request_for_one_way_offers_no_other() {
    let (world, _provider) = world_of(WAYS, json!({})).await;
    let it = requested(&world, json!({"authOptionKey": "login"})).await;
    let (mut browser, form) = open(&world, &it).await;
    let page = browser.get(&world, &it.url).await.expect(StatusCode::OK);
    assert!(!page.text().contains("Other ways") && form.control("authOptionKey").value() == "login");
    for (name, value) in [("authOptionKey", "key"), ("choose", "1")] {
        let link = form.control("connectionRequestId").value();
        let page = browser.post(&world, "/connect", &[("connectionRequestId", link), (name, value)]).await;
        let page = page.expect(StatusCode::OK);
        assert!(!page.text().contains("value=\"key\""), "{}", page.text());
    }
    let sent = form.set("authOptionKey", "key").set("input/apiKey", "p").set("input/account/name", "Ada");
    send(&world, &mut browser, &sent).await.expect(StatusCode::OK);
    assert_eq!(world.connection(&own_id()).await["authOptionKey"], "login");
}

#[tokio::test]
async fn canceling_ends_in_the_channels_and_in_the_status() {
    let (world, _provider) = world_of(SPEC, json!({})).await;
    let it = requested(&world, json!({"redirectUri": DONE})).await;
    let (mut browser, form) = open(&world, &it).await;
    let end = onward(&send(&world, &mut browser, &form.clone().press("1")).await.expect(StatusCode::OK));
    let error = json!({"type": "connection", "key": "cancelled", "message": "the end user canceled the connection"});
    assert_eq!(parameter(&end, "error").as_deref(), Some("the end user canceled the connection"));
    assert_eq!(parameter(&end, "errorData"), Some(error.to_string()));
    assert_eq!(parameter(&end, "requestId").as_ref(), Some(&it.id));
    let shown = it.poll(&world).await;
    assert_eq!((&shown["status"], &shown["resultError"]), (&json!("error"), &error));
    // The end user may think again.
    let form = HtmlForm::of(browser.get(&world, &it.url).await.expect(StatusCode::OK).text());
    let end = onward(&send(&world, &mut browser, &form.set("input/apiKey", "key-1")).await.expect(StatusCode::OK));
    assert!(end.starts_with(&format!("{DONE}?connectionId={}", own_id())), "{end}");
    assert_eq!(it.status(&world).await, "success");

    // So does canceling before an integration is chosen.
    world.integrate(&MockProvider::start().await, json!({})).await;
    let it = requested(&world, json!({"integrationKeys": ["app", "crm"]})).await;
    let (mut browser, choice) = open(&world, &it).await;
    let page = send(&world, &mut browser, &choice.press("1")).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("You canceled"), "{}", page.text());
    assert_eq!(it.poll(&world).await["resultError"]["key"], "cancelled");

    // Without a redirect, it ends on a page, and the application that polls learns of it.
    let it = requested(&world, json!({"allowMultipleConnections": true})).await;
    let (mut browser, form) = open(&world, &it).await;
    let page = send(&world, &mut browser, &form.press("1")).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("You canceled; you can close this window."), "{}", page.text());
    assert_eq!(it.poll(&world).await["resultError"]["key"], "cancelled");
    // The page leads back to the form.
    let retry = page.text().split_once("<a class=\"button\" href=\"").map(|(_, rest)| rest.split_once('"').unwrap().0);
    let again = browser.get(&world, &format!("/{}", retry.expect("a link"))).await.expect(StatusCode::OK);
    assert!(HtmlForm::of(again.text()).control("input/apiKey").value().is_empty());
}

#[tokio::test]
async fn a_form_whose_request_has_ended_says_so() {
    let (world, provider) = world_of(SPEC, json!({})).await;
    let (canceled, expired) = (requested(&world, json!({})).await, requested(&world, json!({"expiresIn": 60})).await);
    let ((mut one, form), (mut other, late)) = (open(&world, &canceled).await, open(&world, &expired).await);
    canceled.cancel(&world).await.expect(StatusCode::NO_CONTENT);
    let form = form.set("input/apiKey", "key-1");
    says(send(&world, &mut one, &form).await, StatusCode::CONFLICT, CANCELED);
    says(send(&world, &mut one, &form.press("1")).await, StatusCode::CONFLICT, CANCELED);
    world.advance(60);
    says(send(&world, &mut other, &late.set("input/apiKey", "key-1")).await, StatusCode::BAD_REQUEST, EXPIRED);
    let statuses = [canceled.status(&world).await, expired.status(&world).await];
    assert_eq!((statuses, ids(&world).await), (["cancelled", "expired"].map(ToOwned::to_owned), Vec::new()));
    assert!(provider.api_calls().is_empty());
    for (language, words) in [("de", "Dieser Link wurde zurückgezogen"), ("fr", "Ce lien a été annulé")] {
        let mut browser = Browser::with(&[("accept-language", language)]);
        let page = browser.get(&world, &canceled.url).await.expect(StatusCode::CONFLICT);
        assert!(page.text().contains(words), "{}", page.text());
    }
}

#[tokio::test]
async fn only_the_owner_of_a_link_submits_its_form() {
    let (world, provider) = world_of(SPEC, json!({})).await;
    let it = requested(&world, json!({})).await;
    let (mut owner, form) = open(&world, &it).await;
    let form = form.set("input/apiKey", "key-1");
    let mut stranger = Browser::in_window();
    says(send(&world, &mut stranger, &form).await, StatusCode::CONFLICT, ELSEWHERE);
    says(send(&world, &mut stranger, &form.clone().press("1")).await, StatusCode::CONFLICT, ELSEWHERE);
    // Nor does the owner of another link.
    let other = requested(&world, json!({"lockedInput": {"region": "us"}})).await;
    let (mut neighbor, of_other) = open(&world, &other).await;
    says(send(&world, &mut neighbor, &form).await, StatusCode::CONFLICT, ELSEWHERE);
    let link = of_other.control("connectionRequestId").value().to_owned();
    says(
        send(&world, &mut owner, &form.clone().set("connectionRequestId", &link)).await,
        StatusCode::CONFLICT,
        ELSEWHERE,
    );
    for wrong in ["nonsense", &link[1..], &it.id, &other.id] {
        let page = send(&world, &mut owner, &form.clone().set("connectionRequestId", wrong)).await;
        says(page, StatusCode::NOT_FOUND, "This link is not valid");
    }
    // The first browser takes a link, but its fields are not read before it has seen the form.
    let unopened = requested(&world, json!({})).await;
    let link = parameter(&unopened.url, "connectionRequestId").unwrap();
    let page = send(&world, &mut stranger, &form.clone().set("connectionRequestId", &link)).await;
    assert_eq!(HtmlForm::of(page.expect(StatusCode::OK).text()).control("input/apiKey").value(), "");
    assert!(provider.api_calls().is_empty() && ids(&world).await.is_empty());
    for it in [&it, &other, &unopened] {
        assert_eq!(it.status(&world).await, "pending");
    }
    send(&world, &mut owner, &form).await.expect(StatusCode::OK);
    assert_eq!((it.status(&world).await, ids(&world).await), ("success".to_owned(), vec![own_id()]));
}

#[tokio::test]
async fn a_links_form_is_neither_framed_nor_sent_by_others() {
    let (world, provider) = world_of(SPEC, json!({})).await;
    let it = requested(&world, json!({})).await;
    let (mut owner, form) = open(&world, &it).await;
    let page = owner.get(&world, &it.url).await.expect(StatusCode::OK);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.ends_with("frame-ancestors 'none'; form-action 'self'"), "{policy}");
    assert_eq!((page.header("cache-control"), page.header("referrer-policy")), (Some("no-store"), Some("same-origin")));
    let form = form.set("input/apiKey", "key-1");
    let ours = [("origin", World::BASE_URI), ("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "document")];
    for changed in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "https://larder.example.evil.example"),
        ("origin", ""),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-site", ""),
        ("sec-fetch-dest", "iframe"),
    ] {
        let headers = ours.map(|header| if header.0 == changed.0 { changed } else { header });
        let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let mut attacked = owner.clone().with_headers(&headers);
        says(send(&world, &mut attacked, &form).await, StatusCode::FORBIDDEN, "Another website sent this form");
    }
    assert!(provider.api_calls().is_empty() && it.status(&world).await == "pending");
    send(&world, &mut owner, &form).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_form_of_a_bound_request_awaits_its_confirmation() {
    let (world, provider) = world_of(SPEC, json!({})).await;
    let it = requested(&world, json!({"redirectUri": DONE, "codeChallenge": challenge()})).await;
    let (mut browser, form) = open(&world, &it).await;
    provider.set_test_status(401);
    send(&world, &mut browser, &form.clone().set("input/apiKey", "key-0")).await.expect(StatusCode::BAD_REQUEST);
    let body = json!({ "codeVerifier": VERIFIER });
    it.confirm(&world, body.clone()).await.expect(StatusCode::CONFLICT);
    provider.set_test_status(200);
    let end = onward(&send(&world, &mut browser, &form.set("input/apiKey", "key-1")).await.expect(StatusCode::OK));
    let code = parameter(&end, "confirmation").unwrap();
    assert_eq!((it.status(&world).await, ids(&world).await), ("pending".to_owned(), Vec::new()));
    world.get(&format!("/credentials?connectionId={}", own_id())).await.expect(StatusCode::NOT_FOUND);
    it.confirm(&world, json!({"codeVerifier": VERIFIER, "confirmation": code})).await.expect(StatusCode::OK);
    assert_eq!((it.status(&world).await, ids(&world).await), ("success".to_owned(), vec![own_id()]));
    assert_eq!(world.credentials(&own_id()).await["apiKey"], "key-1");
}

#[tokio::test]
async fn two_forms_of_a_link_sent_at_once_make_one_connection() {
    let (world, _provider) = world_of(SPEC, json!({})).await;
    let world = Arc::new(world);
    let it = Arc::new(requested(&world, json!({"allowMultipleConnections": true})).await);
    let (mut browser, form) = open(&world, &it).await;
    let form = form.set("input/apiKey", "key-1");
    let (mut tab, second, meanwhile) = (browser.clone(), form.clone(), Arc::clone(&world));
    world.requests.before("Save", async move {
        let page = send(&meanwhile, &mut tab, &second).await.expect(StatusCode::CONFLICT);
        assert!(page.text().contains("This link is being used to connect an account right now"), "{}", page.text());
    });
    send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    assert!(!world.requests.is_waiting());
    assert_eq!((it.status(&world).await, ids(&world).await.len()), ("success".to_owned(), 1));
}

#[tokio::test]
async fn a_links_form_asks_for_a_subdomain_then_leaves() {
    let spec = SUBDOMAIN.replace("required: []", "required: [subdomain]");
    let (world, provider) =
        (World::with_connector(&[("spec.yml", &spec), OAUTH, CLIENT]).await, MockProvider::start().await);
    let settings = json!({"name": "Help desk", "parameters": {"apiUri": provider.uri("")}});
    world.integrate_app(settings).await.expect(StatusCode::CREATED);
    let it = requested(&world, json!({})).await;
    let (mut browser, form) = open(&world, &it).await;
    let location =
        onward(&send(&world, &mut browser, &form.set("input/subdomain", "acme")).await.expect(StatusCode::OK));
    assert!(location.starts_with(&provider.uri("/authorize?of=acme&")), "{location}");
    assert_eq!(it.status(&world).await, "pending");
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    assert_eq!(it.poll(&world).await["resultConnectionId"], own_id());
    // A locked subdomain leads there at once.
    let it = requested(&world, json!({"lockedInput": {"subdomain": "locked"}})).await;
    let location = Browser::in_window().get(&world, &it.url).await.expect(StatusCode::FOUND).location();
    assert!(location.starts_with(&provider.uri("/authorize?of=locked&")), "{location}");
}

#[tokio::test]
async fn nothing_that_an_application_or_a_name_sets_becomes_markup() {
    let evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{}";
    let (world, provider) = world_of(SPEC, json!({"name": evil})).await;
    let body = json!({"connectorKey": "oauth2", "name": evil, "parameters": provider.parameters()});
    world.send(Method::PUT, "/integrations/evil", &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    let check = |page: &Answer| {
        let text = page.text();
        for word in ["<script>alert", "<img", "onerror=alert(1)>\"", "style="] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("img-src"), "{policy}");
    };
    let body = json!({"integrationKeys": ["app", "evil"], "name": evil, "key": evil, "tags": {"a": evil},
                      "meta": {"a": evil}, "input": {"contact": evil, "apiKey": evil}, "lockedInput": {"region": "us"}});
    let it = requested(&world, body).await;
    let mut browser = Browser::in_window();
    let page = browser.get(&world, &it.url).await.expect(StatusCode::OK);
    check(&page);
    // The values of the request are wrong, which is its application's mistake.
    let page = send(&world, &mut browser, &HtmlForm::of(page.text()).press("app")).await;
    check(&page.expect(StatusCode::BAD_REQUEST));
    let it = requested(&world, json!({ "name": evil })).await;
    let (mut browser, form) = open(&world, &it).await;
    provider.script_api("GET /me", 400, &json!({"error": evil, "message": evil}));
    let form = form.set("input/apiKey", "key-1");
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
    check(&page);
    assert!(page.text().contains("could not be tested"), "{}", page.text());
    provider.script_api("GET /me", 200, &json!({}));
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    check(&page);
    assert!(page.text().contains("&#60;script&#62;"), "{}", page.text());
}
