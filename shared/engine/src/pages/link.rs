//! The page of a connection request's link.

use askama::Template;
use http::StatusCode;
use larder::http::Response;

use super::{Language, Mark, PagePolicy, html, words};

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    language: Language,
    title: &'a str,
    detail: &'a str,
    link: &'a str,
    integrations: Vec<(&'a str, &'a str, Mark)>,
}

/// Renders the page of a connection request's link: with a button that continues, or with one for each integration that the
/// end user can choose, given by its key and its name. Its form leads back to the same path, and ends on a page of our own.
pub fn link(language: Language, link: &str, integrations: &[(String, String)]) -> Response {
    let (title, detail) = match integrations {
        [] => (words::CONNECT_YOUR_ACCOUNT, words::PRESS_CONTINUE),
        _ => (words::CONNECT_AN_ACCOUNT, words::CHOOSE_ACCOUNT),
    };
    let (title, detail) = (title.say(language), detail.say(language));
    let choices = integrations.iter().map(|(key, name)| (&**key, &**name, Mark::new(key, name, None)));
    let page = LinkPage { language, title, detail, link, integrations: choices.collect() };
    html(StatusCode::OK, page.render(), PagePolicy { has_form: true, ..PagePolicy::default() })
}
