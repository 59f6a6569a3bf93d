//! A small OAuth2 provider for trying Larder out: PKCE, rotating refresh tokens, access tokens that live 90 seconds.
//!
//! Its tokens are signed rather than stored, so they survive a restart as long as the key in the secrets file does.

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
use larder_engine::connect::{Origin, page};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

/// The provider.
pub struct DemoProvider {
    key: Secret,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// The ids of codes and refresh tokens that were used.
    used: Mutex<HashSet<String>>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    kind: Kind,
    id: String,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    challenge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Code,
    Access,
    Refresh,
}

#[derive(Template)]
#[template(path = "approve.html")]
struct ApprovePage<'a> {
    style: &'a str,
    query: &'a str,
}

/// An error of RFC 6749 §5.2.
struct Refusal(StatusCode, &'static str);

impl DemoProvider {
    /// Where its endpoints are.
    pub const PREFIX: &str = "/demo/";
    /// How long an access token lives.
    pub const LIFE: Duration = Duration::from_secs(90);
    const CLIENT_ID: &str = "demo-client";
    const CLIENT_SECRET: &str = "demo-secret-for-this-machine-only";
    const CODE_LIFE: Duration = Duration::from_mins(1);
    const REFRESH_LIFE: Duration = Duration::from_hours(24 * 30);

    /// A provider whose key is in the secrets file.
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

    /// The usual ports of web applications under development.
    const DEVELOPMENT_PORTS: [u16; 3] = [3000, 5173, 8080];

    /// The integration that leads here: what `PUT /integrations/demo` takes. Results may go to applications under
    /// development, and to the URIs that were listed before.
    pub fn integration(base_uri: &str, redirect_uris: Vec<String>) -> Value {
        let usual = Self::DEVELOPMENT_PORTS
            .into_iter()
            .flat_map(|port| ["localhost", "127.0.0.1"].map(|host| format!("http://{host}:{port}/")));
        let mut all: Vec<_> = usual.collect();
        for uri in redirect_uris {
            if !all.contains(&uri) && Origin::of_redirect_uri(&uri).is_ok() {
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
            (&Method::GET, "/demo/authorize") => Self::ask(request),
            (&Method::POST, "/demo/authorize") => self.decide(request),
            (&Method::POST, "/demo/token") => self.issue(request),
            (&Method::GET, "/demo/me") => self.who(request),
            _ => Error::not_found("the demo provider has /demo/authorize, /demo/token and /demo/me").into(),
        }
    }

    fn ask(request: &Request) -> Response {
        let query = request.uri().query().unwrap_or_default();
        let client = Parameters::parse(query.as_bytes());
        match client.optional("client_id") {
            Ok(Some(Self::CLIENT_ID)) => {
                let rendered = ApprovePage { style: page::STYLE, query }.render();
                page::html(StatusCode::OK, rendered, &[], "form-action 'self'")
            }
            _ => Error::bad_request("unknown client_id").into(),
        }
    }

    fn decide(&self, request: &Request) -> Response {
        // Only the person before the page decides, and no page of another origin.
        if request.headers().get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
            return Error::access_denied("the decision comes from the page of the demo provider").into();
        }
        let asked = Parameters::of_query(request);
        let get = |name| asked.optional(name).ok().flatten();
        let target = get("redirect_uri").and_then(|uri| Url::parse(uri).ok());
        let Some(mut target) = target.filter(|url| matches!(url.scheme(), "http" | "https")) else {
            return Error::bad_request("redirect_uri is missing, or no http(s) URL").into();
        };
        let answer = Parameters::parse(request.body());
        if answer.optional("decision").ok().flatten() == Some("approve") {
            let code = Token {
                challenge: get("code_challenge").map(ToOwned::to_owned),
                redirect_uri: get("redirect_uri").map(ToOwned::to_owned),
                ..self.token(Kind::Code, Self::CODE_LIFE)
            };
            target.query_pairs_mut().append_pair("code", &self.sign(&code));
        } else {
            target.query_pairs_mut().append_pair("error", "access_denied");
        }
        target.query_pairs_mut().append_pair("state", get("state").unwrap_or_default());
        page::onward(StatusCode::OK, "Demo provider", "You are being sent back.", Duration::ZERO, target.as_str())
    }

    fn issue(&self, request: &Request) -> Response {
        match self.grant(request) {
            Ok(tokens) => json(StatusCode::OK, &tokens),
            Err(Refusal(status, code)) => json(status, &json!({ "error": code })),
        }
    }

    fn grant(&self, request: &Request) -> Result<Value, Refusal> {
        let form = Parameters::parse(request.body());
        let get = |name| form.optional(name).ok().flatten();
        let basic = STANDARD.encode(format!("{}:{}", Self::CLIENT_ID, Self::CLIENT_SECRET));
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let is_known = header == Some(&format!("Basic {basic}"))
            || (get("client_id"), get("client_secret")) == (Some(Self::CLIENT_ID), Some(Self::CLIENT_SECRET));
        if !is_known {
            return Err(Refusal(StatusCode::UNAUTHORIZED, "invalid_client"));
        }
        let dead = Refusal(StatusCode::BAD_REQUEST, "invalid_grant");
        match get("grant_type") {
            Some("authorization_code") => {
                let code = self.redeem(Kind::Code, get("code")).ok_or(dead)?;
                let challenge = get("code_verifier").map(sha256_base64url);
                if code.challenge != challenge || code.redirect_uri.as_deref() != get("redirect_uri") {
                    return Err(Refusal(StatusCode::BAD_REQUEST, "invalid_grant"));
                }
            }
            Some("refresh_token") => {
                self.redeem(Kind::Refresh, get("refresh_token")).ok_or(dead)?;
            }
            _ => return Err(Refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type")),
        }
        Ok(json!({
            "access_token": self.sign(&self.token(Kind::Access, Self::LIFE)),
            "token_type": "Bearer",
            "expires_in": Self::LIFE.as_secs(),
            "refresh_token": self.sign(&self.token(Kind::Refresh, Self::REFRESH_LIFE)),
        }))
    }

    fn who(&self, request: &Request) -> Response {
        let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match token.and_then(|token| self.verify(Kind::Access, token.strip_prefix("Bearer ")?)) {
            Some(token) => json(StatusCode::OK, &json!({ "name": "Demo user", "tokenExpiresAt": token.exp })),
            None => json(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_token" })),
        }
    }

    fn token(&self, kind: Kind, life: Duration) -> Token {
        let exp = (self.clock.now() + life).unix_timestamp();
        Token { kind, id: random::token::<12>(&*self.rng), exp, challenge: None, redirect_uri: None }
    }

    fn sign(&self, token: &Token) -> String {
        let key = EncodingKey::from_secret(self.key.expose().as_bytes());
        jsonwebtoken::encode(&Header::default(), token, &key).unwrap_or_default()
    }

    fn verify(&self, kind: Kind, text: &str) -> Option<Token> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let key = DecodingKey::from_secret(self.key.expose().as_bytes());
        let token = jsonwebtoken::decode::<Token>(text, &key, &rules).ok()?.claims;
        (token.kind == kind && token.exp > self.clock.now().unix_timestamp()).then_some(token)
    }

    /// A code or a refresh token is good once.
    fn redeem(&self, kind: Kind, text: Option<&str>) -> Option<Token> {
        let token = self.verify(kind, text?)?;
        self.used.lock().expect("no panic holds it").insert(token.id.clone()).then_some(token)
    }
}
