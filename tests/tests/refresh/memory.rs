//! The memory that refreshes use when every answer has the maximum size. The test measures its own process.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::Response;
use larder_tests::loopback::{listen, serve};
use larder_tests::memory::{reset_peak, status};
use larder_tests::{Browser, World, is_alone, say};
use serde_json::json;
use tokio::sync::watch;

/// The number of connections that one sweep refreshes at once.
const CONNECTIONS: usize = 64;
/// The memory, in bytes, that an invocation of `refresh` may take, including the test itself.
const LIMIT: u64 = 400_000_000;
/// The size of the largest answer that is read, in bytes.
const LARGEST: usize = 1024 * 1024;

const SPEC: &str = "
name: App
parametersSchema: {type: object, properties: {apiUri: {type: string}}}
auth:
  getCredentialsFromConnectionParameters: {mapping: {access_token: first, refresh_token: r, expires_in: 3600}}
  makeApiClient: {mapping: {baseUri: {$var: connectorParameters.apiUri}}}
  options:
    token:
      type: oauth2
      getCredentialsFromConnectionParameters: {implementationType: not-supported}
      getOAuthConfig:
        mapping:
          clientId: c
          authorizeUri: {$concat: [{$var: connectorParameters.apiUri}, /authorize]}
          tokenUri: {$concat: [{$var: connectorParameters.apiUri}, /token]}
    rest:
      type: client-credentials
      refreshCredentials:
        implementationType: rest-api-mapping
        mapping: {path: /token, method: post, responseMapping: {$var: response.data}}
    script:
      type: client-credentials
      refreshCredentials: {code: \"export default ({ apiClient }) => apiClient.post('/token')\"}
    fetch:
      type: client-credentials
      refreshCredentials:
        code: |
          export default async ({ connectorParameters }) => {
            const answer = await fetch(connectorParameters.apiUri + '/token', { method: 'POST' })
            return answer.json()
          }
";

/// A body that repeats `part` as often as fits between `start` and `end`.
fn body(start: &str, part: &str, end: &str) -> Bytes {
    let times = (LARGEST - start.len() - end.len()) / part.len();
    format!("{start}{}{end}", part.repeat(times)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_of_the_largest_answers_fit_into_a_function() {
    if !is_alone("memory::sixty_four_of_the_largest_answers_fit_into_a_function").await {
        return;
    }
    let small = Bytes::from_static(br#"{"access_token": "first", "refresh_token": "r", "expires_in": 3600}"#);
    let (answer, answers) = watch::channel(small.clone());
    let (listener, address) = listen().await;
    // All answers share one buffer.
    serve(listener, move |_| {
        let body = answers.borrow().clone();
        async move { Ok::<_, std::convert::Infallible>(Response::new(Full::new(body))) }
    });
    let world = World::with_connector(&[("spec.yml", SPEC)]).await;
    let parameters = json!({"parameters": {"apiUri": format!("http://{address}")}});
    world.integrate_app(parameters).await.expect(StatusCode::CREATED);

    let mut peaks = Vec::new();
    for variant in ["token", "rest", "script", "fetch"] {
        answer.send_replace(small.clone());
        let mut ids = Vec::new();
        for number in 0..CONNECTIONS {
            let tenant = format!("{variant}-{number}");
            connect_through(&world, variant, &tenant).await;
            ids.push(connect::own_connection_id("local", "app", Some(&tenant)));
        }
        for (what, body, is_accepted) in [
            ("[0,0,…", body("[", "0,", "0]"), false),
            ("{\"access_token\", [0,0,…", body(r#"{"access_token":"next","more":["#, "0,", "0]}"), false),
            (
                "{\"access_token\", \"aaa…",
                body(r#"{"access_token":"next","expires_in":3600,"more":""#, "a", "\"}"),
                true,
            ),
            ("{\"access_token\", [\"aa…\", …", many_strings(), true),
        ] {
            // The script engine bounds its own memory, whatever the shape of an answer.
            if matches!(variant, "script" | "fetch") && what.starts_with("{\"access_token\", [") {
                continue;
            }
            for id in &ids {
                let credentials =
                    json!({"credentials": {"access_token": "first", "refresh_token": "r", "expires_in": 3600}});
                let uri = format!("/credentials?connectionId={id}");
                world.send(Method::PUT, &uri, &world.admin, Some(&credentials)).await.expect(StatusCode::CREATED);
            }
            answer.send_replace(body);
            world.advance(3300);
            reset_peak();
            let before = status("VmRSS");
            world.sweep().await;
            let peak = status("VmHWM");
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            say(&format!(
                "memory: {CONNECTIONS} refreshes by {variant:<6} of {what:<27} {:>6.1} MB before, {:>6.1} MB at most",
                megabytes(before),
                megabytes(peak)
            ));
            peaks.push((variant, what, peak));
            // A script's result has its own limit, which is lower than that of an answer.
            let is_accepted = is_accepted && matches!(variant, "token" | "rest");
            for id in [&ids[0], &ids[CONNECTIONS - 1]] {
                let view = world.connection(id).await;
                assert_eq!(
                    (view["state"].as_str(), view["error"].is_null()),
                    (Some("READY"), is_accepted),
                    "{variant} {what}: {view}"
                );
                let token = if is_accepted { "next" } else { "first" };
                assert_eq!(world.credentials(id).await["access_token"], token, "{variant} {what}");
            }
            // Wait until the failed ones are not due in the next round.
            world.advance(3600);
        }
        for id in &ids {
            let uri = format!("/connections/{id}");
            world.send(Method::DELETE, &uri, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
        }
    }
    assert!(peaks.iter().all(|(.., peak)| *peak < LIMIT), "{peaks:?}");
}

/// An answer of nearly the maximum size with the maximum number of values.
fn many_strings() -> Bytes {
    let text = format!("\"{}\",", "a".repeat(LARGEST / 2_000 - 4));
    let body = format!(r#"{{"access_token":"next","expires_in":3600,"more":[{}0]}}"#, text.repeat(1_990));
    assert!(body.len() <= LARGEST && body.len() > LARGEST * 9 / 10, "{}", body.len());
    body.into()
}

async fn connect_through(world: &World, variant: &str, tenant: &str) {
    let payload =
        json!({"token": world.token(tenant).await, "integrationKey": "app", "authOptionKey": variant}).to_string();
    let mut browser = Browser::default();
    let page = browser.post(world, "/connect", &[("payload", &payload)]).await;
    if variant != "token" {
        page.expect(StatusCode::OK);
        return;
    }
    let authorize = url::Url::parse(&page.location()).expect("a URL");
    let state = authorize.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    let back = format!("{}/oauth-callback?code=c&state={state}", World::BASE_URI);
    browser.get(world, &back).await.expect(StatusCode::OK);
}
