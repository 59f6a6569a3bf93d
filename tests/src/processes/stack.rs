//! The template, deployed with `sam` to an emulator of AWS (ministack), which runs the functions' binaries and enforces the
//! roles' permissions.
//!
//! # Decisions
//!
//! The template is changed for the emulator in a few places, all in this file, each with its reason. The emulator does not
//! support encryption, TTL, point-in-time recovery, API destinations or alarms on metric math, and it checks schedules every
//! ten seconds. The template's test covers these instead.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use larder::aws::SecretsManager;
use larder::clock::SystemClock;
use larder::secret::Secret;
use larder::secret_store::Workspaces;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::port::free_port;
use super::visitor::http_client;
use crate::{Target, eventually, in_time, root};

/// A deployed stack. It stops when dropped.
#[derive(Debug)]
pub struct Stack {
    /// The base URI of the HTTP API.
    pub base_uri: String,
    /// The workspace's secret, which CloudFormation generated.
    pub secret: Secret,
    emulator: Emulator,
    /// The folder with the deployed template and the functions' `/opt`.
    folder: TempDir,
}

/// A running emulator.
#[derive(Debug)]
struct Emulator {
    port: u16,
    sdk: SdkConfig,
    process: Child,
}

/// A schedule that has not fired yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// A digest of the connection's key, and its version.
    pub name: String,
    /// `at(…)`, in UTC.
    pub expression: String,
    /// The event for the `refresh` function.
    pub event: Value,
}

impl Stack {
    /// The name of the stack.
    pub const NAME: &str = "larder";
    /// The key of the workspace.
    pub const WORKSPACE: &str = "main";
    const REGION: &str = "eu-west-1";
    const KEY: &str = "test";

    /// Starts an emulator and deploys the template to it.
    pub async fn deploy() -> Self {
        Self::deploy_with(&[]).await
    }

    /// Starts an emulator and deploys the template without the newest index. [`Self::update`] adds the index.
    pub async fn deploy_former() -> Self {
        Self::deploy_with(&[("StateIndex", "later")]).await
    }

    async fn deploy_with(parameters: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let emulator = Emulator::start(folder.path()).await;
        let template = for_emulator(&emulator, folder.path());
        fs::write(folder.path().join("template.yaml"), template).expect("is written");
        sam_deploy(&emulator, folder.path(), parameters).await;
        unpack_layer(&emulator, folder.path()).await;

        let api = emulator.output(folder.path(), "BaseUri").await;
        let secrets =
            SecretsManager::new(aws_sdk_secretsmanager::Client::new(&emulator.sdk), format!("{}/", Self::NAME), None);
        let secret = Workspaces::new(Arc::new(secrets), Arc::new(SystemClock)).secret(Self::WORKSPACE).await;
        let secret = secret.expect("a secret store").expect("the secret of the workspace").secret;
        Self { base_uri: api, secret, emulator, folder }
    }

    /// Deploys the present template with these parameters.
    pub async fn update(&self, parameters: &[(&str, &str)]) {
        let template = for_emulator(&self.emulator, self.folder.path());
        fs::write(self.folder.path().join("template.yaml"), template).expect("is written");
        sam_deploy(&self.emulator, self.folder.path(), parameters).await;
    }

    /// The stack as a target for suites.
    pub fn target(&self) -> Target {
        Target::new("the deployed stack", &self.base_uri, Self::WORKSPACE, self.secret.clone())
    }

    /// The names of the indexes of the table `connections`, sorted.
    pub async fn indexes(&self) -> Vec<String> {
        let client = aws_sdk_dynamodb::Client::new(&self.emulator.sdk);
        let described = client.describe_table().table_name(format!("{}-connections", Self::NAME)).send().await;
        let table = described.expect("an answer").table.expect("a table");
        let mut names: Vec<_> =
            table.global_secondary_indexes().iter().map(|it| it.index_name().expect("a name").to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// The schedules that have not fired yet.
    pub async fn schedules(&self) -> Vec<Schedule> {
        let client = aws_sdk_scheduler::Client::new(&self.emulator.sdk);
        let listed = client.list_schedules().group_name(Self::NAME).send().await.expect("schedules");
        let mut schedules = Vec::new();
        for name in listed.schedules().iter().filter_map(|it| it.name()) {
            let schedule = client.get_schedule().group_name(Self::NAME).name(name).send().await;
            // A schedule that has fired in the meantime is gone.
            let Ok(schedule) = schedule else { continue };
            let event = schedule.target().and_then(|it| it.input()).expect("an event");
            schedules.push(Schedule {
                name: name.to_owned(),
                expression: schedule.schedule_expression().expect("an expression").to_owned(),
                event: serde_json::from_str(event).expect("JSON"),
            });
        }
        schedules
    }

    /// Invokes a function without waiting for it, like a schedule.
    pub async fn invoke_async(&self, function: &str, event: &str) {
        let invoke = aws_sdk_lambda::Client::new(&self.emulator.sdk).invoke();
        let invoke = invoke.function_name(format!("{}-{function}", Self::NAME)).invocation_type(InvocationType::Event);
        invoke.payload(Blob::new(event)).send().await.expect("is accepted");
    }

    /// Waits for a message in a queue, and returns it.
    ///
    /// # Panics
    /// If no message arrives within half a minute.
    pub async fn receive(&self, queue: &str) -> Value {
        let client = aws_sdk_sqs::Client::new(&self.emulator.sdk);
        let name = format!("{}-{queue}", Self::NAME);
        let url = client.get_queue_url().queue_name(name).send().await.expect("a queue").queue_url.expect("a URL");
        for _ in 0..6 {
            let received =
                client.receive_message().queue_url(&url).wait_time_seconds(5).send().await.expect("an answer");
            if let Some(message) = received.messages().first() {
                return serde_json::from_str(message.body().expect("a body")).expect("JSON");
            }
        }
        panic!("no message arrived in {queue}");
    }

    /// Kills the emulator and the functions that it started.
    pub async fn stop(mut self) {
        self.emulator.process.kill().await.expect("it is killed");
    }
}

impl Emulator {
    async fn start(folder: &Path) -> Self {
        let port = free_port();
        let endpoint = format!("http://127.0.0.1:{port}");
        let log = fs::File::create(folder.join("emulator.log")).expect("a file");
        let process = Command::new("ministack")
            .envs(aws_environment(&endpoint, folder))
            // Enforce policies, and listen only on this local port.
            .envs([("AUTH", "true"), ("BIND_HOST", "127.0.0.1"), ("MINISTACK_HOST", "127.0.0.1")])
            .envs([("IOT_MTLS_ENABLED", "0"), ("SFTP_ENABLED", "0"), ("MINISTACK_REGION", Stack::REGION)])
            .env("GATEWAY_PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("ministack starts; run tests/run");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(Stack::REGION))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys(Stack::KEY, Stack::KEY, None)))
            .endpoint_url(&endpoint)
            .build();
        let client = http_client();
        let health = format!("{endpoint}/_ministack/health");
        let is_up =
            eventually(async || client.get(&health).send().await.is_ok_and(|it| it.status().is_success())).await;
        let log = || fs::read_to_string(folder.join("emulator.log")).unwrap_or_default();
        assert!(is_up, "ministack does not answer: {}", log());
        Self { port, sdk, process }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns an output of the stack.
    async fn output(&self, folder: &Path, name: &str) -> String {
        let listed =
            sam(self, folder, &["list", "stack-outputs", "--stack-name", Stack::NAME, "--output", "json"]).await;
        let outputs: Vec<Value> = serde_json::from_str(&listed).unwrap_or_else(|error| panic!("{error}: {listed}"));
        let output = outputs.iter().find(|output| output["OutputKey"] == name);
        output.and_then(|it| it["OutputValue"].as_str()).unwrap_or_else(|| panic!("no {name}: {listed}")).to_owned()
    }
}

/// The environment of the emulator and `sam`. They leave no files outside the folder.
fn aws_environment(endpoint: &str, folder: &Path) -> Vec<(&'static str, String)> {
    let folder = folder.to_str().expect("UTF-8");
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_DEFAULT_REGION", Stack::REGION),
        ("AWS_ACCESS_KEY_ID", Stack::KEY),
        ("AWS_SECRET_ACCESS_KEY", Stack::KEY),
        ("SAM_CLI_TELEMETRY", "0"),
        ("HOME", folder),
        ("TMPDIR", folder),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

/// Returns the template with the changes that the emulator needs, and no others.
fn for_emulator(emulator: &Emulator, folder: &Path) -> String {
    let mut template = fs::read_to_string(root().join("infra/template.yaml")).expect("the template");
    let mut replace = |from: &str, to: &str| {
        assert!(template.contains(from), "the template has no {from:?}");
        template = template.replace(from, to);
    };
    // The emulator serves APIs behind a path.
    let api = format!("{}/_aws/execute-api/${{Api}}/$default", emulator.endpoint());
    replace("https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}", &api);
    // The providers are on this machine. This is not a parameter, since it would let a deployed Larder reach its own network.
    replace("        RUST_LOG: !Ref LogLevel\n", "        RUST_LOG: !Ref LogLevel\n        LARDER_LOCAL: \"1\"\n");
    // The emulator runs functions without a container, so /opt does not exist.
    replace("/opt/connectors", folder.join("opt/connectors").to_str().expect("UTF-8"));
    // When it checks policies, the emulator assumes that every schedule is in the group `default`.
    replace(":schedule/${AWS::StackName}/*", ":schedule/default/*");
    // The emulator treats SendMessageBatch as a separate action; in AWS, SendMessage covers it.
    replace("[sqs:SendMessage, sqs:ReceiveMessage,", "[sqs:SendMessage, sqs:SendMessageBatch, sqs:ReceiveMessage,");
    // The work of `sam build`.
    replace("    CodeUri: ..\n", "");
    replace("ContentUri: layer\n", &format!("ContentUri: {}\n", root().join("infra/layer").display()));
    for function in
        ["connect", "oauth-callback", "get-credentials", "put-credentials", "connections", "pages", "refresh"]
    {
        let build = format!(
            "    Metadata:\n      BuildMethod: rust-cargolambda\n      BuildProperties: {{ Binary: {function} }}\n    Properties:\n"
        );
        let built = functions().join(function).join("bootstrap.zip");
        replace(&build, &format!("    Properties:\n      CodeUri: {}\n", built.display()));
    }
    // The emulator does not support alarms on metric math.
    without(&without(&template, "FunctionErrorsAlarm"), "FunctionThrottlesAlarm")
}

/// Removes a resource from a template.
fn without(template: &str, resource: &str) -> String {
    let (before, rest) = template.split_once(&format!("  {resource}:\n")).unwrap_or_else(|| panic!("no {resource}"));
    let is_next = |line: &str| line.starts_with("  ") && !line.starts_with("   ");
    let after = rest.split_inclusive('\n').skip_while(|line| !is_next(line));
    before.to_owned() + &after.collect::<String>()
}

/// The folder with a `bootstrap.zip` for each function, as created by `cargo lambda build --output-format zip`.
fn functions() -> PathBuf {
    env::var_os("LARDER_TEST_FUNCTIONS").expect("LARDER_TEST_FUNCTIONS is not set; run tests/run").into()
}

async fn sam_deploy(emulator: &Emulator, folder: &Path, parameters: &[(&str, &str)]) {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let mut overrides = vec![format!("Architecture={architecture}")];
    overrides.extend(parameters.iter().map(|(name, value)| format!("{name}={value}")));
    let config = root().join("infra/samconfig.toml");
    let mut arguments =
        vec!["deploy", "--template-file", "template.yaml", "--config-file", config.to_str().expect("UTF-8")];
    arguments.push("--parameter-overrides");
    arguments.extend(overrides.iter().map(String::as_str));
    sam(emulator, folder, &arguments).await;
}

/// Runs `sam` until it exits. Returns its output.
async fn sam(emulator: &Emulator, folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("sam");
    command
        .args(arguments)
        .current_dir(folder)
        .envs(aws_environment(&emulator.endpoint(), folder))
        .stdin(Stdio::null());
    let output = command.kill_on_drop(true).output();
    let output = in_time(output).await;
    let output =
        output.unwrap_or_else(|_| panic!("sam {arguments:?} does not end")).expect("sam starts; run tests/run");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = fs::read_to_string(folder.join("emulator.log")).unwrap_or_default();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(
        output.status.success(),
        "sam {arguments:?}: {printed} {} {errors:#?}",
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

/// Unpacks the layer into the folder where the functions look for it.
async fn unpack_layer(emulator: &Emulator, folder: &Path) {
    let client = aws_sdk_lambda::Client::new(&emulator.sdk);
    let layer = client.get_layer_version().layer_name(format!("{}-connectors", Stack::NAME)).version_number(1);
    let layer = layer.send().await.expect("a layer").content.and_then(|it| it.location).expect("a location");
    let zip = http_client().get(layer).send().await.expect("a response").bytes().await.expect("a file");
    fs::write(folder.join("layer.zip"), zip).expect("is written");
    let unzip = Command::new("python3").args(["-m", "zipfile", "-e", "layer.zip", "opt"]).current_dir(folder).status();
    assert!(unzip.await.expect("python3 starts").success(), "the layer is not a zip");
}
