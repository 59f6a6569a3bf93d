//! The policy of the demo's pages: that of all pages, and a little more.

use askama::Result;
use http::{HeaderValue, StatusCode, header};
use larder::http::Response;
use larder_engine::pages::{self, PagePolicy};

use super::STYLE;

/// Responds with a rendered page, whose script may call this origin.
pub(super) fn live(rendered: Result<String>, script: &str) -> Response {
    let policy = PagePolicy { script: Some(script), has_form: true, ..PagePolicy::default() };
    let mut response = pages::html(StatusCode::OK, rendered, policy);
    allow(&mut response, "style-src", &format!("'{}'", pages::hash(STYLE)));
    allow(&mut response, "connect-src", "'self'");
    response
}

/// Adds a source to a directive of a page's policy.
pub(super) fn allow(response: &mut Response, directive: &str, source: &str) {
    let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok());
    // An error has no policy.
    let Some(policy) = policy else { return };
    let mut directives: Vec<_> = policy.split("; ").map(ToOwned::to_owned).collect();
    match directives.iter_mut().find(|it| it.split(' ').next() == Some(directive)) {
        Some(found) => *found = format!("{found} {source}"),
        None => directives.push(format!("{directive} {source}")),
    }
    if let Ok(policy) = HeaderValue::try_from(directives.join("; ")) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}
