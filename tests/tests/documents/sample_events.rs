//! There is one sample event for each route and each refresh event, and each is accepted.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use lambda_http::Body;
use larder_engine::refresh::Message;
use larder_tests::document::routes;
use larder_tests::{World, root};
use refresh::Event;
use serde_json::Value;

struct Sample {
    /// The function, which is the first part of the file's name.
    function: String,
    file: PathBuf,
    text: String,
}

fn samples() -> Vec<Sample> {
    let files = fs::read_dir(root().join("events")).unwrap().map(|entry| entry.unwrap().path());
    let sample = |file: PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        Sample { function: name.split('.').next().unwrap().to_owned(), text: fs::read_to_string(&file).unwrap(), file }
    };
    files.map(sample).collect()
}

#[test]
fn sample_events_and_routes_match_one_to_one() {
    let mut sampled: Vec<_> = samples()
        .into_iter()
        .filter(|sample| sample.function != "refresh")
        .map(|sample| {
            let event: Value = serde_json::from_str(&sample.text).unwrap();
            let (method, path) = event["routeKey"].as_str().unwrap().split_once(' ').unwrap();
            (method.to_owned(), path.to_owned(), sample.function)
        })
        .collect();
    let mut routes = routes();
    sampled.sort();
    routes.sort();
    assert_eq!(sampled, routes);
}

#[tokio::test]
async fn every_http_sample_is_accepted_by_its_function() {
    let world = World::new().await;
    for sample in samples().into_iter().filter(|sample| sample.function != "refresh") {
        let request = lambda_http::request::from_str(&sample.text.replace("TOKEN", &world.admin)).unwrap();
        let request = request.map(|body| match body {
            Body::Text(text) => Bytes::from(text),
            _ => Bytes::new(),
        });
        let response = world.bundle.handle(request).await;
        let status = response.status();
        // The pages take no token, and the sample of a cookie is nobody's session.
        let is_known = status != 401 || sample.function == "pages";
        assert!(!status.is_server_error() && status != 405 && is_known, "{}: {status}", sample.file.display());
        assert!(!response.body().contains("there is no route"), "{}", sample.file.display());
    }
}

#[test]
fn every_refresh_event_and_queue_message_has_a_sample() {
    let events: Vec<_> = samples().into_iter().filter(|sample| sample.function == "refresh").collect();
    let parsed: Vec<Event> = events.iter().map(|sample| serde_json::from_str(&sample.text).unwrap()).collect();
    assert!(parsed.iter().any(|event| matches!(event, Event::Refresh(event) if event.version == Some(1))));
    assert!(parsed.iter().any(|event| matches!(event, Event::Replace(event) if event.version == 1)));
    assert!(parsed.iter().any(|event| matches!(event, Event::Sweep { .. })));
    assert_eq!(parsed.iter().filter(|event| matches!(event, Event::Queue { .. })).count(), 2);

    let records = events.iter().filter_map(|sample| {
        let event: Value = serde_json::from_str(&sample.text).unwrap();
        event["Records"][0]["body"].as_str().map(|body| serde_json::from_str(body).unwrap())
    });
    let messages: Vec<Message> = records.collect();
    assert!(messages.iter().any(|message| matches!(message, Message::Refresh(_))));
    assert!(messages.iter().any(|message| matches!(message, Message::Recover(_))));
}
