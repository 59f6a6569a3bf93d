//! The examples of generic connectors and presets in `shared/connectors/README.md` run unchanged.

use std::fs;
use std::path::PathBuf;

use http::{Method, StatusCode};
use larder_tests::scenario::{Authorize, Exchange};
use larder_tests::{Browser, Script, World, root};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

const DONE: &str = "https://app.example/done";

/// A block of code in the README, by its marker.
fn example(marker: &str) -> String {
    let readme = fs::read_to_string(root().join("shared/connectors/README.md")).expect("it is there");
    let (_, rest) = readme.split_once(&format!("<!-- example: {marker} -->\n```")).expect("the example is there");
    let (_, rest) = rest.split_once('\n').expect("a block");
    rest.split_once("```").expect("a block").0.to_owned()
}

/// One Larder with an integration, and a provider.
struct Setup {
    world: World,
    script: Script,
    folder: TempDir,
}

impl Setup {
    /// An integration as in the README.
    async fn of(marker: &str) -> Self {
        let body = serde_json::from_str(&example(marker)).expect("JSON");
        Self::with(body, None).await
    }

    /// An integration of a preset as in the README.
    async fn of_preset(marker: &str) -> Self {
        Self::with(json!({"connectorKey": "acme", "parameters": {}}), Some(&example(marker))).await
    }

    async fn with(mut body: Value, preset: Option<&str>) -> Self {
        let script = Script::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(preset) = preset {
            fs::write(folder.path().join("acme.yml"), preset).expect("it is written");
        }
        let world = World::rerouted(script.port, vec![PathBuf::from(folder.path())]).await;
        body["redirectUris"] = json!([DONE]);
        let answer = world.send(Method::PUT, "/integrations/it", &world.admin, Some(&body)).await;
        answer.expect(StatusCode::CREATED);
        Self { world, script, folder }
    }

    fn expect(&self, step: &'static str, exchanges: Value) {
        let exchanges: Vec<Exchange> = serde_json::from_value(exchanges).expect("exchanges");
        self.script.expect(step, &exchanges);
    }

    /// Connects with an input, through the page of an authorize URL if there is one, which comes back with these values.
    async fn connect(&self, input: Value, authorize: Option<(Value, &[(&str, &str)])>) -> String {
        self.connect_by(None, input, authorize).await
    }

    /// Connects in this way.
    async fn connect_by(
        &self,
        option: Option<&str>,
        input: Value,
        authorize: Option<(Value, &[(&str, &str)])>,
    ) -> String {
        let mut browser = Browser::default();
        let payload = json!({"token": self.world.alice, "integrationKey": "it", "authOptionKey": option, "input": input,
                             "redirectUri": DONE});
        let mut answer = browser.post(&self.world, "/connect", &[("payload", &payload.to_string())]).await;
        if let Some((authorize, values)) = authorize {
            let authorize: Authorize = serde_json::from_value(authorize).expect("an authorize URL");
            let mut back = self.script.authorized(&authorize, answer.header("location").expect("a redirect"));
            back.query_pairs_mut().extend_pairs(values);
            answer = browser.get(&self.world, back.as_str()).await;
        }
        let done = Url::parse(answer.header("location").expect("a redirect")).expect("a URL");
        self.script.end();
        assert_eq!(self.script.mismatches(), Vec::<String>::new());
        let id = done.query_pairs().find(|(name, _)| name == "connectionId").map(|(_, id)| id.into_owned());
        id.unwrap_or_else(|| panic!("{done}"))
    }

    /// Refreshes at the time that the lifetime of an hour demands.
    async fn refresh(&self, id: &str, exchanges: Value, expected: Value) {
        self.world.advance(3300);
        self.expect("refresh", exchanges);
        self.world.sweep().await;
        self.script.end();
        self.script.check("credentials", &expected, &self.world.credentials(id).await);
        assert_eq!(self.script.mismatches(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn oauth2_runs_as_documented() {
    let setup = Setup::of("oauth2").await;
    let tokens = |number: u32| json!({"access_token": format!("a{number}"), "refresh_token": format!("r{number}"), "expires_in": 3600});
    setup.expect("connect", json!([
        {"request": {"method": "POST", "uri": "https://auth.acme.com/token", "headers": {"authorization": null}, "form": {
            "grant_type": "authorization_code", "code": "c", "redirect_uri": "https://larder.example/oauth-callback",
            "client_id": "the-client", "client_secret": "the-secret", "code_verifier": "<any>", "code_challenge_method": "S256"}},
         "response": {"json": tokens(1)}},
        {"request": {"method": "GET", "uri": "https://api.acme.com/me",
                     "headers": {"authorization": "Bearer a1", "x-version": "2"}},
         "response": {"json": {}}},
    ]));
    let authorize = json!({"uri": "https://auth.acme.com/authorize", "query": {
        "client_id": "the-client", "redirect_uri": "https://larder.example/oauth-callback", "response_type": "code",
        "scope": "read write", "access_type": "offline", "state": "<state>", "code_challenge": "<challenge>",
        "code_challenge_method": "S256"}});
    let id = setup.connect(json!({}), Some((authorize, &[("code", "c")]))).await;
    setup.refresh(&id, json!([
        {"request": {"method": "POST", "uri": "https://auth.acme.com/token", "form": {
            "grant_type": "refresh_token", "refresh_token": "r1", "client_id": "the-client", "client_secret": "the-secret"}},
         "response": {"json": tokens(2)}},
    ]), json!({"access_token": "a2", "refresh_token": "r2"})).await;
}

#[tokio::test]
async fn oauth1_runs_as_documented() {
    let setup = Setup::of("oauth1").await;
    setup.expect(
        "connect",
        json!([
            {"request": {"method": "POST", "uri": "https://auth.acme.com/request-token",
                         "headers": {"authorization": "OAuth <any>oauth_consumer_key=\"the-key\"<any>"}},
             "response": {"text": "oauth_token=t0&oauth_token_secret=s0&oauth_callback_confirmed=true"}},
            {"request": {"method": "POST", "uri": "https://auth.acme.com/access-token",
                         "headers": {"authorization": "OAuth <any>oauth_verifier=\"v\"<any>"}},
             "response": {"text": "oauth_token=t1&oauth_token_secret=s1"}},
            {"request": {"method": "GET", "uri": "https://api.acme.com/me",
                         "headers": {"authorization": "OAuth <any>oauth_token=\"t1\"<any>"}},
             "response": {"json": {}}},
        ]),
    );
    let authorize = json!({"uri": "https://auth.acme.com/authorize", "query": {"oauth_token": "t0"}});
    setup.connect(json!({}), Some((authorize, &[("oauth_token", "t0"), ("oauth_verifier", "v")]))).await;
}

#[tokio::test]
async fn api_keys_run_as_documented() {
    let setup = Setup::of("api-key").await;
    let request = |headers: Value| {
        json!([
            {"request": {"method": "GET", "uri": "https://api.acme.com/me", "headers": headers}, "response": {"json": {}}},
        ])
    };
    setup.expect("connect", request(json!({"authorization": "Token k1", "x-app-key": "k2"})));
    setup.connect(json!({"apiKey": "k1", "secondKey": "k2"}), None).await;
    setup.expect("connect", request(json!({"authorization": "Token k1", "x-app-key": null})));
    setup.connect(json!({"apiKey": "k1"}), None).await;
}

#[tokio::test]
async fn api_keys_go_into_the_query_or_stand_alone() {
    for (parameters, uri, authorization) in [
        (json!({"in": "query", "name": "key"}), "https://api.acme.com/me?v=1&key=k1", Value::Null),
        (
            json!({"in": "query", "name": "key", "secondName": "app"}),
            "https://api.acme.com/me?v=1&key=k1&app=k2",
            Value::Null,
        ),
        (json!({"name": "Authorization"}), "https://api.acme.com/me?v=1", json!("k1")),
        (
            json!({"name": "Authorization", "in": "header", "prefix": "Bearer"}),
            "https://api.acme.com/me?v=1",
            json!("Bearer k1"),
        ),
    ] {
        let mut body = json!({"connectorKey": "api-key", "parameters": parameters});
        body["parameters"]["testUri"] = "https://api.acme.com/me?v=1".into();
        let setup = Setup::with(body, None).await;
        setup.expect("connect", json!([
            {"request": {"method": "GET", "uri": uri, "headers": {"authorization": authorization}}, "response": {"json": {}}},
        ]));
        setup.connect(json!({"apiKey": "k1", "secondKey": "k2"}), None).await;
    }
}

#[tokio::test]
async fn basic_authentication_runs_as_documented() {
    let setup = Setup::of("basic").await;
    // key-1:X
    setup.expect("connect", json!([
        {"request": {"method": "GET", "uri": "https://api.acme.com/me", "headers": {"authorization": "Basic a2V5LTE6WA=="}},
         "response": {"json": {}}},
    ]));
    setup.connect(json!({"username": "key-1"}), None).await;
}

#[tokio::test]
async fn client_credentials_run_as_documented() {
    let setup = Setup::of("client-credentials").await;
    // c:s
    let token = |number: u32| {
        json!(
            {"request": {"method": "POST", "uri": "https://auth.acme.com/token", "headers": {"authorization": "Basic Yzpz"},
                         "form": {"grant_type": "client_credentials", "scope": "read write", "audience": "https://api.acme.com"}},
             "response": {"json": {"access_token": format!("a{number}"), "expires_in": 3600}}}
        )
    };
    let test = json!({"request": {"method": "GET", "uri": "https://api.acme.com/me", "headers": {"authorization": "Bearer a1"}},
                      "response": {"json": {}}});
    setup.expect("connect", json!([token(1), test]));
    let id = setup.connect(json!({"clientId": "c", "clientSecret": "s"}), None).await;
    setup.refresh(&id, json!([token(2)]), json!({"access_token": "a2", "clientSecret": null})).await;
}

#[tokio::test]
async fn a_login_for_a_token_runs_as_documented() {
    let setup = Setup::of("two-step").await;
    let login = |number: u32| {
        json!(
            {"request": {"method": "POST", "uri": "https://api.acme.com/login", "headers": {"authorization": null},
                         "json": {"email": "ada", "password": "p"}},
             "response": {"json": {"data": {"token": format!("t{number}"), "ttl": 3600}}}}
        )
    };
    let test = json!({"request": {"method": "GET", "uri": "https://api.acme.com/me",
                                  "headers": {"authorization": null, "x-token": "t1"}},
                      "response": {"json": {}}});
    setup.expect("connect", json!([login(1), test]));
    let id = setup.connect(json!({"username": "ada", "password": "p"}), None).await;
    setup.refresh(&id, json!([login(2)]), json!({"access_token": "t2", "password": null})).await;
}

#[tokio::test]
async fn the_documented_preset_runs_unchanged() {
    let setup = Setup::of_preset("preset").await;
    setup.expect(
        "connect",
        json!([
            {"request": {"method": "GET", "uri": "https://eu-1.acme.com/v1/me", "headers": {"x-api-key": "k"}},
             "response": {"json": {"id": 7, "email": "ada@acme.com"}}},
        ]),
    );
    let id = setup.connect(json!({"apiKey": "k", "site": "eu-1"}), None).await;
    let view = setup.world.get(&format!("/connections/{id}")).await.expect(StatusCode::OK).json();
    assert_eq!(view["account"], json!({"id": "7", "label": "ada@acme.com"}));
    let evil =
        json!({"token": setup.world.alice, "integrationKey": "it", "input": {"apiKey": "k", "site": "evil.com/"}});
    let answer = Browser::default().post(&setup.world, "/connect", &[("payload", &evil.to_string())]).await;
    assert!(answer.text().contains("site"), "{}", answer.text());
}

#[tokio::test]
async fn the_documented_chain_runs_unchanged() {
    let setup = Setup::of_preset("chain").await;
    let chain = |number: u32| {
        [
            json!({"request": {"method": "POST", "uri": "https://api.acme.com/session", "json": {"user": "ada", "password": "p"}},
               "response": {"json": {"id": format!("session-{number}")}}}),
            json!({"request": {"method": "POST", "uri": "https://api.acme.com/token",
                           "headers": {"x-session": format!("session-{number}")}},
               "response": {"json": {"token": format!("t{number}"), "seconds": 3600}}}),
        ]
    };
    let test = json!({"request": {"method": "GET", "uri": "https://api.acme.com/me", "headers": {"authorization": "Bearer t1"}},
                      "response": {"json": {}}});
    let [session, token] = chain(1);
    setup.expect("connect", json!([session, token, test]));
    let id = setup.connect(json!({"username": "ada", "password": "p"}), None).await;
    setup.refresh(&id, json!(chain(2)), json!({"access_token": "t2", "password": null, "session": null})).await;
    // An error names the request that failed.
    let [session, mut token] = chain(3);
    token["response"] = json!({"status": 404, "json": {}});
    setup.expect("refresh", json!([session, token]));
    setup.world.advance(3600);
    drop(setup.world.post(&format!("/connections/{id}/refresh-credentials")).await);
    let error = setup.world.connection(&id).await["error"]["message"].clone();
    assert_eq!(error, "the provider answered 404 (request 2 of 2, POST https://api.acme.com/token)");
}

#[tokio::test]
async fn the_documented_ways_to_connect_run_unchanged() {
    let client = json!({"clientId": "c", "clientSecret": "s"});
    let body = json!({"connectorKey": "acme", "parameters": client, "optionsConfig": {"token": {}}});
    let setup = Setup::with(body, Some(&example("ways"))).await;
    let test = |authorization: &str| {
        json!({"request": {"method": "GET", "uri": "https://api.acme.com/me", "headers": {"authorization": authorization}},
               "response": {"json": {"id": 7, "email": "ada@acme.com"}}})
    };
    let exchange = json!({"request": {"method": "POST", "uri": "https://auth.acme.com/token", "form": "<any>"},
                          "response": {"json": {"access_token": "a1", "refresh_token": "r1", "expires_in": 3600}}});
    setup.expect("connect", json!([exchange, test("Bearer a1")]));
    let authorize = json!({"uri": "https://auth.acme.com/authorize", "query": "<any>"});
    let id = setup.connect_by(Some("oauth2"), json!({}), Some((authorize, &[("code", "c")]))).await;
    let view = setup.world.get(&format!("/connections/{id}")).await.expect(StatusCode::OK).json();
    assert_eq!(view["authOptionKey"], "oauth2");
    setup.expect("connect", json!([test("Token t1")]));
    let id = setup.connect_by(Some("token"), json!({"apiKey": "t1"}), None).await;
    let view = setup.world.get(&format!("/connections/{id}")).await.expect(StatusCode::OK).json();
    assert_eq!((&view["authOptionKey"], &view["account"]["label"]), (&json!("token"), &json!("ada@acme.com")));
    // Without an OAuth client, keys are the only way.
    let setup = Setup::of_preset("ways").await;
    setup.expect("connect", json!([test("Token t2")]));
    setup.connect(json!({"apiKey": "t2"}), None).await;
}

#[tokio::test]
async fn connections_stay_when_a_preset_gets_more_ways() {
    for is_reconnected in [true, false] {
        Box::pin(upgrade_a_preset(is_reconnected)).await;
    }
}

/// Connects with a preset, gives it another way to connect, and renews the connection.
async fn upgrade_a_preset(is_reconnected: bool) {
    let ways = example("ways");
    let (alone, _) = ways.split_once("options:").expect("options");
    let client = json!({"clientId": "c", "clientSecret": "s"});
    let own = json!({"": {"parameters": {"scopes": ["special"]}}});
    let body = json!({"connectorKey": "acme", "parameters": client, "optionsConfig": own});
    let mut setup = Setup::with(body, Some(alone)).await;
    let token = |number: u32| {
        json!({"request": {"method": "POST", "uri": "https://auth.acme.com/token", "form": "<any>"},
               "response": {"json": {"access_token": format!("a{number}"), "refresh_token": "r", "expires_in": 3600}}})
    };
    let test = |number: u32| {
        json!({"request": {"method": "GET", "uri": "https://api.acme.com/me",
                           "headers": {"authorization": format!("Bearer a{number}")}},
               "response": {"json": {"id": 7}}})
    };
    let authorize = json!({"uri": "https://auth.acme.com/authorize", "query": {
        "client_id": "c", "redirect_uri": "https://larder.example/oauth-callback", "response_type": "code",
        "scope": "special", "access_type": "offline", "state": "<state>", "code_challenge": "<challenge>",
        "code_challenge_method": "S256"}});
    let callback: &[(&str, &str)] = &[("code", "c")];
    setup.expect("connect", json!([token(1), test(1)]));
    let id = setup.connect(json!({}), Some((authorize.clone(), callback))).await;

    fs::write(setup.folder.path().join("acme.yml"), &ways).expect("it is written");
    setup.world.restart().await;
    let shown = setup.world.get("/integrations/it").await.expect(StatusCode::OK).json();
    assert_eq!(
        (shown["authOptions"].as_array().map(Vec::len), &shown["authOptions"][0]["key"]),
        (Some(1), &json!("oauth2"))
    );
    setup.refresh(&id, json!([token(2)]), json!({"access_token": "a2"})).await;
    setup.expect("test", json!([test(2)]));
    let tested = setup.world.post(&format!("/connections/{id}/test")).await;
    assert!(tested.0.status().is_success(), "{}", tested.text());
    setup.script.end();

    // Once the integration opens the other way, the connection needs no choice either.
    let opened = json!({"optionsConfig": {"": {"parameters": {"scopes": ["special"]}}, "token": {}}});
    let patched = setup.world.send(Method::PATCH, "/integrations/it", &setup.world.admin, Some(&opened)).await;
    patched.expect(StatusCode::OK);
    let uri = format!("/connections/{id}");
    if is_reconnected {
        setup.expect("reconnect", json!([token(3), test(3)]));
        assert_eq!(setup.connect(json!({}), Some((authorize, callback))).await, id);
    } else {
        setup.expect("change", json!([test(2)]));
        let change = json!({"input": {}});
        setup.world.send(Method::PATCH, &uri, &setup.world.admin, Some(&change)).await.expect(StatusCode::OK);
        setup.script.end();
        assert_eq!(setup.script.mismatches(), Vec::<String>::new());
    }
    assert_eq!(setup.world.get(&uri).await.json()["authOptionKey"], "oauth2");
}
