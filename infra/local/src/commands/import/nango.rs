//! Nango's API, and its connections as Larder's.
//!
//! # Decisions
//!
//! `GET /connections` is read page by page until a page brings nothing new, so that a Nango that doesn't know pages is read
//! once more and not forever.
//!
//! The key in Larder is made of both of Nango's keys, since its connection ids are unique only within a provider config key.
//!
//! Lifetimes in the provider's raw answer count from then, so only Nango's `expires_at` is imported.

use std::collections::HashSet;
use std::time::Duration;

use clap::ValueEnum;
use http::Method;
use larder::secret::Secret;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use url::Url;

use super::mapping::{Mapping, Rule};
use super::pace::{Pacer, persistently};
use super::target::{Target, Way};
use super::tokens::{Lifetime, lifetime};
use super::{Draft, Heading, Outcome, Unfit};
use crate::commands::client::{CommandError, Server, text};

/// Connections on a page.
const PAGE: &str = "100";
/// The most bytes of a connection's key in Larder.
const MAX_KEY: usize = 255;

/// The part of Nango's connection that becomes the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TenantFrom {
    /// End user
    EndUser,
    /// End user's organization
    Organization,
    /// Connection itself
    ConnectionId,
}

/// An environment of Nango, which its secret key names, and how its connections become Larder's.
pub(super) struct Nango {
    server: Server,
    secret_key: Secret,
    mapping: Mapping,
    tenant_from: TenantFrom,
    /// Holds all requests back while Nango asks for it.
    pacer: Pacer,
}

/// A connection as Nango lists it, without credentials.
#[derive(Deserialize)]
pub(super) struct Listed {
    connection_id: String,
    provider_config_key: String,
    #[serde(default)]
    end_user: Value,
    #[serde(default)]
    tags: Value,
}

/// The reason why a connection's credentials were not read.
pub(super) enum Unread {
    /// Nango has none that work.
    Gone(String),
    /// Nango doesn't answer, or rejects the secret key.
    Failed(CommandError),
}

impl Nango {
    /// Creates a client.
    ///
    /// # Errors
    /// When the machine's certificate authorities cannot be used.
    pub(super) fn new(
        url: Url,
        secret_key: Secret,
        mapping: Mapping,
        tenant_from: TenantFrom,
    ) -> Result<Self, CommandError> {
        let (server, pacer) = (Server::new(url)?, Pacer::new(Duration::ZERO));
        Ok(Self { server, secret_key, mapping, tenant_from, pacer })
    }

    /// Lists all connections.
    ///
    /// # Errors
    /// When Nango does not answer, or rejects the secret key.
    pub(super) async fn list(&self) -> Result<Vec<Listed>, CommandError> {
        #[derive(Deserialize)]
        struct ListPage {
            connections: Vec<Listed>,
        }
        let path = ["connections"];
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        for page in 0_usize.. {
            let query = [("limit", PAGE), ("page", &*page.to_string())];
            let answer = persistently(&self.pacer, || self.get(&path, &query)).await?;
            let page = serde_json::from_value(answer);
            let ListPage { connections } = page.map_err(|_| {
                CommandError::Failed(format!("the answer of {} is not a list of connections", self.server.name()))
            })?;
            let before = all.len();
            let is_new =
                |listed: &Listed| seen.insert((listed.provider_config_key.clone(), listed.connection_id.clone()));
            all.extend(connections.into_iter().filter(is_new));
            if all.len() == before {
                break;
            }
        }
        Ok(all)
    }

    /// Reads a connection with its credentials. If its access token is about to expire, Nango refreshes it first.
    ///
    /// # Errors
    /// When there are no credentials.
    pub(super) async fn read(&self, listed: &Listed, target: &Target) -> Result<Value, Unread> {
        let path = ["connections", &listed.connection_id];
        let query = [
            ("provider_config_key", listed.provider_config_key.as_str()),
            ("refresh_token", "true"),
            ("force_refresh", "false"),
        ];
        let read = async || {
            if target.refreshes() {
                target.pacer.turn().await;
            }
            self.get(&path, &query).await
        };
        persistently(&self.pacer, read).await.map_err(|error| match error.status().map(|status| status.as_u16()) {
            None if error.has_no_url() => Unread::Gone(format!("its connection id cannot be looked up: {error}")),
            Some(400 | 404 | 422 | 424) => Unread::Gone(format!("Nango has no working credentials for it: {error}")),
            _ => Unread::Failed(error),
        })
    }

    /// The integration, the tenant and the key.
    ///
    /// # Errors
    /// The reason why it cannot be imported.
    pub(super) fn heading(&self, listed: &Listed) -> Result<Heading, String> {
        let rule = self.mapping.rule(&listed.provider_config_key).ok_or("the mapping file leaves it out")?;
        let tenant = match self.tenant_from {
            TenantFrom::EndUser => id_of(&listed.end_user).or_else(|| tag(&listed.tags, "end_user_id")),
            TenantFrom::Organization => {
                let organization = listed.end_user.get("organization").and_then(id_of);
                organization.or_else(|| tag(&listed.tags, "organization_id"))
            }
            TenantFrom::ConnectionId => Some(listed.connection_id.clone()),
        };
        let tenant = tenant.ok_or_else(|| {
            let part = if self.tenant_from == TenantFrom::Organization { "organization" } else { "end user" };
            format!("it has no {part} in Nango; take the tenant from something else with --tenant-from")
        })?;
        let key = format!("nango:{}:{}", listed.provider_config_key, listed.connection_id);
        if key.chars().count() > MAX_KEY {
            return Err(format!("its key in Larder would be longer than {MAX_KEY} characters"));
        }
        Ok(Heading { integration: rule.integration, tenant, key })
    }

    /// The request that creates the connection. `connection` is what [`Nango::read`] returned.
    ///
    /// # Errors
    /// The reason why it cannot be imported.
    pub(super) fn draft(
        &self,
        listed: &Listed,
        heading: &Heading,
        connection: &Value,
        ways: &[Way],
        is_tested: bool,
        now: OffsetDateTime,
    ) -> Result<Draft, Unfit> {
        let skipped = |reason| (Outcome::Skipped, reason);
        let draft = self.unchecked_draft(listed, heading, connection, ways, is_tested, now).map_err(skipped)?;
        match ::connections::check_creation(draft.body.clone().into_bytes()) {
            Ok(()) => Ok(draft),
            Err(error) => Err((Outcome::Failed, error.message)),
        }
    }

    /// As [`Self::draft`], although Larder may reject it.
    fn unchecked_draft(
        &self,
        listed: &Listed,
        heading: &Heading,
        connection: &Value,
        ways: &[Way],
        is_tested: bool,
        now: OffsetDateTime,
    ) -> Result<Draft, String> {
        let rule = self.mapping.rule(&listed.provider_config_key).unwrap_or_default();
        let credentials =
            connection.get("credentials").and_then(Value::as_object).ok_or("Nango has no credentials for it")?;
        let mode = credentials.get("type").and_then(Value::as_str).unwrap_or_default();
        let kind = match mode {
            "OAUTH2" => "oauth2",
            "OAUTH1" => "oauth1",
            "API_KEY" | "BASIC" | "OAUTH2_CC" | "TWO_STEP" => "client-credentials",
            _ => {
                return Err(format!(
                    "connections of Nango's auth mode {mode} cannot be imported; its user must connect again"
                ));
            }
        };
        let has_key = |way: &&Way| rule.auth_option_key.is_none() || way.key == rule.auth_option_key;
        let mut fitting = ways.iter().filter(has_key).filter(|way| way.kind == kind).peekable();
        if fitting.peek().is_none() {
            return Err(format!("the integration `{}` has no way to connect that fits {mode}", heading.integration));
        }
        // The first way for which Nango has all values.
        let mut missing = String::new();
        let found = fitting.find_map(|way| match inputs(way, connection, mode, &rule) {
            Ok(input) => Some((way, input)),
            Err(name) => {
                missing = name;
                None
            }
        });
        let (way, input) = found
            .ok_or_else(|| format!("Nango has no value for `{missing}`; map it under `input` in the mapping file"))?;
        let tokens = tokens(mode, credentials);
        let lifetime = match &tokens {
            Some(tokens) if kind == "oauth2" => lifetime(tokens, now)?,
            _ => Lifetime::Valid,
        };
        let mut body = json!({
            "integrationKey": heading.integration,
            "tenantKey": heading.tenant,
            "key": heading.key,
            "authOptionKey": way.key,
            "input": Some(input).filter(|input| !input.is_empty()),
            "credentials": tokens,
            "tags": strings(connection.get("tags").unwrap_or(&listed.tags)),
            "meta": connection.get("metadata").filter(|meta| meta.as_object().is_some_and(|meta| !meta.is_empty())),
            "test": (!is_tested || lifetime == Lifetime::Expired).then_some(false),
        });
        if let Some(members) = body.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        Ok(Draft { body: body.to_string(), note: lifetime.note() })
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, CommandError> {
        let answer = self.server.call(Method::GET, path, query, None, &self.secret_key).await;
        answer.map_err(|error| match error {
            CommandError::Rejected(mut rejection) if matches!(rejection.status.as_u16(), 401 | 403) => {
                rejection.message = format!(
                    "{} rejects the secret key: {}; put that of the environment into the variable",
                    self.server.name(),
                    rejection.message
                );
                CommandError::Rejected(rejection)
            }
            error => error,
        })
    }
}

impl Listed {
    /// The name for people.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.provider_config_key, self.connection_id)
    }
}

fn id_of(object: &Value) -> Option<String> {
    Some(text(object, "id")).filter(|id| !id.is_empty()).map(ToOwned::to_owned)
}

fn tag(tags: &Value, name: &str) -> Option<String> {
    Some(text(tags, name)).filter(|id| !id.is_empty()).map(ToOwned::to_owned)
}

/// The tags that are strings, if there are any.
fn strings(tags: &Value) -> Option<Map<String, Value>> {
    let tags = tags.as_object()?.iter().filter(|(_, value)| value.is_string());
    let tags: Map<_, _> = tags.map(|(name, value)| (name.clone(), value.clone())).collect();
    Some(tags).filter(|tags| !tags.is_empty())
}

/// The tokens as the provider's answer would have them. `None` if the connection is made of what its user entered.
fn tokens(mode: &str, credentials: &Map<String, Value>) -> Option<Map<String, Value>> {
    let names: &[&str] = match mode {
        "OAUTH2" => &["access_token", "refresh_token", "expires_at"],
        "OAUTH1" => &["oauth_token", "oauth_token_secret"],
        _ => return None,
    };
    let raw = credentials.get("raw").and_then(Value::as_object);
    let lasting = raw.into_iter().flatten().filter(|(name, _)| !is_lifetime(name));
    let mut tokens: Map<_, _> = lasting.map(|(name, value)| (name.clone(), value.clone())).collect();
    for name in names {
        if let Some(value) = credentials.get(*name).filter(|value| !value.is_null()) {
            tokens.insert((*name).to_owned(), value.clone());
        }
    }
    Some(tokens)
}

fn is_lifetime(name: &str) -> bool {
    let name = name.to_lowercase();
    ["expire", "expiry", "expiration"].iter().any(|word| name.contains(word))
}

/// The values of a way's input, from the mapping file or from members with the same name.
///
/// # Errors
/// The name of a value that is required and missing.
fn inputs(way: &Way, connection: &Value, mode: &str, rule: &Rule) -> Result<Map<String, Value>, String> {
    let empty = Map::new();
    let properties =
        way.input_schema.as_ref().and_then(|schema| schema.get("properties")?.as_object()).unwrap_or(&empty);
    // Tokens are no input: their names could be those of a property by chance.
    let is_entered = tokens(mode, &empty).is_none();
    let entered = connection.get("credentials").filter(|_| is_entered);
    let sources: Vec<_> = [entered, connection.get("connection_config")].into_iter().flatten().collect();
    let mut values = Map::new();
    for name in properties.keys() {
        let value = match rule.input.get(name) {
            Some(path) => path.split('.').try_fold(connection, |value, member| value.get(member)),
            None => sources.iter().find_map(|source| named(source, name)),
        };
        values.extend(value.filter(|value| has_value(value)).map(|value| (name.clone(), value.clone())));
    }
    if let ("API_KEY", Some(key)) = (mode, entered.and_then(|it| named(it, "apiKey")).filter(|key| has_value(key))) {
        // A way with one secret means that one, by any name.
        let secret: Vec<_> = properties.iter().filter(|(_, schema)| is_secret(schema)).map(|(name, _)| name).collect();
        if let [only] = &secret[..] {
            values.entry(only.as_str()).or_insert_with(|| key.clone());
        }
    }
    let required = way.input_schema.as_ref().and_then(|schema| schema.get("required")?.as_array());
    let missing = required.into_iter().flatten().filter_map(Value::as_str).find(|name| !values.contains_key(*name));
    missing.map_or(Ok(values), |name| Err(name.to_owned()))
}

/// The member with this name, however it separates words.
fn named<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let wanted = plain(name);
    object.as_object()?.iter().find(|(name, _)| plain(name) == wanted).map(|(_, value)| value)
}

fn has_value(value: &Value) -> bool {
    !value.is_null() && value.as_str() != Some("")
}

fn is_secret(schema: &Value) -> bool {
    schema.get("isSensitive") == Some(&Value::Bool(true)) || text(schema, "format") == "password"
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn listed() -> Listed {
        let listed = json!({"connection_id": "c-1", "provider_config_key": "crm", "end_user": {"id": "alice",
            "organization": {"id": "acme"}}, "tags": {"team": "red"}});
        serde_json::from_value(listed).expect("it is valid")
    }

    fn way(kind: &str, properties: &Value, required: &[&str]) -> Way {
        let schema = json!({"type": "object", "properties": properties, "required": required});
        Way { key: None, kind: kind.into(), input_schema: schema.as_object().cloned() }
    }

    fn oauth2() -> Way {
        Way { kind: "oauth2".into(), ..Way::default() }
    }

    fn draft(connection: &Value, ways: &[Way]) -> Result<Value, String> {
        draft_with(connection, ways, Rule::default())
    }

    fn nango(mapping: Mapping, tenant_from: TenantFrom) -> Nango {
        let url = Url::parse("http://nango.example").expect("a URL");
        Nango::new(url, Secret::new("s"), mapping, tenant_from).expect("a client")
    }

    fn draft_with(connection: &Value, ways: &[Way], rule: Rule) -> Result<Value, String> {
        let rule = Rule { integration: "crm".into(), ..rule };
        let nango = nango(Mapping::of("crm", rule), TenantFrom::EndUser);
        let heading = nango.heading(&listed())?;
        let draft = nango.draft(&listed(), &heading, connection, ways, true, NOW).map_err(|(_, reason)| reason)?;
        Ok(serde_json::from_str(&draft.body).expect("JSON"))
    }

    #[test]
    fn the_key_and_the_tenant_come_from_nangos_ids() {
        let heading = |from, listed: &Listed| nango(Mapping::default(), from).heading(listed);
        let tenant = |from, listed: &Listed| heading(from, listed).map(|heading| heading.tenant);
        assert_eq!(tenant(TenantFrom::EndUser, &listed()).as_deref(), Ok("alice"));
        assert_eq!(tenant(TenantFrom::Organization, &listed()).as_deref(), Ok("acme"));
        assert_eq!(tenant(TenantFrom::ConnectionId, &listed()).as_deref(), Ok("c-1"));
        let key = heading(TenantFrom::EndUser, &listed()).map(|heading| heading.key);
        assert_eq!(key.as_deref(), Ok("nango:crm:c-1"));
        let tagged = Listed { end_user: Value::Null, tags: json!({"end_user_id": "bob"}), ..listed() };
        assert_eq!(tenant(TenantFrom::EndUser, &tagged).as_deref(), Ok("bob"));
        let nobody = Listed { end_user: Value::Null, tags: Value::Null, ..listed() };
        let reason = tenant(TenantFrom::EndUser, &nobody).expect_err("no tenant");
        assert!(reason.contains("--tenant-from"), "{reason}");
    }

    #[test]
    fn tokens_are_the_newest_and_lifetimes_of_old_answers_are_left_out() {
        let connection = json!({
            "credentials": {
                "type": "OAUTH2", "access_token": "a2", "refresh_token": "r2", "expires_at": "2026-01-01T01:00:00Z",
                "raw": {"access_token": "a1", "refresh_token": "r1", "expires_in": 3600, "ext_expires_in": 3600,
                    "scope": "read"},
            },
            "connection_config": {"scope": "not an input"},
            "metadata": {"plan": "pro"},
            "tags": {"team": "blue", "size": 7},
        });
        let expected = json!({
            "integrationKey": "crm",
            "tenantKey": "alice",
            "key": "nango:crm:c-1",
            "credentials": {
                "access_token": "a2", "refresh_token": "r2", "scope": "read", "expires_at": "2026-01-01T01:00:00Z",
            },
            "tags": {"team": "blue"},
            "meta": {"plan": "pro"},
        });
        assert_eq!(draft(&connection, &[oauth2()]), Ok(expected));
    }

    #[test]
    fn connections_that_larder_would_reject_have_failed() {
        let draft = |tags: Value| {
            let connection = json!({"credentials": {"type": "OAUTH2", "access_token": "a"}, "tags": tags});
            let nango = nango(Mapping::default(), TenantFrom::EndUser);
            let heading = nango.heading(&listed()).expect("it has a tenant");
            nango.draft(&listed(), &heading, &connection, &[oauth2()], true, NOW).map(drop)
        };
        let many: Map<_, _> = (0..12).map(|tag| (tag.to_string(), json!("red"))).collect();
        for (tags, expected) in [(json!(many), "12 members"), (json!({"team": "t".repeat(300)}), "300 characters")] {
            let (outcome, reason) = draft(tags).expect_err("it would be rejected");
            assert!(outcome == Outcome::Failed && reason.contains(expected), "{reason}");
        }
        assert_eq!(draft(json!({"team": "red"})), Ok(()));
    }

    #[test]
    fn expired_tokens_with_a_refresh_token_are_imported_untested() {
        let connection = |refresh_token: Value| {
            json!({"credentials": {"type": "OAUTH2", "access_token": "a", "refresh_token": refresh_token,
                "expires_at": "2025-12-31T23:00:00Z"}})
        };
        assert_eq!(draft(&connection(json!("r")), &[oauth2()]).map(|body| body["test"].clone()), Ok(json!(false)));
        let reason = draft(&connection(Value::Null), &[oauth2()]).expect_err("it is dead");
        assert!(reason.contains("no refresh token"), "{reason}");
    }

    #[test]
    fn entered_values_become_the_input_of_the_way_that_has_them_all() {
        let key =
            json!({"credentials": {"type": "API_KEY", "apiKey": "k"}, "connection_config": {"sub_domain": "acme"}});
        let secret = json!({"type": "string", "isSensitive": true});
        let ways = [
            way("oauth2", &json!({}), &[]),
            way("client-credentials", &json!({"account": {}, "token": secret}), &["account", "token"]),
            way("client-credentials", &json!({"subdomain": {}, "token": secret}), &["subdomain", "token"]),
        ];
        let body = draft(&key, &ways).expect("it fits");
        assert_eq!(body["input"], json!({"subdomain": "acme", "token": "k"}));
        assert_eq!(body.get("credentials"), None);
        let reason = draft(&key, &ways[..2]).expect_err("a value is missing");
        assert!(reason.contains("`account`"), "{reason}");
        let input = [("account".to_owned(), "connection_config.sub_domain".to_owned())].into();
        let mapped = draft_with(&key, &ways[..2], Rule { input, ..Rule::default() }).expect("it is mapped");
        assert_eq!(mapped["input"], json!({"account": "acme", "token": "k"}));
        let basic = json!({"credentials": {"type": "BASIC", "username": "u", "password": "p"}});
        let ways = [way("client-credentials", &json!({"userName": {}, "password": secret}), &["userName", "password"])];
        assert_eq!(draft(&basic, &ways).expect("it fits")["input"], json!({"userName": "u", "password": "p"}));
    }

    #[test]
    fn connections_that_cannot_come_along_have_a_reason() {
        for (connection, ways, expected) in [
            (json!({"credentials": {"type": "APP", "access_token": "a"}}), vec![oauth2()], "auth mode APP"),
            (json!({"credentials": {}}), vec![oauth2()], "auth mode"),
            (json!({}), vec![oauth2()], "no credentials"),
            (json!({"credentials": {"type": "OAUTH1", "oauth_token": "t"}}), vec![oauth2()], "fits OAUTH1"),
            (json!({"credentials": {"type": "API_KEY", "apiKey": "k"}}), vec![oauth2()], "fits API_KEY"),
        ] {
            let reason = draft(&connection, &ways).expect_err("it cannot be imported");
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
