//! What the browser brings back from the provider.

use std::fmt;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::OAuthErrorCode;
use super::error_code::clean_text;
use crate::secret::Secret;

/// Reads the query of the redirection back to us (RFC 6749 §4.1.2 and §4.1.2.1).
///
/// A parameter without a value counts as left out (§3.1). Undecodable percent-encodings stay as they are, undecodable
/// UTF-8 becomes U+FFFD. Nothing is trusted yet: the caller goes on with [`Callback::check_issuer`], then the state,
/// then the outcome.
///
/// # Errors
///
/// A parameter given twice (§3.1), `code` and `error` together, or neither.
pub fn parse_callback(query: &str) -> Result<Callback, CallbackError> {
    let mut parameters = Map::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let known = KNOWN.into_iter().find(|known| *known == key).unwrap_or("another parameter");
        if parameters.insert(key.into_owned(), Value::String(value.into_owned())).is_some() {
            return Err(CallbackError::Repeated(known));
        }
    }
    let get = |key: &str| parameters.get(key).and_then(Value::as_str).filter(|value| !value.is_empty());
    let outcome = match (get("code"), get("error")) {
        (Some(code), None) => CallbackOutcome::Code(Secret::new(code)),
        (None, Some(code)) => CallbackOutcome::Error {
            code: OAuthErrorCode::new(code),
            description: get("error_description").and_then(|text| clean_text(text, 500)),
        },
        (Some(_), Some(_)) => return Err(CallbackError::CodeAndError),
        (None, None) => return Err(CallbackError::MissingCode),
    };
    Ok(Callback { state: get("state").map(Into::into), iss: get("iss").map(Into::into), outcome, parameters })
}

/// The names that an error may repeat; any other came from the browser.
const KNOWN: [&str; 6] = ["code", "state", "error", "error_description", "error_uri", "iss"];

/// An authorization response, its form checked. Its `Debug` shows an error's code at the most.
#[derive(Clone, PartialEq)]
pub struct Callback {
    /// `state`, still with its `customState`; see [`State::parse`](super::State::parse).
    pub state: Option<String>,
    /// How it ended.
    pub outcome: CallbackOutcome,
    /// `iss` (RFC 9207 §2).
    pub iss: Option<String>,
    /// Every parameter in its order, for a connector's `queryParameters`; `code` is among them.
    pub parameters: Map<String, Value>,
}

/// How an authorization ended.
#[derive(Clone, PartialEq)]
pub enum CallbackOutcome {
    /// The authorization code (RFC 6749 §4.1.2).
    Code(Secret),
    /// The provider's refusal (RFC 6749 §4.1.2.1), the user's included (`access_denied`).
    Error {
        /// `error`.
        code: OAuthErrorCode,
        /// `error_description`, without control characters, at most 500 characters long, not escaped.
        description: Option<String>,
    },
}

/// Why a callback is refused before anything is looked up.
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
        f.debug_struct("Callback").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl fmt::Debug for CallbackOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => f.debug_tuple("Code").field(code).finish(),
            Self::Error { code, .. } => f.debug_struct("Error").field("code", code).finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answer_of_rfc_9207_is_read() {
        let callback = parse_callback(
            "code=x1848ZT64p4IirMPT0R-X3141MFPTuBX-VFL_cvaplMH58\
             &state=ZWVlNDBlYzA1NjdkMDNhYjg3ZjUxZjAyNGQzMTM2NzI\
             &iss=https%3A%2F%2Fhonest.as.example",
        )
        .unwrap();
        let code = "x1848ZT64p4IirMPT0R-X3141MFPTuBX-VFL_cvaplMH58";
        assert_eq!(callback.outcome, CallbackOutcome::Code(Secret::new(code)));
        assert_eq!(callback.state.as_deref(), Some("ZWVlNDBlYzA1NjdkMDNhYjg3ZjUxZjAyNGQzMTM2NzI"));
        assert_eq!(callback.check_issuer(Some("https://honest.as.example")), Ok(()));
        assert_eq!(callback.check_issuer(Some("https://honest.as.example/")), Err(CallbackError::IssuerMismatch));
        assert_eq!(callback.check_issuer(None), Ok(()));
        assert_eq!(format!("{callback:?}"), "Callback { outcome: Code(Secret(…)), .. }");
    }

    #[test]
    fn the_refusal_of_rfc_6749_is_read() {
        let callback = parse_callback("error=access_denied&state=xyz&error_description=No%0D%0A+thanks").unwrap();
        let description = Some("No thanks".to_owned());
        assert_eq!(
            callback.outcome,
            CallbackOutcome::Error { code: OAuthErrorCode::new("access_denied"), description }
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

    #[test]
    fn a_callback_has_either_a_code_or_an_error() {
        assert_eq!(parse_callback("code=a&error=b&state=x"), Err(CallbackError::CodeAndError));
        for query in ["", "state=x", "code=&state=x", "code&error=", "&&=&"] {
            assert_eq!(parse_callback(query), Err(CallbackError::MissingCode), "{query}");
        }
        assert!(matches!(parse_callback("code=&error=x").unwrap().outcome, CallbackOutcome::Error { .. }));
    }

    #[test]
    fn error_texts_are_capped() {
        let long = "ä".repeat(900);
        let CallbackOutcome::Error { code, description } =
            parse_callback(&format!("error={long}&error_description={long}")).unwrap().outcome
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
                Ok(callback) => format!("{callback:?} {:?}", callback.check_issuer(Some("x"))),
                Err(error) => format!("{error:?} {error}"),
            };
            prop_assert!(!text.contains("MARKER"), "{}", text);
        }
    }
}
