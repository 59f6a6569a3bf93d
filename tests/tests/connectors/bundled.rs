//! Bundled connectors behave as their providers document. The scenarios are in `tests/providers`: of every connector with
//! functions of its own, and of some presets. All presets run in `lifecycle`.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use http::{Method, StatusCode};
use larder_local::bundle::bundled_connectors;
use larder_tests::scenario::{self, RejectedConnect, Scenario};
use larder_tests::{Browser, Script, World, root};
use serde_json::{Map, Value, json};
use url::Url;

/// Connectors without a specific provider, which other tests cover.
const GENERIC: [&str; 7] = ["api-key", "basic", "client-credentials", "demo", "oauth1", "oauth2", "two-step"];

/// Connectors that cannot run yet, and are skipped.
const WAITING: &[&str] = &[];

const DONE: &str = "https://app.example/done";

#[tokio::test(flavor = "multi_thread")]
async fn every_connector_behaves_as_its_provider_documents() {
    let all = scenario::read_all(&root().join("tests/providers"));
    let all = all.into_iter().filter(|(key, _)| !WAITING.contains(&key.as_str()));
    let runs = all.flat_map(|(key, scenarios)| scenarios.into_iter().map(move |(title, it)| (key.clone(), title, it)));
    let mismatches = futures::stream::iter(runs).map(|(key, title, scenario)| async move {
        let found = run(&key, &scenario).await;
        found.into_iter().map(|mismatch| format!("{key}.yml, {title:?}, {mismatch}\n")).collect::<String>()
    });
    let mismatches: String = mismatches.buffer_unordered(4).collect().await;
    assert!(mismatches.is_empty(), "\n{mismatches}");
}

#[test]
fn folders_have_scenarios_and_scenarios_have_connectors() {
    let (presets, mut folders): (Vec<_>, Vec<_>) =
        bundled_connectors().entries().into_iter().partition(|entry| entry.extends.is_some());
    folders.retain(|entry| !GENERIC.contains(&entry.key.as_str()));
    let files: BTreeSet<String> = scenario::read_all(&root().join("tests/providers")).into_keys().collect();
    let folders: BTreeSet<String> = folders.into_iter().map(|entry| entry.key).collect();
    let presets: BTreeSet<String> = presets.into_iter().map(|entry| entry.key).collect();
    assert_eq!(folders.difference(&files).collect::<Vec<_>>(), [""; 0], "these have functions of their own");
    let known: BTreeSet<String> = folders.union(&presets).cloned().collect();
    assert_eq!(files.difference(&known).collect::<Vec<_>>(), [""; 0], "there is no connector for these");
}

#[test]
fn every_scenario_file_includes_a_failure() {
    for (key, scenarios) in scenario::read_all(&root().join("tests/providers")) {
        let refreshes = scenarios.values().any(|it| it.refresh.is_some());
        let fails = |it: &Scenario| it.failure.is_some() || (!refreshes && it.refused.is_some());
        assert!(scenarios.values().any(fails), "{key}.yml has neither a failing refresh nor a rejected connect");
    }
}

/// Runs one scenario. Returns the mismatches.
async fn run(key: &str, scenario: &Scenario) -> Vec<String> {
    let script = Script::start().await;
    let world = World::rerouted(script.port, Vec::new()).await;
    let body = json!({"connectorKey": key, "parameters": scenario.parameters, "redirectUris": [DONE]});
    let answer = world.send(Method::PUT, "/integrations/it", &world.admin, Some(&body)).await;
    if !answer.0.status().is_success() {
        return vec![format!("the integration is rejected: {}", answer.text())];
    }
    let run = ScenarioRun { world, script, scenario };
    if let Some(refused) = &scenario.refused {
        run.check_rejection(refused).await;
    }
    run.check_lifecycle().await;
    run.script.mismatches()
}

struct ScenarioRun<'a> {
    world: World,
    script: Script,
    scenario: &'a Scenario,
}

impl ScenarioRun<'_> {
    async fn check_lifecycle(&self) {
        let Scenario { input, callback, connect, credentials, account, refresh, failure, disconnect, .. } =
            self.scenario;
        let Some(connect) = connect else { return };
        self.script.expect("connect", connect);
        let result = self.result(input, callback).await;
        self.script.end();
        self.script.check("the result", &json!({"connectionId": "<any>"}), &result);
        let Some(id) = result["connectionId"].as_str() else { return };
        self.script.check("credentials", credentials, &self.world.credentials(id).await);
        self.script.check("the account", &json!({ "account": account }), &self.view(id).await);

        match refresh {
            None if failure.is_none() => self.check_left_alone(id).await,
            None => {}
            Some(refresh) => {
                self.wait("before the refresh", refresh.after).await;
                self.script.expect("refresh", &refresh.requests);
                self.world.sweep().await;
                self.script.end();
                self.script.check("credentials", &refresh.credentials, &self.world.credentials(id).await);
                self.script.check("connection", &json!({"state": "READY", "error": null}), &self.view(id).await);
            }
        }
        if let Some(failure) = failure {
            let after =
                failure.after.or(refresh.as_ref().map(|refresh| refresh.after)).expect("the failure has `after`");
            self.wait("before the failure", after).await;
            self.script.expect("failure", &failure.requests);
            self.world.sweep().await;
            self.script.end();
            let error = json!({"message": format!("<any>{}<any>", failure.message)});
            self.script.check("connection", &json!({"state": failure.state, "error": error}), &self.view(id).await);
        }
        self.script.expect("disconnect", disconnect);
        let answer = self.world.send(Method::DELETE, &format!("/connections/{id}"), &self.world.admin, None).await;
        self.script.end();
        self.script.check("the status", &json!(204), &json!(answer.0.status().as_u16()));
    }

    async fn check_rejection(&self, refused: &RejectedConnect) {
        let input = refused.input.as_ref().unwrap_or(&self.scenario.input);
        let callback = refused.callback.as_ref().unwrap_or(&self.scenario.callback);
        self.script.expect("refused", &refused.requests);
        let result = self.result(input, callback).await;
        self.script.end();
        self.script.check("the result", &json!({"error": format!("<any>{}<any>", refused.message)}), &result);
    }

    /// The result that your application gets for the flow.
    async fn result(&self, input: &Map<String, Value>, callback: &BTreeMap<String, String>) -> Value {
        let mut browser = Browser::default();
        let payload = json!({"token": self.world.alice, "integrationKey": "it", "input": input, "redirectUri": DONE,
                             "authOptionKey": self.scenario.auth_option_key});
        let mut answer = browser.post(&self.world, "/connect", &[("payload", &payload.to_string())]).await;
        let location = answer.header("location").unwrap_or_default().to_owned();
        if let Some(authorize) = self.scenario.authorize.as_ref().filter(|_| !location.starts_with(DONE)) {
            if location.is_empty() {
                return json!(answer.text());
            }
            let mut back = self.script.authorized(authorize, &location);
            back.query_pairs_mut().extend_pairs(callback);
            answer = browser.get(&self.world, back.as_str()).await;
        }
        match answer.header("location").map(Url::parse) {
            Some(Ok(url)) => {
                url.query_pairs().map(|(key, value)| (key.into_owned(), json!(value))).collect::<Map<_, _>>().into()
            }
            _ => json!(answer.text()),
        }
    }

    /// Advances by this time. A sweep one second earlier must make no requests.
    async fn wait(&self, step: &'static str, seconds: u64) {
        self.script.expect(step, &[]);
        self.world.advance(seconds - 1);
        self.world.sweep().await;
        self.world.advance(1);
    }

    async fn check_left_alone(&self, id: &str) {
        self.script.expect("300 days later", &[]);
        self.world.advance(300 * 24 * 3600);
        self.world.sweep().await;
        self.script.check("connection", &json!({"state": "READY", "error": null}), &self.view(id).await);
    }

    async fn view(&self, id: &str) -> Value {
        self.world.get(&format!("/connections/{id}")).await.expect(StatusCode::OK).json()
    }
}
