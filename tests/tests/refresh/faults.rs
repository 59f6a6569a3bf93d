//! Faults during a refresh: nothing is lost, and nothing holds up others.

use std::fs;
use std::time::Duration;

use http::{Method, StatusCode};
use larder::connection::{ConnectionKey, Lease, LeaseHolder};
use larder::dynamodb::{Expect, Write};
use larder_tests::{Browser, MockProvider, World};
use serde_json::{Value, json};

#[tokio::test]
async fn rotated_tokens_survive_a_failing_mapping() {
    let connectors = tempfile::tempdir().unwrap();
    let folder = connectors.path().join("faulty");
    fs::create_dir_all(&folder).unwrap();
    let spec = "auth:\n  type: oauth2\n  getOAuthConfig:\n    mapping:\n      clientId: id\n      clientSecret: secret\n      \
                authorizeUri: { $var: connectorParameters.authorizeUri }\n      \
                tokenUri: { $var: connectorParameters.tokenUri }\n  makeApiClient:\n    mapping: { baseUri: 'https://a.example' }\n  \
                getCredentialsFromRefreshTokenResponse:\n    mapping: { $var: tokenResponse.nowhere }\n";
    fs::write(folder.join("spec.yml"), spec).unwrap();
    let world = World::with_connectors(vec![connectors.path().to_owned()]).await;
    let provider = MockProvider::start().await;
    let body = json!({"connectorKey": "faulty", "parameters": {
        "authorizeUri": provider.uri("/authorize"), "tokenUri": provider.uri("/token")}});
    world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    let id = world.connect(&provider).await;

    world.advance(3300);
    world.sweep().await;
    let credentials = world.credentials(&id).await;
    assert_eq!(
        (&credentials["access_token"], &credentials["refresh_token"]),
        (&json!("access-2"), &json!("refresh-2"))
    );
    assert_eq!(world.connection(&id).await["nextCredentialsRefreshAt"], "2026-01-01T01:50:00Z");
}

#[tokio::test]
async fn unreadable_credentials_wait_5_minutes_and_heal_on_reconnect() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    let connections = world.bundle.environment().connections();
    let mut connection = connections.get(&ConnectionKey::new("local", &id)).await.unwrap().unwrap();
    *connection.sealed.last_mut().unwrap() ^= 1;
    assert_eq!(connections.put(&connection, Expect::Version(connection.version)).await.unwrap(), Write::Done);

    world.advance(3300);
    let sweep = async || world.bundle.refresher().sweep(Duration::ZERO, None).await.unwrap();
    assert_eq!(sweep().await.failed, 1);
    world.advance(299);
    assert_eq!(sweep().await.due, 0);
    world.advance(1);
    assert_eq!(sweep().await.failed, 1);
    assert_eq!(provider.refreshes().len(), 0);

    assert_eq!(world.connect(&provider).await, id);
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn a_faulty_setup_is_a_failure_and_an_unreadable_one_is_not() {
    let (mut world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    world.advance(3300);
    // The integration's parameters are not cached and cannot be read.
    world.restart().await;
    let secrets = world.folder().join("secrets.json");
    let readable = fs::read(&secrets).unwrap();
    fs::write(&secrets, "{").unwrap();
    let sweep = async |world: &World| world.bundle.refresher().sweep(Duration::ZERO, None).await.unwrap();
    assert_eq!(sweep(&world).await.failed, 1);
    fs::write(&secrets, readable).unwrap();
    let view = world.connection(&id).await;
    assert_eq!((&view["retryAttempts"], &view["error"]), (&json!(0), &Value::Null), "{view}");

    // The connector no longer has the auth option.
    let connections = world.bundle.environment().connections();
    let mut connection = connections.get(&ConnectionKey::new("local", &id)).await.unwrap().unwrap();
    connection.integration.as_mut().unwrap().option_key = "gone".into();
    assert_eq!(connections.put(&connection, Expect::Version(connection.version)).await.unwrap(), Write::Done);
    world.advance(300);
    assert_eq!(sweep(&world).await.failed, 1);
    let view = world.connection(&id).await;
    assert_eq!((&view["retryAttempts"], &view["error"]["key"]), (&json!(1), &json!("configuration")), "{view}");
    assert_eq!(provider.refreshes().len(), 0);
}

#[tokio::test]
async fn a_lease_has_one_holder_and_ends_with_its_write() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    let connections = world.bundle.environment().connections();
    let connection = connections.get(&ConnectionKey::new("local", &id)).await.unwrap().unwrap();
    let now = connection.updated_at;
    let (holder, until) = (LeaseHolder::Refresher, now + Duration::from_mins(1));
    let lease = Lease { token: "another's".into(), holder, until };
    assert_eq!(connections.lease(&connection, &lease, now).await.unwrap(), Write::Done);
    let unleased = Expect::Unleased(connection.version, now);
    assert_eq!(connections.put(&connection, unleased).await.unwrap(), Write::Conflict);
    let third = Lease { token: "a third's".into(), ..lease.clone() };
    let taken = connections.lease(&connection, &third, now).await.unwrap();
    assert_eq!(taken, Write::Conflict, "a lease has one holder");
    let again = connections.lease(&connection, &lease, now).await.unwrap();
    assert_eq!(again, Write::Done, "the holder may ask again, because the first answer may have been lost");
    assert_eq!(connections.put(&connection, Expect::Lease(&lease)).await.unwrap(), Write::Done);
    let late = connections.put(&connection, Expect::Lease(&lease)).await.unwrap();
    assert_eq!(late, Write::Conflict, "a lease ends with its write");
}

#[tokio::test]
async fn a_refresh_result_too_large_to_store_keeps_its_tokens() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    let large = "x".repeat(300 * 1024);
    let tokens = json!({"access_token": "new", "refresh_token": "R2", "expires_in": 3600, "note": large});
    let stored = json!({"credentials": {"refresh_token": "R1", "expires_in": 3600, "kept": large}});
    let uri = format!("/credentials?connectionId={id}");
    world.send(Method::PUT, &uri, &world.admin, Some(&stored)).await.expect(StatusCode::CREATED);
    provider.script(200, &tokens);
    world.advance(3300);
    world.sweep().await;
    let credentials = world.credentials(&id).await;
    assert_eq!((&credentials["access_token"], &credentials["refresh_token"]), (&json!("new"), &json!("R2")));
    assert_eq!((&credentials["kept"], &credentials["note"]), (&json!(large), &Value::Null));
}

#[tokio::test]
async fn oversized_connect_input_is_rejected_before_the_redirect() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let payload = json!({"token": world.alice, "integrationKey": "crm", "input": {"note": "x".repeat(420 * 1024)}});
    let page = Browser::default().post(&world, "/connect", &[("payload", &payload.to_string())]).await;
    page.expect(StatusCode::PAYLOAD_TOO_LARGE);
}
