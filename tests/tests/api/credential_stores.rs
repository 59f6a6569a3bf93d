//! Every credential store passes the same suite and a full lifecycle: connect, refresh, delete.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use http::{Method, StatusCode};
use larder::aws::{CredentialSecrets, SecretsManager};
use larder::caller::Claims;
use larder::credential_store::{CredentialFiles, CredentialStore, Key, Memory};
use larder::credentials::Credentials;
use larder::environment::CredentialsIn;
use larder::random::SystemRng;
use larder::seal::{KeyFile, Sealer};
use larder_local::server;
use larder_tests::conformance::{Keeper as _, Port, Routes, conform};
use larder_tests::{CredentialApi, Delete, MockProvider, Moto, World};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

const MOST: usize = Credentials::MAX_BYTES;
const SECRET_MOST: usize = 64 * 1024;

/// A Larder that stores its credentials in a second one on a loopback port, and that second one.
async fn two_larders() -> (World, World) {
    let second = World::new().await;
    // The workspaces have the same secrets in both.
    second.sign("other", Claims::default()).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/prod/credentials?from=first", listener.local_addr().unwrap());
    tokio::spawn(server::serve(listener, Arc::clone(&second.bundle), None));
    let first = World::keeping_beside(CredentialsIn::ExternalApi(Url::parse(&url).unwrap()), &second).await;
    (first, second)
}

/// Connects, refreshes twice and deletes. The routes answer the same for every store.
async fn full_lifecycle(world: &World) {
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    let uri = format!("/credentials?connectionId={id}");
    assert_eq!(world.credentials(&id).await["access_token"], "access-1");
    for number in [2, 3] {
        world.advance(3300);
        world.sweep().await;
        let credentials = world.credentials(&id).await;
        assert_eq!(credentials["access_token"], format!("access-{number}"));
        assert_eq!(credentials["refresh_token"], format!("refresh-{number}"));
        assert_eq!(
            provider.refreshes().last().unwrap().get("refresh_token"),
            Some(&*format!("refresh-{}", number - 1))
        );
    }
    // A reader refreshes an expired token, and reconnecting replaces it.
    world.advance(3600);
    assert_eq!(world.credentials(&id).await["access_token"], "access-4");
    assert_eq!(world.connect(&provider).await, id);
    assert_eq!(world.credentials(&id).await["access_token"], "access-5");
    // A failed refresh leaves the credentials as they are.
    provider.script(500, &json!({}));
    world.advance(3300);
    world.sweep().await;
    assert_eq!(world.connection(&id).await["retryAttempts"], 1);
    assert_eq!(world.credentials(&id).await["access_token"], "access-5");

    world.send(Method::DELETE, &uri, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    world.get(&uri).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(world.connection(&id).await["state"], "CLIENT_ACTION_REQUIRED");
    let body = json!({"credentials": {"access_token": "put", "refresh_token": "r", "expires_in": 3600}});
    world.send(Method::PUT, &uri, &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    assert_eq!(world.credentials(&id).await, body["credentials"]);
    world.send(Method::DELETE, &format!("/connections/{id}"), &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    world.get(&uri).await.expect(StatusCode::NOT_FOUND);
}

async fn survives_a_restart(world: &mut World) {
    Routes(world).set("local", "kept", r#"{"token":1e400}"#).await;
    world.restart().await;
    assert_eq!(Routes(world).get("local", "kept").await.as_deref(), Some(r#"{"token":1e400}"#));
}

fn sealer(folder: &Path) -> Sealer {
    let key = folder.join("seal.key");
    KeyFile::create(&key, &SystemRng).unwrap();
    Sealer::new(Arc::new(KeyFile::open(&key).unwrap()), Arc::new(SystemRng))
}

fn key(id: &str) -> Key<'_> {
    Key { workspace: "local", connection_id: id, tenant: None }
}

fn credentials(json: &str) -> Credentials {
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn the_database_stores_credentials() {
    let mut world = World::new().await;
    conform(&Routes(&world), MOST).await;
    full_lifecycle(&world).await;
    survives_a_restart(&mut world).await;
}

#[tokio::test]
async fn memory_stores_credentials_until_the_process_ends() {
    conform(&Port(Arc::new(Memory::default())), MOST).await;
    let mut world = World::keeping(CredentialsIn::Memory).await;
    conform(&Routes(&world), MOST).await;
    full_lifecycle(&world).await;
    Routes(&world).set("local", "lost", "1").await;
    world.restart().await;
    assert_eq!(Routes(&world).get("local", "lost").await, None);
    Routes(&world).set("local", "lost", "2").await;
    assert_eq!(Routes(&world).get("local", "lost").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn files_store_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let files = CredentialFiles::new(folder.path().join("port"), sealer(folder.path()));
    conform(&Port(Arc::new(files)), MOST).await;
    let mut world = World::keeping(CredentialsIn::Files(folder.path().join("routes"))).await;
    conform(&Routes(&world), MOST).await;
    full_lifecycle(&world).await;
    survives_a_restart(&mut world).await;
}

#[tokio::test]
async fn an_external_api_stores_credentials() {
    let api = CredentialApi::start().await;
    let mut world = World::keeping(CredentialsIn::ExternalApi(api.url())).await;
    world.sign("other", Claims::default()).await;
    conform(&Port(world.bundle.environment().credential_store().unwrap().unwrap()), MOST).await;
    conform(&Routes(&world), MOST).await;
    full_lifecycle(&world).await;
    survives_a_restart(&mut world).await;
}

#[tokio::test]
async fn another_larder_stores_credentials() {
    let (mut first, _second) = two_larders().await;
    conform(&Port(first.bundle.environment().credential_store().unwrap().unwrap()), MOST).await;
    conform(&Routes(&first), MOST).await;
    full_lifecycle(&first).await;
    survives_a_restart(&mut first).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn secrets_manager_stores_credentials() {
    let moto = Moto::start().await;
    let credentials = CredentialsIn::SecretsManager("larder/".into());
    let mut world = World::keeping_in_aws(credentials, &moto.sdk_config()).await;
    conform(&Port(world.bundle.environment().credential_store().unwrap().unwrap()), SECRET_MOST).await;
    conform(&Routes(&world), SECRET_MOST).await;
    full_lifecycle(&world).await;
    survives_a_restart(&mut world).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn each_write_adds_a_secret_version_and_keeps_the_previous_one() {
    let moto = Moto::start().await;
    let client = aws_sdk_secretsmanager::Client::new(&moto.sdk_config());
    let store = CredentialSecrets::new(SecretsManager::new(client.clone(), "larder/", None));
    let stage = async |stage: &str| {
        let get = client.get_secret_value().secret_id("larder/credentials/local/c1").version_stage(stage);
        get.send().await.ok().and_then(|output| output.secret_string)
    };
    let versions = async || {
        let list = client.list_secret_version_ids().secret_id("larder/credentials/local/c1").include_deprecated(true);
        list.send().await.unwrap().versions.unwrap().len()
    };
    let [first, second, third] = ["1", "2", "3"].map(|digit| digit.repeat(43));
    // Each write is repeated, as after a lost answer.
    for _ in 0..2 {
        store.set(key("c1"), &credentials("\"old\""), &first).await.unwrap();
        assert_eq!((stage("AWSCURRENT").await.as_deref(), versions().await), (Some("\"old\""), 1));
    }
    for _ in 0..2 {
        store.set(key("c1"), &credentials("\"new\""), &second).await.unwrap();
        assert_eq!((stage("AWSCURRENT").await.as_deref(), versions().await), (Some("\"new\""), 2));
        assert_eq!(stage("AWSPREVIOUS").await.as_deref(), Some("\"old\""));
    }
    // Writing an earlier value again is a write like any other.
    store.set(key("c1"), &credentials("\"old\""), &third).await.unwrap();
    assert_eq!(store.get(key("c1")).await.unwrap().unwrap().as_json(), "\"old\"");
    assert_eq!(stage("AWSPREVIOUS").await.as_deref(), Some("\"new\""));

    // A secret that is deleted and recreated may reuse write ids.
    store.remove(key("c1")).await.unwrap();
    assert_eq!(stage("AWSCURRENT").await, None);
    store.set(key("c1"), &credentials("\"again\""), &first).await.unwrap();
    assert_eq!((stage("AWSCURRENT").await.as_deref(), versions().await), (Some("\"again\""), 1));

    // A secret scheduled for deletion by its owner counts as absent.
    client.delete_secret().secret_id("larder/credentials/local/c1").send().await.unwrap();
    assert!(store.get(key("c1")).await.unwrap().is_none());
    store.remove(key("c1")).await.unwrap();
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn credentials_too_large_for_a_secret_are_never_written() {
    let moto = Moto::start().await;
    let credentials = CredentialsIn::SecretsManager("larder/".into());
    let world = World::keeping_in_aws(credentials, &moto.sdk_config()).await;
    let body = format!(r#"{{"credentials":"{}"}}"#, "x".repeat(SECRET_MOST - 1));
    let uri = "/credentials?connectionId=c1";
    let answer = world.send_raw(Method::PUT, uri, &world.admin, body).await.expect(StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.json()["message"].as_str().unwrap().contains("64 KiB"), "{}", answer.text());
    world.get("/connections/c1").await.expect(StatusCode::NOT_FOUND);
    let client = aws_sdk_secretsmanager::Client::new(&moto.sdk_config());
    assert_eq!(client.list_secrets().send().await.unwrap().secret_list.unwrap().len(), 0);
}

#[tokio::test]
async fn rows_never_contain_externally_stored_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::keeping(CredentialsIn::Files(folder.path().to_owned())).await;
    Routes(&world).set("local", "c1", r#""the-credentials""#).await;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"crede"), "{}", path.display());
    }
    fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(Routes(&world).get("local", "c1").await, None);

    // Under another setting, Larder reports that the credentials are in a different store.
    Routes(&world).set("local", "c1", r#""the-credentials""#).await;
    for credentials in [CredentialsIn::Database, CredentialsIn::Memory] {
        world.restart_keeping(credentials).await;
        let answer = world.get("/credentials?connectionId=c1").await.expect(StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.json()["message"].as_str().unwrap().contains("credential store"), "{}", answer.text());
    }
    world.restart_keeping(CredentialsIn::Files(folder.path().to_owned())).await;
    assert_eq!(Routes(&world).get("local", "c1").await.as_deref(), Some(r#""the-credentials""#));
}

#[tokio::test]
async fn credentials_in_rows_move_to_the_store_on_their_next_write() {
    let (mut world, provider, api) = (World::new().await, MockProvider::start().await, CredentialApi::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    world.restart_keeping(CredentialsIn::ExternalApi(api.url())).await;
    assert_eq!(world.credentials(&id).await["access_token"], "access-1");
    assert_eq!(api.calls().len(), 0);
    world.advance(3300);
    world.sweep().await;
    assert_eq!(serde_json::from_str::<Value>(&api.stored(&id).unwrap()).unwrap()["refresh_token"], "refresh-2");
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn credential_files_are_private_to_their_owner() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("not/there/yet");
    let files = CredentialFiles::new(&at, sealer(folder.path()));
    assert!(files.get(key("c1")).await.unwrap().is_none());
    files.set(key("c1"), &credentials("1"), "w").await.unwrap();
    files.set(key("c1"), &credentials("2"), "w").await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&at), 0o700);
    let paths: Vec<_> = fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(paths.iter().all(|path| mode(path) == 0o600), "{paths:?}");
}

#[tokio::test]
async fn a_half_written_credential_file_is_never_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("files");
    let files = CredentialFiles::new(&at, sealer(folder.path()));
    files.set(key("c1"), &credentials("\"old\""), "w").await.unwrap();
    let sealed = fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path());
    let sealed = sealed.into_iter().find(|path| path.extension().is_some_and(|it| it == "sealed")).unwrap();
    fs::write(sealed.with_extension("new"), vec![0; 10_000]).unwrap();
    assert_eq!(files.get(key("c1")).await.unwrap().unwrap().as_json(), "\"old\"");
    files.set(key("c1"), &credentials("\"new\""), "w").await.unwrap();
    assert_eq!(files.get(key("c1")).await.unwrap().unwrap().as_json(), "\"new\"");
    assert_eq!(fs::read_dir(&at).unwrap().count(), 2);
}

#[tokio::test]
async fn a_moved_or_modified_credential_file_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("files");
    let files = CredentialFiles::new(&at, sealer(folder.path()));
    files.set(key("c1"), &credentials("\"one\""), "w").await.unwrap();
    let sealed_files =
        || fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some());
    let one = sealed_files().next().unwrap();
    files.set(key("c2"), &credentials("\"two\""), "w").await.unwrap();
    let two = sealed_files().find(|path| *path != one).unwrap();
    let bytes = fs::read(&one).unwrap();
    fs::write(&two, &bytes).unwrap();
    assert!(files.get(key("c2")).await.is_err());
    for at in [0, 1, 2, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&one, changed).unwrap();
        assert!(files.get(key("c1")).await.is_err(), "{at}");
    }
    for length in [0, 1, 40, bytes.len() - 1] {
        fs::write(&one, &bytes[..length]).unwrap();
        assert!(files.get(key("c1")).await.is_err(), "{length}");
    }
    fs::write(&one, &bytes).unwrap();
    assert_eq!(files.get(key("c1")).await.unwrap().unwrap().as_json(), "\"one\"");
}

#[test]
fn concurrent_writers_leave_one_intact_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("files");
    let sealer = sealer(folder.path());
    let values: Vec<_> = (0..4).map(|number| format!("\"{}\"", number.to_string().repeat(100_000))).collect();
    let run = |work: &mut dyn FnMut(&CredentialFiles, &tokio::runtime::Runtime)| {
        // The threads share only the folder, like processes: each opens the lock file itself.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        work(&CredentialFiles::new(&at, sealer.clone()), &runtime);
    };
    run(&mut |files, runtime| runtime.block_on(files.set(key("c1"), &credentials(&values[0]), "w")).unwrap());
    std::thread::scope(|scope| {
        for json in &values {
            scope.spawn(|| {
                run(&mut |files, runtime| {
                    for _ in 0..25 {
                        runtime.block_on(files.set(key("c1"), &credentials(json), "w")).unwrap();
                        let read = runtime.block_on(files.get(key("c1"))).unwrap().expect("never absent");
                        assert!(values.iter().any(|value| value == read.as_json()));
                    }
                });
            });
        }
    });
}

#[tokio::test]
async fn external_api_requests_match_the_documentation() {
    let api = CredentialApi::start().await;
    let world = World::keeping(CredentialsIn::ExternalApi(api.url())).await;
    let id = "a b&c=d";
    let put = json!({"credentials": {"token": "t"}});
    let uri = "/credentials?connectionId=a%20b%26c%3Dd";
    world.send(Method::PUT, uri, &world.alice, Some(&put)).await.expect(StatusCode::CREATED);
    world.send(Method::GET, uri, &world.alice, None).await.expect(StatusCode::OK);
    world.send(Method::DELETE, uri, &world.alice, None).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(api.stored(id), None);

    let calls = api.calls();
    let what: Vec<_> = calls.iter().map(|call| call.what.as_str()).collect();
    let url = "/a/path?key=marker-of+its+owner&x=%20&connectionId=a+b%26c%3Dd";
    assert_eq!(what, [format!("PUT {url}"), format!("GET {url}"), format!("DELETE {url}")]);
    assert_eq!(calls[0].body, r#"{"credentials":{"token":"t"}}"#);
    assert_eq!(calls[0].header("content-type"), Some("application/json"));
    assert_eq!((calls[1].body.as_str(), calls[1].header("content-type")), ("", None));
    let secret = world.bundle.environment().workspaces().secret("local").await.unwrap().unwrap().secret;
    for call in &calls {
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        rules.validate_exp = false;
        let secret = jsonwebtoken::DecodingKey::from_secret(secret.expose().as_bytes());
        let token = jsonwebtoken::decode::<Value>(call.header("x-membrane-token").unwrap(), &secret, &rules).unwrap();
        let expected = json!({
            "iss": "local", "sub": "alice", "forCredentialsOf": id, "exp": World::START + 60});
        assert_eq!(token.claims, expected);
        assert_eq!(call.header("authorization"), None);
    }
}

#[tokio::test]
async fn an_api_without_delete_gets_null_instead() {
    for status in [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_FOUND, StatusCode::NOT_IMPLEMENTED] {
        let api = CredentialApi::start().await;
        let world = World::keeping(CredentialsIn::ExternalApi(api.url())).await;
        api.set_delete(Delete::Unknown(status));
        for _ in 0..2 {
            Routes(&world).set("local", "c1", r#""secret""#).await;
            Routes(&world).remove("local", "c1").await;
            assert_eq!(api.stored("c1").as_deref(), Some("null"));
            assert_eq!(Routes(&world).get("local", "c1").await, None);
        }
        let puts = api.calls().iter().filter(|call| call.what.starts_with("PUT")).count();
        assert_eq!(puts, 4);
        // Removing credentials that never existed writes nothing.
        Routes(&world).remove("local", "c2").await;
        assert_eq!(api.stored("c2"), None);
    }
}

#[tokio::test]
async fn a_token_for_another_larder_works_there_for_one_connection() {
    let (first, second) = two_larders().await;
    for (world, id) in [(&first, "c1"), (&first, "c2"), (&second, "own")] {
        Routes(world).set("local", id, r#""secret""#).await;
    }
    let alices = json!({"credentials": "alice's"});
    let uri = "/credentials?connectionId=c3";
    first.send(Method::PUT, uri, &first.alice, Some(&alices)).await.expect(StatusCode::CREATED);
    assert_eq!(second.connection("c3").await["tenantId"], "alice");

    let of = |id: &str, sub: Option<&str>, is_admin: bool| Claims {
        for_credentials_of: Some(id.to_owned()),
        sub: sub.map(ToOwned::to_owned),
        is_admin,
        ..Claims::default()
    };
    let ask = async |world: &World, uri: &str, claims: Claims| {
        let token = world.sign("local", claims).await;
        world.send(Method::GET, uri, &token, None).await.0.status()
    };
    assert_eq!(ask(&second, "/credentials?connectionId=c1", of("c1", None, false)).await, StatusCode::OK);
    assert_eq!(ask(&second, "/credentials?connectionId=c3", of("c3", Some("alice"), false)).await, StatusCode::OK);
    for claims in [of("c1", None, false), of("c1", Some("alice"), false), of("c1", None, true)] {
        for uri in [
            "/credentials?connectionId=c2",
            "/credentials?connectionId=own",
            "/credentials?connectionId=c1&connectionId=c1",
            "/credentials",
            "/connections",
            "/connections/c1",
            "/integrations",
        ] {
            assert_eq!(ask(&second, uri, claims.clone()).await, StatusCode::UNAUTHORIZED, "{uri}");
        }
        assert_eq!(ask(&first, "/credentials?connectionId=c1", claims).await, StatusCode::UNAUTHORIZED);
    }
    // Such a token never acts as an admin, and alice's credentials stay hers.
    for claims in [of("c3", None, false), of("c3", None, true), of("c3", Some("bob"), true)] {
        assert_eq!(ask(&second, "/credentials?connectionId=c3", claims).await, StatusCode::NOT_FOUND);
    }
}
