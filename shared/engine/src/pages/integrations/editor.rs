//! The page of an integration, which is also the one that creates it: its form, its callback URI, and help to set it up.

use std::sync::Arc;

use askama::Template;
use http::StatusCode;
use larder::http::{Parameters, Response};
use serde_json::{Map, Value};

use super::super::fields::{ControlView, FieldView, FormBanner, FormRetry, Views};
use super::super::schema_form::ShownValues;
use super::super::{Frame, Language, Mark, SchemaForm, Tone, framed, sentence, words};
use super::help::Help;
use super::{EDITOR, IntegrationDetails, auth_name, text};
use crate::connector::schema::FieldError;
use crate::connector::{AuthType, Connector};

/// The most parameters of a connector that are all shown at once.
const MAX_UNFOLDED: usize = 10;

/// An integration as its form shows it.
#[derive(Clone, Debug)]
pub struct IntegrationForm {
    /// The integration as the API shows it to admins; null for a new one.
    pub view: Value,
    /// Its own details, by their names in the API.
    pub details: Map<String, Value>,
    /// Its connector, if it loads.
    pub connector: Option<Arc<Connector>>,
    /// The reason why the connector does not load.
    pub problem: Option<String>,
    /// The fields of the parameters.
    pub fields: SchemaForm,
    /// The stored parameters.
    pub parameters: ShownValues,
    /// The ways to connect, if there are several.
    pub options: Vec<FormOption>,
    /// The address to register at the provider.
    pub callback_uri: String,
}

/// A way to connect, as the form shows it.
#[derive(Clone, Debug)]
pub struct FormOption {
    /// Its key.
    pub key: String,
    /// Its title.
    pub title: String,
    /// Whether end users may use it, as far as the admin is concerned.
    pub is_enabled: bool,
    /// Whether it is open to end users, which may also need parameters.
    pub is_open: bool,
}

/// A form that was submitted, and why it was not saved.
pub struct Submitted<'a> {
    /// The fields.
    pub fields: &'a Parameters,
    /// The wrong details.
    pub details: Vec<FieldError>,
    /// The wrong parameters.
    pub parameters: Vec<FieldError>,
    /// An error that belongs to no field.
    pub error: Option<String>,
}

/// The state of the page.
#[derive(Default)]
pub struct IntegrationPage<'a> {
    /// The form that was submitted, if it was not saved.
    pub submitted: Option<Submitted<'a>>,
    /// How many connections use it.
    pub connections: Option<u64>,
    /// The question whether to delete it.
    pub asks_deletion: bool,
    /// Whether the visitor may change it.
    pub may_change: bool,
    /// Whether the visitor may connect through it.
    pub may_try: bool,
}

/// The page of an integration.
pub struct EditorPage<'a> {
    /// The integration.
    pub form: &'a IntegrationForm,
    /// The rest of the page.
    pub page: IntegrationPage<'a>,
}

#[derive(Template)]
#[template(path = "integration.html")]
struct EditorTemplate<'a> {
    frame: Frame<'a>,
    language: Language,
    is_new: bool,
    heading: String,
    connector: &'a str,
    key: &'a str,
    auth: &'static str,
    mark: Mark,
    state: Option<(Tone, &'static str)>,
    problem: Option<&'a str>,
    callback_uri: Option<&'a str>,
    help: Option<Help>,
    banner: Option<Banner>,
    details: Vec<FieldView>,
    fields: Vec<FieldView>,
    /// Those that are folded away.
    more: Vec<FieldView>,
    options: Vec<OptionView<'a>>,
    page: IntegrationPage<'a>,
}

struct OptionView<'a> {
    key: &'a str,
    title: &'a str,
    is_enabled: bool,
    is_waiting: bool,
}

/// Why the form was not saved.
struct Banner {
    title: &'static str,
    detail: Option<String>,
    fields: Vec<(String, String, String)>,
    others: Vec<String>,
}

/// Renders the page.
pub fn integration(status: StatusCode, frame: Frame<'_>, editor: EditorPage<'_>) -> Response {
    let EditorPage { form, page } = editor;
    let language = frame.language;
    let is_new = form.view.is_null();
    let details_form = IntegrationDetails::new(is_new);
    let state = FormState::new(form, &details_form, &page);

    let none = Map::new();
    let mut views = Views::new(language, &none, None);
    fn retry<'a>(banner: Option<&'a FormBanner>, input: &'a Map<String, Value>) -> Option<FormRetry<'a>> {
        Some(FormRetry { banner: banner?, input })
    }
    views.continue_with(&state.details, retry(state.wrong_details.as_ref(), &state.details.values));
    let details = views.of(&details_form.form.fields);
    views.continue_with(&state.parameters, retry(state.wrong_parameters.as_ref(), &state.entered));
    let (fields, more) = folded(views.of(&form.fields.fields));
    let wrong = views.wrong;

    let name = text(&form.view, "name");
    let connector = form.connector.as_deref();
    let connector_name = connector.map_or_else(|| text(&form.view, "connectorKey"), |it| it.name.as_str());
    let heading = if is_new { format!("New integration: {connector_name}") } else { name.to_owned() };
    let key = if is_new { connector.map_or("", |it| it.key.as_str()) } else { text(&form.view, "key") };
    let logo = form.view["logoUri"].as_str().or_else(|| connector.and_then(|it| it.logo_uri.as_deref()));
    let mark = Mark::new(key, if is_new { connector_name } else { name }, logo);
    let leads_to_provider = |kind: &AuthType| matches!(kind, AuthType::OAuth2 | AuthType::OAuth1 | AuthType::Proxy(_));
    let has_callback = connector.is_some_and(|it| it.options.iter().any(|option| leads_to_provider(&option.kind)));
    let first = connector.and_then(|it| it.options.first());
    let template = EditorTemplate {
        language,
        is_new,
        connector: connector_name,
        key,
        auth: first.map_or("", |option| auth_name(option.kind.spec_name())),
        state: (!is_new).then_some(match form.problem {
            None => (Tone::Good, "Ready"),
            Some(_) => (Tone::Bad, "Connector does not load"),
        }),
        problem: form.problem.as_deref(),
        callback_uri: Some(form.callback_uri.as_str()).filter(|_| has_callback),
        help: connector.and_then(|it| Help::new(&it.about.details)),
        banner: page.submitted.as_ref().map(|submitted| Banner::new(submitted, &form.fields, wrong)),
        details,
        fields,
        more,
        options: form.options.iter().map(|option| OptionView::new(option, page.submitted.as_ref())).collect(),
        heading,
        mark: mark.clone(),
        page,
        frame,
    };
    framed(status, template.render(), [&mark], Some(EDITOR))
}

/// The values of the form: the stored ones, or those that were submitted.
struct FormState {
    details: ShownValues,
    wrong_details: Option<FormBanner>,
    parameters: ShownValues,
    /// The parameters that were submitted, with their secrets, which are not shown.
    entered: Map<String, Value>,
    wrong_parameters: Option<FormBanner>,
}

impl FormState {
    fn new(form: &IntegrationForm, details: &IntegrationDetails, page: &IntegrationPage<'_>) -> Self {
        let Some(Submitted { fields, details: wrong_details, parameters: wrong, .. }) = &page.submitted else {
            return Self {
                details: details.form.shown(&form.details),
                wrong_details: None,
                parameters: form.parameters.clone(),
                entered: Map::new(),
                wrong_parameters: None,
            };
        };
        let entered = form.fields.read(fields, &Map::new());
        let values = form.fields.shown(&entered).values;
        Self {
            details: details.form.shown(&details.read(fields)),
            wrong_details: Some(FormBanner::Invalid(wrong_details.clone())),
            parameters: ShownValues {
                values,
                hidden: form.parameters.hidden.clone(),
                removed: form.fields.removed(fields),
            },
            entered,
            wrong_parameters: Some(FormBanner::Invalid(wrong.clone())),
        }
    }
}

/// Splits the fields into those that most integrations need, and the others, if there are many.
fn folded(fields: Vec<FieldView>) -> (Vec<FieldView>, Vec<FieldView>) {
    if fields.len() <= MAX_UNFOLDED {
        return (fields, Vec::new());
    }
    let common = ["clientId", "clientSecret", "scopes"].map(|name| format!("input/{name}"));
    fields.into_iter().partition(|field| {
        field.is_required || field.error.is_some() || field.is_filled() || common.contains(&field.name)
    })
}

impl<'a> OptionView<'a> {
    fn new(option: &'a FormOption, submitted: Option<&Submitted<'_>>) -> Self {
        let is_sent = |fields: &Parameters| fields.iter().any(|(name, key)| name == "option" && key == option.key);
        let is_enabled = submitted.map_or(option.is_enabled, |submitted| is_sent(submitted.fields));
        let FormOption { key, title, is_open, .. } = option;
        Self { key, title, is_enabled, is_waiting: option.is_enabled && !is_open }
    }
}

impl Banner {
    fn new(submitted: &Submitted<'_>, form: &SchemaForm, fields: Vec<(String, String, String)>) -> Self {
        let has_field = |error: &&FieldError| form.leaves().any(|field| error.path.starts_with(&field.path));
        let others = submitted.parameters.iter().filter(|error| !has_field(error));
        let other = |error: &FieldError| sentence(format!("{} {}", error.field, error.message).trim());
        let title = if submitted.error.is_some() { "It was not saved" } else { "Please check your details" };
        let detail = submitted.error.as_ref().map(|error| sentence(&error.replace('`', "")));
        Self { title, detail, fields, others: others.map(other).collect() }
    }
}
