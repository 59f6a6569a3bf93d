//! The pages around a session: signing in, and the first page after it.

use askama::Template;
use http::StatusCode;
use larder::caller::Caller;
use larder::http::Response;

use super::{Frame, Language, PagePolicy, framed, html, words};

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
    frame: Frame<'a>,
}

/// Renders the page whose button uses a page link.
pub fn sign_in(language: Language, link: &str) -> Response {
    let page = SignInPage { language, title: words::SIGN_IN.say(language), link };
    html(StatusCode::OK, page.render(), PagePolicy { has_form: true, ..PagePolicy::default() })
}

/// Renders the first page of a session.
pub fn home(language: Language, caller: &Caller, form_token: &str) -> Response {
    let title = words::CREDENTIALS.say(language).to_owned();
    let page = HomePage { frame: Frame::new(language, title, "./", caller, form_token) };
    framed(StatusCode::OK, page.render(), [], None)
}
