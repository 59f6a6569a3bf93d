//! The first minute in Chromium: from the link that the program prints to a token that has renewed itself.

use std::time::{Duration, Instant};

use larder_tests::{Chromium, PATIENCE, Target, in_time, say};
use serde_json::json;

use crate::chromium::{assert_no_violation, start};
use crate::form::screenshots;

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_first_minute_ends_with_a_token_that_renewed_itself() {
    let data = tempfile::tempdir().expect("a folder");
    let begin = Instant::now();
    let larder = start(data.path()).await;
    let (mut chromium, folder) = (Chromium::start().await, screenshots());
    chromium.goto(&larder.page_link).await;
    assert_eq!(chromium.url().await, larder.uri("/welcome"));
    chromium.screenshots(&folder, "welcome").await;
    chromium.click("form button").await;
    chromium.click("button[value=approve]").await;
    chromium.arrives(&larder.uri("/welcome?connectionId=")).await;
    chromium.shows("Connected as Demo user").await;
    let connected = begin.elapsed();
    chromium.screenshots(&folder, "welcome-connected").await;

    // The line as a person copies it, and as a terminal sends it.
    let select = "getSelection().selectAllChildren(document.getElementById('line')); `${getSelection()}`";
    let line = chromium.evaluate(select).await.as_str().expect("a string").to_owned();
    chromium.evaluate("getSelection().removeAllRanges()").await;
    assert_eq!(line, chromium.evaluate("document.getElementById('line').textContent").await);
    let token =
        line.strip_prefix("curl -H \"Authorization: Bearer ").and_then(|it| it.split_once('"')).expect("a token").0;
    assert_eq!(line.lines().last(), Some(&*format!("  \"{}\"", larder.uri("/credentials?integrationKey=demo"))));
    let read = async || {
        let credentials = larder.get("/credentials?integrationKey=demo", token).await.json()["credentials"].clone();
        assert_eq!(credentials["refresh_token"], json!(null));
        credentials["access_token"].as_str().expect("a token").to_owned()
    };
    let first = read().await;
    chromium.shows("The credentials have been read.").await;

    let copied = "navigator.clipboard.writeText = async (text) => { window.copied = text; }";
    chromium.evaluate(copied).await;
    chromium.click("#actions button").await;
    chromium.shows("Copied").await;
    assert_eq!(chromium.evaluate("window.copied").await, json!(line));

    let mut countdowns = Vec::new();
    while !chromium.evaluate("document.body.innerText").await.as_str().is_some_and(|it| it.contains("Token 2 of")) {
        assert!(begin.elapsed() < PATIENCE, "{countdowns:?}");
        countdowns.push(chromium.evaluate("document.querySelector('[data-until]').textContent").await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let renewed = begin.elapsed();
    countdowns.dedup();
    assert!(countdowns.len() > 20, "{countdowns:?}");
    assert_ne!(read().await, first);
    chromium.screenshots(&folder, "welcome-renewed").await;
    assert_eq!(chromium.evaluate("document.querySelectorAll('.steps > .done').length").await, 3);
    assert_no_violation(&mut chromium).await;
    say(&format!("the first minute: connected after {connected:.1?}, renewed after {renewed:.1?}"));
    larder.kill().await;
    chromium.shows("Larder does not answer.").await;
    chromium.screenshots(&folder, "welcome-stopped").await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_first_minute_needs_neither_javascript_nor_a_mouse() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path()).await;
    let (mut chromium, folder) = (Chromium::start().await, screenshots());
    chromium.javascript(false).await;
    chromium.goto(&larder.page_link).await;
    for (button, press) in [("Connect", 1), ("Deny", 2)] {
        for _ in 0..press {
            chromium.press("Tab").await;
        }
        assert_eq!(chromium.evaluate("document.activeElement.innerText").await, button);
        chromium.press("Enter").await;
        chromium.shows(if button == "Connect" { "Demo provider" } else { "Not connected" }).await;
    }
    assert!(chromium.shows("access_denied").await.contains("Connect the demo account"));
    chromium.screenshots(&folder, "welcome-denied").await;

    chromium.press("Tab").await;
    chromium.press("Enter").await;
    chromium.shows("Demo provider").await;
    chromium.press("Tab").await;
    chromium.press("Enter").await;
    let shown = chromium.shows("Connected as Demo user").await;
    assert!(shown.contains("Token 1 of this connection · refreshes in 0:") && shown.contains("curl -H"), "{shown}");
    assert!(!shown.contains("Copy the line"), "{shown}");
    chromium.screenshots(&folder, "welcome-without-javascript").await;
    chromium.press("Tab").await;
    assert_eq!(chromium.evaluate("document.activeElement.innerText").await, "Load this page again");
    chromium.press("Enter").await;
    let reloaded = async {
        while chromium.url().await != larder.uri("/welcome") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    in_time(reloaded).await.expect("the page is loaded again");
    chromium.shows("Connected as Demo user").await;
    chromium.press("Tab").await;
    chromium.press("Tab").await;
    assert_eq!(chromium.evaluate("document.activeElement.innerText").await, "Connect your own application");
    assert_eq!(chromium.evaluate("document.activeElement.href").await, larder.uri("/new"));
    assert_no_violation(&mut chromium).await;
    larder.kill().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_example_application_connects_with_a_few_lines() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path()).await;
    let target = Target::local(&larder, data.path()).await;
    let (mut chromium, folder) = (Chromium::start().await, screenshots());
    chromium.goto(&larder.uri("/demo/app")).await;
    chromium.screenshots(&folder, "app").await;
    chromium.click("#connect").await;
    chromium.page(1).await;
    chromium.shows("Approve").await;
    chromium.screenshots(&folder, "approve").await;
    chromium.click("button[value=approve]").await;
    chromium.page(0).await;
    let id = connect::own_connection_id("local", "demo", Some("demo"));
    chromium.shows(&id).await;
    chromium.screenshots(&folder, "app-connected").await;
    let connection = target.get(&format!("/connections/{id}"), &target.admin()).await.json();
    assert_eq!(connection["state"], "READY");

    // Without a popup, and without approval.
    chromium.evaluate("window.open = () => null").await;
    chromium.click("#connect").await;
    chromium.click("button[value=deny]").await;
    chromium.arrives(&larder.uri("/demo/app?error=")).await;
    chromium.shows("Not connected").await;
    chromium.screenshots(&folder, "app-denied").await;

    // The token in the page connects, and nothing else.
    let token = chromium.evaluate("JSON.parse(document.getElementById('session').textContent).token").await;
    let token = token.as_str().expect("a token");
    for path in ["/connections", "/credentials?integrationKey=demo", "/integrations"] {
        target.get(path, token).await.expect(http::StatusCode::FORBIDDEN);
    }
    assert_no_violation(&mut chromium).await;
    larder.kill().await;
}
