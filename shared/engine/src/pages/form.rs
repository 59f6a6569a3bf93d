//! The form to connect with, and the choice between several ways to connect.

use askama::Template;
use http::StatusCode;
use larder::http::Response;
use serde_json::{Map, Value};

use super::schema_form::{Control, Field, LineKind, SchemaForm, get, is_web_address};
use super::{Language, Mark, PagePolicy, html, sentence, words};
use crate::connector::AuthOption;
use crate::connector::schema::{FieldError, FieldProblem};

/// More choices than this are a list to open.
const MAX_RADIOS: usize = 4;

/// The part that all pages before a connection have.
#[derive(Clone, Copy, Debug)]
pub struct FormHead<'a> {
    /// The language of the page.
    pub language: Language,
    /// The name of the integration.
    pub name: &'a str,
    /// The name of the provider.
    pub provider: &'a str,
    /// The integration's mark.
    pub mark: &'a Mark,
    /// Whether a connection is reconnected.
    pub is_reconnect: bool,
    /// The sealed request that the form continues.
    pub ticket: &'a str,
    /// Whether someone waits for a result, so that the end user can cancel.
    pub can_cancel: bool,
}

/// One of a connector's ways to connect.
#[derive(Clone, Copy, Debug)]
pub struct WayToConnect<'a> {
    /// The option.
    pub option: &'a AuthOption,
    /// Whether there are others.
    pub has_others: bool,
}

/// A form that is shown again.
#[derive(Clone, Copy, Debug)]
pub struct FormRetry<'a> {
    /// The reason.
    pub banner: &'a FormBanner,
    /// The input that was tried. Its secrets are not shown, but have to be entered again.
    pub input: &'a Map<String, Value>,
}

/// The reason why a form is shown again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormBanner {
    /// Values do not match the schema.
    Invalid(Vec<FieldError>),
    /// The provider rejected what the end user entered.
    Rejected(String),
    /// Something else went wrong.
    Failed(String),
}

#[derive(Template)]
#[template(path = "choice.html")]
struct ChoicePage<'a> {
    head: FormHead<'a>,
    language: Language,
    title: String,
    ways: Vec<WayView<'a>>,
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
}

struct WayView<'a> {
    key: &'a str,
    title: String,
    description: &'a str,
}

struct BannerView {
    title: String,
    /// The words of the provider, or of an error, which are in English.
    detail: Option<String>,
    /// The wrong fields: the id, the title and the error.
    fields: Vec<(String, String, String)>,
    /// Errors that belong to no field.
    others: Vec<String>,
}

struct FieldView {
    id: String,
    name: String,
    title: String,
    description: Option<String>,
    note: Option<&'static str>,
    help_uri: Option<String>,
    is_required: bool,
    /// Whether it can be left empty, which a choice with a default cannot.
    is_optional: bool,
    error: Option<String>,
    has_focus: bool,
    described_by: String,
    control: ControlView,
}

enum ControlView {
    Group(Vec<FieldView>),
    Line(LineView),
    Block { value: String, is_secret: bool },
    Checkbox { is_checked: bool },
    Radio(Vec<ChoiceView>),
    Select(Vec<ChoiceView>),
}

struct LineView {
    kind: &'static str,
    keyboard: &'static str,
    autocomplete: &'static str,
    value: String,
}

struct ChoiceView {
    value: String,
    label: String,
    is_chosen: bool,
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
        title: title(head),
        ways: options.iter().copied().map(way).collect(),
    };
    html(StatusCode::OK, page.render(), policy(head))
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
    let mut views = Views { language, values, retry, next_id: 0, has_focus: false, wrong: Vec::new() };
    let fields_shown = views.of(&fields.fields);
    let wrong = views.wrong;
    let page = FormPage {
        head,
        language,
        title: title(head),
        way: way.option,
        has_other_ways: way.has_others,
        help_uri: way.option.help_uri.as_deref().filter(|uri| is_web_address(uri)),
        banner: retry.map(|retry| BannerView::new(retry.banner, head, fields, wrong)),
        fields: fields_shown,
    };
    html(StatusCode::OK, page.render(), policy(head))
}

fn policy(head: FormHead<'_>) -> PagePolicy<'_> {
    let images = head.mark.logo.as_ref().map(|logo| &logo.origin);
    // Nobody may frame it: an end user could be made to click on something that another page hides.
    PagePolicy { images, has_form: true, ..PagePolicy::default() }
}

fn title(head: FormHead<'_>) -> String {
    let words = if head.is_reconnect { words::RECONNECT_NAME } else { words::CONNECT_NAME };
    words.with(head.language, head.name)
}

fn title_of(option: &AuthOption, head: FormHead<'_>) -> String {
    let own = option.title.clone().filter(|title| !title.trim().is_empty());
    own.unwrap_or_else(|| {
        if option.kind.is_immediate() {
            words::ENTER_DETAILS.say(head.language).to_owned()
        } else {
            words::SIGN_IN_WITH.with(head.language, head.provider)
        }
    })
}

impl BannerView {
    fn new(banner: &FormBanner, head: FormHead<'_>, form: &SchemaForm, fields: Vec<(String, String, String)>) -> Self {
        let language = head.language;
        // The names of parameters are in backticks, which mean nothing to end users.
        let detail = |message: &str| Some(sentence(&message.replace('`', "")));
        let (title, detail, others) = match banner {
            FormBanner::Invalid(errors) => {
                let others = errors.iter().filter(|error| field_of(form, error).is_none());
                let other = |error: &FieldError| format!("{} {}", error.field, error.message).trim().to_owned();
                (words::CHECK_FIELDS.say(language).to_owned(), None, others.map(other).collect())
            }
            FormBanner::Rejected(message) => {
                (words::NOT_ACCEPTED.with(language, head.provider), detail(message), Vec::new())
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

/// Makes the views of fields, in the order of the page.
struct Views<'a> {
    language: Language,
    values: &'a Map<String, Value>,
    retry: Option<FormRetry<'a>>,
    next_id: usize,
    has_focus: bool,
    wrong: Vec<(String, String, String)>,
}

impl Views<'_> {
    fn of(&mut self, fields: &[Field]) -> Vec<FieldView> {
        let shown = fields.iter().filter(|field| !matches!(field.control, Control::Constant(_)));
        shown.map(|field| self.view(field)).collect()
    }

    fn view(&mut self, field: &Field) -> FieldView {
        let id = format!("field-{}", self.next_id);
        self.next_id += 1;
        let known = get(self.values, &field.path);
        let error = self.error(field);
        let has_focus = error.is_some() && !self.has_focus;
        self.has_focus |= has_focus;
        if let Some(error) = &error {
            self.wrong.push((id.clone(), field.title.clone(), error.clone()));
        }
        let note = match &field.control {
            _ if field.is_secret() && known.is_some() => Some(words::KEPT),
            _ if field.is_secret() && self.was_tried(field) && error.is_none() => Some(words::ENTER_AGAIN),
            Control::List => Some(words::ONE_PER_LINE),
            Control::Json => Some(words::AS_JSON),
            Control::Line(LineKind::Time) => Some(words::IN_UTC),
            _ => None,
        };
        let note = note.map(|words| words.say(self.language));
        let parts = [
            ("error", error.is_some()),
            ("hint", field.description.is_some()),
            ("note", note.is_some()),
            ("help", field.help_uri.is_some()),
        ];
        let described_by: Vec<_> =
            parts.iter().filter(|(_, is_there)| *is_there).map(|(part, _)| format!("{id}-{part}")).collect();
        FieldView {
            id,
            name: field.name(),
            title: field.title.clone(),
            description: field.description.clone(),
            note,
            help_uri: field.help_uri.clone(),
            is_required: field.is_required,
            is_optional: !field.is_required
                && !(field.default.is_some() && matches!(field.control, Control::Choice(_))),
            error,
            has_focus,
            described_by: described_by.join(" "),
            control: self.control(field, known.or(field.default.as_ref())),
        }
    }

    fn control(&mut self, field: &Field, value: Option<&Value>) -> ControlView {
        // A secret never goes to a page.
        let value = value.filter(|_| !field.is_secret());
        let text = || value.map(|value| field.text(value)).unwrap_or_default();
        let line =
            |kind, keyboard, autocomplete| ControlView::Line(LineView { kind, keyboard, autocomplete, value: text() });
        match &field.control {
            Control::Group(fields) => ControlView::Group(self.of(fields)),
            Control::Line(kind) => match kind {
                LineKind::Text => line("text", "text", autocomplete(&field.path)),
                // Password managers would fill in the password of this website.
                LineKind::Secret => line("password", "text", "new-password"),
                LineKind::Email => line("email", "email", "email"),
                LineKind::Url => line("url", "url", "url"),
                LineKind::Date => line("date", "text", "off"),
                LineKind::Time => line("datetime-local", "text", "off"),
            },
            // An input of the type `number` loses what is not a number.
            Control::Number { is_whole: true } => line("text", "numeric", "off"),
            Control::Number { is_whole: false } => line("text", "decimal", "off"),
            Control::Block { is_secret } => ControlView::Block { value: text(), is_secret: *is_secret },
            Control::List | Control::Json => ControlView::Block { value: text(), is_secret: false },
            Control::Checkbox => ControlView::Checkbox { is_checked: value == Some(&Value::Bool(true)) },
            Control::Choice(choices) => {
                let is_radio = choices.len() <= MAX_RADIOS;
                let chosen = value.and_then(|value| choices.iter().position(|choice| choice.value == *value));
                let mut views: Vec<_> = choices
                    .iter()
                    .enumerate()
                    .map(|(at, choice)| ChoiceView {
                        value: field.text(&choice.value),
                        label: choice.label.clone(),
                        is_chosen: Some(at) == chosen,
                    })
                    .collect();
                let none = |words: words::Words| ChoiceView {
                    value: String::new(),
                    label: words.say(self.language).to_owned(),
                    is_chosen: chosen.is_none(),
                };
                if !field.is_required && field.default.is_none() {
                    views.insert(0, none(words::NO_CHOICE));
                } else if !is_radio && chosen.is_none() {
                    views.insert(0, none(words::CHOOSE));
                }
                if is_radio { ControlView::Radio(views) } else { ControlView::Select(views) }
            }
            Control::Constant(_) => ControlView::Group(Vec::new()),
        }
    }

    fn error(&self, field: &Field) -> Option<String> {
        if matches!(field.control, Control::Group(_)) {
            return None;
        }
        match self.retry?.banner {
            FormBanner::Rejected(_) if field.is_secret() && self.was_tried(field) => {
                Some(words::COPY_AGAIN.say(self.language).to_owned())
            }
            FormBanner::Invalid(errors) => {
                let is_of = |error: &&FieldError| {
                    let is_in_group = !error.path.is_empty() && field.path.starts_with(&error.path);
                    error.path.starts_with(&field.path) || (is_in_group && field.is_required)
                };
                errors.iter().find(is_of).map(|error| self.message(field, error))
            }
            _ => None,
        }
    }

    /// Whether the field had a value when the form was submitted.
    fn was_tried(&self, field: &Field) -> bool {
        self.retry.is_some_and(|retry| get(retry.input, &field.path).is_some())
    }

    fn message(&self, field: &Field, error: &FieldError) -> String {
        let value = match &error.problem {
            FieldProblem::TooShort(limit) | FieldProblem::TooLong(limit) => limit.to_string(),
            FieldProblem::TooSmall(limit) | FieldProblem::TooLarge(limit) => limit.clone(),
            FieldProblem::Described => return sentence(&error.message),
            _ => String::new(),
        };
        let words = match (&error.problem, &field.control) {
            (FieldProblem::Missing | FieldProblem::Empty, Control::Choice(_)) => words::MISSING_CHOICE,
            (FieldProblem::Missing | FieldProblem::Empty, _) => words::MISSING,
            (FieldProblem::TooShort(_), _) => words::TOO_SHORT,
            (FieldProblem::TooLong(_), _) => words::TOO_LONG,
            (FieldProblem::TooSmall(_), _) => words::TOO_SMALL,
            (FieldProblem::TooLarge(_), _) => words::TOO_LARGE,
            (FieldProblem::Type, Control::Number { is_whole: true }) => words::NOT_A_WHOLE_NUMBER,
            (FieldProblem::Type, Control::Number { is_whole: false }) => words::NOT_A_NUMBER,
            (FieldProblem::Format, Control::Line(LineKind::Email)) => words::NOT_AN_EMAIL,
            (FieldProblem::Format, Control::Line(LineKind::Url)) => words::NOT_A_URL,
            (FieldProblem::Format, Control::Line(LineKind::Date | LineKind::Time)) => words::NOT_A_DATE,
            (FieldProblem::Format, _) => words::NOT_THE_FORMAT,
            (FieldProblem::NotListed, _) => words::NOT_LISTED,
            _ => words::NOT_VALID,
        };
        words.with(self.language, &value)
    }
}

/// Returns the autofill field of a string (HTML, "Autofill").
fn autocomplete(path: &[String]) -> &'static str {
    let name = path.last().map(|name| name.to_lowercase()).unwrap_or_default();
    match name.as_str() {
        "username" | "user" | "login" => "username",
        "organization" | "company" => "organization",
        _ => "off",
    }
}
