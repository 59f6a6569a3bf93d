//! An example application: a page that connects accounts with `/connect.js`, as yours would.
//!
//! The page contains a token that connects accounts of the demo and does nothing else.

use askama::Template;
use larder::http::Response;
use serde_json::json;

use super::{Demo, page};
use crate::bundle::{Bundle, Grant};

/// The path of the page.
pub(super) const PATH: &str = "/demo/app";
const SCRIPT: &str = include_str!("../../templates/app.js");

#[derive(Template)]
#[template(path = "app.html")]
struct AppPage<'a> {
    base_uri: &'a str,
    /// The token as JSON, which has no characters that would end the script element.
    session: String,
}

/// Shows the page.
pub(super) async fn show(bundle: &Bundle) -> Response {
    let grant = Grant {
        scope: Some("connections:connect"),
        integration_keys: Some([Demo::KEY.to_owned()].into()),
        ..Grant::default()
    };
    let token = match bundle.token(&grant).await {
        Ok(token) => token,
        Err(error) => return error.into(),
    };
    let session = json!({ "token": token, "integrationKey": Demo::KEY }).to_string();
    let page = AppPage { base_uri: &bundle.environment().settings.base_uri, session };
    let mut response = page::live(page.render(), SCRIPT);
    page::allow(&mut response, "script-src", "'self'");
    response
}
