//! The pages on which admins set up integrations: who may, what a form changes, and that no secret leaves.

use http::{Method, StatusCode};
use larder::caller::Claims;
use larder::connection::Details;
use larder_tests::{Answer, Browser, HtmlForm, MockProvider, World};
use serde_json::{Value, json};

use super::credentials_page::{Visitor, has, lacks};
use super::manage::{CRM, store};

const SECRET: &str = "s3cret-of-the-client";

/// A world with the integration `crm`, whose client has a secret.
async fn world_with_crm() -> (World, MockProvider) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    let parameters = json!({"clientSecret": SECRET, "tokenHeaders": {"X-Extra": "s3cret-header"},
                            "extra": {"audience": "us", "apiToken": "s3cret-extra"}, "undeclared": "s3cret-undeclared"});
    world.integrate(&provider, parameters).await;
    (world, provider)
}

/// The form of the settings on a page.
fn settings(page: &Answer) -> HtmlForm {
    HtmlForm::of(page.text().split_once("<h2>Settings</h2>").expect("a form").1)
}

/// Submits the settings.
async fn submit(visitor: &mut Visitor, world: &World, path: &str, form: &HtmlForm) -> Answer {
    let fields = form.fields();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    visitor.browser.post(world, path, &fields).await
}

async fn stored(world: &World, key: &str) -> Value {
    let secrets = std::fs::read(world.folder().join("secrets.json")).unwrap();
    let secrets: Value = serde_json::from_slice(&secrets).unwrap();
    serde_json::from_str(secrets[format!("integrations/local/{key}")].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn tenants_and_other_workspaces_find_no_pages_of_integrations() {
    let (world, _provider) = world_with_crm().await;
    let mut alice = Visitor::tenant(&world, "alice").await;
    for path in ["/i", "/i/crm", "/i/none", "/new", "/new/oauth2", "/new/none"] {
        let page = alice.get(&world, path).await.expect(StatusCode::NOT_FOUND);
        has(&page, &["This page does not exist."]);
        lacks(&page, &["crm", "oauth2", "OAuth"]);
        Browser::in_window().get(&world, path).await.expect(StatusCode::UNAUTHORIZED);
    }
    for (path, action) in
        [("/i/crm", "save"), ("/i/crm", "try"), ("/i/crm", "delete"), ("/i/crm", ""), ("/new/oauth2", "save")]
    {
        let page = alice.post(&world, path, &[("do", action), ("details/name", "Mine")]).await;
        has(&page.expect(StatusCode::NOT_FOUND), &["This page does not exist."]);
    }
    alice.browser.set_header("accept-language", "de");
    has(&alice.get(&world, "/i").await, &["Diese Seite gibt es nicht."]);
    let elsewhere = world.sign("elsewhere", Claims { is_admin: true, ..Claims::default() }).await;
    let mut stranger = Visitor::with_link(&world, &elsewhere, json!({})).await;
    has(&stranger.get(&world, "/i").await.expect(StatusCode::OK), &["Set up your first integration"]);
    let page = stranger.get(&world, "/i/crm").await.expect(StatusCode::NOT_FOUND);
    has(&page, &["This integration does not exist, or was deleted."]);
    stranger.post(&world, "/i/crm", &[("do", "delete")]).await.expect(StatusCode::NOT_FOUND);
    let listed = world.get("/integrations/crm").await.expect(StatusCode::OK).json();
    assert_eq!(listed["name"], "crm");
}

#[tokio::test]
async fn a_session_changes_integrations_only_with_the_scope() {
    let (world, _provider) = world_with_crm().await;
    let scope = |scope: &str| Claims { is_admin: true, scope: Some(scope.to_owned()), ..Claims::default() };
    let token = world.sign("local", scope("connections:read integrations:read")).await;
    let mut reader = Visitor::with_link(&world, &token, json!({})).await;
    let page = reader.get(&world, "/i").await.expect(StatusCode::OK);
    has(&page, &["href=\"i/crm\""]);
    lacks(&page, &["href=\"new\""]);
    let page = reader.get(&world, "/i/crm").await.expect(StatusCode::OK);
    lacks(&page, &["<h2>Settings</h2>", "value=\"try\"", "ask=delete"]);
    has(&reader.get(&world, "/new/oauth2").await, &["Your session may not change integrations."]);
    for (path, action) in [("/i/crm", "save"), ("/i/crm", "try"), ("/i/crm", "delete"), ("/new/oauth2", "save")] {
        let page = reader.post(&world, path, &[("do", action), ("details/name", "Mine")]).await;
        has(&page.expect(StatusCode::FORBIDDEN), &["Your session does not allow this"]);
    }
    let token = world.sign("local", scope("connections:read")).await;
    let mut other = Visitor::with_link(&world, &token, json!({})).await;
    for path in ["/i", "/i/crm", "/new", "/new/oauth2"] {
        let page = other.get(&world, path).await.expect(StatusCode::FORBIDDEN);
        lacks(&page, &["href=\"./i\"", "href=\"../i\""]);
    }
    assert_eq!(world.get("/integrations/crm").await.json()["name"], "crm");
}

#[tokio::test]
async fn other_websites_change_no_integration() {
    let (world, _provider) = world_with_crm().await;
    let admin = Visitor::admin(&world).await;
    let fields = |token: &'static str| [("formToken", token), ("do", "delete"), ("details/name", "Theirs")];
    let mut foreign = admin.browser.clone();
    for path in ["/i/crm", "/new/oauth2"] {
        for token in ["", "x"] {
            foreign.post(&world, path, &fields(token)).await.expect(StatusCode::FORBIDDEN);
        }
    }
    foreign.set_header("sec-fetch-site", "cross-site");
    foreign.set_header("origin", "https://evil.example");
    for path in ["/i/crm", "/new/oauth2"] {
        let form = [("formToken", admin.form_token.as_str()), ("do", "delete"), ("details/name", "Theirs")];
        foreign.post(&world, path, &form).await.expect(StatusCode::FORBIDDEN);
        Browser::in_window().post(&world, path, &form).await.expect(StatusCode::UNAUTHORIZED);
    }
    let listed = world.get("/integrations").await.json();
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["items"][0]["name"]), (1, &json!("crm")));
    let mut admin = admin;
    for path in ["/i", "/i/crm", "/new", "/new/oauth2"] {
        let page = admin.get(&world, path).await.expect(StatusCode::OK);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"), "{policy}");
    }
}

#[tokio::test]
async fn secrets_are_shown_as_set_and_kept_when_left_empty() {
    let (world, provider) = world_with_crm().await;
    let before = stored(&world, "crm").await;
    let mut admin = Visitor::admin(&world).await;
    let page = admin.get(&world, "/i/crm").await.expect(StatusCode::OK);
    lacks(&page, &["s3cret"]);
    assert_eq!(page.text().matches("Set. Leave this empty to keep it.").count(), 3, "{}", page.text());
    let form = settings(&page);
    assert_eq!(form.control("input/clientSecret").value(), "");
    assert_eq!(form.control("input/tokenUri").value(), provider.parameters()["tokenUri"].as_str().unwrap());

    let named = form.set("details/name", "Our CRM").set("input/scopes", "read\nwrite").press("save");
    let saved = submit(&mut admin, &world, "/i/crm", &named).await.expect(StatusCode::FOUND).location();
    assert!(saved.starts_with("crm?done=saved."), "{saved}");
    let after = stored(&world, "crm").await;
    for name in ["clientSecret", "tokenHeaders", "extra", "undeclared", "tokenUri"] {
        assert_eq!(after["parameters"][name], before["parameters"][name], "{name}");
    }
    assert_eq!(after["parameters"]["scopes"], json!(["read", "write"]));
    let page = admin.get(&world, &format!("/i/{saved}")).await.expect(StatusCode::OK);
    has(&page, &["Saved", "<h1>Our CRM</h1>"]);

    let replaced = settings(&page).set("input/clientSecret", "another-s3cret").set("input/extra", "{}").press("save");
    submit(&mut admin, &world, "/i/crm", &replaced).await.expect(StatusCode::FOUND);
    let after = stored(&world, "crm").await;
    assert_eq!(
        (&after["parameters"]["clientSecret"], &after["parameters"]["extra"]),
        (&json!("another-s3cret"), &json!({}))
    );
    lacks(&admin.get(&world, "/i/crm").await, &["s3cret"]);
}

#[tokio::test]
async fn optional_secrets_are_removed_by_a_checkbox() {
    let (world, _provider) = world_with_crm().await;
    let mut admin = Visitor::admin(&world).await;
    let page = admin.get(&world, "/i/crm").await.expect(StatusCode::OK);
    let (secret, headers) = (("remove", "input/clientSecret"), ("remove", "input/tokenHeaders"));
    has(&page, &["name=\"remove\" value=\"input/clientSecret\">", "name=\"remove\" value=\"input/tokenHeaders\">"]);
    // One that was entered wins, and a form with errors is shown as it was sent.
    let form = settings(&page).set("input/clientSecret", "another-s3cret").press("save");
    let post = async |admin: &mut Visitor, form: &HtmlForm| {
        let fields = form.fields();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        admin.browser.post(&world, "/i/crm", &[&fields[..], &[secret, headers]].concat()).await
    };
    let wrong = post(&mut admin, &form.clone().set("input/tokenUri", "none")).await.expect(StatusCode::BAD_REQUEST);
    has(&wrong, &["name=\"remove\" value=\"input/tokenHeaders\" checked>"]);
    post(&mut admin, &form).await.expect(StatusCode::FOUND);
    let parameters = stored(&world, "crm").await["parameters"].clone();
    assert_eq!((&parameters["clientSecret"], parameters.get("tokenHeaders")), (&json!("another-s3cret"), None));
    assert_eq!(parameters["undeclared"], "s3cret-undeclared");
    lacks(&admin.get(&world, "/i/crm").await, &["value=\"input/tokenHeaders\""]);
}

#[tokio::test]
async fn a_link_cannot_make_a_page_claim_an_outcome() {
    let (world, _provider) = world_with_crm().await;
    let (mut admin, mut other) = (Visitor::admin(&world).await, Visitor::admin(&world).await);
    let form = settings(&admin.get(&world, "/i/crm").await).press("save");
    let saved = submit(&mut admin, &world, "/i/crm", &form).await.location();
    let banner = "class=\"banner good\"";
    has(&admin.get(&world, &format!("/i/{saved}")).await, &[banner]);
    lacks(&other.get(&world, &format!("/i/{saved}")).await.expect(StatusCode::OK), &[banner]);
    let elsewhere = saved.replacen("crm?", "i?on=crm&", 1);
    for path in ["/i/crm?done=saved", "/i/crm?done=created", "/i?done=deleted&on=crm", &format!("/{elsewhere}")] {
        lacks(&admin.get(&world, path).await.expect(StatusCode::OK), &[banner]);
    }
    world.advance(61);
    lacks(&admin.get(&world, &format!("/i/{saved}")).await.expect(StatusCode::OK), &[banner]);
}

#[tokio::test]
async fn errors_are_shown_at_their_fields_without_secrets() {
    let world = World::new().await;
    let mut admin = Visitor::admin(&world).await;
    let page = admin.get(&world, "/new/oauth2").await.expect(StatusCode::OK);
    has(&page, &["value=\"https://larder.example/oauth-callback\"", "more settings", "New integration: OAuth"]);
    let form = settings(&page).set("details/key", "a b").set("details/logoUri", "nowhere");
    let form = form.set("input/clientSecret", SECRET).set("input/tokenUri", "none").set("input/clientId", "my-id");
    let wrong = submit(&mut admin, &world, "/new/oauth2", &form.press("save")).await.expect(StatusCode::BAD_REQUEST);
    lacks(&wrong, &[SECRET]);
    has(
        &wrong,
        &["Please check your details", "value=\"my-id\"", "value=\"nowhere\"", "value=\"a b\"", "Enter this again."],
    );
    for (field, error) in [
        ("details/key", "Enter at most 100 letters, digits, dots, hyphens and underscores, not only dots."),
        ("details/logoUri", "Enter a full address, such as https://example.com."),
        ("input/tokenUri", "Enter a full address, such as https://example.com."),
        ("input/authorizeUri", "Enter a value."),
        ("input/testUri", "Enter a value."),
    ] {
        let control = settings(&wrong).control(field).clone();
        assert_eq!(control.attribute("aria-invalid"), Some("true"), "{field}");
        let id = control.attribute("id").unwrap();
        has(&wrong, &[&format!("id=\"{id}-error\">{error}</p>"), &format!("<a href=\"#{id}\">")]);
    }
    // Rules that only the API has are shown at their field, too.
    let form = settings(&wrong).set("details/key", "crm").set("details/logoUri", "");
    let form = form.set("input/tokenUri", "https://a.example/token").set("input/authorizeUri", "https://a.example/a");
    let form = form.set("input/testUri", "https://a.example/me").set("input/clientSecret", SECRET);
    let form = form.set("details/redirectUris", "https://*.example/").press("save");
    let wrong = submit(&mut admin, &world, "/new/oauth2", &form).await.expect(StatusCode::BAD_REQUEST);
    has(&wrong, &["no wildcards"]);
    assert_eq!(settings(&wrong).control("details/redirectUris").attribute("aria-invalid"), Some("true"));
    let form = settings(&wrong).set("details/redirectUris", "").set("input/clientSecret", SECRET).press("save");
    let created = submit(&mut admin, &world, "/new/oauth2", &form).await.expect(StatusCode::FOUND);
    let created = created.location();
    assert!(created.starts_with("../i/crm?done=created."), "{created}");
    has(&admin.get(&world, &created.replacen("..", "", 1)).await, &["The integration was created"]);
    let taken = submit(&mut admin, &world, "/new/oauth2", &form).await.expect(StatusCode::BAD_REQUEST);
    has(&taken, &["There is already an integration crm; change that one, or choose another key."]);
    assert_eq!(settings(&taken).control("details/key").attribute("aria-invalid"), Some("true"));
    assert_eq!(stored(&world, "crm").await["parameters"]["clientSecret"], SECRET);
}

#[tokio::test]
async fn an_integration_is_listed_with_its_state_and_not_deleted_while_used() {
    let (world, provider) = world_with_crm().await;
    store(&world, Some("alice"), "1", CRM, Details::default()).await;
    store(&world, Some("bob"), "1", CRM, Details::default()).await;
    let mut admin = Visitor::admin(&world).await;
    let page = admin.get(&world, "/i").await.expect(StatusCode::OK);
    has(&page, &["OAuth 2.0", "Ready", "class=\"count good\" href=\"./?integrationKey=crm\">2 credentials"]);
    has(&admin.get(&world, "/i?search=none").await, &["No results"]);
    has(&admin.get(&world, "/i?search=CRM").await, &["href=\"i/crm\""]);
    has(&admin.get(&world, "/i/crm?ask=delete").await, &["Delete this integration?"]);
    let refused = admin.post(&world, "/i/crm", &[("do", "delete")]).await.expect(StatusCode::CONFLICT);
    has(&refused, &["2 credentials use this integration, so it was not deleted", "href=\"../?integrationKey=crm\""]);
    let body = json!({"connectorKey": "oauth2", "name": "Unused", "parameters": provider.parameters()});
    world.send(Method::PUT, "/integrations/unused", &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    has(&admin.get(&world, "/i").await, &["Unused", "0 credentials"]);
    let deleted = admin.post(&world, "/i/unused", &[("do", "delete")]).await.expect(StatusCode::FOUND);
    let page = admin.get(&world, &deleted.location().replacen("..", "", 1)).await;
    has(&page, &["The integration was deleted"]);
    lacks(&page, &["Unused"]);
    admin.post(&world, "/i/unused", &[("do", "delete")]).await.expect(StatusCode::NOT_FOUND);
    admin.post(&world, "/i/crm", &[("do", "explode")]).await.expect(StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_connector_is_found_by_name_alias_and_category() {
    let world = World::new().await;
    let mut admin = Visitor::admin(&world).await;
    let first = admin.get(&world, "/new").await.expect(StatusCode::OK);
    has(
        &first,
        &["For any service", "href=\"new/oauth2\"", "href=\"new/api-key\"", "<option value=\"crm\">CRM</option>"],
    );
    let found = admin.get(&world, "/new?search=hUBsp").await.expect(StatusCode::OK);
    has(&found, &["href=\"new/hubspot\"", "value=\"hUBsp\""]);
    assert_eq!(found.text().matches("class=\"way\"").count(), 1);
    let listed = world.get("/connectors?limit=1000").await.json();
    let items = listed["items"].as_array().unwrap();
    let with_alias = items.iter().find(|item| item["aliases"].as_array().is_some_and(|it| !it.is_empty())).unwrap();
    let alias =
        form_urlencoded::byte_serialize(with_alias["aliases"][0].as_str().unwrap().as_bytes()).collect::<String>();
    let found = admin.get(&world, &format!("/new?search={alias}")).await.expect(StatusCode::OK);
    has(&found, &[&format!("href=\"new/{}\"", with_alias["key"].as_str().unwrap())]);
    let in_category =
        items.iter().filter(|it| it["categories"].as_array().is_some_and(|it| it.contains(&json!("crm"))));
    let found = admin.get(&world, "/new?category=crm").await.expect(StatusCode::OK);
    assert_eq!(found.text().matches("class=\"way\"").count(), in_category.count().min(60));
    has(&found, &["<option value=\"crm\" selected>"]);
    has(&admin.get(&world, "/new?search=no-such-connector").await, &["No results"]);
    has(&admin.get(&world, "/new?search=hubspto").await, &["Did you mean one of these?", "href=\"new/hubspot\""]);
    // All pages together have each connector once.
    let (mut path, mut keys) = ("/new".to_owned(), Vec::new());
    loop {
        let page = admin.get(&world, &path).await.expect(StatusCode::OK);
        let list = page.text().rsplit_once("<ul class=\"list choices\"").unwrap().1;
        keys.extend(list.split("href=\"new/").skip(1).map(|rest| rest.split_once('"').unwrap().0.to_owned()));
        let Some((_, next)) = page.text().split_once("rel=\"next\" href=\"") else { break };
        path = format!("/{}", next.split_once('"').unwrap().0.replace("&#38;", "&"));
    }
    let expected: Vec<_> = items.iter().map(|item| item["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys, expected);
    let page = admin.get(&world, "/new/no-such-connector").await.expect(StatusCode::NOT_FOUND);
    has(&page, &["This connector does not exist."]);
}

#[tokio::test]
async fn a_try_connects_and_comes_back_with_the_result() {
    let (world, provider) = world_with_crm().await;
    let mut admin = Visitor::admin(&world).await;
    let connect = async |admin: &mut Visitor| {
        let onward = admin.post(&world, "/i/crm", &[("do", "try")]).await.expect(StatusCode::OK);
        let (_, rest) = onward.text().split_once("../connect?connectionRequestId=").expect("a link");
        let link = format!("/connect?connectionRequestId={}", rest.split_once('"').unwrap().0);
        admin.get(&world, &link).await.location()
    };
    let authorize = connect(&mut admin).await;
    let back = admin.get(&world, &provider.approve(&authorize)).await.location();
    assert!(back.starts_with(&format!("{}/i/crm?connectionId=", World::BASE_URI)), "{back}");
    let page = admin.get(&world, &back).await.expect(StatusCode::OK);
    has(&page, &["It works: an account was connected", "href=\"../c/"]);
    let authorize = connect(&mut admin).await;
    let denied = provider.come_back(&authorize, &[("error", "access_denied"), ("error_description", "not today")]);
    let back = admin.get(&world, &denied).await.location();
    has(&admin.get(&world, &back).await.expect(StatusCode::OK), &["Not connected", "not today"]);
    // Words in the URL show nothing.
    lacks(&admin.get(&world, "/i/crm?error=Call+us&requestId=x").await, &["Call us", "Not connected"]);
}

const FILES: &[(&str, &str)] = &[
    (
        "spec.yml",
        "name: \"<b>App</b>\"
categories: [crm, \"<i>x</i>\"]
quirks: [\"<img src=x onerror=alert(1)>\", It is slow.]
evidence: docs
apiDocsUri: https://docs.app.example/
setup: {registerUri: \"javascript:alert(1)\", developer: \"<script>alert(1)</script>\", endUser: Copy the key., source: https://app.example/help, date: 2026-11-29}
parametersSchema:
  type: object
  properties:
    region: {type: string, title: \"<u>Region</u>\", description: \"<u>Where</u>\", enum: [eu, us]}
    pin: {type: integer, title: PIN, isSensitive: true}
    account: {type: object, title: Account, properties: {id: {type: string, title: Number}, password: {type: string, title: Password}}}
auth:
  type: client-credentials
  inputSchema: {type: object, properties: {apiKey: {type: string, title: API key}}, required: [apiKey]}
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
  options:
    key: {title: \"<b>Key</b>\"}
    other: {title: Other}
",
    ),
    ("auth/make-api-client.map.yml", "baseUri: https://api.app.example\n"),
    ("auth/test.rest.yml", "path: /me\nmethod: GET\n"),
];

#[tokio::test]
async fn ways_to_connect_are_offered_or_not() {
    let world = World::with_connector(FILES).await;
    let body = json!({"parameters": {"pin": 1234, "account": {"id": "7", "password": "s3cret"}},
                      "optionsConfig": {"other": {"parameters": {"region": "us"}}}});
    world.integrate_app(body).await.expect(StatusCode::CREATED);
    let mut admin = Visitor::admin(&world).await;
    let page = admin.get(&world, "/i/app").await.expect(StatusCode::OK);
    lacks(&page, &["1234", "s3cret"]);
    assert_eq!(page.text().matches("Set. Leave this empty to keep it.").count(), 2);
    let form = settings(&page).press("save");
    let fields = form.fields();
    let without: Vec<_> = fields.iter().filter(|(_, value)| value != "other").collect();
    let without: Vec<_> = without.iter().map(|(name, value)| (*name, value.as_str())).collect();
    admin.browser.post(&world, "/i/app", &without).await.expect(StatusCode::FOUND);
    let after = stored(&world, "app").await;
    assert_eq!(after["options"]["other"], json!({"disabled": true, "parameters": {"region": "us"}}));
    assert_eq!(after["parameters"], json!({"pin": 1234, "account": {"id": "7", "password": "s3cret"}}));
    let listed = world.get("/integrations/app").await.json();
    assert_eq!(listed["authOptions"].as_array().unwrap().len(), 1);
    let page = admin.get(&world, "/i/app").await;
    assert_eq!(page.text().matches("name=\"option\"").count(), 2);
    assert_eq!(page.text().matches("value=\"key\" checked").count(), 1);
    assert_eq!(page.text().matches("value=\"other\" checked").count(), 0);
}

#[tokio::test]
async fn nothing_that_anybody_sets_becomes_markup_on_these_pages() {
    const EVIL: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";
    let world = World::with_connector(FILES).await;
    world.integrate_app(json!({"name": EVIL, "description": EVIL, "parameters": {"region": "eu"}})).await;
    let mut admin = Visitor::admin(&world).await;
    let search = form_urlencoded::byte_serialize(EVIL.as_bytes()).collect::<String>();
    let wrong = [("do", "save"), ("details/name", EVIL), ("details/redirectUris", EVIL), ("input/region", EVIL)];
    let pages = [
        admin.get(&world, "/i").await.expect(StatusCode::OK),
        admin.get(&world, &format!("/i?search={search}&done={search}")).await,
        admin.get(&world, "/i/app").await.expect(StatusCode::OK),
        admin.get(&world, &format!("/i/{search}")).await.expect(StatusCode::NOT_FOUND),
        admin.get(&world, "/new?search=app").await.expect(StatusCode::OK),
        admin.get(&world, &format!("/new?search={search}&category={search}")).await,
        admin.get(&world, "/new/app").await.expect(StatusCode::OK),
        admin.post(&world, "/i/app", &wrong).await.expect(StatusCode::BAD_REQUEST),
        admin.post(&world, "/new/app", &wrong).await.expect(StatusCode::BAD_REQUEST),
    ];
    for page in &pages {
        for markup in ["<img src=x", "<script>alert", "<b>App", "<b>Key", "<i>x", "<u>", "href=\"javascript"] {
            assert!(!page.text().contains(markup), "{markup}: {}", page.text());
        }
    }
    has(&pages[2], &["&#60;script&#62;alert(1)", "Copy the key.", "It is slow.", "href=\"https://app.example/help\""]);
    has(&pages[2], &["Made from the provider&#39;s documentation.", "read on 2026-11-29"]);
}
