//! Secrets of a workspace or of the operator cannot be misused (the "confused deputy"): neither for an account that an end
//! user names, nor for a host that a workspace chooses.

use http::{Method, StatusCode};
use larder::environment::CredentialsIn;
use larder::secret::Secret;
use larder_tests::{Browser, MockProvider, TempConnector, World};
use serde_json::{Value, json};

const ACCOUNT: &str = "acct_mine";

/// Connects alice's Stripe account.
async fn stripe(world: &World, provider: &MockProvider) -> String {
    let body = json!({"connectorKey": "stripe", "parameters": {"clientId": "ca_1", "clientSecret": "sk_platform"},
                      "redirectUris": ["https://app.example/done"]});
    world.send(Method::PUT, "/integrations/it", &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    let tokens = json!({"access_token": "sk_mine", "refresh_token": "rt", "stripe_user_id": ACCOUNT});
    provider.script_api("POST /oauth/token", 200, &tokens);
    for _ in 0..4 {
        provider.script_api("GET /v1/account", 200, &json!({"id": ACCOUNT}));
    }
    connect_through(world, "it").await
}

async fn connect_through(world: &World, integration: &str) -> String {
    let mut browser = Browser::default();
    let start = format!("/connect?integrationKey={integration}&token={}", world.alice);
    let authorize = url::Url::parse(&browser.get(world, &start).await.location()).expect("a URL");
    let state = authorize.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    let page = browser.get(world, &format!("/oauth-callback?state={state}&code=the-code")).await;
    assert!(page.text().contains("Connected"), "{}", page.text());
    connect::own_connection_id("local", integration, Some("alice"))
}

async fn put(world: &World, id: &str, credentials: Value) {
    let body = json!({ "credentials": credentials });
    let uri = format!("/credentials?connectionId={id}");
    world.send(Method::PUT, &uri, &world.alice, Some(&body)).await.expect(StatusCode::CREATED);
}

async fn delete(world: &World, uri: &str) {
    world.send(Method::DELETE, uri, &world.alice, None).await.expect(StatusCode::NO_CONTENT);
}

/// The bodies of the API requests that start with `what`.
fn bodies(provider: &MockProvider, what: &str) -> Vec<String> {
    provider.api_calls().into_iter().filter(|call| call.what.starts_with(what)).map(|call| call.body).collect()
}

#[tokio::test]
async fn a_platform_key_revokes_only_the_account_the_provider_named() {
    for (store, deletes_first) in
        [(CredentialsIn::Database, false), (CredentialsIn::Database, true), (CredentialsIn::Memory, false)]
    {
        let provider = MockProvider::start().await;
        let port = url::Url::parse(&provider.uri("")).expect("a URL").port().expect("a port");
        let mut world = World::rerouted(port, Vec::new()).await;
        world.restart_keeping(store).await;
        let id = stripe(&world, &provider).await;
        if deletes_first {
            delete(&world, &format!("/credentials?connectionId={id}")).await;
        }
        for other in ["acct_other", "acct_third"] {
            put(&world, &id, json!({"access_token": "sk_mine", "stripe_user_id": other})).await;
        }
        assert_eq!(world.credentials(&id).await["stripe_user_id"], "acct_third", "the put credentials are served");
        delete(&world, &format!("/connections/{id}")).await;
        assert_eq!(bodies(&provider, "POST /oauth/deauthorize"), [format!("client_id=ca_1&stripe_user_id={ACCOUNT}")]);
    }
}

#[tokio::test]
async fn reconnecting_takes_the_new_accounts_identifiers() {
    let provider = MockProvider::start().await;
    let port = url::Url::parse(&provider.uri("")).expect("a URL").port().expect("a port");
    let world = World::rerouted(port, Vec::new()).await;
    let id = stripe(&world, &provider).await;
    put(&world, &id, json!({"access_token": "sk_mine", "stripe_user_id": "acct_other"})).await;
    let tokens = json!({"access_token": "sk_new", "refresh_token": "rt", "stripe_user_id": "acct_new"});
    provider.script_api("POST /oauth/token", 200, &tokens);
    connect_through(&world, "it").await;
    delete(&world, &format!("/connections/{id}")).await;
    assert_eq!(bodies(&provider, "POST /oauth/deauthorize"), ["client_id=ca_1&stripe_user_id=acct_new"]);
}

/// A connector that mints an account's tokens with the workspace's own key, its integration, and a connection.
async fn minting(refresh: (&str, &str)) -> (World, MockProvider, String) {
    let spec = "name: App
parametersSchema:
  properties:
    apiUri: {type: string}
    platformSecret: {type: string, isSensitive: true}
auth:
  type: oauth2
  getOAuthConfig:
    mapping:
      clientId: c
      clientSecret: {$var: connectorParameters.platformSecret}
      authorizeUri: {$concat: [{$var: connectorParameters.apiUri}, /authorize]}
      tokenUri: {$concat: [{$var: connectorParameters.apiUri}, /token]}
  makeApiClient: {mapping: {baseUri: {$var: connectorParameters.apiUri}, headers: {X-Account: {$var: credentials.account}}}}
  test: {mapping: {path: /me, method: get}}
  refreshCredentials: {}
";
    let (world, provider) = (World::with_connector(&[("spec.yml", spec), refresh]).await, MockProvider::start().await);
    let parameters = json!({"apiUri": provider.uri(""), "platformSecret": "the-platforms"});
    world.integrate_app(json!({ "parameters": parameters })).await.expect(StatusCode::CREATED);
    let tokens = json!({"access_token": "first", "refresh_token": "r", "expires_in": 3600, "account": ACCOUNT});
    provider.script(200, &tokens);
    let id = connect_through(&world, "app").await;
    (world, provider, id)
}

const MINT: (&str, &str) = (
    "auth/refresh-credentials.rest.yml",
    "path: /mint\nmethod: post\nrequestMapping:\n  data:\n    key: {$var: connectorParameters.platformSecret}\n    \
     account: {$var: credentials.account}\n    token: {$var: credentials.access_token}\n",
);

const MINT_IN_JAVASCRIPT: (&str, &str) = (
    "auth/refresh-credentials.js",
    "export default ({ apiClient, credentials, connectorParameters }) => apiClient.post('/mint', {\n  \
     key: connectorParameters.platformSecret, account: credentials.account, token: credentials.access_token })\n",
);

#[tokio::test]
async fn a_platform_key_mints_only_for_the_account_the_provider_named() {
    for refresh in [MINT, MINT_IN_JAVASCRIPT] {
        let (world, provider, id) = minting(refresh).await;
        put(&world, &id, json!({"access_token": "put", "account": "acct_other", "expires_in": 3600, "note": 1})).await;
        provider.script_api("POST /mint", 200, &json!({"access_token": "minted"}));
        world.advance(120);
        world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
        let [request] = &bodies(&provider, "POST /mint")[..] else { panic!("one request") };
        let request: Value = serde_json::from_str(request).expect("JSON");
        assert_eq!(request, json!({"key": "the-platforms", "account": ACCOUNT, "token": "put"}));
        let calls = provider.api_calls();
        let mint = calls.iter().find(|call| call.what.starts_with("POST /mint")).expect("a request");
        assert_eq!(mint.header("x-account"), Some(ACCOUNT), "the API client sees the same account as the function");
        let stored = world.credentials(&id).await;
        assert_eq!((&stored["access_token"], &stored["note"]), (&json!("minted"), &json!(1)), "nothing is lost");
    }
}

#[tokio::test]
async fn functions_without_a_secret_see_the_put_credentials() {
    let (world, provider, id) = minting(MINT).await;
    put(&world, &id, json!({"access_token": "put", "account": "acct_second"})).await;
    let path = format!("/connections/{id}/test");
    assert_eq!(world.post(&path).await.expect(StatusCode::OK).json(), json!({"success": true}));
    let calls = provider.api_calls();
    assert_eq!(calls.last().expect("a test").header("x-account"), Some("acct_second"));
}

const LENDER: &str = "name: Lender
key: lender
parametersSchema:
  properties: {clientSecret: {type: string, isSensitive: true}}
auth:
  type: oauth2
  inputSchema: {type: object, properties: {region: {type: string, pattern: '^[a-z]*$'}}}
  getOAuthConfig:
    mapping:
      clientId: c
      clientSecret: {$var: connectorParameters.clientSecret}
      authorizeUri: {$concat: [{$var: connectorParameters.uri}, /authorize]}
      tokenUri: {$concat: [{$var: connectorParameters.uri}, /token]}
  makeApiClient: {mapping: {baseUri: {$var: connectorParameters.uri}, headers: {X-Of: lender}}}
  refreshCredentials: {}
  disconnect: {implementationType: javascript}
";

const REVOKE: &str = "export default ({ apiClient, connectorParameters }) => apiClient.post('/revoke', { secret: connectorParameters.clientSecret })\n";

const BORROWER: &str = "name: App
auth:
  type: proxy
  proxyKey: shared
  makeApiClient: {mapping: {baseUri: {$var: connectorParameters.apiUri}, headers: {X-Of: borrower}}}
  test: {mapping: {path: /me, method: get}}
";

/// A world with a lender's and a borrower's connector, the provider of each, and the connectors' folders.
async fn lending(lender: &[(&str, &str)]) -> (World, MockProvider, MockProvider, [TempConnector; 2]) {
    let (lender, borrower) = (TempConnector::new(lender), TempConnector::new(&[("spec.yml", BORROWER)]));
    let world = World::with_connectors(vec![lender.path().to_owned(), borrower.path().to_owned()]).await;
    let (lenders, borrowers) = (MockProvider::start().await, MockProvider::start().await);
    let proxy = json!({"connectorKey": "lender",
                       "parameters": {"clientSecret": "the-operators\n", "uri": lenders.uri("")}});
    world.put_secret("proxies/shared", &Secret::new(proxy.to_string())).await;
    let parameters = json!({"parameters": {"apiUri": borrowers.uri("")}});
    let answer = world.integrate_app(parameters).await;
    assert_eq!(answer.0.status(), StatusCode::CREATED, "{}", answer.text());
    (world, lenders, borrowers, [lender, borrower])
}

const LENT: &[(&str, &str)] = &[
    ("spec.yml", LENDER),
    (
        "auth/refresh-credentials.rest.yml",
        "path: /mint\nmethod: post\nrequestMapping:\n  data: {secret: {$var: connectorParameters.clientSecret}}\n",
    ),
    ("auth/disconnect.js", REVOKE),
];

#[tokio::test]
async fn lent_functions_call_only_the_lenders_provider() {
    let (world, lenders, borrowers, _folders) = lending(LENT).await;
    lenders.set_expires_in(json!(3600));
    let id = connect_through(&world, "app").await;
    lenders.script_api("POST /mint", 200, &json!({"access_token": "minted"}));
    lenders.script_api("POST /revoke", 200, &json!({}));
    world.advance(120);
    world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
    delete(&world, &format!("/connections/{id}")).await;
    for what in ["POST /mint", "POST /revoke"] {
        assert_eq!(bodies(&lenders, what), [r#"{"secret":"the-operators"}"#]);
    }
    assert!(lenders.api_calls().iter().all(|call| call.header("x-of") == Some("lender")));
    let tests = borrowers.api_calls();
    assert_eq!(tests.len(), 1, "only the test is the borrower's own");
    assert_eq!((tests[0].what.as_str(), tests[0].header("x-of")), ("GET /me", Some("borrower")));
}

#[tokio::test]
async fn a_borrowers_input_must_match_the_lenders_schema() {
    let (world, lenders, _, _folders) = lending(LENT).await;
    let page = world.connect_app(json!({"input": {"region": "evil.example/"}})).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("region"), "{}", page.text());
    assert!(lenders.api_calls().is_empty() && lenders.token_requests().is_empty());
}

#[tokio::test]
async fn a_plaintext_signature_goes_only_to_the_lenders_provider() {
    let spec = "name: Lender
key: lender
auth:
  type: oauth1
  getOAuthConfig:
    mapping:
      consumerKey: k
      consumerSecret: {$var: connectorParameters.clientSecret}
      signatureMethod: PLAINTEXT
      requestTokenUri: {$concat: [{$var: connectorParameters.uri}, /request]}
      authorizeUri: {$concat: [{$var: connectorParameters.uri}, /authorize]}
      tokenUri: {$concat: [{$var: connectorParameters.uri}, /access]}
  makeApiClient: {mapping: {baseUri: {$var: connectorParameters.uri}}}
";
    let (world, lenders, borrowers, _folders) = lending(&[("spec.yml", spec)]).await;
    let token = json!({"oauth_token": "t", "oauth_token_secret": "s", "oauth_callback_confirmed": "true"});
    lenders.script_api("POST /request", 200, &token);
    lenders.script_api("POST /access", 200, &token);
    let mut browser = Browser::default();
    let start = format!("/connect?integrationKey=app&token={}", world.alice);
    browser.get(&world, &start).await.location();
    let request = lenders.api_calls().remove(0);
    let signed = request.header("authorization").expect("a signature");
    let callback =
        signed.split("oauth_callback=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a callback");
    let callback = url::form_urlencoded::parse(callback.as_bytes()).next().expect("a string").0.into_owned();
    let page = browser.get(&world, &format!("{callback}&oauth_token=t&oauth_verifier=v")).await;
    assert!(page.text().contains("PLAINTEXT"), "{}", page.text());
    assert!(borrowers.api_calls().is_empty());
}
