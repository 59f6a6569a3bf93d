//! What an application's API answered, and what it means.

use super::api_client::ApiClient;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A response, its body read.
#[derive(Clone, PartialEq)]
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body: JSON, or a string if it is none.
    pub data: Value,
    /// The body as it came.
    pub body: Bytes,
}

/// A response that is no success, by its status or by a response handler of the connector.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ResponseError {
    /// What it means, where there is a documented word for it.
    pub key: Option<ErrorKey>,
    /// For people. A handler may have put something of the body into it.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After` where it is given in seconds; its form as a date is not read, for there is no clock here.
    pub retry_after: Option<Duration>,
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
    /// What a response means: the first of the client's handlers that matches decides, else the status. A handler's
    /// `data` takes the place of the body.
    ///
    /// # Errors
    ///
    /// The response is no success.
    pub fn judge(&self, response: ApiResponse) -> Result<ApiResponse, ResponseError> {
        let variables = json!({ "response": response.variables() });
        let Some(handler) = self.handlers.iter().find(|handler| handler.matches(&variables)) else {
            return response.success();
        };
        if handler.is_success {
            let data = handler.data.as_ref().map(|data| data.evaluate(&variables).unwrap_or_default());
            return Ok(ApiResponse { data: data.unwrap_or_else(|| response.data.clone()), ..response });
        }
        let error = handler.error.as_ref().and_then(|error| error.evaluate(&variables)).unwrap_or_default();
        let text = |key: &str| error.get(key).and_then(Value::as_str);
        let message = text("message").map(str::to_owned);
        Err(ResponseError {
            key: text("key").and_then(ErrorKey::of),
            message: message.unwrap_or_else(|| format!("the application answered {}", response.status)),
            status: response.status,
            retry_after: response.retry_after(),
        })
    }
}

impl ApiResponse {
    /// Reads a body: JSON if it parses, else text.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let data =
            serde_json::from_slice(&body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body).into_owned()));
        Self { status, headers, data, body }
    }

    fn success(self) -> Result<Self, ResponseError> {
        let (key, message) = match self.status {
            200..=299 => return Ok(self),
            401 => (
                Some(ErrorKey::AccessTokenExpired),
                "the application answered 401: the access token has expired or was revoked".to_owned(),
            ),
            429 => (Some(ErrorKey::RateLimitExceeded), "the application answered 429: too many requests".to_owned()),
            status => (None, format!("the application answered {status}")),
        };
        Err(ResponseError { key, message, status: self.status, retry_after: self.retry_after() })
    }

    fn retry_after(&self) -> Option<Duration> {
        let (_, value) = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
        value.trim().parse().ok().map(Duration::from_secs)
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

    /// What formulas see as `response`: `data`, `headers`, `statusCode` and `status`.
    pub(super) fn variables(&self) -> Value {
        json!({"data": self.data, "headers": self.header_map(), "statusCode": self.status, "status": self.status})
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

    fn client(handlers: Value) -> ApiClient {
        ApiClient::from_value(&json!({ "responseHandlers": handlers })).unwrap()
    }

    #[test]
    fn a_status_outside_2xx_is_a_typed_error() {
        let judge = |status, headers| ApiClient::default().judge(ApiResponse::new(status, headers, "hunter2"));
        let error = judge(401, vec![]).unwrap_err();
        assert_eq!(error.key, Some(ErrorKey::AccessTokenExpired));
        let retry_after = |value: &str| vec![("retry-after".to_owned(), value.to_owned())];
        let error = judge(429, retry_after("30")).unwrap_err();
        assert_eq!((error.key, error.retry_after), (Some(ErrorKey::RateLimitExceeded), Some(Duration::from_secs(30))));
        assert_eq!(judge(429, retry_after("Wed, 21 Oct 2015 07:28:00 GMT")).unwrap_err().retry_after, None);
        for status in [100, 304, 403, 500] {
            let error = judge(status, vec![]).unwrap_err();
            assert_eq!((error.key, error.status), (None, status));
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
        let judge = |status, body: &str| client.judge(ApiResponse::new(status, vec![], body.to_owned()));
        let error = judge(200, r#"{"code": "token_expired"}"#).unwrap_err();
        assert_eq!(
            (error.key, error.to_string()),
            (Some(ErrorKey::AccessTokenExpired), "expired: token_expired".into())
        );
        assert_eq!(judge(200, r#"{"code": "gone"}"#).unwrap_err().key, Some(ErrorKey::ConnectionIsDefunct));
        assert_eq!(judge(404, "{}").unwrap().data, json!({"missing": true}));
        assert_eq!(judge(200, r#"{"code": "fine"}"#).unwrap().data, json!({"code": "fine"}));
        assert!(judge(500, "{}").is_err());
    }

    #[test]
    fn debug_of_a_response_shows_nothing_of_it() {
        let response = ApiResponse::new(200, vec![("Set-Cookie".to_owned(), "hunter2".to_owned())], "hunter2");
        assert!(!format!("{response:?}").contains("hunter2"));
    }
}
