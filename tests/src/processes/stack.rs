//! The template, deployed by `sam` to an emulator of AWS (ministack) that runs the release binaries and enforces what the
//! roles allow.
//!
//! # Decisions
//!
//! The template's text is changed for the emulator in a few places, all in this file, each with its reason. The
//! emulator leaves out encryption, TTL, point-in-time recovery, API destinations and alarms on sums, and checks
//! schedules every ten seconds; the template's test reads these instead.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

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
use crate::{Target, root};

/// A deployed stack. It ends with this value.
#[derive(Debug)]
pub struct Stack {
    /// Where the HTTP API answers.
    pub base_uri: String,
    /// The secret that CloudFormation made for the workspace.
    pub secret: Secret,
    emulator: Emulator,
    /// The template as it is deployed, and what the functions see as `/opt`.
    folder: TempDir,
}

/// A running emulator.
#[derive(Debug)]
struct Emulator {
    port: u16,
    sdk: SdkConfig,
    process: Child,
}

/// A schedule that is armed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// A digest of the connection, and its version.
    pub name: String,
    /// `at(…)`, in UTC.
    pub expression: String,
    /// The event for `refresh`.
    pub event: Value,
}

impl Stack {
    /// The name of the stack.
    pub const NAME: &str = "larder";
    /// The key of its workspace.
    pub const WORKSPACE: &str = "main";
    const REGION: &str = "eu-west-1";
    const KEY: &str = "test";

    /// Starts an emulator and deploys the template there.
    pub async fn deploy() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let emulator = Emulator::start(folder.path()).await;
        let template = for_emulator(&emulator, folder.path());
        fs::write(folder.path().join("template.yaml"), template).expect("is written");
        sam_deploy(&emulator, folder.path(), &[]).await;
        unpack_layer(&emulator, folder.path()).await;

        let api = emulator.output(folder.path(), "BaseUri").await;
        let secrets =
            SecretsManager::new(aws_sdk_secretsmanager::Client::new(&emulator.sdk), format!("{}/", Self::NAME), None);
        let secret = Workspaces::new(Arc::new(secrets), Arc::new(SystemClock)).secret(Self::WORKSPACE).await;
        let secret = secret.expect("a secret store").expect("the secret of the workspace").secret;
        Self { base_uri: api, secret, emulator, folder }
    }

    /// Deploys again, with these parameters changed.
    pub async fn update(&self, parameters: &[(&str, &str)]) {
        sam_deploy(&self.emulator, self.folder.path(), parameters).await;
    }

    /// The stack as a Larder that is reached over the network.
    pub fn target(&self) -> Target {
        Target::new("the deployed stack", &self.base_uri, Self::WORKSPACE, self.secret.clone())
    }

    /// The schedules that are armed.
    pub async fn schedules(&self) -> Vec<Schedule> {
        let client = aws_sdk_scheduler::Client::new(&self.emulator.sdk);
        let listed = client.list_schedules().group_name(Self::NAME).send().await.expect("schedules");
        let mut schedules = Vec::new();
        for name in listed.schedules().iter().filter_map(|it| it.name()) {
            let schedule = client.get_schedule().group_name(Self::NAME).name(name).send().await;
            // One that has fired meanwhile is gone.
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

    /// Invokes a function as a schedule does: without waiting for it.
    pub async fn invoke_async(&self, function: &str, event: &str) {
        let invoke = aws_sdk_lambda::Client::new(&self.emulator.sdk).invoke();
        let invoke = invoke.function_name(format!("{}-{function}", Self::NAME)).invocation_type(InvocationType::Event);
        invoke.payload(Blob::new(event)).send().await.expect("is accepted");
    }

    /// Waits for a message in a queue, and takes it.
    ///
    /// # Panics
    /// If none comes within half a minute.
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
        panic!("nothing came to {queue}");
    }

    /// Ends the emulator and the functions that it started.
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
            // Policies are enforced; nothing listens but on this port of this machine.
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
        for _ in 0..600 {
            if client.get(format!("{endpoint}/_ministack/health")).send().await.is_ok_and(|it| it.status().is_success())
            {
                return Self { port, sdk, process };
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("ministack does not answer: {}", fs::read_to_string(folder.join("emulator.log")).unwrap_or_default());
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An output of the stack.
    async fn output(&self, folder: &Path, name: &str) -> String {
        let listed =
            sam(self, folder, &["list", "stack-outputs", "--stack-name", Stack::NAME, "--output", "json"]).await;
        let outputs: Vec<Value> = serde_json::from_str(&listed).unwrap_or_else(|error| panic!("{error}: {listed}"));
        let output = outputs.iter().find(|output| output["OutputKey"] == name);
        output.and_then(|it| it["OutputValue"].as_str()).unwrap_or_else(|| panic!("no {name}: {listed}")).to_owned()
    }
}

/// What the emulator and `sam` find in the environment. Nothing of them stays outside the folder.
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

/// The template with what an emulator on this machine needs to be different, and nothing else.
fn for_emulator(emulator: &Emulator, folder: &Path) -> String {
    let mut template = fs::read_to_string(root().join("infra/template.yaml")).expect("the template");
    let mut replace = |from: &str, to: &str| {
        assert!(template.contains(from), "the template has no {from:?}");
        template = template.replace(from, to);
    };
    // Its APIs are behind a path.
    let api = format!("{}/_aws/execute-api/${{Api}}/$default", emulator.endpoint());
    replace("https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}", &api);
    // The providers are on this machine. No parameter does this: it would let a deployed Larder reach its own network.
    replace("        RUST_LOG: !Ref LogLevel\n", "        RUST_LOG: !Ref LogLevel\n        LARDER_LOCAL: \"1\"\n");
    // It starts functions without a container, so nothing is at /opt.
    replace("/opt/connectors", folder.join("opt/connectors").to_str().expect("UTF-8"));
    // It takes every schedule to be in the group `default`, when it looks for a policy.
    replace(":schedule/${AWS::StackName}/*", ":schedule/default/*");
    // It knows SendMessageBatch as an action of its own; in AWS it is allowed by SendMessage.
    replace("[sqs:SendMessage, sqs:ReceiveMessage,", "[sqs:SendMessage, sqs:SendMessageBatch, sqs:ReceiveMessage,");
    // What `sam build` would do.
    replace("    CodeUri: ..\n", "");
    replace("ContentUri: layer\n", &format!("ContentUri: {}\n", root().join("infra/layer").display()));
    for function in ["connect", "oauth-callback", "get-credentials", "put-credentials", "connections", "refresh"] {
        let build = format!(
            "    Metadata:\n      BuildMethod: rust-cargolambda\n      BuildProperties: {{ Binary: {function} }}\n    Properties:\n"
        );
        let built = functions().join(function).join("bootstrap.zip");
        replace(&build, &format!("    Properties:\n      CodeUri: {}\n", built.display()));
    }
    // It knows no alarms on a sum of metrics.
    without(&without(&template, "FunctionErrorsAlarm"), "FunctionThrottlesAlarm")
}

/// A template without a resource.
fn without(template: &str, resource: &str) -> String {
    let (before, rest) = template.split_once(&format!("  {resource}:\n")).unwrap_or_else(|| panic!("no {resource}"));
    let is_next = |line: &str| line.starts_with("  ") && !line.starts_with("   ");
    let after = rest.split_inclusive('\n').skip_while(|line| !is_next(line));
    before.to_owned() + &after.collect::<String>()
}

/// The folder with a `bootstrap.zip` for each function, as `cargo lambda build --output-format zip` makes them.
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

/// Runs `sam` to its end. Gives what it printed.
async fn sam(emulator: &Emulator, folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("sam");
    command
        .args(arguments)
        .current_dir(folder)
        .envs(aws_environment(&emulator.endpoint(), folder))
        .stdin(Stdio::null());
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(120), output).await;
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

/// Puts what the layer holds where the functions look for it.
async fn unpack_layer(emulator: &Emulator, folder: &Path) {
    let client = aws_sdk_lambda::Client::new(&emulator.sdk);
    let layer = client.get_layer_version().layer_name(format!("{}-connectors", Stack::NAME)).version_number(1);
    let layer = layer.send().await.expect("a layer").content.and_then(|it| it.location).expect("a location");
    let zip = http_client().get(layer).send().await.expect("a response").bytes().await.expect("a file");
    fs::write(folder.join("layer.zip"), zip).expect("is written");
    let unzip = Command::new("python3").args(["-m", "zipfile", "-e", "layer.zip", "opt"]).current_dir(folder).status();
    assert!(unzip.await.expect("python3 starts").success(), "the layer is no zip");
}
