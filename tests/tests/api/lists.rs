//! Lists of connections, with and without the tenant index.

use std::path::Path;

use dynoxide::types::{AttributeValue, Item};
use dynoxide::{Database, ImportOptions};
use http::{Method, StatusCode};
use larder::caller::Claims;
use larder::connection::Details;
use larder_tests::{Answer, World};
use serde_json::{Value, json};

use super::manage::{CRM, get, store};

/// The connections table as it was before the tenant index existed.
fn former_table() -> Value {
    let attribute = |name: &str, kind: &str| json!({"AttributeName": name, "AttributeType": kind});
    let index = |name: &str, keys: [&str; 2], projection: Value| {
        let keys =
            json!([{"AttributeName": keys[0], "KeyType": "HASH"}, {"AttributeName": keys[1], "KeyType": "RANGE"}]);
        json!({"IndexName": name, "KeySchema": keys, "Projection": projection})
    };
    let listed =
        json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["tenant", "integration_key", "connector_key"]});
    json!({
        "TableName": "larder-connections",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            attribute("id", "S"), attribute("workspace", "S"), attribute("created_at", "N"),
            attribute("due_shard", "N"), attribute("next_refresh_at", "N"),
        ],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [
            index("by_workspace", ["workspace", "created_at"], listed),
            index("by_due", ["due_shard", "next_refresh_at"], json!({"ProjectionType": "KEYS_ONLY"})),
        ],
    })
}

/// A row as that version wrote it. A larger `age` makes it older.
pub(super) fn row(workspace: &str, id: &str, tenant: Option<&str>, age: usize) -> Item {
    let created_at = (1_767_225_600_000 - age).to_string();
    let mut row = json!({
        "id": {"S": format!("{workspace}#{id}")}, "workspace": {"S": workspace}, "version": {"N": "1"},
        "sealed_version": {"N": "1"}, "sealed": {"B": "AAAA"}, "state": {"S": "READY"}, "refreshable": {"N": "0"},
        "renews_itself": {"N": "0"}, "retry_attempts": {"N": "0"}, "created_at": {"N": created_at},
        "updated_at": {"N": created_at},
    });
    if let Some(tenant) = tenant {
        row["tenant"] = json!({ "S": tenant });
    }
    serde_json::from_value(row).unwrap()
}

/// A row with only the attributes that the indexes project, enough for rows that are never read.
fn entry(id: &str, tenant: &str, age: usize) -> Item {
    let string = |name: &str, value: &str| (name.to_owned(), AttributeValue::S(value.to_owned()));
    let created_at = ("created_at".to_owned(), AttributeValue::N((1_767_225_600_000 - age).to_string()));
    Item::from([
        string("id", &format!("local#{id}")),
        string("workspace", "local"),
        string("tenant", tenant),
        string("integration_key", "crm"),
        created_at,
    ])
}

/// A world over a database from that version, with these rows.
pub(super) async fn former_world(rows: Vec<Item>) -> World {
    World::over_database(|file: &Path| {
        let database = Database::new(file.to_str().unwrap()).unwrap();
        database.create_table(serde_json::from_value(former_table()).unwrap()).unwrap();
        database.enable_bulk_loading().unwrap();
        database.import_items("larder-connections", rows, ImportOptions::default()).unwrap();
        database.disable_bulk_loading().unwrap();
    })
    .await
}

fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// All pages of alice's connections, in order.
async fn pages(world: &World, limit: usize) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let uri = format!("/connections?limit={limit}{cursor}");
        let answer = world.send(Method::GET, &uri, &world.alice, None).await.expect(StatusCode::OK);
        pages.push(ids(&answer));
        match answer.json()["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
        assert!(pages.len() < 1000, "the pages never end");
    }
}

/// Deletes the tenant index, as if it had not been created yet.
async fn without_index(world: &World) {
    let delete = aws_sdk_dynamodb::types::DeleteGlobalSecondaryIndexAction::builder().index_name("by_tenant");
    let delete = aws_sdk_dynamodb::types::GlobalSecondaryIndexUpdate::builder().delete(delete.build().unwrap());
    let update = world.dynamodb().update_table().table_name("larder-connections");
    update.global_secondary_index_updates(delete.build()).send().await.unwrap();
}

#[tokio::test]
async fn a_page_for_one_tenant_among_100_000_others_takes_three_calls() {
    const OTHERS: usize = 100_000;
    let others = (0..OTHERS).map(|number| entry(&format!("b{number}"), "bob", OTHERS + number));
    // Some are older and some newer than all the others.
    let own = (0..60).map(|number| row("local", &format!("a{number:02}"), Some("alice"), number * 9_000));
    let elsewhere = [row("local2", "a99", Some("alice"), 0), row("local", "nobodys", None, 0)];
    let world = former_world(others.chain(own).chain(elsewhere).collect()).await;
    world.requests.take();
    let expected: Vec<_> = (0..60).map(|number| format!("a{number:02}")).collect();
    for limit in [100, 25, 1] {
        let pages = pages(&world, limit).await;
        assert_eq!(pages.concat(), expected);
        let calls = world.requests.take();
        assert!(calls.len() <= pages.len() * 3, "{limit}: {} pages, {calls:?}", pages.len());
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit), "{limit}");
    }

    for number in 0..30 {
        let integration = if number % 10 == 9 { Some(["erp", "hubspot"]) } else { CRM };
        let details = Details { key: (number == 7).then(|| "main".to_owned()), ..Details::default() };
        store(&world, Some("carol"), &format!("{number:02}"), integration, details).await;
    }
    let carol = world.token("carol").await;
    for (caller, filters, count) in [
        (&carol, "", 25),
        (&carol, "&integrationKey=crm", 25),
        (&carol, "&integrationKey=erp", 3),
        (&carol, "&integrationKey=crm&state=READY", 25),
        (&carol, "&key=main", 1),
        (&world.admin, "&integrationKey=erp", 3),
        (&world.admin, "&tenantId=carol&integrationKey=crm", 25),
    ] {
        world.requests.take();
        let answer = get(&world, caller, &format!("/connections?limit=25{filters}")).await.expect(StatusCode::OK);
        let calls = world.requests.take();
        assert_eq!(ids(&answer).len(), count, "{filters}");
        assert!(calls.len() <= 3, "{filters}: {calls:?}");
    }
    let named = get(&world, &carol, "/connections/main").await.expect(StatusCode::OK);
    assert_eq!(named.json()["id"], "carol-07");
}

#[tokio::test]
async fn a_database_from_an_earlier_version_gets_the_tenant_index() {
    let mut world = former_world(vec![
        row("local", "a1", Some("alice"), 1),
        row("local", "a0", Some("alice"), 2),
        row("local", "b", Some("bob"), 3),
        row("local", "n", None, 4),
    ])
    .await;
    for _ in 0..2 {
        assert_eq!(pages(&world, 1).await.concat(), ["a0", "a1"]);
        assert_eq!(ids(&world.get("/connections").await), ["n", "b", "a0", "a1"]);
        world.restart().await;
    }
    let (uri, body) = ("/credentials?connectionId=a2", json!({"credentials": 1}));
    world.send(Method::PUT, uri, &world.alice, Some(&body)).await.expect(StatusCode::CREATED);
    assert_eq!(pages(&world, 2).await, [vec!["a0", "a1"], vec!["a2"]]);
}

#[tokio::test]
async fn tenants_can_list_connections_without_the_index() {
    let world = former_world(vec![
        row("local", "a1", Some("alice"), 9),
        row("local", "b1", Some("bob"), 8),
        row("local", "b2", Some("bob"), 7),
        row("local", "a0", Some("alice"), 6),
    ])
    .await;
    without_index(&world).await;
    assert_eq!(pages(&world, 1).await.concat(), ["a1", "a0"], "oldest first");
    let first = world.send(Method::GET, "/connections?limit=1", &world.alice, None).await.json();
    let cursor = first["cursor"].as_str().unwrap().to_owned();
    let uri = |cursor: &str| format!("/connections?cursor={cursor}");

    let mut world = world;
    world.restart().await;
    assert_eq!(pages(&world, 1).await.concat(), ["a0", "a1"]);
    // A cursor from one kind of list is invalid in the other.
    let refusal = world.send(Method::GET, &uri(&cursor), &world.alice, None).await.expect(StatusCode::BAD_REQUEST);
    assert!(
        refusal.json()["message"].as_str().unwrap().contains("omit it to start at the first page"),
        "{}",
        refusal.text()
    );
    let first = world.send(Method::GET, "/connections?limit=1", &world.alice, None).await.json();
    let index_cursor = first["cursor"].as_str().unwrap().to_owned();
    assert_eq!(ids(&world.send(Method::GET, &uri(&index_cursor), &world.alice, None).await), ["a1"]);
    without_index(&world).await;
    world.send(Method::GET, &uri(&index_cursor), &world.alice, None).await.expect(StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_tenant_too_long_for_an_index_is_rejected() {
    let world = World::new().await;
    let body = json!({"credentials": 1});
    for (length, status) in [(2048, StatusCode::CREATED), (2049, StatusCode::BAD_REQUEST)] {
        let claims = Claims { tenant_key: Some("x".repeat(length)), ..Claims::default() };
        let token = world.sign("local", claims).await;
        let uri = format!("/credentials?connectionId=of-{length}");
        let answer = world.send(Method::PUT, &uri, &token, Some(&body)).await.expect(status);
        assert!(status.is_success() || answer.text().contains("at most 2048 bytes"), "{}", answer.text());
        if status.is_success() {
            assert_eq!(ids(&world.send(Method::GET, "/connections", &token, None).await), ["of-2048"]);
        }
    }
}
