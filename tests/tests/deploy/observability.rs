//! Metrics, and the line that a function logs for each invocation.

use std::time::Duration;

use http::{Method, StatusCode};
use larder::caller::{Claims, sign};
use larder_local::embedded_dynamodb::Door;
use larder_tests::function::{Function, http_event};
use larder_tests::program::built;
use larder_tests::{MockProvider, World};
use refresh::{Event, Refresh};
use serde_json::{Value, json};

/// The metric lines that count refreshes.
fn refreshes(metrics: &[Value]) -> Vec<&Value> {
    metrics.iter().filter(|line| line.get("Refreshes").is_some()).collect()
}

/// The function binaries contain no connectors.
const CONNECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/connectors");

async fn connected() -> (World, MockProvider, String) {
    let (world, provider) = (World::with_connectors(vec![CONNECTORS.into()]).await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    (world, provider, id)
}

#[tokio::test]
async fn a_sweep_measures_its_lag_and_every_refresh_in_it() {
    let (world, provider, id) = connected().await;
    let measured = || {
        let (sweeps, refreshes): (Vec<_>, Vec<_>) =
            world.metrics().into_iter().partition(|line| line.get("SweeperLag").is_some());
        assert_eq!(sweeps.len(), 1, "{sweeps:?}");
        (sweeps[0]["SweeperLag"].clone(), refreshes)
    };
    world.sweep().await;
    assert_eq!(measured(), (json!(0.0), Vec::new()));

    provider.set_delay(Duration::from_millis(60));
    world.advance(3320); // due for 20 seconds, expires in 280
    world.sweep().await;
    let (lag, refreshes) = measured();
    assert_eq!((lag, refreshes.len()), (json!(20.0), 1));
    let line = &refreshes[0];
    assert_eq!((&line["Outcome"], &line["Connector"]), (&json!("refreshed"), &json!("oauth2")));
    assert_eq!((&line["SecondsToExpiry"], &line["connection"]), (&json!(280.0), &json!(id)));
    assert!(line["ProviderLatency"].as_f64().unwrap() >= 60.0, "{line}");

    provider.script_raw(503, "", &[]);
    world.advance(4000);
    world.sweep().await;
    let (lag, refreshes) = measured();
    assert_eq!((lag, &refreshes[0]["Outcome"]), (json!(700.0), &json!("failed")));
    assert_eq!(refreshes[0]["SecondsToExpiry"], -400.0);
}

#[tokio::test]
async fn a_refresh_without_a_request_is_counted_but_has_no_latency() {
    let (world, _provider, id) = connected().await;
    let function = Refresh::new(world.bundle.environment()).unwrap();
    for (id, outcome) in [("unknown", "gone"), (id.as_str(), "refreshed"), (id.as_str(), "tooSoon")] {
        let event: Event = serde_json::from_value(json!({"workspace": "local", "connectionId": id})).unwrap();
        function.handle(event).await.unwrap();
        let metrics = world.metrics();
        let [line] = refreshes(&metrics)[..] else { panic!("{metrics:?}") };
        assert_eq!(line["Outcome"], outcome);
        assert_eq!(line.get("ProviderLatency").is_some(), outcome == "refreshed", "{line}");
        assert_eq!(line.get("Connector").is_some(), id != "unknown", "{line}");
    }
}

#[tokio::test]
async fn requests_of_a_script_count_as_provider_latency() {
    const SPEC: &str = "name: App
auth:
  type: client-credentials
  inputSchema: {type: object, properties: {uri: {type: string}}, required: [uri]}
  makeApiClient: {mapping: {baseUri: {$var: credentials.uri}}}
  getCredentialsFromConnectionParameters: {mapping: {uri: {$var: connectionParameters.uri}, expires_in: 3600}}
  refreshCredentials: {implementationType: javascript}
";
    let refresh = "export default async ({ credentials }) => {
        await fetch(credentials.uri, { method: 'POST' });
        return { expires_in: 3600 };
    }";
    let world = World::with_connector(&[("spec.yml", SPEC), ("auth/refresh-credentials.js", refresh)]).await;
    let provider = MockProvider::start().await;
    world.integrate_app(json!({})).await.expect(StatusCode::CREATED);
    world.connect_app(json!({"input": {"uri": provider.uri("/token")}})).await.expect(StatusCode::OK);
    provider.set_delay(Duration::from_millis(60));
    world.advance(3400);
    world.sweep().await;
    let metrics = world.metrics();
    let [line] = refreshes(&metrics)[..] else { panic!("{metrics:?}") };
    assert_eq!((&line["Outcome"], &line["Connector"]), (&json!("refreshed"), &json!("app")), "{line}");
    assert!(line["ProviderLatency"].as_f64().unwrap() >= 60.0, "{line}");
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn each_invocation_logs_one_line_and_its_metrics() {
    let (world, provider, id) = connected().await;
    let mut function = Function::start(&built("refresh"), variables(&world).await).await;
    let event = json!({"workspace": "local", "connectionId": id}).to_string();
    let first = function.invoke(&event).await;
    assert_eq!(first.result.as_deref(), Ok(r#""refreshed""#), "{:#?}", function.output());
    let second = function.invoke(&event).await;
    assert_eq!(second.result.as_deref(), Ok(r#""tooSoon""#));
    let swept = function.invoke(&json!({"detail-type": "Scheduled Event"}).to_string()).await;
    assert!(swept.result.as_deref().is_ok_and(|report| report.starts_with(r#"{"due":0,"#)), "{swept:?}");

    let output = output(&function).await;
    let lines: Vec<_> = output.iter().filter(|line| line["message"] == "invocation").collect();
    assert_eq!(lines.len(), 3, "{output:#?}");
    for (line, invocation, is_cold) in [(lines[0], &first, true), (lines[1], &second, false), (lines[2], &swept, false)]
    {
        assert_eq!((&line["function"], &line["requestId"]), (&json!("refresh"), &json!(invocation.id)));
        assert_eq!(line["traceId"], "1-5759e988-bd862e3fe1be46a994272793");
        assert_eq!((&line["level"], &line["coldStart"]), (&json!("INFO"), &json!(is_cold)));
        assert!(line["timestamp"].is_string() && line["durationMs"].is_u64(), "{line}");
    }
    for (line, outcome) in [(lines[0], "refreshed"), (lines[1], "tooSoon")] {
        assert_eq!((&line["workspace"], &line["connection"]), (&json!("local"), &json!(id)));
        assert_eq!((&line["connector"], &line["outcome"]), (&json!("oauth2"), &json!(outcome)));
        assert_eq!(line.get("providerMs").is_some(), outcome == "refreshed", "{line}");
    }
    assert_eq!((&lines[2]["due"], &lines[2]["lagMs"], lines[2].get("connection")), (&json!(0), &json!(0), None));

    let metrics: Vec<_> = output.iter().filter(|line| line.get("_aws").is_some()).cloned().collect();
    let outcomes: Vec<_> = refreshes(&metrics).iter().map(|line| line["Outcome"].clone()).collect();
    assert_eq!(outcomes, ["refreshed", "tooSoon"]);
    assert_eq!(metrics.iter().filter(|line| line.get("SweeperLag").is_some()).count(), 1);

    // The trace ID is not sent to the provider.
    let request = provider.refreshes().pop().unwrap();
    assert!(request.headers.iter().any(|name| name == "content-type"), "{:?}", request.headers);
    assert!(!request.headers.iter().any(|name| name.contains("trace")), "{:?}", request.headers);
    function.stop().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_function_logs_the_status_but_no_secret() {
    let world = World::new().await;
    let secret = "a-secret-of-my-own-0123456789";
    let body = json!({"credentials": {"apiKey": secret}});
    let target = "/credentials?connectionId=mine";
    world.send(Method::PUT, target, &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    // The function uses the machine's clock, so the token must not expire by it.
    let stored = world.bundle.environment().workspaces().secret("local").await.unwrap().unwrap();
    let claims =
        Claims { workspace_key: Some("local".into()), is_admin: true, exp: Some(253_402_300_799), ..Claims::default() };
    let token = sign(&claims, &stored.secret).unwrap();

    let mut function = Function::start(&built("get-credentials"), variables(&world).await).await;
    for (token, target) in [(token.as_str(), target), (&token, "/credentials?connectionId=other"), (secret, target)] {
        function.invoke(&http_event(&Method::GET, target, token, "")).await.result.unwrap();
    }
    let output = output(&function).await;
    assert_eq!(output.len(), 3, "{output:#?}");
    let [read, unknown, rejected] = [0, 1, 2].map(|at| &output[at]);
    let expected = json!({
        "status": 200, "function": "get-credentials", "method": "GET", "workspace": "local", "connection": "mine",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&read[name], value, "{read}");
    }
    assert_eq!((&unknown["status"], &unknown["errorKey"]), (&json!(404), &json!("not_found")), "{unknown}");
    assert_eq!((&rejected["status"], &rejected["refusal"]), (&json!(401), &json!("malformed token")), "{rejected}");
    assert_eq!(rejected.get("workspace"), None);
    for line in &output {
        let line = line.to_string();
        assert!(!line.contains(secret) && !line.contains(&token), "{line}");
    }
    function.stop().await;
}

/// The environment of a function that uses a world's data.
async fn variables(world: &World) -> Vec<(&'static str, String)> {
    let file = |name: &str| world.folder().join(name).to_string_lossy().into_owned();
    let door = world.door().await;
    vec![
        ("AWS_ENDPOINT_URL_DYNAMODB", door.endpoint()),
        ("AWS_ACCESS_KEY_ID", Door::ACCESS_KEY_ID.into()),
        ("AWS_SECRET_ACCESS_KEY", door.secret().expose().into()),
        ("BASE_URI", World::BASE_URI.into()),
        ("CONNECTORS_DIR", CONNECTORS.into()),
        ("LARDER_LOCAL", "1".into()),
        ("SECRETS_FILE", file("secrets.json")),
        ("SEAL_KEY_FILE", file("seal.key")),
    ]
}

/// A function's output, after a pause for the lines of its last invocation. Every line is JSON.
async fn output(function: &Function) -> Vec<Value> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    function.output().iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}
