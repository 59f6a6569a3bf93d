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
    /// The words for developers, if the page shows others.
    developer: Option<&'a str>,
}

/// Renders the page whose button uses a page link.
pub fn sign_in(language: Language, link: &str) -> Response {
    let page = SignInPage { language, title: words::SIGN_IN.say(language), link };
    html(StatusCode::OK, page.render(), PagePolicy { has_form: true, ..PagePolicy::default() })
}

/// Renders an error for a visitor who is signed in, in words of our own in the visitor's language, or else in its own, which are
/// in English. The head of the page has the words for developers, which applications that lead here may need.
pub fn failure(status: StatusCode, frame: Frame<'_>, message: &str, own: Option<&str>) -> Response {
    let (language, is_english) = (frame.language, own.is_none());
    let detail = super::sentence(own.unwrap_or(message));
    let developer = own.filter(|own| *own != message).map(|_| message);
    let page = FailurePage { language, frame, detail: &detail, is_english, developer };
    framed(status, page.render(), [], None)
}
