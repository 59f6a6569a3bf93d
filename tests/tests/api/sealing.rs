//! Sealed data opens only in its own place: someone who can write to the tables can destroy credentials, but not move or
//! change them.

use std::collections::HashMap;
use std::fs;

use aws_sdk_dynamodb::types::AttributeValue;
use http::StatusCode;
use larder_tests::conformance::{Keeper as _, Routes};
use larder_tests::{Browser, MockProvider, World};
use serde_json::json;

type Row = HashMap<String, AttributeValue>;

/// The tables, for someone with write access.
struct Tables<'a>(&'a World);

impl Tables<'_> {
    async fn rows(&self, table: &str) -> Vec<Row> {
        let scan = self.0.dynamodb().scan().table_name(table).send().await.unwrap();
        scan.items.unwrap()
    }

    async fn connection(&self, key: &str) -> Row {
        let rows = self.rows("larder-connections").await;
        rows.into_iter().find(|row| row["id"].as_s().unwrap() == key).expect("a row")
    }

    async fn put(&self, table: &str, row: Row) {
        let put = self.0.dynamodb().put_item().table_name(table).set_item(Some(row));
        put.send().await.unwrap();
    }

    async fn put_connection(&self, row: Row) {
        self.put("larder-connections", row).await;
    }
}

/// A row with some of another row's attributes.
fn with(row: &Row, other: &Row, names: &[&str]) -> Row {
    let taken = names.iter().map(|name| ((*name).to_owned(), other[*name].clone()));
    row.clone().into_iter().chain(taken).collect()
}

fn with_bytes(row: &Row, bytes: Vec<u8>) -> Row {
    let mut row = row.clone();
    row.insert("sealed".into(), AttributeValue::B(bytes.into()));
    row
}

async fn assert_closed(world: &World, id: &str) {
    let answer = world.get(&format!("/credentials?connectionId={id}")).await;
    assert_eq!(answer.0.status(), StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.text());
    assert!(!answer.text().contains("secret"), "{}", answer.text());
}

#[tokio::test]
async fn sealed_credentials_moved_to_another_row_cannot_be_opened() {
    let world = World::new().await;
    let (routes, tables) = (Routes(&world), Tables(&world));
    for (workspace, id) in [("local", "c1"), ("local", "c2"), ("other", "c1")] {
        routes.set(workspace, id, &format!(r#""secret of {id} in {workspace}""#)).await;
    }
    let original = tables.connection("local#c1").await;
    for other in ["local#c2", "other#c1"] {
        let other = tables.connection(other).await;
        tables.put_connection(with(&original, &other, &["sealed", "sealed_version", "version"])).await;
        assert_closed(&world, "c1").await;
        // The whole row, under another key.
        tables.put_connection(with(&other, &original, &["id"])).await;
        assert_closed(&world, "c1").await;
        tables.put_connection(with(&other, &original, &["id", "workspace"])).await;
        assert_closed(&world, "c1").await;
    }
    tables.put_connection(original).await;
    assert_eq!(routes.get("local", "c1").await.unwrap(), r#""secret of c1 in local""#);
    assert_eq!(routes.get("other", "c1").await.unwrap(), r#""secret of c1 in other""#);
}

#[tokio::test]
async fn an_older_sealed_version_cannot_replace_the_current_one() {
    let world = World::new().await;
    let (routes, tables) = (Routes(&world), Tables(&world));
    routes.set("local", "c1", r#""old secret""#).await;
    let old = tables.connection("local#c1").await;
    routes.set("local", "c1", r#""new secret""#).await;
    let new = tables.connection("local#c1").await;
    assert_ne!(old["sealed_version"], new["sealed_version"]);
    // Not even with both attributes of the older version.
    for names in [&["sealed"][..], &["sealed_version"], &["sealed", "sealed_version"]] {
        tables.put_connection(with(&new, &old, names)).await;
        assert_closed(&world, "c1").await;
    }
    tables.put_connection(new).await;
    assert_eq!(routes.get("local", "c1").await.unwrap(), r#""new secret""#);
}

#[tokio::test]
async fn changing_cutting_or_adding_a_sealed_byte_is_detected() {
    let world = World::new().await;
    let (routes, tables) = (Routes(&world), Tables(&world));
    routes.set("local", "c1", r#""secret""#).await;
    let row = tables.connection("local#c1").await;
    let sealed = row["sealed"].as_b().unwrap().as_ref().to_vec();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1 << (at % 8);
        tables.put_connection(with_bytes(&row, changed)).await;
        assert_closed(&world, "c1").await;
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    let cuts = [0, 1, 2, sealed.len() / 2, sealed.len() - 1].map(|length| sealed[..length].to_vec());
    for changed in cuts.into_iter().chain([longer, br#"{"credentials":"secret"}"#.to_vec()]) {
        tables.put_connection(with_bytes(&row, changed)).await;
        assert_closed(&world, "c1").await;
    }
    tables.put_connection(row).await;
    assert_eq!(routes.get("local", "c1").await.unwrap(), r#""secret""#);
}

#[tokio::test]
async fn without_the_key_only_new_credentials_can_be_stored_and_read() {
    let mut world = World::new().await;
    Routes(&world).set("local", "c1", r#""secret""#).await;
    let key = world.folder().join("seal.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    world.restart().await;
    assert_closed(&world, "c1").await;
    Routes(&world).set("local", "c2", "2").await;
    assert_eq!(Routes(&world).get("local", "c2").await.unwrap(), "2");

    fs::write(&key, kept).unwrap();
    world.restart().await;
    assert_eq!(Routes(&world).get("local", "c1").await.unwrap(), r#""secret""#);
    assert_closed(&world, "c2").await;
}

#[tokio::test]
async fn a_sealed_flow_cannot_be_moved_to_another_session() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let tables = Tables(&world);
    let mut browser = Browser::default();
    let mut begin = async |token: &str| {
        let uri = format!("/connect?integrationKey=crm&token={token}");
        browser.get(&world, &uri).await.location()
    };
    let authorize = begin(&world.alice).await;
    let alices = tables.rows("larder-sessions").await.remove(0);
    begin(&world.token("bob").await).await;
    let rows = tables.rows("larder-sessions").await;
    let bobs = rows.into_iter().find(|row| row["id"] != alices["id"]).unwrap();
    tables.put("larder-sessions", with(&alices, &bobs, &["sealed"])).await;

    browser.get(&world, &provider.approve(&authorize)).await.expect(StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(provider.token_requests().len(), 0);
    assert_eq!(world.get("/connections").await.json()["items"], json!([]));
}
