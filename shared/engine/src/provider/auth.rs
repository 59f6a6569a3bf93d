//! A connector together with the parameters of one connection.
//!
//! **A shared secret must not be turned against others who share it.** A workspace's secret acts for all of its end users, and
//! the operator's client acts for all workspaces. So neither can be directed by a single end user or workspace:
//!
//! - A function that uses one of the integration's secrets sees the identifiers that the provider returned, not those that
//!   `PUT /credentials` replaced them with ([`Given`]). It does see the tokens that were put, so `disconnect` and
//!   `refreshCredentials` keep working after a `PUT`: otherwise tokens would not be revoked and connections not refreshed.
//! - A function that an auth proxy lends runs with the lender's parameters *and* the lender's API client. A relative path
//!   under the borrower's `baseUri` would send the lender's secret to a host that the borrower chose.

use std::sync::Arc;

use larder::connection::Given;
use larder::secret::Secret;
use serde_json::{Map, Value};

use crate::connector::{AuthOption, AuthType, Connector, Function, FunctionName, RefreshRules, TokenHeaders};
use crate::response::ErrorRules;

/// A connector with the parameters of one connection, from which its functions' arguments are built.
pub struct ConnectorContext {
    /// The connector.
    pub connector: Arc<Connector>,
    /// The way to connect.
    pub option: Arc<AuthOption>,
    /// The integration's parameters, overridden by the connection's own.
    pub connector_parameters: Map<String, Value>,
    /// The values that the end user entered.
    pub connection_parameters: Map<String, Value>,
    /// The URL that the provider sends the browser back to.
    pub callback_uri: String,
    /// The operator's own OAuth client that an auth proxy lends to this connector: the lender's connector and parameters,
    /// which no caller ever sees, and the values that the end user entered here.
    pub lender: Option<Arc<ConnectorContext>>,
    /// The identifiers that the provider returned, if `PUT /credentials` has replaced the credentials since.
    pub given: Option<Given>,
    /// The token that requests carry, for the auth type `membrane-token`.
    pub token: Option<SignedToken>,
}

/// A token signed by the workspace, and the headers that it goes into.
pub struct SignedToken {
    /// The JWT.
    pub token: Secret,
    /// Whether both header names are used or only the older one.
    pub headers: TokenHeaders,
}

impl ConnectorContext {
    /// Returns the type of authentication, which is the lender's if there is one.
    pub fn kind(&self) -> &AuthType {
        &self.lender.as_deref().unwrap_or(self).option.kind
    }

    /// Returns the redirect URI that the authorization request and the token request must both use unchanged.
    pub fn redirect_uri<'a>(&'a self, configured: Option<&'a String>) -> &'a str {
        configured.map_or(&self.callback_uri, String::as_str)
    }

    /// Returns a function's implementation, if there is one. An auth proxy provides the functions that get credentials, and
    /// the connector those that use them.
    pub(super) fn function(&self, name: FunctionName) -> Option<&Function> {
        self.owner(name).option.function(name)
    }

    /// Whether the connector refreshes credentials itself (`refreshCredentials`).
    pub(super) fn renews_itself(&self) -> bool {
        self.function(FunctionName::RefreshCredentials).is_some()
    }

    /// Returns the rules for reading the results of `refreshCredentials`.
    pub(super) fn refresh_rules(&self) -> &RefreshRules {
        &self.owner(FunctionName::RefreshCredentials).option.refresh_rules
    }

    /// Returns the rules for error codes in the responses to a function's requests, if any apply.
    pub(super) fn error_rules(&self, name: FunctionName) -> Option<ErrorRules<'_>> {
        let rules = match name {
            FunctionName::RefreshCredentials => self.refresh_rules().errors(),
            name if name.gives_credentials() => ErrorRules::default(),
            _ => return None,
        };
        let has_entered_client =
            self.kind().is_immediate() && self.option.uses_entered_client(name, &self.connector_parameters);
        Some(ErrorRules { has_entered_client, ..rules })
    }

    /// Returns a function's arguments: those that every function gets, and its `own`.
    pub(super) fn arguments(&self, name: FunctionName, own: Map<String, Value>) -> Map<String, Value> {
        let Self { connector_parameters, connection_parameters, .. } = self.owner(name);
        let mut arguments = Map::new();
        arguments.insert("connectorParameters".into(), Value::Object(connector_parameters.clone()));
        arguments.insert("connectionParameters".into(), Value::Object(connection_parameters.clone()));
        arguments.insert("connectionInput".into(), Value::Object(connection_parameters.clone()));
        arguments.extend(own);
        if let Some(credentials) = arguments.get_mut("credentials") {
            *credentials = self.shown_to(name, credentials.take());
        }
        arguments
    }

    /// Returns the stored credentials as a function, and the API client of its requests, may see them.
    pub(super) fn shown_to(&self, name: FunctionName, credentials: Value) -> Value {
        match &self.given {
            Some(given) if self.owner(name).option.uses_secrets(name) => {
                given.over(&credentials, |member| self.owner(name).option.is_secret_credential(member))
            }
            _ => credentials,
        }
    }

    /// Returns the owner of a function, through whose API client its requests go: an auth proxy's connector, or this one.
    pub(super) fn owner_of(self: &Arc<Self>, name: FunctionName) -> Arc<Self> {
        match &self.lender {
            Some(lender) if is_lent(name) => Arc::clone(lender),
            _ => Arc::clone(self),
        }
    }

    fn owner(&self, name: FunctionName) -> &Self {
        self.lender.as_deref().filter(|_| is_lent(name)).unwrap_or(self)
    }
}

/// Whether an auth proxy lends its own function. The functions that use credentials are always the borrower's.
fn is_lent(name: FunctionName) -> bool {
    !matches!(name, FunctionName::MakeApiClient | FunctionName::Test | FunctionName::GetAccount)
}

/// Returns the arguments of functions whose only own argument is the credentials.
pub(super) fn with_credentials(credentials: Value) -> Map<String, Value> {
    Map::from_iter([("credentials".to_owned(), credentials)])
}

/// Returns the URL that a provider sends the browser back to: the integration's own, or ours.
pub fn callback_uri(base_uri: &str, oauth_callback_uri: Option<&str>) -> String {
    oauth_callback_uri.map_or_else(|| format!("{base_uri}/oauth-callback"), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::testing::context;
    use super::*;

    #[test]
    fn error_codes_matter_only_to_functions_that_return_credentials() {
        let mut auth = context([]);
        let mut option = AuthOption::clone(&auth.option);
        option.refresh_rules.permanent_errors = vec!["gone".into()];
        auth.option = Arc::new(option);
        let permanent = |name| auth.error_rules(name).map(|rules| rules.permanent);
        assert_eq!(permanent(FunctionName::RefreshCredentials), Some(&["gone".to_owned()][..]));
        assert_eq!(permanent(FunctionName::GetTokenData), Some(&[][..]));
        for name in [FunctionName::Test, FunctionName::Disconnect, FunctionName::MakeApiClient] {
            assert_eq!(permanent(name), None, "{name:?}");
        }
    }
}
