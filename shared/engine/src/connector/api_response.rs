//! A response of a provider's API, and its meaning.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::api_client::ApiClient;
use crate::response::{self, ErrorReport, ErrorRules, Meaning, is_success, parse_retry_after};

/// The reason of a provider that answers 401.
pub const NOT_ACCEPTED: &str = "it did not accept these credentials";

/// A response whose body has been read. The variables for formulas are built on first use, since most responses need none.
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers, in their original order.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Bytes,
    /// Whether the body may be a form, as token responses sometimes are.
    may_be_form: bool,
    /// `{"response": {"data", "headers", "statusCode", "status"}}`.
    variables: OnceLock<Value>,
}

/// The reason why a response isn't a success: its status, a response handler of the connector, or an error in its body.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ResponseError {
    /// The documented key, if there is one.
    pub key: Option<ErrorKey>,
    /// The human-readable message. A handler may have put parts of the body into it.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
    /// The meaning of its error codes for the connection, if credentials were requested.
    pub meaning: Option<Meaning>,
    /// How long the provider asks the client to wait.
    pub retry_after: Option<Duration>,
}

/// A response that isn't a success, with the reason.
#[derive(Debug)]
pub struct Refused {
    /// The reason.
    pub error: ResponseError,
    /// The response.
    pub response: ApiResponse,
}

/// The rules by which a response is read.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The rules for error codes, if credentials were requested.
    pub rules: Option<ErrorRules<'a>>,
    /// Whether the body of a success may report an error by these rules. Scripts check for themselves.
    pub doubts_success: bool,
    /// The target of a redirect.
    pub redirect: Option<&'a str>,
    /// The current time.
    pub now: OffsetDateTime,
}

/// The documented keys of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKey {
    /// The credentials need a refresh.
    AccessTokenExpired,
    /// The connection has ended for good.
    ConnectionIsDefunct,
    /// Too many requests.
    RateLimitExceeded,
}

impl ErrorKey {
    const ALL: [Self; 3] = [Self::AccessTokenExpired, Self::ConnectionIsDefunct, Self::RateLimitExceeded];

    /// The name in responses.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessTokenExpired => "access_token_expired",
            Self::ConnectionIsDefunct => "connection_is_defunct",
            Self::RateLimitExceeded => "rate_limit_exceeded",
        }
    }

    /// The key with this name, ignoring case.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name().eq_ignore_ascii_case(name))
    }
}

impl ApiClient {
    /// Decides whether a response is a success: by the client's first matching handler, or else by its status and, if
    /// credentials were requested, by the error in its body. A handler's `data` replaces the body.
    ///
    /// # Errors
    ///
    /// When the response isn't a success.
    pub fn judge(&self, mut response: ApiResponse, reading: Reading<'_>) -> Result<ApiResponse, Box<Refused>> {
        let handler = match self.handlers.as_slice() {
            [] => None,
            handlers => handlers.iter().find(|handler| handler.matches(response.variables())),
        };
        let Some(handler) = handler else {
            return match response.failure(reading) {
                Some(error) => Err(Box::new(Refused { error, response })),
                None => Ok(response),
            };
        };
        if handler.is_success {
            if let Some(data) = &handler.data {
                let data = data.evaluate(response.variables()).unwrap_or_default();
                response.set_data(data);
            }
            return Ok(response);
        }
        let error = handler.error.as_ref().and_then(|error| error.evaluate(response.variables())).unwrap_or_default();
        let text = |key: &str| error.get(key).and_then(Value::as_str);
        let key = text("key").and_then(ErrorKey::of);
        let error = ResponseError {
            key,
            message: text("message").map_or_else(|| response.answered(reading), str::to_owned),
            status: response.status,
            // The key is more specific.
            meaning: response.meaning(reading).filter(|_| key.is_none()),
            retry_after: response.retry_after(reading.now),
        };
        Err(Box::new(Refused { error, response }))
    }
}

impl ApiResponse {
    /// A response with a body, which is JSON if it parses, or else plain text.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: impl Into<Bytes>) -> Self {
        Self { status, headers, body: body.into(), may_be_form: false, variables: OnceLock::new() }
    }

    /// Marks the response as one to a token request: its body may also be a form, which is read like a JSON object.
    #[must_use]
    pub fn of_tokens(self) -> Self {
        Self { may_be_form: true, ..self }
    }

    /// The reason why the response isn't a success, regardless of handlers.
    fn failure(&self, reading: Reading<'_>) -> Option<ResponseError> {
        let is_doubtful = reading.doubts_success && self.reports_error(reading.rules);
        if is_success(self.status) && !is_doubtful {
            return None;
        }
        let key = match self.status {
            401 => Some(ErrorKey::AccessTokenExpired),
            429 => Some(ErrorKey::RateLimitExceeded),
            _ => None,
        };
        Some(ResponseError {
            key,
            message: self.answered(reading),
            status: self.status,
            meaning: self.meaning(reading),
            retry_after: self.retry_after(reading.now),
        })
    }

    /// The meaning of an error for the connection, if credentials were requested.
    fn meaning(&self, reading: Reading<'_>) -> Option<Meaning> {
        reading.rules.map(|rules| match reading.redirect {
            Some(_) => Meaning::Configuration,
            None => rules.meaning(self.status, &self.report()),
        })
    }

    /// Whether the body of a success reports an error by these rules.
    fn reports_error(&self, rules: Option<ErrorRules<'_>>) -> bool {
        match (rules, self.data()) {
            (Some(rules), Value::Object(body)) => response::check_credentials(self.status, body, rules).is_err(),
            _ => false,
        }
    }

    fn report(&self) -> ErrorReport {
        self.data().as_object().map(|body| ErrorReport::read(self.status, body)).unwrap_or_default()
    }

    /// Describes the provider's response.
    fn answered(&self, reading: Reading<'_>) -> String {
        let status = self.status;
        // Other API responses may contain sensitive data.
        let report = reading.rules.and_then(|_| self.report().summary());
        let what = match (status, report, reading.redirect) {
            (_, Some(report), _) => report,
            (401, ..) => NOT_ACCEPTED.to_owned(),
            (429, ..) => "too many requests".to_owned(),
            (300..=399, _, Some(target)) => format!("it redirects to {target}; redirects are not followed"),
            _ => return format!("the provider answered {status}"),
        };
        format!("the provider answered {status}: {what}")
    }

    fn retry_after(&self, now: OffsetDateTime) -> Option<Duration> {
        parse_retry_after(self.header("retry-after")?, now)
    }

    /// The first header with this name, ignoring case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The headers by lowercase name; repeated ones are joined with a comma.
    pub fn header_map(&self) -> Map<String, Value> {
        let mut headers: Map<String, Value> = Map::new();
        for (name, value) in &self.headers {
            match headers.entry(name.to_ascii_lowercase()).or_insert(Value::Null) {
                Value::String(earlier) => *earlier = format!("{earlier}, {value}"),
                first => *first = Value::from(value.as_str()),
            }
        }
        headers
    }

    /// The body as JSON, or as a string.
    pub fn data(&self) -> &Value {
        &self.variables()["response"]["data"]
    }

    /// The body as JSON, or as a string, without copying.
    pub fn into_data(self) -> Value {
        self.into_variable()["data"].take()
    }

    fn set_data(&mut self, data: Value) {
        self.variables();
        if let Some(variables) = self.variables.get_mut() {
            variables["response"]["data"] = data;
        }
    }

    /// The variables for formulas: `response` with `data`, `headers`, `statusCode`, and `status`.
    fn variables(&self) -> &Value {
        self.variables.get_or_init(|| {
            let form = || response::token_form(&self.body).filter(|_| self.may_be_form).map(Value::Object);
            let data = response::json(&self.body).or_else(form);
            let data = data.unwrap_or_else(|| response::text(&self.body).into());
            let mut variables = json!({"response": {"statusCode": self.status, "status": self.status}});
            variables["response"]["headers"] = Value::Object(self.header_map());
            variables["response"]["data"] = data;
            variables
        })
    }

    /// The `response` variable for formulas.
    pub fn variable(&self) -> Value {
        self.variables()["response"].clone()
    }

    /// The `response` variable for formulas, without copying.
    pub(super) fn into_variable(mut self) -> Value {
        self.variables();
        self.variables.take().map(|mut variables| variables["response"].take()).unwrap_or_default()
    }
}

impl std::fmt::Debug for ApiResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Omits the message, which may contain parts of the body.
impl std::fmt::Debug for ResponseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, status, retry_after, .. } = self;
        f.debug_struct("ResponseError")
            .field("key", key)
            .field("status", status)
            .field("retry_after", retry_after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2015-10-21 07:27:00 UTC);
    const USUAL: Reading<'static> = Reading { rules: None, doubts_success: true, redirect: None, now: NOW };

    fn client(handlers: Value) -> ApiClient {
        ApiClient::from_value(&json!({ "responseHandlers": handlers })).unwrap()
    }

    fn judge_by(client: &ApiClient, response: ApiResponse, reading: Reading<'_>) -> Result<Value, ResponseError> {
        client.judge(response, reading).map(ApiResponse::into_data).map_err(|refused| refused.error)
    }

    #[test]
    fn a_status_outside_2xx_is_a_typed_error() {
        let judge =
            |status, headers| judge_by(&ApiClient::default(), ApiResponse::new(status, headers, "hunter2"), USUAL);
        let error = judge(401, vec![]).unwrap_err();
        assert_eq!(error.key, Some(ErrorKey::AccessTokenExpired));
        let retry_after = |value: &str| vec![("Retry-After".to_owned(), value.to_owned())];
        for (header, seconds) in [("30", 30), ("Wed, 21 Oct 2015 07:28:00 GMT", 60), ("18446744073709551615", 86_400)] {
            let error = judge(429, retry_after(header)).unwrap_err();
            let wait = Some(Duration::from_secs(seconds));
            assert_eq!((error.key, error.retry_after), (Some(ErrorKey::RateLimitExceeded), wait), "{header}");
        }
        for status in [100, 304, 403, 500] {
            let error = judge(status, vec![]).unwrap_err();
            assert_eq!((error.key, error.status, error.meaning), (None, status, None));
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn the_first_handler_that_matches_decides() {
        let client = client(json!([
            {"match": {"$eval": {"$var": "response.data.code"}, "is": "token_expired"}, "isSuccess": false,
             "error": {"key": "access_token_expired", "message": {"$tpl": {"template": "expired: {c}",
                       "values": {"c": {"$var": "response.data.code"}}}}}},
            {"match": {"$eval": {"$var": "response.data.code"}, "is": "gone"}, "error": {"key": "CONNECTION_IS_DEFUNCT"}},
            {"match": {"$eval": {"$var": "response.status"}, "is": 404}, "isSuccess": true, "data": {"missing": true}},
        ]));
        let judge = |status, body: &str| judge_by(&client, ApiResponse::new(status, vec![], body.to_owned()), USUAL);
        let error = judge(200, r#"{"code": "token_expired"}"#).unwrap_err();
        assert_eq!(
            (error.key, error.to_string()),
            (Some(ErrorKey::AccessTokenExpired), "expired: token_expired".into())
        );
        assert_eq!(judge(200, r#"{"code": "gone"}"#).unwrap_err().key, Some(ErrorKey::ConnectionIsDefunct));
        assert_eq!(judge(404, "{}").unwrap(), json!({"missing": true}));
        assert_eq!(judge(200, r#"{"code": "fine"}"#).unwrap(), json!({"code": "fine"}));
        assert!(judge(500, "{}").is_err());
    }

    #[test]
    fn a_token_response_may_report_an_error_in_its_body() {
        let credentials = Reading { rules: Some(ErrorRules::default()), ..USUAL };
        let judge = |status, body: &str, reading| {
            let response = ApiResponse::new(status, vec![], body.to_owned());
            judge_by(&ApiClient::default(), response, reading).map_err(|error| (error.meaning, error.message))
        };
        let refused = r#"{"error": "invalid_code", "error_description": "No."}"#;
        let message = "the provider answered 200: invalid_code (No.)".to_owned();
        assert_eq!(judge(200, refused, credentials), Err((Some(Meaning::Permanent), message)));
        assert!(judge(200, refused, USUAL).is_ok());
        assert!(judge(200, refused, Reading { doubts_success: false, ..credentials }).is_ok());
        let message = "the provider answered 400: invalid_grant".to_owned();
        assert_eq!(judge(400, r#"{"error": "invalid_grant"}"#, credentials), Err((Some(Meaning::Permanent), message)));
        let message = "the provider answered 400".to_owned();
        assert_eq!(judge(400, r#"{"error": "invalid_grant"}"#, USUAL), Err((None, message)));
        assert!(judge(200, r#"{"session": "s", "status": "active"}"#, credentials).is_ok());
        let moved = Reading { redirect: Some("https://a.example/token"), ..credentials };
        let message = "the provider answered 301: it redirects to https://a.example/token; redirects are not followed";
        assert_eq!(judge(301, "", moved), Err((Some(Meaning::Configuration), message.to_owned())));
    }

    #[test]
    fn debug_output_of_a_response_shows_no_content() {
        let response = ApiResponse::new(200, vec![("Set-Cookie".to_owned(), "hunter2".to_owned())], "hunter2");
        assert!(!format!("{response:?}").contains("hunter2"));
    }
}
