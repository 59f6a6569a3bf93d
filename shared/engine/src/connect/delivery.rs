//! Delivers the result of a connect flow: as a redirect, as a message to the opener, or on a page.
//!
//! # Decisions
//!
//! A redirect takes precedence over a message: the SDKs always send a request id, and a redirect URI only if the user left the
//! application's page.
//!
//! A result may always go to four pages of our own: the first one, which shows the credentials, those of a connection and of the
//! integration, and the picker. They show only what is stored, and do nothing until a button is pressed. The picker gets its own parameters back in `for`, so that
//! they cannot be mixed up with the result's.
//!
//! Messages go to the origins of `redirectUris` and to Larder's own. The workspace already trusts them with results, so
//! no further configuration is needed.

use http::{HeaderValue, StatusCode};
use larder::connection::Connection;
use larder::dynamodb::Integration;
use larder::error::Error;
use larder::http::{Response, noted, redirect};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::FlowRequest;
use crate::pages::words::{self, Words};
use crate::pages::{self, ForPeople, Language, Origin, path_segment};

/// The destination of a result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The URL that the browser is redirected to, from the integration's allow list. It takes precedence over a message.
    pub redirect_uri: Option<String>,
    /// The id of the message that the page's opener waits for.
    pub request_id: Option<String>,
    /// The origins that may receive the message.
    pub message_origins: Vec<Origin>,
    /// The connection request that records the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<FlowRequest>,
    /// The address, relative to the first page, at which the end user can try again.
    #[serde(skip)]
    pub retry: Option<String>,
    /// The language of the page that shows the result.
    #[serde(default)]
    pub language: Language,
}

/// Why a connect flow failed.
#[derive(Debug, Clone)]
pub struct ConnectFailure {
    /// The error.
    pub error: Error,
    /// The connection that the end user tried to reconnect.
    pub connection_id: Option<String>,
}

/// Returns the address of our first page, to which every integration may send a result.
pub fn first_page(base_uri: &str) -> String {
    format!("{base_uri}/")
}

/// Returns the address of the page of an integration.
pub fn integration_page(base_uri: &str, key: &str) -> String {
    format!("{base_uri}/i/{key}")
}

/// Returns the address of the page of a connection.
pub fn connection_page(base_uri: &str, id: &str) -> String {
    format!("{base_uri}{CONNECTIONS}{}", path_segment(id))
}

/// The path of the pages of connections.
const CONNECTIONS: &str = "/c/";

/// Returns the address of the picker with these parameters, to which a result is added.
pub fn picker_page(base_uri: &str, parameters: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("for", parameters).finish();
    format!("{base_uri}{PICKER}{query}")
}

/// The path of the picker that a result comes back to.
const PICKER: &str = "/pick?";

/// Whether every result of an integration may go to this page.
fn is_own_page(uri: &str, base_uri: &str, integration: &str) -> bool {
    let picker =
        || uri.strip_prefix(base_uri)?.strip_prefix(PICKER)?.strip_prefix("for=").filter(|it| !it.contains('&'));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "%-_~".contains(c);
    let connection = || uri.strip_prefix(base_uri)?.strip_prefix(CONNECTIONS).filter(|id| id.chars().all(is_plain));
    uri == first_page(base_uri)
        || uri == integration_page(base_uri, integration)
        || picker().is_some()
        || connection().is_some()
}

impl Delivery {
    /// Checks the requested redirect URI against the integration's allow list, character for character.
    ///
    /// # Errors
    /// 400 if it is not on the list.
    pub fn new(
        integration: &Integration,
        redirect_uri: Option<String>,
        request_id: Option<String>,
        base_uri: &str,
    ) -> Result<Self, Error> {
        let key = &integration.key;
        if let Some(wanted) = &redirect_uri {
            if !integration.redirect_uris.contains(wanted) && !is_own_page(wanted, base_uri, key) {
                return Err(Error::bad_request(format!(
                    "`redirectUri` must be one of the `redirectUris` of the integration `{key}`, character for character"
                )));
            }
            // Older versions stored redirect URIs that are no longer accepted.
            Origin::of_redirect_uri(wanted).map_err(|error| {
                Error::bad_request(format!("`redirectUri` {error}; change it in the integration `{key}`"))
            })?;
        }
        // The workspace already trusts these origins with results, and we trust our own pages.
        let trusted = integration.redirect_uris.iter().map(String::as_str).chain([base_uri]);
        let mut message_origins = Vec::new();
        for uri in trusted {
            match Origin::of_redirect_uri(uri) {
                Ok(origin) if message_origins.contains(&origin) => {}
                Ok(origin) => message_origins.push(origin),
                Err(error) => tracing::warn!(integration = key, "ignoring a redirect URI: it {error}"),
            }
        }
        Ok(Self {
            redirect_uri,
            request_id,
            message_origins,
            request: None,
            retry: None,
            language: Language::default(),
        })
    }

    /// Checks that the page that sent a form can receive the message that it waits for. Otherwise its developer would see an
    /// account connected, and no result. Without an origin, or with an opaque one (`null`), it is not known.
    ///
    /// # Errors
    /// 400 with the origin to add.
    pub fn check_opener(&self, integration: &Integration, origin: Option<&HeaderValue>) -> Result<(), Error> {
        let origin = origin.filter(|origin| *origin != "null");
        let (None, Some(_), Some(origin)) = (&self.redirect_uri, &self.request_id, origin) else { return Ok(()) };
        let origin = origin.to_str().ok().and_then(|origin| Origin::of_redirect_uri(origin).ok());
        if origin.as_ref().is_some_and(|origin| self.message_origins.contains(origin)) {
            return Ok(());
        }
        let origin = origin.map_or_else(|| "that page's origin".to_owned(), |origin| origin.to_string());
        Err(Error::bad_request(format!(
            "the page that opened this window cannot receive the result; add a URL of {origin} to the `redirectUris` of the \
             integration `{}`",
            integration.key
        )))
    }

    /// Responds with a connection that was created or reconnected.
    pub fn success(&self, connection: &Connection) -> Response {
        if let Some(redirect_uri) = &self.redirect_uri {
            let mut parameters = vec![("connectionId", connection.key.id.as_str())];
            let code = self.request.as_ref().and_then(|request| request.code.as_ref());
            parameters.extend(code.map(|code| ("confirmation", code.expose())));
            return self.redirect(redirect_uri, &parameters);
        }
        self.success_page(connection, words::CONNECTED, words::CLOSE_WINDOW)
    }

    /// Responds with a connection that existed and was chosen: as if it had just been created, but in other words.
    pub fn chosen(&self, connection: &Connection) -> Response {
        match &self.redirect_uri {
            Some(redirect_uri) => self.redirect(redirect_uri, &[("connectionId", &connection.key.id)]),
            None => self.success_page(connection, words::CHOSEN, words::CHOSEN_CLOSE),
        }
    }

    /// Whether somebody waits for the result.
    pub fn is_awaited(&self) -> bool {
        self.redirect_uri.is_some() || self.request_id.is_some()
    }

    fn success_page(&self, connection: &Connection, title: Words, detail: Words) -> Response {
        let message = self.request_id.as_ref().map(|request_id| {
            json!({"source": "integration.app", "requestId": request_id,
                   "type": "newConnectionCreated", "connection": connection.view()})
        });
        let integration_key = connection.integration.as_ref().map(|integration| &integration.key);
        let name = connection.details.name.as_ref().or(integration_key).map(String::as_str);
        let name = name.unwrap_or_else(|| words::THE_ACCOUNT.say(self.language));
        self.page(StatusCode::OK, title, &detail.with(self.language, name), message.as_ref())
    }

    /// Responds with a failure.
    pub fn failure(&self, failure: &ConnectFailure) -> Response {
        noted(self.failure_response(failure), &failure.error)
    }

    fn failure_response(&self, failure: &ConnectFailure) -> Response {
        let ConnectFailure { error, connection_id } = failure;
        let data = serde_json::to_value(error).unwrap_or_default();
        if let Some(redirect_uri) = &self.redirect_uri {
            return self.redirect(redirect_uri, &[("error", &error.message), ("errorData", &data.to_string())]);
        }
        let message = self.request_id.as_ref().map(|request_id| {
            let mut message = json!({"source": "integration.app", "requestId": request_id,
                                     "type": "newConnectionFailure", "error": error.message, "errorData": data});
            if let Some(id) = connection_id {
                message["connectionId"] = json!(id);
            }
            message
        });
        let mut error = error.clone();
        let shown = match error.key {
            Some("cancelled") => ForPeople::own(words::CANCELED_BY_YOU, self.language),
            // The key was chosen by the application, so the message about it is not for the end user.
            Some("already_exists") if self.request.is_some() => {
                error = error.for_people(words::MADE_MEANWHILE.say(self.language));
                ForPeople::of(&error, self.language)
            }
            _ => ForPeople::of(&error, self.language),
        };
        let shown = ForPeople { retry: self.retry.clone(), ..shown };
        pages::failed(&error, self.language, words::NOT_CONNECTED, &shown, message.as_ref(), &self.message_origins)
    }

    fn page(&self, status: StatusCode, title: Words, detail: &str, message: Option<&Value>) -> Response {
        pages::result(status, self.language, title.say(self.language), detail, message, &self.message_origins)
    }

    fn redirect(&self, redirect_uri: &str, parameters: &[(&str, &str)]) -> Response {
        match Url::parse(redirect_uri) {
            Ok(mut url) => {
                let request = self.request.as_ref().map(|request| ("requestId", request.id.as_str()));
                url.query_pairs_mut().extend_pairs(parameters).extend_pairs(request);
                redirect(url.as_str())
            }
            Err(error) => Error::internal(error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_go_to_four_pages_of_our_own_and_no_others() {
        let base = "https://larder.example/v1";
        let returning = picker_page(base, "integrationKey=crm&requestId=1");
        assert_eq!(returning, "https://larder.example/v1/pick?for=integrationKey%3Dcrm%26requestId%3D1");
        for (uri, is_own) in [
            (first_page(base).as_str(), true),
            (integration_page(base, "crm").as_str(), true),
            (returning.as_str(), true),
            (connection_page(base, "a/b c").as_str(), true),
            ("https://larder.example/v1/c/1/..", false),
            ("https://larder.example/v1/c/1?ask=delete", false),
            ("https://larder.example/v1/i/other", false),
            ("https://larder.example/v1/i/crm?ask=delete", false),
            ("https://larder.example/v1/pick?for=a&integrationKey=crm", false),
            ("https://larder.example/v1/sign-in?link=a", false),
            ("https://larder.example/", false),
            ("https://larder.example/v1", false),
            ("https://larder.example.evil/v1/", false),
            ("", false),
        ] {
            assert_eq!(is_own_page(uri, base, "crm"), is_own, "{uri}");
        }
    }
}
