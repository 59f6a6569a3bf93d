//! `larder connections`: lists, shows, tests, refreshes and removes connections.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Client, CommandError, LarderArgs, Page, text};
use super::report_json;
use crate::terminal::{self, Table};

/// The most connections on a page of the API.
const MAX_PAGE: usize = 1000;

/// Arguments of `larder connections`.
#[derive(Debug, Args)]
pub struct ConnectionsArgs {
    #[command(subcommand)]
    command: ConnectionsCommand,
}

#[derive(Debug, Subcommand)]
enum ConnectionsCommand {
    /// List connections
    Ls {
        #[command(flatten)]
        larder: LarderArgs,
        #[command(flatten)]
        filters: FilterArgs,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a connection
    Show(SelectionArgs),
    /// Test a connection's credentials at the provider; exits with 1 if they don't work
    Test(SelectionArgs),
    /// Refresh a connection's credentials now
    Refresh(SelectionArgs),
    /// Delete a connection, and revoke its grant at the provider
    Rm {
        #[command(flatten)]
        selection: SelectionArgs,
        /// Delete it even if flows use it
        #[arg(long)]
        force: bool,
        /// Remove it at once, so that it cannot be restored
        #[arg(long)]
        permanent: bool,
        /// Don't ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct FilterArgs {
    /// Only connections of this tenant
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    tenant: Option<String>,
    /// Only connections of this integration
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    integration: Option<String>,
    /// Only connections in this state
    #[arg(long, value_name = "STATE", ignore_case = true)]
    state: Option<StateArg>,
    /// Only connections with this in their name, key, id or integration
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Most connections to list
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// List all connections
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateArg {
    #[value(name = "READY")]
    Ready,
    #[value(name = "CLIENT_ACTION_REQUIRED")]
    ClientActionRequired,
}

#[derive(Debug, Args)]
struct SelectionArgs {
    /// Id or key of the connection, or the key of an integration with one connection
    #[arg(value_name = "CONNECTION")]
    selector: String,
    /// Tenant whose connection a key means
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    tenant: Option<String>,
    #[command(flatten)]
    larder: LarderArgs,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When Larder does not answer or rejects the request, or a test fails.
pub async fn run(args: ConnectionsArgs) -> Result<(), CommandError> {
    let (json, result) = match args.command {
        ConnectionsCommand::Ls { larder, filters, json } => (json, list(&larder, &filters, json).await),
        ConnectionsCommand::Show(selection) => (selection.json, show(&selection).await),
        ConnectionsCommand::Test(selection) => (selection.json, test(&selection).await),
        ConnectionsCommand::Refresh(selection) => (selection.json, refresh(&selection).await),
        ConnectionsCommand::Rm { selection, force, permanent, yes } => {
            let flags = [("force", force), ("permanent", permanent)];
            (selection.json, remove(&selection, &flags, yes).await)
        }
    };
    result.inspect_err(|error| {
        if json {
            report_json(error);
        }
    })
}

async fn list(larder: &LarderArgs, filters: &FilterArgs, json: bool) -> Result<(), CommandError> {
    let client = Client::new(larder)?;
    let page = filters.read(&client).await?;
    if json {
        terminal::print(&page.into_json().to_string());
        return Ok(());
    }
    let mut table = Table::new(&["ID", "NAME", "KEY", "TENANT", "INTEGRATION", "STATE", "EXPIRES"]);
    for item in &page.items {
        let state = if item.get("isDeactivated").is_some() { "DEACTIVATED" } else { text(item, "state") };
        let [id, name, key, tenant, integration] =
            ["id", "name", "key", "tenantId", "integrationKey"].map(|member| text(item, member));
        table.add([id, name, key, tenant, integration, state, &time(text(item, "expiresAt"))]);
    }
    if page.items.is_empty() {
        terminal::say("There are no such connections.");
    } else {
        table.print();
    }
    if page.cursor.is_some() {
        terminal::say("There are more. Add --all to list them, or --limit N.");
    }
    Ok(())
}

impl FilterArgs {
    /// Reads as many connections as are wanted. Pages of the API may be short although more follow.
    async fn read(&self, client: &Client) -> Result<Page, CommandError> {
        let state = self.state.and_then(|state| Some(state.to_possible_value()?.get_name().to_owned()));
        let filters = [
            ("tenantId", &self.tenant),
            ("integrationKey", &self.integration),
            ("state", &state),
            ("search", &self.search),
        ];
        let most = if self.all { usize::MAX } else { self.limit as usize };
        let mut read = Page { items: Vec::new(), cursor: None };
        loop {
            let limit = (most - read.items.len()).min(MAX_PAGE).to_string();
            let given = filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
            let query: Vec<_> =
                given.chain([("limit", &*limit)]).chain(read.cursor.as_deref().map(|it| ("cursor", it))).collect();
            let page = Page::of(client.get(&["connections"], &query).await?)?;
            read.items.extend(page.items);
            read.cursor = page.cursor;
            if read.cursor.is_none() || read.items.len() >= most {
                return Ok(read);
            }
        }
    }
}

impl SelectionArgs {
    /// Calls a route of the connection.
    async fn call(&self, method: Method, action: &[&str], query: &[(&str, &str)]) -> Result<Value, CommandError> {
        let client = Client::new(&self.larder)?;
        let path = [&["connections", &self.selector], action].concat();
        let tenant = self.tenant.as_deref().map(|tenant| ("tenantId", tenant));
        client.call(method, &path, &query.iter().copied().chain(tenant).collect::<Vec<_>>(), None).await
    }
}

async fn show(selection: &SelectionArgs) -> Result<(), CommandError> {
    let connection = selection.call(Method::GET, &[], &[]).await?;
    if selection.json {
        terminal::print(&connection.to_string());
    } else {
        print_connection(&connection);
    }
    Ok(())
}

/// Prints the members of a connection, without those that say the same as another.
pub(super) fn print_connection(connection: &Value) {
    const SYNONYMS: [&str; 5] = ["userId", "integrationId", "connectorId", "connected", "disconnected"];
    let mut table = Table::untitled();
    let members = connection.as_object().into_iter().flatten();
    for (name, value) in members.filter(|(name, _)| !SYNONYMS.contains(&name.as_str())) {
        match value {
            Value::String(string) if name.ends_with("At") => table.add([name, &time(string)]),
            Value::String(string) => table.add([name, string]),
            value => table.add([name, &value.to_string()]),
        }
    }
    table.print();
}

async fn test(selection: &SelectionArgs) -> Result<(), CommandError> {
    let answer = selection.call(Method::POST, &["test"], &[]).await?;
    let works = answer.get("success") == Some(&Value::Bool(true));
    if selection.json {
        terminal::print(&answer.to_string());
    } else if works {
        terminal::print("The credentials work.");
    }
    if works {
        return Ok(());
    }
    let reason = answer.get("error").map(|error| error.as_str().unwrap_or_else(|| text(error, "message")));
    let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or("the provider gave no reason");
    Err(CommandError::Failed(format!("the credentials don't work: {}", terminal::clean(reason))))
}

async fn refresh(selection: &SelectionArgs) -> Result<(), CommandError> {
    let connection = selection.call(Method::POST, &["refresh-credentials"], &[]).await?;
    if selection.json {
        terminal::print(&connection.to_string());
    } else {
        let shown = ["id", "name", "state", "lastRefreshedAt", "expiresAt", "nextCredentialsRefreshAt"];
        let members = shown.into_iter().filter_map(|name| Some((name.to_owned(), connection.get(name)?.clone())));
        print_connection(&members.collect());
    }
    Ok(())
}

async fn remove(selection: &SelectionArgs, flags: &[(&str, bool)], yes: bool) -> Result<(), CommandError> {
    let connection = selection.call(Method::GET, &[], &[]).await?;
    let [id, name] = ["id", "name"].map(|member| terminal::clean(text(&connection, member)));
    let whose = connection.get("tenantId").map(|_| format!(" of {}", terminal::clean(text(&connection, "tenantId"))));
    let question = format!("Delete the connection {id} ({name}){}?", whose.unwrap_or_default());
    if !yes && terminal::confirm(&question) == Some(false) {
        return Err(CommandError::Failed("nothing was deleted".to_owned()));
    }
    let query: Vec<_> = flags.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (*name, "true")).collect();
    match selection.call(Method::DELETE, &[], &query).await {
        Ok(_) => {
            if selection.json {
                terminal::print(&json!({ "id": connection.get("id") }).to_string());
            } else {
                terminal::print(&format!("Deleted {id}."));
            }
            Ok(())
        }
        Err(CommandError::Rejected(mut rejection)) if rejection.status == StatusCode::CONFLICT => {
            let flows = rejection.body.pointer("/data/flows").and_then(Value::as_array);
            if let Some(flows) = flows.filter(|flows| !flows.is_empty()) {
                let mut table = Table::new(&["FLOW", "NAME", "URI"]);
                for flow in flows {
                    table.add(["id", "name", "uri"].map(|member| text(flow, member)));
                }
                terminal::say(&table.to_text(None));
                rejection.message += "; to delete it nevertheless, add --force";
            }
            Err(CommandError::Rejected(rejection))
        }
        Err(error) => Err(error),
    }
}

/// Shows an RFC 3339 time in UTC to the second.
fn time(rfc3339: &str) -> String {
    match rfc3339.split_once('T') {
        Some((date, time)) if time.len() >= 8 => format!("{date} {}Z", &time[..8]),
        _ => rfc3339.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        connections: ConnectionsArgs,
    }

    #[test]
    fn an_empty_tenant_is_a_mistake_and_not_all_tenants() {
        let parse = |arguments: &[&str]| Cli::try_parse_from([&["larder"], arguments].concat());
        for command in [&["ls"][..], &["show", "crm"], &["rm", "crm"]] {
            assert!(parse(&[command, &["--tenant", "alice"]].concat()).is_ok());
            let error = parse(&[command, &["--tenant", ""]].concat()).map(drop).expect_err("it is empty");
            assert!(error.exit_code() == 2 && error.to_string().contains("--tenant"), "{error}");
        }
        assert!(parse(&["ls", "--integration", ""]).is_err());
    }
}
