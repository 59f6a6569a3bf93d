//! Processes that share a data folder compete to refresh the same connections, and are killed meanwhile.
//!
//! `LARDER_COMPETITION_REFRESHES` sets the number of refreshes, `LARDER_TEST_PROGRAM` the binary.

mod fleet;
mod proxy;
mod rows;

use std::collections::{BTreeMap, HashSet};
use std::env;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet::Fleet;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream;
use http::{Method, StatusCode};
use larder::clock::{Clock as _, SystemClock};
use larder::connection::State;
use larder::secret_store::{SecretFile, Workspaces};
use larder_local::bundle::{DataDir, Grant, mint};
use larder_tests::{Program, Server, Visitor, say};
use proxy::{Seen, TokenProxy};
use rows::Rows;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;
use url::Url;

use crate::MACHINE;
use crate::seeded::Seeded;

const PROCESSES: usize = 8;
const DONE: &str = "https://app.example/done";
/// How many connections the programs compete for at once.
const AT_ONCE: usize = 12;
/// The message on a connection whose refresh token was lost with a process.
const INTERRUPTED: &str = "an earlier refresh was interrupted";

/// Eight programs, a certified authorization server that rejects reused refresh tokens, and a proxy between them.
struct Competition {
    data: TempDir,
    rows: Arc<Rows>,
    server: Server,
    proxy: Arc<TokenProxy>,
    fleet: Arc<Fleet>,
    ids: Vec<String>,
    admin: String,
    http: reqwest::Client,
    /// Responses to refresh requests, counted by status and error type.
    answers: Mutex<BTreeMap<String, usize>>,
}

impl Competition {
    async fn start(connections: usize, seed: u64) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let first = fleet::start(data.path()).await;
        let rows = Arc::new(Rows::open(data.path()).await);
        let server = Server::oidc_for(&first.base_uri, json!({"accessTokenTtlSecs": 3600})).await;
        let http = http_client();
        let proxy = TokenProxy::start(server.uri("/token"), Arc::clone(&rows), http.clone(), seed).await;
        let parameters = json!({
            "clientId": Server::CLIENT_ID, "clientSecret": Server::CLIENT_SECRET, "clientAuthLocation": "headers",
            "authorizeUri": server.uri("/auth"), "tokenUri": proxy.token_uri, "testUri": server.uri("/me"),
            "scopes": ["openid", "offline_access"], "issuer": server.uri(""),
        });
        integrate(&first, &parameters).await;
        let alice = token(data.path(), Grant { tenant: Some("alice".into()), ..Grant::default() }).await;
        let connecting = (0..connections).map(|_| connect(&first, &server, &alice));
        let ids: Vec<String> = stream::iter(connecting).buffer_unordered(8).collect().await;
        for id in &ids {
            let credentials = first.get(&format!("/credentials?connectionId={id}"), &alice).await;
            let credentials = credentials.expect(StatusCode::OK).json()["credentials"].clone();
            proxy.introduce(credentials["refresh_token"].as_str().expect("a refresh token"), id);
        }
        let admin = token(data.path(), Grant { tenant: None, is_admin: true, ..Grant::default() }).await;
        let fleet = Arc::new(Fleet::around(first, data.path(), PROCESSES).await);
        Self { data, rows, server, proxy, fleet, ids, admin, http, answers: Mutex::default() }
    }

    /// Requests a refresh of each connection from all programs at once, until the provider has answered this many refreshes.
    async fn compete(&self, refreshes: usize) {
        while self.proxy.seen().refreshed < refreshes {
            let before = self.proxy.seen().refreshed;
            stream::iter(&self.ids).for_each_concurrent(AT_ONCE, |id| self.compete_for(id)).await;
            if self.proxy.seen().refreshed == before {
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Waits until the provider has answered this many refreshes.
    async fn reach(&self, refreshes: usize) {
        while self.proxy.seen().refreshed < refreshes {
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn compete_for(&self, id: &str) {
        let row = self.rows.get(id).await;
        // A connection whose process was killed is left alone until the lease ends.
        if row.is_leased(SystemClock.now()) || row.state != State::Ready {
            return;
        }
        self.rows.forget_last_attempt(id).await;
        let requests = self.fleet.base_uris().into_iter().map(|base_uri| self.refresh(base_uri, id, 5));
        for (status, body) in join_all(requests).await.into_iter().flatten() {
            let body: Value = serde_json::from_str(&body).unwrap_or_default();
            let kind = format!("{status} {}", body["type"].as_str().unwrap_or_default());
            *self.answers.lock().expect("the lock is not poisoned").entry(kind.trim().to_owned()).or_default() += 1;
        }
    }

    /// Requests a refresh. `None` if the program is killed meanwhile or takes too long.
    async fn refresh(&self, base_uri: String, id: &str, seconds: u64) -> Option<(u16, String)> {
        let uri = format!("{base_uri}/connections/{id}/refresh-credentials");
        let request = self.http.post(uri).bearer_auth(&self.admin).timeout(Duration::from_secs(seconds));
        let response = request.send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// Waits until no connection is leased.
    async fn settle(&self) {
        for id in &self.ids {
            while self.rows.get(id).await.is_leased(SystemClock.now()) {
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Refreshes each connection once more, with the programs taking turns. Returns each status.
    async fn refresh_all(&self) -> Vec<u16> {
        let requests = self.ids.iter().enumerate().map(async |(index, id)| {
            self.rows.forget_last_attempt(id).await;
            let mut uris = self.fleet.base_uris();
            let first = index % uris.len();
            uris.rotate_left(first);
            // The last kill may have been a moment ago, so try the others too.
            let responses = stream::iter(uris).filter_map(|base_uri| self.refresh(base_uri, id, 60));
            std::pin::pin!(responses).next().await.expect("a program that answers").0
        });
        stream::iter(requests).buffered(AT_ONCE).collect().await
    }

    /// The connection as `GET` shows it, and the provider's status for the served access token.
    async fn look_at(&self, id: &str) -> (Value, u16) {
        let connection = self.get(&format!("/connections/{id}")).await;
        let credentials = self.get(&format!("/credentials?connectionId={id}")).await["credentials"].clone();
        let access_token = credentials["access_token"].as_str().unwrap_or_default().to_owned();
        let response = self.http.get(self.server.uri("/me")).bearer_auth(access_token).send().await;
        (connection, response.expect("an answer").status().as_u16())
    }

    async fn get(&self, path: &str) -> Value {
        for base_uri in self.fleet.base_uris() {
            if let Ok(answer) = self.http.get(base_uri + path).bearer_auth(&self.admin).send().await {
                return serde_json::from_str(&answer.text().await.expect("a whole answer")).expect("JSON");
            }
        }
        panic!("no program answers");
    }

    fn summary(&self) -> String {
        let Seen { refreshed, withheld, repeated, windows, struck, .. } = self.proxy.seen();
        let answers = self.answers.lock().expect("the lock is not poisoned");
        let answers: Vec<_> = answers.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let mut summary = format!(
            "{} processes, {} grants, {refreshed} refreshes, {} kills ({struck} right after an answer), {withheld} \
             withheld, {} repeated, responses: {}",
            self.fleet.size(),
            self.ids.len(),
            self.fleet.kills(),
            repeated.len(),
            answers.join(", "),
        );
        if let Some((median, worst)) = median_and_worst(windows) {
            summary += &format!("; from answer to save: median {median:?}, longest {worst:?}");
        }
        summary
    }
}

fn median_and_worst(mut times: Vec<Duration>) -> Option<(Duration, Duration)> {
    times.sort();
    Some((*times.get(times.len() / 2)?, *times.last()?))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs tests/run"]
async fn eight_killed_processes_never_reuse_or_lose_a_refresh_token() {
    let _machine = MACHINE.read().await;
    let refreshes = env::var("LARDER_COMPETITION_REFRESHES").map_or(1000, |text| text.parse().expect("a number"));
    let competition = Arc::new(Competition::start(120, 1).await);
    let killing = tokio::spawn(kill_between_windows(Arc::clone(&competition), refreshes));
    competition.compete(refreshes).await;
    killing.await.expect("the kills succeed");
    competition.settle().await;
    let statuses = competition.refresh_all().await;
    say(&format!("competition: {}", competition.summary()));
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let Seen { repeated, unsaved, rejected, withheld, .. } = competition.proxy.seen();
    let none = Vec::<String>::new();
    assert_eq!((&repeated, &unsaved, &rejected), (&none, &none, &none));
    assert!(withheld > 0, "no kill came between the lease and the provider's call");
    for id in &competition.ids {
        let (connection, accepted) = competition.look_at(id).await;
        assert_eq!((&connection["state"], &connection["error"]), (&json!("READY"), &Value::Null), "{connection}");
        assert_eq!(accepted, 200, "{connection}");
    }
    let grants = competition.server.ask("grants").await;
    assert_eq!(
        (&grants["grants"], &grants["refreshTokens"]),
        (&json!(competition.ids.len()), &json!(competition.ids.len())),
        "{grants}"
    );
    drop(Arc::into_inner(competition).expect("the last reference").data);
}

/// Kills twenty programs during the first half of the refreshes, none while it has an unsaved answer.
async fn kill_between_windows(competition: Arc<Competition>, refreshes: usize) {
    let mut rng = Seeded::new(2);
    for kill in 1..=20 {
        competition.reach(refreshes / 2 * kill / 20).await;
        let slot = rng.below(PROCESSES);
        let program = competition.fleet.take(slot).expect("a running program");
        {
            let _no_window = competition.proxy.windows.write().await;
            competition.fleet.kill(program).await;
        }
        competition.fleet.start(slot).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs tests/run"]
async fn tokens_lost_between_answer_and_save_are_flagged_clearly() {
    const REFRESHES: usize = 120;
    const STRIKES: usize = 12;

    let _machine = MACHINE.read().await;
    let competition = Arc::new(Competition::start(60, 3).await);
    let struck = competition.proxy.strike(Arc::clone(&competition.fleet), STRIKES);
    let reviving = tokio::spawn(revive(Arc::clone(&competition.fleet), struck));
    let killing = tokio::spawn(kill_anywhere(Arc::clone(&competition), REFRESHES));
    competition.compete(REFRESHES).await;
    killing.await.expect("the kills succeed");
    competition.settle().await;
    reviving.abort();
    let ended = reviving.await.expect_err("it only ends when aborted");
    assert!(ended.is_cancelled(), "{ended}");

    let statuses = competition.refresh_all().await;
    // A connection whose answer was lost can only send its used refresh token again.
    let lost: HashSet<String> = competition.proxy.seen().repeated.into_iter().collect();
    say(&format!("interruption: {}; {} lost", competition.summary(), lost.len()));
    assert!(lost.len() >= 5, "too few kills came before the save: {}", lost.len());
    for (id, status) in competition.ids.iter().zip(statuses) {
        let (connection, accepted) = competition.look_at(id).await;
        if lost.contains(id) {
            assert_eq!((&connection["state"], status), (&json!("CLIENT_ACTION_REQUIRED"), 400), "{connection}");
            assert_eq!(connection["error"]["key"], "access_token_expired");
            let message = connection["error"]["message"].as_str().unwrap_or_default();
            assert!(message.contains(INTERRUPTED) && message.contains("must reconnect"), "{message}");
        } else {
            assert_eq!((&connection["state"], status, accepted), (&json!("READY"), 200, 200), "{connection}");
        }
    }
}

/// Restarts programs that were killed after an answer.
async fn revive(fleet: Arc<Fleet>, mut struck: UnboundedReceiver<usize>) {
    while let Some(slot) = struck.recv().await {
        // A second answer may have struck the same program.
        if let Some(program) = fleet.take(slot) {
            fleet.kill(program).await;
            fleet.start(slot).await;
        }
    }
}

/// Kills eight programs during the first half of the refreshes, at any moment.
async fn kill_anywhere(competition: Arc<Competition>, refreshes: usize) {
    let mut rng = Seeded::new(4);
    for kill in 1..=8 {
        competition.reach(refreshes / 2 * kill / 8).await;
        let slot = rng.below(PROCESSES);
        if let Some(program) = competition.fleet.take(slot) {
            competition.fleet.kill(program).await;
            competition.fleet.start(slot).await;
        }
    }
}

async fn integrate(larder: &Program, parameters: &Value) {
    let body = json!({"connectorKey": "oauth2", "parameters": parameters, "redirectUris": [DONE]}).to_string();
    larder.send(Method::PUT, "/integrations/crm", &larder.admin, &body).await.expect(StatusCode::CREATED);
}

/// Creates another connection for alice. Returns its id.
async fn connect(larder: &Program, server: &Server, alice: &str) -> String {
    let mut visitor = Visitor::default();
    let parameters = format!("integrationKey=crm&allowMultipleConnections=1&redirectUri={DONE}&token={alice}");
    let authorize = visitor.get(&larder.uri(&format!("/connect?{parameters}"))).await.location();
    let callback = server.approve(&authorize).await;
    let result = Url::parse(&visitor.get(&callback).await.location()).expect("a URL");
    let id = result.query_pairs().find(|(name, _)| name == "connectionId");
    id.unwrap_or_else(|| panic!("not connected: {result}")).1.into_owned()
}

async fn token(data: &Path, grant: Grant) -> String {
    let secrets = SecretFile::new(DataDir::open(data).expect("a folder").secrets());
    let workspaces = Workspaces::new(Arc::new(secrets), Arc::new(SystemClock));
    mint(&workspaces, &grant, &SystemClock).await.expect("a token")
}

/// Builds a client without idle connections: Node.js closes them after a while, possibly just as the next request is sent.
#[expect(clippy::disallowed_methods, reason = "a test's own client")]
fn http_client() -> reqwest::Client {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    client.pool_max_idle_per_host(0).build().expect("an HTTP client")
}
