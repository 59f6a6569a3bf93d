//! The OpenAPI document agrees with the routes, the code, functions/README.md and the sample events, and its examples with its
//! schemas. Requests and responses of other tests are checked as they are made.

use std::collections::BTreeSet;
use std::fs;

use larder::connection::Connection;
use larder::error::KEYS;
use larder::http::Response;
use larder::routes::{Audience, Function, ROUTES};
use larder_tests::document::{quoted, read, rows};
use larder_tests::openapi::{OpenApi, object};
use larder_tests::{World, root};
use serde_json::{Value, json};

/// The statuses that functions/README.md mentions once, for all routes.
const EVERYWHERE: [&str; 5] = ["400", "401", "403", "500", "503"];

#[test]
fn the_operations_are_the_routes() {
    let operations = OpenApi::get().operations();
    let described: BTreeSet<_> = operations.iter().map(ToString::to_string).collect();
    // Browsers send preflight requests by themselves, and people open the pages.
    let routes = ROUTES.iter().filter(|route| !route.is_preflight() && route.function != Function::Pages);
    assert_eq!(described, routes.map(|route| format!("{} {}", route.method, route.path)).collect());
    for operation in operations {
        let route = ROUTES.iter().find(|it| it.method == operation.method && it.path == operation.path).unwrap();
        let needs_token = matches!(route.audience, Audience::All | Audience::Admins);
        assert_eq!(operation.value["security"] != json!([]), needs_token, "{operation}: `security`");
        let description = operation.value["description"].as_str().unwrap_or_default();
        assert_eq!(
            description.contains("Admins only"),
            route.audience == Audience::Admins,
            "{operation}: {description}"
        );
    }
}

#[test]
fn operations_require_the_scopes_of_the_readme() {
    let readme = read("functions/README.md");
    // The scope of refresh tokens has no routes.
    let listed = rows(&readme, "\n### Scopes\n").into_iter().filter(|row| row[1].starts_with('`'));
    let listed =
        listed.flat_map(|row| quoted(row[1]).into_iter().map(move |route| (route.to_owned(), quoted(row[0])[0])));
    let pages: BTreeSet<_> = Function::Pages.routes().map(|route| format!("{} {}", route.method, route.path)).collect();
    let listed = listed.filter(|(route, _)| !pages.contains(route));
    let operations = OpenApi::get().operations();
    let required = operations.iter().flat_map(|operation| {
        let scopes = operation.security().into_iter().flat_map(|(_, scopes)| scopes.as_array().unwrap());
        scopes.map(|scope| (operation.to_string(), scope.as_str().unwrap()))
    });
    assert_eq!(required.collect::<BTreeSet<_>>(), listed.collect());
}

#[test]
fn every_example_matches_its_schema() {
    let document = OpenApi::get();
    let (examples, missing) = document.examples();
    assert_eq!(missing, Vec::<String>::new(), "there is no example");
    for example in examples {
        let mismatches = document.mismatches(example.schema, example.value);
        assert_eq!(mismatches, Vec::<String>::new(), "{}: {}", example.place, example.value);
    }
}

#[test]
fn error_keys_are_the_same_in_code_and_documents() {
    let keys: BTreeSet<_> = KEYS.into_iter().collect();
    let described = &OpenApi::get().component("/schemas/ErrorKey")["enum"];
    assert_eq!(described.as_array().unwrap().iter().filter_map(Value::as_str).collect::<BTreeSet<_>>(), keys);
    let readme = read("functions/README.md");
    let errors = rows(&readme, "\n## Errors\n");
    assert_eq!(quoted(errors[1][1]).into_iter().collect::<BTreeSet<_>>(), keys);
    let types = &OpenApi::get().component("/schemas/Error")["properties"]["type"]["enum"];
    assert_eq!(json!(quoted(errors[0][1])), *types);
    let members = errors.iter().flat_map(|row| quoted(row[0]));
    assert_eq!(members.collect::<BTreeSet<_>>(), members_of("Error"));
}

/// The members of a schema of the document.
fn members_of(schema: &str) -> BTreeSet<&'static str> {
    let schema = OpenApi::get().component(&format!("/schemas/{schema}"));
    object(&schema["properties"]).into_iter().map(|(name, _)| name).collect()
}

/// The members of a request that the server does not ignore.
fn writable_members_of(schema: &str) -> BTreeSet<&'static str> {
    let schema = OpenApi::get().component(&format!("/schemas/{schema}"));
    let members = object(&schema["properties"]).into_iter().filter(|(_, member)| member["readOnly"] != true);
    members.map(|(name, _)| name).collect()
}

/// The names in a table of functions/README.md: the first column, and synonyms from the second.
fn tabled<'a>(readme: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for row in rows(readme, heading) {
        // `tags[KEY]` is the parameter `tags`.
        names.extend(quoted(row[0]).into_iter().map(|name| name.split('[').next().unwrap()));
        for (end, _) in row[1].match_indices(" synonym") {
            let named = row[1][..end].rsplit('(').next().unwrap();
            names.extend(quoted(named));
        }
    }
    names
}

#[test]
fn the_readmes_tables_have_the_documented_members() {
    let readme = read("functions/README.md");
    for (heading, described) in [
        ("\n## Integrations\n", members_of("IntegrationBody")),
        ("\n## The connect link\n", members_of("ConnectRequest")),
        ("\n### History\n", members_of("Attempt")),
        ("\n### Flows\n", members_of("FlowBody")),
        ("\n## Connection requests\n", members_of("NewConnectionRequest")),
    ] {
        assert_eq!(tabled(&readme, heading), described, "{heading}");
    }
    // The table leads to that of changes for these.
    assert_eq!(tabled(&readme, "\n### Creating\n"), members_of("NewConnection"));
    assert_eq!(tabled(&readme, "\n### Changing\n"), writable_members_of("ConnectionChange"));
    let statuses = &OpenApi::get().component("/schemas/ConnectionRequestStatus")["enum"];
    assert_eq!(
        json!(rows(&readme, "\n### Its status\n").iter().map(|row| quoted(row[0])[0]).collect::<Vec<_>>()),
        *statuses
    );
    let operations = OpenApi::get().operations();
    let find = |id: &str| operations.iter().find(|it| it.value["operationId"] == id).unwrap();
    assert_eq!(tabled(&readme, "\n### Listing\n"), find("listConnections").query());
    let connect = find("connect").query();
    assert_eq!(members_of("ConnectRequest").difference(&connect).collect::<Vec<_>>(), [&"token"]);
}

#[test]
fn the_readme_shows_the_documented_members_of_views() {
    let readme = read("functions/README.md");
    for (schema, start) in
        [("Connection", "A connection is shown with"), ("Integration", "An integration is shown with")]
    {
        let paragraph = readme.lines().find(|line| line.starts_with(start)).unwrap();
        let shown: BTreeSet<_> = quoted(paragraph).into_iter().collect();
        let missing: Vec<_> = members_of(schema).into_iter().filter(|name| !shown.contains(name)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "{start} …");
    }
}

#[test]
fn ignored_members_of_a_change_are_those_that_cannot_change() {
    let schema = OpenApi::get().component("/schemas/ConnectionChange");
    let ignored = object(&schema["properties"]).into_iter().filter(|(_, member)| member["readOnly"] == true);
    assert_eq!(ignored.map(|(name, _)| name).collect::<BTreeSet<_>>(), Connection::READ_ONLY.into_iter().collect());
}

#[test]
fn the_readmes_statuses_are_the_documented_ones() {
    let operations = OpenApi::get().operations();
    let readme = read("functions/README.md");
    let rows = rows(&readme, "\n## Routes\n");
    let find = |route: &str| rows.iter().find(|row| paths(row[0]).any(|it| it == route)).unwrap();
    for operation in &operations {
        let route = operation.to_string();
        let mut answers = find(&route)[2];
        if let Some(path) = answers.strip_prefix("as ") {
            answers = find(&format!("{} {}", operation.method, quoted(path)[0]))[2];
        }
        let named = statuses(answers, operation.method.as_str());
        let described = operation.statuses();
        assert_eq!(named.difference(&described).collect::<Vec<_>>(), Vec::<&&str>::new(), "{route} is not documented");
        let described = described.into_iter().filter(|status| !EVERYWHERE.contains(status));
        let missing: Vec<_> = described.filter(|status| !named.contains(status)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "functions/README.md leaves these out of {route}");
    }
}

/// The routes in the first cell of a row. Their path follows the last method.
fn paths(cell: &str) -> impl Iterator<Item = String> {
    let methods = quoted(cell);
    let path = methods.last().and_then(|last| last.split(' ').nth(1)).unwrap().split('?').next().unwrap();
    methods.into_iter().map(move |method| format!("{} {path}", method.split(' ').next().unwrap()))
}

/// The status codes in a cell, outside code, except those of another method only.
fn statuses<'a>(cell: &'a str, method: &str) -> BTreeSet<&'a str> {
    let of_method = |answer: &&str| !answer.contains("` only)") || answer.contains(&format!("(`{method}` only)"));
    let prose = cell.split(" · ").filter(of_method).flat_map(|answer| answer.split('`').step_by(2));
    let words = prose.flat_map(|prose| prose.split(|c: char| !c.is_ascii_alphanumeric()));
    words.filter(|word| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

#[test]
fn sample_events_are_requests_as_documented() {
    let mut events = 0;
    for entry in fs::read_dir(root().join("events")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let event: Value = serde_json::from_str(&text).unwrap();
        let Some(route) = event["routeKey"].as_str() else { continue };
        let request = lambda_http::request::from_str(&text).unwrap();
        let request = request.map(|body| bytes::Bytes::copy_from_slice(&body));
        let document = OpenApi::get();
        let operation = document.operations().into_iter().find(|operation| operation.to_string() == route);
        let Some(operation) = operation else { continue };
        let problems = document.problems_of_request(&operation, &request);
        assert_eq!(problems, Vec::<String>::new(), "{route}");
        events += 1;
    }
    assert_eq!(events, OpenApi::get().operations().len());
}

#[test]
fn undocumented_statuses_members_and_parameters_are_noticed() {
    let document = OpenApi::get();
    let answer = |status: u16, body: &str| {
        let response = http::Response::builder().status(status).header("content-type", "application/json");
        let response: Response = response.body(body.to_owned()).unwrap();
        response
    };
    let me = r#"{"workspaceKey":"local","isAdmin":true}"#;
    for (request, response, problem) in [
        ("GET /self", answer(200, me), None),
        ("GET /prod/self?x=1", answer(200, me), None),
        ("GET /elsewhere", answer(418, "{}"), None),
        ("GET /elsewhere/self", answer(404, "{}"), None),
        ("GET /self", answer(404, "{}"), Some("the status is not documented")),
        ("GET /self", answer(418, "{}"), Some("the status is not documented")),
        ("GET /self", answer(200, r#"{"workspaceKey":"local","isAdmin":true,"secret":1}"#), Some("secret")),
        ("GET /self", answer(200, r#"{"isAdmin":true}"#), Some("workspaceKey")),
        ("GET /self?as=bob", answer(200, me), Some("`as`")),
        ("GET /connections?limit=0", answer(200, r#"{"items":[]}"#), Some("`limit`")),
        ("GET /connections", answer(200, "[]"), Some("object")),
        ("GET /self", answer(503, r#"{"type":"internal","message":"m"}"#), Some("Retry-After")),
        ("GET /self", answer(500, r#"{"type":"internal","key":"new","message":"m"}"#), Some("new")),
        ("DELETE /self", answer(200, "{}"), Some("method")),
        ("DELETE /connections/c", answer(204, "{}"), Some("body")),
    ] {
        let (method, uri) = request.split_once(' ').unwrap();
        let request = http::Request::builder().method(method).uri(uri).body(Default::default()).unwrap();
        let problems = document.problems(&request, &response);
        let is_noticed = problem.is_some_and(|problem| problems.iter().any(|it| it.contains(problem)));
        assert_eq!((problems.is_empty(), is_noticed), (problem.is_none(), problem.is_some()), "{uri}: {problems:?}");
    }
}

#[tokio::test]
async fn everyone_may_read_the_document_at_its_own_address() {
    let world = World::new().await;
    let request = http::Request::get("/openapi.json").header("authorization", "Bearer garbage");
    let answer = world.handle(request.body(Default::default()).unwrap()).await;
    let served = answer.json();
    assert_eq!(served["servers"][0]["url"], World::BASE_URI);
    let here = served.to_string().replace(World::BASE_URI, "http://127.0.0.1:9000");
    assert_eq!(here, OpenApi::get().at("").to_string());
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}
