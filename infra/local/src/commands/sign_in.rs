//! `larder sign-in`: prints a link that signs a browser in to the pages of the Larder on this machine.
//!
//! It writes the link to the database file, so Larder need not be running.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use larder::clock::SystemClock;
use larder::random::SystemRng;
use url::Url;

use super::client::{CommandError, larder_url};
use crate::bundle::{Bundle, DataDir, LocalError};
use crate::embedded_dynamodb::EmbeddedDynamoDb;
use crate::terminal;

/// Arguments of `larder sign-in`.
#[derive(Debug, Args)]
pub struct SignInArgs {
    /// Sign in as this tenant instead of as an admin
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    tenant: Option<String>,
    /// URL of Larder [default: LARDER_URL, or http://127.0.0.1:9000]
    #[arg(long, value_name = "URL", value_parser = super::client::http_url)]
    url: Option<Url>,
    /// Data folder, which holds all state
    #[arg(long, value_name = "DIR", default_value = ".larder")]
    data: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the data folder was never used, or cannot be used.
pub async fn run(args: SignInArgs) -> Result<(), CommandError> {
    let mut base_uri = larder_url(args.url.as_ref())?;
    base_uri.set_query(None);
    base_uri.set_fragment(None);
    // Opening the folder would create it.
    if !args.data.join(DataDir::DATABASE).exists() {
        let message = format!("there is no Larder in {} yet; run Larder with it once", args.data.display());
        return Err(CommandError::Failed(message));
    }
    let data = DataDir::open(&args.data)?;
    let file = data.database();
    let failed = |error| LocalError::Io(format!("the database {}", file.display()), error);
    let database = EmbeddedDynamoDb::open(&file).map_err(failed)?;
    let settings = data.settings(base_uri.as_str().trim_end_matches('/'), Vec::new());
    let bundle = Bundle::open(settings, database.sdk_config(), Arc::new(SystemClock), Arc::new(SystemRng)).await?;
    terminal::print(&bundle.page_link(args.tenant).await?);
    Ok(())
}
