//! A fake of AWS: it forwards DynamoDB requests to the embedded database or fails them on demand, and records the requests
//! to other services.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aws_config::SdkConfig;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use larder::aws_http;
use larder::trust::Trust;
use larder_local::embedded_dynamodb::EmbeddedDynamoDb;
use serde_json::{Value, json};

use super::loopback::{listen, serve};
use crate::is_save;

/// AWS services on a loopback port. They stop with the test.
#[derive(Clone)]
pub struct Aws {
    database: EmbeddedDynamoDb,
    endpoint: String,
    state: Arc<Mutex<AwsState>>,
}

#[derive(Default)]
struct AwsState {
    failing: HashSet<String>,
    messages: Vec<String>,
    batches: usize,
    retried: usize,
    events: Vec<(String, Value)>,
    schedules: BTreeMap<String, Value>,
}

impl Aws {
    /// Starts services in front of a database.
    pub async fn start(database: EmbeddedDynamoDb) -> Self {
        let (listener, address) = listen().await;
        let endpoint = format!("http://{address}");
        let aws = Self { database, endpoint, state: Arc::default() };
        let serving = aws.clone();
        serve(listener, move |request| {
            let aws = serving.clone();
            async move { Ok::<_, Infallible>(aws.answer(request).await) }
        });
        aws
    }

    /// An SDK configuration with this fake as its endpoint.
    pub fn sdk_config(&self) -> SdkConfig {
        self.database
            .sdk_config()
            .into_builder()
            .endpoint_url(&self.endpoint)
            .http_client(aws_http::client(Trust::Machine))
            .build()
    }

    /// Makes an operation fail until [`Self::restore`] is called. `Save` means all writes of a connection's sealed contents.
    pub fn fail(&self, operation: &str) {
        self.state().failing.insert(operation.to_owned());
    }

    /// Makes an operation work again.
    pub fn restore(&self, operation: &str) {
        self.state().failing.remove(operation);
    }

    /// Takes the bodies of the messages sent to queues, oldest first.
    pub fn take_messages(&self) -> Vec<String> {
        std::mem::take(&mut self.state().messages)
    }

    /// The number of message batches sent.
    pub fn batches(&self) -> usize {
        self.state().batches
    }

    /// The number of messages whose visibility was changed for redelivery.
    pub fn retried(&self) -> usize {
        self.state().retried
    }

    /// Takes the published events: `detail-type` and `detail`.
    pub fn take_events(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.state().events)
    }

    /// The existing schedules, by name.
    pub fn schedules(&self) -> BTreeMap<String, Value> {
        self.state().schedules.clone()
    }

    /// Fires a schedule, which deletes it.
    pub fn fire(&self, name: &str) {
        assert!(self.state().schedules.remove(name).is_some(), "there is no schedule {name}");
    }

    fn state(&self) -> std::sync::MutexGuard<'_, AwsState> {
        self.state.lock().expect("the lock is not poisoned")
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let (service, operation) = target.rsplit_once('.').unwrap_or_default();
        let schedule = parts.uri.path().strip_prefix("/schedules/");
        let operation = match (schedule, parts.method.as_str()) {
            (Some(_), "POST") => "CreateSchedule",
            (Some(_), "DELETE") => "DeleteSchedule",
            _ => operation,
        };
        let is_save = || is_save(operation, &String::from_utf8_lossy(&body));
        if self.state().failing.contains(operation) || (self.state().failing.contains("Save") && is_save()) {
            return reply(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "__type": "InternalServerError" }));
        }
        if service.starts_with("DynamoDB") {
            return self.forward(target, &body);
        }
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut state = self.state();
        let answer = match (operation, schedule) {
            ("CreateSchedule", Some(name)) => {
                if state.schedules.contains_key(name) {
                    return exception(StatusCode::CONFLICT, "ConflictException");
                }
                state.schedules.insert(name.to_owned(), body);
                json!({ "ScheduleArn": format!("arn:aws:scheduler:local:0:schedule/{name}") })
            }
            ("DeleteSchedule", Some(name)) => {
                if state.schedules.remove(name).is_none() {
                    return exception(StatusCode::NOT_FOUND, "ResourceNotFoundException");
                }
                json!({})
            }
            ("SendMessage", _) => {
                state.messages.push(text(&body["MessageBody"]));
                json!({ "MessageId": "m", "MD5OfMessageBody": "" })
            }
            ("SendMessageBatch", _) => {
                let entries = body["Entries"].as_array().cloned().unwrap_or_default();
                state.messages.extend(entries.iter().map(|entry| text(&entry["MessageBody"])));
                state.batches += 1;
                let sent = |entry: &Value| json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "" });
                json!({ "Successful": entries.iter().map(sent).collect::<Vec<_>>(), "Failed": [] })
            }
            ("ChangeMessageVisibility", _) => {
                state.retried += 1;
                json!({})
            }
            ("PutEvents", _) => {
                for entry in body["Entries"].as_array().into_iter().flatten() {
                    let detail = serde_json::from_str(&text(&entry["Detail"])).expect("the detail is JSON");
                    state.events.push((text(&entry["DetailType"]), detail));
                }
                json!({ "FailedEntryCount": 0, "Entries": [{ "EventId": "e" }] })
            }
            _ => panic!("unexpected call: {service} {operation} {}", parts.uri),
        };
        reply(StatusCode::OK, &answer)
    }

    fn forward(&self, target: &str, body: &[u8]) -> Response<Full<Bytes>> {
        let (status, body) = self.database.answer(target, body);
        let mut answer = Response::new(Full::from(body));
        *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
        answer
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/x-amz-json-1.0"));
    response
}

fn exception(status: StatusCode, name: &'static str) -> Response<Full<Bytes>> {
    let mut response = reply(status, &json!({ "Message": name }));
    response.headers_mut().insert("x-amzn-errortype", http::HeaderValue::from_static(name));
    response
}
