//! A row is changed only if it is still the one that was read. A new row with the same id is neither changed nor shown.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use http::{Method, StatusCode};
use larder::environment::CredentialsIn;
use larder_tests::{Answer, CredentialApi, MockProvider, World};
use serde_json::{Value, json};

const C1: &str = "/credentials?connectionId=c1";

/// A world in which something happens between a request's read and its write.
struct Scene {
    world: Arc<World>,
    provider: Arc<MockProvider>,
    bob: String,
}

impl Scene {
    async fn new(world: World) -> Self {
        let provider = MockProvider::start().await;
        world.integrate(&provider, json!({})).await;
        let bob = world.token("bob").await;
        Self { world: Arc::new(world), provider: Arc::new(provider), bob }
    }

    async fn put(&self, uri: &str, token: &str, credentials: Value) -> Answer {
        self.world.send(Method::PUT, uri, token, Some(&json!({ "credentials": credentials }))).await
    }

    async fn delete(&self, uri: &str) -> Answer {
        let answer = self.world.send(Method::DELETE, uri, &self.world.alice, None).await;
        assert!(!self.world.requests.is_waiting(), "the concurrent change did not happen");
        answer
    }

    /// Before the next such operation, removes alice's row and stores bob's credentials under its id.
    fn bob_takes_the_id_before(&self, operation: &'static str, id: &str) {
        let (world, bob, id) = (Arc::clone(&self.world), self.bob.clone(), id.to_owned());
        self.world.requests.before(operation, async move {
            remove_row(&world, &id).await;
            let (uri, body) = (format!("/credentials?connectionId={id}"), json!({"credentials": "bob's"}));
            world.send(Method::PUT, &uri, &bob, Some(&body)).await.expect(StatusCode::CREATED);
        });
    }

    async fn assert_bob_keeps_his(&self, id: &str) {
        let uri = format!("/credentials?connectionId={id}");
        let answer = self.world.send(Method::GET, &uri, &self.bob, None).await.expect(StatusCode::OK);
        assert_eq!(answer.json(), json!({"credentials": "bob's"}));
    }
}

/// Removes a row, as another process could.
async fn remove_row(world: &World, id: &str) {
    let remove = world.dynamodb().delete_item().table_name("larder-connections");
    remove.key("id", AttributeValue::S(format!("local#{id}"))).send().await.unwrap();
}

#[tokio::test]
async fn a_recreated_row_never_reuses_a_version() {
    let scene = Scene::new(World::new().await).await;
    let mut versions = Vec::new();
    for _ in 0..3 {
        scene.put(C1, &scene.world.alice, json!(1)).await.expect(StatusCode::CREATED);
        versions.push(scene.world.version("c1").await);
        scene.put(C1, &scene.world.alice, json!(2)).await.expect(StatusCode::CREATED);
        versions.push(scene.world.version("c1").await);
        scene.delete(C1).await.expect(StatusCode::NO_CONTENT);
    }
    let all = versions.len();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), all);
}

#[tokio::test]
async fn deleting_never_removes_another_tenants_new_row() {
    let folder = tempfile::tempdir().unwrap();
    let files = CredentialsIn::Files(folder.path().to_owned());
    // With an external credential store, the first write takes the lease.
    for (world, first_write) in [(World::new().await, "DeleteItem"), (World::keeping(files).await, "UpdateItem")] {
        let scene = Scene::new(world).await;
        for (uri, status) in [("/connections/c1", StatusCode::NOT_FOUND), (C1, StatusCode::NO_CONTENT)] {
            scene.put(C1, &scene.world.alice, json!("alice's")).await.expect(StatusCode::CREATED);
            scene.bob_takes_the_id_before(first_write, "c1");
            scene.delete(uri).await.expect(status);
            scene.assert_bob_keeps_his("c1").await;
            scene.world.send(Method::DELETE, C1, &scene.bob, None).await.expect(StatusCode::NO_CONTENT);
        }
    }
}

#[tokio::test]
async fn deleting_never_removes_a_concurrent_reconnect() {
    let scene = Scene::new(World::new().await).await;
    let id = scene.world.connect(&scene.provider).await;
    let uri = format!("/connections/{id}");
    let (world, provider) = (Arc::clone(&scene.world), Arc::clone(&scene.provider));
    scene.world.requests.before("Save", async move { drop(world.connect(&provider).await) });
    let refusal = scene.delete(&uri).await.expect(StatusCode::CONFLICT).json();
    assert!(refusal["message"].as_str().unwrap().contains("it was kept"), "{refusal}");
    assert_eq!(scene.world.credentials(&id).await["access_token"], "access-2");

    // The same holds for a row that was removed and recreated under its id.
    let (world, provider, of) = (Arc::clone(&scene.world), Arc::clone(&scene.provider), id.clone());
    scene.world.requests.before("Save", async move {
        remove_row(&world, &of).await;
        world.connect(&provider).await;
    });
    scene.delete(&uri).await.expect(StatusCode::CONFLICT);
    assert_eq!(scene.world.credentials(&id).await["access_token"], "access-3");

    let (world, body) = (Arc::clone(&scene.world), json!({"credentials": {"access_token": "stored"}}));
    let put = format!("/credentials?connectionId={id}");
    scene.world.requests.before("Save", async move {
        world.send(Method::PUT, &put, &world.alice, Some(&body)).await.expect(StatusCode::CREATED);
    });
    scene.delete(&uri).await.expect(StatusCode::CONFLICT);
    assert_eq!(scene.world.credentials(&id).await["access_token"], "stored");
    scene.delete(&uri).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_concurrent_refresh_does_not_prevent_deletion() {
    let scene = Scene::new(World::new().await).await;
    let id = scene.world.connect(&scene.provider).await;
    scene.world.advance(3300);
    let world = Arc::clone(&scene.world);
    scene.world.requests.before("Save", async move { world.sweep().await });
    scene.delete(&format!("/connections/{id}")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(scene.provider.refreshes().len(), 1);
    scene.world.get(&format!("/connections/{id}")).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn concurrent_deletions_both_succeed_and_create_nothing() {
    let scene = Scene::new(World::new().await).await;
    let id = scene.world.connect(&scene.provider).await;
    let emptied = format!("/credentials?connectionId={id}");
    let connection = format!("/connections/{id}");
    // The row is already gone, as if the answer to a first attempt had been lost.
    for uri in [&connection, &emptied] {
        let (world, of) = (Arc::clone(&scene.world), id.clone());
        scene.world.requests.before("Save", async move { remove_row(&world, &of).await });
        scene.delete(uri).await.expect(StatusCode::NO_CONTENT);
        scene.world.get(&connection).await.expect(StatusCode::NOT_FOUND);
        scene.world.connect(&scene.provider).await;
    }
    scene.put(C1, &scene.world.alice, json!(1)).await.expect(StatusCode::CREATED);
    let world = Arc::clone(&scene.world);
    scene.world.requests.before("DeleteItem", async move { remove_row(&world, "c1").await });
    scene.delete(C1).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn deleting_credentials_includes_concurrent_writes() {
    let scene = Scene::new(World::new().await).await;
    scene.put(C1, &scene.world.alice, json!(1)).await.expect(StatusCode::CREATED);
    let world = Arc::clone(&scene.world);
    scene.world.requests.before("DeleteItem", async move {
        let body = json!({"credentials": 2});
        world.send(Method::PUT, C1, &world.alice, Some(&body)).await.expect(StatusCode::CREATED);
    });
    scene.delete(C1).await.expect(StatusCode::NO_CONTENT);
    scene.world.get(C1).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn externally_stored_credentials_never_reach_another_tenant() {
    let api = CredentialApi::start().await;
    let scene = Scene::new(World::keeping(CredentialsIn::ExternalApi(api.url())).await).await;
    scene.put(C1, &scene.world.alice, json!("alice's")).await.expect(StatusCode::CREATED);
    // Bob takes the id between reading the row and the store, and reading the row again.
    let (world, bob, requests) = (Arc::clone(&scene.world), scene.bob.clone(), scene.world.requests.clone());
    scene.world.requests.before("GetItem", async move {
        api.store("c1", r#""bob's""#);
        requests.before("GetItem", async move {
            remove_row(&world, "c1").await;
            let body = json!({"credentials": "bob's"});
            world.send(Method::PUT, C1, &bob, Some(&body)).await.expect(StatusCode::CREATED);
        });
    });
    let answer = scene.world.send(Method::GET, C1, &scene.world.alice, None).await;
    assert!(!answer.text().contains("bob"), "{}", answer.text());
    answer.expect(StatusCode::NOT_FOUND);
    assert!(!scene.world.requests.is_waiting());
    scene.assert_bob_keeps_his("c1").await;
}

#[tokio::test]
async fn a_waiting_reader_is_not_served_another_tenants_row() {
    for route in ["GET /credentials?connectionId=", "POST /connections/"] {
        let scene = Scene::new(World::new().await).await;
        let id = scene.world.connect_one_more(&scene.provider).await;
        scene.world.advance(3600);
        // The refresh is about to take the lease.
        scene.bob_takes_the_id_before("UpdateItem", &id);
        let (method, uri) = route.split_once(' ').unwrap();
        let suffix = if method == "POST" { "/refresh-credentials" } else { "" };
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = scene.world.send(method, &format!("{uri}{id}{suffix}"), &scene.world.alice, None).await;
        assert!(!scene.world.requests.is_waiting());
        assert!(!answer.text().contains("bob"), "{}", answer.text());
        answer.expect(StatusCode::NOT_FOUND);
        scene.assert_bob_keeps_his(&id).await;
        assert_eq!(scene.provider.refreshes().len(), 0);
    }
}
