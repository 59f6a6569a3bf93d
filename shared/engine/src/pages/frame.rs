//! The frame of the pages behind sign-in: the header, the navigation, and a notice of what just happened.
//!
//! A page is a template that extends `frame.html` and has a member `frame`. It fills the block `content`, and [`framed`] responds
//! with it.
//!
//! # Decisions
//!
//! All links are relative, since the browser may know us by another name or under a path: `root` leads to the first page.
//!
//! The components of these pages are in a style sheet of their own, so that the pages of end users stay small.

use http::StatusCode;
use larder::caller::Caller;
use larder::http::Response;
use larder::scope::Scope;

use super::{ForPeople, Language, Mark, Origin, PagePolicy, html, words};

/// The style sheet of the pages behind sign-in, after that of every page.
pub const FRAME_STYLE: &str = include_str!("../../templates/frame.css");

/// The most origins of images on a page: the policy is a header, whose size is limited. Other logos are shown as initials.
const MAX_IMAGE_ORIGINS: usize = 40;

/// The parts that all pages behind sign-in have.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// The language of the page.
    pub language: Language,
    /// The title of the page.
    pub title: String,
    /// The way to the first page, such as `./` or `../`.
    pub root: &'static str,
    /// The visitor.
    pub caller: &'a Caller,
    /// The token that every form must carry.
    pub form_token: &'a str,
    /// The current search.
    pub search: &'a str,
    /// The other filters of the list, which a search keeps: names and values.
    pub kept: Vec<(String, String)>,
    /// The navigation.
    pub nav: Vec<NavItem>,
    /// The outcome of what the visitor just did.
    pub notice: Option<Notice>,
}

/// A link of the navigation.
#[derive(Clone, Debug)]
pub struct NavItem {
    /// Its address, relative to the page.
    pub href: String,
    /// Its name.
    pub name: String,
    /// The mark of an integration.
    pub mark: Option<Mark>,
    /// A number beside the name.
    pub count: Option<Count>,
    /// Whether it leads to this page.
    pub is_current: bool,
}

/// A number with a meaning.
#[derive(Clone, Debug)]
pub struct Count {
    /// The number, such as `54` or `1,000+`.
    pub number: String,
    /// Its meaning for people who only hear the page, such as `Credentials: 54`.
    pub spoken: String,
    /// Its color.
    pub tone: Tone,
}

/// The outcome of what the visitor just did.
#[derive(Clone, Debug)]
pub struct Notice {
    /// One sentence.
    pub title: String,
    /// More, for example a provider's words.
    pub detail: Option<ForPeople>,
    /// Links to what prevented it, such as flows: the name, and the address if there is one.
    pub links: Vec<(String, Option<String>)>,
    /// Its color.
    pub tone: Tone,
}

/// The meaning of a color. It is never the only sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Something may need attention soon.
    Warn,
    /// Something needs attention.
    Bad,
    /// None of these.
    #[default]
    None,
}

impl Tone {
    /// Returns the class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::None => "none",
        }
    }
}

impl Notice {
    /// Creates one of a single sentence.
    pub fn new(title: &str, tone: Tone) -> Self {
        Self { title: title.to_owned(), detail: None, links: Vec::new(), tone }
    }
}

impl<'a> Frame<'a> {
    /// Creates the frame of a page without navigation.
    pub fn new(language: Language, title: String, root: &'static str, caller: &'a Caller, form_token: &'a str) -> Self {
        Self { language, title, root, caller, form_token, search: "", kept: Vec::new(), nav: Vec::new(), notice: None }
    }

    /// Whether the visitor may add credentials.
    pub(super) fn may_connect(&self) -> bool {
        self.caller.scopes.include(Scope::ConnectionsConnect)
    }

    /// Whether the visitor may see how integrations are set up.
    pub(super) fn may_see_integrations(&self) -> bool {
        self.caller.admin && self.caller.scopes.include(Scope::IntegrationsRead)
    }

    /// The name of what the visitor sees: the workspace, or the tenant's own part of it.
    pub(super) fn place(&self) -> String {
        match &self.caller.tenant {
            Some(tenant) if !self.caller.admin => tenant.clone(),
            _ => words::THE_WORKSPACE.with(self.language, &self.caller.workspace),
        }
    }
}

/// Responds with a rendered page in its frame. Only the logos of `marks` may load.
pub fn framed<'m>(
    status: StatusCode,
    rendered: askama::Result<String>,
    marks: impl IntoIterator<Item = &'m Mark>,
    script: Option<&str>,
) -> Response {
    let mut images: Vec<Origin> = Vec::new();
    for origin in marks.into_iter().filter_map(|mark| Some(&mark.logo.as_ref()?.origin)) {
        if images.len() < MAX_IMAGE_ORIGINS && !images.contains(origin) {
            images.push(origin.clone());
        }
    }
    let policy = PagePolicy {
        images: &images,
        script,
        is_framed: true,
        has_form: true,
        connects: script.is_some(),
        ..PagePolicy::default()
    };
    html(status, rendered, policy)
}
