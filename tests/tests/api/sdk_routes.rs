//! The routes that the official SDKs call before they connect: integrations and connectors for tenants, ways to connect, the
//! caller itself, and all of it from web pages on other origins.

use futures::future::join_all;
use http::{HeaderValue, Method, StatusCode};
use larder::caller::Claims;
use larder::cors::AllowedOrigins;
use larder::dynamodb::{Integration, ParameterChanges};
use larder::environment::Settings;
use larder_tests::{Answer, MockProvider, World};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// The value of a parameter, which no answer may contain.
const SECRET: &str = "marker-of-a-parameter";

const KEYED: &str = "name: App
logoUri: https://app.example/app.png
parametersSchema: {type: object, properties: {apiUri: {type: string}}}
auth:
  type: client-credentials
  title: With a key
  inputSchema: {type: object, properties: {apiKey: {type: string}}, required: [apiKey]}
  makeApiClient: {mapping: {baseUri: 'https://a.example'}}
";

const OPTIONS: &str = "name: App
auth:
  ui: {helpUri: 'https://app.example/help'}
  makeApiClient: {mapping: {baseUri: 'https://a.example'}}
  options:
    key:
      type: client-credentials
      title: With a key
      parametersSchema: {type: object, properties: {realm: {type: string}}}
      inputSchema: {type: object, properties: {apiKey: {type: string}}, required: [apiKey]}
    login:
      type: client-credentials
      enabled: {$eval: {$var: connectorParameters.realm}, isNotEmpty: true}
      inputSchema: {type: object, properties: {user: {type: string}}, required: [user]}
";

/// Sends a request as a script of a web page on another origin.
async fn scripted(world: &World, method: Method, uri: &str, token: Option<&str>, origin: &'static str) -> Answer {
    let mut request = http::Request::builder().method(method).uri(uri).header("origin", origin);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    Answer(world.bundle.handle(request.body(Default::default()).unwrap()).await)
}

async fn get(world: &World, token: &str, uri: &str) -> Answer {
    world.send(Method::GET, uri, token, None).await
}

async fn post(world: &World, token: &str, uri: &str, body: Value) -> Answer {
    world.send(Method::POST, uri, token, Some(&body)).await
}

async fn patch(world: &World, token: &str, uri: &str, body: Value) -> Answer {
    world.send(Method::PATCH, uri, token, Some(&body)).await
}

fn message(answer: &Answer) -> String {
    answer.json()["message"].as_str().unwrap().to_owned()
}

fn members(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn keys(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap()).collect()
}

/// A world with an integration `app` of this connector.
async fn app_world(spec: &str) -> World {
    let world = World::with_connector(&[("spec.yml", spec)]).await;
    let settings = json!({"name": "The app", "description": "ours", "meta": {"a": 1},
                          "parameters": {"apiUri": SECRET}, "optionsConfig": {}});
    world.integrate_app(settings).await.expect(StatusCode::CREATED);
    world
}

#[tokio::test]
async fn scripts_of_any_origin_can_call_json_routes() {
    let world = World::new().await;
    let origin = "https://app.example";
    for (uri, token, status) in [
        ("/connections", Some(&world.alice), StatusCode::OK),
        ("/connections/none", Some(&world.alice), StatusCode::NOT_FOUND),
        ("/credentials?connectionId=none", Some(&world.alice), StatusCode::NOT_FOUND),
        ("/connectors", Some(&world.alice), StatusCode::FORBIDDEN),
        ("/connection-options", Some(&world.alice), StatusCode::METHOD_NOT_ALLOWED),
        ("/connections?limit=0", Some(&world.alice), StatusCode::BAD_REQUEST),
        ("/flows", Some(&world.alice), StatusCode::NOT_FOUND),
        ("/connections", None, StatusCode::UNAUTHORIZED),
        ("/credentials?connectionId=none", None, StatusCode::UNAUTHORIZED),
    ] {
        let answer = scripted(&world, Method::GET, uri, token.map(String::as_str), origin).await.expect(status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{uri}");
        assert_eq!(answer.header("access-control-expose-headers"), Some("retry-after"), "{uri}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{uri}");
    }
    for method in [Method::PUT, Method::DELETE] {
        let answer = scripted(&world, method, "/credentials?connectionId=none", None, origin).await;
        assert_eq!(answer.expect(StatusCode::UNAUTHORIZED).header("access-control-allow-origin"), Some("*"));
    }
}

#[tokio::test]
async fn preflight_requests_are_answered_without_a_token() {
    let world = World::new().await;
    for uri in ["/connections", "/connections/a/test", "/credentials", "/integrations/connect", "/self", "/flows"] {
        let answer = scripted(&world, Method::OPTIONS, uri, None, "https://app.example").await;
        let answer = answer.expect(StatusCode::NO_CONTENT);
        let header = |name: &str| answer.header(&format!("access-control-{name}")).unwrap_or_default().to_owned();
        assert_eq!((header("allow-origin"), header("allow-credentials")), ("*".into(), String::new()), "{uri}");
        assert_eq!(header("allow-methods"), "GET, POST, PUT, PATCH, DELETE", "{uri}");
        for name in ["authorization", "content-type", "membrane-api-version"] {
            assert!(header("allow-headers").contains(name), "{uri}: {name}");
        }
        assert!(header("max-age").parse::<u32>().is_ok(), "{uri}");
    }
    for uri in ["/connect", "/connection-popup", "/oauth-callback", "//connect/"] {
        let answer = scripted(&world, Method::OPTIONS, uri, None, "https://app.example").await;
        let answer = answer.expect(StatusCode::NOT_FOUND);
        assert!(answer.0.headers().keys().all(|name| !name.as_str().starts_with("access-control-")), "{uri}");
    }
}

#[tokio::test]
async fn only_listed_origins_are_allowed_if_there_is_a_list() {
    let listed = vec![HeaderValue::from_static("https://app.example")];
    let cors_origins = AllowedOrigins::Only(listed);
    let (world, _aws) = World::deployed(|settings| Settings { cors_origins, ..settings }).await;
    for (origin, expected) in [("https://app.example", Some("https://app.example")), ("https://evil.example", None)] {
        for (method, uri) in [
            (Method::GET, "/self"),
            (Method::GET, "/credentials"),
            (Method::GET, "/connect.js"),
            (Method::OPTIONS, "/self"),
        ] {
            let answer = scripted(&world, method, uri, Some(&world.alice), origin).await;
            assert_eq!(answer.header("access-control-allow-origin"), expected, "{origin} {uri}");
            assert_eq!(answer.header("vary"), Some("origin"), "{origin} {uri}");
        }
    }
}

#[tokio::test]
async fn tenants_see_what_they_need_to_connect_and_no_settings() {
    let world = app_world(KEYED).await;
    let shown = get(&world, &world.alice, "/integrations/app").await.expect(StatusCode::OK);
    let expected = json!({
        "id": "app", "key": "app", "name": "The app", "logoUri": "https://app.example/app.png",
        "connectorId": "app", "connectorKey": "app", "authType": "client-credentials", "authOptions": [],
        "state": "READY", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
    });
    assert_eq!(shown.json(), expected);
    let listed = get(&world, &world.alice, "/integrations?limit=1000&cursor=0&includeArchived=true&connectors=0").await;
    assert_eq!(listed.expect(StatusCode::OK).json(), json!({ "items": [expected] }));
    let of_admin = world.get("/integrations/app").await.json();
    let settings = json!({
        "description": "ours", "meta": {"a": 1}, "effectiveOAuthCallbackUri": "https://larder.example/oauth-callback",
        "redirectUris": ["https://app.example/done"], "hasParameters": true,
    });
    let mut all = expected;
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    assert_eq!(of_admin, all);
    for token in [&world.alice, &world.admin] {
        for uri in ["/integrations", "/integrations/app", "/integrations/app/connector-spec"] {
            assert!(!get(&world, token, uri).await.text().contains(SECRET), "{uri}");
        }
        let options = post(&world, token, "/connection-options", json!({"integrationKey": "app"})).await;
        assert!(!options.text().contains(SECRET), "{}", options.text());
    }
    get(&world, &world.alice, "/integrations/none").await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_integration_is_shown_with_the_callers_own_connection() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    world.connect_one_more(&provider).await;
    let list = get(&world, &world.alice, "/connections").await.json();
    let first = &list["items"][0];
    let both = world.sign("local", Claims { is_admin: true, tenant_key: Some("alice".into()), ..Claims::default() });
    for (token, expected) in [
        (world.alice.clone(), Some(first)),
        (both.await, Some(first)),
        (world.token("bob").await, None),
        (world.admin.clone(), None),
    ] {
        let one = get(&world, &token, "/integrations/crm").await.json();
        let all = get(&world, &token, "/integrations").await.json();
        assert_eq!((one.get("connection"), all["items"][0].get("connection")), (expected, expected));
    }
    for connection in list["items"].as_array().unwrap() {
        let uri = format!("/connections/{}", connection["id"].as_str().unwrap());
        world.send(Method::DELETE, &uri, &world.alice, None).await.expect(StatusCode::NO_CONTENT);
    }
    let shown = get(&world, &world.alice, "/integrations/crm").await.json();
    assert!(shown.get("connection").is_none(), "{shown}, archived {id}");
}

#[tokio::test]
async fn integrations_are_listed_by_page_and_searched() {
    let world = World::new().await;
    for (key, name) in
        [("erp", json!(null)), ("crm", json!("Sales")), ("zoo", json!("Animals")), ("crm-2", json!(null))]
    {
        let body = json!({"key": key, "name": name, "connectorKey": "oauth2"});
        post(&world, &world.admin, "/integrations", body).await.expect(StatusCode::CREATED);
    }
    for token in [&world.alice, &world.admin] {
        let list = async |query: String| get(&world, token, &format!("/integrations?{query}")).await;
        for (query, expected) in [
            ("", &["crm", "crm-2", "erp", "zoo"][..]),
            ("search=CRM", &["crm", "crm-2"]),
            ("search=anim", &["zoo"]),
            ("search=oauth2&limit=4", &["crm", "crm-2", "erp", "zoo"]),
            ("search=none", &[]),
        ] {
            let page = list(query.to_owned()).await.expect(StatusCode::OK).json();
            assert_eq!((keys(&page["items"]), page.get("cursor")), (expected.to_vec(), None), "{query}");
        }
        let (mut seen, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let page = list(format!("limit=3&search=r&cursor={cursor}")).await.expect(StatusCode::OK).json();
            seen.push(keys(&page["items"]).join(" "));
            let Some(next) = page["cursor"].as_str() else { break };
            cursor = next.to_owned();
        }
        assert_eq!(seen, ["crm crm-2 erp"], "`r` is in three keys");
        let page = list("limit=2".to_owned()).await.json();
        let rest = list(format!("limit=2&cursor={}", page["cursor"].as_str().unwrap())).await.json();
        assert_eq!([keys(&page["items"]), keys(&rest["items"])], [["crm", "crm-2"], ["erp", "zoo"]]);
        assert!(rest.get("cursor").is_none(), "{rest}");
        for (query, name) in [("cursor=zzz", "`cursor`"), ("limit=0", "`limit`"), ("limit=1001", "`limit`")] {
            let refusal = list(query.to_owned()).await.expect(StatusCode::BAD_REQUEST);
            assert!(message(&refusal).contains(name), "{query}");
        }
    }
}

#[tokio::test]
async fn an_integration_is_created_only_under_a_free_key() {
    let world = World::new().await;
    let create = |body: Value| {
        let world = &world;
        async move { post(world, &world.admin, "/integrations", body).await }
    };
    let made = create(json!({"name": "Our CRM", "connectorId": "oauth2"})).await.expect(StatusCode::CREATED).json();
    assert_eq!((&made["id"], &made["key"], &made["name"]), (&json!("our-crm"), &json!("our-crm"), &json!("Our CRM")));
    let taken = create(json!({"key": "our-crm", "connectorKey": "demo"})).await.expect(StatusCode::CONFLICT).json();
    assert_eq!((&taken["key"], &taken["type"]), (&json!("already_exists"), &json!("bad_request")));
    assert_eq!(world.get("/integrations/our-crm").await.json(), made);
    assert_eq!(create(json!({"connectorKey": "oauth2"})).await.expect(StatusCode::CREATED).json()["key"], "oauth2");
    for (body, hint) in [
        (json!({"name": "x"}), "`connectorKey` is missing"),
        (json!({}), "`connectorKey` is missing"),
        (json!({"key": "a/b", "connectorKey": "oauth2"}), "an integration's key"),
        (json!({"key": "a", "connectorKey": "oauth2", "connectorId": "demo"}), "`connectorId`"),
        (json!({"key": "a", "connectorKey": "oauth2", "logoUri": "javascript:alert(1)"}), "`logoUri`"),
        (json!({"key": "a", "connectorKey": "oauth2", "meta": {"m": "x".repeat(16 * 1024)}}), "`meta`"),
        (json!({"key": "a", "connectorKey": "oauth2", "baseUri": "https://a.example"}), "unknown field `baseUri`"),
    ] {
        let refusal = create(body).await.expect(StatusCode::BAD_REQUEST);
        assert!(message(&refusal).contains(hint), "{hint}: {}", refusal.text());
    }
    world.get("/integrations/a").await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn one_of_two_simultaneous_creations_wins_with_its_parameters() {
    let world = World::new().await;
    let create = |number: usize| {
        let parameters = json!({"clientId": number.to_string(), "clientSecret": "s", "authorizeUri": "https://a.example",
                                "tokenUri": "https://a.example", "testUri": "https://a.example"});
        let body =
            json!({"key": "crm", "name": number.to_string(), "connectorKey": "oauth2", "parameters": parameters});
        let world = &world;
        async move { post(world, &world.admin, "/integrations", body).await }
    };
    let answers = join_all((0..4).map(create)).await;
    let made: Vec<_> = answers.iter().filter(|answer| answer.0.status() == StatusCode::CREATED).collect();
    let taken = answers.iter().filter(|answer| answer.0.status() == StatusCode::CONFLICT).count();
    assert_eq!((made.len(), taken), (1, 3));
    let integrations = world.bundle.environment().integrations();
    let stored = integrations.get("local", "crm").await.unwrap().unwrap();
    let parameters = integrations.parameters(&stored).await.unwrap().parameters;
    assert_eq!(made[0].json()["name"], parameters["clientId"]);
}

#[tokio::test]
async fn a_patch_of_an_integration_changes_what_it_names() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    world.advance(60);
    let before = world.get("/integrations/crm").await.json();
    let logo = "https://app.example/crm.png";
    let body = json!({"name": "Sales", "logoUri": logo, "description": "ours", "meta": {"a": [1]}, "key": "crm"});
    let changed = patch(&world, &world.admin, "/integrations/crm", body).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&changed["name"], &changed["logoUri"], &changed["meta"]),
        (&json!("Sales"), &json!(logo), &json!({"a": [1]}))
    );
    for member in ["redirectUris", "connectorKey", "hasParameters", "createdAt"] {
        assert_eq!(changed[member], before[member], "{member}");
    }
    assert_ne!(changed["updatedAt"], before["updatedAt"]);
    assert_eq!(world.get("/integrations/crm").await.json(), changed);
    // The parameters are still those.
    let id = world.connect(&provider).await;
    assert_eq!(world.connection(&id).await["name"], "Sales");
    let removed = json!({"name": null, "logoUri": "", "description": null, "meta": null, "redirectUris": null});
    let removed = patch(&world, &world.admin, "/integrations/crm", removed).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&removed["name"], &removed["logoUri"], &removed["redirectUris"]),
        (&json!("crm"), &json!(""), &json!([]))
    );
    assert!(removed.get("description").is_none() && removed.get("meta").is_none(), "{removed}");
    let uri = "/integrations/crm";
    let other_key = patch(&world, &world.admin, uri, json!({"key": "erp"})).await.expect(StatusCode::BAD_REQUEST);
    assert!(message(&other_key).contains("`key`"), "{}", other_key.text());
    patch(&world, &world.admin, uri, json!({"parameters": {"clientId": 7}})).await.expect(StatusCode::BAD_REQUEST);
    patch(&world, &world.admin, "/integrations/none", json!({})).await.expect(StatusCode::NOT_FOUND);
    // PUT accepts what GET shows of the SDKs' members, and keeps the connector of an integration that exists.
    let put = json!({"key": "crm", "name": "Again", "logoUri": logo, "description": "d", "meta": {}});
    let put = world.send(Method::PUT, uri, &world.admin, Some(&put)).await.expect(StatusCode::OK).json();
    assert_eq!((&put["connectorKey"], &put["description"]), (&json!("oauth2"), &json!("d")));
}

#[tokio::test]
async fn an_integration_whose_connector_is_gone_says_so() {
    let world = World::new().await;
    let now = OffsetDateTime::from_unix_timestamp(world.clock_time()).unwrap();
    let gone = Integration { connector_key: "gone".into(), ..Integration::new("local", "old", now) };
    let integrations = world.bundle.environment().integrations();
    integrations.put(gone, ParameterChanges::default()).await.unwrap();
    for uri in ["/integrations/old", "/integrations"] {
        let shown = get(&world, &world.alice, uri).await.expect(StatusCode::OK).json();
        let shown = shown["items"].get(0).unwrap_or(&shown);
        assert_eq!((&shown["state"], &shown["authOptions"]), (&json!("CONFIGURATION_ERROR"), &json!([])), "{uri}");
    }
    let options = post(&world, &world.alice, "/connection-options", json!({"integrationKey": "old"})).await;
    assert_eq!(options.expect(StatusCode::BAD_REQUEST).json()["type"], "configuration");
}

#[tokio::test]
async fn only_open_options_are_shown() {
    let world = app_world(OPTIONS).await;
    let shown = async |token: &str| {
        let integration = get(&world, token, "/integrations/app").await.expect(StatusCode::OK).json();
        let spec = get(&world, token, "/integrations/app/connector-spec").await.expect(StatusCode::OK).json();
        let body = json!({"integrationId": "app"});
        let options = post(&world, token, "/connection-options", body).await.expect(StatusCode::OK).json();
        let of_spec: Vec<_> = members(&spec["auth"]["options"]).into_iter().map(str::to_owned).collect();
        let of_integration: Vec<_> = keys(&integration["authOptions"]).into_iter().map(str::to_owned).collect();
        let open: Vec<_> = keys(&options).into_iter().map(str::to_owned).collect();
        assert_eq!((&of_spec, &of_integration), (&open, &open));
        open
    };
    for (settings, expected) in [
        (json!({}), &["key"][..]),
        (json!({"parameters": {"realm": "r"}}), &["key", "login"]),
        (json!({"parameters": {"realm": "r"}, "optionsConfig": {"key": {"disabled": true}}}), &["login"]),
    ] {
        world.integrate_app(settings.clone()).await.expect(StatusCode::OK);
        for token in [&world.alice, &world.admin] {
            assert_eq!(shown(token).await, expected, "{settings}");
        }
    }
}

#[tokio::test]
async fn the_ways_to_connect_have_the_shape_that_the_sdks_read() {
    let (world, provider) = (app_world(KEYED).await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    let options = async |token: &str, body: Value| post(&world, token, "/connection-options", body).await;
    let keyed = options(&world.alice, json!({"integrationKey": "app", "connectorParameters": null})).await;
    let keyed = keyed.expect(StatusCode::OK).json();
    // An option without a key has no `key`, so that the SDKs find it by `undefined`.
    assert_eq!(members(&keyed[0]), ["type", "title", "inputSchema", "ui"]);
    assert_eq!((keyed.as_array().unwrap().len(), &keyed[0]["type"]), (1, &json!("client-credentials")));
    let callback = "https://larder.example/oauth-callback";
    let oauth = json!([{"type": "oauth2", "oAuthCallbackUri": callback}]);
    for body in [
        json!({"integrationKey": "crm"}),
        json!({"integrationId": "crm", "connectionId": "ignored"}),
        json!({"connectionId": id}),
        json!({"connectorId": "oauth2", "unknown": 1}),
    ] {
        let shown = options(&world.alice, body.clone()).await.expect(StatusCode::OK).json();
        assert_eq!(
            (&shown[0]["type"], &shown[0]["oAuthCallbackUri"]),
            (&oauth[0]["type"], &oauth[0]["oAuthCallbackUri"])
        );
        assert!(shown[0].get("connectorParametersSchema").is_none(), "{body}: {shown}");
        let shown = options(&world.admin, body.clone()).await.expect(StatusCode::OK).json();
        assert!(shown[0]["connectorParametersSchema"]["properties"]["clientId"].is_object(), "{body}: {shown}");
    }
    let bob = world.token("bob").await;
    for (token, body, status) in [
        (&bob, json!({"connectionId": id}), StatusCode::NOT_FOUND),
        (&world.alice, json!({"integrationKey": "none"}), StatusCode::NOT_FOUND),
        (&world.alice, json!({"connectorKey": "none"}), StatusCode::NOT_FOUND),
        (&world.alice, json!({}), StatusCode::BAD_REQUEST),
        (&world.alice, json!([]), StatusCode::BAD_REQUEST),
    ] {
        options(token, body).await.expect(status);
    }
}

#[tokio::test]
async fn only_an_admins_parameters_open_an_integrations_options() {
    let world = app_world(OPTIONS).await;
    let body = json!({"integrationKey": "app", "connectorParameters": {"realm": "r"}});
    for (token, expected) in [(&world.alice, &["key"][..]), (&world.admin, &["key", "login"])] {
        let shown = post(&world, token, "/connection-options", body.clone()).await.expect(StatusCode::OK).json();
        assert_eq!(keys(&shown), expected);
    }
    // Without an integration, there is nothing to override.
    let uri = "/connectors/app/generate-options";
    for (parameters, expected) in [(json!({}), &["key"][..]), (json!({"realm": "r"}), &["key", "login"])] {
        let shown = post(&world, &world.alice, uri, json!({ "connectorParameters": parameters })).await;
        assert_eq!(keys(&shown.expect(StatusCode::OK).json()), expected);
    }
    post(&world, &world.alice, "/connectors/none/generate-options", json!({})).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_connector_spec_has_what_older_sdks_read() {
    let world = app_world(KEYED).await;
    let spec = get(&world, &world.alice, "/integrations/app/connector-spec").await.expect(StatusCode::OK).json();
    assert_eq!(members(&spec), ["key", "name", "logoUri", "auth"]);
    assert_eq!((&spec["key"], &spec["auth"]["type"]), (&json!("app"), &json!("client-credentials")));
    assert!(spec["auth"]["ui"]["schema"]["properties"]["apiKey"].is_object() && spec["auth"].get("options").is_none());
    let spec = world.get("/integrations/app/connector-spec").await.json();
    assert!(spec["parametersSchema"]["properties"]["apiUri"].is_object(), "{spec}");
    let world = app_world(OPTIONS).await;
    let spec = get(&world, &world.alice, "/integrations/app/connector-spec").await.json();
    let key = &spec["auth"]["options"]["key"];
    assert_eq!((&key["type"], &key["title"]), (&json!("client-credentials"), &json!("With a key")));
}

#[tokio::test]
async fn connectors_leave_out_what_they_do_not_have() {
    let world = app_world(KEYED).await;
    let shown = world.get("/connectors/app").await.expect(StatusCode::OK).json();
    assert_eq!(
        (&shown["id"], &shown["key"], &shown["logoUri"]),
        (&json!("app"), &json!("app"), &json!("https://app.example/app.png"))
    );
    assert!(shown["authOptions"][0].get("key").is_none(), "{shown}");
    let list = world.get("/connectors?search=app").await.json();
    let items = list["items"].as_array().unwrap();
    let mut listed = items.iter().find(|item| item["key"] == "app").unwrap().clone();
    assert_eq!(listed.as_object_mut().unwrap().remove("connectionCount"), Some(json!(0)));
    for (name, value) in listed.as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    for item in items {
        assert_eq!(item["id"], item["key"]);
        let key = item["key"].as_str().unwrap();
        let shown = world.get(&format!("/connectors/{key}")).await.expect(StatusCode::OK).json();
        let options = shown["authOptions"].as_array().unwrap();
        for object in options.iter().chain([item, &shown]) {
            assert!(object.as_object().unwrap().values().all(|value| !value.is_null()), "{object}");
            assert_ne!(object["key"], "", "{object}");
        }
    }
    get(&world, &world.alice, "/connectors/app").await.expect(StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_caller_sees_itself_and_a_change_is_ignored() {
    let world = World::new().await;
    let alice =
        json!({"workspaceKey": "local", "isAdmin": false, "id": "alice", "name": "alice", "internalId": "alice"});
    assert_eq!(get(&world, &world.alice, "/self").await.expect(StatusCode::OK).json(), alice);
    let body = json!({"credentials": {"key": SECRET}, "name": "mallory"});
    let patched = patch(&world, &world.alice, "/self", body).await.expect(StatusCode::OK);
    assert_eq!(patched.json(), alice);
    assert_eq!(get(&world, &world.alice, "/self").await.json(), alice);
    assert_eq!(world.get("/self").await.json(), json!({"workspaceKey": "local", "isAdmin": true}));
}

#[tokio::test]
async fn a_client_action_is_shown_exactly_when_it_is_required() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    let is_exact = |view: &Value| (view["state"] == "CLIENT_ACTION_REQUIRED") == view.get("clientAction").is_some();
    let ready = world.connection(&id).await;
    assert!(is_exact(&ready) && ready["state"] == "READY", "{ready}");
    let uri = format!("/connections/{id}");
    world.send(Method::DELETE, &uri, &world.alice, None).await.expect(StatusCode::NO_CONTENT);
    let archived = world.get(&format!("{uri}?includeArchived=1")).await.json();
    world.post(&format!("{uri}/restore")).await.expect(StatusCode::OK);
    let restored = world.connection(&id).await;
    for view in [archived, restored] {
        assert!(is_exact(&view) && view["clientAction"]["type"] == "connect", "{view}");
    }
}
