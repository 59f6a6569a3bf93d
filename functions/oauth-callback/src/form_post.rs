//! `response_mode=form_post`: the provider has the browser POST the callback (OAuth 2.0 Form Post Response Mode §2).
//!
//! Such a POST comes from another site, so the browser leaves out cookies that are `SameSite=Lax`, and the flow cannot be
//! matched to its browser. A page of ours repeats it as a GET, which has the cookie.

use std::time::Duration;

use form_urlencoded::Serializer;
use http::StatusCode;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, is_form};
use larder_engine::connect::page;

use crate::read_callback;

/// The longest query that gets through: the gateway of AWS takes 10,240 bytes of request line and headers.
const MAX_QUERY: usize = 8000;

/// The page that opens the same callback with GET.
///
/// # Errors
/// As with GET, so long as the flow is not looked at; 413 when the parameters are too long for a URL.
pub(crate) fn repeat(request: &Request) -> Result<Response, Error> {
    if !is_form(request.headers()) && !request.body().is_empty() {
        return Err(Error::bad_request("a callback is posted as application/x-www-form-urlencoded"));
    }
    let form = Parameters::parse(request.body());
    let in_query = Parameters::of_query(request);
    let encode = |is_repeated: fn(&str) -> bool| {
        let parameters = in_query.iter().chain(form.iter()).filter(|(name, _)| is_repeated(name));
        Serializer::new(String::new()).extend_pairs(parameters).finish()
    };
    let mut query = encode(|_| true);
    if query.len() > MAX_QUERY {
        // By far the longest, and the token endpoint gives it again.
        query = encode(|name| name != "id_token");
    }
    if query.len() > MAX_QUERY {
        return Err(Error::too_large(format!(
            "the application sent more than {MAX_QUERY} bytes back, which no URL holds; ask it for less"
        )));
    }
    read_callback(&query)?;
    let detail = "One moment: your account is being connected.";
    Ok(page::onward(StatusCode::OK, "Connecting", detail, Duration::ZERO, &format!("?{query}")))
}
