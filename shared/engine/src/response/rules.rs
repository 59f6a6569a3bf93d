//! Classifying error codes by their meaning for a grant.
//!
//! Only certain codes end a connection: those of RFC 6749 §5.2, other spellings of them that providers are known to
//! use, and those that a connector lists. `unauthorized_client` does not: a misconfigured integration causes it, and it
//! would end all of the integration's connections for good. No response with a 5xx or a 429 ends a connection.

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

/// Configuration errors of RFC 6749 §5.2, RFC 7009 §2.2.1 and RFC 8707 §2, then GitHub's and Slack's spellings.
const CONFIGURATION: [&str; 13] = [
    "invalid_client",
    "unauthorized_client",
    "invalid_request",
    "unsupported_grant_type",
    "invalid_scope",
    "unsupported_token_type",
    "invalid_target",
    "incorrect_client_credentials",
    "redirect_uri_mismatch",
    "invalid_client_id",
    "bad_client_secret",
    "bad_redirect_uri",
    "invalid_grant_type",
];

/// Codes that mean "later" (RFC 6749 §4.1.2.1, RFC 8628 §3.5).
const TRANSIENT: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];

const LISTS: [(&[&str], Meaning); 3] =
    [(&PERMANENT, Meaning::Permanent), (&CONFIGURATION, Meaning::Configuration), (&TRANSIENT, Meaning::Transient)];

impl ErrorRules<'_> {
    /// Returns the meaning of an error with this status. A 5xx or a 429 is always transient.
    pub fn meaning(&self, status: u16, report: &ErrorReport) -> Meaning {
        if status >= 500 || status == 429 || report.is_listed(self.transient) {
            return Meaning::Transient;
        }
        if report.is_listed(self.permanent) {
            return Meaning::Permanent;
        }
        report.first_of(&LISTS).unwrap_or(Meaning::Transient)
    }

    /// Returns whether a code or a description is listed by us or by the connector.
    pub(super) fn recognize(&self, report: &ErrorReport) -> bool {
        report.is_listed(self.transient) || report.is_listed(self.permanent) || report.first_of(&LISTS).is_some()
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
        let rules = ErrorRules { permanent: &permanent, transient: &transient };
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
