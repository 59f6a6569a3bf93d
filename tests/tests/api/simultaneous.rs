//! Changes of connections and integrations at the same time, and limits that hold anyway.

use std::sync::Arc;

use futures::future::join_all;
use http::{Method, StatusCode};
use larder::connection::{ConnectionKey, Details};
use larder_tests::{MockProvider, World};
use serde_json::{Value, json};

use super::lists::{former_world, row as former_row};
use super::manage::{CRM, connected, connections, delete, get, patch, store};

async fn mark(world: &World, id: &str, flow: &str, body: &Value) -> StatusCode {
    let uri = format!("/connections/{id}/flows/{flow}");
    world.send(Method::PUT, &uri, &world.alice, Some(body)).await.0.status()
}

#[tokio::test]
async fn flows_leave_room_for_a_refresh() {
    let (world, provider, id) = connected().await;
    let long = json!({ "name": "ß".repeat(255), "uri": format!("https://app.example/{}", "u".repeat(2000)) });
    let statuses = join_all(["0", "1", "2", "3", "4", "5"].map(|name| mark(&world, &id, name, &long))).await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::BAD_REQUEST).count(), 2, "{statuses:?}");
    let odd = json!({ "uri": format!("https://app.example/{}", "ü".repeat(100)) });
    assert_eq!(mark(&world, &id, "odd", &odd).await, StatusCode::BAD_REQUEST);
    let meta = json!({ "meta": { "m": "m".repeat(16_000) }, "name": "n".repeat(1024) });
    patch(&world, &world.alice, &id, meta).await.expect(StatusCode::OK);
    let token = "t".repeat(300 * 1024);
    provider.script(200, &json!({"access_token": token, "refresh_token": "r2", "expires_in": 3600}));
    world.advance(3600);
    assert_eq!(world.credentials(&id).await["refresh_token"], "r2");
}

#[tokio::test]
async fn fifty_flows_are_the_limit_even_at_the_same_time() {
    let (world, _provider, id) = connected().await;
    let flow = json!({});
    for batch in 0..3 {
        let flows: Vec<_> = (0..20).map(|n| format!("{batch}-{n}")).collect();
        join_all(flows.iter().map(|name| mark(&world, &id, name, &flow))).await;
    }
    // Some of the simultaneous ones may have given up.
    for n in 0..50 {
        mark(&world, &id, &format!("more-{n}"), &flow).await;
    }
    let dependencies = get(&world, &world.alice, &format!("/connections/{id}/dependencies")).await.json();
    assert_eq!(dependencies.as_array().unwrap().len(), 50);
}

#[tokio::test]
async fn a_key_that_came_back_keeps_its_pointer() {
    let (world, _provider, id) = connected().await;
    patch(&world, &world.alice, &id, json!({ "key": "d" })).await.expect(StatusCode::OK);
    let key = ConnectionKey::new("local", &id);
    let with_d = connections(&world).get(&key).await.unwrap().unwrap();
    patch(&world, &world.alice, &id, json!({ "key": "a" })).await.expect(StatusCode::OK);
    patch(&world, &world.alice, &id, json!({ "key": "d" })).await.expect(StatusCode::OK);
    // The first change releases the old key only now.
    connections(&world).release_key(&with_d).await.unwrap();
    assert_eq!(get(&world, &world.alice, "/connections/d").await.expect(StatusCode::OK).json()["id"], id.as_str());
    store(&world, Some("alice"), "other", CRM, Details::default()).await;
    patch(&world, &world.alice, "alice-other", json!({ "key": "d" })).await.expect(StatusCode::CONFLICT);
}

#[tokio::test]
async fn simultaneous_changes_of_an_integration_all_take_effect() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    for round in 0..5 {
        let text = format!("round {round}");
        let changes = [json!({ "name": text }), json!({ "description": text }), json!({ "meta": { "text": text } })];
        let sent = changes.iter().map(|body| world.send(Method::PATCH, "/integrations/crm", &world.admin, Some(body)));
        for answer in join_all(sent).await {
            answer.expect(StatusCode::OK);
        }
        let stored = get(&world, &world.admin, "/integrations/crm").await.json();
        assert_eq!(
            (&stored["name"], &stored["description"], &stored["meta"]["text"]),
            (&json!(text), &json!(text), &json!(text))
        );
    }
}

#[tokio::test]
async fn no_connection_outlives_its_integration() {
    let (world, provider) = (Arc::new(World::new().await), MockProvider::start().await);
    let body = json!({"integrationKey": "crm", "credentials": {"access_token": "a", "refresh_token": "r"}});
    let create = async |world: &World| world.send(Method::POST, "/connections", &world.alice, Some(&body)).await;
    let remove = async |world: &World| world.send(Method::DELETE, "/integrations/crm", &world.admin, None).await;

    // The integration is deleted just before the connection is stored.
    world.integrate(&provider, json!({})).await;
    let meanwhile = Arc::clone(&world);
    let removed = async move { drop(remove(&meanwhile).await.expect(StatusCode::NO_CONTENT)) };
    world.requests.before("Save", removed);
    let answer = create(&world).await.expect(StatusCode::NOT_FOUND);
    assert!(answer.text().contains("was deleted meanwhile"), "{}", answer.text());
    let all = "/connections?includeArchived=true";
    assert_eq!(get(&world, &world.admin, all).await.json()["items"], json!([]));

    // The connection is stored just before the integration is deleted.
    world.integrate(&provider, json!({})).await;
    let meanwhile = Arc::clone(&world);
    let body = body.clone();
    let created = async move {
        let answer = meanwhile.send(Method::POST, "/connections", &meanwhile.alice, Some(&body)).await;
        drop(answer.expect(StatusCode::OK));
    };
    world.requests.before("DeleteItem", created);
    let answer = remove(&world).await.expect(StatusCode::CONFLICT);
    assert!(answer.text().contains("1 connection uses"), "{}", answer.text());
    let connection = get(&world, &world.alice, "/connections/crm").await.expect(StatusCode::OK).json();
    world
        .post(&format!("/connections/{}/refresh-credentials", connection["id"].as_str().unwrap()))
        .await
        .expect(StatusCode::OK);
}

#[tokio::test]
async fn an_archived_connection_can_be_removed_at_once() {
    let (world, _provider, id) = connected().await;
    delete(&world, &world.alice, &id).await.expect(StatusCode::NO_CONTENT);
    delete(&world, &world.alice, &id).await.expect(StatusCode::NOT_FOUND);
    let forever = format!("{id}?permanent=true");
    delete(&world, &world.token("bob").await, &forever).await.expect(StatusCode::NOT_FOUND);
    delete(&world, &world.alice, &forever).await.expect(StatusCode::NO_CONTENT);
    let uri = format!("/connections/{id}?includeArchived=true");
    get(&world, &world.alice, &uri).await.expect(StatusCode::NOT_FOUND);
    world.post(&format!("/connections/{id}/restore")).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_only_connection_is_found_among_thousands_of_others() {
    let mut rows: Vec<_> = (0..1_100).map(|n| former_row("local", &format!("a{n:04}"), Some("alice"), n)).collect();
    let mut keyed = former_row("local", "z", Some("alice"), 0);
    let string = |value: &str| dynoxide::types::AttributeValue::S(value.to_owned());
    keyed.extend([("integration_key", "crm"), ("connector_key", "oauth2")].map(|(k, v)| (k.to_owned(), string(v))));
    rows.push(keyed);
    let world = former_world(rows).await;
    world.integrate(&MockProvider::start().await, json!({})).await;
    assert_eq!(get(&world, &world.alice, "/connections/crm").await.expect(StatusCode::OK).json()["id"], "z");
    let shown = get(&world, &world.alice, "/integrations/crm").await.expect(StatusCode::OK).json();
    assert_eq!(shown["connection"]["id"], "z");
    let listed = get(&world, &world.alice, "/integrations").await.expect(StatusCode::OK).json();
    assert_eq!(listed["items"][0]["connection"]["id"], "z");
}

#[tokio::test]
async fn a_cursor_continues_only_its_own_list() {
    let world = World::new().await;
    for (tenant, name, integration) in
        [("alice", "1", "crm"), ("alice", "2", "crm"), ("bob", "1", "shop"), ("bob", "2", "shop")]
    {
        store(&world, Some(tenant), name, Some([integration, "oauth2"]), Details::default()).await;
    }
    let bob = world.token("bob").await;
    let lists = [
        (&world.alice, ""),
        (&bob, ""),
        (&world.admin, "&integrationKey=crm"),
        (&world.admin, "&integrationKey=shop"),
        (&world.admin, ""),
    ];
    for (from, (token, query)) in lists.iter().enumerate() {
        let page = get(&world, token, &format!("/connections?limit=1{query}")).await.expect(StatusCode::OK).json();
        let cursor = page["cursor"].as_str().unwrap();
        for (to, (token, query)) in lists.iter().enumerate() {
            let answer = get(&world, token, &format!("/connections?limit=1{query}&cursor={cursor}")).await;
            let expected = if from == to { StatusCode::OK } else { StatusCode::BAD_REQUEST };
            assert_eq!(answer.0.status(), expected, "the cursor of list {from} in list {to}");
        }
    }
}
