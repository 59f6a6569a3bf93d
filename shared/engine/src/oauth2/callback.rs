//! The authorization response, which the browser brings back from the provider.
//!
//! # Decisions
//!
//! A callback is read in two steps. The query gives the state, and only the flow that it leads to knows the name of the
//! code. So `parse_callback` checks the form, and `Callback::outcome` takes the configuration. A callback without a
//! code therefore ends its flow.

use std::fmt;

use larder::secret::Secret;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::OAuthConfig;
use crate::response::{ErrorCode, clean_text};

/// Parses the query of the redirect back to us (RFC 6749 §4.1.2 and §4.1.2.1).
///
/// A parameter without a value counts as omitted (§3.1). Invalid percent-encodings are kept, and invalid UTF-8 becomes
/// U+FFFD. The result is not trusted yet: the caller must look up the configuration by the state, then call
/// [`Callback::check_issuer`], and then [`Callback::outcome`].
///
/// # Errors
///
/// When a parameter occurs twice (§3.1).
pub fn parse_callback(query: &str) -> Result<Callback, CallbackError> {
    let mut parameters = Map::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let known = KNOWN.into_iter().find(|known| *known == key).unwrap_or("another parameter");
        if parameters.insert(key.into_owned(), Value::String(value.into_owned())).is_some() {
            return Err(CallbackError::Repeated(known));
        }
    }
    let get = |key: &str| text(&parameters, key).map(ToOwned::to_owned);
    Ok(Callback { state: get("state"), iss: get("iss"), parameters })
}

/// Returns the callback's parameters that `callbackFields` keeps in the credentials, without empty ones.
pub fn callback_fields(config: &OAuthConfig, parameters: &Map<String, Value>) -> Map<String, Value> {
    let given = config.callback_fields.iter().filter_map(|key| Some((key.clone(), text(parameters, key)?.into())));
    given.collect()
}

/// The parameters with an error code: RFC 6749's, those that providers use instead, and OAuth 1.0's extension.
const REFUSAL_CODES: [&str; 6] = ["error", "error_code", "errorCode", "error_type", "error_reason", "oauth_problem"];
/// The parameters with a description. The last two are codes, used as a last resort.
const REFUSAL_TEXTS: [&str; 8] = [
    "error_description",
    "error_message",
    "errorDescription",
    "errorMessage",
    "error_msg",
    "oauth_problem_advice",
    "error_reason",
    "error_subtype",
];

/// Returns the refusal in a provider's parameters, whatever their names. It is untrusted and must be escaped when shown.
pub fn refusal(parameters: &Map<String, Value>) -> Option<AuthorizationRefusal> {
    let get = |key: &&str| text(parameters, key);
    let code = REFUSAL_CODES.iter().find_map(get);
    // Do not repeat the code as the description.
    let adds_something = |text: &&str| code != Some(*text) || get(&"error_description").is_some();
    let description = REFUSAL_TEXTS.iter().find_map(get).filter(adds_something);
    let code = match code {
        Some(code) => ErrorCode::new(code),
        // The value of OAuth 1.0's `denied` is the request token.
        None if text(parameters, "denied").is_some() => ErrorCode::new("access_denied"),
        None if description.is_some() => ErrorCode::unknown(),
        None => return None,
    };
    Some(AuthorizationRefusal { code, description: description.and_then(|text| clean_text(text, 500)) })
}

fn text<'a>(parameters: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    parameters.get(key).and_then(Value::as_str).filter(|value| !value.is_empty())
}

/// The names that an error message may repeat. Any other name comes from the browser and could be anything.
const KNOWN: [&str; 6] = ["code", "state", "error", "error_description", "error_uri", "iss"];

/// A well-formed authorization response. Its `Debug` shows nothing.
#[derive(Clone, PartialEq)]
pub struct Callback {
    /// `state`, still with its `customState`; see [`OAuthState::parse`](super::OAuthState::parse).
    pub state: Option<String>,
    /// `iss` (RFC 9207 §2).
    pub iss: Option<String>,
    /// Every parameter in order, including the code, for a connector's `queryParameters`.
    pub parameters: Map<String, Value>,
}

/// How an authorization ended.
#[derive(Clone, PartialEq)]
pub enum CallbackOutcome {
    /// The authorization code (RFC 6749 §4.1.2).
    Code(Secret),
    /// The refusal by the provider or, with `access_denied`, by the end user (RFC 6749 §4.1.2.1).
    Refused(AuthorizationRefusal),
}

/// Why a provider does not grant access.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorizationRefusal {
    /// The `error`, or its substitute.
    pub code: ErrorCode,
    /// The `error_description`, or its substitute: at most 500 characters, without control characters, not escaped.
    pub description: Option<String>,
}

impl fmt::Display for AuthorizationRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the provider did not grant access ({}", self.code)?;
        self.description.iter().try_for_each(|text| write!(f, ": {text}"))?;
        f.write_str(")")
    }
}

/// Why a callback is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// A parameter occurs twice (RFC 6749 §3.1).
    #[error("the callback has {0} twice")]
    Repeated(&'static str),
    /// There is both a `code` and an `error`.
    #[error("the callback has both code and error")]
    CodeAndError,
    /// There is neither a `code` nor an `error`.
    #[error("the callback has no code")]
    MissingCode,
    /// `iss` is not the configured issuer: the response may be another provider's (RFC 9207 §2.4).
    #[error("the callback comes from an unexpected issuer")]
    IssuerMismatch,
    /// An issuer is configured, but there is no `iss` (RFC 9207 §2.4).
    #[error("the callback has no iss, although an issuer is configured")]
    MissingIssuer,
}

impl Callback {
    /// Returns how the authorization ended. The code is the value of `codeParameter`, or else of `code`.
    ///
    /// # Errors
    ///
    /// [`CallbackError::CodeAndError`] or [`CallbackError::MissingCode`].
    pub fn outcome(&self, config: &OAuthConfig) -> Result<CallbackOutcome, CallbackError> {
        let get = |key: &str| text(&self.parameters, key);
        let renamed = config.code_parameter.as_deref().and_then(get);
        match (renamed.or_else(|| get("code")), get("error")) {
            (Some(code), None) => Ok(CallbackOutcome::Code(Secret::new(code))),
            (Some(_), Some(_)) => Err(CallbackError::CodeAndError),
            (None, _) => refusal(&self.parameters).map(CallbackOutcome::Refused).ok_or(CallbackError::MissingCode),
        }
    }

    /// Compares `iss` with the issuer that `getOAuthConfig` returned, if any, character for character (RFC 9207 §2.4).
    ///
    /// # Errors
    ///
    /// [`CallbackError::IssuerMismatch`] or [`CallbackError::MissingIssuer`].
    pub fn check_issuer(&self, expected: Option<&str>) -> Result<(), CallbackError> {
        match (expected, self.iss.as_deref()) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(CallbackError::MissingIssuer),
            (Some(expected), Some(iss)) if expected == iss => Ok(()),
            (Some(_), Some(_)) => Err(CallbackError::IssuerMismatch),
        }
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

impl fmt::Debug for CallbackOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => f.debug_tuple("Code").field(code).finish(),
            Self::Refused(refusal) => f.debug_tuple("Refused").field(refusal).finish(),
        }
    }
}

impl fmt::Debug for AuthorizationRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRefusal").field("code", &self.code).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::oauth2::testing::config;

    #[test]
    fn the_response_in_rfc_9207_is_parsed() {
        let callback = parse_callback(
            "code=x1848ZT64p4IirMPT0R-X3141MFPTuBX-VFL_cvaplMH58\
             &state=ZWVlNDBlYzA1NjdkMDNhYjg3ZjUxZjAyNGQzMTM2NzI\
             &iss=https%3A%2F%2Fhonest.as.example",
        )
        .unwrap();
        let code = "x1848ZT64p4IirMPT0R-X3141MFPTuBX-VFL_cvaplMH58";
        assert_eq!(callback.outcome(&config(json!({}))), Ok(CallbackOutcome::Code(Secret::new(code))));
        assert_eq!(callback.state.as_deref(), Some("ZWVlNDBlYzA1NjdkMDNhYjg3ZjUxZjAyNGQzMTM2NzI"));
        assert_eq!(callback.check_issuer(Some("https://honest.as.example")), Ok(()));
        assert_eq!(callback.check_issuer(Some("https://honest.as.example/")), Err(CallbackError::IssuerMismatch));
        assert_eq!(callback.check_issuer(None), Ok(()));
        assert_eq!(format!("{callback:?}"), "Callback { .. }");
    }

    #[test]
    fn the_refusal_in_rfc_6749_is_parsed() {
        let callback = parse_callback("error=access_denied&state=xyz&error_description=No%0D%0A+thanks").unwrap();
        let description = Some("No thanks".to_owned());
        assert_eq!(
            callback.outcome(&config(json!({}))),
            Ok(CallbackOutcome::Refused(AuthorizationRefusal { code: ErrorCode::new("access_denied"), description }))
        );
        assert_eq!(callback.check_issuer(Some("https://honest.as.example")), Err(CallbackError::MissingIssuer));
    }

    #[test]
    fn debug_shows_the_code_of_a_refusal_and_nothing_else() {
        let shown = |query: &str| format!("{:?}", outcome(query, None).unwrap());
        assert_eq!(shown("code=hunter2"), "Code(Secret(…))");
        let refused = shown("error=access_denied&error_description=hunter2");
        assert_eq!(refused, r#"Refused(AuthorizationRefusal { code: ErrorCode("access_denied"), .. })"#);
    }

    #[test]
    fn every_parameter_reaches_the_connector() {
        let callback = parse_callback("code=a&state=s%3Ac&realmId=12%2034&shop=x.example&empty=").unwrap();
        assert_eq!(
            Value::Object(callback.parameters).to_string(),
            json!({ "code": "a", "state": "s:c", "realmId": "12 34", "shop": "x.example", "empty": "" }).to_string()
        );
    }

    #[test]
    fn a_repeated_parameter_is_rejected() {
        for (query, name) in [
            ("code=a&code=a", "code"),
            ("code=a&c%6fde=b", "code"),
            ("code=&code=b", "code"),
            ("code=a&state=x&state=x", "state"),
            ("code=a&iss=x&iss=y", "iss"),
            ("code=a&hunter2&hunter2", "another parameter"),
        ] {
            assert_eq!(parse_callback(query), Err(CallbackError::Repeated(name)), "{query}");
        }
    }

    fn outcome(query: &str, code_parameter: Option<&str>) -> Result<CallbackOutcome, CallbackError> {
        parse_callback(query).unwrap().outcome(&config(json!({ "codeParameter": code_parameter })))
    }

    #[test]
    fn a_callback_has_either_a_code_or_an_error() {
        assert_eq!(outcome("code=a&error=b&state=x", None), Err(CallbackError::CodeAndError));
        for query in ["", "state=x", "code=&state=x", "code&error=", "&&=&"] {
            assert_eq!(outcome(query, None), Err(CallbackError::MissingCode), "{query}");
        }
        assert!(matches!(outcome("code=&error=x", None), Ok(CallbackOutcome::Refused(_))));
    }

    #[test]
    fn code_parameter_names_the_code() {
        let code = |code: &str| Ok(CallbackOutcome::Code(Secret::new(code)));
        assert_eq!(outcome("auth_code=a&state=x", Some("auth_code")), code("a"));
        assert_eq!(outcome("code=b&auth_code=a", Some("auth_code")), code("a"));
        assert_eq!(outcome("code=b", Some("auth_code")), code("b"));
        assert_eq!(outcome("auth_code=a", None), Err(CallbackError::MissingCode));
        assert_eq!(outcome("auth_code=a&error=b", Some("auth_code")), Err(CallbackError::CodeAndError));
    }

    #[test]
    fn callback_fields_are_kept() {
        let config = config(json!({ "callbackFields": ["realmId", "shop", "empty", "missing"] }));
        let callback = parse_callback("code=a&shop=x.example&realmId=12%2034&empty=&other=1").unwrap();
        let kept = Value::Object(callback_fields(&config, &callback.parameters));
        assert_eq!(kept.to_string(), r#"{"realmId":"12 34","shop":"x.example"}"#);
    }

    #[test]
    fn a_refusal_is_recognized_in_every_spelling() {
        for (query, shown) in [
            ("error=access_denied&error_description=No&error_reason=user_denied", "access_denied: No"),
            ("error_code=1349126&error_message=The+app+is+not+set+up", "1349126: The app is not set up"),
            ("errorCode=denied&errorMessage=No", "denied: No"),
            ("error=access_denied&error_subtype=access_not_configured", "access_denied: access_not_configured"),
            ("error_reason=user_denied", "user_denied"),
            ("error=invalid_scope&error_reason=invalid_scope", "invalid_scope"),
            ("error_message=Not+today", "unknown: Not today"),
            ("denied=hh5s93j4hdidpola", "access_denied"),
            ("oauth_problem=user_refused&oauth_problem_advice=Ask+them", "user_refused: Ask them"),
        ] {
            let refusal = refusal(&parse_callback(query).unwrap().parameters).unwrap();
            assert_eq!(refusal.to_string(), format!("the provider did not grant access ({shown})"), "{query}");
        }
        assert_eq!(refusal(&parse_callback("state=x&error=&denied=").unwrap().parameters), None);
        // Next to a code, only `error` means a refusal.
        assert!(matches!(outcome("code=a&error_code=0", None), Ok(CallbackOutcome::Code(_))));
    }

    #[test]
    fn error_descriptions_are_capped() {
        let long = "ä".repeat(900);
        let Ok(CallbackOutcome::Refused(AuthorizationRefusal { code, description })) =
            outcome(&format!("error={long}&error_description={long}"), None)
        else {
            panic!("the query has an error")
        };
        assert_eq!(code.as_str(), "unknown");
        assert_eq!(description.unwrap().chars().count(), 500);
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic_or_leak(
            parts in prop::collection::vec(
                prop_oneof![
                    "\\PC{0,12}",
                    "(%[0-9a-zA-Z%]{0,3}){0,6}",
                    "(code|state|error|error_description|iss)=(MARKER-7Fjfp0ZBr1KtDRbnfVdmIw)?\\PC{0,5}",
                ],
                0..6,
            ),
        ) {
            let result = parse_callback(&parts.join("&"));
            let text = match &result {
                Ok(callback) => {
                    let outcome = callback.outcome(&config(json!({ "codeParameter": "c" })));
                    format!("{callback:?} {outcome:?} {:?}", callback.check_issuer(Some("x")))
                }
                Err(error) => format!("{error:?} {error}"),
            };
            prop_assert!(!text.contains("MARKER"), "{}", text);
        }
    }
}
