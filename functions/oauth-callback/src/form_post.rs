//! `response_mode=form_post`: the provider makes the browser POST the callback (OAuth 2.0 Form Post Response Mode §2).
//!
//! Such a POST comes from another site, so the browser omits `SameSite=Lax` cookies and the flow cannot be matched to its
//! browser. One of our pages repeats the callback as a GET, which carries the cookie.

use std::time::Duration;

use form_urlencoded::Serializer;
use http::StatusCode;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, is_form};
use larder_engine::pages::{self, Language, words};

use crate::read_callback;

/// The longest query that fits: API Gateway accepts 10,240 bytes of request line and headers.
const MAX_QUERY: usize = 8000;

/// Returns a page that repeats the callback with GET.
///
/// # Errors
/// As with GET, except for errors of the flow itself; 413 when the parameters are too long for a URL.
pub(crate) fn repeat(request: &Request) -> Result<Response, Error> {
    if !is_form(request.headers()) && !request.body().is_empty() {
        return Err(Error::bad_request("the callback must be posted as application/x-www-form-urlencoded"));
    }
    // A redirect URI may have a query of its own, so both sets of parameters count.
    let form = Parameters::parse(request.body());
    let in_query = Parameters::of_query(request);
    let encode = |is_repeated: fn(&str) -> bool| {
        let parameters = in_query.iter().chain(form.iter()).filter(|(name, _)| is_repeated(name));
        Serializer::new(String::new()).extend_pairs(parameters).finish()
    };
    let mut query = encode(|_| true);
    if query.len() > MAX_QUERY {
        // It is by far the longest parameter, and the token endpoint returns it again.
        query = encode(|name| name != "id_token");
    }
    if query.len() > MAX_QUERY {
        return Err(Error::too_large(format!(
            "the provider sent back more than {MAX_QUERY} bytes, which do not fit in a URL; request less from it"
        )));
    }
    // Errors are reported now, instead of after another round trip.
    read_callback(&query)?;
    let language = Language::of(request.headers());
    let (title, detail) = (words::CONNECTING.say(language), words::ONE_MOMENT.say(language));
    Ok(pages::onward(StatusCode::OK, language, title, detail, Duration::ZERO, &format!("?{query}")))
}
