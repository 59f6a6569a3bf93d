//! Classifying error codes by their meaning for a grant.
//!
//! Only certain codes end a connection: those of RFC 6749 §5.2, other spellings of them that providers are known to
//! use, and those that a connector lists. `unauthorized_client` does not: a misconfigured integration causes it, and it
//! would end all of the integration's connections for good. Only if the end user entered the client does its rejection mean
//! that they have to enter it again. No response with a 5xx or a 429 ends a connection.

use super::ErrorReport;

/// The meaning of an error for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The grant is dead; the end user must reconnect.
    Permanent,
    /// The integration is misconfigured; fixing it makes the connection work again.
    Configuration,
    /// The error says nothing about the grant; retrying may help.
    Transient,
}

/// A connector's rules for its provider's errors: codes, or words of the description.
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrorRules<'a> {
    /// The connector's `permanentErrors`.
    pub permanent: &'a [String],
    /// The connector's `transientErrors`, which take precedence over everything else.
    pub transient: &'a [String],
    /// Whether the end user entered the client that the request names, so that only they can correct it.
    pub has_entered_client: bool,
}

/// A dead grant's code in RFC 6749 §5.2, then other spellings that providers use.
const PERMANENT: [&str; 8] = [
    "invalid_grant",
    "bad_refresh_token",
    "invalid_refresh_token",
    "refresh_token_expired",
    "token_revoked",
    "bad_verification_code",
    "invalid_code",
    "code_already_used",
];

/// Rejections of the client in RFC 6749 §5.2, then GitHub's and Slack's spellings.
const CLIENT: [&str; 5] =
    ["invalid_client", "unauthorized_client", "incorrect_client_credentials", "invalid_client_id", "bad_client_secret"];

/// Other configuration errors of RFC 6749 §5.2, RFC 7009 §2.2.1 and RFC 8707 §2, then GitHub's and Slack's spellings.
const CONFIGURATION: [&str; 8] = [
    "invalid_request",
    "unsupported_grant_type",
    "invalid_scope",
    "unsupported_token_type",
    "invalid_target",
    "redirect_uri_mismatch",
    "bad_redirect_uri",
    "invalid_grant_type",
];

/// Codes that mean "later" (RFC 6749 §4.1.2.1, RFC 8628 §3.5).
const TRANSIENT: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];

impl ErrorRules<'_> {
    /// The codes that are not a connector's own.
    fn lists(&self) -> [(&'static [&'static str], Meaning); 4] {
        let client = if self.has_entered_client { Meaning::Permanent } else { Meaning::Configuration };
        [
            (&PERMANENT, Meaning::Permanent),
            (&CLIENT, client),
            (&CONFIGURATION, Meaning::Configuration),
            (&TRANSIENT, Meaning::Transient),
        ]
    }

    /// Returns the meaning of an error with this status. A 5xx or a 429 is always transient.
    pub fn meaning(&self, status: u16, report: &ErrorReport) -> Meaning {
        if status >= 500 || status == 429 || report.is_listed(self.transient) {
            return Meaning::Transient;
        }
        if report.is_listed(self.permanent) {
            return Meaning::Permanent;
        }
        report.first_of(&self.lists()).unwrap_or(Meaning::Transient)
    }

    /// Returns whether a code or a description is listed by us or by the connector.
    pub(super) fn recognize(&self, report: &ErrorReport) -> bool {
        report.is_listed(self.transient) || report.is_listed(self.permanent) || report.first_of(&self.lists()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn meaning_by(rules: ErrorRules<'_>, status: u16, body: Value) -> Meaning {
        rules.meaning(status, &ErrorReport::read(status, body.as_object().expect("an object")))
    }

    fn meaning(status: u16, code: &str) -> Meaning {
        meaning_by(ErrorRules::default(), status, json!({ "error": code }))
    }

    #[test]
    fn only_known_codes_are_permanent_and_never_in_an_outage() {
        for code in PERMANENT {
            assert_eq!(meaning(400, code), Meaning::Permanent, "{code}");
            assert_eq!(meaning(200, &code.to_uppercase()), Meaning::Permanent, "{code}");
            assert_eq!((meaning(500, code), meaning(429, code)), (Meaning::Transient, Meaning::Transient), "{code}");
        }
        for code in
            ["invalid_client", "unauthorized_client", "invalid_request", "unsupported_grant_type", "invalid_scope"]
        {
            assert_eq!(meaning(401, code), Meaning::Configuration, "{code}");
        }
        for code in ["temporarily_unavailable", "server_error", "slow_down", "ratelimited", "no_such_code", ""] {
            assert_eq!(meaning(400, code), Meaning::Transient, "{code}");
        }
    }

    #[test]
    fn a_client_that_the_end_user_entered_is_theirs_to_correct() {
        let rules = ErrorRules { has_entered_client: true, ..ErrorRules::default() };
        let meaning = |status, code: &str| meaning_by(rules, status, json!({ "error": code }));
        for code in CLIENT {
            assert_eq!((meaning(400, code), meaning(401, code)), (Meaning::Permanent, Meaning::Permanent), "{code}");
            assert_eq!((meaning(500, code), meaning(429, code)), (Meaning::Transient, Meaning::Transient), "{code}");
        }
        for code in CONFIGURATION {
            assert_eq!(meaning(400, code), Meaning::Configuration, "{code}");
        }
    }

    #[test]
    fn the_first_known_code_decides() {
        let two =
            |error: &str, code: &str| meaning_by(ErrorRules::default(), 400, json!({"error": error, "code": code}));
        assert_eq!(two("temporarily_unavailable", "invalid_grant"), Meaning::Transient);
        assert_eq!(two("invalid_client", "invalid_grant"), Meaning::Configuration);
        assert_eq!(two("of its own", "INVALID_GRANT"), Meaning::Permanent);
    }

    #[test]
    fn connectors_list_codes_and_words_but_outages_are_transient() {
        let list = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>();
        let (permanent, transient) =
            (list(&["invalid_request", "190", "is gone"]), list(&["already being processed", "busy"]));
        let rules = ErrorRules { permanent: &permanent, transient: &transient, ..ErrorRules::default() };
        let meaning = |status, body| meaning_by(rules, status, body);
        assert_eq!(meaning(400, json!({"error": "Invalid_Request"})), Meaning::Permanent);
        assert_eq!(meaning(400, json!({"error": {"code": 190, "type": "OAuthException"}})), Meaning::Permanent);
        assert_eq!(meaning(400, json!({"message": "The account IS GONE."})), Meaning::Permanent);
        assert_eq!(meaning(400, json!({"error": "invalid_client"})), Meaning::Configuration);
        assert_eq!(meaning(503, json!({"error": "invalid_request"})), Meaning::Transient);
        let salesforce =
            json!({"error": "invalid_grant", "error_description": "token request is already being processed"});
        assert_eq!(meaning(400, salesforce), Meaning::Transient);
        assert_eq!(meaning(400, json!({"error": "busy", "message": "is gone"})), Meaning::Transient);
        // An entry without a space is a code.
        assert_eq!(meaning(400, json!({"error": "invalid_grant", "error_description": "busy"})), Meaning::Permanent);
    }
}
