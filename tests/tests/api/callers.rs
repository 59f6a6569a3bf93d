//! Every route and every kind of caller: who is admitted, who is rejected, and what each of them sees. The expected answers
//! are the table "Who can do what" in SECURITY.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use larder::caller::Claims;
use larder::clock::Clock as _;
use larder::digest::sha256_base64url;
use larder::environment::CredentialsIn;
use larder::routes::ROUTES;
use larder::secret::Secret;
use larder::secret_store::WorkspaceSecret;
use larder_tests::document::{quoted, read, routes, rows};
use larder_tests::{Answer, Browser, CredentialApi, MockProvider, World};
use serde_json::{Value, json};

/// The connection that alice created with `PUT /credentials`.
pub(super) const ALICES_CONNECTION: &str = "c-alice";
/// Bob's connection.
pub(super) const BOBS_CONNECTION: &str = "c-bob";
/// The connection in the workspace `other`.
const OTHERS_CONNECTION: &str = "c-other";

/// The verifier that confirms alice's connection request.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A row of the table: a route, whether a parameter names a connection, and the expected statuses.
pub(super) struct Row {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) with_connection: bool,
    expected: [StatusCode; 5],
}

/// The callers, in the order of the table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Nobody,
    Tenant,
    OtherTenant,
    Admin,
    OtherAdmin,
}

impl Row {
    pub(super) fn expected(&self, column: Column) -> StatusCode {
        self.expected[column as usize]
    }

    pub(super) fn is_connect(&self) -> bool {
        self.path == "/connect" || self.path == "/connection-popup"
    }

    /// Whether the route shows a page in a frame of an application.
    fn is_screen(&self) -> bool {
        self.path.starts_with("/embed/") || self.path.starts_with("/screens/")
    }

    /// Whether the route accepts the parameter `token`, which takes precedence.
    fn takes_parameter(&self) -> bool {
        self.is_connect() || self.is_screen()
    }

    fn is_callback(&self) -> bool {
        self.path == "/oauth-callback"
    }

    pub(super) fn checks_tokens(&self) -> bool {
        ROUTES.iter().any(|it| it.method == self.method && it.path == self.path && it.scope.is_some())
    }

    pub(super) fn names_a_connection(&self) -> bool {
        self.with_connection || self.path == "/credentials" || self.path.contains("{id}")
    }

    /// Calls the route for the connection `id`, as this caller.
    pub(super) async fn call(&self, world: &World, id: &str, caller: &PresentedToken) -> Answer {
        let mut query = Vec::new();
        let mut payload = json!({});
        if self.is_connect() {
            payload["integrationKey"] = "crm".into();
            if self.with_connection {
                payload["connectionId"] = id.into();
            }
            if let Some(token) = &caller.parameter {
                payload["token"] = token.as_str().into();
            }
        } else if let Some(token) = &caller.parameter {
            query.push(("token", token.as_str()));
        }
        if self.path == "/credentials" {
            query.push(("connectionId", id));
        }
        if self.is_connect() && self.method == Method::GET {
            query.extend(payload.as_object().unwrap().iter().map(|(name, value)| (&**name, value.as_str().unwrap())));
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let key = if self.path.starts_with("/connectors") { "oauth2" } else { "crm" };
        let path = self.path.replace("{id}", id).replace("{key}", key).replace("{flow}", "sync");
        let path = path.replace("{path+}", "connections");
        let body = match (&self.method, self.path.as_str()) {
            (&Method::POST, _) if self.is_connect() => {
                form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish()
            }
            (&Method::POST, _) if self.is_screen() => {
                let (name, value) = if self.with_connection { ("connectionId", id) } else { ("integrationKey", "crm") };
                form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
            }
            (&Method::PUT, "/credentials") => {
                json!({"credentials": {"access_token": "put", "refresh_token": "put"}}).to_string()
            }
            (&Method::POST, "/connections") => {
                json!({"integrationKey": "imports", "credentials": {"access_token": "imported"}}).to_string()
            }
            (&Method::POST, "/connection-requests") => json!({"integrationKey": "crm"}).to_string(),
            (&Method::POST, "/page-links") => json!({}).to_string(),
            (&Method::POST, "/connection-requests/{id}/confirm") => json!({"codeVerifier": VERIFIER}).to_string(),
            (&Method::PATCH | &Method::PUT, "/connections/{id}") => json!({"name": "renamed"}).to_string(),
            (&Method::PATCH, "/integrations/{key}") => json!({"name": "renamed"}).to_string(),
            (&Method::POST, "/integrations") => json!({"name": "New", "connectorKey": "oauth2"}).to_string(),
            (&Method::POST, "/connection-options") => json!({"integrationKey": "crm"}).to_string(),
            (&Method::POST, "/connectors/{key}/generate-options") => json!({}).to_string(),
            (&Method::PUT, "/connections/{id}/flows/{flow}") => json!({}).to_string(),
            (&Method::PUT, _) => json!({"connectorKey": "oauth2"}).to_string(),
            _ => String::new(),
        };
        let mut request = http::Request::builder().method(self.method.clone()).uri(format!("{path}?{query}"));
        if self.takes_parameter() && self.method == Method::POST {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in &caller.headers {
            request = request.header(*name, value);
        }
        Answer(world.bundle.handle(request.body(body.into()).unwrap()).await)
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let with = if self.with_connection { " with connectionId" } else { "" };
        write!(f, "{} {}{with}", self.method, self.path)
    }
}

/// The table, ordered so that deletions come last: flows before the connections that they use, and connections before
/// their integration.
pub(super) fn table() -> Vec<Row> {
    let document = read("SECURITY.md");
    let parse = |cells: Vec<&str>| {
        let [route, expected @ ..] = &cells[..] else { panic!("{cells:?}") };
        let (method, path) = quoted(route)[0].split_once(' ').unwrap();
        let expected: Vec<StatusCode> = expected.iter().map(|status| status.parse().unwrap()).collect();
        Row {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            with_connection: route.contains(" with "),
            expected: expected.try_into().unwrap(),
        }
    };
    let mut table: Vec<_> = rows(&document, "## Who can do what").into_iter().map(parse).collect();
    let order = [Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE];
    table.sort_by_key(|row| {
        // Another workspace's `PUT /credentials` creates a connection there, which the others must not find. Its
        // `DELETE /credentials` comes first, and removes it.
        let creates = row.method == Method::PUT && row.path == "/credentials";
        let method = order.iter().position(|method| *method == row.method);
        (method, row.path.contains("{key}"), creates, row.path != "/credentials", !row.path.contains("{flow}"))
    });
    table
}

/// A token and where the request carries it.
#[derive(Default)]
pub(super) struct PresentedToken {
    headers: Vec<(&'static str, String)>,
    /// The parameter `token`, which only pages that connect accept. It is in the query, at `/connect` also in `payload`.
    parameter: Option<String>,
}

impl PresentedToken {
    pub(super) fn bearer(token: &str) -> Self {
        Self::header("authorization", format!("Bearer {token}"))
    }

    fn header(name: &'static str, value: impl Into<String>) -> Self {
        Self { headers: vec![(name, value.into())], parameter: None }
    }

    fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn parameter(token: &str) -> Self {
        Self { headers: Vec::new(), parameter: Some(token.to_owned()) }
    }
}

/// A world with two workspaces. In `local`, alice has a connection through the integration `crm`, one from `PUT /credentials`,
/// and two connection requests; nobody has a connection through `imports`, and bob has one from `PUT /credentials`. `other`
/// has one connection and no integration.
pub(super) struct Fixture {
    pub(super) world: World,
    /// The id of alice's connection through `crm`.
    pub(super) connected: String,
    /// The id of alice's connection request.
    requested: String,
    /// The id of alice's connection request whose connection through `imports` is not confirmed.
    unconfirmed: String,
    /// The id of an admin's page link.
    page_link: String,
    _provider: MockProvider,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        Self::of(World::new().await).await
    }

    async fn of(world: World) -> Self {
        let provider = MockProvider::start().await;
        world.integrate(&provider, json!({})).await;
        let done = "https://app.example/done";
        let imports = json!({"connectorKey": "oauth2", "parameters": provider.parameters(), "redirectUris": [done]});
        let answer = world.send(Method::PUT, "/integrations/imports", &world.admin, Some(&imports)).await;
        answer.expect(StatusCode::CREATED);
        let connected = world.connect_one_more(&provider).await;
        let theirs = world.sign("other", admin()).await;
        put(&world, &world.alice, ALICES_CONNECTION).await;
        put(&world, &world.token("bob").await, BOBS_CONNECTION).await;
        put(&world, &theirs, OTHERS_CONNECTION).await;
        let alice = world.alice.clone();
        let request = async |body: Value| {
            let answer = world.send(Method::POST, "/connection-requests", &alice, Some(&body)).await;
            let created = answer.expect(StatusCode::CREATED).json();
            ["requestId", "url"].map(|name| created[name].as_str().unwrap().to_owned())
        };
        let [requested, _] = request(json!({"integrationKey": "crm"})).await;
        let challenge = sha256_base64url(VERIFIER);
        let bound = json!({"integrationKey": "imports", "redirectUri": done, "codeChallenge": challenge,
                           "allowMultipleConnections": true});
        let [unconfirmed, url] = request(bound).await;
        let mut browser = Browser::default();
        let location = browser.get(&world, &url).await.location();
        browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::FOUND);
        let link = world.send(Method::POST, "/page-links", &world.admin, Some(&json!({}))).await;
        let page_link = link.expect(StatusCode::CREATED).json()["id"].as_str().unwrap().to_owned();
        Self { world, connected, requested, unconfirmed, page_link, _provider: provider }
    }

    /// The id that a row's path means.
    pub(super) fn target(&self, row: &Row) -> &str {
        match row.path.as_str() {
            "/connection-requests/{id}" => &self.requested,
            "/page-links/{id}" => &self.page_link,
            "/connection-requests/{id}/confirm" => &self.unconfirmed,
            _ => &self.connected,
        }
    }

    async fn secret(&self) -> Secret {
        self.world.bundle.environment().workspaces().secret("local").await.unwrap().unwrap().secret
    }

    /// Everything that is stored, one string per item.
    pub(super) async fn stored(&self) -> BTreeSet<String> {
        let environment = self.world.bundle.environment();
        let tables = &environment.settings.tables;
        let mut stored = BTreeSet::new();
        for table in [&tables.connections, &tables.sessions, &tables.attempts, &tables.workspaces] {
            let items = environment.dynamodb().scan().table_name(table).send().await.unwrap().items.unwrap();
            let sorted = |item: std::collections::HashMap<_, _>| item.into_iter().collect::<BTreeMap<_, _>>();
            stored.extend(items.into_iter().map(|item| format!("{table} {:?}", sorted(item))));
        }
        let secrets: BTreeMap<String, Value> =
            serde_json::from_slice(&fs::read(self.world.folder().join("secrets.json")).unwrap()).unwrap();
        stored.extend(secrets.into_iter().map(|(name, value)| format!("{name} {value}")));
        stored
    }
}

/// The items that do not belong to the workspace `other`.
fn without_other_workspace(stored: BTreeSet<String>) -> BTreeSet<String> {
    stored.into_iter().filter(|item| !item.contains("\"other") && !item.contains("/other")).collect()
}

pub(super) async fn put(world: &World, token: &str, id: &str) {
    let (uri, body) = (format!("/credentials?connectionId={id}"), json!({"credentials": {"of": token, "id": id}}));
    world.send(Method::PUT, &uri, token, Some(&body)).await.expect(StatusCode::CREATED);
}

pub(super) fn tenant(key: &str) -> Claims {
    Claims { tenant_key: Some(key.to_owned()), ..Claims::default() }
}

pub(super) fn admin() -> Claims {
    Claims { is_admin: true, ..Claims::default() }
}

pub(super) fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// The last second of the year 9999.
const LAST_EXPIRY: i64 = 253_402_300_799;

/// A token with this header and these claims. The signature is always an HMAC with SHA-256, whatever the header says.
pub(super) fn token(header: &Value, claims: &Value, key: &[u8]) -> String {
    let unsigned = unsigned(header, claims);
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), unsigned.as_bytes());
    format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))
}

pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// These claims with some replaced, or removed by null.
fn with(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.remove(name)),
            value => drop(claims.insert(name.clone(), value.clone())),
        }
    }
    claims.into()
}

/// A token signed with a stranger's RSA key, and the public key.
#[expect(clippy::disallowed_methods, reason = "the library requires its own randomness here")]
fn signed_by_a_strangers_rsa_key(header: &Value, claims: &Value) -> (String, Vec<u8>) {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::signature::KeyPair as _;
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let unsigned = unsigned(header, claims);
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), unsigned.as_bytes(), &mut signature).unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    (format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(&signature)), public.as_ref().to_vec())
}

/// Every kind of invalid token, in every place that a request can carry it, with a description. `good` is a valid token.
fn invalid(good: &str, secret: &str, now: i64) -> Vec<(&'static str, PresentedToken)> {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let alg = |alg: &str| json!({"alg": alg, "typ": "JWT"});
    let extended = |crit: Value| json!({"alg": "HS256", "typ": "JWT", "crit": crit, "https://example.com/x": true});
    let claims = json!({"workspaceKey": "local", "tenantKey": "alice", "isAdmin": true, "exp": now + 3600});
    let signed = |changes: Value| token(&header, &with(&claims, &changes), secret.as_bytes());
    let bobs = token(&header, &with(&claims, &json!({"tenantKey": "bob", "isAdmin": null})), secret.as_bytes());
    let [_, _, bobs_signature] = bobs.split('.').collect::<Vec<_>>()[..] else { panic!("a token") };
    let (rsa, public_key) = signed_by_a_strangers_rsa_key(&alg("RS256"), &claims);
    let own_key = URL_SAFE_NO_PAD.encode("a key of mine");
    let jwk = json!({"alg": "HS256", "typ": "JWT", "jwk": {"kty": "oct", "k": own_key}, "kid": "mine",
                     "jku": "https://evil.example/keys"});
    let (cut, _) = good.rsplit_once('.').unwrap();
    let tokens = [
        ("garbage", "garbage".to_owned()),
        ("nothing but dots", "..".to_owned()),
        ("alg none", format!("{}.", unsigned(&alg("none"), &claims))),
        ("alg None", format!("{}.", unsigned(&alg("None"), &claims))),
        ("alg none with a signature", token(&alg("none"), &claims, secret.as_bytes())),
        ("no alg", token(&json!({"typ": "JWT"}), &claims, secret.as_bytes())),
        ("no signature", format!("{cut}.")),
        ("without its signature", cut.to_owned()),
        ("a truncated signature", good[..good.len() - 2].to_owned()),
        ("a signature that is too long", format!("{good}AAAA")),
        ("signed with another secret", token(&header, &claims, b"another secret")),
        ("signed with an empty secret", token(&header, &claims, b"")),
        ("signed with the secret of another workspace", token(&header, &claims, b"the secret of the workspace other")),
        ("signed with the key in its header", token(&jwk, &claims, b"a key of mine")),
        ("alg RS256 with an HMAC of the secret", token(&alg("RS256"), &claims, secret.as_bytes())),
        ("alg ES256 with an HMAC of the secret", token(&alg("ES256"), &claims, secret.as_bytes())),
        ("signed with an RSA key", rsa),
        ("alg HS256 with a public key as the secret", token(&header, &claims, &public_key)),
        ("claims with another token's signature", format!("{}.{bobs_signature}", unsigned(&header, &claims))),
        ("an unknown workspace", signed(json!({"workspaceKey": "unknown"}))),
        ("an impossible workspace", signed(json!({"workspaceKey": "../local"}))),
        ("another workspace", signed(json!({"workspaceKey": "other"}))),
        ("no workspace", signed(json!({"workspaceKey": null}))),
        ("expired", signed(json!({"exp": now}))),
        ("no exp", signed(json!({"exp": null}))),
        ("exp as a string", signed(json!({"exp": "2099-01-01"}))),
        ("exp as a number in a string", signed(json!({"exp": (now + 3600).to_string()}))),
        ("exp as true", signed(json!({"exp": true}))),
        ("exp as a list", signed(json!({"exp": [now + 3600]}))),
        ("exp in milliseconds", signed(json!({"exp": (now + 3600) * 1000}))),
        ("exp after the year 9999", signed(json!({"exp": LAST_EXPIRY + 1}))),
        ("the largest exp", signed(json!({"exp": i64::MAX}))),
        ("an even larger exp", signed(json!({"exp": u64::MAX}))),
        ("an exp with an exponent", signed(json!({"exp": 1e300}))),
        ("a critical extension", token(&extended(json!(["https://example.com/x"])), &claims, secret.as_bytes())),
        ("an empty list of critical extensions", token(&extended(json!([])), &claims, secret.as_bytes())),
        ("critical extensions that are not a list", token(&extended(Value::Null), &claims, secret.as_bytes())),
        ("b64 false", token(&json!({"alg": "HS256", "b64": false}), &claims, secret.as_bytes())),
        ("alg in lowercase", token(&alg("hs256"), &claims, secret.as_bytes())),
        ("alg as a list", token(&json!({"alg": ["HS256"]}), &claims, secret.as_bytes())),
        ("claims that are a list", token(&header, &json!([claims]), secret.as_bytes())),
        ("expired half a second ago", signed(json!({"exp": now as f64 - 0.5}))),
        ("not valid yet, beyond the allowed skew", signed(json!({"nbf": now + 61}))),
        ("not valid for an hour", signed(json!({"nbf": now + 3600}))),
        ("neither a tenant nor an admin", signed(json!({"tenantKey": null, "isAdmin": null}))),
        ("an empty tenant", signed(json!({"tenantKey": "", "isAdmin": null}))),
        ("for a provider", signed(json!({"forApplication": true}))),
        ("for the credentials of another connection", signed(json!({"forCredentialsOf": "another"}))),
    ];
    let mut all = vec![
        ("nothing", PresentedToken::default()),
        ("an empty bearer", PresentedToken::bearer("")),
        ("an empty header", PresentedToken::header("x-membrane-token", "")),
        ("another scheme", PresentedToken::header("authorization", format!("Basic {good}"))),
        ("no scheme", PresentedToken::header("authorization", good)),
        ("a cookie", PresentedToken::header("cookie", format!("token={good}; authorization={good}"))),
        ("a header of another name", PresentedToken::header("token", good).and("x-integration-app-token", good)),
        ("a valid token after an invalid one", PresentedToken::bearer("garbage").and("x-membrane-token", good)),
    ];
    for (name, token) in &tokens {
        all.push((name, PresentedToken::bearer(token)));
        all.push((name, PresentedToken::header("x-membrane-token", token)));
        all.push((name, PresentedToken::parameter(token)));
    }
    all
}

#[test]
fn the_table_lists_exactly_the_existing_routes() {
    let from_router: BTreeSet<_> = routes().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let from_table: BTreeSet<_> = table().iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    assert_eq!(from_table, from_router);
}

#[tokio::test]
async fn unrouted_methods_are_rejected_and_change_nothing() {
    let it = Fixture::new().await;
    let routed: BTreeSet<_> = routes().into_iter().map(|(method, path, _)| (path, method)).collect();
    let paths: BTreeSet<_> = routed.iter().map(|(path, _)| path.clone()).filter(|path| path != "/{path+}").collect();
    let before = it.stored().await;
    for path in paths {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"] {
            if routed.contains(&(path.clone(), method.to_owned())) {
                continue;
            }
            let (method, expected) = (method.parse().unwrap(), [StatusCode::METHOD_NOT_ALLOWED; 5]);
            let row = Row { method, path: path.clone(), with_connection: false, expected };
            for token in ["garbage", &it.world.alice, &it.world.admin] {
                let answer = row.call(&it.world, it.target(&row), &PresentedToken::bearer(token)).await;
                let status = answer.0.status();
                let is_rejected = status == StatusCode::METHOD_NOT_ALLOWED
                    || (status == StatusCode::UNAUTHORIZED && token == "garbage");
                assert!(is_rejected, "{row}: {}", answer.snapshot());
            }
        }
    }
    assert_eq!(it.stored().await, before);
}

#[tokio::test]
async fn invalid_tokens_get_identical_answers_and_change_nothing() {
    let it = Fixture::new().await;
    let secret = it.secret().await;
    let now = it.world.clock.now().unix_timestamp();
    let before = it.stored().await;
    let mut rejections = BTreeMap::new();
    for row in table() {
        let good = &it.world.admin;
        let mut callers = invalid(good, secret.expose(), now);
        if row.takes_parameter() {
            // This route accepts the parameter, which takes precedence.
            let mut bad = PresentedToken::bearer(good);
            bad.parameter = Some("garbage".to_owned());
            callers.push(("an invalid parameter before a valid header", bad));
        } else {
            callers.push(("a valid token in the query", PresentedToken::parameter(good)));
        }
        for (name, caller) in callers {
            for id in [it.target(&row), ALICES_CONNECTION, "unknown"] {
                let answer = row.call(&it.world, id, &caller).await;
                assert_eq!(answer.0.status(), row.expected(Column::Nobody), "{row}: {name}: {}", answer.text());
                let kind = match &row {
                    row if row.is_screen() => "screen",
                    row if row.is_connect() || row.is_callback() => "page",
                    _ => "JSON",
                };
                if row.checks_tokens() {
                    let first = rejections.entry(kind).or_insert_with(|| answer.snapshot());
                    assert_eq!(&answer.snapshot(), first, "{row}: {name}");
                }
                if !row.names_a_connection() {
                    break;
                }
            }
        }
        assert!(it.stored().await == before, "{row} changed something");
    }
    assert!(
        rejections["JSON"].starts_with("401 Unauthorized\n") && rejections["JSON"].contains("www-authenticate: Bearer")
    );
    for kind in ["page", "screen"] {
        assert!(rejections[kind].starts_with("401 Unauthorized\n"), "{kind}");
    }
}

/// Calls every route as the caller of a column, and compares the answers with the table.
async fn check_column(it: &Fixture, column: Column, name: &str, caller: &PresentedToken) {
    let own = match column {
        Column::Tenant => BTreeSet::from([ALICES_CONNECTION, &it.connected]),
        Column::OtherTenant => BTreeSet::from([BOBS_CONNECTION]),
        Column::Admin => BTreeSet::from([ALICES_CONNECTION, BOBS_CONNECTION, &it.connected]),
        _ => BTreeSet::from([OTHERS_CONNECTION]),
    };
    for row in table() {
        let expected = row.expected(column);
        let is_others = matches!(column, Column::OtherTenant | Column::OtherAdmin);
        let before = if is_others || expected.is_client_error() { Some(it.stored().await) } else { None };
        let answer = row.call(&it.world, it.target(&row), caller).await;
        assert_eq!(answer.0.status(), expected, "{row}: {name}: {}", answer.text());
        if let Some(before) = before {
            let after = it.stored().await;
            match column {
                _ if expected.is_client_error() => assert_eq!(after, before, "{row}: {name}"),
                Column::OtherTenant => {
                    assert!(after.is_superset(&before), "{row}: {name}: something of alice's changed")
                }
                _ => assert_eq!(without_other_workspace(after), without_other_workspace(before), "{row}: {name}"),
            }
        }
        if row.path == "/connections" && row.method == Method::GET {
            let shown = ids(&answer);
            assert_eq!(shown.iter().map(String::as_str).collect::<BTreeSet<_>>(), own, "{row}: {name}");
        }
        let creates = row.method == Method::PUT && row.path == "/credentials";
        if expected == StatusCode::NOT_FOUND && row.names_a_connection() && !creates {
            // The answer is exactly that for an unknown id, which `PUT /credentials` would create.
            let unknown = row.call(&it.world, "unknown", caller).await.snapshot();
            for id in [it.target(&row), ALICES_CONNECTION] {
                let answer = row.call(&it.world, id, caller).await.snapshot();
                assert_eq!(answer, unknown.replace("unknown", id), "{row}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn tenants_and_admins_get_the_answers_in_the_table() {
    for column in [Column::Tenant, Column::OtherTenant, Column::Admin, Column::OtherAdmin] {
        let it = Fixture::new().await;
        let token = match column {
            Column::Tenant => it.world.alice.clone(),
            Column::OtherTenant => it.world.token("bob").await,
            Column::Admin => it.world.admin.clone(),
            _ => it.world.sign("other", admin()).await,
        };
        check_column(&it, column, &format!("{column:?}"), &PresentedToken::bearer(&token)).await;
    }
    // A tenant with the same name in another workspace is another tenant, and that workspace has none of these connections.
    let it = Fixture::new().await;
    let stranger = PresentedToken::bearer(&it.world.sign("other", tenant("alice")).await);
    for row in table() {
        let expected = match row.expected(Column::OtherAdmin) {
            _ if row.expected(Column::Tenant) == StatusCode::FORBIDDEN => StatusCode::FORBIDDEN,
            expected => expected,
        };
        let before = without_other_workspace(it.stored().await);
        let answer = row.call(&it.world, it.target(&row), &stranger).await;
        assert_eq!(answer.0.status(), expected, "{row}: {}", answer.text());
        assert_eq!(without_other_workspace(it.stored().await), before, "{row}");
    }
}

#[tokio::test]
async fn every_valid_form_of_a_token_grants_the_same_access() {
    let names = {
        let it = Fixture::new().await;
        valid(&it, Column::Tenant).await.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    for column in [Column::Tenant, Column::Admin] {
        for (number, name) in names.iter().enumerate() {
            let it = Fixture::new().await;
            let (_, caller) = valid(&it, column).await.swap_remove(number);
            check_column(&it, column, name, &caller).await;
        }
    }
}

/// Valid tokens of every form, with descriptions, while the workspace's secret is being rotated.
async fn valid(it: &Fixture, column: Column) -> Vec<(&'static str, PresentedToken)> {
    let previous = it.secret().await;
    let secret = Secret::new("the new secret of the workspace `local`");
    let rotating = WorkspaceSecret { previous_secret: Some(previous.clone()), ..WorkspaceSecret::new(secret.clone()) };
    it.world.bundle.environment().workspaces().put("local", &rotating).await.unwrap();
    it.world.advance(300);
    let now = it.world.clock.now().unix_timestamp();
    let who = match column {
        Column::Admin => json!({"isAdmin": true}),
        _ => json!({"tenantKey": "alice"}),
    };
    let claims = with(&json!({"workspaceKey": "local", "exp": now + 3600}), &who);
    let sign = |algorithm, claims: &Value, secret: &Secret| {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.expose().as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), claims, &key).unwrap()
    };
    let hs256 = |changes: Value| sign(jsonwebtoken::Algorithm::HS256, &with(&claims, &changes), &secret);
    let older_names = match column {
        Column::Admin => json!({"workspaceKey": null, "iss": "local"}),
        _ => json!({"workspaceKey": null, "iss": "local", "tenantKey": null, "id": "alice", "sub": "bob"}),
    };
    let (good, old) = (hs256(json!({})), sign(jsonwebtoken::Algorithm::HS256, &claims, &previous));
    let bearer = |token: String| PresentedToken::bearer(&token);
    vec![
        ("the new secret", bearer(good.clone())),
        ("the previous secret", bearer(old)),
        ("HS384", bearer(sign(jsonwebtoken::Algorithm::HS384, &claims, &secret))),
        ("HS512", bearer(sign(jsonwebtoken::Algorithm::HS512, &claims, &secret))),
        ("valid from now on", bearer(hs256(json!({"nbf": now})))),
        ("not valid yet, within the allowed skew", bearer(hs256(json!({"nbf": now + 60})))),
        ("valid for another second", bearer(hs256(json!({"exp": now + 1})))),
        ("times with fractions", bearer(hs256(json!({"exp": now as f64 + 3600.5, "nbf": now as f64 - 0.25})))),
        ("valid until the end of the year 9999", bearer(hs256(json!({"exp": LAST_EXPIRY})))),
        ("older claim names", bearer(hs256(older_names))),
        ("a lowercase bearer", PresentedToken::header("authorization", format!("bearer {good}"))),
        ("the other header", PresentedToken::header("x-membrane-token", good.clone())),
        (
            "the other header next to another scheme",
            PresentedToken::header("x-membrane-token", good.clone()).and("authorization", "Basic dXNlcjpwYXNz"),
        ),
    ]
}

#[tokio::test]
async fn the_token_parameter_takes_precedence_over_headers() {
    let it = Fixture::new().await;
    let bob = it.world.token("bob").await;
    for row in table().into_iter().filter(Row::takes_parameter) {
        for (token, column) in [(&it.world.alice, Column::Tenant), (&bob, Column::OtherTenant)] {
            let mut caller = PresentedToken::bearer("garbage");
            caller.parameter = Some(token.clone());
            let answer = row.call(&it.world, it.target(&row), &caller).await;
            assert_eq!(answer.0.status(), row.expected(column), "{row}");
        }
    }
}

/// The two secrets of a rotation.
const OLD: &str = "the old secret of the workspace `acme`";
pub(super) const NEW: &str = "the new secret of the workspace `acme`";

/// Changes a workspace's secrets in the secret store, as an operator would, without going through this process.
async fn rotate(world: &World, secret: &str, previous: Option<&str>) {
    let mut value = json!({ "secret": secret });
    if let Some(previous) = previous {
        value["previousSecret"] = previous.into();
    }
    world.put_secret("workspaces/acme", &Secret::new(value.to_string())).await;
}

#[tokio::test]
async fn a_rotated_secret_is_rejected_five_minutes_after_its_removal() {
    let world = World::new().await;
    let exp = world.clock.now().unix_timestamp() + 3600;
    let claims = json!({"workspaceKey": "acme", "isAdmin": true, "exp": exp});
    let token = |secret: &str| token(&json!({"alg": "HS256"}), &claims, secret.as_bytes());
    let statuses = async || {
        let mut statuses = Vec::new();
        for secret in [OLD, NEW] {
            statuses.push(world.send(Method::GET, "/connections", &token(secret), None).await.0.status().as_u16());
        }
        statuses
    };
    rotate(&world, OLD, None).await;
    assert_eq!(statuses().await, [200, 401]);
    rotate(&world, NEW, Some(OLD)).await;
    world.advance(299);
    assert_eq!(statuses().await, [200, 401], "secrets are cached for five minutes");
    world.advance(1);
    assert_eq!(statuses().await, [200, 200]);
    rotate(&world, NEW, None).await;
    world.advance(299);
    assert_eq!(statuses().await, [200, 200]);
    world.advance(1);
    assert_eq!(statuses().await, [401, 200]);
    // The workspace is closed.
    world.put_secret("workspaces/acme", &Secret::new(r#"{"secret":"a secret of 32 bytes nobody knows"}"#)).await;
    world.advance(300);
    assert_eq!(statuses().await, [401, 401]);
}

#[tokio::test]
async fn a_workspace_secret_under_32_bytes_verifies_no_token() {
    let world = World::new().await;
    let exp = world.clock.now().unix_timestamp() + 360_000;
    let claims = json!({"workspaceKey": "acme", "isAdmin": true, "exp": exp});
    let ask = async |secret: &str| {
        let token = token(&json!({"alg": "HS256"}), &claims, secret.as_bytes());
        world.send(Method::GET, "/connections", &token, None).await
    };
    let status = async |secret: &str| ask(secret).await.0.status().as_u16();
    let (short, shortest) = ("31 bytes are not enough for us.", &OLD[..32]);
    assert_eq!((short.len(), shortest.len()), (31, 32));
    for previous in ["", short] {
        rotate(&world, NEW, Some(previous)).await;
        world.advance(300);
        assert_eq!([status(NEW).await, status(previous).await, status("guessed").await], [200, 401, 401]);
    }
    for secret in ["", short] {
        rotate(&world, secret, None).await;
        world.advance(300);
        let error = ask(secret).await.expect(StatusCode::INTERNAL_SERVER_ERROR);
        assert!(error.json()["message"].as_str().unwrap().contains("fewer than 32 bytes"), "{}", error.text());
        // A wrong guess gets the same answer.
        assert_eq!(ask("guessed").await.snapshot(), error.snapshot());
        rotate(&world, secret, Some(OLD)).await;
        world.advance(300);
        assert_eq!([status(secret).await, status(OLD).await], [500, 200], "the previous secret still works");
    }
    rotate(&world, shortest, Some(short)).await;
    world.advance(300);
    assert_eq!([status(shortest).await, status(short).await], [200, 401]);
}

/// The claims of a token, if this secret signed it.
pub(super) fn signed_claims(token: &str, secret: &str) -> Option<Value> {
    let key = jsonwebtoken::DecodingKey::from_secret(secret.as_bytes());
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    rules.validate_exp = false;
    jsonwebtoken::decode(token, &key, &rules).ok().map(|token| token.claims)
}

#[tokio::test]
async fn during_rotation_provider_tokens_use_the_new_secret() {
    let spec = "name: App\nauth:\n  type: membrane-token\n  makeApiClient: {implementationType: mapping}\n  \
                test: {implementationType: rest-api-mapping}\n";
    let files = [
        ("spec.yml", spec),
        ("auth/make-api-client.map.yml", "baseUri: {$var: connectorParameters.apiUri}\n"),
        ("auth/test.rest.yml", "path: /me\nmethod: GET\n"),
    ];
    let (world, provider) = (World::with_connector(&files).await, MockProvider::start().await);
    let parameters = json!({"parameters": {"apiUri": provider.uri("")}});
    world.integrate_app(parameters).await.expect(StatusCode::CREATED);
    let workspaces = world.bundle.environment().workspaces();
    let previous = workspaces.secret("local").await.unwrap().unwrap().secret;
    let rotating = WorkspaceSecret { previous_secret: Some(previous), ..WorkspaceSecret::new(Secret::new(NEW)) };
    workspaces.put("local", &rotating).await.unwrap();
    world.advance(300);

    // Alice's token is signed with the old secret, the provider's with the new one.
    world.connect_app(json!({})).await.expect(StatusCode::OK);
    let calls = provider.api_calls();
    let for_provider = calls[0].header("x-membrane-token").unwrap();
    let claims = signed_claims(for_provider, NEW).expect("signed with the new secret");
    assert_eq!((&claims["sub"], &claims["forApplication"]), (&json!("alice"), &json!(true)));
    for row in table().into_iter().filter(Row::checks_tokens) {
        let answer = row.call(&world, ALICES_CONNECTION, &PresentedToken::bearer(for_provider)).await;
        assert_eq!(answer.0.status(), StatusCode::UNAUTHORIZED, "{row}");
    }
}

#[tokio::test]
async fn during_rotation_external_api_tokens_use_the_new_secret() {
    let api = CredentialApi::start().await;
    let world = World::keeping(CredentialsIn::ExternalApi(api.url())).await;
    put(&world, &world.alice, ALICES_CONNECTION).await;
    let workspaces = world.bundle.environment().workspaces();
    let previous = workspaces.secret("local").await.unwrap().unwrap().secret;
    let last_token = || api.calls().last().unwrap().header("x-membrane-token").unwrap().to_owned();
    assert!(signed_claims(&last_token(), previous.expose()).is_some());
    let rotating =
        WorkspaceSecret { previous_secret: Some(previous.clone()), ..WorkspaceSecret::new(Secret::new(NEW)) };
    workspaces.put("local", &rotating).await.unwrap();
    world.advance(300);
    put(&world, &world.alice, ALICES_CONNECTION).await;
    let claims = signed_claims(&last_token(), NEW).expect("signed with the new secret");
    assert_eq!(claims["forCredentialsOf"], ALICES_CONNECTION);
    // A Larder that stores its credentials elsewhere rejects such a token on every route.
    for row in table().into_iter().filter(Row::checks_tokens) {
        let answer = row.call(&world, ALICES_CONNECTION, &PresentedToken::bearer(&last_token())).await;
        assert_eq!(answer.0.status(), StatusCode::UNAUTHORIZED, "{row}");
    }
}

#[tokio::test]
async fn equal_ids_in_two_workspaces_stay_separate() {
    let world = World::new().await;
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    let other = world.sign("other", admin()).await;
    let uri = "/credentials?connectionId=same";
    for (token, credentials) in [(&world.admin, "ours"), (&other, "theirs")] {
        let body = json!({ "credentials": credentials });
        world.send(Method::PUT, uri, token, Some(&body)).await.expect(StatusCode::CREATED);
    }
    for (token, credentials) in [(&world.admin, "ours"), (&other, "theirs")] {
        let answer = world.send(Method::GET, uri, token, None).await.expect(StatusCode::OK);
        assert_eq!(answer.json()["credentials"], credentials);
        assert_eq!(ids(&world.send(Method::GET, "/connections", token, None).await), ["same"]);
    }
    assert_eq!(world.send(Method::GET, "/integrations", &other, None).await.json(), json!({"items": []}));
    world.send(Method::GET, "/integrations/crm", &other, None).await.expect(StatusCode::NOT_FOUND);
    world.send(Method::DELETE, "/integrations/crm", &other, None).await.expect(StatusCode::NO_CONTENT);
    world.get("/integrations/crm").await.expect(StatusCode::OK);
    let connectors = world.send(Method::GET, "/connectors?limit=1000", &other, None).await.json();
    assert!(connectors["items"].as_array().unwrap().iter().all(|item| item["connectionCount"] == 0));

    world.send(Method::DELETE, uri, &other, None).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(world.credentials("same").await, "ours");
}

#[tokio::test]
async fn an_id_cannot_reach_into_another_workspace() {
    let world = World::new().await;
    let neighbour = world.sign("local.b", admin()).await;
    for id in ["c1", ".b%23c1", "b%23c1", "%23c1"] {
        put(&world, &world.admin, id).await;
    }
    assert_eq!(world.send(Method::GET, "/connections", &neighbour, None).await.json(), json!({"items": []}));
    world.send(Method::GET, "/credentials?connectionId=c1", &neighbour, None).await.expect(StatusCode::NOT_FOUND);
    // A workspace key cannot contain the separator.
    let odd = world.sign("local#", admin()).await;
    world.send(Method::GET, "/credentials?connectionId=c1", &odd, None).await.expect(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_tenants_admin_puts_for_the_tenant_and_lists_everything() {
    let world = World::new().await;
    let both = world.sign("local", Claims { is_admin: true, ..tenant("alice") }).await;
    put(&world, &both, "made-for-alice").await;
    world.advance(1);
    put(&world, &world.token("bob").await, "bobs").await;
    assert_eq!(ids(&world.send(Method::GET, "/connections", &both, None).await), ["made-for-alice", "bobs"]);
    assert_eq!(ids(&world.send(Method::GET, "/connections", &world.alice, None).await), ["made-for-alice"]);
    // A connection created by an admin without a tenant belongs to no tenant.
    put(&world, &world.admin, "the-workspaces").await;
    assert_eq!(ids(&world.send(Method::GET, "/connections", &world.alice, None).await), ["made-for-alice"]);
    let uri = "/credentials?connectionId=the-workspaces";
    world.send(Method::GET, uri, &world.alice, None).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_admins_put_leaves_the_connection_with_its_tenant() {
    let Fixture { world, connected, _provider, .. } = Fixture::new().await;
    for id in [ALICES_CONNECTION, &connected] {
        put(&world, &world.admin, id).await;
        assert_eq!(world.connection(id).await["tenantId"], "alice");
        let uri = format!("/credentials?connectionId={id}");
        let answer = world.send(Method::GET, &uri, &world.alice, None).await;
        assert_eq!(answer.expect(StatusCode::OK).json()["credentials"]["of"], world.admin);
    }
}

#[tokio::test]
async fn older_claim_names_identify_the_same_caller() {
    let world = World::new().await;
    put(&world, &world.alice, ALICES_CONNECTION).await;
    let sign = async |claims: Claims| world.sign("local", claims).await;
    let alice = || Some("alice".to_owned());
    let uri = format!("/connections/{ALICES_CONNECTION}");
    for token in [
        sign(Claims { id: alice(), ..Claims::default() }).await,
        sign(Claims { sub: alice(), ..Claims::default() }).await,
        sign(Claims { sub: Some("bob".into()), id: alice(), ..Claims::default() }).await,
        sign(Claims { id: Some("bob".into()), iss: Some("other".into()), ..tenant("alice") }).await,
    ] {
        world.send(Method::GET, &uri, &token, None).await.expect(StatusCode::OK);
    }
}
