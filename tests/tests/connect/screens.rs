//! The hosted screens: the form and one connection in a frame of the application at `https://app.example`.

use connect::own_connection_id;
use http::{Method, StatusCode};
use larder::caller::Claims;
use larder_tests::{Answer, Browser, HtmlForm, MockProvider, World};
use serde_json::{Value, json};

use crate::form::{CLIENT, OAUTH, SPEC, TEST, error_at, link, world_of};

/// The origin of the application.
const APP: &str = "https://app.example";

/// Two ways to connect, with a key or at the provider.
const BOTH: &str = "name: Desk
parametersSchema:
  type: object
  properties: {apiUri: {type: string}}
auth:
  getOAuthConfig: {implementationType: mapping}
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
  options:
    key:
      type: client-credentials
      title: API key
      inputSchema: {type: object, properties: {apiKey: {type: string, title: API key}}, required: [apiKey]}
    login:
      type: oauth2
      title: Sign in
      inputSchema: {type: object, properties: {subdomain: {type: string, title: Subdomain}}}
";

async fn both_ways() -> (World, MockProvider) {
    let (world, provider) =
        (World::with_connector(&[("spec.yml", BOTH), CLIENT, TEST, OAUTH]).await, MockProvider::start().await);
    let answer = world.integrate_app(json!({"parameters": {"apiUri": provider.uri("")}})).await;
    answer.expect(StatusCode::CREATED);
    (world, provider)
}

/// A frame whose page another origin fills with a form.
fn frame_of(origin: &str) -> Browser {
    Browser::with(&[("sec-fetch-dest", "iframe"), ("sec-fetch-site", "cross-site"), ("origin", origin)])
}

/// A frame whose page is ours.
fn own_frame() -> Browser {
    Browser::with(&[("sec-fetch-dest", "iframe"), ("sec-fetch-site", "same-origin"), ("origin", World::BASE_URI)])
}

/// Opens a screen for alice, as her application does.
async fn open(world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
    let token = [("token", world.alice.as_str())];
    let fields: Vec<_> = token.iter().chain(fields).copied().collect();
    frame_of(APP).post(world, path, &fields).await
}

async fn open_app(world: &World) -> Answer {
    open(world, "/screens/connect", &[("integrationKey", "app")]).await.expect(StatusCode::OK)
}

/// Submits a form in the frame. Its page sets no cookie.
async fn send(world: &World, form: &HtmlForm) -> Answer {
    let fields = form.fields();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = own_frame().post(world, "/screens/connect", &fields).await;
    assert_eq!(answer.header("set-cookie"), None);
    answer
}

/// Returns the data of the page's script.
fn script(page: &Answer) -> Value {
    let (_, rest) = page.text().split_once("id=\"screen\">").unwrap_or_else(|| panic!("{}", page.text()));
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// Returns the methods of the application's page that the page calls.
fn calls(page: &Answer) -> Vec<String> {
    let calls = script(page)["calls"].clone();
    calls.as_array().unwrap().iter().map(|call| call[0].as_str().unwrap().to_owned()).collect()
}

/// Returns the connection that the application gets.
fn connection(page: &Answer) -> Value {
    assert_eq!(calls(page), ["onSuccess", "close"], "{}", page.text());
    script(page)["calls"][0][1].clone()
}

fn own_id(integration: &str) -> String {
    own_connection_id("local", integration, Some("alice"))
}

/// Returns the link that opens the provider's window.
fn link_of(page: &Answer) -> String {
    let (_, rest) = page.text().split_once("id=\"leave\" href=\"").unwrap_or_else(|| panic!("{}", page.text()));
    rest.split_once('"').unwrap().0.to_owned()
}

/// Approves or denies at the provider, in the window that the page's link opens.
async fn leave(world: &World, provider: &MockProvider, page: &Answer, parameters: &[(&str, &str)]) -> Answer {
    let mut window = Browser::in_window();
    let authorize = window.get(world, &link_of(page)).await.expect(StatusCode::FOUND).location();
    let back =
        if parameters.is_empty() { provider.approve(&authorize) } else { provider.come_back(&authorize, parameters) };
    window.get(world, &back).await
}

/// Returns the status that the page's script reads.
async fn status(world: &World, page: &Answer) -> Value {
    let pending = script(page)["pending"].clone();
    let url = pending["url"].as_str().unwrap();
    let path = url.rsplit_once("../").unwrap().1;
    let answer = world.send(Method::GET, &format!("/{path}"), pending["token"].as_str().unwrap(), None).await;
    answer.expect(StatusCode::OK).json()["status"].clone()
}

#[tokio::test]
async fn a_wrong_key_stays_in_the_frame_and_the_right_one_leaves_it() {
    let (world, provider) = world_of(SPEC, json!({})).await;
    let page = open_app(&world).await;
    assert_eq!((calls(&page), &script(&page)["pending"]), (Vec::new(), &Value::Null));
    assert!(page.text().contains("action=\"../screens/connect\"") && page.text().contains("Cancel"), "{}", page.text());
    assert!(!page.text().contains(&world.alice));
    let form = HtmlForm::of(page.text()).set("input/apiKey", "wrong");
    let page = send(&world, &form).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(error_at(&page, "input/apiKey"), "This does not have the expected format.");
    provider.set_test_status(401);
    let page = send(&world, &form.set("input/apiKey", "key-wrong")).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(error_at(&page, "input/apiKey"), "Not accepted. Enter the whole value again.");
    assert!(!page.text().contains("key-wrong"));
    provider.set_test_status(200);
    let form = HtmlForm::of(page.text()).set("input/apiKey", "key-right");
    let page = send(&world, &form).await.expect(StatusCode::OK);
    let connection = connection(&page);
    assert_eq!([&connection["id"], &connection["state"]], [&json!(own_id("app")), &json!("READY")]);
    assert!(!page.text().contains("key-right"));
    assert_eq!(world.credentials(&own_id("app")).await["apiKey"], "key-right");
}

#[tokio::test]
async fn a_form_submitted_twice_makes_one_connection() {
    let (world, _provider) = world_of(SPEC, json!({})).await;
    let fields = [("integrationKey", "app"), ("allowMultipleConnections", "1"), ("name", "Second")];
    let page = open(&world, "/screens/connect", &fields).await.expect(StatusCode::OK);
    let form = HtmlForm::of(page.text()).set("input/apiKey", "key-1");
    let ids = [send(&world, &form).await, send(&world, &form).await].map(|page| connection(&page)["id"].clone());
    assert!(ids[0] == ids[1] && ids[0] != own_id("app"), "{ids:?}");
    assert_eq!(world.connection(ids[0].as_str().unwrap()).await["name"], "Second");
}

#[tokio::test]
async fn only_the_integrations_origins_may_frame_a_page() {
    let (world, _provider) = world_of(SPEC, json!({})).await;
    let token = world.alice.as_str();
    let (connect, refresh) =
        ("/embed/integrations/app/connect", format!("/embed/connections/{}/refresh", own_id("app")));
    let form = HtmlForm::of(open_app(&world).await.text()).set("input/apiKey", "key-1");
    let pages = [
        open_app(&world).await,
        open(&world, "/screens/integrations/app/connect", &[]).await,
        Browser::default().get(&world, &format!("{connect}?token={token}&allowMultipleConnections=")).await,
        send(&world, &form).await,
        open(&world, "/screens/connection", &[("connectionId", "app")]).await,
        Browser::default().get(&world, &format!("{refresh}?token={token}")).await,
        send(&world, &form.press("1")).await,
    ];
    for page in pages {
        let page = page.expect(StatusCode::OK);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains(&format!("frame-ancestors {APP} {};", World::BASE_URI)), "{policy}");
        assert_eq!(script(&page)["origins"], json!([APP, World::BASE_URI]));
        assert_eq!(page.header("x-frame-options"), None);
        let referrer = if page.text().contains("<form") { "same-origin" } else { "no-referrer" };
        assert_eq!(page.header("referrer-policy"), Some(referrer));
    }
    let fields = [("token", token), ("integrationKey", "app")];
    for origin in ["https://evil.example", "https://app.example.evil.example", "http://app.example"] {
        let page = frame_of(origin).post(&world, "/screens/connect", &fields).await.expect(StatusCode::BAD_REQUEST);
        assert!(page.text().contains(origin) && page.text().contains("redirectUris"), "{}", page.text());
        assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    }
    frame_of("null").post(&world, "/screens/connect", &fields).await.expect(StatusCode::OK);
    // Nothing is known about these.
    for wrong in
        [&[][..], &[("token", token), ("integrationKey", "none")], &[("token", "no"), ("integrationKey", "app")]]
    {
        let page = frame_of(APP).post(&world, "/screens/connect", wrong).await;
        assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
        assert!(page.0.status().is_client_error());
    }
}

#[tokio::test]
async fn other_websites_cannot_submit_a_form_in_a_frame() {
    let (world, provider) = world_of(SPEC, json!({})).await;
    let form = HtmlForm::of(open_app(&world).await.text()).set("input/apiKey", "key-1");
    let (same, own) = (("sec-fetch-site", "same-origin"), ("origin", World::BASE_URI));
    let fields = form.fields();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for headers in [
        &[][..],
        &[("sec-fetch-site", "cross-site"), own],
        &[("sec-fetch-site", "cross-site"), ("origin", APP)],
        &[same, ("origin", APP)],
        &[same, ("origin", "null")],
        &[("origin", APP)],
    ] {
        let page = Browser::with(headers).post(&world, "/screens/connect", &fields).await;
        let page = page.expect(StatusCode::FORBIDDEN);
        assert!(page.text().contains("Another website sent this form"), "{headers:?}: {}", page.text());
    }
    assert!(provider.api_calls().is_empty());
    Browser::with(&[same, own]).post(&world, "/screens/connect", &fields).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_ticket_of_a_frame_expires_and_opens_nothing_else() {
    let (world, provider) = world_of(SPEC, json!({})).await;
    let form = HtmlForm::of(open_app(&world).await.text()).set("input/apiKey", "key-1");
    let ticket = form.control("formTicket").value().to_owned();
    let other = HtmlForm::of(open_app(&world).await.text()).control("formTicket").value().to_owned();
    let of_window = Browser::in_window().visit(&world, &link(&world, "")).await;
    let of_window = HtmlForm::of(of_window.text()).control("formTicket").value().to_owned();
    let [workspace, id, sealed] = [0, 1, 2].map(|part| ticket.split('.').nth(part).unwrap());
    let other_id = other.split('.').nth(1).unwrap();
    for wrong in [
        String::new(),
        "nonsense".into(),
        world.alice.clone(),
        of_window.clone(),
        format!("{workspace}.{other_id}.{sealed}"),
        format!("b3RoZXI.{id}.{sealed}"),
        format!("{workspace}.{id}.{}", &sealed[..sealed.len() - 2]),
        format!("{ticket}AA"),
    ] {
        let page = send(&world, &form.clone().set("formTicket", &wrong)).await.expect(StatusCode::BAD_REQUEST);
        assert!(page.text().contains("This page was open for too long"), "{wrong}: {}", page.text());
    }
    // It stands for no caller elsewhere, and continues no form in a window.
    world.send(Method::GET, "/connections", &ticket, None).await.expect(StatusCode::UNAUTHORIZED);
    let fields = [("token", ticket.as_str()), ("connectionId", "app")];
    frame_of(APP).post(&world, "/screens/connection", &fields).await.expect(StatusCode::UNAUTHORIZED);
    let page = Browser::in_window().post(&world, "/connect", &[("formTicket", &ticket), ("filled", "1")]).await;
    page.expect(StatusCode::BAD_REQUEST);
    assert!(provider.api_calls().is_empty());
    world.advance(899);
    send(&world, &form).await.expect(StatusCode::OK);
    world.advance(1);
    // The frame can still say so.
    let page = send(&world, &form).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("This page was open for too long") && page.text().contains("data-close"));
    assert_eq!(script(&page)["origins"][0], APP);
}

#[tokio::test]
async fn a_ticket_connects_only_what_it_was_made_for() {
    let (world, _provider) = world_of(SPEC, json!({})).await;
    let form = HtmlForm::of(open_app(&world).await.text()).set("input/apiKey", "key-1");
    let bob = world.token("bob").await;
    let fields = form.fields();
    let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.extend([("token", bob.as_str()), ("connectionId", "else"), ("integrationKey", "else"), ("name", "Else")]);
    let page = own_frame().post(&world, "/screens/connect", &fields).await.expect(StatusCode::OK);
    let connection = connection(&page);
    assert_eq!([&connection["id"], &connection["tenantId"]], [&json!(own_id("app")), &json!("alice")]);
    assert_ne!(connection["name"], "Else");
    // A deleted integration ends it.
    world.send(Method::DELETE, &format!("/connections/{}", own_id("app")), &world.alice, None).await;
    world.send(Method::DELETE, "/integrations/app", &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    send(&world, &form).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_provider_is_visited_in_a_window_and_the_frame_learns_it() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let page = open(&world, "/screens/integrations/crm/connect", &[("name", "Mine")]).await.expect(StatusCode::OK);
    assert_eq!(page.header("set-cookie"), None);
    assert_eq!(status(&world, &page).await, "pending");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("connect-src 'self';"), "{policy}");
    // Without scripts, the end user asks.
    let check = HtmlForm::of(page.text());
    let page = send(&world, &check).await.expect(StatusCode::OK);
    assert_eq!(script(&page)["pending"]["known"], "pending");

    let denied = leave(&world, &provider, &page, &[("error", "access_denied")]).await;
    denied.expect(StatusCode::BAD_REQUEST);
    assert_eq!(status(&world, &page).await, "error");
    let page = send(&world, &check).await.expect(StatusCode::OK);
    assert!(
        page.text().contains("role=\"alert\"") && page.text().contains("Access was not granted."),
        "{}",
        page.text()
    );
    assert_eq!(script(&page)["pending"]["known"], "error");
}

#[tokio::test]
async fn an_approved_connection_reaches_the_application() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let page = open(&world, "/screens/connect", &[("integrationKey", "crm"), ("name", "Mine")]).await;
    let check = HtmlForm::of(page.text());
    leave(&world, &provider, &page, &[]).await.expect(StatusCode::OK);
    assert_eq!(status(&world, &page).await, "success");
    for form in [check.clone(), check.clone(), HtmlForm::of(&page.text().replacen("<form", "<", 1))] {
        // Canceling comes too late.
        let form = if form.names().contains(&"cancel") { form.press("1") } else { form };
        let connection = connection(&send(&world, &form).await.expect(StatusCode::OK));
        assert_eq!([&connection["id"], &connection["name"]], [&json!(own_id("crm")), &json!("Mine")]);
    }
    // Reconnecting keeps the connection.
    let path = format!("/embed/connections/{}/refresh?token={}", own_id("crm"), world.alice);
    let page = own_frame().get(&world, &path).await.expect(StatusCode::OK);
    assert!(page.text().contains("Reconnect") && page.text().contains("action=\"../../../screens/connect\""));
    leave(&world, &provider, &page, &[]).await.expect(StatusCode::OK);
    let again = connection(&send(&world, &HtmlForm::of(page.text())).await);
    assert_eq!(again["id"], own_id("crm"));
}

#[tokio::test]
async fn canceling_or_choosing_ends_the_window_of_a_frame() {
    let (world, provider) = both_ways().await;
    for (button, is_canceled) in [("cancel", true), ("choose", false)] {
        let page = open_app(&world).await;
        let form = send(&world, &HtmlForm::of(page.text()).press("login")).await.expect(StatusCode::OK);
        let page = send(&world, &HtmlForm::of(form.text()).set("input/subdomain", "acme")).await;
        let page = page.expect(StatusCode::OK);
        let ticket = HtmlForm::of(page.text());
        let ticket = ticket.control("formTicket").value();
        let mut window = Browser::in_window();
        let authorize = window.get(&world, &link_of(&page)).await.location();
        assert!(authorize.contains("of=acme&"), "{authorize}");
        let end = own_frame().post(&world, "/screens/connect", &[("formTicket", ticket), (button, "1")]).await;
        let end = end.expect(StatusCode::OK);
        if is_canceled {
            assert_eq!(calls(&end), ["close"], "{}", end.text());
        } else {
            assert!(end.text().contains("Choose how you want to connect."), "{}", end.text());
        }
        assert_eq!(status(&world, &page).await, "cancelled");
        window.get(&world, &provider.approve(&authorize)).await.expect(StatusCode::CONFLICT);
    }
    assert_eq!(world.get("/connections").await.json()["items"], json!([]));
}

#[tokio::test]
async fn an_optional_input_left_empty_is_not_asked_for_again() {
    let (world, provider) = both_ways().await;
    let page = open_app(&world).await;
    let form = send(&world, &HtmlForm::of(page.text()).press("login")).await;
    let page = send(&world, &HtmlForm::of(form.text())).await.expect(StatusCode::OK);
    leave(&world, &provider, &page, &[]).await.expect(StatusCode::OK);
    assert_eq!(connection(&send(&world, &HtmlForm::of(page.text())).await)["authOptionKey"], "login");
}

#[tokio::test]
async fn a_reconnect_in_a_frame_keeps_the_stored_input() {
    let (world, provider) = both_ways().await;
    let page = open_app(&world).await;
    let form = send(&world, &HtmlForm::of(page.text()).press("login")).await;
    let page = send(&world, &HtmlForm::of(form.text()).set("input/subdomain", "acme")).await;
    leave(&world, &provider, &page, &[]).await.expect(StatusCode::OK);
    let page = open(&world, "/screens/connect", &[("connectionId", &own_id("app"))]).await.expect(StatusCode::OK);
    let authorize = Browser::in_window().get(&world, &link_of(&page)).await.location();
    assert!(authorize.contains("of=acme&"), "{authorize}");
}

#[tokio::test]
async fn nothing_connects_before_a_button_is_pressed() {
    let spec = "name: Desk\nparametersSchema: {type: object, properties: {apiUri: {type: string}}}\nauth:\n  \
                type: client-credentials\n  makeApiClient: {implementationType: mapping}\n  \
                test: {implementationType: rest-api-mapping}\n";
    let (world, provider) = world_of(spec, json!({})).await;
    let path = format!("/embed/integrations/app/connect?token={}", world.alice);
    let page = frame_of(APP).get(&world, &path).await.expect(StatusCode::OK);
    assert!(provider.api_calls().is_empty());
    let connection = connection(&send(&world, &HtmlForm::of(page.text())).await);
    assert_eq!(connection["id"], own_id("app"));
    assert_eq!(provider.api_calls().len(), 1);
}

#[tokio::test]
async fn a_connection_is_shown_with_its_state_and_reconnected() {
    let (world, _provider) = world_of(SPEC, json!({})).await;
    let form = HtmlForm::of(open_app(&world).await.text()).set("input/apiKey", "key-1");
    send(&world, &form).await.expect(StatusCode::OK);
    let show =
        async || open(&world, "/screens/connection", &[("connectionId", &own_id("app")), ("theme", "dark")]).await;
    let page = show().await.expect(StatusCode::OK);
    assert!(page.text().contains("<span class=\"badge good\">Connected</span>"), "{}", page.text());
    assert!(page.text().contains("data-close") && !page.text().contains("key-1"), "{}", page.text());
    assert!(page.text().contains("color-scheme: dark;"), "the theme");
    let page = send(&world, &HtmlForm::of(page.text())).await.expect(StatusCode::OK);
    assert!(page.text().contains("Reconnect Mailer") && page.text().contains("color-scheme: dark;"), "{}", page.text());
    let form = HtmlForm::of(page.text()).set("input/apiKey", "key-2");
    assert_eq!(connection(&send(&world, &form).await)["id"], own_id("app"));
    assert_eq!(world.credentials(&own_id("app")).await["apiKey"], "key-2");

    let disconnect = format!("/connections/{}/disconnect", own_id("app"));
    world.send(Method::POST, &disconnect, &world.alice, None).await.expect(StatusCode::NO_CONTENT);
    let page = show().await.expect(StatusCode::OK);
    assert!(page.text().contains("<span class=\"badge bad\">Reconnect needed</span>"), "{}", page.text());
    open(&world, "/screens/connection", &[]).await.expect(StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_screen_finds_its_integration_and_connection_by_every_name() {
    let (world, _provider) = world_of(SPEC, json!({})).await;
    let shows = async |fields: &[(&str, &str)], expected: &str| {
        let page = open(&world, "/screens/connect", fields).await.expect(StatusCode::OK);
        assert!(page.text().contains(expected), "{fields:?}: {}", page.text());
    };
    for name in ["integrationKey", "integrationId", "connectorKey"] {
        shows(&[(name, "app")], "Connect Mailer").await;
    }
    let body = json!({"integrationKey": "app", "key": "mine", "input": {"apiKey": "key-1"}});
    let created =
        world.send(Method::POST, "/connections", &world.alice, Some(&body)).await.expect(StatusCode::OK).json();
    let id = created["id"].as_str().unwrap();
    for (name, value) in [("connectionId", id), ("connectionKey", "mine"), ("connectionId", "app")] {
        shows(&[(name, value)], "Reconnect Mailer").await;
        let path = format!("/embed/connections/{value}/refresh?token={}", world.alice);
        let page = own_frame().get(&world, &path).await.expect(StatusCode::OK);
        assert!(page.text().contains("Reconnect Mailer"), "{value}: {}", page.text());
    }
    let second = json!({"connectorKey": "app"});
    world.send(Method::PUT, "/integrations/second", &world.admin, Some(&second)).await.expect(StatusCode::CREATED);
    for (fields, status, words) in [
        (&[("connectorKey", "app")][..], StatusCode::BAD_REQUEST, "several integrations"),
        (&[("connectorKey", "none")], StatusCode::NOT_FOUND, "there is no integration"),
        (&[("connectionKey", "none")], StatusCode::NOT_FOUND, "there is no connection"),
        (&[], StatusCode::BAD_REQUEST, "integrationKey` is missing"),
    ] {
        let page = open(&world, "/screens/connect", fields).await.expect(status);
        assert!(page.text().contains(words), "{fields:?}: {}", page.text());
    }
}

#[tokio::test]
async fn only_admins_override_parameters_in_a_frame() {
    let (world, provider) = both_ways().await;
    let elsewhere = MockProvider::start().await;
    let parameters = json!({"apiUri": elsewhere.uri("")}).to_string();
    let claims = Claims { is_admin: true, tenant_key: Some("alice".to_owned()), ..Claims::default() };
    let admin = world.sign("local", claims).await;
    let open = async |token: &str, option: &str| {
        let fields = [
            ("token", token),
            ("integrationKey", "app"),
            ("connectorParameters", &parameters),
            ("authOptionKey", option),
        ];
        frame_of(APP).post(&world, "/screens/connect", &fields).await
    };
    let page = open(&world.alice, "key").await.expect(StatusCode::FORBIDDEN);
    assert!(page.text().contains("requires an admin token"), "{}", page.text());
    let page = open(&admin, "key").await.expect(StatusCode::OK);
    connection(&send(&world, &HtmlForm::of(page.text()).set("input/apiKey", "k")).await);
    // A connection request takes no parameters.
    let page = open(&admin, "login").await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("connectorParameters"), "{}", page.text());
    assert_eq!((provider.api_calls().len(), elsewhere.api_calls().len()), (0, 1));
}
