//! The pages on which admins set up integrations: the list, the choice of a connector, and the page of an integration.
//!
//! # Decisions
//!
//! They are in English only. They are for the few people who configure a workspace and register clients at providers, and the
//! connectors' titles, descriptions and set-up help are in English, too.
//!
//! A page never contains a stored secret: the form only knows which fields are set ([`ShownValues`](super::schema_form::ShownValues)).
//!
//! A generic connector has dozens of parameters. Those that are required or have a value come first, the others are folded away
//! in a `details` element, which needs no script.

mod connectors;
mod details;
mod editor;
mod help;
mod list;

pub use connectors::{ConnectorsPage, connectors};
pub use details::IntegrationDetails;
pub use editor::{EditorPage, FormOption, IntegrationForm, IntegrationPage, Submitted, integration};
pub use list::{IntegrationsPage, integrations};
use serde_json::Value;

/// The script of a page that says what was just done.
const DONE: &str = include_str!("../../../templates/done.js");
/// The script of an integration's page, which has a button that copies a value, too.
const EDITOR: &str = concat!(include_str!("../../../templates/copy.js"), include_str!("../../../templates/done.js"));

/// Returns a member of a view as a string, empty if it has none.
fn text<'a>(view: &'a Value, name: &str) -> &'a str {
    view[name].as_str().unwrap_or_default()
}

/// Returns a member of a view as strings.
fn texts(view: &Value, name: &str) -> Vec<String> {
    view[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns the name of an auth type for people.
fn auth_name(auth_type: &str) -> &'static str {
    match auth_type {
        "oauth2" => "OAuth 2.0",
        "oauth1" => "OAuth 1.0a",
        "client-credentials" => "Keys and logins",
        "proxy" => "Shared OAuth client",
        "membrane-token" | "integration-app-token" => "Signed token",
        _ => "",
    }
}
