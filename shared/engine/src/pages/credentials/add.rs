//! The page that adds a credential: a choice of integrations.

use askama::Template;
use http::StatusCode;
use larder::http::Response;

use super::super::{Frame, Language, framed, words};
use super::card::{Component, Viewer};

/// The integrations to choose from.
pub struct AddPage<'a> {
    /// The visitor's point of view.
    pub viewer: Viewer<'a>,
}

#[derive(Template)]
#[template(path = "add.html")]
struct AddTemplate<'a> {
    frame: Frame<'a>,
    language: Language,
    components: &'a [Component],
}

/// Renders the choice of integrations.
pub fn add(frame: Frame<'_>, page: &AddPage<'_>) -> Response {
    let components = page.viewer.components;
    let template = AddTemplate { language: frame.language, components, frame };
    framed(StatusCode::OK, template.render(), components.iter().map(|component| &component.mark), None)
}
