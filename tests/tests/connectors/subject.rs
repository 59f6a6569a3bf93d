//! A provider as the facts describe it, and the account and the client that it knows.

use serde_json::{Map, Value, json};

use crate::asked::Asked;
use crate::claims::domain;
use crate::comparison::Agreed;
use crate::fact_sheets::{FactWay, fits, origin};
use crate::facts_provider::{LIFETIME, Step, access_token, refresh_token, require};
use crate::samples::Sample;

/// A provider, and the account and the client that it knows.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) agreed: Agreed,
    pub(crate) sample: Sample,
    /// Members of token responses that the connector uses.
    pub(crate) credentials: Map<String, Value>,
    /// The bodies of the answers to the requests of a login.
    pub(crate) logins: Vec<Value>,
    /// The body of the answer to a test.
    pub(crate) test: Value,
    /// The names of its headers.
    pub(crate) headers: Vec<String>,
}

impl Subject {
    /// An address: that of the facts, or else the preset's.
    pub(crate) fn uri(&self, key: &str, fact: fn(&FactWay) -> &Option<String>) -> Option<String> {
        let fact = self.agreed.facts.as_ref().and_then(|facts| fact(facts).clone());
        fact.or_else(|| self.agreed.claims.uri(key).map(str::to_owned))
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.sample.parameters.get(name)?.as_str()
    }

    /// The strings that the end user entered.
    pub(crate) fn entered(&self) -> impl Iterator<Item = &str> {
        self.sample.input.values().filter_map(Value::as_str)
    }

    /// The entered strings that a login must send.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let names = ["clientSecret", "password"];
        names.into_iter().filter_map(|name| self.sample.input.get(name)?.as_str())
    }

    /// Whether a part of HTTP Basic is as in a template.
    pub(crate) fn is_entered(&self, template: &str, value: &str) -> bool {
        if !template.contains('{') {
            return template == value;
        }
        self.entered().any(|entered| value.contains(entered))
    }

    /// The secret's place in a request for tokens.
    pub(crate) fn check_client(&self, asked: &Asked<'_>, step: Step) -> Result<(), String> {
        let facts = self.agreed.facts.as_ref();
        let claims = &self.agreed.claims;
        let (Some(id), Some(secret)) = (self.parameter("clientId"), self.parameter("clientSecret")) else {
            return Ok(());
        };
        let has = |value: &str| asked.parameters.iter().any(|(_, it)| it == value);
        let in_headers = asked.basic.as_ref().is_some_and(|basic| basic.username == id && basic.password == secret);
        let in_body = has(id) && has(secret);
        let places: &[String] = facts.map(|facts| facts.secret_in.as_slice()).unwrap_or_default();
        let is_open = step == Step::Refresh && claims.uri("refreshClientAuthLocation").is_some();
        let is_none = is_open || claims.uri("clientAuthLocation") == Some("none");
        let fit = match places {
            [place] if place == "headers" => in_headers && !has(secret),
            [place] if place == "body" => in_body && asked.basic.is_none(),
            _ => in_headers || in_body,
        };
        require(fit || is_none, &format!("the client's secret is not where it belongs ({places:?})"))?;
        let id_name = facts.and_then(|facts| facts.token_names.get("client_id")).and_then(Value::as_str);
        let is_named =
            id_name.is_none_or(|name| asked.parameters.iter().any(|(key, value)| key == name && value == id));
        require(is_named, "the client id has another name")
    }

    /// The host of a request to the API.
    pub(crate) fn check_host(&self, asked: &Asked<'_>) -> Result<(), String> {
        let facts = self.agreed.facts.as_ref().map(FactWay::hosts).unwrap_or_default();
        if facts.is_empty() {
            return self.check_domain(asked);
        }
        let is_there = facts.iter().any(|fact| fits(origin(fact), origin(asked.url.as_str())));
        require(is_there, &format!("the facts have {facts:?}"))
    }

    /// A request that the facts don't describe must at least stay at the provider.
    pub(crate) fn check_domain(&self, asked: &Asked<'_>) -> Result<(), String> {
        let claims = &self.agreed.claims;
        let facts = self.agreed.facts.as_ref();
        let known = facts.into_iter().flat_map(|facts| {
            let uris = [&facts.authorize_uri, &facts.token_uri, &facts.revocation_uri, &facts.test, &facts.base_uri];
            uris.into_iter().flatten().cloned()
        });
        let claimed = claims.test.iter().chain(&claims.logins).chain(&claims.disconnect).cloned();
        let own = domain(asked.url.as_str());
        let is_known = known.chain(claimed).any(|uri| {
            let uri = uri.split_once(' ').map_or(uri.as_str(), |(_, uri)| uri).to_owned();
            uri.starts_with('{')
                || domain(&uri).contains('{')
                || domain(&uri) == own
                || fits(origin(&uri), origin(asked.url.as_str()))
        });
        require(is_known, "this is not a host of the provider")
    }

    pub(crate) fn token_response(&self, issued: u64) -> Value {
        let claims = &self.agreed.claims;
        let mut tokens = self.credentials.clone();
        tokens.insert("access_token".to_owned(), json!(access_token(issued)));
        tokens.insert("token_type".to_owned(), json!("bearer"));
        if self.is_refreshed() {
            tokens.insert("expires_in".to_owned(), json!(LIFETIME));
            tokens.insert("refresh_token".to_owned(), json!(refresh_token(issued)));
        }
        let path = claims.uri("tokenResponsePath").map(|path| path.split('.').collect::<Vec<_>>()).unwrap_or_default();
        path.into_iter().rev().fold(Value::Object(tokens), |inside, name| json!({ name: inside }))
    }

    /// Whether its credentials can be refreshed.
    pub(crate) fn is_refreshed(&self) -> bool {
        let claims = &self.agreed.claims;
        match claims.kind {
            "oauth2" => !claims.flag("noRefreshToken"),
            "client-credentials" | "two-step" => true,
            _ => false,
        }
    }

    /// Whether a connection's end is a request to the provider.
    pub(crate) fn is_revoked(&self) -> bool {
        let claims = &self.agreed.claims;
        claims.disconnect.is_some() || claims.uri("revocationUri").is_some()
    }
}
