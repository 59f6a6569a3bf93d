//! The pages around a session: signing in, and the first page after it.

use askama::Template;
use http::StatusCode;
use larder::http::Response;

use super::{Language, PagePolicy, html, words};

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage<'a> {
    language: Language,
    title: &'a str,
    link: &'a str,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    language: Language,
    title: &'a str,
    form_token: &'a str,
}

/// Renders the page whose button uses a page link.
pub fn sign_in(language: Language, link: &str) -> Response {
    let page = SignInPage { language, title: words::SIGN_IN.say(language), link };
    html(StatusCode::OK, page.render(), PagePolicy { has_form: true, ..PagePolicy::default() })
}

/// Renders the first page of a session.
pub fn home(language: Language, form_token: &str) -> Response {
    let page = HomePage { language, title: words::CREDENTIALS.say(language), form_token };
    html(StatusCode::OK, page.render(), PagePolicy { has_form: true, ..PagePolicy::default() })
}
