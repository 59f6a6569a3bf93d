//! What an application's API answered, and what it means.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::api_client::ApiClient;
use crate::response::{self, ErrorReport, ErrorRules, Meaning, is_success, parse_retry_after};

/// A response whose body has been read. The variables of formulas are made when the first of them asks: most responses need none.
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Bytes,
    /// Whether the body may be a form: those of token responses are, now and then.
    may_be_form: bool,
    /// `{"response": {"data", "headers", "statusCode", "status"}}`.
    variables: OnceLock<Value>,
}

/// Why a response isn't a success: by its status, by a response handler of the connector, or by the error that it reports.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ResponseError {
    /// The documented word for it, if there is one.
    pub key: Option<ErrorKey>,
    /// For people. A handler may have put something of the body into it.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
    /// The meaning of its codes for the connection, if credentials were asked for.
    pub meaning: Option<Meaning>,
    /// How long the application asks to wait.
    pub retry_after: Option<Duration>,
}

/// A response that isn't a success, with the reason.
#[derive(Debug)]
pub struct Refused {
    /// Why it is none.
    pub error: ResponseError,
    /// The response.
    pub response: ApiResponse,
}

/// By which rules a response is read.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Those of error codes, where credentials were asked for.
    pub rules: Option<ErrorRules<'a>>,
    /// Whether a body with a status of success may report an error by these rules. A script looks for itself.
    pub doubts_success: bool,
    /// Where a redirect points.
    pub redirect: Option<&'a str>,
    /// The time.
    pub now: OffsetDateTime,
}

/// The documented meanings of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKey {
    /// The credentials need a refresh.
    AccessTokenExpired,
    /// The connection is gone for good.
    ConnectionIsDefunct,
    /// Too many requests.
    RateLimitExceeded,
}

impl ErrorKey {
    const ALL: [Self; 3] = [Self::AccessTokenExpired, Self::ConnectionIsDefunct, Self::RateLimitExceeded];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessTokenExpired => "access_token_expired",
            Self::ConnectionIsDefunct => "connection_is_defunct",
            Self::RateLimitExceeded => "rate_limit_exceeded",
        }
    }

    /// The key of a name, in either case.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name().eq_ignore_ascii_case(name))
    }
}

impl ApiClient {
    /// Decides whether a response is a success: by the first of the client's handlers that matches, else by the status and, if
    /// credentials were asked for, by the error that the body reports. A handler's `data` takes the place of the body.
    ///
    /// # Errors
    ///
    /// The response isn't a success.
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
            // A key says it all.
            meaning: response.meaning(reading).filter(|_| key.is_none()),
            retry_after: response.retry_after(reading.now),
        };
        Err(Box::new(Refused { error, response }))
    }
}

impl ApiResponse {
    /// A response with a body, which is JSON if it parses, else text.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: impl Into<Bytes>) -> Self {
        Self { status, headers, body: body.into(), may_be_form: false, variables: OnceLock::new() }
    }

    /// The same response where tokens were asked for: its body may also be a form, which is read like the JSON object of
    /// its members.
    #[must_use]
    pub fn of_tokens(self) -> Self {
        Self { may_be_form: true, ..self }
    }

    /// Why the response isn't a success, without any handler.
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

    /// The meaning of a refusal for the connection, if credentials were asked for.
    fn meaning(&self, reading: Reading<'_>) -> Option<Meaning> {
        reading.rules.map(|rules| match reading.redirect {
            Some(_) => Meaning::Configuration,
            None => rules.meaning(self.status, &self.report()),
        })
    }

    /// Whether the body of a success reports an error, by these rules.
    fn reports_error(&self, rules: Option<ErrorRules<'_>>) -> bool {
        match (rules, self.data()) {
            (Some(rules), Value::Object(body)) => response::check_credentials(self.status, body, rules).is_err(),
            _ => false,
        }
    }

    fn report(&self) -> ErrorReport {
        self.data().as_object().map(|body| ErrorReport::read(self.status, body)).unwrap_or_default()
    }

    /// The application's answer in words.
    fn answered(&self, reading: Reading<'_>) -> String {
        let status = self.status;
        // Other answers of an API may hold things that not everybody should read.
        let report = reading.rules.and_then(|_| self.report().summary());
        let what = match (status, report, reading.redirect) {
            (_, Some(report), _) => report,
            (401, ..) => "it did not accept these credentials".to_owned(),
            (429, ..) => "too many requests".to_owned(),
            (300..=399, _, Some(target)) => format!("what was asked for is at {target}; no redirect is followed"),
            _ => return format!("the provider answered {status}"),
        };
        format!("the provider answered {status}: {what}")
    }

    fn retry_after(&self, now: OffsetDateTime) -> Option<Duration> {
        parse_retry_after(self.header("retry-after")?, now)
    }

    /// The first header of a name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The headers by their names in lower case; those that came twice are joined by a comma.
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

    /// The body as JSON, or as text.
    pub fn data(&self) -> &Value {
        &self.variables()["response"]["data"]
    }

    /// The body as JSON, or as text, without a copy.
    pub fn into_data(self) -> Value {
        self.into_variable()["data"].take()
    }

    fn set_data(&mut self, data: Value) {
        self.variables();
        if let Some(variables) = self.variables.get_mut() {
            variables["response"]["data"] = data;
        }
    }

    /// The variables of formulas: `response` with `data`, `headers`, `statusCode` and `status`.
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

    /// The variable `response` of formulas, without a copy.
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

/// Without its message, which may have something of the body in it.
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
    fn where_credentials_were_asked_for_the_body_may_report_an_error() {
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
        let message =
            "the provider answered 301: what was asked for is at https://a.example/token; no redirect is followed";
        assert_eq!(judge(301, "", moved), Err((Some(Meaning::Configuration), message.to_owned())));
    }

    #[test]
    fn debug_of_a_response_shows_nothing_of_it() {
        let response = ApiResponse::new(200, vec![("Set-Cookie".to_owned(), "hunter2".to_owned())], "hunter2");
        assert!(!format!("{response:?}").contains("hunter2"));
    }
}
