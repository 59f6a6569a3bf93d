//! Every way to connect other than plain OAuth 2.0: API keys, auth options, JavaScript, auth proxies and signed tokens, and
//! the end of a connection.

use http::{Method, StatusCode};
use larder::secret::Secret;
use larder_tests::{Browser, MockProvider, World};
use serde_json::{Value, json};

const API_KEY: &[(&str, &str)] = &[
    (
        "spec.yml",
        "name: App
parametersSchema:
  type: object
  properties: {apiUri: {type: string}}
  required: [apiUri]
auth:
  type: client-credentials
  inputSchema:
    type: object
    properties:
      apiKey: {type: string, format: password, isSensitive: true, pattern: '^key-'}
      region: {type: string, default: eu}
    required: [apiKey]
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
",
    ),
    (
        "auth/make-api-client.map.yml",
        "baseUri: {$var: connectorParameters.apiUri}\nheaders: {Authorization: {$concat: ['Key ', {$var: credentials.apiKey}]}}\n",
    ),
    ("auth/test.rest.yml", "path: /me\nmethod: GET\n"),
];

/// A world with the API key connector, with these files replaced or added.
async fn key_world(changes: &[(&str, &str)]) -> (World, MockProvider) {
    let mut all: Vec<(&str, &str)> = API_KEY.to_vec();
    all.retain(|(path, _)| !changes.iter().any(|(changed, _)| changed == path));
    all.extend(changes);
    let (world, provider) = (World::with_connector(&all).await, MockProvider::start().await);
    let parameters = json!({"parameters": {"apiUri": provider.uri("")}});
    assert_eq!(world.integrate_app(parameters).await.0.status(), StatusCode::CREATED);
    (world, provider)
}

fn spec_with(functions: &str) -> String {
    let (_, spec) = API_KEY[0];
    format!("{spec}{functions}")
}

fn own_id() -> String {
    connect::own_connection_id("local", "app", Some("alice"))
}

#[tokio::test]
async fn an_api_key_is_tested_and_stored_immediately() {
    let (world, provider) = key_world(&[]).await;
    let page = world.connect_app(json!({"input": {"apiKey": "key-1"}})).await.expect(StatusCode::OK);
    assert!(page.text().contains("Connected"), "{}", page.text());
    assert_eq!(provider.tests(), [Some("Key key-1".to_owned())]);
    assert_eq!(world.credentials(&own_id()).await, json!({"apiKey": "key-1", "region": "eu"}));
    let connection = world.connection(&own_id()).await;
    assert_eq!(connection["state"], "READY");
    assert_eq!(connection["canRefreshCredentials"], false);
    assert!(connection.get("nextCredentialsRefreshAt").is_none(), "{connection}");
}

#[tokio::test]
async fn invalid_input_is_reported_by_field_before_any_request() {
    let (world, provider) = key_world(&[]).await;
    let answer = world
        .connect_app(json!({"input": {"apiKey": "hunter2", "region": 5}, "redirectUri": "https://app.example/done"}))
        .await;
    let location = url::Url::parse(&answer.location()).unwrap();
    let data = location.query_pairs().find(|(name, _)| name == "errorData").unwrap().1.into_owned();
    let data: Value = serde_json::from_str(&data).unwrap();
    let mut fields: Vec<&str> =
        data["data"]["fields"].as_array().unwrap().iter().map(|it| it["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["apiKey", "region"]);
    assert!(!location.as_str().contains("hunter2"), "{location}");
    assert!(provider.api_calls().is_empty());
}

#[tokio::test]
async fn an_api_key_the_provider_rejects_is_not_stored() {
    let (world, provider) = key_world(&[]).await;
    provider.set_test_status(401);
    let page = world.connect_app(json!({"input": {"apiKey": "key-1"}})).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("401"), "{}", page.text());
    world.get(&format!("/credentials?connectionId={}", own_id())).await.expect(StatusCode::NOT_FOUND);
    // Nothing that was just entered can have expired.
    let channel = json!({"input": {"apiKey": "key-1"}, "redirectUri": "https://app.example/done"});
    let location = url::Url::parse(&world.connect_app(channel).await.location()).unwrap();
    let data = location.query_pairs().find(|(name, _)| name == "errorData").unwrap().1.into_owned();
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&data["type"], &data["key"]), (&json!("connection"), &json!("invalid_credentials")));
    let message = data["message"].as_str().unwrap();
    assert!(message.contains("did not accept these credentials") && !message.contains("expired"), "{message}");
}

#[tokio::test]
async fn integration_parameters_are_validated_by_field() {
    let (world, _) = key_world(&[]).await;
    let answer = world.integrate_app(json!({"parameters": {"apiUri": 5}})).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["data"]["fields"][0]["field"], "apiUri");
    let answer = world.integrate_app(json!({"parameters": {}})).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["message"], "`parameters` is invalid: `apiUri` is missing");
}

#[tokio::test]
async fn a_token_minted_from_a_login_is_reminted_before_it_expires() {
    let functions = "  getCredentialsFromConnectionParameters: {implementationType: javascript}\n  \
                     refreshCredentials: {implementationType: rest-api-mapping}\n";
    let spec = spec_with(functions);
    let mint = "import axios from 'axios'\n\
        export default async function ({ connectionInput, connectorParameters }) {\n\
          const { data } = await axios.post(connectorParameters.apiUri + '/mint', { key: connectionInput.apiKey })\n\
          return { apiKey: data.token, expires_in: data.expires_in }\n\
        }\n";
    let refresh = "path: /mint\nmethod: POST\nrequestMapping: {data: {old: {$var: credentials.apiKey}}}\n\
        responseMapping: {apiKey: {$var: response.data.token}, expires_in: {$var: response.data.expires_in}}\n";
    let (world, provider) = key_world(&[
        ("spec.yml", spec.as_str()),
        ("auth/get-credentials-from-connection-parameters.js", mint),
        ("auth/refresh-credentials.rest.yml", refresh),
    ])
    .await;
    provider.script_api("POST /mint", 200, &json!({"token": "t-1", "expires_in": 3600}));
    world.connect_app(json!({"input": {"apiKey": "key-1"}})).await.expect(StatusCode::OK);
    assert_eq!(world.credentials(&own_id()).await, json!({"apiKey": "t-1", "expires_in": 3600}));
    assert_eq!(world.connection(&own_id()).await["nextCredentialsRefreshAt"], "2026-01-01T00:55:00Z");

    provider.script_api("POST /mint", 200, &json!({"token": "t-2", "expires_in": 3600}));
    world.advance(3300);
    world.sweep().await;
    assert_eq!(world.credentials(&own_id()).await["apiKey"], "t-2");
    let mints: Vec<String> =
        provider.api_calls().iter().filter(|it| it.what == "POST /mint").map(|it| it.body.clone()).collect();
    assert_eq!(mints, [r#"{"key":"key-1"}"#, r#"{"old":"t-1"}"#]);
    assert_eq!(world.connection(&own_id()).await["canRefreshCredentials"], true);
}

#[tokio::test]
async fn manually_put_credentials_of_a_minted_token_are_refreshed() {
    let spec = spec_with("  refreshCredentials: {implementationType: javascript}\n");
    let refresh = "export default () => ({ apiKey: 'renewed', expires_in: 3600 })";
    let (world, _provider) = key_world(&[("spec.yml", spec.as_str()), ("auth/refresh-credentials.js", refresh)]).await;
    world.connect_app(json!({"input": {"apiKey": "key-1"}})).await.expect(StatusCode::OK);
    let body = json!({"credentials": {"apiKey": "mine", "expires_in": 600}});
    let uri = format!("/credentials?connectionId={}", own_id());
    world.send(Method::PUT, &uri, &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    world.advance(301);
    world.sweep().await;
    assert_eq!(world.credentials(&own_id()).await["apiKey"], "renewed");
}

const OPTIONS: &str = "name: App
auth:
  makeApiClient: {mapping: {baseUri: {$var: connectorParameters.apiUri}}}
  options:
    key:
      type: client-credentials
      title: With a key
      inputSchema: {type: object, properties: {apiKey: {type: string}}, required: [apiKey]}
    login:
      type: client-credentials
      enabled: {$eval: {$var: connectorParameters.realm}, isNotEmpty: true}
      inputSchema: {type: object, properties: {user: {type: string}}, required: [user]}
";

#[tokio::test]
async fn an_auth_option_is_chosen_by_its_key() {
    let (world, _) = key_world(&[("spec.yml", OPTIONS)]).await;
    let both = json!({"parameters": {"apiUri": "https://a.example", "realm": "r"}});
    world.integrate_app(both).await.expect(StatusCode::OK);
    let page = world.connect_app(json!({"input": {"user": "u"}})).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("send one of key, login"), "{}", page.text());
    world.connect_app(json!({"authOptionKey": "login", "input": {"user": "u"}})).await.expect(StatusCode::OK);
    assert_eq!(world.connection(&own_id()).await["authOptionKey"], "login");
    // Reconnecting keeps the auth option, unless another one is named.
    world.connect_app(json!({"input": {"user": "v"}})).await.expect(StatusCode::OK);
    assert_eq!(world.credentials(&own_id()).await, json!({"user": "v"}));
    let page = world.connect_app(json!({"authOptionKey": "magic", "input": {}})).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("magic"), "{}", page.text());
}

#[tokio::test]
async fn a_disabled_auth_option_is_not_offered() {
    let (world, _) = key_world(&[("spec.yml", OPTIONS)]).await;
    // Without a realm, `login` is not enabled and the key is the only option.
    world.connect_app(json!({"input": {"apiKey": "k"}})).await.expect(StatusCode::OK);
    let page = world.connect_app(json!({"authOptionKey": "login", "input": {"user": "u"}})).await;
    assert_eq!(page.0.status(), StatusCode::BAD_REQUEST);
    let off = json!({"optionsConfig": {"key": {"disabled": true}, "login": {"parameters": {"realm": "r"}}}});
    world.integrate_app(off).await.expect(StatusCode::OK);
    let page = world.connect_app(json!({"authOptionKey": "key", "input": {"apiKey": "k"}})).await;
    assert_eq!(page.0.status(), StatusCode::BAD_REQUEST);
    world.connect_app(json!({"authOptionKey": "login", "input": {"user": "u"}})).await.expect(StatusCode::OK);
    let unknown = json!({"optionsConfig": {"magic": {}}});
    world.integrate_app(unknown).await.expect(StatusCode::BAD_REQUEST);
}

const SCRIPTED: &[(&str, &str)] = &[
    (
        "spec.yml",
        "name: App
auth:
  type: oauth2
  getOAuthConfig: {implementationType: javascript}
  getTokenData: {implementationType: javascript}
  getCredentialsFromAccessTokenResponse: {implementationType: javascript}
  makeApiClient: {implementationType: javascript}
  refreshCredentials: {implementationType: javascript}
  test: {implementationType: javascript}
  disconnect: {implementationType: javascript}
",
    ),
    (
        "auth/get-oauth-config.js",
        "module.exports = ({ connectorParameters: p }) => ({ clientId: 'c', clientSecret: 's', authorizeUri: p.apiUri + '/authorize', tokenUri: p.apiUri + '/token' })",
    ),
    (
        "auth/get-token-data.ts",
        "import { post } from './lib/post'
export default async function ({ connectorParameters, codeVerifier, queryParameters, redirectUri }: any): Promise<object> {
  return post(connectorParameters.apiUri + '/exchange', { code: queryParameters.code as string, verifier: codeVerifier, redirectUri })
}",
    ),
    (
        "auth/lib/post.ts",
        "export async function post(url: string, body: Record<string, unknown>): Promise<any> {
  const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
  return response.json()
}",
    ),
    (
        "auth/get-credentials-from-access-token-response.js",
        "export default async ({ tokenResponse, apiClient }) => ({ account: (await apiClient.get('/account')).id, token: tokenResponse.access_token })",
    ),
    (
        "auth/make-api-client.js",
        "exports.makeApiClient = ({ credentials, connectorParameters }) => ({ baseUri: connectorParameters.apiUri, headers: { Authorization: `Bearer ${credentials.access_token}` } })",
    ),
    (
        "auth/refresh-credentials.js",
        "import axios from 'axios'
export default async function refreshToken({ credentials, connectorParameters }) {
  const { data } = await axios.post(`${connectorParameters.apiUri}/renew`, { token: credentials.refresh_token })
  return { access_token: data.access_token, expires_in: 3600 }
}",
    ),
    ("auth/test.js", "export default async function ({ apiClient }) { await apiClient.request({ url: '/me', method: 'GET' }); return true }"),
    ("auth/disconnect.js", "export default async ({ credentials, apiClient }) => { await apiClient.post('/bye', { account: credentials.account }) }"),
];

async fn scripted() -> (World, MockProvider) {
    let (world, provider) = (World::with_connector(SCRIPTED).await, MockProvider::start().await);
    let parameters = json!({"parameters": {"apiUri": provider.uri("")}});
    world.integrate_app(parameters).await.expect(StatusCode::CREATED);
    provider.script_api(
        "POST /exchange",
        200,
        &json!({"access_token": "a-1", "refresh_token": "r-1", "expires_in": 3600}),
    );
    provider.script_api("GET /account", 200, &json!({"id": "acc-7"}));
    let mut browser = Browser::default();
    let authorize = browser.get(&world, &format!("/connect?integrationKey=app&token={}", world.alice)).await.location();
    browser.get(&world, &provider.approve(&authorize)).await.expect(StatusCode::OK);
    (world, provider)
}

#[tokio::test]
async fn every_function_can_be_javascript() {
    let (world, provider) = scripted().await;
    let credentials = world.credentials(&own_id()).await;
    assert_eq!(credentials["access_token"], "a-1");
    assert_eq!((&credentials["account"], &credentials["token"]), (&json!("acc-7"), &json!("a-1")));
    let exchange: Value = serde_json::from_str(&provider.api_calls()[0].body).unwrap();
    assert_eq!(
        (&exchange["code"], &exchange["redirectUri"]),
        (&json!("the-code"), &json!("https://larder.example/oauth-callback"))
    );
    assert_eq!(exchange["verifier"].as_str().unwrap().len(), 43);
    assert_eq!(provider.tests(), [Some("Bearer a-1".to_owned())]);

    provider.script_api("POST /renew", 200, &json!({"access_token": "a-2"}));
    world.advance(3300);
    world.sweep().await;
    let renewed = world.credentials(&own_id()).await;
    assert_eq!((&renewed["access_token"], &renewed["refresh_token"]), (&json!("a-2"), &json!("r-1")));
}

#[tokio::test]
async fn invalid_grant_from_a_script_ends_the_retries() {
    let (world, provider) = scripted().await;
    provider.script_api("POST /renew", 400, &json!({"error": "invalid_grant"}));
    world.advance(3300);
    world.sweep().await;
    let connection = world.connection(&own_id()).await;
    assert_eq!(connection["state"], "CLIENT_ACTION_REQUIRED");
    assert!(connection["error"]["message"].as_str().unwrap().contains("auth/refresh-credentials.js:3"), "{connection}");
}

#[tokio::test]
async fn a_script_that_fails_temporarily_is_retried() {
    let (world, provider) = scripted().await;
    provider.script_api("POST /renew", 503, &json!({}));
    world.advance(3300);
    world.sweep().await;
    assert_eq!(world.connection(&own_id()).await["state"], "READY");
    provider.script_api("POST /renew", 200, &json!({"access_token": "a-2"}));
    world.advance(120);
    world.sweep().await;
    assert_eq!(world.credentials(&own_id()).await["access_token"], "a-2");
}

#[tokio::test]
async fn a_401_is_retried_once_with_refreshed_credentials() {
    let (world, provider) = scripted().await;
    provider.script_api("GET /me", 401, &json!({}));
    provider.script_api("POST /renew", 200, &json!({"access_token": "a-2"}));
    world.advance(120);
    let answer = world.post(&format!("/connections/{}/test", own_id())).await.expect(StatusCode::OK);
    assert_eq!(answer.json(), json!({"success": true}));
    let tests: Vec<_> = provider.tests().into_iter().flatten().collect();
    assert_eq!(tests, ["Bearer a-1", "Bearer a-1", "Bearer a-2"]);

    provider.script_api("GET /me", 401, &json!({}));
    provider.script_api("GET /me", 401, &json!({}));
    provider.script_api("POST /renew", 200, &json!({"access_token": "a-3"}));
    world.advance(120);
    let answer = world.post(&format!("/connections/{}/test", own_id())).await.expect(StatusCode::OK).json();
    assert_eq!((&answer["success"], &answer["error"]["key"]), (&json!(false), &json!("access_token_expired")));
    assert_eq!(provider.tests().len(), 5);
}

#[tokio::test]
async fn the_provider_is_notified_when_a_connection_is_deleted() {
    let (world, provider) = scripted().await;
    provider.script_api("POST /bye", 200, &json!({}));
    world
        .send(Method::DELETE, &format!("/connections/{}", own_id()), &world.alice, None)
        .await
        .expect(StatusCode::NO_CONTENT);
    let bye = provider.api_calls().into_iter().find(|call| call.what == "POST /bye").unwrap();
    assert_eq!((bye.body.as_str(), bye.header("authorization")), (r#"{"account":"acc-7"}"#, Some("Bearer a-1")));
    world.get(&format!("/connections/{}", own_id())).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_connection_is_deleted_even_if_the_provider_call_fails() {
    let (world, provider) = scripted().await;
    provider.script_api("POST /bye", 500, &json!({}));
    world
        .send(Method::DELETE, &format!("/connections/{}", own_id()), &world.alice, None)
        .await
        .expect(StatusCode::NO_CONTENT);
    world.get(&format!("/connections/{}", own_id())).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_signed_token_identifies_the_workspace_to_the_provider() {
    let spec = "name: App\nauth:\n  type: membrane-token\n  makeApiClient: {implementationType: mapping}\n  \
                test: {implementationType: rest-api-mapping}\n";
    let client = "baseUri: {$var: connectorParameters.apiUri}\n";
    let (world, provider) = key_world(&[("spec.yml", spec), ("auth/make-api-client.map.yml", client)]).await;
    world.connect_app(json!({})).await.expect(StatusCode::OK);
    let calls = provider.api_calls();
    let token = calls[0].header("x-membrane-token").unwrap();
    assert_eq!(calls[0].header("x-integration-app-token"), Some(token));
    let secret = world.bundle.environment().workspaces().secret("local").await.unwrap().unwrap().secret;
    let key = jsonwebtoken::DecodingKey::from_secret(secret.expose().as_bytes());
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims;
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("local"), &json!("alice")));
    assert_eq!(claims["exp"], json!(World::START + 3600));
    // The provider cannot use this token to act as the end user.
    world.send(Method::GET, "/connections", token, None).await.expect(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_auth_proxy_lends_the_operators_client_without_exposing_it() {
    let spec = "name: App\nauth:\n  type: proxy\n  proxyKey: shared\n  makeApiClient: {implementationType: mapping}\n  \
                test: {implementationType: rest-api-mapping}\n";
    let client = "baseUri: {$var: connectorParameters.apiUri}\n\
                  headers: {Authorization: {$concat: ['Bearer ', {$var: credentials.access_token}]}}\n";
    let (world, provider) = key_world(&[("spec.yml", spec), ("auth/make-api-client.map.yml", client)]).await;
    let start = format!("/connect?integrationKey=app&token={}", world.alice);
    let page = Browser::default().get(&world, &start).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("no auth proxy"), "{}", page.text());

    let proxy = json!({"connectorKey": "oauth2", "parameters": {
        "clientId": "operator", "clientSecret": "operator-secret", "scopes": ["read"],
        "authorizeUri": provider.uri("/authorize"), "tokenUri": provider.uri("/token"), "testUri": provider.uri("/me"),
    }});
    world.put_secret("proxies/shared", &Secret::new(proxy.to_string())).await;
    let mut browser = Browser::default();
    let authorize = browser.get(&world, &start).await.location();
    assert!(authorize.contains("client_id=operator"), "{authorize}");
    browser.get(&world, &provider.approve(&authorize)).await.expect(StatusCode::OK);
    assert_eq!(provider.tests(), [Some("Bearer access-1".to_owned())]);
    world.advance(3300);
    world.sweep().await;
    assert_eq!(world.credentials(&own_id()).await["access_token"], "access-2");
    assert_eq!(provider.refreshes()[0].get("client_secret"), Some("operator-secret"));
    assert!(!world.get("/integrations").await.text().contains("operator"));
}

#[tokio::test]
async fn provider_quirks_are_configured_as_data() {
    let config = "clientId: c
clientSecret: s
authorizeUri: {$concat: [{$var: connectorParameters.apiUri}, /authorize]}
tokenUri: {$concat: [{$var: connectorParameters.apiUri}, /token]}
refreshUri: {$concat: [{$var: connectorParameters.apiUri}, /renew]}
revocationUri: {$concat: [{$var: connectorParameters.apiUri}, /revoke]}
skipPkce: true
codeParameter: auth_code
callbackFields: [realmId, shop]
tokenResponsePath: authed_user
tokenRequestFormat: query
tokenParameterNames: {client_id: app_id}
refreshWithAccessToken: true
refreshGrantType: extend
refreshParameterNames: {refresh_token: old_token}
refreshClientAuthLocation: none
defaultExpiresIn: 7200
";
    let spec = "name: App\nauth:\n  type: oauth2\n  getOAuthConfig: {implementationType: mapping}\n  \
                makeApiClient: {mapping: {baseUri: 'https://a.example'}}\n";
    let files = [("spec.yml", spec), ("auth/get-oauth-config.map.yml", config)];
    let (world, provider) = (World::with_connector(&files).await, MockProvider::start().await);
    world.integrate_app(json!({"parameters": {"apiUri": provider.uri("")}})).await.expect(StatusCode::CREATED);
    provider.script(200, &json!({"ok": true, "authed_user": {"access_token": "user-1", "shop": "of the tokens"}}));
    let mut browser = Browser::default();
    let authorize = browser.get(&world, &format!("/connect?integrationKey=app&token={}", world.alice)).await.location();
    assert!(!authorize.contains("code_challenge"), "{authorize}");
    let back =
        provider.come_back(&authorize, &[("auth_code", "the-code"), ("realmId", "42"), ("shop", "of the callback")]);
    browser.get(&world, &back).await.expect(StatusCode::OK);
    let credentials = world.credentials(&own_id()).await;
    assert_eq!((&credentials["access_token"], &credentials["realmId"]), (&json!("user-1"), &json!("42")));
    // Anyone can write a callback, but only the provider a token response.
    assert_eq!(credentials["shop"], "of the tokens");
    assert_eq!(world.connection(&own_id()).await["nextCredentialsRefreshAt"], "2026-01-01T01:55:00Z");

    provider.script_api("GET /renew", 200, &json!({"access_token": "user-2", "expires_in": 3600}));
    world.advance(7200 - 300);
    world.sweep().await;
    assert_eq!(world.credentials(&own_id()).await["access_token"], "user-2");
    let renewal = provider.api_calls().pop().unwrap();
    assert_eq!(renewal.what, "GET /renew?grant_type=extend&old_token=user-1&app_id=c");
    assert_eq!(renewal.header("authorization"), None);

    provider.script_api("POST /revoke", 200, &json!({}));
    let uri = format!("/connections/{}", own_id());
    world.send(Method::DELETE, &uri, &world.alice, None).await.expect(StatusCode::NO_CONTENT);
    let revocation = provider.api_calls().pop().unwrap();
    assert_eq!(
        (revocation.what.as_str(), revocation.body.as_str()),
        ("POST /revoke", "token=user-2&token_type_hint=access_token&app_id=c")
    );
}

#[tokio::test]
async fn pasted_values_lose_leading_and_trailing_whitespace() {
    let (world, provider) = key_world(&[]).await;
    let parameters = json!({"parameters": {"apiUri": format!(" {}\r\n", provider.uri(""))}});
    assert_eq!(world.integrate_app(parameters).await.0.status(), StatusCode::OK);
    let page = world.connect_app(json!({"input": {"apiKey": "\u{feff} key-1\u{200b}\r\n"}})).await;
    assert!(page.expect(StatusCode::OK).text().contains("Connected"));
    assert_eq!(provider.tests(), [Some("Key key-1".to_owned())]);
    assert_eq!(world.credentials(&own_id()).await["apiKey"], "key-1");
}

#[tokio::test]
async fn values_invalid_in_headers_are_reported_by_field() {
    let script = "export default async ({ apiClient }) => { await apiClient.get('/me'); return true }";
    let in_javascript =
        [("spec.yml", API_KEY[0].1.replace("rest-api-mapping", "javascript")), ("auth/test.js", script.to_owned())];
    let in_javascript = in_javascript.each_ref().map(|(path, text)| (*path, text.as_str()));
    for files in [&[][..], &in_javascript] {
        let (world, provider) = key_world(files).await;
        for (key, flaw) in [
            ("key-1\nkey-2", "contains a line break"),
            ("key-1\u{200b}2", "contains an invisible character"),
            ("key-1\u{a0}2", "contains a non-standard space"),
            ("key-\u{201c}1\u{201d}", "contains a typographic quotation mark"),
        ] {
            let page = world.connect_app(json!({"input": {"apiKey": key}})).await;
            let expected = format!("credentials.apiKey` {flaw}");
            let text = page.text().replace("&#96;", "`");
            assert!(text.contains(&expected) && !text.contains("malformed"), "{text}");
        }
        assert!(provider.api_calls().is_empty());
    }
}

#[tokio::test]
async fn put_credentials_keep_every_byte_and_errors_name_the_field() {
    let (world, _) = key_world(&[]).await;
    world.connect_app(json!({"input": {"apiKey": "key-1"}})).await.expect(StatusCode::OK);
    let body = json!({"credentials": {"apiKey": "key-2\n"}});
    let uri = format!("/credentials?connectionId={}&test=false", own_id());
    world.send(Method::PUT, &uri, &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    assert_eq!(world.credentials(&own_id()).await["apiKey"], "key-2\n");
    let answer = world.post(&format!("/connections/{}/test", own_id())).await.expect(StatusCode::OK).json();
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("`credentials.apiKey` contains a line break"), "{answer}");
}

#[tokio::test]
async fn a_provider_assigned_callback_name_is_sent_in_both_requests() {
    let spec = "name: App\nauth:\n  type: oauth2\n  getOAuthConfig: {implementationType: mapping}\n  \
                makeApiClient: {mapping: {baseUri: 'https://a.example'}}\n";
    let config = "clientId: c
redirectUri: Acme-AcmeApp-PRD-1
authorizeUri: {$concat: [{$var: connectorParameters.apiUri}, '/#/authorize']}
tokenUri: {$concat: [{$var: connectorParameters.apiUri}, /token]}
";
    let files = [("spec.yml", spec), ("auth/get-oauth-config.map.yml", config)];
    let (world, provider) = (World::with_connector(&files).await, MockProvider::start().await);
    world.integrate_app(json!({"parameters": {"apiUri": provider.uri("")}})).await.expect(StatusCode::CREATED);
    let mut browser = Browser::default();
    let authorize = browser.get(&world, &format!("/connect?integrationKey=app&token={}", world.alice)).await.location();
    let (page, query) = authorize.split_once("#/authorize?").expect("a route with a query");
    assert_eq!(page, provider.uri("/"));
    assert!(query.contains("&redirect_uri=Acme-AcmeApp-PRD-1&"), "{query}");
    let state = query.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state");
    let callback = format!("/oauth-callback?state={state}&code=the-code");
    Browser::default().get(&world, &callback).await.expect(StatusCode::BAD_REQUEST);
    browser.get(&world, &callback).await.expect(StatusCode::OK);
    assert_eq!(provider.token_requests()[0].get("redirect_uri"), Some("Acme-AcmeApp-PRD-1"));
}
