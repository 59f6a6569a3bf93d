//! `larder connect`: connects an account in the browser, by a connection request.

use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use http::Method;
use larder::secret::Secret;
use serde_json::{Value, json};

use super::client::{Client, CommandError, LarderArgs, text};
use super::connections::print_connection;
use super::report_json;
use crate::terminal;

/// How often the request is read.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// How many reads in a row may fail before the command gives up: a minute, in which Larder can restart.
const MAX_FAILED_POLLS: u32 = 30;

/// Arguments of `larder connect`.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// Integration to connect through
    #[arg(value_name = "INTEGRATION")]
    integration: String,
    /// Tenant to connect
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    tenant: String,
    /// Only print the link
    #[arg(long)]
    no_browser: bool,
    #[command(flatten)]
    larder: LarderArgs,
    /// Print the connection request's last state as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command: makes a connection request, opens it in the browser, and waits until it ends.
///
/// # Errors
/// When Larder does not answer or rejects the request, or nothing was connected.
pub async fn run(args: ConnectArgs) -> Result<(), CommandError> {
    connect(&args).await.inspect_err(|error| {
        if args.json {
            report_json(error);
        }
    })
}

async fn connect(args: &ConnectArgs) -> Result<(), CommandError> {
    let client = Client::of_tenant(&args.larder, &args.tenant)?;
    if client.has_given_token() {
        // A connection request is for the tenant of its token, even if that is an admin's.
        let caller = client.get(&["self"], &[]).await?;
        if text(&caller, "id") != args.tenant {
            let message =
                format!("set LARDER_TOKEN to a token of the tenant {}; this one is of another caller", args.tenant);
            return Err(CommandError::Failed(message));
        }
    }
    let body = json!({ "integrationKey": args.integration }).to_string();
    let request = client.call(Method::POST, &["connection-requests"], &[], Some(body)).await?;
    let (id, url) = (text(&request, "requestId"), text(&request, "url"));
    let status_token = Secret::new(text(&request, "statusToken"));
    let is_opened = !args.no_browser && is_http(url) && open(url);
    let instruction = if is_opened { "Continue in the browser, or open this link:" } else { "Open this link:" };
    terminal::say(&format!("{instruction}\n{}", terminal::clean(url)));
    tokio::select! {
        ended = wait(&client, id, &status_token) => finish(args, &client, ended?).await,
        _ = tokio::signal::ctrl_c() => {
            client.call(Method::DELETE, &["connection-requests", id], &[], None).await?;
            Err(CommandError::Failed("the connection request was canceled".to_owned()))
        }
    }
}

/// Reads the request until it has ended.
async fn wait(client: &Client, id: &str, status_token: &Secret) -> Result<Value, CommandError> {
    let mut failed = 0;
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        match client.get_with(status_token, &["connection-requests", id]).await {
            Ok(request) if text(&request, "status") != "pending" => return Ok(request),
            Ok(_) => failed = 0,
            Err(error) if error.is_transient() && failed < MAX_FAILED_POLLS => failed += 1,
            Err(error) => return Err(error),
        }
    }
}

async fn finish(args: &ConnectArgs, client: &Client, request: Value) -> Result<(), CommandError> {
    if args.json {
        terminal::print(&request.to_string());
    }
    match text(&request, "status") {
        "success" => {
            if !args.json {
                terminal::say("Connected:");
                print_connection(&client.get(&["connections", text(&request, "resultConnectionId")], &[]).await?);
            }
            Ok(())
        }
        "error" => {
            let error = request.get("resultError").unwrap_or(&Value::Null);
            let reason = error.as_str().unwrap_or_else(|| text(error, "message"));
            Err(CommandError::Failed(format!("nothing was connected: {}", terminal::clean(reason))))
        }
        "expired" => Err(CommandError::Failed("the link has expired; run the command again".to_owned())),
        _ => Err(CommandError::Failed("the connection request was canceled".to_owned())),
    }
}

fn is_http(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme))
}

/// Opens a URL in the browser. Returns `false` if the machine has no program for that.
fn open(url: &str) -> bool {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(opener);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}
