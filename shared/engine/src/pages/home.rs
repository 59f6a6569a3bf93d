//! The pages around a session: signing in, and errors of visitors who are signed in.
//!
//! # Decisions
//!
//! A page that is opened without a session waits for one, since its visitor gets a link elsewhere and may open it in another tab. A
//! popup must not be left for it: it would lose the page that waits for its result.

use askama::Template;
use http::StatusCode;
use larder::http::Response;

use super::words::Words;
use super::{Frame, Language, PagePolicy, framed, html, words};

/// The script of a page that waits for a session.
const WAIT: &str = include_str!("../../templates/signed-out.js");

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage<'a> {
    language: Language,
    title: &'a str,
    link: &'a str,
}

#[derive(Template)]
#[template(path = "signed-out.html")]
struct SignedOutPage<'a> {
    language: Language,
    title: &'a str,
    reason: &'a str,
    advice: &'a str,
    /// The words around the command that prints a link.
    command: Option<(&'static str, &'static str)>,
    script: Option<&'static str>,
}

/// A visitor who has no session.
#[derive(Clone, Copy, Debug)]
pub struct SignedOut {
    /// The reason.
    pub reason: Words,
    /// The way to a link.
    pub advice: Words,
    /// Whether the visitor may be somebody who can run the program on this machine.
    pub names_command: bool,
    /// Whether the page is shown as soon as there is a session.
    pub waits: bool,
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

/// Renders the page that says how to sign in.
pub fn signed_out(status: StatusCode, language: Language, page: SignedOut) -> Response {
    let SignedOut { reason, advice, names_command, waits } = page;
    let script = waits.then_some(WAIT);
    let page = SignedOutPage {
        language,
        title: words::PLEASE_SIGN_IN.say(language),
        reason: reason.say(language),
        advice: advice.say(language),
        command: words::RUN_SIGN_IN.say(language).split_once("{}").filter(|_| names_command),
        script,
    };
    html(status, page.render(), PagePolicy { script, connects: waits, ..PagePolicy::default() })
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
