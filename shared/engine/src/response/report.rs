//! Finding error codes and descriptions where providers put them.

use serde_json::{Map, Value};

use super::{ErrorCode, clean_description};

/// The error that a body reports. It does not implement `Debug`: codes and descriptions are raw until
/// [`ErrorReport::code`] and [`ErrorReport::description`] clean them for a log.
#[derive(Clone, Default)]
pub struct ErrorReport {
    /// Whether the body declares an error, by `error` or `ok: false`, regardless of the status: GitHub, Slack and Zoho
    /// do so with a 200.
    pub is_declared: bool,
    /// The codes, most specific first.
    codes: Vec<String>,
    /// The descriptions. Only the first is shown.
    descriptions: Vec<String>,
}

/// Members of the body or its error object that contain a code.
const CODES: [&str; 11] = [
    "code",
    "type",
    "error_code",
    "errorCode",
    "errorType",
    "error_type",
    "status",
    "reason",
    "error_subcode",
    "errcode",
    "error",
];
/// Members of the body or its error object that contain a description.
const DESCRIPTIONS: [&str; 11] = [
    "error_description",
    "message",
    "description",
    "error_message",
    "errorMessage",
    "errorSummary",
    "detail",
    "title",
    "msg",
    "errmsg",
    "faultstring",
];
/// Words that add nothing to the status.
const EMPTY_WORDS: [&str; 9] = ["error", "fail", "failed", "failure", "bad_request", "ok", "success", "true", "false"];
/// Values of `error` that mean there was no error.
const NO_ERROR: [&str; 8] = ["", "0", "ok", "success", "none", "null", "false", "no error"];
/// The number of errors that are read from a list of them.
const MAX_ERRORS: usize = 3;

impl ErrorReport {
    /// Reads the error from a response with this status.
    ///
    /// | member | used by |
    /// |---|---|
    /// | `error` | RFC 6749 §5.2 |
    /// | `error.code`, `.type`, `.status`, `.error_subcode` | Facebook, Google |
    /// | `error_codes[…]` | Microsoft |
    /// | `errors[…].errorType`, `.code`, `.message` | Fitbit |
    /// | `code`, `status`, `error_code`, `errorCode` beside a message | HubSpot |
    /// | `fault.detail.errorcode` | Apigee |
    pub fn read(status: u16, body: &Map<String, Value>) -> Self {
        let error = body.get("error").filter(|error| reports_an_error(error));
        let mut report = Self { is_declared: error.is_some() || is_false(body.get("ok")), ..Self::default() };
        report.describe(body.get("error_description"));
        match error {
            Some(Value::Object(error)) => report.add_object(status, error),
            error => report.add(status, error),
        }
        let errors = body.get("errors");
        for each in errors.and_then(Value::as_array).into_iter().flatten().take(MAX_ERRORS).chain(errors) {
            match each {
                Value::Object(error) => report.add_object(status, error),
                Value::String(_) => report.describe(Some(each)),
                _ => {}
            }
        }
        for code in body.get("error_codes").and_then(Value::as_array).into_iter().flatten().take(MAX_ERRORS) {
            report.add(status, Some(code));
        }
        if let Some(fault) = body.get("fault").and_then(Value::as_object) {
            report.add(status, body["fault"].pointer("/detail/errorcode"));
            report.add_object(status, fault);
        }
        report.add_object(status, body);
        report
    }

    /// Returns the most specific code, if there is one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self.codes.first() {
            Some(code) => Some(ErrorCode::new(code)),
            None => self.is_declared.then(ErrorCode::unknown),
        }
    }

    /// Returns the description, cleaned and cut.
    pub fn description(&self) -> Option<String> {
        self.descriptions.first().and_then(|text| clean_description(text, 200))
    }

    /// Returns code and description for a message, like `invalid_grant (Token has been revoked.)`.
    pub fn summary(&self) -> Option<String> {
        match (self.code(), self.description()) {
            (Some(code), Some(description)) => Some(format!("{code} ({description})")),
            (Some(code), None) => Some(code.to_string()),
            (None, description) => description,
        }
    }

    /// Returns the meaning of the first code that is in one of these lists, ignoring ASCII case.
    pub(super) fn first_of<T: Copy>(&self, lists: &[(&[&str], T)]) -> Option<T> {
        self.codes.iter().find_map(|code| {
            let list = lists.iter().find(|(list, _)| list.iter().any(|known| known.eq_ignore_ascii_case(code)));
            list.map(|(_, meaning)| *meaning)
        })
    }

    /// Returns whether a connector's list contains one of the codes. An entry with a space is searched in the
    /// descriptions.
    pub(super) fn is_listed(&self, list: &[String]) -> bool {
        let words = |text: &str| text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        let texts: Vec<String> = self.descriptions.iter().chain(&self.codes).map(|text| words(text)).collect();
        list.iter().any(|entry| {
            self.codes.iter().any(|code| code.eq_ignore_ascii_case(entry))
                || entry.contains(' ') && texts.iter().any(|text| text.contains(&words(entry)))
        })
    }

    fn add_object(&mut self, status: u16, object: &Map<String, Value>) {
        for key in CODES {
            self.add(status, object.get(key));
        }
        for key in DESCRIPTIONS {
            self.describe(object.get(key));
        }
    }

    fn add(&mut self, status: u16, code: Option<&Value>) {
        let code = match code {
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Number(number)) if number.as_f64() != Some(status.into()) => match number.as_f64() {
                // 190.0 is 190.
                Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => format!("{float:.0}"),
                _ => number.to_string(),
            },
            _ => return,
        };
        // Types may be URLs (RFC 9457 §3.1.1), and many APIs use 0 for success.
        let is_empty_word = EMPTY_WORDS.iter().any(|word| word.eq_ignore_ascii_case(&code)) || code.contains("://");
        if !code.is_empty()
            && code != "0"
            && code != status.to_string()
            && !is_empty_word
            && !self.codes.contains(&code)
        {
            self.codes.push(code);
        }
    }

    fn describe(&mut self, text: Option<&Value>) {
        let text = text.and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        self.descriptions.extend(text.map(ToOwned::to_owned));
    }
}

/// Returns whether `error` reports an error: `null`, `false`, `0`, `""`, `"success"`, `[]` and `{"code": 0}` do not.
fn reports_an_error(error: &Value) -> bool {
    match error {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !NO_ERROR.iter().any(|word| word.eq_ignore_ascii_case(text.trim())),
        Value::Array(items) => items.iter().any(reports_an_error),
        Value::Object(members) => members.values().any(reports_an_error),
    }
}

fn is_false(value: Option<&Value>) -> bool {
    value == Some(&Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: u16, body: &Value) -> (bool, Vec<String>, Option<String>) {
        let report = ErrorReport::read(status, body.as_object().expect("an object"));
        (report.is_declared, report.codes.clone(), report.description())
    }

    #[test]
    fn codes_and_descriptions_are_found_where_providers_put_them() {
        let rows = [
            (
                json!({"error": "invalid_grant", "error_description": "It is over."}),
                true,
                "invalid_grant",
                "It is over.",
            ),
            (
                json!({"error": {"message": "Session has expired", "type": "OAuthException", "code": 190, "error_subcode": 463}}),
                true,
                "190 OAuthException 463",
                "Session has expired",
            ),
            (
                json!({"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "No."}}),
                true,
                "FAILED_PRECONDITION",
                "No.",
            ),
            (
                json!({"status": "BAD_REFRESH_TOKEN", "message": "missing or unknown refresh token"}),
                false,
                "BAD_REFRESH_TOKEN",
                "missing or unknown refresh token",
            ),
            (
                json!({"errors": [{"errorType": "invalid_grant", "message": "Refresh token invalid"}], "success": false}),
                false,
                "invalid_grant",
                "Refresh token invalid",
            ),
            (
                json!({"error": "invalid_grant", "error_codes": [70008, 700082], "error_description": "AADSTS70008"}),
                true,
                "invalid_grant 70008 700082",
                "AADSTS70008",
            ),
            (
                json!({"fault": {"faultstring": "Invalid refresh token", "detail": {"errorcode": "oauth.v2.InvalidToken"}}}),
                false,
                "oauth.v2.InvalidToken",
                "Invalid refresh token",
            ),
            (json!({"type": "https://example.com/gone", "title": "Gone", "status": 400}), false, "", "Gone"),
            (json!({"errors": ["The token is dead"]}), false, "", "The token is dead"),
            (json!({"ok": false, "error": "token_revoked"}), true, "token_revoked", ""),
            (json!({"code": 99_991_663, "msg": "token invalid"}), false, "99991663", "token invalid"),
            (json!({"code": 0, "status": "success", "message": ""}), false, "", ""),
            (json!({"error": null, "access_token": "a"}), false, "", ""),
        ];
        for (body, is_declared, codes, description) in rows {
            let (declared, found, text) = read(400, &body);
            assert_eq!((declared, found.join(" ").as_str()), (is_declared, codes), "{body}");
            assert_eq!(text.unwrap_or_default(), description, "{body}");
        }
    }

    #[test]
    fn a_declared_error_without_a_code_is_unknown() {
        let report = ErrorReport::read(200, json!({"error": true}).as_object().expect("an object"));
        assert_eq!(report.summary().as_deref(), Some("unknown"));
        let report = ErrorReport::read(400, json!({"x": 1}).as_object().expect("an object"));
        assert_eq!(report.summary(), None);
    }
}
