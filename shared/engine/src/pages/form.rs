//! The form to connect with, and the choice between several ways to connect.

use askama::Template;
use http::StatusCode;
use larder::http::Response;
use serde_json::{Map, Value, json};

use super::fields::{ControlView, FieldView, FormBanner, FormRetry, Views};
use super::schema_form::{Field, SchemaForm, is_web_address};
use super::{ForPeople, Language, Mark, PagePolicy, ScreenFrame, html, words};
use crate::connector::AuthOption;
use crate::connector::schema::FieldError;

/// The part that all pages before a connection have.
#[derive(Clone, Copy, Debug)]
pub struct FormHead<'a> {
    /// The language of the page.
    pub language: Language,
    /// The name of the integration.
    pub name: &'a str,
    /// The integration's mark.
    pub mark: &'a Mark,
    /// Whether a connection is reconnected.
    pub is_reconnect: bool,
    /// The name of that connection.
    pub connection: Option<&'a str>,
    /// The fields that lead the form back to the request that it continues: names and values.
    pub hidden: &'a [(&'a str, &'a str)],
    /// Whether someone waits for a result, so that the end user can cancel.
    pub can_cancel: bool,
    /// The application's page around the form. Without one, nobody may frame it.
    pub frame: Option<ScreenFrame<'a>>,
}

impl FormHead<'_> {
    /// The URL that forms lead to.
    pub(super) fn action(&self) -> &str {
        self.frame.map_or("connect", |frame| frame.action)
    }

    /// The title of a page that connects.
    pub(super) fn title(&self) -> String {
        let words = if self.is_reconnect { words::RECONNECT_NAME } else { words::CONNECT_NAME };
        match self.connection.filter(|own| self.is_reconnect && *own != self.name) {
            // There may be several.
            Some(own) => words.with(self.language, &format!("{} · {own}", self.name)),
            None => words.with(self.language, self.name),
        }
    }

    /// The policy of a page. Outside of frames, nobody may frame it: an end user could be made to click on something that
    /// another page hides.
    pub(super) fn policy(&self) -> PagePolicy<'_> {
        let images = self.mark.logo.as_ref().map(|logo| std::slice::from_ref(&logo.origin)).unwrap_or_default();
        let policy = self.frame.as_ref().map(ScreenFrame::policy).unwrap_or_default();
        PagePolicy { images, has_form: true, ..policy }
    }

    /// The data of the script for frames.
    fn screen(&self) -> Option<String> {
        self.frame.map(|frame| frame.data(&json!([]), None))
    }
}

/// One of a connector's ways to connect.
#[derive(Clone, Copy, Debug)]
pub struct WayToConnect<'a> {
    /// The option.
    pub option: &'a AuthOption,
    /// Whether there are others.
    pub has_others: bool,
}

#[derive(Template)]
#[template(path = "choice.html")]
struct ChoicePage<'a> {
    head: FormHead<'a>,
    language: Language,
    title: String,
    ways: Vec<WayView<'a>>,
    screen: Option<String>,
}

#[derive(Template)]
#[template(path = "form.html")]
struct FormPage<'a> {
    head: FormHead<'a>,
    language: Language,
    title: String,
    way: &'a AuthOption,
    has_other_ways: bool,
    help_uri: Option<&'a str>,
    banner: Option<BannerView>,
    fields: Vec<FieldView>,
    screen: Option<String>,
}

struct WayView<'a> {
    key: &'a str,
    title: String,
    description: &'a str,
}

struct BannerView {
    title: String,
    /// The words of the provider, or of an error.
    detail: Option<ForPeople>,
    /// The wrong fields: the id, the title and the error.
    fields: Vec<(String, String, String)>,
    /// Errors that belong to no field.
    others: Vec<String>,
}

/// Renders the choice between several ways to connect.
pub fn choice<'a>(head: FormHead<'a>, options: &[&'a AuthOption]) -> Response {
    let way = |option: &'a AuthOption| WayView {
        key: &option.key,
        title: title_of(option, head),
        description: option.description.as_deref().unwrap_or_default(),
    };
    let page = ChoicePage {
        head,
        language: head.language,
        title: head.title(),
        ways: options.iter().copied().map(way).collect(),
        screen: head.screen(),
    };
    html(StatusCode::OK, page.render(), head.policy())
}

/// Renders the form of one way to connect, filled in with the values that are not secret.
pub fn form(
    head: FormHead<'_>,
    way: WayToConnect<'_>,
    fields: &SchemaForm,
    values: &Map<String, Value>,
    retry: Option<FormRetry<'_>>,
) -> Response {
    let language = head.language;
    let mut views = Views::new(language, values, retry);
    let fields_shown = views.of(&fields.fields);
    let wrong = views.wrong;
    let page = FormPage {
        head,
        language,
        title: head.title(),
        way: way.option,
        has_other_ways: way.has_others,
        help_uri: way.option.help_uri.as_deref().filter(|uri| is_web_address(uri)),
        banner: retry.map(|retry| BannerView::new(retry.banner, head, fields, wrong)),
        fields: fields_shown,
        screen: head.screen(),
    };
    html(StatusCode::OK, page.render(), head.policy())
}

fn title_of(option: &AuthOption, head: FormHead<'_>) -> String {
    let own = option.title.clone().filter(|title| !title.trim().is_empty());
    own.unwrap_or_else(|| {
        if option.kind.is_immediate() {
            words::ENTER_DETAILS.say(head.language).to_owned()
        } else {
            words::SIGN_IN_WITH.with(head.language, head.name)
        }
    })
}

impl BannerView {
    fn new(banner: &FormBanner, head: FormHead<'_>, form: &SchemaForm, fields: Vec<(String, String, String)>) -> Self {
        let language = head.language;
        let detail = |message: &str| Some(ForPeople::of_message(message, language));
        let (title, detail, others) = match banner {
            FormBanner::Invalid(errors) => {
                let others = errors.iter().filter(|error| field_of(form, error).is_none());
                let other = |error: &FieldError| format!("{} {}", error.field, error.message).trim().to_owned();
                (words::CHECK_FIELDS.say(language).to_owned(), None, others.map(other).collect())
            }
            FormBanner::Rejected(message) => {
                (words::NOT_ACCEPTED.with(language, head.name), detail(message), Vec::new())
            }
            FormBanner::Failed(message) => (words::NOT_REACHED.say(language).to_owned(), detail(message), Vec::new()),
        };
        Self { title, detail, fields, others }
    }
}

/// Returns the field that an error belongs to: the field itself, or the first required one of its group.
fn field_of<'a>(form: &'a SchemaForm, error: &FieldError) -> Option<&'a Field> {
    let own = form.leaves().find(|field| error.path.starts_with(&field.path));
    let is_in_group = |field: &&Field| !error.path.is_empty() && field.path.starts_with(&error.path);
    own.or_else(|| form.leaves().filter(is_in_group).find(|field| field.is_required))
}
