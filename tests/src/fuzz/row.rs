//! Table rows with unexpected attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use larder::clock::Clock as _;
use larder::connection::{Confirmation, Connection, ConnectionKey};
use larder::digest::sha256_base64url;
use larder::dynamodb::{Expect, SessionError, StoreError, Taken, Unconfirmed, Visit, Write};
use larder_local::WORKSPACE;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use super::test_bed::{TestBed, on_test_bed};

/// Takes a JSON object of attributes in DynamoDB's notation (`{"N": "7"}`). They replace attributes of a valid row of
/// `connections`, or of the table that the member `table` names. `null` removes an attribute.
pub fn row(data: &[u8]) {
    let Ok(Value::Object(mut changes)) = serde_json::from_slice(data) else { return };
    on_test_bed(async |bed| match changes.remove("table").as_ref().and_then(Value::as_str) {
        None => check_connection(bed, &changes).await,
        Some("requests") => check_request(bed, &changes).await,
        Some("sessions") => check_session(bed, &changes).await,
        Some("integrations") => check_integration(bed, &changes).await,
        Some("unconfirmed") => check_unconfirmed(bed, &changes).await,
        Some(_) => {}
    });
}

const ID: &str = "row";

async fn check_connection(bed: &TestBed, changes: &Map<String, Value>) {
    let uri = format!("/credentials?connectionId={ID}");
    let admin = &bed.world.admin;
    let environment = bed.world.bundle.environment();
    let (connections, table) = (environment.connections(), &environment.settings.tables.connections);
    bed.world.send(Method::PUT, &uri, admin, Some(&json!({"credentials": {"a": 1}}))).await;
    if change(bed, table, &[("id", format!("{WORKSPACE}#{ID}"))], changes).await {
        match connections.get(&ConnectionKey::new(WORKSPACE, ID)).await {
            Ok(read) => {
                let read = read.expect("it is there");
                assert_eq!(read.key, ConnectionKey::new(WORKSPACE, ID));
                // The row survives a round trip, except for its lease.
                let written = connections.put(&read, Expect::Version(read.version)).await.expect("it is written");
                assert_eq!(written, Write::Done);
                let again = connections.get(&ConnectionKey::new(WORKSPACE, ID)).await.expect("it is read");
                assert_eq!(again, Some(Connection { lease: None, ..read }));
            }
            Err(StoreError::Damaged { table: "connections", .. }) => {}
            Err(error) => panic!("{error}"),
        }
        for path in [&*uri, &format!("/connections/{ID}")] {
            let status = bed.world.get(path).await.0.status();
            assert!(matches!(status.as_u16(), 200 | 400 | 404 | 500 | 503), "{path}: {status}");
        }
    }
    let remove = bed.dynamodb().delete_item().table_name(table);
    remove.key("id", AttributeValue::S(format!("{WORKSPACE}#{ID}"))).send().await.expect("it is removed");
}

/// Credentials that wait for a confirmation are in an item of `connections`, too.
async fn check_unconfirmed(bed: &TestBed, changes: &Map<String, Value>) {
    let environment = bed.world.bundle.environment();
    let (connections, table) = (environment.connections(), &environment.settings.tables.connections);
    let (key, now) = (ConnectionKey::new(WORKSPACE, ID), bed.world.clock.now());
    let unconfirmed = Unconfirmed {
        key: key.clone(),
        confirmation: Confirmation { request_id: "request".to_owned(), expires_at: now },
        series: 7,
        replaces: None,
        is_ended: false,
        sealed: vec![1, 2, 3],
    };
    assert_eq!(connections.put_unconfirmed(&unconfirmed, now).await.expect("it is written"), Write::Done);
    let id = format!("#unconfirmed#{}", sha256_base64url(key.to_string()));
    if change(bed, table, &[("id", id.clone())], changes).await {
        match connections.unconfirmed(&key).await {
            Ok(Some(read)) if read.key == key => {
                if connections.put_unconfirmed(&read, now).await.expect("it is written") == Write::Done {
                    let again = connections.unconfirmed(&key).await.expect("it is read");
                    assert_eq!(again, Some(Unconfirmed { is_ended: false, ..read }));
                }
            }
            Ok(_) | Err(StoreError::Damaged { table: "connections", .. }) => {}
            Err(error) => panic!("{error}"),
        }
        bed.world.sweep().await;
        bed.world.get(&format!("/credentials?connectionId={ID}")).await.expect(StatusCode::NOT_FOUND);
    }
    let remove = bed.dynamodb().delete_item().table_name(table).key("id", AttributeValue::S(id));
    remove.send().await.expect("it is removed");
}

async fn check_session(bed: &TestBed, changes: &Map<String, Value>) {
    let environment = bed.world.bundle.environment();
    let (sessions, table) = (environment.sessions(), &environment.settings.tables.sessions);
    let start = OffsetDateTime::UNIX_EPOCH;
    let session = larder::dynamodb::Session {
        id: ID.to_owned(),
        workspace: WORKSPACE.to_owned(),
        browser: "browser".to_owned(),
        host: None,
        sealed: vec![1, 2, 3],
        expires_at: start + Duration::minutes(15),
    };
    sessions.put(&session).await.expect("it is written");
    if change(bed, table, &[("id", ID.to_owned())], changes).await {
        let visit = Visit { id: ID, browser: "browser", callback: "callback" };
        let take = || sessions.take(visit, start, std::time::Duration::from_mins(1));
        let first = take().await;
        match &first {
            Ok(Taken::Session(taken)) => {
                assert!(taken.browser == "browser" && taken.expires_at > start, "{taken:?}");
            }
            // The row may look as if its session had been taken before.
            Ok(Taken::Unfinished | Taken::Finished { .. }) => {}
            Err(SessionError::Gone | SessionError::OtherBrowser { .. }) => {}
            Err(SessionError::Store(StoreError::Damaged { .. })) => {}
            Err(error) => panic!("{error}"),
        }
        let second = take().await;
        match first {
            Err(SessionError::OtherBrowser { .. }) => {
                assert!(matches!(second, Err(SessionError::OtherBrowser { .. })));
            }
            _ => assert!(!matches!(second, Ok(Taken::Session(_))), "a session is taken twice"),
        }
    }
}

/// A connection request is an item of `sessions`.
async fn check_request(bed: &TestBed, changes: &Map<String, Value>) {
    let (world, alice) = (&bed.world, &bed.world.alice);
    let body = json!({"integrationKey": "app", "authOptionKey": "oauth"});
    let created = world.send(Method::POST, "/connection-requests", alice, Some(&body)).await;
    let created = created.expect(StatusCode::CREATED).json();
    let [id, url, status_token] =
        ["requestId", "url", "statusToken"].map(|name| created[name].as_str().expect("a string"));
    let table = &world.bundle.environment().settings.tables.sessions;
    let item_id = format!("request#{id}");
    if change(bed, table, &[("id", item_id.clone())], changes).await {
        let uri = format!("/connection-requests/{id}");
        for token in [status_token, alice] {
            let status = world.send(Method::GET, &uri, token, None).await.0.status();
            assert!(matches!(status.as_u16(), 200 | 401 | 404 | 500), "{status}");
        }
        let mut browser = crate::Browser::default();
        let first = browser.get(world, url).await.0.status();
        assert!(matches!(first.as_u16(), 302 | 400 | 404 | 409 | 500), "{first}");
        // No other browser gets a link that one has opened.
        let second = crate::Browser::default().get(world, url).await.0.status();
        assert!(matches!(second.as_u16(), 400 | 404 | 409 | 500), "{second}");
        let status = world.send(Method::DELETE, &uri, alice, None).await.0.status();
        assert!(matches!(status.as_u16(), 204 | 404 | 409 | 500), "{status}");
    }
    let remove = bed.dynamodb().delete_item().table_name(table).key("id", AttributeValue::S(item_id));
    remove.send().await.expect("it is removed");
}

async fn check_integration(bed: &TestBed, changes: &Map<String, Value>) {
    let uri = format!("/integrations/{ID}");
    let body = json!({"connectorKey": "app", "parameters": {}});
    bed.world.send(Method::PUT, &uri, &bed.world.admin, Some(&body)).await;
    let table = &bed.world.bundle.environment().settings.tables.workspaces;
    let key = [("workspace", WORKSPACE.to_owned()), ("item", format!("integration/{ID}"))];
    if change(bed, table, &key, changes).await {
        for path in [&*uri, "/integrations"] {
            let status = bed.world.get(path).await.0.status();
            assert!(matches!(status.as_u16(), 200 | 500), "{path}: {status}");
        }
    }
    bed.world.send(Method::DELETE, &uri, &bed.world.admin, None).await.expect(StatusCode::NO_CONTENT);
}

/// Writes the changed row. Returns `false` if DynamoDB rejects it.
async fn change(bed: &TestBed, table: &str, key: &[(&str, String)], changes: &Map<String, Value>) -> bool {
    let key = || key.iter().map(|(name, text)| ((*name).to_owned(), AttributeValue::S(text.clone())));
    let stored = bed.dynamodb().get_item().table_name(table).set_key(Some(key().collect())).send().await;
    let mut item = stored.expect("it is read").item.expect("it is there");
    for (name, value) in changes {
        match attribute(value) {
            Some(value) => drop(item.insert(name.clone(), value)),
            None => drop(item.remove(name)),
        }
    }
    item.extend(key());
    bed.dynamodb().put_item().table_name(table).set_item(Some(item)).send().await.is_ok()
}

fn attribute(value: &Value) -> Option<AttributeValue> {
    let (kind, value) = value.as_object()?.iter().next()?;
    let text = || value.as_str().map(ToOwned::to_owned);
    let texts = || -> Option<Vec<String>> {
        value.as_array()?.iter().map(|item| item.as_str().map(ToOwned::to_owned)).collect()
    };
    Some(match kind.as_str() {
        "S" => AttributeValue::S(text()?),
        "N" => AttributeValue::N(text()?),
        "B" => AttributeValue::B(Blob::new(STANDARD.decode(text()?).ok()?)),
        "BOOL" => AttributeValue::Bool(value.as_bool()?),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(texts()?),
        "NS" => AttributeValue::Ns(texts()?),
        "L" => AttributeValue::L(value.as_array()?.iter().filter_map(attribute).collect()),
        "M" => AttributeValue::M(members(value.as_object()?)),
        _ => return None,
    })
}

fn members(object: &Map<String, Value>) -> HashMap<String, AttributeValue> {
    object.iter().filter_map(|(name, value)| Some((name.clone(), attribute(value)?))).collect()
}
