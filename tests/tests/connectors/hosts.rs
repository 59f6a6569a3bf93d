//! Inputs that are part of a host lead only to the provider.

use std::sync::Arc;

use http::Method;
use larder_engine::connector::AuthOption;
use larder_local::bundle::bundled_connectors;
use larder_tests::{Browser, World, say};
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::strategy::Union;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Map, json};
use url::Url;

use crate::claims::{self, Claims, Source};
use crate::fact_sheets::origin;
use crate::facts_provider::FactsProvider;
use crate::lifecycle::in_lanes;
use crate::samples::{Field, Fields, Sample, matching};

const DONE: &str = "https://app.example/done";

/// Strings that would lead elsewhere if they became part of a host.
const HOSTILE: [&str; 14] = [
    "a/b",
    "evil.com/",
    "evil.com#",
    "evil.com?",
    "evil.com\\",
    "x@evil.com",
    "x:y@evil.com",
    "evil。com／",
    "evil．com",
    "a\nevil.com/",
    "a%2fb",
    "a b",
    "..",
    "https://evil.com#",
];

/// Strings that end a host, or a label of it.
const DELIMITERS: [&str; 12] = ["/", "#", "?", "@", "\\", ":", ".", "。", "\n", "\t", "%2f", "\u{200b}"];

/// Addresses around a valid value, as people and attackers paste them.
const PASTED: [&str; 6] =
    ["https://{}/", "https://{}.evil.com", "https://evil.com/{}", "https://{}@evil.com/", "https://evil.com#{}", "{}/"];

/// An input that is part of a host.
struct HostInput {
    connector: String,
    option: Arc<AuthOption>,
    source: Source,
    name: String,
    fields: Fields,
    /// The values of the connector, with names in place of inputs.
    named: Claims,
    /// Valid values for everything else.
    valid: Sample,
    /// The end of the host that its pattern requires.
    pattern_end: String,
}

impl HostInput {
    /// All of them.
    fn all() -> Vec<Self> {
        let catalog = bundled_connectors();
        let mut found = Vec::new();
        for entry in catalog.entries() {
            let connector = catalog.get(&entry.key).unwrap_or_else(|| panic!("{} does not load", entry.key));
            for (_, option) in claims::ways(&connector) {
                let (fields, source) = (Fields::of(option), Source::read(&entry));
                // Scripts and databases have no such inputs.
                let Ok(named) = Claims::of(option, &source, &fields, &fields.named()) else { continue };
                for field in &fields.input {
                    let Some(pattern) = field.pattern().filter(|_| is_in_host(&named, &field.name)) else { continue };
                    found.push(Self {
                        connector: connector.key.clone(),
                        option: Arc::clone(option),
                        source: Source::read(&entry),
                        name: field.name.clone(),
                        fields: Fields::of(option),
                        named: named.clone(),
                        valid: fields.valid(),
                        pattern_end: literal_end(pattern),
                    });
                }
            }
        }
        found
    }

    fn field(&self) -> &Field {
        self.fields.input.iter().find(|field| field.name == self.name).expect("the field")
    }

    /// Valid values for everything else, and this value.
    fn sample(&self, value: &str) -> Sample {
        let mut sample = self.valid.clone();
        sample.input.insert(self.name.clone(), json!(value));
        sample
    }

    /// A value as Larder reads it.
    fn read(&self, value: &str) -> String {
        let input = self.option.tidied(Map::from_iter([(self.name.clone(), value.into())]));
        input[&self.name].as_str().expect("a string").to_owned()
    }

    /// The end of the hosts of a template, such as `.acme.com`; empty if there is none.
    fn suffix<'a>(&'a self, template: &'a str) -> &'a str {
        let after = origin(template).rsplit('}').next().unwrap_or_default();
        let after = after.split(':').next().unwrap_or_default();
        if after.is_empty() { &self.pattern_end } else { after }
    }

    /// The addresses with this input in their hosts.
    fn templates(&self) -> Vec<String> {
        addresses(&self.named).into_iter().filter(|uri| origin(uri).contains(&format!("{{{}}}", self.name))).collect()
    }

    /// Whether the host has no fixed end: the end user has a server of their own, or the pattern has several ends.
    fn is_own(&self) -> bool {
        self.templates().iter().any(|template| self.suffix(template).is_empty())
    }

    /// Checks the hosts that a valid value leads to.
    fn check(&self, value: &str) -> Result<(), String> {
        // An address that is no URL leads nowhere.
        let Ok(claims) = Claims::of(&self.option, &self.source, &self.fields, &self.sample(value)) else {
            return Ok(());
        };
        let of_host = format!("{{{}}}", self.name);
        for (template, uri) in addresses(&self.named).into_iter().zip(addresses(&claims)) {
            if !origin(&template).contains(&of_host) {
                continue;
            }
            let suffix = self.suffix(&template);
            let Ok(url) = Url::parse(&uri) else { continue };
            let host = url.host_str().unwrap_or_default();
            let is_own = suffix.is_empty();
            if !is_own && suffix.matches('.').count() < 2 {
                return Err(format!("{template} leads to any domain"));
            }
            let is_inside = host.ends_with(suffix) && host.len() > suffix.len();
            if !is_inside || !url.username().is_empty() || url.password().is_some() {
                return Err(format!("{value:?} leads to {uri}, not to *{suffix}"));
            }
            if !is_own && (url.scheme() != "https" || url.port().is_some()) {
                return Err(format!("{value:?} leads to {uri}"));
            }
            if is_own && own_host(value).as_deref() != Some(host) {
                return Err(format!("{value:?} leads to {uri}, another host"));
            }
        }
        Ok(())
    }
}

/// The host of an address or a host that the end user enters.
fn own_host(value: &str) -> Option<String> {
    let value = if value.contains("://") { value.to_owned() } else { format!("https://{value}") };
    Url::parse(&value).ok()?.host_str().map(str::to_owned)
}

fn is_in_host(named: &Claims, name: &str) -> bool {
    addresses(named).iter().any(|uri| origin(uri).contains(&format!("{{{name}}}")))
}

/// The labels that a pattern requires at the end, such as `.acme.com` in `^[a-z]+\.acme\.com$`.
fn literal_end(pattern: &str) -> String {
    let Some(pattern) = pattern.strip_suffix('$') else { return String::new() };
    let mut end = String::new();
    let mut labels: Vec<&str> = pattern.split("\\.").collect();
    labels.remove(0);
    for label in labels.into_iter().rev() {
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return String::new();
        }
        end.insert_str(0, &format!(".{label}"));
    }
    end
}

/// The addresses of all requests, in the same order for all values.
fn addresses(claims: &Claims) -> Vec<String> {
    let keys = ["authorizeUri", "tokenUri", "requestTokenUri", "refreshUri", "revocationUri"];
    let config = keys.into_iter().map(|key| claims.uri(key).map(str::to_owned));
    let others = [&claims.test, &claims.disconnect].map(Clone::clone);
    let all = config.chain(others).flatten().chain(claims.logins.clone());
    all.map(|uri| uri.split_once(' ').map_or(uri.clone(), |(_, uri)| uri.to_owned())).collect()
}

/// Strings for an input: those that match its pattern, the same with a delimiter, and any others.
fn strings(pattern: &str) -> impl Strategy<Value = String> + use<> {
    let any = || ".{0,16}".boxed();
    let valid = || matching(pattern).map_or_else(any, |strategy| strategy.boxed());
    let delimiters = Union::new(DELIMITERS.map(Just));
    let mixed = (valid(), delimiters, valid()).prop_map(|(first, delimiter, last)| format!("{first}{delimiter}{last}"));
    let pasted = (valid(), Union::new(PASTED.map(Just))).prop_map(|(valid, around)| around.replacen("{}", &valid, 1));
    prop_oneof![valid(), mixed, pasted, any()]
}

#[test]
fn inputs_in_hosts_lead_only_to_the_provider() {
    let inputs = HostInput::all();
    for input in &inputs {
        let (pattern, validator) = (input.field().pattern().expect("a pattern"), input.field().validator());
        let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
        let result = TestRunner::new(config).run(&strings(pattern), |value| {
            let value = input.read(&value);
            if !validator.is_valid(&json!(value)) {
                return Ok(());
            }
            input.check(&value).map_err(TestCaseError::fail)
        });
        result.unwrap_or_else(|error| panic!("{}: {}: {error}", input.connector, input.name));
    }
    let own: Vec<&str> = inputs.iter().filter(|it| it.is_own()).map(|it| it.connector.as_str()).collect();
    let (all, servers) = (inputs.len(), own.len());
    say(&format!(
        "{all} inputs are part of a host, {servers} of them without one fixed end, as for servers of one's own: {}",
        own.join(", ")
    ));
}

#[test]
fn hostile_inputs_are_rejected_before_any_request() {
    let check = async |world: &World, provider: &FactsProvider, input: HostInput| {
        let parameters = &input.valid.parameters;
        let body = json!({"connectorKey": input.connector, "parameters": parameters, "redirectUris": [DONE]});
        let answer = world.send(Method::PUT, "/integrations/it", &world.admin, Some(&body)).await;
        assert!(answer.0.status().is_success(), "{}: {}", input.connector, answer.text());
        let validator = input.field().validator();
        for value in HOSTILE {
            let read = input.read(value);
            if validator.is_valid(&json!(read)) {
                input.check(&read)?;
                continue;
            }
            let mut payload = json!({"token": world.alice, "integrationKey": "it", "redirectUri": DONE});
            payload["input"] = input.sample(value).input.into();
            if !input.option.key.is_empty() {
                payload["authOptionKey"] = json!(input.option.key);
            }
            let answer = Browser::default().post(world, "/connect", &[("payload", &payload.to_string())]).await;
            let location = answer.header("location").unwrap_or_default();
            let is_rejected =
                location.starts_with(DONE) && location.contains("error=") && location.contains(&input.name);
            if !is_rejected || !provider.problems().is_empty() {
                let requests = provider.problems();
                return Err(format!("{}: {value:?}: {location} {} {requests:?}", input.connector, answer.text()));
            }
        }
        Ok(())
    };
    let results: Vec<Result<(), String>> = in_lanes(HostInput::all(), check);
    let failures: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn the_end_of_a_host_is_known_from_a_pattern() {
    for (pattern, end) in [
        (r"^[a-z0-9-]+\.acme\.com$", ".acme.com"),
        (r"^[a-z0-9-]+(\.[a-z0-9-]+)+$", ""),
        (r"^[a-z]+$", ""),
        (r"^https://[a-z]+\.acme\.co$", ".acme.co"),
        (r"^[a-z]+\.acme\.com", ""),
    ] {
        assert_eq!(literal_end(pattern), end, "{pattern}");
    }
}
