//! The fields of a form as its template shows them.

use serde_json::{Map, Value};

use super::schema_form::{Control, Field, LineKind, ShownValues, get};
use super::{Language, sentence, words};
use crate::connector::schema::{FieldError, FieldProblem};

/// More choices than this are a list to open.
const MAX_RADIOS: usize = 4;

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

/// A field as the template `field.html` shows it.
pub(super) struct FieldView {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) note: Option<&'static str>,
    pub(super) example: Option<String>,
    pub(super) help_uri: Option<String>,
    pub(super) is_required: bool,
    /// Whether it can be left empty, which a choice with a default cannot.
    pub(super) is_optional: bool,
    pub(super) error: Option<String>,
    pub(super) has_focus: bool,
    /// Whether it has a stored value that is not shown.
    is_set: bool,
    /// Whether the checkbox that removes the stored value is checked. `None` without one.
    pub(super) removes: Option<bool>,
    pub(super) described_by: String,
    pub(super) control: ControlView,
}

pub(super) enum ControlView {
    Group(Vec<FieldView>),
    Line(LineView),
    Block { value: String, is_secret: bool },
    Checkbox { is_checked: bool },
    Radio(Vec<ChoiceView>),
    Select(Vec<ChoiceView>),
}

pub(super) struct LineView {
    pub(super) kind: &'static str,
    pub(super) keyboard: &'static str,
    pub(super) autocomplete: &'static str,
    pub(super) value: String,
}

pub(super) struct ChoiceView {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) is_chosen: bool,
}

/// Makes the views of fields, in the order of the page.
pub(super) struct Views<'a> {
    language: Language,
    values: &'a Map<String, Value>,
    /// The paths of stored values that are not shown.
    hidden: &'a [Vec<String>],
    /// Those that the form is about to remove.
    removed: &'a [Vec<String>],
    retry: Option<FormRetry<'a>>,
    next_id: usize,
    has_focus: bool,
    /// The wrong fields: the id, the title and the error.
    pub(super) wrong: Vec<(String, String, String)>,
}

impl<'a> Views<'a> {
    /// Starts a page with these values.
    pub(super) fn new(language: Language, values: &'a Map<String, Value>, retry: Option<FormRetry<'a>>) -> Self {
        Self { language, values, hidden: &[], removed: &[], retry, next_id: 0, has_focus: false, wrong: Vec::new() }
    }

    /// Continues the page with another form, which has these values.
    pub(super) fn continue_with(&mut self, shown: &'a ShownValues, retry: Option<FormRetry<'a>>) {
        self.values = &shown.values;
        self.hidden = &shown.hidden;
        self.removed = &shown.removed;
        self.retry = retry;
    }

    /// Returns the views of fields.
    pub(super) fn of(&mut self, fields: &[Field]) -> Vec<FieldView> {
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
        let is_set = self.hidden.contains(&field.path);
        let note = match &field.control {
            _ if field.is_secret() && known.is_some() => Some(words::KEPT),
            _ if field.is_secret() && self.was_tried(field) && error.is_none() => Some(words::ENTER_AGAIN),
            _ if is_set => Some(words::IS_SET),
            Control::List => Some(words::ONE_PER_LINE),
            Control::Json => Some(words::AS_JSON),
            Control::Line(LineKind::Time) => Some(words::IN_UTC),
            _ => None,
        };
        let note = note.map(|words| words.say(self.language));
        // The description or the error may mention it.
        let is_mentioned = |example: &&String| {
            [&field.description, &error].into_iter().flatten().any(|text| text.contains(example.as_str()))
        };
        let example = field.example.as_ref().filter(|example| !is_mentioned(example));
        let example = example.map(|example| words::FOR_EXAMPLE.with(self.language, example));
        let is_preselected = field.default.is_some() && matches!(field.control, Control::Choice(_));
        let parts = [
            ("error", error.is_some()),
            ("hint", field.description.is_some()),
            ("example", example.is_some()),
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
            example,
            help_uri: field.help_uri.clone(),
            is_required: field.is_required,
            is_optional: !field.is_required && !is_preselected,
            error,
            has_focus,
            is_set,
            removes: (is_set && !field.is_required).then(|| self.removed.contains(&field.path)),
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
            Control::List | Control::Json => ControlView::Block { value: text(), is_secret: field.is_secret() },
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
            FieldProblem::BeginningOf(end) => {
                return match &field.example {
                    Some(example) => words::PART_BEFORE_LIKE.with(self.language, end).replacen("{}", example, 1),
                    None => words::PART_BEFORE.with(self.language, end),
                };
            }
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
            (FieldProblem::Format, Control::Line(LineKind::Date | LineKind::Time)) => words::NOT_A_DATE,
            (FieldProblem::Format, control) => match (&field.example, control) {
                (Some(example), _) => return words::LIKE.with(self.language, example),
                (None, Control::Line(LineKind::Url)) => words::NOT_A_URL,
                (None, _) => words::NOT_THE_FORMAT,
            },
            (FieldProblem::NotListed, _) => words::NOT_LISTED,
            _ => words::NOT_VALID,
        };
        words.with(self.language, &value)
    }
}

impl FieldView {
    /// Whether it shows a value, or says that it has one.
    pub(super) fn is_filled(&self) -> bool {
        let has_value = match &self.control {
            ControlView::Group(fields) => fields.iter().any(Self::is_filled),
            ControlView::Line(line) => !line.value.is_empty(),
            ControlView::Block { value, .. } => !value.is_empty(),
            ControlView::Checkbox { is_checked } => *is_checked,
            ControlView::Radio(choices) | ControlView::Select(choices) => {
                choices.iter().any(|choice| choice.is_chosen && !choice.value.is_empty())
            }
        };
        has_value || self.is_set
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
