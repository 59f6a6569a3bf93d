//! Measures each function's cold start, from the start of its process to its first response, compared with the smallest
//! possible function, and then its warm calls.
//!
//! The binaries come from the folder `LARDER_TEST_FUNCTIONS`, as `tests/run --bench` builds them. Arguments select the
//! functions to measure.
#![expect(clippy::print_stdout, reason = "measurements are printed")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::Method;
use larder::caller::{Claims, sign};
use larder::clock::{Clock as _, SystemClock};
use larder::dynamodb::schema::{self, Tables};
use larder::secret::Secret;
use larder_engine::connector::{Catalog, index};
use larder_local::embedded_dynamodb::EmbeddedDynamoDb;
use larder_tests::distant_aws::DistantAws;
use larder_tests::function::{Function, http_event};
use larder_tests::runtime_api::Invocation;
use serde_json::{Value, json};

/// Cold starts of each function. The functions take turns, so that other load on the machine affects all of them.
const ROUNDS: usize = 41;
/// Calls after the cold start.
const WARM_CALLS: usize = 500;
/// The latency of every connection and every call in the second table, about as on AWS.
const DELAY: Duration = Duration::from_millis(10);

/// The sizes of the catalogs that are compared: as bundled at first, and with an application for every provider that the
/// collected facts describe well.
const CATALOGS: [usize; 2] = [59, 1_050];

/// The smallest function, the baseline.
const BASELINE: &str = "hello";

/// The name of the list of connectors, which `connections` serves.
const LISTING: &str = "GET /connectors";

const SECRET: &str = "the secret of the workspace, which is long enough";
const CONNECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/connectors");

/// A function, and the event to measure it with.
struct Subject {
    name: &'static str,
    binary: PathBuf,
    zip: PathBuf,
    event: String,
    status: Option<u16>,
}

/// One cold start.
struct Start {
    /// The time until the function requests its first event.
    init: Duration,
    /// The time until its first response.
    answered: Duration,
    /// The CPU time until then.
    processor: Duration,
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = EmbeddedDynamoDb::open(&folder.path().join("larder.sqlite")).expect("a database");
    let dynamodb = aws_sdk_dynamodb::Client::new(&database.sdk_config());
    schema::create(&dynamodb, &Tables::default()).await.expect("tables");
    let aws = DistantAws::start(&database).await;
    aws.put_secret("larder/workspaces/acme", &json!({ "secret": SECRET }));
    let variables = variables(&aws, "http");
    let token = token();
    let mut subjects = subjects(&token);
    let wanted: Vec<_> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    subjects
        .retain(|subject| subject.name == BASELINE || wanted.is_empty() || wanted.iter().any(|it| it == subject.name));
    prepare(&subjects, &token, &variables).await;

    let rounds = env::var("ROUNDS").ok().map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let starts = measure(&subjects, &variables, rounds).await;
    let over_tls = measure(&subjects, &self::variables(&aws, "https"), rounds).await;
    let baseline = median(&starts[0], |start| start.answered);
    print_row(&["", "zipped", "binary", "init", "cold start", "10–90 %", "× `hello`", "processor", "with TLS"], true);
    for ((subject, starts), over_tls) in subjects.iter().zip(&starts).zip(&over_tls) {
        let answered = median(starts, |start| start.answered);
        print_row(
            &[
                &format!("`{}`", subject.name),
                &megabytes(size(&subject.zip)),
                &megabytes(size(&subject.binary)),
                &milliseconds(median(starts, |start| start.init)),
                &milliseconds(answered),
                &spread(starts),
                &format!("{:.2}", answered.as_secs_f64() / baseline.as_secs_f64()),
                &milliseconds(median(starts, |start| start.processor)),
                &milliseconds(median(over_tls, |start| start.processor)),
            ],
            false,
        );
    }

    aws.set_delay(DELAY);
    let starts = measure(&subjects, &variables, rounds).await;
    println!("\nWith {} of latency for each connection and each call:", milliseconds(DELAY));
    print_row(&["", "init", "first answer", "together", "10–90 %"], true);
    for (subject, starts) in subjects.iter().zip(&starts) {
        print_row(
            &[
                &format!("`{}`", subject.name),
                &milliseconds(median(starts, |start| start.init)),
                &milliseconds(median(starts, |start| start.answered - start.init)),
                &milliseconds(median(starts, |start| start.answered)),
                &spread(starts),
            ],
            false,
        );
    }

    aws.set_delay(Duration::ZERO);
    subjects.extend(listing(&token, &wanted));
    compare_catalogs(&subjects, &variables, folder.path(), rounds).await;
    subjects.retain(|subject| subject.name != LISTING);

    println!("\nThe next {WARM_CALLS} calls:");
    print_row(&["", "median", "99 %", "memory"], true);
    for subject in &subjects {
        let (mut times, memory) = warm(subject, &variables).await;
        let times = [50, 99].map(|percent| milliseconds(percentile(&mut times, percent)));
        print_row(&[&format!("`{}`", subject.name), &times[0], &times[1], &megabytes(memory)], false);
    }
}

/// Prints a row of a Markdown table. A head row starts a new table.
fn print_row(cells: &[&str], is_head: bool) {
    let row = format!("| {} |", cells.join(" | "));
    if is_head { println!("\n{row}\n|{}", "---|".repeat(cells.len())) } else { println!("{row}") }
}

/// The environment variables of all functions.
fn variables(aws: &DistantAws, scheme: &str) -> Vec<(String, String)> {
    let ours = [("BASE_URI", "https://larder.example"), ("CONNECTORS_DIR", CONNECTORS)];
    let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned()));
    aws.variables(scheme).into_iter().chain(ours).collect()
}

/// A token with full access to the workspace.
fn token() -> String {
    let claims = Claims {
        workspace_key: Some("acme".to_owned()),
        is_admin: true,
        tenant_key: Some("alice".to_owned()),
        exp: Some(SystemClock.now().unix_timestamp() + 24 * 3600),
        ..Claims::default()
    };
    sign(&claims, &Secret::new(SECRET)).expect("a token")
}

/// Stores the data that the measured events read.
async fn prepare(subjects: &[Subject], token: &str, variables: &[(String, String)]) {
    let credentials = json!({"credentials": {"access_token": "a".repeat(40), "refresh_token": "r".repeat(40)}});
    let integration = json!({"connectorKey": "oauth2", "parameters": {
        "clientId": "the-client", "clientSecret": "the-client-secret",
        "authorizeUri": "https://provider.example/authorize", "tokenUri": "https://provider.example/token",
        "testUri": "https://provider.example/me",
    }});
    for (reader, function, path, body) in [
        ("get-credentials", "put-credentials", "/credentials?connectionId=mine", credentials),
        ("connect", "connections", "/integrations/crm", integration),
    ] {
        if !subjects.iter().any(|subject| subject.name == reader) {
            continue;
        }
        let (binary, _) = files(function);
        let mut function = Function::start(&binary, variables.iter().cloned()).await;
        let made = function.invoke(&http_event(&Method::PUT, path, token, &body.to_string())).await;
        assert_eq!(status(&made), Some(201), "{made:?}");
    }
}

/// The first page of `GET /connectors`, unless only other functions are wanted.
fn listing(token: &str, wanted: &[String]) -> Option<Subject> {
    let (binary, zip) = files("connections");
    let event = http_event(&Method::GET, "/connectors", token, "");
    let is_wanted = wanted.is_empty() || wanted.iter().any(|name| name == "connections");
    is_wanted.then_some(Subject { name: LISTING, binary, zip, event, status: Some(200) })
}

/// Prints cold starts with each catalog, side by side. They take turns, too.
async fn compare_catalogs(subjects: &[Subject], variables: &[(String, String)], folder: &Path, rounds: usize) {
    let environments = CATALOGS.map(|presets| {
        let dir = write_catalog(folder, presets);
        let mut variables = variables.to_vec();
        variables.retain(|(name, _)| name != "CONNECTORS_DIR");
        variables.push(("CONNECTORS_DIR".to_owned(), dir.display().to_string()));
        variables
    });
    println!("\nWith {} and with {} presets:", CATALOGS[0], CATALOGS[1]);
    print_row(&["", "cold start", "processor", "cold start", "processor"], true);
    for subject in subjects {
        let mut starts = CATALOGS.map(|_| Vec::new());
        for round in 0..=rounds {
            for (variables, starts) in environments.iter().zip(&mut starts) {
                let start = start(subject, variables).await;
                if round > 0 {
                    starts.push(start);
                }
            }
        }
        let cells = starts.iter().flat_map(|starts| {
            [median(starts, |start| start.answered), median(starts, |start| start.processor)].map(milliseconds)
        });
        let name = format!("`{}`", subject.name);
        let cells: Vec<String> = std::iter::once(name).chain(cells).collect();
        print_row(&cells.iter().map(String::as_str).collect::<Vec<_>>(), false);
    }
}

/// Writes a directory with the generic connectors, copies of a preset, and their index.
fn write_catalog(folder: &Path, presets: usize) -> PathBuf {
    let dir = folder.join(format!("connectors-{presets}"));
    let bundled = Catalog::default().with_dirs(&[PathBuf::from(CONNECTORS)]).entries();
    let (copied, mut entries): (Vec<_>, Vec<_>) = bundled.into_iter().partition(|entry| entry.extends.is_some());
    for entry in &entries {
        let (from, to) = (Path::new(CONNECTORS).join(&entry.file), dir.join(&entry.file));
        fs::create_dir_all(to.join("auth")).expect("a folder");
        let functions =
            fs::read_dir(from.join("auth")).expect("a folder").map(|file| file.expect("a file").file_name());
        let functions = functions.map(|name| Path::new("auth").join(name)).filter(|path| from.join(path).is_file());
        for path in functions.chain([PathBuf::from("spec.yml")]) {
            fs::copy(from.join(&path), to.join(&path)).expect("a copy");
        }
    }
    let original = copied.first().expect("a preset");
    let text = fs::read_to_string(Path::new(CONNECTORS).join(&original.file)).expect("a preset");
    for key in (0..presets).map(|number| format!("preset-{number}")) {
        let file = format!("{key}.yml");
        fs::write(dir.join(&file), &text).expect("a preset");
        entries.push(index::IndexEntry { key, file, ..original.clone() });
    }
    fs::write(dir.join(index::FILE), index::write(&entries)).expect("an index");
    dir
}

/// The baseline, then each function with its most common event.
fn subjects(token: &str) -> Vec<Subject> {
    let get = |target: &str| http_event(&Method::GET, target, token, "");
    let credentials = json!({"credentials": {"apiKey": "k"}}).to_string();
    let put = http_event(&Method::PUT, "/credentials?connectionId=other", token, &credentials);
    let one = json!({"workspace": "acme", "connectionId": "mine", "version": 1}).to_string();
    [
        (BASELINE, get("/"), Some(200)),
        ("get-credentials", get("/credentials?connectionId=mine"), Some(200)),
        ("put-credentials", put, Some(201)),
        ("connect", get("/connect?integrationKey=crm"), Some(302)),
        ("oauth-callback", get(&format!("/oauth-callback?code=c&state={}", "s".repeat(43))), Some(400)),
        ("connections", get("/connections"), Some(200)),
        ("pages", get("/"), Some(200)),
        ("refresh", one, None),
    ]
    .into_iter()
    .map(|(name, event, status)| {
        let (binary, zip) = files(name);
        Subject { name, binary, zip, event, status }
    })
    .collect()
}

fn files(name: &str) -> (PathBuf, PathBuf) {
    let folder = env::var_os("LARDER_TEST_FUNCTIONS").expect("LARDER_TEST_FUNCTIONS is not set; run tests/run --bench");
    let folder = Path::new(&folder).join(name);
    (folder.join("bootstrap"), folder.join("bootstrap.zip"))
}

async fn measure(subjects: &[Subject], variables: &[(String, String)], rounds: usize) -> Vec<Vec<Start>> {
    let mut starts: Vec<Vec<Start>> = subjects.iter().map(|_| Vec::new()).collect();
    // The first round only loads the files into memory.
    for round in 0..=rounds {
        for (subject, starts) in subjects.iter().zip(&mut starts) {
            let start = start(subject, variables).await;
            if round > 0 {
                starts.push(start);
            }
        }
    }
    starts
}

async fn start(subject: &Subject, variables: &[(String, String)]) -> Start {
    let mut function = Function::start(&subject.binary, variables.iter().cloned()).await;
    let first = function.invoke(&subject.event).await;
    let processor = function.processor_time();
    subject.check(&first);
    let init = function.ready().await - function.started_at;
    let answered = first.posted_at - function.started_at;
    function.stop().await;
    Start { init, answered, processor }
}

/// The times of warm calls, and the function's peak memory.
async fn warm(subject: &Subject, variables: &[(String, String)]) -> (Vec<Duration>, u64) {
    let mut function = Function::start(&subject.binary, variables.iter().cloned()).await;
    subject.check(&function.invoke(&subject.event).await);
    let mut times = Vec::with_capacity(WARM_CALLS);
    for _ in 0..WARM_CALLS {
        let called_at = Instant::now();
        let invocation = function.invoke(&subject.event).await;
        times.push(invocation.posted_at - called_at);
    }
    let memory = function.peak_memory();
    function.stop().await;
    (times, memory)
}

impl Subject {
    fn check(&self, invocation: &Invocation) {
        assert!(invocation.result.is_ok() && status(invocation) == self.status, "{}: {invocation:?}", self.name);
    }
}

/// The HTTP status of a response for API Gateway.
fn status(invocation: &Invocation) -> Option<u16> {
    let response: Value = serde_json::from_str(invocation.result.as_ref().ok()?).ok()?;
    response["statusCode"].as_u64().and_then(|status| status.try_into().ok())
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).len()
}

fn median(starts: &[Start], part: fn(&Start) -> Duration) -> Duration {
    percentile(&mut starts.iter().map(part).collect::<Vec<_>>(), 50)
}

fn spread(starts: &[Start]) -> String {
    let mut times: Vec<_> = starts.iter().map(|start| start.answered).collect();
    format!("{:.1}–{}", percentile(&mut times, 10).as_secs_f64() * 1e3, milliseconds(percentile(&mut times, 90)))
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[times.len() * percent / 100]
}

fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    if milliseconds < 1.0 { format!("{milliseconds:.2} ms") } else { format!("{milliseconds:.1} ms") }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are printed with two decimals")]
fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}
