//! AWS: the embedded DynamoDB in memory, and the parts of the other services that Larder uses.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larder::aws_http;
use larder::random::Rng as _;
use larder_local::embedded_dynamodb::{EmbeddedDynamoDb, response};
use larder_tests::{is_save, is_unconditional};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::network::{Fault, Service};
use super::provider::SimulatedProviders;
use super::sandbox::Sandbox;

/// The connections table.
pub(super) const CONNECTIONS: &str = "larder-connections";
/// The URL of the recovery queue.
pub(super) const RECOVERY_QUEUE: &str = "https://sqs.example/recovery";
/// The URL of the refresh queue.
pub(super) const REFRESH_QUEUE: &str = "https://sqs.example/refresh.fifo";
/// The prefix of secret names.
pub(super) const SECRETS: &str = "larder/";

/// The services of one run.
pub(super) struct Cloud {
    /// A region that no other run uses. The SDK keeps a static retry budget per region, which runs must not share.
    region: Region,
    database: EmbeddedDynamoDb,
    providers: Arc<SimulatedProviders>,
    secrets: Mutex<BTreeMap<String, String>>,
    schedules: Mutex<BTreeMap<String, Value>>,
    /// The last answers of the `by_due` index, by shard: a stale index repeats them.
    index: Mutex<HashMap<String, String>>,
    sent: UnboundedSender<Sent>,
    /// The rows of the connections table and the items with unconfirmed credentials, cached until the next write.
    items: Mutex<Option<Items>>,
    /// How long received messages stay hidden, if that was changed.
    visible_after: Mutex<HashMap<String, Duration>>,
}

/// A delivery to come.
pub(super) enum Sent {
    /// The schedule of this name.
    Schedule(String),
    /// A message on the recovery queue.
    Recovery(String),
    /// A message on the refresh queue, with its deduplication ID.
    Refresh(String, String),
}

/// The items of the connections table.
#[derive(Clone)]
struct Items {
    rows: Arc<Vec<Value>>,
    unconfirmed: Arc<Vec<Value>>,
}

/// The body of a response, or the status and body of an error.
type AwsResponse = Result<String, (u16, String)>;

impl Cloud {
    pub(super) fn new(providers: Arc<SimulatedProviders>, sent: UnboundedSender<Sent>) -> Self {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        Self {
            region: Region::new(format!("region-{}", RUNS.fetch_add(1, Ordering::Relaxed))),
            database: EmbeddedDynamoDb::in_memory().expect("a database"),
            providers,
            secrets: Mutex::default(),
            schedules: Mutex::default(),
            index: Mutex::default(),
            sent,
            items: Mutex::default(),
            visible_after: Mutex::default(),
        }
    }

    /// An SDK configuration for one process, with the production timeouts.
    pub(super) fn sdk_config(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> SdkConfig {
        let connector =
            SharedHttpConnector::new(AwsConnector { sandbox: Arc::clone(sandbox), cloud: Arc::clone(self) });
        let timeouts: TimeoutConfig = aws_http::timeouts();
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .endpoint_url("https://aws.example")
            .timeout_config(timeouts)
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build()
    }

    /// Removes a schedule as it fires. Returns its input.
    pub(super) fn fire(&self, name: &str) -> Option<String> {
        let schedule = self.schedules.lock().expect("the lock is not poisoned").remove(name)?;
        Some(schedule["Target"]["Input"].as_str().expect("an input").to_owned())
    }

    /// The expression that says when a schedule fires.
    pub(super) fn schedule_expression(&self, name: &str) -> Option<String> {
        let schedules = self.schedules.lock().expect("the lock is not poisoned");
        Some(schedules.get(name)?["ScheduleExpression"].as_str().expect("an expression").to_owned())
    }

    /// Takes the visibility timeout of a message, if it was changed.
    pub(super) fn take_visibility(&self, message: &str) -> Option<Duration> {
        self.visible_after.lock().expect("the lock is not poisoned").remove(message)
    }

    /// All rows of the connections table, with DynamoDB's type tags removed.
    pub(super) fn rows(&self) -> Arc<Vec<Value>> {
        self.items().rows
    }

    /// The items of the connections table that hold unconfirmed credentials.
    pub(super) fn unconfirmed(&self) -> Arc<Vec<Value>> {
        self.items().unconfirmed
    }

    fn items(&self) -> Items {
        let is_row = |item: &Value| !is_unconfirmed(item["id"].as_str().expect("an id"));
        let mut items = self.items.lock().expect("the lock is not poisoned");
        let items = items.get_or_insert_with(|| {
            let (rows, mut unconfirmed): (Vec<_>, Vec<_>) = self.scan().into_iter().partition(is_row);
            unconfirmed.retain(|item| item["sealed"].is_string());
            Items { rows: Arc::new(rows), unconfirmed: Arc::new(unconfirmed) }
        });
        items.clone()
    }

    fn scan(&self) -> Vec<Value> {
        let answer = self.dynamodb("Scan", &json!({ "TableName": CONNECTIONS }).to_string()).expect("a scan");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        let plain = |mut item: Value| {
            for (_, value) in item.as_object_mut().expect("an item") {
                *value = value.as_object().and_then(|it| it.values().next()).cloned().unwrap_or_default();
            }
            item
        };
        answer["Items"].take().as_array_mut().expect("items").drain(..).map(plain).collect()
    }

    fn answer(&self, sandbox: &Sandbox, operation: &str, path: &str, body: &str) -> AwsResponse {
        let body_value = || serde_json::from_str::<Value>(body).expect("JSON");
        let (service, operation) = operation.rsplit_once('.').unwrap_or_default();
        match (service, operation) {
            ("DynamoDB_20120810", "Query") => self.query(sandbox, body),
            ("DynamoDB_20120810", operation) => {
                let network = &sandbox.network;
                let is_conditional = !is_unconditional(operation, &body_value());
                network.check("no connection is changed unconditionally", is_conditional, || body.to_owned());
                let answer = self.dynamodb(operation, body)?;
                if operation != "GetItem" {
                    self.items.lock().expect("the lock is not poisoned").take();
                }
                if is_save(operation, body) {
                    self.written(sandbox, &body_value());
                }
                Ok(answer)
            }
            ("TrentService", operation) => Ok(kms(sandbox, operation, &body_value())),
            ("secretsmanager", operation) => self.secrets_manager(sandbox, operation, &body_value()),
            ("AmazonSQS", operation) => Ok(self.sqs(sandbox, operation, &body_value())),
            _ => self.scheduler(path, body),
        }
    }

    fn dynamodb(&self, operation: &str, body: &str) -> AwsResponse {
        self.database.execute(operation, body)
    }

    /// Queries a table or index. Now and then the index is stale and repeats its previous answer.
    fn query(&self, sandbox: &Sandbox, body: &str) -> AwsResponse {
        const STALE: u64 = 50;
        let request: Value = serde_json::from_str(body).expect("JSON");
        let answer = self.dynamodb("Query", body)?;
        if request["IndexName"] != "by_due" || sandbox.network.is_quiet() {
            return Ok(answer);
        }
        let shard = request["ExpressionAttributeValues"][":shard"].to_string();
        let before = self.index.lock().expect("the lock is not poisoned").insert(shard, answer.clone());
        match before {
            Some(before) if sandbox.network.chance.per_mille(STALE) => {
                sandbox.network.count("stale index");
                Ok(before)
            }
            _ => Ok(answer),
        }
    }

    fn written(&self, sandbox: &Sandbox, request: &Value) {
        if request["TableName"] == CONNECTIONS {
            let id = request["Item"]["id"]["S"].as_str().or(request["Key"]["id"]["S"].as_str()).expect("an id");
            if !is_unconfirmed(id) {
                self.providers.saved(sandbox.id, provider_of(id));
            }
        }
    }

    fn secrets_manager(&self, sandbox: &Sandbox, operation: &str, body: &Value) -> AwsResponse {
        let name = body["SecretId"].as_str().or(body["Name"].as_str()).expect("a name").to_owned();
        let mut secrets = self.secrets.lock().expect("the lock is not poisoned");
        let not_found = || Err((400, json!({ "__type": "ResourceNotFoundException" }).to_string()));
        let arn = format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}");
        let mut answer = json!({ "ARN": arn, "Name": name });
        match operation {
            "GetSecretValue" => {
                let Some(value) = secrets.get(&name) else { return not_found() };
                answer["SecretString"] = json!(value);
            }
            "PutSecretValue" if !secrets.contains_key(&name) => return not_found(),
            "PutSecretValue" | "CreateSecret" => {
                secrets.insert(name.clone(), body["SecretString"].as_str().expect("a string").to_owned());
                if name.starts_with(&format!("{SECRETS}credentials/")) {
                    self.providers.saved(sandbox.id, provider_of(&name));
                }
            }
            "DeleteSecret" if secrets.remove(&name).is_none() => return not_found(),
            "DeleteSecret" => {}
            _ => panic!("unexpected operation {operation}"),
        }
        Ok(answer.to_string())
    }

    fn sqs(&self, sandbox: &Sandbox, operation: &str, body: &Value) -> String {
        let string = |value: &Value| value.as_str().expect("a string").to_owned();
        let send = |sent| drop(self.sent.send(sent));
        match operation {
            "SendMessage" => {
                let message = string(&body["MessageBody"]);
                let id = serde_json::from_str::<Value>(&message).expect("JSON")["connectionId"].take();
                self.providers.queued(sandbox.id, provider_of(&string(&id)));
                sandbox.network.log(|| format!("process {} queues a result for {id}", sandbox.id));
                sandbox.network.count("results queued");
                send(Sent::Recovery(message));
                json!({ "MessageId": "m", "MD5OfMessageBody": "" }).to_string()
            }
            "SendMessageBatch" => {
                let entries = body["Entries"].as_array().expect("entries");
                for entry in entries {
                    send(Sent::Refresh(string(&entry["MessageBody"]), string(&entry["MessageDeduplicationId"])));
                }
                let sent = |entry: &Value| json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "" });
                json!({ "Successful": entries.iter().map(sent).collect::<Vec<_>>(), "Failed": [] }).to_string()
            }
            "ChangeMessageVisibility" => {
                let seconds = body["VisibilityTimeout"].as_u64().expect("seconds");
                let mut visible_after = self.visible_after.lock().expect("the lock is not poisoned");
                visible_after.insert(string(&body["ReceiptHandle"]), Duration::from_secs(seconds));
                "{}".to_owned()
            }
            _ => panic!("unexpected operation {operation}"),
        }
    }

    fn scheduler(&self, path: &str, body: &str) -> AwsResponse {
        let name = path.strip_prefix("/schedules/").expect("a schedule");
        if body.is_empty() {
            let name = name.split('?').next().unwrap_or_default();
            let removed = self.schedules.lock().expect("the lock is not poisoned").remove(name);
            return removed.map(|_| "{}".to_owned()).ok_or((404, "{}".to_owned()));
        }
        let mut schedules = self.schedules.lock().expect("the lock is not poisoned");
        if schedules.contains_key(name) {
            return Err((409, json!({ "__type": "ConflictException", "Message": "exists" }).to_string()));
        }
        schedules.insert(name.to_owned(), serde_json::from_str(body).expect("JSON"));
        drop(self.sent.send(Sent::Schedule(name.to_owned())));
        Ok(json!({ "ScheduleArn": "arn" }).to_string())
    }
}

/// Whether an id is that of an item with unconfirmed credentials.
pub(super) fn is_unconfirmed(id: &str) -> bool {
    id.contains("unconfirmed#")
}

/// The number of a connection's provider, which its ID ends with.
pub(super) fn provider_of(id: &str) -> usize {
    id.rsplit('_').next().and_then(|number| number.parse().ok()).expect("an id that ends with a number")
}

/// A KMS stub that wraps keys without encrypting them: a simulation has no real secrets.
fn kms(sandbox: &Sandbox, operation: &str, body: &Value) -> String {
    let context = body["EncryptionContext"].to_string();
    let plaintext = match operation {
        "GenerateDataKey" => {
            let mut key = [0; 32];
            sandbox.network.chance.fill(&mut key);
            key.to_vec()
        }
        _ => {
            let wrapped = STANDARD.decode(body["CiphertextBlob"].as_str().expect("a string")).expect("base64");
            wrapped.strip_suffix(context.as_bytes()).expect("the same encryption context").to_vec()
        }
    };
    let wrapped = STANDARD.encode([plaintext.as_slice(), context.as_bytes()].concat());
    json!({ "KeyId": "key", "Plaintext": STANDARD.encode(plaintext), "CiphertextBlob": wrapped }).to_string()
}

/// One process's connection to AWS.
#[derive(Clone)]
struct AwsConnector {
    sandbox: Arc<Sandbox>,
    cloud: Arc<Cloud>,
}

impl std::fmt::Debug for AwsConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AwsConnector({})", self.sandbox.id)
    }
}

impl HttpConnector for AwsConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { sandbox, cloud } = self.clone();
        HttpConnectorFuture::new(async move {
            let operation = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
            let path = request.uri().strip_prefix("https://aws.example").unwrap_or_default().to_owned();
            let body = request.body().bytes().and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
            let service = service_of(&operation);
            let answering = sandbox.call(service, || cloud.answer(&sandbox, &operation, &path, body));
            let (status, body) = match answering.await {
                Ok(Ok(body)) => (200, body),
                Ok(Err(failure)) => failure,
                Err(Fault::Refused) => (400, json!({ "__type": "ThrottlingException" }).to_string()),
                Err(_) => return Err(ConnectorError::io("the connection was reset".into())),
            };
            Ok(response(status, body))
        })
    }
}

fn service_of(operation: &str) -> Service {
    match operation.split('.').next().unwrap_or_default() {
        "DynamoDB_20120810" => Service::DynamoDb,
        "TrentService" => Service::Kms,
        "secretsmanager" => Service::SecretsManager,
        "AmazonSQS" => Service::Sqs,
        _ => Service::Scheduler,
    }
}
