//! Every preset connects, refreshes and disconnects, at a provider that is made from the facts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http::{Method, StatusCode};
use larder_engine::connector::index::IndexEntry;
use larder_engine::connector::{AuthOption, Connector};
use larder_local::bundle::bundled_connectors;
use larder_tests::{Browser, World, say};
use serde_json::{Value, json};
use url::Url;

use crate::answers;
use crate::claims::{self, Source};
use crate::comparison::compare;
use crate::fact_sheets::{Basic, Differences, FactWay, Facts, Placement};
use crate::facts_provider::{Counts, FactsProvider, LIFETIME, Step, TOKEN};
use crate::samples::Fields;
use crate::subject::Subject;

const DONE: &str = "https://app.example/done";

/// The number of lanes. They wait for the database now and then, so there are more than processors.
const LANES: usize = 4;

/// A change of facts.
type Change = Box<dyn Fn(&mut FactWay)>;

/// A way to connect through a preset.
struct Run {
    /// The name in messages.
    name: String,
    connector: String,
    option: String,
    subject: Subject,
}

impl Run {
    /// The ways to connect of a preset.
    fn all_of(
        entry: &IndexEntry,
        connector: &Connector,
        facts: &Facts,
        intended: &Differences,
    ) -> Vec<Result<Self, String>> {
        let source = Source::read(entry);
        let run = |(name, option): (String, &Arc<AuthOption>)| {
            let way = (name.as_str(), option.as_ref());
            let agreed =
                compare(facts, intended, connector, way, &source).map_err(|error| format!("{name}: {error}"))?;
            let agreed = agreed.agreed;
            let sample = Fields::of(option).valid();
            let uri =
                agreed.claims.uri("tokenUri").or(agreed.claims.uri("authorizeUri")).unwrap_or("https://acme.example");
            let credentials = source.credentials(&claims::domain(uri));
            let section = section(&source.preset, option);
            let test = answers::body(&[&section["test"], &section["account"]]);
            let logins = logins(&section, agreed.claims.kind);
            let headers = answers::headers(&[&section["test"], &section["account"]]);
            let subject = Subject { agreed, sample, credentials, logins, test, headers };
            Ok(Self { name, connector: connector.key.clone(), option: option.key.clone(), subject })
        };
        claims::ways(connector).map(run).collect()
    }

    /// Runs the lifetime of a connection. Returns the accepted requests.
    async fn in_world(&self, world: &World, provider: &FactsProvider) -> Result<Counts, String> {
        provider.next(self.subject.clone());
        let outcome = self.lifetime(world, provider).await;
        let problems = provider.problems();
        match outcome {
            Ok(()) if problems.is_empty() => Ok(provider.counts()),
            outcome => {
                let error = outcome.err().unwrap_or_default();
                Err(format!(
                    "{}: {error}{}",
                    self.name,
                    problems.iter().map(|it| format!("\n    {it}")).collect::<String>()
                ))
            }
        }
    }

    async fn lifetime(&self, world: &World, provider: &FactsProvider) -> Result<(), String> {
        let Subject { agreed, sample, .. } = &self.subject;
        let body = json!({"connectorKey": self.connector, "parameters": sample.parameters, "redirectUris": [DONE]});
        let answer = world.send(Method::PUT, "/integrations/it", &world.admin, Some(&body)).await;
        require(answer.0.status().is_success(), || format!("the integration is rejected: {}", answer.text()))?;
        let id = self.connect(world, provider).await?;
        let is_tested = agreed.claims.test.is_some();
        require(provider.counts().tests == u32::from(is_tested), || "it was not tested".to_owned())?;
        if is_tested {
            let answer = world.post(&format!("/connections/{id}/test")).await;
            require(answer.0.status() == StatusCode::OK, || format!("the test fails: {}", answer.text()))?;
        }
        if self.subject.is_refreshed() {
            provider.step(Step::Refresh);
            world.advance(LIFETIME - 10);
            world.sweep().await;
            require(provider.counts().refreshes == 1, || "it was not refreshed".to_owned())?;
            let credentials = world.credentials(&id).await;
            let is_new = credentials["access_token"] == provider.access_token();
            require(is_new, || "the new token is not served".to_owned())?;
        }
        provider.step(Step::Disconnect);
        let answer = world.send(Method::DELETE, &format!("/connections/{id}"), &world.admin, None).await;
        require(answer.0.status() == StatusCode::NO_CONTENT, || format!("it cannot be deleted: {}", answer.text()))?;
        let revoked = u32::from(self.subject.is_revoked());
        require(provider.counts().revocations == revoked, || "it was not revoked".to_owned())
    }

    /// Connects, and returns the connection's id.
    async fn connect(&self, world: &World, provider: &FactsProvider) -> Result<String, String> {
        let mut browser = Browser::default();
        let mut payload = json!({"token": world.alice, "integrationKey": "it", "redirectUri": DONE});
        payload["input"] = self.subject.sample.input.clone().into();
        if !self.option.is_empty() {
            payload["authOptionKey"] = json!(self.option);
        }
        let mut answer = browser.post(world, "/connect", &[("payload", &payload.to_string())]).await;
        let location = answer.header("location").unwrap_or_default().to_owned();
        if !location.is_empty() && !location.starts_with(DONE) {
            let callback = provider.approve(&location).ok_or("it cannot be approved")?;
            answer = browser.get(world, &callback).await;
        }
        let done = answer.header("location").and_then(|location| Url::parse(location).ok());
        let id = done.as_ref().and_then(|url| url.query_pairs().find(|(name, _)| name == "connectionId"));
        let id = id.map(|(_, id)| id.into_owned());
        id.ok_or_else(|| {
            format!("it cannot be connected: {}", done.map_or_else(|| answer.text().to_owned(), Into::into))
        })
    }
}

/// The part of a preset that describes an option.
fn section(preset: &Value, option: &AuthOption) -> Value {
    let mut section = preset.clone();
    let own = preset.get("options").and_then(|options| options.get(&option.key)).and_then(Value::as_object);
    for (key, value) in own.into_iter().flatten() {
        section[key] = value.clone();
    }
    section
}

/// The answers to the requests of a login.
fn logins(section: &Value, kind: &str) -> Vec<Value> {
    let token = |token: &str, expires_in: &str| {
        let mapping =
            json!({"token": format!("response.data.{token}"), "expires_in": format!("response.data.{expires_in}")});
        with_token(answers::body(&[&mapping]), &format!("response.data.{token}"))
    };
    let parameter = |name: &str, default: &str| section["parameters"][name].as_str().unwrap_or(default).to_owned();
    match (section["steps"].as_array(), kind) {
        (Some(steps), _) => {
            let bodies = steps.iter().map(|step| answers::body(&[step]));
            let mut bodies: Vec<Value> = bodies.collect();
            let locator = steps.last().and_then(|step| step["responseMapping"]["access_token"]["$var"].as_str());
            if let (Some(last), Some(locator)) = (bodies.pop(), locator) {
                bodies.push(with_token(last, locator));
            }
            bodies
        }
        (None, "client-credentials") => vec![token("access_token", "expires_in")],
        (None, "two-step") => {
            vec![token(&parameter("tokenPath", "access_token"), &parameter("expiresInPath", "expires_in"))]
        }
        _ => Vec::new(),
    }
}

/// Puts the mark of the token where the preset looks for it.
fn with_token(mut body: Value, locator: &str) -> Value {
    let pointer: String =
        locator.trim_start_matches("response.data").split('.').skip(1).map(|name| format!("/{name}")).collect();
    let pointer = pointer.replace("[0]", "/0");
    if let Some(place) = body.pointer_mut(&pointer) {
        *place = json!(TOKEN);
    }
    body
}

fn require(condition: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(problem()) }
}

/// Does the same with all items, in several threads. Each has a Larder and providers of its own, since these take turns.
pub(crate) fn in_lanes<T: Send, R: Send>(
    items: Vec<T>,
    run: impl AsyncFn(&World, &FactsProvider, T) -> R + Sync,
) -> Vec<R> {
    let queue = Mutex::new(items.into_iter());
    let lane = async || {
        let provider = FactsProvider::start().await;
        let world = World::rerouted(provider.port, Vec::new()).await;
        let mut results = Vec::new();
        loop {
            let next = queue.lock().expect("the lock is not poisoned").next();
            let Some(item) = next else { return results };
            results.push(Box::pin(run(&world, &provider, item)).await);
        }
    };
    let in_thread = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(lane())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..LANES).map(|_| scope.spawn(in_thread)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a lane")).collect()
    })
}

/// All ways to connect of these presets.
fn runs(is_wanted: impl Fn(&str) -> bool) -> Vec<Result<Run, String>> {
    let (facts, intended, catalog) = (Facts::read(), Differences::read(), bundled_connectors());
    let presets = catalog.entries().into_iter().filter(|entry| entry.extends.is_some() && is_wanted(&entry.key));
    let runs = presets.flat_map(|entry| {
        let connector = catalog.get(&entry.key).unwrap_or_else(|| panic!("{} does not load", entry.key));
        Run::all_of(&entry, &connector, &facts, &intended)
    });
    runs.collect()
}

#[test]
fn every_preset_connects_to_a_provider_made_from_facts() {
    let started = Instant::now();
    let (runs, failures): (Vec<_>, Vec<_>) = runs(|_| true).into_iter().partition(Result::is_ok);
    let runs: Vec<Run> = runs.into_iter().filter_map(Result::ok).collect();
    let mut failures: Vec<String> = failures.into_iter().filter_map(Result::err).collect();
    let prepared = started.elapsed();
    let total = runs.len();
    let silent = runs.iter().filter(|run| run.subject.agreed.facts.is_none()).count();
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for run in &runs {
        *kinds.entry(run.subject.agreed.claims.kind).or_default() += 1;
    }
    let run = async |world: &World, provider: &FactsProvider, run: Run| run.in_world(world, provider).await;
    let mut sum = Counts::default();
    for result in in_lanes(runs, run) {
        match result {
            Ok(counts) => sum.add(counts),
            Err(failure) => failures.push(failure),
        }
    }
    say(&format!(
        "{total} ways to connect ran in {:.1} s, {:.1} s of it to prepare them: {kinds:?}; {silent} have no facts; {sum:?}",
        started.elapsed().as_secs_f64(),
        prepared.as_secs_f64(),
    ));
    failures.sort();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[tokio::test]
async fn a_provider_rejects_requests_that_differ_from_its_facts() {
    let provider = FactsProvider::start().await;
    let world = World::rerouted(provider.port, Vec::new()).await;
    let elsewhere = || Some("https://elsewhere.example/x".to_owned());
    let key = |name: &str, prefix: &str| {
        Some(Placement { place: "header".into(), name: name.into(), prefix: Some(prefix.into()) })
    };
    let changes: Vec<(&str, &str, Change)> = vec![
        ("asana", "elsewhere.example", Box::new(move |facts| facts.authorize_uri = elsewhere())),
        ("asana", "elsewhere.example", Box::new(move |facts| facts.token_uri = elsewhere())),
        ("asana", "the client's secret", Box::new(|facts| facts.secret_in = vec!["headers".into()])),
        ("asana", "format json", Box::new(|facts| facts.token_request_format = Some("json".into()))),
        ("asana", "no token in", Box::new(move |facts| facts.token = key("X-Token", ""))),
        (
            "bitbucket",
            "`a` is not b",
            Box::new(|facts| facts.extra = json!({"a": "b"}).as_object().expect("one").clone()),
        ),
        ("slack", "no PKCE", Box::new(|facts| facts.pkce = true)),
        ("google", "elsewhere.example", Box::new(move |facts| facts.revocation_uri = elsewhere())),
        ("discogs", "elsewhere.example", Box::new(move |facts| facts.request_token_uri = elsewhere())),
        ("openai", "no key in", Box::new(move |facts| facts.key = key("X-Key", ""))),
        ("openai", "no key in", Box::new(move |facts| facts.key = key("Authorization", "Token"))),
        ("openai", "elsewhere.example", Box::new(move |facts| (facts.test, facts.base_uri) = (elsewhere(), None))),
        (
            "close",
            "password",
            Box::new(|facts| {
                facts.basic = Some(Basic { username: "{key}".into(), password: "x".into() });
            }),
        ),
        ("sendpulse", "elsewhere.example", Box::new(move |facts| facts.token_uri = elsewhere())),
    ];
    for (name, expected, change) in changes {
        let run = runs(|key| key == name).into_iter().next().expect("a preset");
        let mut run = run.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(run.in_world(&world, &provider).await.err(), None);
        change(run.subject.agreed.facts.as_mut().expect("facts"));
        let failure = run.in_world(&world, &provider).await.expect_err("it is rejected");
        assert!(failure.contains(expected), "{failure}");
    }
}
