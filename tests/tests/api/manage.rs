//! Filters, selectors, and changes of connections, keys, flows, and the archive.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynoxide::types::Item;
use futures::future::join_all;
use http::{Method, StatusCode};
use larder::connection::{Connection, ConnectionKey, Details, IntegrationRef, State};
use larder::dynamodb::{Connections, Expect, Write};
use larder_tests::{Answer, MockProvider, World};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::lists::{former_world, row as former_row};

/// Days after which an archived connection counts as gone.
const ARCHIVE_DAYS: u64 = 30;

pub(super) fn connections(world: &World) -> Connections {
    world.bundle.environment().connections()
}

/// Stores a connection `{tenant}-{name}` of an integration, without credentials that open.
pub(super) async fn store(
    world: &World,
    tenant: Option<&str>,
    name: &str,
    integration: Option<[&str; 2]>,
    details: Details,
) {
    let id = format!("{}-{name}", tenant.unwrap_or("nobody"));
    let integration = integration.map(|[key, connector]| IntegrationRef {
        key: key.into(),
        connector_key: connector.into(),
        option_key: String::new(),
    });
    let now = OffsetDateTime::from_unix_timestamp(world.clock_time()).unwrap();
    let connection = Connection {
        tenant: tenant.map(Into::into),
        integration,
        details,
        sealed: vec![0],
        ..Connection::new(ConnectionKey::new("local", id), now)
    };
    assert_eq!(connections(world).put(&connection, Expect::Absent).await.unwrap(), Write::Done);
    world.advance(1);
}

fn tagged(team: &str) -> Details {
    Details { tags: [("team".to_owned(), team.to_owned())].into(), ..Details::default() }
}

pub(super) const CRM: Option<[&str; 2]> = Some(["crm", "oauth2"]);

/// A world with four connections of `crm`, one of another integration, and one without.
async fn crowded() -> World {
    let world = World::new().await;
    let shop = Details { name: Some("Our Shop".into()), key: Some("main".into()), ..tagged("red") };
    store(&world, Some("alice"), "1", CRM, shop).await;
    store(&world, Some("alice"), "2", Some(["erp", "hubspot"]), tagged("blue")).await;
    store(&world, Some("alice"), "3", None, Details::default()).await;
    store(&world, Some("alice"), "4", CRM, Details::default()).await;
    store(&world, Some("bob"), "1", CRM, Details { key: Some("main".into()), ..tagged("red") }).await;
    store(&world, None, "1", CRM, Details::default()).await;
    let key = ConnectionKey::new("local", "alice-4");
    let mut failed = connections(&world).get(&key).await.unwrap().unwrap();
    failed.state = State::ClientActionRequired;
    assert_eq!(connections(&world).put(&failed, Expect::Version(failed.version)).await.unwrap(), Write::Done);
    world
}

pub(super) async fn get(world: &World, token: &str, uri: &str) -> Answer {
    world.send(Method::GET, uri, token, None).await
}

pub(super) async fn patch(world: &World, token: &str, id: &str, body: Value) -> Answer {
    world.send(Method::PATCH, &format!("/connections/{id}"), token, Some(&body)).await
}

pub(super) async fn delete(world: &World, token: &str, id: &str) -> Answer {
    world.send(Method::DELETE, &format!("/connections/{id}"), token, None).await
}

fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn message(answer: &Answer) -> String {
    answer.json()["message"].as_str().unwrap().to_owned()
}

/// A world in which alice is connected through `crm`.
pub(super) async fn connected() -> (World, MockProvider, String) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    (world, provider, id)
}

#[tokio::test]
async fn a_list_has_only_what_its_filters_name() {
    let world = crowded().await;
    let all = ["alice-1", "alice-2", "alice-3", "alice-4"];
    for (query, expected) in [
        ("", &all[..]),
        ("integrationKey=crm", &["alice-1", "alice-4"]),
        ("integrationId=erp", &["alice-2"]),
        ("integrationKey=none", &[]),
        ("integrationKey=%00", &[]),
        ("connectorKey=oauth2", &["alice-1", "alice-4"]),
        ("connectorId=hubspot", &["alice-2"]),
        ("state=CLIENT_ACTION_REQUIRED", &["alice-4"]),
        ("connected=true", &all[..3]),
        ("connected=false", &["alice-4"]),
        ("disconnected=1", &["alice-4"]),
        ("disconnected=1&connected=1", &[]),
        ("search=sHOp", &["alice-1"]),
        ("search=erp", &["alice-2"]),
        ("search=alice-3", &["alice-3"]),
        ("search=bob", &[]),
        ("key=main", &["alice-1"]),
        ("key=main&state=CLIENT_ACTION_REQUIRED", &[]),
        ("key=mai", &[]),
        ("tags%5Bteam%5D=red", &["alice-1"]),
        ("tags[team]=blue&integrationKey=erp", &["alice-2"]),
        ("tags[team]=red&tags[size]=large", &[]),
        ("tenantId=alice", &all[..]),
        ("tenantId=bob", &[]),
        ("userId=bob&key=main", &[]),
        ("isTest=true", &[]),
        ("isTest=false", &all[..]),
        ("includeSecrets=true&hash=7", &all[..]),
        ("includeArchived=true&integrationKey=crm", &["alice-1", "alice-4"]),
    ] {
        let answer = get(&world, &world.alice, &format!("/connections?{query}")).await.expect(StatusCode::OK);
        assert_eq!(ids(&answer), expected, "{query}");
        assert!(answer.json().get("cursor").is_none(), "{query}");
    }
}

#[tokio::test]
async fn an_admin_lists_every_tenant_or_one() {
    let world = crowded().await;
    for (query, expected) in [
        ("integrationKey=crm", &["alice-1", "alice-4", "bob-1", "nobody-1"][..]),
        ("integrationKey=crm&includeArchived=1", &["alice-1", "alice-4", "bob-1", "nobody-1"]),
        ("tenantId=bob", &["bob-1"]),
        ("userId=bob&tenantId=bob", &["bob-1"]),
        ("tenantId=carol", &[]),
        ("tenantId=bob&integrationKey=erp", &[]),
        ("tenantId=alice&integrationKey=erp", &["alice-2"]),
        ("key=main", &["alice-1", "bob-1"]),
        ("key=main&tenantId=bob", &["bob-1"]),
        ("tags[team]=red", &["alice-1", "bob-1"]),
        ("search=nobody", &["nobody-1"]),
    ] {
        let answer = world.get(&format!("/connections?{query}")).await.expect(StatusCode::OK);
        assert_eq!(ids(&answer), expected, "{query}");
    }
    let long = "x".repeat(2049);
    for name in ["tenantId", "integrationKey"] {
        assert_eq!(ids(&world.get(&format!("/connections?{name}={long}")).await.expect(StatusCode::OK)), [""; 0]);
    }
}

#[tokio::test]
async fn wrong_filters_are_rejected_by_name() {
    let world = World::new().await;
    for (query, name) in [
        ("limit=1001", "`limit`"),
        ("limit=0", "`limit`"),
        ("state=READ", "`state`"),
        ("connected=maybe", "`connected`"),
        ("includeArchived=2", "`includeArchived`"),
        ("isTest=x", "`isTest`"),
        ("tenantId=a&userId=b", "`tenantId`"),
        ("connectorKey=a&connectorId=b", "`connectorKey`"),
        ("search=a&search=b", "`search`"),
        ("cursor=nonsense", "`cursor`"),
        ("cursor=-1", "`cursor`"),
        ("cursor=2", "`cursor`"),
        ("cursor=I2E&tenantId=alice&cursor=b", "`cursor`"),
    ] {
        for token in [&world.admin, &world.alice] {
            let answer = get(&world, token, &format!("/connections?{query}")).await.expect(StatusCode::BAD_REQUEST);
            assert!(message(&answer).contains(name), "{query}: {}", answer.text());
        }
    }
    world.get("/connections?limit=1000&cursor=0").await.expect(StatusCode::OK);
}

/// Many connections of alice, and as many of bob.
async fn many(count: usize) -> World {
    let rows = (0..count).flat_map(|number| {
        [("alice", "a"), ("bob", "b")]
            .map(|(tenant, prefix)| former_row("local", &format!("{prefix}{number:04}"), Some(tenant), number))
    });
    former_world(rows.collect()).await
}

#[tokio::test]
async fn a_filtered_page_reads_a_thousand_entries_at_most() {
    let world = many(1003).await;
    for (token, tenant) in [(&world.alice, ""), (&world.admin, "&tenantId=alice")] {
        let uri = |cursor: &str| format!("/connections?search=a1002{tenant}&cursor={cursor}");
        world.requests.take();
        let short = get(&world, token, &uri("")).await.expect(StatusCode::OK).json();
        assert_eq!(short["items"], json!([]));
        assert_eq!(world.requests.take().len(), 20, "ten queries, ten batches");
        let last = get(&world, token, &uri(short["cursor"].as_str().unwrap())).await;
        assert_eq!(ids(&last), ["a1002"]);
        assert!(last.json().get("cursor").is_none());
    }
    let page = get(&world, &world.alice, "/connections?limit=1000").await.expect(StatusCode::OK);
    assert_eq!(ids(&page).len(), 1000);
    let cursor = page.json()["cursor"].as_str().unwrap().to_owned();
    let rest = get(&world, &world.alice, &format!("/connections?limit=1000&cursor={cursor}")).await;
    assert_eq!(ids(&rest), ["a1000", "a1001", "a1002"]);
}

#[tokio::test]
async fn a_tenants_filtered_page_takes_three_calls() {
    let world = many(100).await;
    for query in ["limit=25", "limit=25&state=READY", "limit=25&search=a", "key=none&limit=25"] {
        world.requests.take();
        let page = get(&world, &world.alice, &format!("/connections?{query}")).await.expect(StatusCode::OK);
        let calls = world.requests.take();
        assert!(calls.len() <= 3, "{query}: {calls:?}");
        assert_eq!(ids(&page).len(), if query.starts_with("key") { 0 } else { 25 }, "{query}");
    }
}

#[tokio::test]
async fn a_page_ends_with_a_cursor_at_four_megabytes() {
    let large = "A".repeat(400_000);
    let rows = (0..20).map(|number| {
        let mut row: Value =
            serde_json::to_value(former_row("local", &format!("a{number:02}"), Some("alice"), 0)).unwrap();
        row["meta"] = json!({ "S": json!({ "m": large[..300_000] }).to_string() });
        serde_json::from_value::<Item>(row).unwrap()
    });
    let world = former_world(rows.collect()).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&world, &world.alice, &format!("/connections?cursor={cursor}")).await.expect(StatusCode::OK);
        assert!(page.text().len() < 5_000_000, "{} bytes", page.text().len());
        seen.push(ids(&page));
        match page.json()["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert!(seen.len() == 2 && seen[0].len() == 14, "{seen:?}");
    assert_eq!(seen.concat(), (0..20).map(|number| format!("a{number:02}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_selector_is_an_id_then_a_key_then_an_integration() {
    let world = crowded().await;
    let bob = world.token("bob").await;
    let erp = patch(&world, &world.alice, "alice-4", json!({ "key": "erp" })).await;
    erp.expect(StatusCode::OK);
    for (token, selector, id) in [
        (&world.alice, "alice-1", Some("alice-1")),
        (&world.alice, "main", Some("alice-1")),
        (&world.alice, "main?tenantId=bob", Some("alice-1")),
        // A key comes before an integration.
        (&world.alice, "erp", Some("alice-4")),
        // She has two of this integration.
        (&world.alice, "crm", None),
        (&world.alice, "bob-1", None),
        (&world.alice, "none", None),
        (&bob, "main", Some("bob-1")),
        (&bob, "crm", Some("bob-1")),
        (&bob, "alice-1", None),
        (&bob, "erp", None),
        (&world.admin, "bob-1", Some("bob-1")),
        (&world.admin, "main", None),
        (&world.admin, "main?tenantId=bob", Some("bob-1")),
        (&world.admin, "crm?tenantId=bob", Some("bob-1")),
        (&world.admin, "crm", None),
        (&world.admin, "erp", Some("alice-2")),
    ] {
        let answer = get(&world, token, &format!("/connections/{selector}")).await;
        match id {
            Some(id) => assert_eq!(answer.expect(StatusCode::OK).json()["id"], id, "{selector}"),
            None => drop(answer.expect(StatusCode::NOT_FOUND)),
        }
    }
    // An id comes before a key.
    patch(&world, &world.alice, "alice-2", json!({ "key": "alice-1" })).await.expect(StatusCode::OK);
    assert_eq!(get(&world, &world.alice, "/connections/alice-1").await.json()["id"], "alice-1");
    // An id of another tenant does not hide a key.
    patch(&world, &world.alice, "alice-2", json!({ "key": "bob-1" })).await.expect(StatusCode::OK);
    assert_eq!(get(&world, &world.alice, "/connections/bob-1").await.json()["id"], "alice-2");
    let long = "x".repeat(3000);
    for selector in ["a%2Fb", "%00", "%E2%98%83", &long] {
        for token in [&world.alice, &world.admin] {
            get(&world, token, &format!("/connections/{selector}")).await.expect(StatusCode::NOT_FOUND);
        }
    }
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_null_removes() {
    let world = crowded().await;
    world.advance(60);
    let full = json!({"name": "Mine", "key": "k", "tags": {"a": "1"}, "meta": {"deep": [1, {"x": null}]},
                      "isDeactivated": true});
    let made = patch(&world, &world.alice, "alice-2", full.clone()).await.expect(StatusCode::OK).json();
    let members = |view: &Value| {
        full.as_object().unwrap().keys().map(|name| (name.clone(), view[name].clone())).collect::<Value>()
    };
    assert_eq!(members(&made), full);
    assert_ne!(made["updatedAt"], made["createdAt"]);
    assert_eq!(get(&world, &world.alice, "/connections/k").await.json(), made);
    // Nothing named, nothing changed.
    assert_eq!(patch(&world, &world.alice, "k", json!({})).await.expect(StatusCode::OK).json(), made);
    let put = |body: Value| {
        let world = &world;
        async move { world.send(Method::PUT, "/connections/alice-2", &world.alice, Some(&body)).await }
    };
    let renamed = put(json!({ "name": "Ours" })).await.expect(StatusCode::OK).json();
    assert_eq!((&renamed["name"], &renamed["tags"]), (&json!("Ours"), &made["tags"]));
    let emptied = json!({"name": null, "key": null, "tags": null, "meta": null, "isDeactivated": null});
    let emptied = put(emptied).await.expect(StatusCode::OK).json();
    assert_eq!(emptied["name"], "erp", "the integration's key");
    for member in ["key", "tags", "meta", "isDeactivated"] {
        assert!(emptied.get(member).is_none(), "{emptied}");
    }
    assert_eq!(get(&world, &world.alice, "/connections/alice-2").await.json(), emptied);
    for (token, id) in [(&world.alice, "bob-1"), (&world.alice, "none"), (&world.admin, "none")] {
        patch(&world, token, id, json!({ "name": "x" })).await.expect(StatusCode::NOT_FOUND);
    }
    patch(&world, &world.admin, "main?tenantId=bob", json!({ "name": "x" })).await.expect(StatusCode::OK);
    assert_eq!(world.connection("bob-1").await["name"], "x");
}

#[tokio::test]
async fn a_patch_beyond_a_limit_changes_nothing() {
    let world = crowded().await;
    let before = world.connection("alice-1").await;
    let tags = |count: usize| (0..count).map(|number| (number.to_string(), json!("v"))).collect::<Value>();
    for (body, hint) in [
        (json!({ "name": "x".repeat(1025) }), "`name`"),
        (json!({ "key": "x".repeat(256) }), "`key`"),
        (json!({ "key": "" }), "`key`"),
        (json!({ "tags": tags(11) }), "`tags`"),
        (json!({ "tags": { "k".repeat(65): "v" } }), "`tags`"),
        (json!({ "tags": { "k": "v".repeat(256) } }), "`tags.k`"),
        (json!({ "tags": { "k": 1 } }), "expected a string"),
        (json!({ "meta": { "m": "x".repeat(16 * 1024) } }), "`meta`"),
        (json!({ "meta": [] }), "expected a map"),
        (json!({ "isDeactivated": "yes" }), "expected a boolean"),
        (json!({ "colour": "red" }), "unknown field `colour`"),
        (json!({ "name": "fine", "state": "READY", "colour": "red" }), "unknown field `colour`"),
        (json!([]), "not a JSON object"),
    ] {
        let answer = patch(&world, &world.alice, "alice-1", body).await.expect(StatusCode::BAD_REQUEST);
        assert!(message(&answer).contains(hint), "{hint}: {}", answer.text());
    }
    assert_eq!(world.connection("alice-1").await, before);
    let most = json!({"name": "ß".repeat(255), "key": "#".repeat(255), "tags": tags(10),
                      "meta": { "m": "x".repeat(16 * 1024 - 8) }});
    patch(&world, &world.alice, "alice-1", most).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_key_belongs_to_one_connection_of_a_tenant() {
    let world = crowded().await;
    let main = || json!({ "key": "main" });
    let taken = patch(&world, &world.alice, "alice-2", main()).await.expect(StatusCode::CONFLICT).json();
    assert_eq!((&taken["key"], &taken["type"]), (&json!("already_exists"), &json!("bad_request")));
    assert!(taken["message"].as_str().unwrap().contains("`key`"), "{taken}");
    // Its own key again is fine.
    patch(&world, &world.alice, "alice-1", main()).await.expect(StatusCode::OK);
    // A patch frees it, to another key or to none.
    for body in [json!({ "key": "other" }), json!({ "key": null })] {
        patch(&world, &world.alice, "alice-1", body).await.expect(StatusCode::OK);
        patch(&world, &world.alice, "alice-2", main()).await.expect(StatusCode::OK);
        assert_eq!(get(&world, &world.alice, "/connections/main").await.json()["id"], "alice-2");
        patch(&world, &world.alice, "alice-1", main()).await.expect(StatusCode::CONFLICT);
        patch(&world, &world.alice, "alice-2", json!({ "key": null })).await.expect(StatusCode::OK);
        get(&world, &world.alice, "/connections/main").await.expect(StatusCode::NOT_FOUND);
        patch(&world, &world.alice, "alice-1", main()).await.expect(StatusCode::OK);
    }
    // So does a deletion, of a connection that is archived and of one that is removed.
    patch(&world, &world.alice, "alice-3", json!({ "key": "plain" })).await.expect(StatusCode::OK);
    for (id, key) in [("alice-1", "main"), ("alice-3", "plain")] {
        delete(&world, &world.alice, id).await.expect(StatusCode::NO_CONTENT);
        patch(&world, &world.alice, "alice-4", json!({ "key": key })).await.expect(StatusCode::OK);
    }
    let uri = "/connections/alice-1/restore";
    let restored = world.send(Method::POST, uri, &world.alice, None).await.expect(StatusCode::OK).json();
    assert!(restored.get("key").is_none(), "{restored}");
    // Bob's was never concerned.
    assert_eq!(world.get("/connections/main?tenantId=bob").await.json()["id"], "bob-1");
}

#[tokio::test]
async fn one_of_many_simultaneous_patches_gets_the_key() {
    let world = crowded().await;
    let patches = ["alice-2", "alice-3", "alice-4"].map(|id| patch(&world, &world.alice, id, json!({ "key": "k" })));
    let statuses: Vec<_> = join_all(patches).await.iter().map(|answer| answer.0.status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{statuses:?}");
    let keyed = get(&world, &world.alice, "/connections?search=k").await;
    let keyed = keyed.json()["items"].as_array().unwrap().iter().filter(|item| item["key"] == "k").count();
    assert_eq!(keyed, 1);
}

/// Removes the key from a row, but not its pointer.
async fn lose_key(world: &World, id: &str) {
    let update = world.dynamodb().update_item().table_name("larder-connections");
    let update = update.key("id", AttributeValue::S(format!("local#{id}")));
    update.update_expression("REMOVE own_key").send().await.unwrap();
}

#[tokio::test]
async fn a_pointer_to_a_row_without_the_key_counts_as_free() {
    let world = crowded().await;
    lose_key(&world, "alice-1").await;
    get(&world, &world.alice, "/connections/main").await.expect(StatusCode::NOT_FOUND);
    patch(&world, &world.alice, "alice-2", json!({ "key": "main" })).await.expect(StatusCode::OK);
    assert_eq!(get(&world, &world.alice, "/connections/main").await.json()["id"], "alice-2");
    patch(&world, &world.alice, "alice-1", json!({ "key": "main" })).await.expect(StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_stale_pointer_is_not_taken_from_a_row_that_gets_the_key_back() {
    let world = crowded().await;
    lose_key(&world, "alice-1").await;
    let (first, second) = (connections(&world), connections(&world));
    let row = |id: &str| {
        let (connections, key) = (connections(&world), ConnectionKey::new("local", id));
        async move { connections.get(&key).await.unwrap().unwrap() }
    };
    let (one, two) = (row("alice-1").await, row("alice-2").await);
    let patch = larder::connection::DetailsPatch { key: Some(Some("main".into())), ..Default::default() };
    let now = OffsetDateTime::from_unix_timestamp(world.clock_time()).unwrap();
    // It gets the key back just before the second try of the other one's transaction.
    let (requests, again) = (world.requests.clone(), patch.clone());
    world.requests.before("TransactWriteItems", async move {
        requests.before("TransactWriteItems", async move {
            assert_eq!(first.patch(&one, &again, now).await.unwrap(), Write::Done);
        });
    });
    let error = second.patch(&two, &patch, now).await.unwrap_err();
    assert!(!world.requests.is_waiting());
    assert!(matches!(error, larder::dynamodb::StoreError::KeyTaken), "{error}");
    assert_eq!(get(&world, &world.alice, "/connections/main").await.json()["id"], "alice-1");
}

/// Marks a connection as used by a flow.
async fn flow(world: &World, id: &str, flow: &str, body: Value) -> Answer {
    world.send(Method::PUT, &format!("/connections/{id}/flows/{flow}"), &world.alice, Some(&body)).await
}

#[tokio::test]
async fn a_connection_lists_the_flows_that_use_it() {
    let world = crowded().await;
    let dependencies = |id: &str| {
        let (world, uri) = (&world, format!("/connections/{id}/dependencies"));
        async move { get(world, &world.alice, &uri).await.expect(StatusCode::OK).json() }
    };
    assert_eq!(dependencies("alice-1").await, json!([]));
    let uri = "https://app.example/flows/7";
    flow(&world, "main", "7", json!({"name": "Sync", "uri": uri})).await.expect(StatusCode::NO_CONTENT);
    flow(&world, "alice-1", "a%2Fb", json!({"active": false})).await.expect(StatusCode::NO_CONTENT);
    let sync = json!({"type": "flow", "id": "7", "name": "Sync", "uri": uri, "active": true});
    assert_eq!(dependencies("main").await, json!([sync, {"type": "flow", "id": "a/b", "active": false}]));
    // Marking again replaces the mark.
    flow(&world, "main", "7", json!({"active": false})).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(dependencies("main").await[0], json!({"type": "flow", "id": "7", "active": false}));
    for _ in 0..2 {
        let remove = world.send(Method::DELETE, "/connections/main/flows/7", &world.alice, None).await;
        remove.expect(StatusCode::NO_CONTENT);
        assert_eq!(dependencies("main").await.as_array().unwrap().len(), 1);
    }
    for (body, hint) in [
        (json!({"uri": "javascript:alert(1)"}), "`uri`"),
        (json!({"name": "x".repeat(256)}), "`name`"),
        (json!({"color": 1}), "unknown field `color`"),
    ] {
        let answer = flow(&world, "main", "8", body).await.expect(StatusCode::BAD_REQUEST);
        assert!(message(&answer).contains(hint), "{}", answer.text());
    }
    flow(&world, "main", &"f".repeat(256), json!({})).await.expect(StatusCode::BAD_REQUEST);
    flow(&world, "bob-1", "8", json!({})).await.expect(StatusCode::NOT_FOUND);
    get(&world, &world.alice, "/connections/bob-1/dependencies").await.expect(StatusCode::NOT_FOUND);
    for number in 0..49 {
        flow(&world, "alice-1", &format!("more-{number}"), json!({})).await.expect(StatusCode::NO_CONTENT);
    }
    flow(&world, "alice-1", "more-49", json!({})).await.expect(StatusCode::BAD_REQUEST);
    flow(&world, "alice-1", "more-48", json!({"active": false})).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_connection_in_use_is_kept_and_the_flows_are_named() {
    let world = crowded().await;
    let (first, second) = ("https://app.example/flows/7", "https://app.example/flows/8");
    flow(&world, "alice-1", "7", json!({"name": "Sync", "uri": first})).await.expect(StatusCode::NO_CONTENT);
    flow(&world, "alice-1", "8", json!({"uri": second})).await.expect(StatusCode::NO_CONTENT);
    flow(&world, "alice-1", "9", json!({"active": false})).await.expect(StatusCode::NO_CONTENT);
    for query in ["", "?permanent=true", "?force=false"] {
        let id = format!("alice-1{query}");
        let refusal = delete(&world, &world.alice, &id).await.expect(StatusCode::CONFLICT).json();
        assert_eq!(refusal["key"], "in_use");
        assert_eq!(
            refusal["data"]["flows"],
            json!([{"id": "7", "name": "Sync", "uri": first}, {"id": "8", "uri": second}])
        );
        let message = refusal["message"].as_str().unwrap();
        assert!(message.contains("Sync, 8"), "{message}");
    }
    delete(&world, &world.alice, "alice-1?force=true").await.expect(StatusCode::FORBIDDEN);
    assert_eq!(world.connection("alice-1").await["state"], "READY");
    flow(&world, "alice-1", "7", json!({"active": false})).await.expect(StatusCode::NO_CONTENT);
    delete(&world, &world.alice, "alice-1").await.expect(StatusCode::CONFLICT);
    let uri = "/connections/alice-1/flows/8";
    world.send(Method::DELETE, uri, &world.alice, None).await.expect(StatusCode::NO_CONTENT);
    delete(&world, &world.alice, "alice-1").await.expect(StatusCode::NO_CONTENT);
    flow(&world, "alice-2", "7", json!({})).await.expect(StatusCode::NO_CONTENT);
    delete(&world, &world.admin, "alice-2?force=1").await.expect(StatusCode::NO_CONTENT);
    get(&world, &world.alice, "/connections/alice-2").await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn no_flow_can_mark_a_connection_while_it_is_deleted() {
    let world = crowded().await;
    let row = connections(&world).get(&ConnectionKey::new("local", "alice-1")).await.unwrap().unwrap();
    let now = OffsetDateTime::from_unix_timestamp(world.clock_time()).unwrap();
    assert_eq!(connections(&world).begin_removal(&row, now).await.unwrap(), Write::Done);
    let refusal = flow(&world, "alice-1", "7", json!({})).await.expect(StatusCode::CONFLICT);
    assert!(message(&refusal).contains("is being deleted"), "{}", refusal.text());
    world.advance(61);
    flow(&world, "alice-1", "7", json!({})).await.expect(StatusCode::NO_CONTENT);
    // Nor is a connection deleted whose flow was marked before.
    assert_eq!(connections(&world).begin_removal(&row, now).await.unwrap(), Write::Conflict);
}

#[tokio::test]
async fn a_deleted_connection_is_archived_without_its_credentials() {
    let (world, provider, id) = connected().await;
    let details = json!({"name": "Mine", "key": "k", "tags": {"a": "1"}, "meta": {"m": 1}});
    let before = patch(&world, &world.alice, &id, details).await.expect(StatusCode::OK).json();
    world.advance(60);
    delete(&world, &world.alice, "k").await.expect(StatusCode::NO_CONTENT);
    let post = |action: &str| {
        let (world, uri) = (&world, format!("/connections/{id}/{action}"));
        async move { world.post(&uri).await }
    };
    for uri in [format!("/connections/{id}"), "/connections/k".into(), "/connections/crm".into()] {
        get(&world, &world.alice, &uri).await.expect(StatusCode::NOT_FOUND);
    }
    let gone = |uri: String| {
        let world = &world;
        async move { world.get(&uri).await.expect(StatusCode::NOT_FOUND) }
    };
    gone(format!("/credentials?connectionId={id}")).await;
    gone(format!("/connections/{id}/dependencies")).await;
    post("test").await.expect(StatusCode::NOT_FOUND);
    post("refresh-credentials").await.expect(StatusCode::NOT_FOUND);
    patch(&world, &world.alice, &id, json!({ "name": "x" })).await.expect(StatusCode::NOT_FOUND);
    flow(&world, &id, "7", json!({})).await.expect(StatusCode::NOT_FOUND);
    delete(&world, &world.alice, &id).await.expect(StatusCode::NOT_FOUND);
    for query in ["", "?integrationKey=crm", "?state=CLIENT_ACTION_REQUIRED"] {
        assert_eq!(ids(&get(&world, &world.alice, &format!("/connections{query}")).await), [""; 0], "{query}");
    }
    // It is shown where archived ones are asked for, to its tenant and to admins.
    let archived = get(&world, &world.alice, &format!("/connections/{id}?includeArchived=1")).await;
    let archived = archived.expect(StatusCode::OK).json();
    assert_eq!((&archived["state"], &archived["name"]), (&json!("CLIENT_ACTION_REQUIRED"), &json!("Mine")));
    assert_eq!((&archived["tags"], &archived["meta"]), (&before["tags"], &before["meta"]));
    assert_eq!((&archived["integrationKey"], &archived["createdAt"]), (&json!("crm"), &before["createdAt"]));
    assert_eq!((archived["archivedAt"].as_str(), archived.get("key")), (archived["updatedAt"].as_str(), None));
    assert_eq!(archived.get("nextCredentialsRefreshAt"), None);
    for query in ["", "&integrationKey=crm", "&connectorKey=oauth2", "&search=mine"] {
        for token in [&world.alice, &world.admin] {
            let list = get(&world, token, &format!("/connections?includeArchived=true{query}")).await;
            assert_eq!(ids(&list), [&*id], "{query}");
        }
    }
    let bob = world.token("bob").await;
    get(&world, &bob, &format!("/connections/{id}?includeArchived=1")).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(ids(&get(&world, &bob, "/connections?includeArchived=1").await), [""; 0]);
    // Its credentials are gone from the row, and nothing refreshes it.
    let environment = world.bundle.environment();
    let row = connections(&world).get_with_archived(&ConnectionKey::new("local", &*id)).await.unwrap().unwrap();
    let contents = environment.vault().unwrap().open(&row).await.unwrap();
    assert!(contents.credentials.is_none() && contents.input.is_empty());
    world.advance(100_000);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 0);
}

#[tokio::test]
async fn a_restored_connection_waits_for_its_end_user() {
    let (world, provider, id) = connected().await;
    let tags = json!({"tags": {"a": "1"}});
    let before = patch(&world, &world.alice, &id, tags).await.expect(StatusCode::OK).json();
    let restore = |token: &str| {
        let (world, token, uri) = (&world, token.to_owned(), format!("/connections/{id}/restore"));
        async move { world.send(Method::POST, &uri, &token, None).await }
    };
    // A connection that is not archived stays as it is.
    assert_eq!(restore(&world.alice).await.expect(StatusCode::OK).json(), before);
    delete(&world, &world.alice, &id).await.expect(StatusCode::NO_CONTENT);
    restore(&world.token("bob").await).await.expect(StatusCode::NOT_FOUND);
    world.advance(ARCHIVE_DAYS * 86_400 - 1);
    let restored = restore(&world.alice).await.expect(StatusCode::OK).json();
    assert_eq!((&restored["state"], &restored["tags"]), (&json!("CLIENT_ACTION_REQUIRED"), &before["tags"]));
    assert_eq!((&restored["createdAt"], restored.get("archivedAt")), (&before["createdAt"], None));
    assert_eq!(restored["clientAction"]["type"], "connect");
    assert!(restored["error"]["message"].as_str().unwrap().contains("was restored"), "{restored}");
    assert_eq!(world.connection(&id).await, restored);
    assert_eq!(ids(&get(&world, &world.alice, "/connections?integrationKey=crm").await), [&*id]);
    get(&world, &world.alice, &format!("/credentials?connectionId={id}")).await.expect(StatusCode::NOT_FOUND);
    flow(&world, &id, "7", json!({})).await.expect(StatusCode::NO_CONTENT);
    // The end user reconnects.
    assert_eq!(world.connect(&provider).await, id);
    let again = world.connection(&id).await;
    assert_eq!((&again["state"], &again["tags"]), (&json!("READY"), &before["tags"]));
    assert_eq!(world.credentials(&id).await["refresh_token"], "refresh-2", "of the second grant");
}

#[tokio::test]
async fn connecting_again_revives_an_archived_id_as_new() {
    let (world, provider, id) = connected().await;
    let details = json!({"name": "Mine", "key": "k", "tags": {"a": "1"}, "isDeactivated": true});
    patch(&world, &world.alice, &id, details).await.expect(StatusCode::OK);
    flow(&world, &id, "7", json!({})).await.expect(StatusCode::NO_CONTENT);
    let before = world.connection(&id).await;
    delete(&world, &world.admin, &format!("{id}?force=true")).await.expect(StatusCode::NO_CONTENT);
    world.advance(60);
    assert_eq!(world.connect(&provider).await, id);
    let again = world.connection(&id).await;
    assert_eq!((&again["state"], &again["name"]), (&json!("READY"), &json!("crm")));
    for member in ["key", "tags", "isDeactivated", "archivedAt"] {
        assert!(again.get(member).is_none(), "{again}");
    }
    assert_ne!(again["createdAt"], before["createdAt"]);
    assert_eq!(get(&world, &world.alice, &format!("/connections/{id}/dependencies")).await.json(), json!([]));
    assert!(world.credentials(&id).await["access_token"].is_string());
}

#[tokio::test]
async fn an_archived_connection_is_gone_after_thirty_days() {
    let (world, provider, id) = connected().await;
    delete(&world, &world.alice, &id).await.expect(StatusCode::NO_CONTENT);
    let remove_at = world.dynamodb().get_item().table_name("larder-connections");
    let remove_at = remove_at.key("id", AttributeValue::S(format!("local#{id}"))).send().await.unwrap().item.unwrap();
    let remove_at: i64 = remove_at["remove_at"].as_n().unwrap().parse().unwrap();
    assert_eq!(remove_at - world.clock_time(), (ARCHIVE_DAYS as i64 + 1) * 86_400);
    let shown = async || {
        let list = ids(&get(&world, &world.alice, "/connections?includeArchived=1").await);
        let one = get(&world, &world.alice, &format!("/connections/{id}?includeArchived=1")).await.0.status();
        (list.len(), one)
    };
    world.advance(ARCHIVE_DAYS * 86_400 - 1);
    assert_eq!(shown().await, (1, StatusCode::OK));
    world.advance(1);
    assert_eq!(shown().await, (0, StatusCode::NOT_FOUND));
    let uri = format!("/connections/{id}/restore");
    world.send(Method::POST, &uri, &world.alice, None).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(world.connect(&provider).await, id);
    assert_eq!(world.connection(&id).await["state"], "READY");
}

#[tokio::test]
async fn a_permanent_deletion_leaves_nothing() {
    let (world, provider, id) = connected().await;
    let plain = "/credentials?connectionId=plain";
    world.send(Method::PUT, plain, &world.alice, Some(&json!({"credentials": 1}))).await.expect(StatusCode::CREATED);
    patch(&world, &world.alice, &id, json!({ "key": "k" })).await.expect(StatusCode::OK);
    delete(&world, &world.alice, &format!("{id}?permanent=true")).await.expect(StatusCode::NO_CONTENT);
    // One without an integration is never archived.
    delete(&world, &world.alice, "plain").await.expect(StatusCode::NO_CONTENT);
    assert_eq!(ids(&get(&world, &world.alice, "/connections?includeArchived=1").await), [""; 0]);
    let scan = world.dynamodb().scan().table_name("larder-connections").send().await.unwrap();
    assert_eq!(scan.items(), []);
    world.connect(&provider).await;
    patch(&world, &world.alice, &id, json!({ "key": "k" })).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn archived_connections_do_not_keep_their_integration() {
    let (world, _provider, id) = connected().await;
    world.send(Method::DELETE, "/integrations/crm", &world.admin, None).await.expect(StatusCode::CONFLICT);
    let count = async || {
        let connectors = world.get("/connectors?limit=1000").await.json();
        let items = connectors["items"].as_array().unwrap().clone();
        items.iter().find(|item| item["key"] == "oauth2").unwrap()["connectionCount"].clone()
    };
    assert_eq!(count().await, 1);
    delete(&world, &world.alice, &id).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(count().await, 0);
    let restore = format!("/connections/{id}/restore");
    world.post(&restore).await.expect(StatusCode::OK);
    assert_eq!(count().await, 1);
    world.send(Method::DELETE, "/integrations/crm", &world.admin, None).await.expect(StatusCode::CONFLICT);
    delete(&world, &world.alice, &id).await.expect(StatusCode::NO_CONTENT);
    world.send(Method::DELETE, "/integrations/crm", &world.admin, None).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_deactivated_connection_is_not_read_but_refreshed() {
    let (world, provider, id) = connected().await;
    patch(&world, &world.alice, &id, json!({ "isDeactivated": true })).await.expect(StatusCode::OK);
    for token in [&world.alice, &world.admin] {
        let refusal = get(&world, token, &format!("/credentials?connectionId={id}")).await;
        let refusal = refusal.expect(StatusCode::BAD_REQUEST).json();
        assert_eq!((&refusal["key"], &refusal["type"]), (&json!("deactivated"), &json!("connection")));
    }
    let bob = world.token("bob").await;
    get(&world, &bob, &format!("/credentials?connectionId={id}")).await.expect(StatusCode::NOT_FOUND);
    world.advance(3600);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 1);
    assert!(world.connection(&id).await.get("lastUsedAt").is_none());
    patch(&world, &world.alice, &id, json!({ "isDeactivated": false })).await.expect(StatusCode::OK);
    assert_eq!(world.credentials(&id).await["refresh_token"], "refresh-2");
}

#[tokio::test]
async fn the_time_of_the_last_read_is_written_once_an_hour() {
    let world = World::new().await;
    let uri = "/credentials?connectionId=c1";
    world.send(Method::PUT, uri, &world.alice, Some(&json!({"credentials": 1}))).await.expect(StatusCode::CREATED);
    let version = world.version("c1").await;
    let calls = async || {
        world.requests.take();
        get(&world, &world.alice, uri).await.expect(StatusCode::OK);
        world.requests.take()
    };
    assert!(world.connection("c1").await.get("lastUsedAt").is_none());
    assert_eq!(calls().await, ["GetItem", "UpdateItem"]);
    let used = world.connection("c1").await;
    assert_eq!(used["lastUsedAt"], "2026-01-01T00:00:00Z");
    world.advance(3599);
    assert_eq!(calls().await, ["GetItem"]);
    world.advance(1);
    assert_eq!(calls().await, ["GetItem", "UpdateItem"]);
    let later = world.connection("c1").await;
    assert_eq!((&later["lastUsedAt"], &later["updatedAt"]), (&json!("2026-01-01T01:00:00Z"), &used["updatedAt"]));
    assert_eq!(world.version("c1").await, version);
    // Nothing is written for a read that is refused.
    world.advance(3600);
    world.requests.take();
    get(&world, &world.token("bob").await, uri).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(world.requests.take(), ["GetItem"]);
}

#[tokio::test]
async fn a_read_succeeds_if_its_time_cannot_be_written() {
    let world = World::new().await;
    let uri = "/credentials?connectionId=c1";
    world.send(Method::PUT, uri, &world.alice, Some(&json!({"credentials": 1}))).await.expect(StatusCode::CREATED);
    // The table takes too long.
    world.requests.before("UpdateItem", tokio::time::sleep(Duration::from_secs(600)));
    get(&world, &world.alice, uri).await.expect(StatusCode::OK);
    assert!(!world.requests.is_waiting());
    // The connection is removed meanwhile.
    let removed = world.dynamodb().delete_item().table_name("larder-connections");
    let removed = removed.key("id", AttributeValue::S("local#c1".into()));
    world.requests.before("UpdateItem", async move { drop(removed.send().await.unwrap()) });
    get(&world, &world.alice, uri).await.expect(StatusCode::OK);
    get(&world, &world.alice, uri).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn credentials_are_found_by_key_or_by_integration() {
    let (world, provider, id) = connected().await;
    let bob = world.token("bob").await;
    patch(&world, &world.alice, &id, json!({ "key": "main" })).await.expect(StatusCode::OK);
    let expected = world.credentials(&id).await;
    let by = |token: &str, query: &str| {
        let (world, token, uri) = (&world, token.to_owned(), format!("/credentials?{query}"));
        async move { get(world, &token, &uri).await }
    };
    for (token, query) in [
        (&world.alice, "connectionKey=main".to_owned()),
        (&world.alice, "integrationKey=crm".to_owned()),
        (&world.alice, format!("connectionId={id}&connectionKey=none&integrationKey=none")),
        (&world.alice, "connectionKey=main&integrationKey=none".to_owned()),
        (&world.admin, "connectionKey=main&tenantId=alice".to_owned()),
        (&world.admin, "integrationKey=crm&tenantId=alice".to_owned()),
        (&world.admin, "integrationKey=crm".to_owned()),
    ] {
        assert_eq!(by(token, &query).await.expect(StatusCode::OK).json()["credentials"], expected, "{query}");
    }
    for (token, query) in [
        (&world.alice, "connectionKey=none"),
        (&world.alice, "integrationKey=none"),
        (&world.alice, "connectionId=none&connectionKey=main"),
        (&bob, "connectionKey=main"),
        (&bob, "integrationKey=crm"),
        (&bob, "connectionKey=main&tenantId=alice"),
        (&world.admin, "connectionKey=main"),
        (&world.admin, "connectionKey=main&tenantId=bob"),
    ] {
        let error = by(token, query).await.expect(StatusCode::NOT_FOUND);
        let expected =
            if query.contains("integrationKey") { "exactly one connection" } else { "no credentials for the " };
        assert!(message(&error).contains(expected), "{query}: {}", error.text());
    }
    for query in ["", "connectionId=", "connectionId=&connectionKey=main", "connectionKey=", "key=main"] {
        let error = by(&world.alice, query).await.expect(StatusCode::BAD_REQUEST);
        assert!(message(&error).contains("`connectionId` is missing"), "{query}: {}", error.text());
    }
    by(&world.alice, "connectionKey=main&connectionKey=main").await.expect(StatusCode::BAD_REQUEST);
    // With two connections, the integration does not say which.
    world.connect_one_more(&provider).await;
    by(&world.alice, "integrationKey=crm").await.expect(StatusCode::NOT_FOUND);
    by(&world.alice, "connectionKey=main").await.expect(StatusCode::OK);
}
