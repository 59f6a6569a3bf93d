//! What the browser brings back from the provider.
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

/// Reads the query of the redirection back to us (RFC 6749 §4.1.2 and §4.1.2.1).
///
/// A parameter without a value counts as left out (§3.1). Undecodable percent-encodings stay as they are, undecodable
/// UTF-8 becomes U+FFFD. Nothing is trusted yet: the caller goes on with the state, which leads to the configuration,
/// then [`Callback::check_issuer`], then [`Callback::outcome`].
///
/// # Errors
///
/// A parameter given twice (§3.1).
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

/// The parameters of a callback that `callbackFields` keeps in the credentials; empty ones are left out.
pub fn callback_fields(config: &OAuthConfig, parameters: &Map<String, Value>) -> Map<String, Value> {
    let given = config.callback_fields.iter().filter_map(|key| Some((key.clone(), text(parameters, key)?.into())));
    given.collect()
}

/// Parameters with the code of a refusal: that of RFC 6749, those that providers use in its place, OAuth 1.0's extension.
const REFUSAL_CODES: [&str; 6] = ["error", "error_code", "errorCode", "error_type", "error_reason", "oauth_problem"];
/// Parameters with the words. The last two are codes, for want of better.
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

/// The refusal in a provider's parameters, however it spells them. Nothing is trusted: it is to be shown as text.
pub fn refusal(parameters: &Map<String, Value>) -> Option<Refusal> {
    let get = |key: &&str| text(parameters, key);
    let code = REFUSAL_CODES.iter().find_map(get);
    // A code that stands in for the words says nothing twice.
    let is_said = |text: &&str| code != Some(*text) || get(&"error_description").is_some();
    let description = REFUSAL_TEXTS.iter().find_map(get).filter(is_said);
    let code = match code {
        Some(code) => ErrorCode::new(code),
        // OAuth 1.0's `denied` has the request token for a value.
        None if text(parameters, "denied").is_some() => ErrorCode::new("access_denied"),
        None if description.is_some() => ErrorCode::unknown(),
        None => return None,
    };
    Some(Refusal { code, description: description.and_then(|text| clean_text(text, 500)) })
}

fn text<'a>(parameters: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    parameters.get(key).and_then(Value::as_str).filter(|value| !value.is_empty())
}

/// The names that an error may repeat; any other came from the browser.
const KNOWN: [&str; 6] = ["code", "state", "error", "error_description", "error_uri", "iss"];

/// An authorization response, its form checked. Its `Debug` says nothing.
#[derive(Clone, PartialEq)]
pub struct Callback {
    /// `state`, still with its `customState`; see [`State::parse`](super::State::parse).
    pub state: Option<String>,
    /// `iss` (RFC 9207 §2).
    pub iss: Option<String>,
    /// Every parameter in its order, for a connector's `queryParameters`; the code is among them.
    pub parameters: Map<String, Value>,
}

/// How an authorization ended.
#[derive(Clone, PartialEq)]
pub enum CallbackOutcome {
    /// The authorization code (RFC 6749 §4.1.2).
    Code(Secret),
    /// The provider's refusal (RFC 6749 §4.1.2.1), the user's included (`access_denied`).
    Refused(Refusal),
}

/// Why a provider does not give access.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `error`, or what stands in its place.
    pub code: ErrorCode,
    /// `error_description`, or what stands in its place, without control characters, at most 500 characters long, not
    /// escaped.
    pub description: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the provider did not grant access ({}", self.code)?;
        self.description.iter().try_for_each(|text| write!(f, ": {text}"))?;
        f.write_str(")")
    }
}

/// Why a callback is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// A parameter came twice (RFC 6749 §3.1).
    #[error("the callback has {0} twice")]
    Repeated(&'static str),
    /// Both `code` and `error` came.
    #[error("the callback has both code and error")]
    CodeAndError,
    /// Neither `code` nor `error` came.
    #[error("the callback has no code")]
    MissingCode,
    /// `iss` is not the configured issuer: perhaps another provider's answer (RFC 9207 §2.4).
    #[error("the callback comes from another issuer than the configured one")]
    IssuerMismatch,
    /// An issuer is configured, but no `iss` came (RFC 9207 §2.4).
    #[error("the callback has no iss, though an issuer is configured")]
    MissingIssuer,
}

impl Callback {
    /// How it ended. The code is what came as `codeParameter`, or as `code` where the connector names none.
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

    /// Compares `iss` with the issuer that `getOAuthConfig` named, if it named one, as plain text (RFC 9207 §2.4).
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

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").field("code", &self.code).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::oauth2::testing::config;

    #[test]
    fn the_answer_of_rfc_9207_is_read() {
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
    fn the_refusal_of_rfc_6749_is_read() {
        let callback = parse_callback("error=access_denied&state=xyz&error_description=No%0D%0A+thanks").unwrap();
        let description = Some("No thanks".to_owned());
        assert_eq!(
            callback.outcome(&config(json!({}))),
            Ok(CallbackOutcome::Refused(Refusal { code: ErrorCode::new("access_denied"), description }))
        );
        assert_eq!(callback.check_issuer(Some("https://honest.as.example")), Err(CallbackError::MissingIssuer));
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
    fn a_parameter_given_twice_is_refused() {
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
    fn a_refusal_is_read_in_every_spelling() {
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
        // Beside a code, only `error` is one.
        assert!(matches!(outcome("code=a&error_code=0", None), Ok(CallbackOutcome::Code(_))));
    }

    #[test]
    fn error_texts_are_capped() {
        let long = "ä".repeat(900);
        let Ok(CallbackOutcome::Refused(Refusal { code, description })) =
            outcome(&format!("error={long}&error_description={long}"), None)
        else {
            panic!("an error was given")
        };
        assert_eq!(code.as_str(), "unknown");
        assert_eq!(description.unwrap().chars().count(), 500);
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic_or_tell(
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
