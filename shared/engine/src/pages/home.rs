//! The pages around a session: signing in, and errors of visitors who are signed in.

use askama::Template;
use http::StatusCode;
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
#[template(path = "failure.html")]
struct FailurePage<'a> {
    frame: Frame<'a>,
    language: Language,
    detail: &'a str,
    is_english: bool,
}

/// Renders the page whose button uses a page link.
pub fn sign_in(language: Language, link: &str) -> Response {
    let page = SignInPage { language, title: words::SIGN_IN.say(language), link };
    html(StatusCode::OK, page.render(), PagePolicy { has_form: true, ..PagePolicy::default() })
}

/// Renders an error for a visitor who is signed in. `is_english` says that the words are not in the visitor's language.
pub fn failure(status: StatusCode, frame: Frame<'_>, detail: &str, is_english: bool) -> Response {
    let page = FailurePage { language: frame.language, frame, detail: &super::sentence(detail), is_english };
    framed(status, page.render(), [], None)
}
