//! Load with failures and kills: 64 clients store, read, connect and refresh while one provider call in ten fails and the
//! program is killed and restarted five times.
//!
//! `LARDER_LOAD_SECONDS` sets the duration, `LARDER_LOAD_SEED` the seed, `LARDER_TEST_PROGRAM` the binary.

mod client;
mod provider;

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::{DONE, LoadClient, Shared, Tally};
use futures::future::join_all;
use http::{Method, StatusCode};
use larder::clock::SystemClock;
use larder::secret_store::{SecretFile, Workspaces};
use larder_local::bundle::{DataDir, Grant, mint};
use larder_tests::{Program, say};
use provider::FlakyProvider;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::MACHINE;
use crate::seeded::Seeded;

const CLIENTS: usize = 64;
const KILLS: u32 = 5;
/// The memory growth allowed after the warm-up, in addition to an eighth.
const MEMORY_MARGIN: u64 = 16 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_change_is_lost_under_load_and_kills() {
    let _machine = MACHINE.write().await;
    let number = |name, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let seconds = number("LARDER_LOAD_SECONDS", 24);
    let seed = number("LARDER_LOAD_SEED", 20_261_123);
    let data = tempfile::tempdir().expect("a folder");
    let provider = FlakyProvider::start(seed).await;
    let mut larder = start(data.path(), "127.0.0.1:0").await;
    let body = json!({"connectorKey": "oauth2", "parameters": provider.parameters(), "redirectUris": [DONE]});
    let integration = larder.send(Method::PUT, "/integrations/load", &larder.admin, &body.to_string()).await;
    integration.expect(StatusCode::CREATED);

    let (phase, phases) = watch::channel((0, true));
    let shared = Arc::new(Shared {
        base_uri: larder.base_uri.clone(),
        provider: provider.clone(),
        phase: phases,
        tally: Mutex::new(Tally::default()),
    });
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let token = tenant_token(data.path(), client).await;
        clients.push(tokio::spawn(LoadClient::new(client, seed, token, Arc::clone(&shared)).run(end)));
    }

    // Kill in the first half only, so that the last run is long enough to show memory growth.
    let mut rng = Seeded::new(seed);
    let part = (end - begun) / 2 / KILLS;
    let address = larder.base_uri.strip_prefix("http://").expect("an http URL").to_owned();
    for kill in 0..KILLS {
        let within = part.mul_f64(0.2 + rng.below(80) as f64 / 100.0);
        sleep_until((begun + part * kill + within).max(Instant::now() + part / 5)).await;
        let run = kill as usize;
        provider.note_kill();
        phase.send_replace((run, false));
        larder.kill().await;
        larder = start(data.path(), &address).await;
        phase.send_replace((run + 1, true));
    }
    sleep_until(Instant::now() + (end - Instant::now()) / 3).await;
    let warm = larder.resident_bytes();
    for ended in join_all(clients).await {
        ended.expect("the client does not panic");
    }
    let resident = larder.resident_bytes();
    let took = begun.elapsed();
    larder.kill().await;

    let tally = std::mem::take(&mut *shared.tally.lock().expect("the lock is not poisoned"));
    let (faults, of_provider) = provider.counts();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    say(&format!(
        "load: {:.0} s, {CLIENTS} clients, {KILLS} kills, {}; {of_provider}; resident {:.1} MB warm, {:.1} MB at the end",
        took.as_secs_f64(),
        summary(&tally),
        megabytes(warm),
        megabytes(resident),
    ));

    let mut violations = tally.violations;
    violations.extend(provider.violations());
    assert!(
        violations.is_empty(),
        "{} violations, seed {seed}: {:#?}",
        violations.len(),
        &violations[..violations.len().min(10)]
    );
    let count = |what: &str| -> u64 {
        let of_kind = tally.answers.iter().filter(|((asked, kind), _)| *asked == what && !kind.starts_with("lost"));
        of_kind.map(|(_, count)| count).sum()
    };
    for what in ["read", "write", "delete", "connect", "callback", "read token", "refresh", "show", "disconnect"] {
        assert!(count(what) > 0, "no {what} got a response");
    }
    assert!(faults > 0, "the provider never failed");
    assert!(resident <= warm + warm / 8 + MEMORY_MARGIN, "memory grew from {warm} to {resident} bytes");
}

async fn start(data: &Path, address: &str) -> Program {
    let data = data.to_str().expect("a path in UTF-8");
    Program::start(&["--data", data, "--listen", address, "--no-demo"]).await
}

async fn tenant_token(data: &Path, client: usize) -> String {
    let secrets = SecretFile::new(DataDir::open(data).expect("a folder").secrets());
    let workspaces = Workspaces::new(Arc::new(secrets), Arc::new(SystemClock));
    let grant = Grant { tenant: Some(format!("tenant-{client}")), ..Grant::default() };
    mint(&workspaces, &grant, &SystemClock).await.expect("a token")
}

fn summary(tally: &Tally) -> String {
    let mut kinds: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for ((what, kind), count) in &tally.answers {
        kinds.entry(what).or_default().insert(kind, *count);
    }
    let kinds = kinds.iter().map(|(what, kinds)| {
        let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        format!("{what}: {}", kinds.join(", "))
    });
    let mut latencies = tally.latencies.clone();
    latencies.sort();
    let percentile = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default();
    let total: u64 = tally.answers.values().sum();
    let kinds: Vec<_> = kinds.collect();
    format!("{total} requests ({}), p50 {:?}, p99 {:?}", kinds.join("; "), percentile(50), percentile(99))
}
