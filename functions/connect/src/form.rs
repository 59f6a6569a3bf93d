//! The form of `/connect`: it asks an end user for the values that are missing, and for a way to connect if there are several.
//!
//! ```text
//! GET /connect?token=… ──▶ GET /connect?formTicket=… ──▶ choice ──▶ form ⇄ errors ──▶ the result, or the provider
//! GET /connect?connectionRequestId=… ──────────────────▶
//! ```
//!
//! # Decisions
//!
//! A form is shown only in a window of its own (`Sec-Fetch-Dest: document`). In a frame, nobody would see it: the SDKs
//! connect API keys in a frame of one pixel and wait for the result. The frames of hosted screens have routes of their own; see
//! [`crate::screen`].
//!
//! The token of the link is verified once. From then on, a ticket stands for it: the sealed request, which is good for half an
//! hour, only for this form, and reads no credentials. The browser is redirected from the link to the ticket, so that the
//! token is neither in the address bar nor in the history while someone looks for an API key.
//!
//! The link of a connection request needs no ticket. It is good for one browser and reads nothing, so its forms take it along,
//! and each of them opens the request again: they end when it is canceled, and no page contains what it holds.
//!
//! A submitted form must come from a page of ours (`Sec-Fetch-Site`, and `Origin`). Otherwise another website could make a
//! visitor connect an account that isn't theirs.
//!
//! A reconnect asks again for values that are secret, since they are what stopped working. The other stored values are filled in.
//!
//! An attempt that the end user can correct in the form does not end a connection request. Clients that poll would stop too early.

use std::sync::Arc;

use http::{Method, StatusCode};
use larder::caller::Caller;
use larder::dynamodb::Integration;
use larder::error::{Error, ErrorType};
use larder::http::{Parameters, Request, Response, host, is_form, redirect, status_of};
use larder_engine::connect::{ConnectFailure, Delivery};
use larder_engine::connector::schema::{self, FieldError, FieldProblem};
use larder_engine::connector::{AuthOption, Connector};
use larder_engine::connector_setup::logo;
use larder_engine::pages::{
    self, FormBanner, FormHead, FormRetry, Language, Mark, SchemaForm, ScreenFrame, WayToConnect, is_own_origin, words,
};
use serde_json::{Map, Value};

use crate::request::ConnectRequest;
use crate::{Connect, ConnectTarget};

/// The longest ticket that goes into a URL. API Gateway accepts 10,240 bytes of request line and headers.
const MAX_TICKET_IN_URL: usize = 4000;
/// The name of the ticket's parameter.
const TICKET: &str = "formTicket";
/// The name of the field by which a submitted form differs from a choice.
pub(crate) const FILLED: &str = "filled";
/// The name of the button that cancels.
pub(crate) const CANCEL: &str = "cancel";

/// A form's hidden fields, by name, that lead it back to its request.
type Hidden<'a> = Vec<(&'a str, &'a str)>;

/// The circumstances in which an end user may be asked.
pub(crate) struct Asking<'a> {
    request: &'a Request,
    caller: &'a Caller,
    integration: &'a Integration,
    delivery: &'a Delivery,
    /// The fields that a form takes along. Without them, it needs a ticket.
    hidden: Option<Hidden<'a>>,
    /// The application's page around the form.
    frame: Option<ScreenFrame<'a>>,
}

/// The next step of an end user.
pub(crate) enum Step<T> {
    /// A page asks for something.
    Ask(Response),
    /// Everything is known, so connecting has begun.
    Begun(T),
}

impl<'a> Asking<'a> {
    /// Describes a request that came without a ticket.
    pub(crate) fn new(
        request: &'a Request,
        caller: &'a Caller,
        integration: &'a Integration,
        delivery: &'a Delivery,
    ) -> Self {
        Self { request, caller, integration, delivery, hidden: None, frame: None }
    }

    /// Gives forms fields to take along.
    pub(crate) fn with_hidden(self, hidden: Hidden<'a>) -> Self {
        Self { hidden: Some(hidden), ..self }
    }

    /// Shows forms in a frame of the application.
    pub(crate) fn with_frame(self, frame: ScreenFrame<'a>) -> Self {
        Self { frame: Some(frame), ..self }
    }
}

/// A page with a form, before its hidden fields are known.
struct FormPage<'a> {
    connector: &'a Connector,
    options: &'a [Arc<AuthOption>],
    is_reconnect: bool,
    /// The name of the connection that is reconnected.
    connection: Option<String>,
}

impl<'a> FormPage<'a> {
    fn new(connector: &'a Connector, options: &'a [Arc<AuthOption>], target: &ConnectTarget) -> Self {
        Self { connector, options, is_reconnect: target.option_key.is_some(), connection: target.name.clone() }
    }
}

/// Returns the ticket of a request that continues with a form.
pub(crate) fn ticket(request: &Request) -> Option<String> {
    let of = |parameters: Parameters| {
        parameters.iter().find(|(name, _)| *name == TICKET).map(|(_, ticket)| ticket.to_owned())
    };
    match *request.method() {
        Method::POST if is_form(request.headers()) => of(Parameters::parse(request.body())),
        Method::GET => of(Parameters::of_query(request)),
        _ => None,
    }
}

impl Connect {
    /// Returns the page that asks the end user for missing values or for a way to connect, if there is something to ask and
    /// someone who sees it. `is_choosing` asks for another way to connect.
    async fn ask(
        &self,
        asking: &Asking<'_>,
        wanted: &ConnectRequest,
        is_choosing: bool,
    ) -> Result<Option<Response>, Error> {
        let is_framed = asking.frame.is_some();
        let is_window = asking.request.headers().get("sec-fetch-dest").is_some_and(|value| value == "document");
        let may_override = wanted.connector_parameters.is_empty() || asking.caller.require_override().is_ok();
        if !(is_framed || is_window) || !may_override || wanted.interaction.as_deref() == Some("none") {
            return Ok(None);
        }
        let (connector, options) = self.ways(asking, wanted).await?;
        let has_fields = |option: &Arc<AuthOption>| !form_of(option, wanted).is_empty();
        if !is_framed && options.len() < 2 && !options.iter().any(has_fields) {
            return Ok(None);
        }
        let target = self.target(asking.caller, asking.integration, wanted).await?;
        let page = FormPage::new(&connector, &options, &target);
        let Some(option) = option(&options, wanted, &target, is_choosing) else {
            let is_unknown = wanted.auth_option_key.is_some() && !is_choosing;
            if is_unknown || options.is_empty() {
                return Ok(None);
            }
            return self.show(asking, wanted, &page, None).await.map(Some);
        };
        let form = form_of(option, wanted);
        let must_confirm = is_framed && option.kind.is_immediate();
        let Some(values) = values_to_ask(option, &form, wanted, target, must_confirm) else { return Ok(None) };
        self.show(asking, wanted, &page, Some((option, &form, &values))).await.map(Some)
    }

    /// Returns the connector and the ways to connect that are open to the end user.
    async fn ways(
        &self,
        asking: &Asking<'_>,
        wanted: &ConnectRequest,
    ) -> Result<(Arc<Connector>, Vec<Arc<AuthOption>>), Error> {
        let (connector, mut options) =
            self.connector_setup.options(asking.integration, &wanted.connector_parameters).await?;
        options.retain(|option| wanted.requested.option_key.as_ref().is_none_or(|only| *only == option.key));
        Ok((connector, options))
    }

    /// Shows the choice, or the form of an option with these values. Browsers with a token in their address bar get there by
    /// a redirect.
    async fn show(
        &self,
        asking: &Asking<'_>,
        wanted: &ConnectRequest,
        page: &FormPage<'_>,
        form: Option<(&AuthOption, &SchemaForm, &Map<String, Value>)>,
    ) -> Result<Response, Error> {
        let ticket;
        let sealed;
        let hidden: &[_] = match &asking.hidden {
            Some(hidden) => hidden,
            None => {
                sealed = self.seal_ticket(asking.caller, wanted).await?;
                if *asking.request.method() == Method::GET && sealed.len() <= MAX_TICKET_IN_URL {
                    return Ok(redirect(&format!("connect?{TICKET}={sealed}")));
                }
                ticket = [(TICKET, &*sealed)];
                &ticket
            }
        };
        Ok(match form {
            Some((option, form, values)) => page.form(asking, hidden, option, form, values, None),
            None => page.choice(asking, hidden),
        })
    }

    /// Continues with a choice or a form that was submitted, or shows it again.
    ///
    /// # Errors
    /// 403 if another website sent the form; 400 if the ticket is too old or was changed; when a store fails.
    pub(crate) async fn continue_form(&self, request: &Request, ticket: &str) -> Result<Response, Error> {
        let language = Language::of(request.headers());
        let is_submitted = *request.method() == Method::POST;
        if is_submitted && !is_from_our_page(request, &self.connector_setup.base_uri) {
            return Err(Error::access_denied("").for_people(words::OTHER_SITE.say(language)));
        }
        let form = if is_submitted { Parameters::parse(request.body()) } else { Parameters::default() };
        let (caller, wanted) = self.open_ticket(ticket, language).await?;
        let integration = self.integration(&caller, &wanted).await?;
        let delivery = self.delivery(&integration, &wanted, language)?;
        let connection_id = wanted.connection_id.clone();
        let asking = Asking::new(request, &caller, &integration, &delivery).with_hidden(vec![(TICKET, ticket)]);
        let response = match Box::pin(self.proceed(&asking, wanted, &form)).await {
            Ok(response) => response,
            Err(error) => delivery.failure(&ConnectFailure { error, connection_id }),
        };
        Ok(if is_submitted { pages::without_redirect(response, language) } else { response })
    }

    /// Asks the end user, or begins to connect if there is nothing to ask; see [`Self::step`].
    pub(crate) async fn proceed(
        &self,
        asking: &Asking<'_>,
        wanted: ConnectRequest,
        submitted: &Parameters,
    ) -> Result<Response, Error> {
        let &Asking { request, caller, integration, delivery, .. } = asking;
        // Boxed, as the futures of whole flows are large.
        let begin = |wanted| Box::pin(self.begin(caller, integration, wanted, delivery.clone(), host(request)));
        Ok(match self.step(asking, wanted, submitted, begin).await? {
            Step::Ask(response) | Step::Begun(response) => response,
        })
    }

    /// Asks the end user, or calls `begin` if there is nothing to ask. `submitted` are the fields of a form that was shown
    /// before.
    ///
    /// # Errors
    /// Those that the end user cannot correct in a form.
    pub(crate) async fn step<T, F: Future<Output = Result<T, Error>>>(
        &self,
        asking: &Asking<'_>,
        mut wanted: ConnectRequest,
        submitted: &Parameters,
        begin: impl Fn(ConnectRequest) -> F,
    ) -> Result<Step<T>, Error> {
        let &Asking { caller, integration, ref hidden, .. } = asking;
        if submitted.optional(CANCEL)?.is_some() {
            return Err(Error::connection(Some("cancelled"), "the end user canceled the connection"));
        }
        if wanted.requested.option_key.is_none()
            && let Some(key) = submitted.optional("authOptionKey")?
        {
            wanted.auth_option_key = Some(key.to_owned());
        }
        let (Some(hidden), Some(_)) = (hidden, submitted.optional(FILLED)?) else {
            let is_choosing = submitted.optional("choose")?.is_some();
            return match self.ask(asking, &wanted, is_choosing).await? {
                Some(page) => Ok(Step::Ask(page)),
                None => Ok(Step::Begun(begin(wanted).await?)),
            };
        };
        let (connector, options) = self.ways(asking, &wanted).await?;
        let option = options.iter().find(|option| wanted.auth_option_key.as_ref() == Some(&option.key));
        let Some(option) = option else {
            // The integration has changed since.
            return Err(Error::bad_request("this way to connect is no longer available; start over"));
        };
        let form = form_of(option, &wanted);
        let input = option.tidied(form.read(submitted, &wanted.input));
        let (status, banner, summary) = match check(option, &input, &wanted)? {
            errors if !errors.is_empty() => {
                (StatusCode::BAD_REQUEST, FormBanner::Invalid(errors), Error::bad_request(String::new()).summary())
            }
            _ => {
                let filled_in = ConnectRequest { input: input.clone(), is_filled_in: true, ..wanted.clone() };
                match begin(filled_in).await {
                    Ok(begun) => return Ok(Step::Begun(begun)),
                    Err(error) => {
                        (status_of(&error), correctable(&error).ok_or_else(|| error.clone())?, error.summary())
                    }
                }
            }
        };
        // What was typed is kept, except for secrets. Those of the link are kept, but never shown.
        let mut values = form.without_secrets(input.clone());
        merge(&mut values, form.secrets(&wanted.input));
        let target = self.target(caller, integration, &wanted).await?;
        let page = FormPage::new(&connector, &options, &target);
        let retry = FormRetry { banner: &banner, input: &input };
        let mut response = page.form(asking, hidden, option, &form, &values, Some(retry));
        *response.status_mut() = status;
        response.extensions_mut().insert(summary);
        Ok(Step::Ask(response))
    }
}

/// Returns the form of an option, without the values that the end user cannot change.
fn form_of(option: &AuthOption, wanted: &ConnectRequest) -> SchemaForm {
    SchemaForm::new(option.input_schema.as_ref()).without(&wanted.requested.locked_input)
}

/// Returns the errors of an input, after it is completed.
fn check(option: &AuthOption, input: &Map<String, Value>, wanted: &ConnectRequest) -> Result<Vec<FieldError>, Error> {
    option
        .check_input(&completed(option, input.clone(), wanted))
        .map_err(|unusable| Error::configuration(unusable.to_string()))
}

/// Adds locked values and defaults to an input.
fn completed(option: &AuthOption, mut input: Map<String, Value>, wanted: &ConnectRequest) -> Map<String, Value> {
    input.extend(wanted.requested.locked_input.clone());
    schema::with_defaults(option.input_schema.as_ref(), option.tidied(input))
}

impl FormPage<'_> {
    fn choice(&self, asking: &Asking<'_>, hidden: &[(&str, &str)]) -> Response {
        let options: Vec<&AuthOption> = self.options.iter().map(|option| &**option).collect();
        self.with_head(asking, hidden, |head| pages::choice(head, &options))
    }

    fn form(
        &self,
        asking: &Asking<'_>,
        hidden: &[(&str, &str)],
        option: &AuthOption,
        form: &SchemaForm,
        values: &Map<String, Value>,
        retry: Option<FormRetry<'_>>,
    ) -> Response {
        let way = WayToConnect { option, has_others: self.options.len() > 1 };
        self.with_head(asking, hidden, |head| pages::form(head, way, form, values, retry))
    }

    fn with_head(
        &self,
        asking: &Asking<'_>,
        hidden: &[(&str, &str)],
        page: impl FnOnce(FormHead<'_>) -> Response,
    ) -> Response {
        let Asking { integration, delivery, frame, .. } = asking;
        let name = integration.name.as_ref().unwrap_or(&self.connector.name);
        let Delivery { redirect_uri, request_id, request, .. } = delivery;
        page(FormHead {
            language: delivery.language,
            name,
            mark: &Mark::new(&integration.key, name, logo(integration, Some(self.connector))),
            is_reconnect: self.is_reconnect,
            connection: self.connection.as_deref(),
            hidden,
            can_cancel: frame.is_some() || redirect_uri.is_some() || request_id.is_some() || request.is_some(),
            frame: *frame,
        })
    }
}

/// Returns the option to connect with, if it is named, stored, or the only one.
fn option<'a>(
    options: &'a [Arc<AuthOption>],
    wanted: &ConnectRequest,
    target: &ConnectTarget,
    is_choosing: bool,
) -> Option<&'a Arc<AuthOption>> {
    let by_key = |key: &String| options.iter().find(|option| option.key == *key);
    match (options, &wanted.auth_option_key) {
        ([only], None) => Some(only),
        _ if is_choosing => None,
        (_, Some(key)) => by_key(key),
        (_, None) => target.option_key.as_ref().and_then(by_key),
    }
}

/// Returns the values to fill in, if the end user has to be asked for others.
fn values_to_ask(
    option: &AuthOption,
    form: &SchemaForm,
    wanted: &ConnectRequest,
    target: ConnectTarget,
    must_confirm: bool,
) -> Option<Map<String, Value>> {
    let is_given = !wanted.input.is_empty();
    let values = if is_given { option.tidied(wanted.input.clone()) } else { target.contents.input };
    let is_first = !is_given && values.is_empty() && wanted.requested.locked_input.is_empty();
    // The secrets of a connection are what its end user enters again.
    let asks_again = !is_given && option.kind.is_immediate() && form.has_secrets();
    let complete = completed(option, values.clone(), wanted);
    // A schema that is malformed is reported to the application.
    let errors = option.check_input(&complete).ok()?;
    let is_locked =
        |error: &FieldError| error.path.first().is_some_and(|name| wanted.requested.locked_input.contains_key(name));
    let is_asked = if errors.is_empty() {
        asks_again || (is_first && form.has_field_without(&complete))
    } else {
        // Values that are wrong in the link are the application's mistake.
        let is_missing = |error: &FieldError| error.problem == FieldProblem::Missing;
        !errors.iter().any(is_locked) && (!is_given || errors.iter().all(is_missing))
    };
    let values = if is_given { values } else { form.without_secrets(values) };
    (must_confirm || (is_asked && !form.is_empty() && !wanted.is_filled_in)).then_some(values)
}

/// Returns how a form shows an error that another attempt may avoid.
pub(crate) fn correctable(error: &Error) -> Option<FormBanner> {
    use larder::error::ErrorClass::{Denied, Internal, NotFound};
    // A connection's key is the application's.
    let is_of_application = error.kind == ErrorType::Configuration || error.key == Some("already_exists");
    if matches!(error.class, Denied | Internal | NotFound) || is_of_application {
        return None;
    }
    let banner = if error.key == Some("invalid_credentials") { FormBanner::Rejected } else { FormBanner::Failed };
    Some(banner(error.message.clone()))
}

/// Adds members to an object, and to the objects in it.
fn merge(object: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (object.get_mut(&name), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more),
            (_, value) => {
                object.insert(name, value);
            }
        }
    }
}

/// Whether a browser says that one of our own pages sent the form.
pub(crate) fn is_from_our_page(request: &Request, base_uri: &str) -> bool {
    request.headers().get("sec-fetch-site").is_some_and(|value| value == "same-origin")
        && is_own_origin(request, base_uri)
}
