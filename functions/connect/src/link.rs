//! The link of a connection request: it opens `/connect` without a token.
//!
//! The first browser that follows the link owns it, by a cookie, and can open it again until it has led to a connection.
//!
//! # Decisions
//!
//! Only a navigation of the browser's window takes the link: `Sec-Fetch-Mode: navigate`, not in a frame. Mail scanners, chat
//! programs that show previews, and very old browsers send no such header. They get a page whose button takes it by `POST`.
//! If another website or a frame sent the `POST`, it takes nothing: the person would not know of it, and could not open the link.
//!
//! A link has no other parameters: everything else comes from the stored request. So what is added to it, by a mail program that
//! counts clicks for example, is not even read.
//!
//! If input is missing, the form asks for it; see [`crate::form`]. Its fields are read only from a browser that owned the link
//! before, as no other has seen the form.
//!
//! A form that leads to another origin ends on a page that forwards the browser, since browsers apply the policy of the form's
//! page to redirects.

use futures::future::try_join_all;
use http::{HeaderValue, Method, header};
use larder::caller::Caller;
use larder::dynamodb::{ConnectionRequest, Integration, LinkError};
use larder::error::Error;
use larder::http::{Parameters, Request, Response, cookie, is_form};
use larder::{random, record};
use larder_engine::connect::{
    ConnectFailure, Delivery, FlowRequest, RequestedConnection, browser_cookie, browser_cookie_name, browser_digest,
    new_connection_id, request_id,
};
use larder_engine::pages::{self, ForPeople, Language, is_navigation, is_own_origin, words};

use crate::Connect;
use crate::form::{Asking, CANCEL, FILLED, is_from_our_page};
use crate::request::{ConnectRequest, Requested};

/// The name of the parameter with a link's secret.
const SECRET: &str = "connectionRequestId";

/// The name of the parameter with the integration that the end user chose.
const INTEGRATION: &str = "integrationKey";

/// A link that is opened.
pub(crate) struct Link {
    secret: String,
    /// The integration that the end user chose on the link's page.
    chosen: Option<String>,
    /// The fields that were sent with it.
    form: Parameters,
}

/// Returns the link that a request opens, from its query or from the form of the link's page.
pub(crate) fn link(request: &Request) -> Option<Link> {
    let is_form = *request.method() == Method::POST && is_form(request.headers());
    let form = if is_form { Parameters::parse(request.body()) } else { Parameters::default() };
    let of = |parameters: &Parameters, name: &str| {
        let mut values = parameters.iter().filter(|(key, value)| *key == name && !value.is_empty());
        values.next().map(|(_, value)| value.to_owned())
    };
    let secret = of(&form, SECRET).or_else(|| of(&Parameters::of_query(request), SECRET))?;
    Some(Link { secret, chosen: of(&form, INTEGRATION), form })
}

impl Connect {
    /// Opens a link.
    ///
    /// # Errors
    /// When the link does not lead on, or a table fails; 403 if another website or a frame sent the form.
    pub(crate) async fn open_link(&self, request: &Request, link: &Link) -> Result<Response, Error> {
        let secret = &link.secret;
        let (is_form, language) = (*request.method() == Method::POST, Language::of(request.headers()));
        if !is_form && !is_navigation(request.headers()) {
            return Ok(pages::link(language, secret, &[]));
        }
        if is_form && !is_own_form(request, link, &self.connector_setup.base_uri) {
            return Err(Error::access_denied("").for_people(words::OTHER_SITE.say(language)));
        }
        let id = request_id(secret);
        let presented = cookie(request.headers(), &browser_cookie_name(&self.connector_setup.base_uri, &id));
        let fresh = random::token::<16>(&*self.rng);
        let now = self.clock.now();
        let presented = browser_digest(presented.unwrap_or_default());
        let opened = match self.requests.open(&id, &presented, &browser_digest(&fresh), now).await {
            Ok(opened) => opened,
            Err(LinkError::Used) => {
                let error = in_words(LinkError::Used, language);
                let shown = ForPeople::of(&error, language);
                return Ok(pages::failed(&error, language, words::ALREADY_CONNECTED, &shown, None, &[]));
            }
            Err(error) => return Err(in_words(error, language)),
        };
        record::note(|record| record.workspace = Some(opened.workspace.clone()));
        let is_taken_now = opened.browser == Some(browser_digest(&fresh));
        let mut response = match self.follow(&opened, link, !is_taken_now, request).await {
            Ok(response) => response,
            // The browser needs the cookie to try again.
            Err(error) => {
                let delivery = Delivery { language, ..Delivery::default() };
                delivery.failure(&ConnectFailure { error, connection_id: None })
            }
        };
        if is_form {
            response = pages::without_redirect(response, language);
        }
        if is_taken_now {
            let lifetime = (opened.expires_at - now).try_into().unwrap_or_default();
            let cookie = browser_cookie(&self.connector_setup.base_uri, &id, &fresh, lifetime);
            response.headers_mut().append(header::SET_COOKIE, HeaderValue::try_from(cookie).map_err(Error::internal)?);
        }
        Ok(response)
    }

    /// Leads the owner of a link on: to the choice of an integration, to the form, to the provider, or to the result.
    async fn follow(
        &self,
        opened: &ConnectionRequest,
        link: &Link,
        has_seen_form: bool,
        request: &Request,
    ) -> Result<Response, Error> {
        let (Link { secret, chosen, form }, nothing) = (link, Parameters::default());
        let form = if has_seen_form { form } else { &nothing };
        let language = Language::of(request.headers());
        let wanted = RequestedConnection::open(&self.sealer, opened).await?;
        let flow_request = FlowRequest::new(opened, &wanted, &*self.rng);
        let caller = Caller::of_link(&opened.workspace, opened.tenant.clone());
        let chosen = chosen.as_deref().filter(|chosen| wanted.integration_keys.iter().any(|key| key == chosen));
        if wanted.integration_keys.len() > 1 && chosen.is_none() && form.optional(CANCEL)?.is_none() {
            return self.choice(opened, &wanted, secret, language).await;
        }
        // From here on, failures are recorded. The end user may try again until the link expires.
        let mut delivery = Delivery { request: Some(flow_request.clone()), language, ..Delivery::default() };
        let connection_id = wanted.connection_id.clone();
        let result = async {
            let integration = self.requested_integration(&caller, &wanted, chosen).await?;
            let to = Delivery::new(&integration, wanted.redirect_uri.clone(), None, &self.connector_setup.base_uri)?;
            delivery = Delivery { request: Some(flow_request.clone()), language, ..to };
            let wanted = ConnectRequest {
                connection_id: wanted.connection_id,
                name: wanted.name,
                auth_option_key: wanted.option_key.clone(),
                input: wanted.input,
                allow_multiple_connections: wanted.allow_multiple_connections,
                new_id: Some(new_connection_id(&opened.id)),
                is_filled_in: wanted.is_filled_in,
                custom_state: wanted.custom_state,
                requested: Requested {
                    key: wanted.key,
                    tags: wanted.tags,
                    meta: wanted.meta,
                    option_key: wanted.option_key,
                    locked_input: wanted.locked_input,
                    ends_at: Some(opened.expires_at),
                },
                ..ConnectRequest::default()
            };
            let hidden = [Some((SECRET, &**secret)), chosen.map(|chosen| (INTEGRATION, chosen))];
            let asking = Asking::new(request, &caller, &integration, &delivery)
                .with_hidden(hidden.into_iter().flatten().collect());
            Box::pin(self.proceed(&asking, wanted, form)).await
        };
        match result.await {
            Ok(response) => Ok(response),
            Err(error) => {
                flow_request.fail(&self.requests, &error, self.clock.now()).await;
                // Only here: the link's secret does not travel through the provider.
                delivery.retry = Some(format!("connect?{SECRET}={secret}"));
                Ok(delivery.failure(&ConnectFailure { error, connection_id }))
            }
        }
    }

    /// Returns the integration that the end user chose, the only one, or that of the connection to reconnect.
    async fn requested_integration(
        &self,
        caller: &Caller,
        wanted: &RequestedConnection,
        chosen: Option<&str>,
    ) -> Result<Integration, Error> {
        let wanted = ConnectRequest {
            integration_key: chosen.map(ToOwned::to_owned).or_else(|| wanted.integration_keys.first().cloned()),
            connection_id: wanted.connection_id.clone(),
            ..ConnectRequest::default()
        };
        self.integration(caller, &wanted).await
    }

    /// Returns the page on which the end user chooses an integration. Those that no longer exist are not shown.
    async fn choice(
        &self,
        opened: &ConnectionRequest,
        wanted: &RequestedConnection,
        secret: &str,
        language: Language,
    ) -> Result<Response, Error> {
        let stored = &self.connector_setup.integrations;
        let keys = wanted.integration_keys.iter();
        let found = try_join_all(keys.map(|key| stored.get(&opened.workspace, key))).await?;
        let name = |it: Integration| (it.key.clone(), it.name.unwrap_or(it.key));
        let integrations: Vec<_> = found.into_iter().flatten().map(name).collect();
        if integrations.is_empty() {
            return Err(LinkError::Unknown.into());
        }
        Ok(pages::link(language, secret, &integrations))
    }
}

/// Returns the error of a link that does not lead on, in the end user's language.
fn in_words(error: LinkError, language: Language) -> Error {
    let words = match &error {
        LinkError::Unknown => words::LINK_UNKNOWN,
        LinkError::Expired => words::LINK_TOO_OLD,
        LinkError::Canceled => words::LINK_CANCELED,
        LinkError::Used => words::LINK_USED,
        LinkError::OtherBrowser => words::LINK_ELSEWHERE,
        LinkError::Busy => words::LINK_BUSY,
        LinkError::Store(_) => return error.into(),
    };
    Error::from(error).for_people(words.say(language))
}

/// Whether a page of ours, in a window of its own, may have sent the form. Very old browsers say nothing about it. They can press
/// the button of a link's page, but have not seen a form with fields.
fn is_own_form(request: &Request, link: &Link, base_uri: &str) -> bool {
    let is_any = |name: &str, values: &[&str]| {
        request.headers().get(name).is_none_or(|value| values.iter().any(|it| value == it))
    };
    request.headers().get(header::ORIGIN).is_none_or(|_| is_own_origin(request, base_uri))
        && is_any("sec-fetch-site", &["same-origin", "none"])
        && is_any("sec-fetch-mode", &["navigate"])
        && is_any("sec-fetch-dest", &["document"])
        && (link.form.iter().all(|(name, _)| name != FILLED) || is_from_our_page(request, base_uri))
}
