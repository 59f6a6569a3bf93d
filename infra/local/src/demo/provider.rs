//! A small OAuth2 provider for trying Larder out, with PKCE, rotating refresh tokens, and access tokens that expire after
//! 90 seconds.
//!
//! Tokens are signed, not stored, so they survive a restart as long as the key in the secrets file does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use larder::clock::Clock;
use larder::digest::sha256_base64url;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, json};
use larder::random::{self, Rng};
use larder::secret::Secret;
use larder::secret_store::{SecretFile, SecretStore};
use larder_engine::pages::{self, Language, Origin, PagePolicy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::app;
use super::welcome::Welcome;

/// The demo provider.
pub struct DemoProvider {
    key: Secret,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// The ids of used codes and refresh tokens.
    used: Mutex<HashSet<String>>,
}

#[derive(Serialize, Deserialize)]
struct DemoToken {
    kind: DemoTokenKind,
    id: String,
    exp: i64,
    /// The number of the token since the approval, from 1.
    #[serde(default)]
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    challenge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum DemoTokenKind {
    Code,
    Access,
    Refresh,
}

#[derive(Template)]
#[template(path = "approve.html")]
struct ApprovePage<'a> {
    query: &'a str,
}

/// An error response (RFC 6749 §5.2).
struct GrantError(StatusCode, &'static str);

impl DemoProvider {
    /// The path prefix of the endpoints.
    pub const PREFIX: &str = "/demo/";
    /// The lifetime of an access token.
    pub const ACCESS_LIFETIME: Duration = Duration::from_secs(90);
    const CLIENT_ID: &str = "demo-client";
    const CLIENT_SECRET: &str = "demo-secret-for-this-machine-only";
    const CODE_LIFETIME: Duration = Duration::from_mins(1);
    const REFRESH_LIFETIME: Duration = Duration::from_hours(24 * 30);

    /// Opens the provider with its key from the secrets file, creating the key if it is missing.
    ///
    /// # Errors
    /// 503 when the file cannot be used.
    pub async fn open(secrets: &SecretFile, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Result<Self, Error> {
        const NAME: &str = "demo-provider";
        let key = match secrets.get(NAME).await? {
            Some(key) => key,
            None => {
                let key = Secret::new(random::token::<32>(&*rng));
                secrets.put(NAME, &key).await?;
                key
            }
        };
        Ok(Self { key, clock, rng, used: Mutex::default() })
    }

    /// The usual ports of web applications in development.
    const DEVELOPMENT_PORTS: [u16; 3] = [3000, 5173, 8080];
    const OWN_PAGES: [&str; 2] = [Welcome::PATH, app::PATH];

    /// The body of `PUT /integrations/demo`. It allows redirects to applications in development and to the URIs that the
    /// integration listed before, and to the demo's own pages.
    pub fn integration(base_uri: &str, redirect_uris: Vec<String>) -> Value {
        let usual = Self::DEVELOPMENT_PORTS
            .into_iter()
            .flat_map(|port| ["localhost", "127.0.0.1"].map(|host| format!("http://{host}:{port}/")));
        let mut all: Vec<_> = usual.collect();
        all.extend(Self::OWN_PAGES.map(|path| format!("{base_uri}{path}")));
        for uri in redirect_uris {
            // The program may have run at another port before.
            let is_own_page = Self::OWN_PAGES.iter().any(|path| uri.ends_with(path));
            if !is_own_page && !all.contains(&uri) && Origin::of_redirect_uri(&uri).is_ok() {
                all.push(uri);
            }
        }
        json!({
            "connectorKey": "demo",
            "name": "Demo",
            "redirectUris": all,
            "parameters": {
                "clientId": Self::CLIENT_ID,
                "clientSecret": Self::CLIENT_SECRET,
                "baseUri": format!("{base_uri}{}", Self::PREFIX.trim_end_matches('/')),
            },
        })
    }

    /// Answers a request.
    pub fn handle(&self, request: &Request) -> Response {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/demo/authorize") => Self::approve_page(request),
            (&Method::POST, "/demo/authorize") => self.decide(request),
            (&Method::POST, "/demo/token") => self.issue(request),
            (&Method::GET, "/demo/me") => self.user_info(request),
            _ => Error::not_found("the demo provider has /demo/authorize, /demo/token and /demo/me").into(),
        }
    }

    fn approve_page(request: &Request) -> Response {
        let query = request.uri().query().unwrap_or_default();
        let client = Parameters::parse(query.as_bytes());
        match client.optional("client_id") {
            Ok(Some(Self::CLIENT_ID)) => {
                let rendered = ApprovePage { query }.render();
                pages::html(StatusCode::OK, rendered, PagePolicy { has_form: true, ..PagePolicy::default() })
            }
            _ => Error::bad_request("unknown client_id").into(),
        }
    }

    fn decide(&self, request: &Request) -> Response {
        // The decision must come from the person at this page, not from a page of another origin.
        if request.headers().get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
            return Error::access_denied("only the demo provider's own page can approve or deny").into();
        }
        let query = Parameters::of_query(request);
        let get = |name| query.optional(name).ok().flatten();
        let target = get("redirect_uri").and_then(|uri| Url::parse(uri).ok());
        let Some(mut target) = target.filter(|url| matches!(url.scheme(), "http" | "https")) else {
            return Error::bad_request("redirect_uri is missing or not an http(s) URL").into();
        };
        let answer = Parameters::parse(request.body());
        if answer.optional("decision").ok().flatten() == Some("approve") {
            let code = DemoToken {
                challenge: get("code_challenge").map(ToOwned::to_owned),
                redirect_uri: get("redirect_uri").map(ToOwned::to_owned),
                ..self.token(DemoTokenKind::Code, Self::CODE_LIFETIME, 0)
            };
            target.query_pairs_mut().append_pair("code", &self.sign(&code));
        } else {
            target.query_pairs_mut().append_pair("error", "access_denied");
        }
        target.query_pairs_mut().append_pair("state", get("state").unwrap_or_default());
        let language = Language::default();
        pages::onward(StatusCode::OK, language, "Demo provider", "Taking you back …", Duration::ZERO, target.as_str())
    }

    fn issue(&self, request: &Request) -> Response {
        match self.grant(request) {
            Ok(tokens) => json(StatusCode::OK, &tokens),
            Err(GrantError(status, code)) => json(status, &json!({ "error": code })),
        }
    }

    fn grant(&self, request: &Request) -> Result<Value, GrantError> {
        let form = Parameters::parse(request.body());
        let get = |name| form.optional(name).ok().flatten();
        let basic = STANDARD.encode(format!("{}:{}", Self::CLIENT_ID, Self::CLIENT_SECRET));
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let is_known = header == Some(&format!("Basic {basic}"))
            || (get("client_id"), get("client_secret")) == (Some(Self::CLIENT_ID), Some(Self::CLIENT_SECRET));
        if !is_known {
            return Err(GrantError(StatusCode::UNAUTHORIZED, "invalid_client"));
        }
        let invalid_grant = GrantError(StatusCode::BAD_REQUEST, "invalid_grant");
        let used = match get("grant_type") {
            Some("authorization_code") => {
                let code = self.redeem(DemoTokenKind::Code, get("code")).ok_or(invalid_grant)?;
                let challenge = get("code_verifier").map(sha256_base64url);
                if code.challenge != challenge || code.redirect_uri.as_deref() != get("redirect_uri") {
                    return Err(GrantError(StatusCode::BAD_REQUEST, "invalid_grant"));
                }
                code
            }
            Some("refresh_token") => self.redeem(DemoTokenKind::Refresh, get("refresh_token")).ok_or(invalid_grant)?,
            _ => return Err(GrantError(StatusCode::BAD_REQUEST, "unsupported_grant_type")),
        };
        let number = used.number + 1;
        Ok(json!({
            "access_token": self.sign(&self.token(DemoTokenKind::Access, Self::ACCESS_LIFETIME, number)),
            "token_type": "Bearer",
            "expires_in": Self::ACCESS_LIFETIME.as_secs(),
            "refresh_token": self.sign(&self.token(DemoTokenKind::Refresh, Self::REFRESH_LIFETIME, number)),
        }))
    }

    fn user_info(&self, request: &Request) -> Response {
        let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match token.and_then(|token| self.verify(DemoTokenKind::Access, token.strip_prefix("Bearer ")?)) {
            Some(token) => {
                json(StatusCode::OK, &json!({ "id": "demo", "name": "Demo user", "tokenExpiresAt": token.exp }))
            }
            None => json(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_token" })),
        }
    }

    /// Returns the number of an access token among those since the approval, from 1, even if it has expired.
    pub(super) fn number_of(&self, access_token: &str) -> Option<u64> {
        self.read(access_token).filter(|token| token.kind == DemoTokenKind::Access).map(|token| token.number)
    }

    fn token(&self, kind: DemoTokenKind, lifetime: Duration, number: u64) -> DemoToken {
        let exp = (self.clock.now() + lifetime).unix_timestamp();
        DemoToken { kind, id: random::token::<12>(&*self.rng), exp, number, challenge: None, redirect_uri: None }
    }

    fn sign(&self, token: &DemoToken) -> String {
        let key = EncodingKey::from_secret(self.key.expose().as_bytes());
        jsonwebtoken::encode(&Header::default(), token, &key).unwrap_or_default()
    }

    fn verify(&self, kind: DemoTokenKind, token: &str) -> Option<DemoToken> {
        self.read(token).filter(|token| token.kind == kind && token.exp > self.clock.now().unix_timestamp())
    }

    /// Reads a token that was signed here, even if it has expired.
    fn read(&self, token: &str) -> Option<DemoToken> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let key = DecodingKey::from_secret(self.key.expose().as_bytes());
        jsonwebtoken::decode::<DemoToken>(token, &key, &rules).ok().map(|token| token.claims)
    }

    /// Verifies a code or a refresh token, and marks it as used: each works once.
    fn redeem(&self, kind: DemoTokenKind, token: Option<&str>) -> Option<DemoToken> {
        let token = self.verify(kind, token?)?;
        self.used.lock().expect("the lock is not poisoned").insert(token.id.clone()).then_some(token)
    }
}
