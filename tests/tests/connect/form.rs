//! The form of `/connect`: when it is shown, what it accepts, and what it never shows.

use http::{Method, StatusCode};
use larder_tests::{Answer, Browser, HtmlForm, MockProvider, World};
use serde_json::{Value, json};

pub(crate) const SPEC: &str = "name: Mailer
parametersSchema:
  type: object
  properties: {apiUri: {type: string}}
  required: [apiUri]
auth:
  type: client-credentials
  helpUri: https://help.example/keys
  inputSchema:
    type: object
    properties:
      apiKey: {type: string, title: API key, description: Starts with key-., isSensitive: true, pattern: '^key-'}
      region: {type: string, title: Region, default: eu, enum: [eu, us]}
      port: {type: integer, title: Port, minimum: 1}
      sandbox: {type: boolean, title: Sandbox}
      contact: {type: string, title: Contact, format: email}
    required: [apiKey]
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
";
pub(crate) const CLIENT: (&str, &str) = (
    "auth/make-api-client.map.yml",
    "baseUri: {$var: connectorParameters.apiUri}\nheaders: {Authorization: {$concat: ['Key ', {$var: credentials.apiKey}]}}\n",
);
pub(crate) const TEST: (&str, &str) = ("auth/test.rest.yml", "path: /me\nmethod: GET\n");
const DONE: &str = "https%3A%2F%2Fapp.example%2Fdone";

/// A world with an integration `app` of a connector with this `spec.yml`.
pub(crate) async fn world_of(spec: &str, settings: Value) -> (World, MockProvider) {
    let (world, provider) =
        (World::with_connector(&[("spec.yml", spec), CLIENT, TEST]).await, MockProvider::start().await);
    let mut all = json!({"parameters": {"apiUri": provider.uri("")}});
    for (name, value) in settings.as_object().expect("an object") {
        all[name] = value.clone();
    }
    assert_eq!(world.integrate_app(all).await.0.status(), StatusCode::CREATED);
    (world, provider)
}

async fn world() -> (World, MockProvider) {
    world_of(SPEC, json!({})).await
}

/// The link for alice, with these further parameters.
pub(crate) fn link(world: &World, more: &str) -> String {
    format!("/connect?integrationKey=app&token={}{more}", world.alice)
}

fn own_id() -> String {
    connect::own_connection_id("local", "app", Some("alice"))
}

/// Opens the link in a window, where it must lead to a page with a form.
async fn open(world: &World, more: &str) -> (Browser, Answer) {
    let mut browser = Browser::in_window();
    let page = browser.visit(world, &link(world, more)).await.expect(StatusCode::OK);
    (browser, page)
}

pub(crate) async fn send(world: &World, browser: &mut Browser, form: &HtmlForm) -> Answer {
    let fields = form.fields();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post(world, "/connect", &fields).await
}

/// The error at a field, which its control refers to.
pub(crate) fn error_at(page: &Answer, name: &str) -> String {
    let form = HtmlForm::of(page.text());
    let control = form.control(name);
    assert_eq!(control.attribute("aria-invalid"), Some("true"), "{name}: {}", page.text());
    let ids = control.attribute("aria-describedby").expect("a description");
    let id = ids.split(' ').find(|id| id.ends_with("-error")).expect("an error");
    let (_, rest) = page.text().split_once(&format!("id=\"{id}\">")).expect("the error's element");
    rest.split_once('<').expect("an end").0.to_owned()
}

#[tokio::test]
async fn a_form_is_shown_only_in_a_window_when_input_is_missing() {
    let (world, _provider) = world().await;
    let window = ("sec-fetch-dest", "document");
    let (key, bad) = ("&input=%7B%22apiKey%22%3A%22key-1%22%7D", "&input=%7B%22apiKey%22%3A%22hunter2%22%7D");
    let part = "&input=%7B%22region%22%3A%22us%22%7D";
    for (headers, parameters, expected) in [
        (&[window][..], String::new(), "form"),
        (&[window], part.to_owned(), "form"),
        (&[window], format!("&redirectUri={DONE}"), "form"),
        (&[window], "&requestId=r1".to_owned(), "form"),
        (&[window], "&interaction=none".to_owned(), "Not connected"),
        (&[window], bad.to_owned(), "Not connected"),
        (&[window], format!("{bad}&redirectUri={DONE}"), "https://app.example/done?error="),
        (&[window], key.to_owned(), "Connected"),
        (&[("sec-fetch-dest", "iframe")], String::new(), "Not connected"),
        (&[("sec-fetch-dest", "iframe")], format!("&redirectUri={DONE}"), "https://app.example/done?error="),
        (&[("sec-fetch-dest", "iframe")], "&requestId=r1".to_owned(), "newConnectionFailure"),
        (&[("sec-fetch-dest", "empty")], String::new(), "Not connected"),
        (&[], String::new(), "Not connected"),
        (&[], key.to_owned(), "Connected"),
    ] {
        // Nothing is stored before the last step of each row.
        let tenant = format!("{expected}{}", parameters.len());
        let token = world.token(&tenant).await;
        let uri = format!("/connect?integrationKey=app&token={token}{parameters}");
        let answer = Browser::with(headers).visit(&world, &uri).await;
        let shown = answer.header("location").unwrap_or(answer.text());
        let is_form = shown.contains("<form");
        assert_eq!(is_form, expected == "form", "{headers:?} {parameters}: {shown}");
        assert!(is_form || shown.contains(expected), "{headers:?} {parameters}: {shown}");
    }
}

#[tokio::test]
async fn posted_requests_get_the_form_in_a_window_only() {
    let (world, _provider) = world().await;
    let payload = json!({"token": world.alice, "integrationKey": "app", "requestId": "r1"}).to_string();
    let page = Browser::in_window().post(&world, "/connection-popup", &[("payload", &payload)]).await;
    assert!(page.expect(StatusCode::OK).text().contains("<form"));
    let mut frame = Browser::with(&[("sec-fetch-dest", "iframe"), ("origin", World::BASE_URI)]);
    let page = frame.post(&world, "/connect", &[("payload", &payload)]).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("newConnectionFailure") && !page.text().contains("<form"), "{}", page.text());
}

#[tokio::test]
async fn a_rejected_key_is_shown_at_its_field_and_the_next_connects() {
    let (world, provider) = world().await;
    let (mut browser, page) = open(&world, "").await;
    assert!(page.text().contains("https://help.example/keys"));
    provider.set_test_status(401);
    let form = HtmlForm::of(page.text());
    assert_eq!(form.control("input/apiKey").attribute("autocomplete"), Some("new-password"));
    let form = form
        .set("input/apiKey", "key-wrong")
        .set("input/region", "us")
        .set("input/port", "25")
        .check("input/sandbox", true);
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(error_at(&page, "input/apiKey"), "Not accepted. Enter the whole value again.");
    assert!(page.text().contains("Mailer did not accept these details"), "{}", page.text());
    assert!(!page.text().contains("key-wrong"), "{}", page.text());
    world.get(&format!("/credentials?connectionId={}", own_id())).await.expect(StatusCode::NOT_FOUND);

    // Everything else is kept.
    provider.set_test_status(200);
    let form = HtmlForm::of(page.text()).set("input/apiKey", " key-right\u{200b}");
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    assert!(page.text().contains("Connected"), "{}", page.text());
    let expected = json!({"apiKey": "key-right", "region": "us", "port": 25, "sandbox": true});
    assert_eq!(world.credentials(&own_id()).await, expected);
    assert_eq!(world.get("/connections").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_wrong_client_secret_is_shown_at_its_field() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    let integrate = async |extra: Value| {
        let mut parameters = json!({"tokenUri": provider.uri("/token"), "testUri": provider.uri("/me")});
        parameters["tokenExtra"] = extra;
        let body = json!({"connectorKey": "client-credentials", "name": "Mailer", "parameters": parameters});
        let answer = world.send(Method::PUT, "/integrations/app", &world.admin, Some(&body)).await;
        assert!(answer.0.status().is_success(), "{}", answer.text());
    };
    let fill = |page: &Answer, secret: &str| {
        HtmlForm::of(page.text()).set("input/clientId", "c").set("input/clientSecret", secret)
    };
    integrate(json!({"audience": "a"})).await;
    let (mut browser, mut page) = open(&world, "").await;
    for (status, code) in [(400, "invalid_client"), (401, "invalid_client"), (401, "unauthorized_client")] {
        provider.script(status, &json!({ "error": code }));
        page = send(&world, &mut browser, &fill(&page, "wrong")).await.expect(StatusCode::BAD_REQUEST);
        assert_eq!(error_at(&page, "input/clientSecret"), "Not accepted. Enter the whole value again.");
        assert!(page.text().contains("Mailer did not accept these details"), "{}", page.text());
    }
    send(&world, &mut browser, &fill(&page, "right")).await.expect(StatusCode::OK);
    // Later, too, only the end user can correct it.
    provider.script(401, &json!({"error": "invalid_client"}));
    world.advance(3600);
    world.sweep().await;
    assert_eq!(world.connection(&own_id()).await["state"], "CLIENT_ACTION_REQUIRED");

    // The client of the integration is its admin's to correct.
    integrate(json!({"client_secret": "s"})).await;
    provider.script(401, &json!({"error": "invalid_client"}));
    let (mut browser, page) = open(&world, "").await;
    let page = send(&world, &mut browser, &fill(&page, "right")).await.expect(StatusCode::BAD_REQUEST);
    assert!(!page.text().contains("<form"), "{}", page.text());
}

/// A connector that wants only a part of an address.
const TEAM: &str = "name: Wiki
parametersSchema: {type: object, properties: {apiUri: {type: string}}}
auth:
  type: client-credentials
  inputSchema:
    type: object
    properties: {team: {type: string, title: Team, pattern: '^[a-z0-9-]+$', examples: [acme]}}
    required: [team]
  makeApiClient:
    mapping:
      baseUri: {$var: connectorParameters.apiUri}
      headers: {X-Site: {$tpl: {template: 'https://{team}.wiki.example', values: {team: {$var: credentials.team}}}}}
  test: {implementationType: rest-api-mapping}
";

#[tokio::test]
async fn a_pasted_address_is_reduced_to_the_part_that_is_wanted() {
    let (world, provider) = (World::with_connector(&[("spec.yml", TEAM), TEST]).await, MockProvider::start().await);
    world.integrate_app(json!({"parameters": {"apiUri": provider.uri("")}})).await.expect(StatusCode::CREATED);
    for (language, example, error) in [
        ("en", "For example: acme", "Enter only the part before .wiki.example, for example acme."),
        ("de", "Zum Beispiel: acme", "Geben Sie nur den Teil vor .wiki.example ein, zum Beispiel acme."),
        ("fr", "Par exemple : acme", "Saisissez seulement la partie avant .wiki.example, par exemple acme."),
    ] {
        let mut browser = Browser::in_window();
        browser.set_header("accept-language", language);
        let page = browser.visit(&world, &link(&world, "")).await.expect(StatusCode::OK);
        assert!(page.text().contains(&format!("-example\">{example}</p>")), "{}", page.text());
        let form = HtmlForm::of(page.text()).set("input/team", "https://wiki.evil.example");
        let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
        assert_eq!(error_at(&page, "input/team"), error);
        assert!(!page.text().contains(example), "{}", page.text());
    }
    let body = json!({"integrationKey": "app", "input": {"team": "wiki.example"}});
    let answer = world.send(Method::POST, "/connections", &world.alice, Some(&body)).await;
    let message = answer.expect(StatusCode::BAD_REQUEST).json()["message"].clone();
    assert_eq!(
        message,
        "the input is invalid: `team` must be only the part before `.wiki.example`, for example `acme`"
    );
    assert!(provider.api_calls().is_empty());

    let (mut browser, page) = open(&world, "").await;
    let form = HtmlForm::of(page.text()).set("input/team", " https://Acme.wiki.example/home?tab=1 ");
    send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    assert_eq!(world.credentials(&own_id()).await, json!({"team": "acme"}));
}

#[tokio::test]
async fn a_rejected_key_is_reported_in_the_end_users_language() {
    let (world, provider) = world().await;
    provider.set_test_status(401);
    for (language, title, detail) in [
        ("de", "Mailer hat diese Angaben nicht akzeptiert", "Der Anbieter hat diese Angaben abgelehnt (Antwort 401)."),
        (
            "fr",
            "Mailer n’a pas accepté ces informations",
            "Le fournisseur n’a pas accepté ces informations (réponse 401).",
        ),
    ] {
        let mut browser = Browser::in_window();
        browser.set_header("accept-language", language);
        let page = browser.visit(&world, &link(&world, "")).await.expect(StatusCode::OK);
        let form = HtmlForm::of(page.text()).set("input/apiKey", "key-wrong");
        let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
        assert!(page.text().contains(title) && page.text().contains(&format!("<p>{detail}</p>")), "{}", page.text());
    }
    // A provider's own words stay in English.
    provider.set_test_status(500);
    let (mut browser, page) = open(&world, "").await;
    let form = HtmlForm::of(page.text()).set("input/apiKey", "key-1");
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text().contains("<p lang=\"en\">The provider answered 500"), "{}", page.text());
}

#[tokio::test]
async fn end_users_read_no_words_for_developers() {
    let (world, _provider) = world().await;
    for (parameters, words) in
        [("integrationKey=nope", "GET /integrations"), ("integrationKey=app&input=%7B", "is not a JSON object")]
    {
        let uri = format!("/connect?{parameters}&token={}", world.alice);
        let page = Browser::in_window().get(&world, &uri).await;
        let (head, body) = page.text().split_once("</head>").expect("a page");
        assert!(head.contains("<meta name=\"larder-error\"") && head.contains(words), "{head}");
        assert!(body.contains("This link is not valid") && !body.contains(words) && !body.contains('`'), "{body}");
    }
}

#[tokio::test]
async fn a_reconnect_names_the_connection() {
    let (world, _provider) = world().await;
    let (mut browser, page) = open(&world, "&name=Staging").await;
    let form = HtmlForm::of(page.text()).set("input/apiKey", "key-1");
    send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    let (_, page) = open(&world, "").await;
    assert!(page.text().contains("Reconnect Mailer · Staging"), "{}", page.text());
}

#[tokio::test]
async fn a_provider_that_is_down_is_reported_above_the_form() {
    let (world, provider) = world().await;
    let (mut browser, page) = open(&world, "").await;
    provider.set_test_status(503);
    let form = HtmlForm::of(page.text()).set("input/apiKey", "key-1");
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text().contains("The connection could not be tested"), "{}", page.text());
    assert!(!page.text().contains("aria-invalid=") && page.text().contains("Enter this again."), "{}", page.text());
}

#[tokio::test]
async fn schema_errors_are_at_their_fields_in_three_languages() {
    let (world, provider) = world().await;
    for (languages, tag, expected) in [
        ("en", "en", ["Enter a value.", "Enter 1 or more.", "Enter an email address, such as name@example.com."]),
        (
            "de-AT,en;q=0.5",
            "de",
            [
                "Geben Sie einen Wert ein.",
                "Geben Sie mindestens 1 ein.",
                "Geben Sie eine E-Mail-Adresse ein, zum Beispiel name@example.com.",
            ],
        ),
        (
            "ja,fr;q=0.9",
            "fr",
            [
                "Saisissez une valeur.",
                "Saisissez 1 ou plus.",
                "Saisissez une adresse e-mail, par exemple name@example.com.",
            ],
        ),
    ] {
        let mut browser = Browser::with(&[
            ("sec-fetch-dest", "document"),
            ("sec-fetch-site", "same-origin"),
            ("origin", World::BASE_URI),
            ("accept-language", languages),
        ]);
        let page = browser.visit(&world, &link(&world, "")).await.expect(StatusCode::OK);
        let form =
            HtmlForm::of(page.text()).set("input/port", "0").set("input/contact", "me").check("input/sandbox", true);
        let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
        assert!(page.text().contains(&format!("<html lang=\"{tag}\">")), "{}", page.text());
        let errors = ["input/apiKey", "input/port", "input/contact"].map(|name| error_at(&page, name));
        assert_eq!(errors, expected);
        let again = HtmlForm::of(page.text());
        assert_eq!((again.control("input/port").value(), again.control("input/contact").value()), ("0", "me"));
        assert!(again.control("input/sandbox").attribute("checked").is_some());
        // The first error has the focus, and the summary leads to each.
        assert!(again.control("input/apiKey").attribute("autofocus").is_some());
        assert_eq!(page.text().matches(" autofocus").count(), 1);
        assert_eq!(page.text().matches("<li><a href=\"#field-").count(), 3);
    }
    assert!(provider.api_calls().is_empty());
}

#[tokio::test]
async fn the_token_leaves_the_address_bar() {
    let (world, _provider) = world().await;
    let answer = Browser::in_window().get(&world, &link(&world, "")).await.expect(StatusCode::FOUND);
    let location = answer.location();
    assert!(location.starts_with("connect?formTicket=") && !location.contains(&world.alice), "{location}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let page = Browser::in_window().get(&world, &format!("/{location}")).await.expect(StatusCode::OK);
    assert!(!page.text().contains(&world.alice) && !page.text().contains("eyJ"), "{}", page.text());
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.ends_with("frame-ancestors 'none'; form-action 'self'"), "{policy}");
}

#[tokio::test]
async fn a_ticket_expires_and_opens_nothing_else() {
    let (world, _provider) = world().await;
    let (mut browser, page) = open(&world, "").await;
    let form = HtmlForm::of(page.text()).set("input/apiKey", "key-1");
    let ticket = form.control("formTicket").value().to_owned();
    let (workspace, rest) = ticket.split_once('.').unwrap();
    let (id, sealed) = rest.split_once('.').unwrap();
    let other = HtmlForm::of(open(&world, "").await.1.text()).control("formTicket").value().to_owned();
    let other_id = other.split('.').nth(1).unwrap();
    for wrong in [
        String::new(),
        "nonsense".into(),
        world.alice.clone(),
        format!("{workspace}.{other_id}.{sealed}"),
        format!("b3RoZXI.{id}.{sealed}"),
        format!("{workspace}.{id}.{}", &sealed[..sealed.len() - 2]),
        format!("{ticket}AA"),
    ] {
        let page = send(&world, &mut browser, &form.clone().set("formTicket", &wrong)).await;
        let page = page.expect(StatusCode::BAD_REQUEST);
        assert!(page.text().contains("This page was open for too long"), "{wrong}: {}", page.text());
    }
    // It stands for no caller elsewhere.
    world.send(http::Method::GET, "/connections", &ticket, None).await.expect(StatusCode::UNAUTHORIZED);
    world.advance(1799);
    send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    world.advance(1);
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("This page was open for too long"), "{}", page.text());
}

#[tokio::test]
async fn forms_of_other_websites_are_rejected() {
    let (world, provider) = world().await;
    let (_, page) = open(&world, "").await;
    let form = HtmlForm::of(page.text()).set("input/apiKey", "key-1");
    let (site, origin) = (("sec-fetch-site", "same-origin"), ("origin", World::BASE_URI));
    for headers in [
        &[][..],
        &[site],
        &[origin],
        &[("sec-fetch-site", "cross-site"), origin],
        &[("sec-fetch-site", "same-site"), ("origin", "https://evil.larder.example")],
        &[("sec-fetch-site", "none"), origin],
        &[site, ("origin", "https://evil.example")],
        &[site, ("origin", "null")],
        &[site, ("origin", "https://larder.example.evil.example")],
    ] {
        let page = send(&world, &mut Browser::with(headers), &form).await.expect(StatusCode::FORBIDDEN);
        assert!(page.text().contains("Another website sent this form"), "{headers:?}: {}", page.text());
    }
    assert!(provider.api_calls().is_empty());
    send(&world, &mut Browser::with(&[site, origin]), &form).await.expect(StatusCode::OK);
}

pub(crate) const WAYS: &str = "name: Mailer
parametersSchema:
  type: object
  properties: {apiUri: {type: string}}
auth:
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
  options:
    key:
      type: client-credentials
      title: API key
      description: For machines.
      inputSchema: {type: object, properties: {apiKey: {type: string, title: API key}}, required: [apiKey]}
    login:
      type: client-credentials
      inputSchema:
        type: object
        properties:
          apiKey: {type: string, title: Password}
          account:
            type: object
            title: Account
            properties: {name: {type: string, title: Name}, admin: {type: boolean, title: Admin}}
            required: [name]
        required: [apiKey, account]
";

#[tokio::test]
async fn an_end_user_chooses_between_ways_to_connect() {
    let (world, _provider) = world_of(WAYS, json!({})).await;
    let (mut browser, page) = open(&world, &format!("&redirectUri={DONE}")).await;
    assert!(page.text().contains("For machines.") && page.text().contains("Enter access details"), "{}", page.text());
    let choice = HtmlForm::of(page.text());
    let form = send(&world, &mut browser, &choice.clone().press("key")).await.expect(StatusCode::OK);
    assert_eq!(HtmlForm::of(form.text()).control("authOptionKey").value(), "key");
    assert!(form.text().contains("Other ways to connect"), "{}", form.text());

    // Back to the choice, and to the other one.
    let again = browser.post(&world, "/connect", &[("formTicket", choice.control("formTicket").value())]).await;
    assert!(again.expect(StatusCode::OK).text().contains("Choose how you want to connect."));
    let form = send(&world, &mut browser, &choice.press("login")).await.expect(StatusCode::OK);
    let form = HtmlForm::of(form.text()).set("input/apiKey", "p").set("input/account/name", "");
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(error_at(&page, "input/account/name"), "Enter a value.");
    assert_eq!(page.text().matches("aria-invalid=").count(), 1, "{}", page.text());
    let form = HtmlForm::of(page.text()).set("input/apiKey", "p").set("input/account/name", "Ada");
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    let target = format!("url=https://app.example/done?connectionId={}", own_id());
    assert!(page.text().contains(&target), "{}", page.text());
    let expected = json!({"apiKey": "p", "account": {"name": "Ada", "admin": false}});
    assert_eq!(world.credentials(&own_id()).await, expected);
    // A reconnect keeps the way, and asks only for what is secret.
    let (_, page) = open(&world, "").await;
    let form = HtmlForm::of(page.text());
    assert_eq!(form.control("authOptionKey").value(), "login");
    assert_eq!((form.control("input/account/name").value(), form.control("input/apiKey").value()), ("Ada", ""));
    assert!(page.text().contains("Reconnect Mailer"), "{}", page.text());
}

#[tokio::test]
async fn hidden_and_unknown_ways_are_not_offered() {
    let (world, _provider) = world_of(WAYS, json!({"optionsConfig": {"login": {"disabled": true}}})).await;
    let (mut browser, page) = open(&world, "").await;
    let form = HtmlForm::of(page.text());
    assert_eq!(form.control("authOptionKey").value(), "key");
    let page = send(&world, &mut browser, &form.set("authOptionKey", "login").set("input/apiKey", "k")).await;
    assert!(page.expect(StatusCode::BAD_REQUEST).text().contains("no longer available"));
    let page = Browser::in_window().visit(&world, &link(&world, "&authOptionKey=login")).await;
    assert!(page.expect(StatusCode::BAD_REQUEST).text().contains("Not connected"));
}

#[tokio::test]
async fn canceling_reports_to_the_application() {
    let (world, _provider) = world().await;
    let (mut browser, page) = open(&world, &format!("&redirectUri={DONE}")).await;
    let page = send(&world, &mut browser, &HtmlForm::of(page.text()).press("1")).await.expect(StatusCode::OK);
    assert!(page.text().contains("url=https://app.example/done?error=the+end+user+canceled"), "{}", page.text());
    // Nobody waits for a result.
    let (_, page) = open(&world, "").await;
    assert!(!page.text().contains("Cancel"), "{}", page.text());
}

#[tokio::test]
async fn known_secrets_are_used_but_never_shown() {
    let (world, _provider) = world().await;
    // The email address is not given, so everything is there but nothing has to be asked.
    let given = "&input=%7B%22apiKey%22%3A%22key-1%22%2C%22region%22%3A%22us%22%7D";
    let page = Browser::in_window().visit(&world, &link(&world, given)).await.expect(StatusCode::OK);
    assert!(page.text().contains("Connected"), "{}", page.text());
    let (mut browser, page) = open(&world, "").await;
    assert!(!page.text().contains("key-1"), "{}", page.text());
    let form = HtmlForm::of(page.text());
    assert_eq!(form.control("input/apiKey").value(), "");
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(error_at(&page, "input/apiKey"), "Enter a value.");

    let spec = SPEC.replace("required: [apiKey]\n  make", "required: [apiKey, contact]\n  make");
    let (world, _provider) = world_of(&spec, json!({})).await;
    let (mut browser, page) = open(&world, given).await;
    assert!(!page.text().contains("key-1") && page.text().contains("already known"), "{}", page.text());
    let form = HtmlForm::of(page.text()).set("input/contact", "a");
    let page = send(&world, &mut browser, &form).await.expect(StatusCode::BAD_REQUEST);
    assert!(!page.text().contains("key-1"), "{}", page.text());
    let form = HtmlForm::of(page.text()).set("input/contact", "a@b.example").set("input/port", "");
    send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    let stored = world.credentials(&own_id()).await;
    assert_eq!(stored, json!({"apiKey": "key-1", "region": "us", "sandbox": false, "contact": "a@b.example"}));
}

pub(crate) const SUBDOMAIN: &str = "name: Desk
parametersSchema:
  type: object
  properties: {apiUri: {type: string}}
auth:
  type: oauth2
  inputSchema:
    type: object
    properties: {subdomain: {type: string, title: Subdomain, pattern: '^[a-z]+$'}}
    required: []
  getOAuthConfig: {implementationType: mapping}
  makeApiClient: {implementationType: mapping}
";
pub(crate) const OAUTH: (&str, &str) = (
    "auth/get-oauth-config.map.yml",
    "clientId: the-client\nclientSecret: the-client-secret\n\
     authorizeUri: {$concat: [{$var: connectorParameters.apiUri}, /authorize?of=, {$var: connectionParameters.subdomain}]}\n\
     tokenUri: {$concat: [{$var: connectorParameters.apiUri}, /token]}\n",
);

#[tokio::test]
async fn an_oauth_connector_asks_for_a_subdomain_then_leaves() {
    for required in ["required: []", "required: [subdomain]"] {
        let spec = SUBDOMAIN.replace("required: []", required);
        let (world, provider) =
            (World::with_connector(&[("spec.yml", &spec), OAUTH, CLIENT]).await, MockProvider::start().await);
        world.integrate_app(json!({"name": "Help desk", "parameters": {"apiUri": provider.uri("")}})).await;
        let (mut browser, page) = open(&world, "").await;
        assert!(page.text().contains("Next, Help desk asks you to sign in"), "{}", page.text());
        let form = HtmlForm::of(page.text());
        let page = send(&world, &mut browser, &form.clone().set("input/subdomain", "A cme")).await;
        let page = page.expect(StatusCode::BAD_REQUEST);
        assert_eq!(error_at(&page, "input/subdomain"), "This does not have the expected format.");
        assert_eq!(HtmlForm::of(page.text()).control("input/subdomain").value(), "A cme");

        let page = send(&world, &mut browser, &form.set("input/subdomain", "acme")).await.expect(StatusCode::OK);
        let (_, rest) = page.text().split_once("; url=").unwrap();
        let url = rest.split_once('"').unwrap().0.replace("&#38;", "&");
        assert!(url.starts_with(&provider.uri("/authorize?of=acme&")), "{url}");
        let done = browser.get(&world, &provider.approve(&url)).await.expect(StatusCode::OK);
        assert!(done.text().contains("Help desk is connected."), "{}", done.text());
        // A reconnect knows the subdomain.
        let url = browser.get(&world, &link(&world, "")).await.expect(StatusCode::FOUND).location();
        assert!(url.starts_with(&provider.uri("/authorize?of=acme&")), "{url}");
    }
}

#[tokio::test]
async fn submitting_twice_creates_one_connection() {
    let (world, _provider) = world().await;
    let (mut browser, page) = open(&world, "&allowMultipleConnections=1").await;
    let form = HtmlForm::of(page.text()).set("input/apiKey", "key-1");
    for count in [1, 1] {
        send(&world, &mut browser, &form).await.expect(StatusCode::OK);
        assert_eq!(world.get("/connections").await.json()["items"].as_array().unwrap().len(), count);
    }
    let (mut browser, page) = open(&world, "&allowMultipleConnections=1").await;
    send(&world, &mut browser, &HtmlForm::of(page.text()).set("input/apiKey", "key-2")).await.expect(StatusCode::OK);
    assert_eq!(world.get("/connections").await.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_optional_field_can_be_cleared_on_a_reconnect() {
    let (world, _provider) = world().await;
    let (mut browser, page) = open(&world, "").await;
    let form = HtmlForm::of(page.text()).set("input/apiKey", "key-1").set("input/port", "25");
    send(&world, &mut browser, &form).await.expect(StatusCode::OK);
    let (mut browser, page) = open(&world, "").await;
    let form = HtmlForm::of(page.text());
    assert_eq!(form.control("input/port").value(), "25");
    send(&world, &mut browser, &form.set("input/apiKey", "key-2").set("input/port", "")).await.expect(StatusCode::OK);
    let expected = json!({"apiKey": "key-2", "region": "eu", "sandbox": false});
    assert_eq!(world.credentials(&own_id()).await, expected);
}

#[tokio::test]
async fn nothing_that_anybody_sets_becomes_markup() {
    let evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";
    let quoted = json!(evil).to_string();
    let spec = format!(
        "name: {quoted}
logoUri: {quoted}
parametersSchema: {{type: object, properties: {{apiUri: {{type: string}}}}}}
auth:
  makeApiClient: {{implementationType: mapping}}
  test: {{implementationType: rest-api-mapping}}
  options:
    one:
      type: client-credentials
      title: {quoted}
      description: {quoted}
      helpUri: javascript:alert(1)
      inputSchema:
        type: object
        title: {quoted}
        properties:
          text: {{type: string, title: {quoted}, description: {quoted}, default: {quoted}, helpUri: 'javascript:alert(1)'}}
          choice: {{title: {quoted}, enum: [{quoted}, b]}}
          many: {{title: {quoted}, enum: [{quoted}, b, c, d, e]}}
          long: {{type: string, format: multiline, default: '</textarea>', title: {quoted}}}
          group: {{type: object, title: {quoted}, description: {quoted}, properties: {{{quoted}: {{type: boolean}}}}}}
          key: {{type: string, minLength: 90, errorMessage: {quoted}}}
    two: {{type: client-credentials, title: {quoted}}}
"
    );
    let (world, provider) =
        world_of(&spec, json!({"name": evil, "logoUri": "https://cdn.example/a\"b'.png?<x>"})).await;
    let check = |page: &Answer| {
        let text = page.text();
        for word in
            ["<script>alert", "<img src=x", "javascript:", "onerror=alert(1)>\"", "style=", "</textarea></textarea>"]
        {
            assert!(!text.contains(word), "{word}: {text}");
        }
        assert_eq!(text.matches("<img").count(), 1, "{text}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("; img-src https://cdn.example; ") && !policy.contains("script-src"), "{policy}");
    };
    let (mut browser, page) = open(&world, "").await;
    check(&page);
    let page = send(&world, &mut browser, &HtmlForm::of(page.text()).press("one")).await.expect(StatusCode::OK);
    check(&page);
    let form = HtmlForm::of(page.text()).set("input/text", evil).set("input/many", evil).set("input/long", evil);
    let page = send(&world, &mut browser, &form.clone().set("input/key", evil)).await.expect(StatusCode::BAD_REQUEST);
    check(&page);
    assert_eq!(HtmlForm::of(page.text()).control("input/long").value(), evil);
    provider.script_api("GET /me", 400, &json!({"error": evil, "message": evil}));
    let page = send(&world, &mut browser, &form.set("input/key", "")).await.expect(StatusCode::BAD_REQUEST);
    check(&page);
    assert!(page.text().contains("The connection could not be tested"), "{}", page.text());
}
