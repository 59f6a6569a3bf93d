//! `larder import`: imports connections from Nango or from a file, through `POST /connections`.
//!
//! - `nango`, `file`: the sources; `mapping`: from Nango's keys to integrations; `tokens`: the lifetimes of their tokens
//! - `target`: the integrations of Larder; `pace`: spreads calls to their providers
//! - `report`: the results
//!
//! # Decisions
//!
//! **The state of an import is the connections that exist.** Each gets a key that follows from its source. Before it begins,
//! an import lists the connections of its integrations, so after an interruption it continues where it was without a file of
//! its own, and without reading credentials or calling providers again. Two imports at the same time are kept apart by the
//! uniqueness of keys.
//!
//! **One rate for every call to a provider.** A test, a refresh by Nango when it is read, and the first refresh by Larder of a
//! token that has expired follow an import directly, so connections are imported at the rate that the provider takes.

mod file;
mod mapping;
mod nango;
mod pace;
mod report;
mod target;
mod tokens;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use file::Line;
use http::{Method, StatusCode};
use larder::clock::{Clock as _, SystemClock};
use mapping::Mapping;
use nango::{Listed, Nango, TenantFrom, Unread};
use pace::persistently;
use report::{Item, Outcome, Report};
use serde_json::Value;
use target::{Target, Targets};
use tokio::task::JoinSet;
use url::Url;

use super::client::{Client, CommandError, LarderArgs, http_url, secret_variable, text};
use crate::terminal;

/// How many connections are imported at the same time.
const CONCURRENCY: usize = 16;

/// Arguments of `larder import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Origin of the connections
    #[arg(long, value_name = "SOURCE")]
    from: SourceArg,
    /// File to import with --from file: one JSON object per line, with the body of POST /connections
    #[arg(value_name = "FILE", required_if_eq("from", "file"))]
    file: Option<PathBuf>,
    /// Base URL of Nango's API
    #[arg(long, value_name = "URL", required_if_eq("from", "nango"), conflicts_with = "file", value_parser = http_url)]
    url: Option<Url>,
    /// Environment variable with the secret key of Nango's environment
    #[arg(long, value_name = "NAME", required_if_eq("from", "nango"), conflicts_with = "file")]
    secret_key_env: Option<String>,
    /// YAML file that maps Nango's provider config keys to integrations; without it, they have the same keys
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    mapping: Option<PathBuf>,
    /// Id in Nango's connections that becomes the tenant
    #[arg(long, value_name = "PART", default_value = "end-user", conflicts_with = "file")]
    tenant_from: TenantFrom,
    /// URL of Larder [default: LARDER_URL, or http://127.0.0.1:9000]
    #[arg(long, value_name = "URL", value_parser = http_url)]
    larder_url: Option<Url>,
    /// Data folder of the Larder on this machine; its secret signs the token if LARDER_TOKEN is not set
    #[arg(long, value_name = "DIR", default_value = ".larder")]
    data: PathBuf,
    /// Most calls to one provider in a second
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// Don't test credentials at their providers
    #[arg(long)]
    no_test: bool,
    /// Import nothing, but list what would be imported, and what cannot be
    #[arg(long)]
    dry_run: bool,
    /// Don't ask whether the other system has been stopped
    #[arg(long)]
    yes: bool,
    /// Print each result as a line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SourceArg {
    /// API of Nango
    Nango,
    /// Lines of JSON
    File,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.001..=1_000_000.0).contains(rate));
    rate.ok_or_else(|| "give a number from 0.001 to 1000000, such as 0.5 or 20".to_owned())
}

/// The integration, the tenant and the key of a connection to import.
#[derive(Debug, Clone)]
struct Heading {
    integration: String,
    tenant: String,
    key: String,
}

/// A connection to import.
struct Draft {
    /// The body of `POST /connections`.
    body: String,
    /// A remark for the result.
    note: Option<String>,
}

/// A connection of the source.
enum Entry {
    Nango(Arc<Nango>, Listed),
    Line(Line),
}

/// The outcome of a connection that is not imported, and the reason.
type Unfit = (Outcome, String);

/// The outcome of a connection, its id, and the reason.
type Imported = (Outcome, Option<String>, Option<String>);

/// Everything that importing one connection needs.
struct Import {
    client: Client,
    targets: Targets,
    is_tested: bool,
    is_dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// When the source or Larder cannot be used, or some connections failed.
pub async fn run(args: ImportArgs) -> Result<(), CommandError> {
    let client = Client::new(&LarderArgs { url: args.larder_url.clone(), data: args.data.clone() })?;
    let entries = entries(&args).await?;
    if client.get(&["self"], &[]).await?.get("isAdmin") != Some(&Value::Bool(true)) {
        return Err(CommandError::Failed("an import needs an admin's token; set LARDER_TOKEN to one".to_owned()));
    }
    let integrations = entries.iter().filter_map(|entry| Some(entry.heading().ok()?.integration)).collect();
    let targets = target::load(&client, integrations, Duration::from_secs_f64(1.0 / args.rate)).await?;
    let import = Import { client, targets, is_tested: !args.no_test, is_dry_run: args.dry_run };
    if !args.dry_run {
        import.require_stopped_source(&args, &entries)?;
    }
    let mut report = Report::new(args.json, args.dry_run);
    let result = Arc::new(import).run(entries, &mut report).await;
    let failed = report.finish();
    result.map_err(|error| {
        let message = format!("{error}; run the same command again to continue where it stopped");
        CommandError::Failed(message)
    })?;
    if failed > 0 {
        let message = format!("{failed} failed; run the same command again once the reasons are gone");
        return Err(CommandError::Failed(message));
    }
    Ok(())
}

async fn entries(args: &ImportArgs) -> Result<Vec<Entry>, CommandError> {
    match (args.from, &args.file, &args.url, &args.secret_key_env) {
        (SourceArg::File, Some(file), ..) => Ok(file::read(file)?.into_iter().map(Entry::Line).collect()),
        (SourceArg::Nango, None, Some(url), Some(name)) => {
            let secret_key = secret_variable(name)?.ok_or_else(|| {
                CommandError::Usage(format!("{name} is not set; put the secret key of Nango's environment into it"))
            })?;
            let mapping = args.mapping.as_deref().map(Mapping::read).transpose()?.unwrap_or_default();
            let nango = Arc::new(Nango::new(url.clone(), secret_key, mapping, args.tenant_from)?);
            let listed = nango.list().await?;
            Ok(listed.into_iter().map(|listed| Entry::Nango(Arc::clone(&nango), listed)).collect())
        }
        _ => Err(CommandError::Usage("a FILE can only be imported with --from file".to_owned())),
    }
}

impl Entry {
    /// The name for people.
    fn label(&self) -> String {
        match self {
            Self::Nango(_, listed) => listed.label(),
            Self::Line(line) => format!("line {}", line.number),
        }
    }

    /// The integration, the tenant and the key.
    ///
    /// # Errors
    /// The reason why it cannot be imported. A line can be corrected, so it has failed.
    fn heading(&self) -> Result<Heading, Unfit> {
        match self {
            Self::Nango(nango, listed) => nango.heading(listed).map_err(|reason| (Outcome::Skipped, reason)),
            Self::Line(line) => line.heading().map_err(|reason| (Outcome::Failed, reason)),
        }
    }
}

impl Import {
    /// Asks whether the other system has stopped refreshing the tokens that are imported.
    fn require_stopped_source(&self, args: &ImportArgs, entries: &[Entry]) -> Result<(), CommandError> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for heading in entries.iter().filter_map(|entry| entry.heading().ok()) {
            let target = self.targets.get(&heading.integration).and_then(|target| target.as_ref().ok());
            if target
                .is_some_and(|target| target.refreshes() && target.existing(&heading.tenant, &heading.key).is_none())
            {
                *counts.entry(heading.integration).or_default() += 1;
            }
        }
        if counts.is_empty() {
            return Ok(());
        }
        let counts: Vec<_> = counts.iter().map(|(integration, count)| format!("{integration} ({count})")).collect();
        let source = match args.from {
            SourceArg::Nango => "Nango",
            SourceArg::File => "the other system",
        };
        terminal::say(&format!(
            "Larder will refresh the tokens of these integrations: {}.\nOnly one system may use a refresh token. If a provider rotates \
             them, as many do, the first refresh by Larder ends the copy in {source}, and the other way round; the end user \
             then has to reconnect. So stop {source} from refreshing first: no application may read credentials there any \
             more, and no job may run that refreshes them. Use --dry-run to see what will be imported.",
            terminal::clean(&counts.join(", "))
        ));
        if args.yes {
            return Ok(());
        }
        match terminal::confirm(&format!("Has {source} stopped refreshing?")) {
            Some(true) => Ok(()),
            Some(false) => Err(CommandError::Failed("nothing was imported".to_owned())),
            None => Err(CommandError::Failed(format!("nothing was imported; add --yes once {source} has stopped"))),
        }
    }

    /// Imports the entries, several at the same time, until something happens that concerns all of them.
    async fn run(self: Arc<Self>, entries: Vec<Entry>, report: &mut Report) -> Result<(), CommandError> {
        let (mut entries, mut running, mut result) = (entries.into_iter(), JoinSet::new(), Ok(()));
        loop {
            while result.is_ok() && running.len() < CONCURRENCY {
                let Some(entry) = entries.next() else { break };
                let import = Arc::clone(&self);
                running.spawn(async move { import.import(&entry).await });
            }
            match running.join_next().await {
                None => return result,
                Some(Ok(Ok(item))) => report.add(&item),
                Some(Ok(Err(error))) => result = result.and(Err(error)),
                Some(Err(panicked)) => result = Err(CommandError::Failed(panicked.to_string())),
            }
        }
    }

    /// Imports one connection.
    ///
    /// # Errors
    /// When none of the others can be imported either.
    async fn import(&self, entry: &Entry) -> Result<Item, CommandError> {
        let source = entry.label();
        let heading = match entry.heading() {
            Ok(heading) => heading,
            Err((outcome, reason)) => {
                let [integration_key, tenant_key, key, connection_id] = [const { None }; 4];
                let reason = Some(reason);
                return Ok(Item { outcome, source, integration_key, tenant_key, key, connection_id, reason });
            }
        };
        let (outcome, connection_id, reason) = self.outcome(entry, &heading).await?;
        let Heading { integration, tenant, key } = heading;
        let [integration_key, tenant_key, key] = [integration, tenant, key].map(Some);
        Ok(Item { outcome, source, integration_key, tenant_key, key, connection_id, reason })
    }

    /// Imports one connection that has a heading.
    ///
    /// # Errors
    /// As [`Self::import`].
    async fn outcome(&self, entry: &Entry, heading: &Heading) -> Result<Imported, CommandError> {
        let skipped = |reason| Ok((Outcome::Skipped, None, Some(reason)));
        let target = match self.targets.get(&heading.integration) {
            Some(Ok(target)) => target,
            Some(Err(reason)) => return skipped(reason.clone()),
            None => return skipped(format!("the integration `{}` was not read", heading.integration)),
        };
        if let Some(id) = target.existing(&heading.tenant, &heading.key) {
            return Ok((Outcome::Present, Some(id.to_owned()), None));
        }
        let draft = match entry {
            Entry::Nango(nango, listed) => match nango.read(listed, target).await {
                Ok(connection) => {
                    let now = SystemClock.now();
                    nango.draft(listed, heading, &connection, &target.ways, self.is_tested, now)
                }
                Err(Unread::Gone(reason)) => return skipped(reason),
                Err(Unread::Failed(error)) => return failed(error),
            },
            Entry::Line(line) => line.draft(&target.ways, self.is_tested, SystemClock.now()),
        };
        match draft {
            Err((outcome, reason)) => Ok((outcome, None, Some(reason))),
            Ok(Draft { note, .. }) if self.is_dry_run => Ok((Outcome::Importable, None, note)),
            Ok(draft) => self.create(heading, target, draft).await,
        }
    }

    async fn create(&self, heading: &Heading, target: &Target, draft: Draft) -> Result<Imported, CommandError> {
        let Draft { body, note } = draft;
        let path = ["connections"];
        let create = || self.client.call(Method::POST, &path, &[], Some(body.clone()));
        match persistently(&target.pacer, create).await {
            Ok(connection) => {
                let is_refreshable = connection.get("canRefreshCredentials") == Some(&Value::Bool(true));
                let id = text(&connection, "id").to_owned();
                Ok((Outcome::Imported, Some(id), note.filter(|_| !is_refreshable)))
            }
            Err(error) if error.key() == Some("already_exists") => {
                // Imported meanwhile, or by a request whose answer was lost; unless the key is used for something else.
                let query = [("tenantId", heading.tenant.as_str())];
                let path = ["connections", &heading.key];
                let existing = persistently(&target.pacer, || self.client.get(&path, &query)).await;
                match existing {
                    Ok(existing) if text(&existing, "integrationKey") == heading.integration => {
                        Ok((Outcome::Present, Some(text(&existing, "id").to_owned()), None))
                    }
                    Ok(_) => {
                        let reason = "another connection of the tenant has the key".to_owned();
                        Ok((Outcome::Failed, None, Some(reason)))
                    }
                    Err(error) => failed(error),
                }
            }
            Err(error) => failed(error),
        }
    }
}

/// The outcome of a connection that failed.
///
/// # Errors
/// When the error concerns all connections.
fn failed(error: CommandError) -> Result<Imported, CommandError> {
    match error {
        CommandError::Rejected(rejection)
            if !matches!(rejection.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =>
        {
            Ok((Outcome::Failed, None, Some(rejection.to_string())))
        }
        error if error.has_no_url() => Ok((Outcome::Failed, None, Some(error.to_string()))),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_line_has_failed() {
        let entry = Entry::Line(Line::parse(7, b"{\"key\": "));
        assert_eq!(entry.label(), "line 7");
        assert_eq!(entry.heading().map(drop).map_err(|(outcome, _)| outcome), Err(Outcome::Failed));
    }

    #[test]
    fn a_rate_is_limited_on_both_sides() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "100000000000", "NaN", "fast"] {
            let error = rate(wrong).expect_err("it is out of range");
            assert!(error.contains("0.001") && error.contains("1000000"), "{error}");
        }
    }
}
