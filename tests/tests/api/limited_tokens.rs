//! Tokens that can do less: every route with every scope, and with limits to connections and integrations. The expected
//! answers are the tables in SECURITY.md.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use larder::caller::Claims;
use larder::connection::Details;
use larder::routes::{Audience, ROUTES};
use larder::scope::Scope;
use larder_tests::document::{quoted, read, rows};
use larder_tests::{Answer, MockProvider, World};
use serde_json::{Value, json};

use super::callers::{
    ALICES_CONNECTION, BOBS_CONNECTION, Column, Fixture, PresentedToken, Row, admin, ids, put, table, tenant,
};
use super::manage::{CRM, get, store};

fn scope_of(row: &Row) -> Scope {
    let mut routes = ROUTES.iter().filter(|route| route.method == row.method && route.path == row.path);
    routes.next().and_then(|route| route.scope).unwrap()
}

fn with_scope(claims: &Claims, scope: &str) -> Claims {
    Claims { scope: Some(scope.to_owned()), ..claims.clone() }
}

fn set(items: &[&str]) -> Option<BTreeSet<String>> {
    Some(items.iter().map(|item| (*item).to_owned()).collect())
}

fn names(scopes: impl IntoIterator<Item = Scope>) -> String {
    scopes.into_iter().map(Scope::name).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_route_that_takes_a_token_names_a_scope() {
    for route in ROUTES {
        let takes_none = matches!(route.audience, Audience::Browser | Audience::Anyone);
        assert_eq!(route.scope.is_none(), takes_none, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn every_route_requires_its_scope() {
    for (column, claims) in [(Column::Tenant, tenant("alice")), (Column::Admin, admin())] {
        let it = Fixture::new().await;
        for row in table().into_iter().filter(Row::checks_tokens) {
            let scope = scope_of(&row);
            let others = || Scope::ALL.into_iter().filter(|other| *other != scope);
            let lacking = others().map(|other| other.name().to_owned());
            let lacking = lacking.chain([names(others()), String::new(), "proxy".to_owned(), "openid *".to_owned()]);
            let before = it.stored().await;
            for lacking in lacking {
                let token = it.world.sign("local", with_scope(&claims, &lacking)).await;
                let answer = row.call(&it.world, it.target(&row), &PresentedToken::bearer(&token)).await;
                assert_eq!(answer.0.status(), StatusCode::FORBIDDEN, "{row}: {lacking}: {}", answer.text());
                // A tenant at a route for admins learns that first.
                if row.expected(column) != StatusCode::FORBIDDEN {
                    assert!(answer.text().contains(scope.name()), "{row}: {lacking}: {}", answer.text());
                }
            }
            assert_eq!(it.stored().await, before, "{row}");
            let token = it.world.sign("local", with_scope(&claims, scope.name())).await;
            let answer = row.call(&it.world, it.target(&row), &PresentedToken::bearer(&token)).await;
            assert_eq!(answer.0.status(), row.expected(column), "{row}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_missing_scope_is_an_error_that_names_it() {
    let world = World::new().await;
    let token = world.sign("local", with_scope(&admin(), "proxy connections:read")).await;
    let answer = world.send(Method::GET, "/integrations", &token, None).await.expect(StatusCode::FORBIDDEN);
    let message = "the access token does not allow this; add `integrations:read` to its claim `scope`";
    assert_eq!(answer.json(), json!({"type": "bad_request", "key": "access_denied", "message": message}));
}

/// How a token is limited, in the order of the columns of the table.
#[derive(Debug, Clone, Copy)]
enum Limit {
    ThisConnection,
    AnotherConnection,
    ItsIntegration,
    AnotherIntegration,
}

impl Limit {
    const ALL: [Self; 4] =
        [Self::ThisConnection, Self::AnotherConnection, Self::ItsIntegration, Self::AnotherIntegration];

    /// An admin's claims, limited for this route.
    fn claims(self, row: &Row, connection: &str) -> Claims {
        // The integration that `Row::call` uses.
        let integration = match (row.method.as_str(), row.path.as_str()) {
            ("POST", "/connections" | "/connection-requests/{id}/confirm") => "imports",
            ("POST", "/integrations") => "new",
            _ => "crm",
        };
        let another = if integration == "crm" { "imports" } else { "crm" };
        match self {
            Self::ThisConnection => Claims { connection_ids: set(&[connection, "unknown-2"]), ..admin() },
            Self::AnotherConnection => Claims { connection_ids: set(&[BOBS_CONNECTION]), ..admin() },
            Self::ItsIntegration => Claims { integration_keys: set(&[integration, "unknown-2"]), ..admin() },
            Self::AnotherIntegration => Claims { integration_keys: set(&[another]), ..admin() },
        }
    }

    /// Whether the connection exists for such a token.
    fn is_within(self) -> bool {
        matches!(self, Self::ThisConnection | Self::ItsIntegration)
    }
}

/// The rows of the table of limited tokens.
fn limits() -> BTreeMap<String, [StatusCode; 4]> {
    let document = read("SECURITY.md");
    let parse = |cells: Vec<&str>| {
        let [routes, expected @ ..] = &cells[..] else { panic!("{cells:?}") };
        let expected: Vec<StatusCode> = expected.iter().map(|status| status.parse().unwrap()).collect();
        let expected: [StatusCode; 4] = expected.try_into().unwrap();
        quoted(routes).into_iter().map(|route| (route.to_owned(), expected)).collect::<Vec<_>>()
    };
    rows(&document, "### Limited tokens").into_iter().flat_map(parse).collect()
}

#[tokio::test]
async fn limited_tokens_get_the_answers_in_the_table() {
    let limits = limits();
    for limit in Limit::ALL {
        let it = Fixture::new().await;
        for row in table().into_iter().filter(Row::checks_tokens) {
            let expected = match limits.get(&row.to_string()) {
                Some(expected) => expected[limit as usize],
                None if row.names_a_connection() && !limit.is_within() => row.expected(Column::OtherTenant),
                None => row.expected(Column::Admin),
            };
            let token = it.world.sign("local", limit.claims(&row, &it.connected)).await;
            let caller = PresentedToken::bearer(&token);
            let before = it.stored().await;
            let answer = row.call(&it.world, it.target(&row), &caller).await;
            assert_eq!(answer.0.status(), expected, "{row}: {limit:?}: {}", answer.text());
            if !limit.is_within() || expected.is_client_error() {
                assert_eq!(it.stored().await, before, "{row}: {limit:?}");
            }
            if row.names_a_connection() && expected.is_client_error() {
                // The answer is exactly that for an unknown id.
                let unknown = row.call(&it.world, "unknown", &caller).await.snapshot();
                for id in [&it.connected, ALICES_CONNECTION] {
                    let answer = row.call(&it.world, id, &caller).await.snapshot();
                    assert_eq!(answer, unknown.replace("unknown", id), "{row}: {limit:?}");
                }
            }
        }
    }
}

#[test]
fn the_table_of_limited_tokens_has_existing_routes() {
    let routes: BTreeSet<_> = table().iter().map(Row::to_string).collect();
    for route in limits().keys() {
        assert!(routes.contains(route), "{route}");
    }
}

#[tokio::test]
async fn the_own_connection_is_only_used_by_tokens_that_have_it() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    let connect = async |claims: Claims| {
        let token = world.sign("local", claims).await;
        get(&world, "", &format!("/connect?integrationKey=crm&token={token}")).await.0.status()
    };
    let limited = |ids: &[&str]| Claims { connection_ids: set(ids), ..tenant("alice") };
    assert_eq!(connect(limited(&[&id])).await, StatusCode::FOUND);
    assert_eq!(connect(limited(&["another"])).await, StatusCode::FORBIDDEN);
    // Another tenant has none, and cannot create one by knowing the id.
    assert_eq!(connect(Claims { connection_ids: set(&[&id]), ..tenant("bob") }).await, StatusCode::FORBIDDEN);
    assert_eq!(connect(Claims { integration_keys: set(&["crm"]), ..tenant("bob") }).await, StatusCode::FOUND);
}

/// A world with connections of three integrations and of none.
async fn crowded() -> World {
    let world = World::new().await;
    for (tenant, name, integration) in [
        (Some("alice"), "1", CRM),
        (Some("alice"), "2", Some(["erp", "hubspot"])),
        (Some("alice"), "3", None),
        (Some("alice"), "4", CRM),
        (Some("bob"), "1", CRM),
        (Some("bob"), "2", Some(["erp", "hubspot"])),
        (Some("bob"), "3", Some(["mail", "google"])),
        (None, "1", CRM),
    ] {
        let key = integration.map(|[key, _]| format!("{key}-{name}"));
        store(&world, tenant, name, integration, Details { key, ..Details::default() }).await;
    }
    world
}

async fn listed(world: &World, token: &str, query: &str) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = get(world, token, &format!("/connections?{query}{cursor}")).await.expect(StatusCode::OK);
        pages.push(ids(&answer));
        match answer.json()["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
        assert!(pages.len() < 100, "the pages never end");
    }
}

#[tokio::test]
async fn lists_have_exactly_what_exists_for_the_token() {
    let world = crowded().await;
    let of_crm = ["alice-1", "alice-4", "bob-1", "nobody-1"];
    let of_ids = |ids: &[&str], claims: Claims| Claims { connection_ids: set(ids), ..claims };
    let of_keys = |keys: &[&str], claims: Claims| Claims { integration_keys: set(keys), ..claims };
    let both = of_ids(&["alice-1", "alice-2", "bob-3"], of_keys(&["crm", "mail"], admin()));
    for (claims, query, expected) in [
        (of_keys(&["crm"], admin()), "", &of_crm[..]),
        (of_keys(&["mail", "none", "erp"], admin()), "", &["alice-2", "bob-2", "bob-3"]),
        (of_keys(&["mail", "crm", "a#b", ""], admin()), "", &["alice-1", "alice-4", "bob-1", "nobody-1", "bob-3"]),
        (of_keys(&["mail", "crm"], admin()), "search=-1", &["alice-1", "bob-1", "nobody-1"]),
        (of_keys(&["mail", "crm"], admin()), "integrationKey=crm", &of_crm),
        (of_keys(&["mail", "crm"], admin()), "integrationKey=erp", &[]),
        (of_keys(&["mail", "crm"], admin()), "tenantId=bob", &["bob-1", "bob-3"]),
        (of_keys(&["mail", "crm"], admin()), "tenantId=bob&key=erp-2", &[]),
        (
            of_keys(&["mail", "crm"], admin()),
            "includeArchived=true",
            &["alice-1", "alice-4", "bob-1", "bob-3", "nobody-1"],
        ),
        (of_keys(&["mail", "crm"], tenant("alice")), "", &["alice-1", "alice-4"]),
        (of_keys(&[], admin()), "", &[]),
        (of_ids(&["bob-3", "alice-3", "none", "#key#x"], admin()), "", &["alice-3", "bob-3"]),
        (of_ids(&["bob-3", "alice-3", "alice-1"], admin()), "search=3", &["alice-3", "bob-3"]),
        (of_ids(&["bob-3", "alice-3", "alice-1"], admin()), "integrationKey=crm", &["alice-1"]),
        (of_ids(&["bob-3", "alice-3"], tenant("alice")), "", &["alice-3"]),
        (of_ids(&[], admin()), "", &[]),
        (both, "", &["alice-1", "bob-3"]),
    ] {
        let token = world.sign("local", claims.clone()).await;
        for limit in [1, 2, 3, 1000] {
            let pages = listed(&world, &token, &format!("limit={limit}&{query}")).await;
            let found = pages.concat();
            let in_any_order = query.contains("includeArchived");
            let sorted =
                |ids: Vec<String>| if in_any_order { BTreeSet::from_iter(ids).into_iter().collect() } else { ids };
            assert_eq!(sorted(found), expected, "{claims:?} {query} {limit}");
            assert!(pages.iter().all(|page| page.len() <= limit), "{pages:?}");
        }
    }
}

#[tokio::test]
async fn lists_of_integrations_are_complete_without_their_index() {
    let world = crowded().await;
    let token = world.sign("local", Claims { integration_keys: set(&["mail", "crm"]), ..admin() }).await;
    let delete = aws_sdk_dynamodb::types::DeleteGlobalSecondaryIndexAction::builder().index_name("by_integration");
    let delete = aws_sdk_dynamodb::types::GlobalSecondaryIndexUpdate::builder().delete(delete.build().unwrap());
    let update = world.dynamodb().update_table().table_name("larder-connections");
    update.global_secondary_index_updates(delete.build()).send().await.unwrap();
    for limit in [1, 2, 1000] {
        let pages = listed(&world, &token, &format!("limit={limit}")).await;
        assert_eq!(pages.concat(), ["alice-1", "alice-4", "bob-1", "bob-3", "nobody-1"]);
    }
}

#[tokio::test]
async fn a_limited_list_reads_only_what_exists_for_the_token() {
    let world = World::new().await;
    for number in 0..150 {
        store(&world, Some("bob"), &format!("{number:03}"), CRM, Details::default()).await;
    }
    store(&world, Some("alice"), "1", Some(["erp", "hubspot"]), Details::default()).await;
    store(&world, Some("alice"), "2", Some(["mail", "google"]), Details::default()).await;
    let by_ids = world.sign("local", Claims { connection_ids: set(&["alice-1", "bob-007"]), ..admin() }).await;
    let by_keys = world.sign("local", Claims { integration_keys: set(&["erp", "mail"]), ..admin() }).await;
    world.requests.take();
    assert_eq!(listed(&world, &by_ids, "search=a").await, [["alice-1"]]);
    assert_eq!(world.requests.take().len(), 1);
    assert_eq!(listed(&world, &by_keys, "search=a").await, [["alice-1", "alice-2"]]);
    assert_eq!(world.requests.take().len(), 4, "for each integration, its index and its rows");
}

#[tokio::test]
async fn cursors_belong_to_the_tokens_own_list() {
    let world = crowded().await;
    let lists = [
        world.admin.clone(),
        world.alice.clone(),
        world.sign("local", Claims { connection_ids: set(&["alice-1", "alice-2"]), ..admin() }).await,
        world.sign("local", Claims { integration_keys: set(&["crm", "erp"]), ..admin() }).await,
    ];
    for (own, token) in lists.iter().enumerate() {
        let page = get(&world, token, "/connections?limit=1").await.expect(StatusCode::OK).json();
        let uri = format!("/connections?limit=1&cursor={}", page["cursor"].as_str().unwrap());
        for (other, token) in lists.iter().enumerate() {
            let status = get(&world, token, &uri).await.0.status();
            assert_eq!(status == StatusCode::OK, own == other, "{own} {other}: {status}");
        }
    }
}

#[tokio::test]
async fn selectors_resolve_only_within_the_tokens_limits() {
    let world = crowded().await;
    let crm = world.sign("local", Claims { integration_keys: set(&["crm"]), ..tenant("alice") }).await;
    let one = world.sign("local", Claims { connection_ids: set(&["alice-4"]), ..tenant("alice") }).await;
    for (token, selector, expected) in [
        (&world.alice, "crm-1", Some("alice-1")),
        (&crm, "crm-1", Some("alice-1")),
        (&one, "crm-1", None),
        (&world.alice, "erp-2", Some("alice-2")),
        (&crm, "erp-2", None),
        (&crm, "alice-3", None),
        (&crm, "erp", None),
        // The tenant has two, and the token one of them.
        (&world.alice, "crm", None),
        (&one, "crm", Some("alice-4")),
    ] {
        let answer = get(&world, token, &format!("/connections/{selector}")).await;
        assert_eq!(answer.0.status() == StatusCode::OK, expected.is_some(), "{selector}: {}", answer.text());
        if let Some(expected) = expected {
            assert_eq!(answer.json()["id"], expected);
        }
    }
    for (token, query, exists) in [
        (&one, "connectionKey=crm-4", true),
        (&one, "connectionKey=crm-1", false),
        (&one, "integrationKey=crm", true),
        (&crm, "integrationKey=erp", false),
        (&crm, "connectionId=alice-2", false),
    ] {
        // The stored credentials do not open, so those that are found are a 500.
        let status = get(&world, token, &format!("/credentials?{query}")).await.0.status();
        let expected = if exists { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NOT_FOUND };
        assert_eq!(status, expected, "{query}");
    }
}

#[tokio::test]
async fn integrations_are_listed_within_limits_and_without_hidden_connections() {
    let it = Fixture::new().await;
    let shown = async |claims: Claims| {
        let token = it.world.sign("local", claims).await;
        let answer = get(&it.world, &token, "/integrations").await.expect(StatusCode::OK).json();
        let items = answer["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| (item["key"].as_str().unwrap().to_owned(), item["connection"]["id"].clone()))
            .collect::<Vec<_>>()
    };
    let (crm, imports) = ("crm".to_owned(), "imports".to_owned());
    let connected = json!(it.connected);
    assert_eq!(shown(tenant("alice")).await, [(crm.clone(), connected.clone()), (imports.clone(), Value::Null)]);
    let limited = Claims { integration_keys: set(&["crm"]), ..tenant("alice") };
    assert_eq!(shown(limited).await, [(crm.clone(), connected.clone())]);
    let limited = Claims { connection_ids: set(&[ALICES_CONNECTION]), ..tenant("alice") };
    assert_eq!(shown(limited).await, [(crm.clone(), Value::Null), (imports.clone(), Value::Null)]);
    assert_eq!(shown(with_scope(&tenant("alice"), "integrations:read")).await[0], (crm.clone(), Value::Null));
    let both = with_scope(&tenant("alice"), "integrations:read connections:read");
    assert_eq!(shown(both).await[0], (crm, connected));
}

#[tokio::test]
async fn other_routes_reveal_no_hidden_connection() {
    let it = Fixture::new().await;
    let as_json = async |claims: Claims, method: Method, uri: &str, body: Option<&Value>| {
        let token = it.world.sign("local", claims).await;
        it.world.send(method, uri, &token, body).await
    };
    let all = as_json(admin(), Method::GET, "/connectors", None).await.json();
    assert!(all["items"][0]["connectionCount"].is_number());
    for claims in [
        Claims { integration_keys: set(&["crm"]), ..admin() },
        Claims { connection_ids: set(&[BOBS_CONNECTION]), ..admin() },
    ] {
        let answer = as_json(claims, Method::GET, "/connectors", None).await.expect(StatusCode::OK).json();
        assert_eq!(answer["items"][0].get("connectionCount"), None);
    }
    let of_connection = json!({"connectionId": it.connected});
    let options = async |scope: &str| {
        let claims = with_scope(&tenant("alice"), scope);
        as_json(claims, Method::POST, "/connection-options", Some(&of_connection)).await.0.status()
    };
    assert_eq!(options("integrations:read").await, StatusCode::FORBIDDEN);
    assert_eq!(options("integrations:read connections:read").await, StatusCode::OK);
}

#[tokio::test]
async fn overriding_parameters_requires_the_scope_for_integrations() {
    let it = Fixture::new().await;
    let overriding = json!({"connectorParameters": {"tokenUri": "https://evil.example/token"}});
    let patch = async |scope: &str| {
        let token = it.world.sign("local", with_scope(&admin(), scope)).await;
        let uri = format!("/connections/{}", it.connected);
        it.world.send(Method::PATCH, &uri, &token, Some(&overriding)).await
    };
    let answer = patch("connections:write").await.expect(StatusCode::FORBIDDEN);
    assert!(answer.text().contains("`integrations:write`"), "{}", answer.text());
    patch("connections:write integrations:write").await.expect(StatusCode::OK);
    let connect = async |scope: &str| {
        let token = it.world.sign("local", with_scope(&admin(), scope)).await;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("integrationKey", "crm")
            .append_pair("token", &token)
            .append_pair("connectorParameters", r#"{"tokenUri":"https://evil.example/token"}"#)
            .finish();
        get(&it.world, "", &format!("/connect?{query}")).await.0.status()
    };
    assert_eq!(connect("connections:connect").await, StatusCode::FORBIDDEN);
    assert_eq!(connect("connections:connect integrations:write").await, StatusCode::FOUND);
}

fn credentials(answer: &Answer) -> &str {
    answer.text().strip_prefix(r#"{"credentials":"#).and_then(|json| json.strip_suffix('}')).unwrap()
}

#[tokio::test]
async fn refresh_tokens_are_served_only_to_tokens_that_may_read_them() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    let uri = format!("/credentials?connectionId={id}");
    let stored = "{\"access_token\": \"a\",\n \"refresh_token\": \"r\", \"n\": 1.50, \"clientSecret\": \"c\",\"deep\": {\"x\": [{\"refreshToken\": \"r\",\"y\":2}]}}";
    let body = format!(r#"{{"credentials":{stored}}}"#);
    let untested = format!("{uri}&test=false");
    world.send_raw(Method::PUT, &untested, &world.admin, body.clone()).await.expect(StatusCode::CREATED);
    put(&world, &world.alice, "own").await;
    world.send_raw(Method::PUT, "/credentials?connectionId=own", &world.alice, body).await.expect(StatusCode::CREATED);
    let withheld = "{\"access_token\": \"a\",\n \"n\": 1.50, \"deep\": {\"x\": [{\"y\":2}]}}";
    for (scope, of_integration) in [
        (None, stored),
        (Some("credentials:read"), withheld),
        (Some("credentials:read connections:read connections:write integrations:write"), withheld),
        (Some("credentials:read credentials:refresh-token"), stored),
    ] {
        for claims in [tenant("alice"), admin()] {
            let claims = Claims { scope: scope.map(str::to_owned), ..claims };
            let token = world.sign("local", claims).await;
            let answer = get(&world, &token, &uri).await.expect(StatusCode::OK);
            assert_eq!(credentials(&answer), of_integration, "{scope:?}");
            // Nobody knows what a value without an integration means.
            let answer = get(&world, &token, "/credentials?connectionId=own").await.expect(StatusCode::OK);
            assert_eq!(credentials(&answer), stored, "{scope:?}");
        }
    }
    let token = world.sign("local", with_scope(&tenant("alice"), "credentials:refresh-token")).await;
    get(&world, &token, &uri).await.expect(StatusCode::FORBIDDEN);
}
