//! REST mappings: an HTTP request described in YAML, and a mapping of its response.
//!
//! # Decisions
//!
//! The format has REST mappings only for `test`, and wants JavaScript for everything else. But looking up an account,
//! minting a token and revoking one are one request each. As data they are short, are checked when the folder is
//! loaded, and start no engine, so no bundled connector needs JavaScript.

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::api_client::{basic_auth, string_entries};
use super::api_request::{ApiBody, ApiRequest, RestError};
use super::api_response::ApiResponse;
use super::mapping::{MalformedValue, Mapping, js};

/// A `.rest.yml` file.
#[derive(Clone, Debug, PartialEq)]
pub struct RestMapping {
    /// The path, appended to the API client's base URI unless it is absolute; may contain `{placeholders}`.
    pub path: String,
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// Returns `baseUri`, `pathParameters`, `query`, `headers`, `auth`, and `data`.
    pub request_mapping: Option<Mapping>,
    /// Maps `response` to the result; without it, the result is the body.
    pub response_mapping: Option<Mapping>,
    /// Requests that are sent first. Their results, merged, are the variable `before` of all that follow.
    pub before: Vec<RestMapping>,
}

impl RestMapping {
    /// The most requests that `before` may have.
    const MAX_BEFORE: usize = 4;

    /// The variable with the results of `before`.
    pub const BEFORE: &str = "before";

    /// Parses `{path, method, requestMapping, responseMapping, before}`.
    ///
    /// # Errors
    ///
    /// Everything malformed, in one string.
    pub fn parse(value: &Value) -> Result<Self, String> {
        Self::check(value).map_err(|malformed| {
            let lines: Vec<String> = malformed.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    }

    /// Like [`RestMapping::parse`], but reports each mistake separately.
    ///
    /// # Errors
    ///
    /// Everything malformed.
    pub fn check(value: &Value) -> Result<Self, Vec<MalformedValue>> {
        let mut malformed = Vec::new();
        let mut wrong = |pointer: &str, message: &str, help: &str| {
            malformed.push(MalformedValue {
                pointer: pointer.to_owned(),
                message: message.to_owned(),
                help: help.to_owned(),
            });
        };
        let path = value.get("path").and_then(Value::as_str);
        if path.is_none() {
            wrong("/path", "`path` must be a string", "write the path of the request, such as `path: /me`");
        }
        let method = value.get("method").and_then(Value::as_str).and_then(method);
        if method.is_none() {
            let help = "write one of get, post, put, patch and delete";
            wrong("/method", "`method` must be an HTTP method", help);
        }
        let mut mapping = |key: &str| {
            let expression = value.get(key).filter(|expression| !expression.is_null())?;
            match Mapping::parse(expression.clone()) {
                Ok(mapping) => Some(mapping),
                Err(inside) => {
                    malformed.extend(
                        inside
                            .into_iter()
                            .map(|each| MalformedValue { pointer: format!("/{key}{}", each.pointer), ..each }),
                    );
                    None
                }
            }
        };
        let (request_mapping, response_mapping) = (mapping("requestMapping"), mapping("responseMapping"));
        let before = Self::check_before(value, &mut malformed);
        match (path, method) {
            (Some(path), Some(method)) if malformed.is_empty() => {
                Ok(Self { path: path.to_owned(), method, request_mapping, response_mapping, before })
            }
            _ => Err(malformed),
        }
    }

    fn check_before(value: &Value, malformed: &mut Vec<MalformedValue>) -> Vec<Self> {
        let before = match value.get(Self::BEFORE) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(before)) if before.len() <= Self::MAX_BEFORE => before,
            Some(_) => {
                let message = format!("`before` must be a list of at most {} requests", Self::MAX_BEFORE);
                let help = "write each request with `path` and `method`".to_owned();
                malformed.push(MalformedValue { pointer: "/before".to_owned(), message, help });
                return Vec::new();
            }
        };
        let mut read = Vec::new();
        for (index, request) in before.iter().enumerate() {
            match Self::check(request) {
                Ok(request) if request.before.is_empty() => read.push(request),
                Ok(_) => malformed.push(MalformedValue {
                    pointer: format!("/before/{index}/before"),
                    message: "a request in `before` cannot have requests before it".to_owned(),
                    help: "put them into the same list".to_owned(),
                }),
                Err(inside) => malformed.extend(
                    inside
                        .into_iter()
                        .map(|each| MalformedValue { pointer: format!("/before/{index}{}", each.pointer), ..each }),
                ),
            }
        }
        read
    }

    /// Describes the place of a request in the chain, for the end of an error message; empty if there is only this request.
    /// The path has placeholders in place of values.
    pub fn place_of(&self, part: &Self, number: usize) -> String {
        match self.before.len() {
            0 => String::new(),
            before => format!("{PLACE}{number} of {}, {} {})", before + 1, part.method, part.path),
        }
    }

    /// Returns an error message without [`Self::place_of`], for people.
    pub fn without_place(message: &str) -> &str {
        let is_place = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit()) && rest.ends_with(')');
        match message.rsplit_once(PLACE) {
            Some((error, rest)) if is_place(rest) => error,
            _ => message,
        }
    }

    /// All mappings, including those of the requests before.
    pub fn mappings(&self) -> impl Iterator<Item = &Mapping> {
        let all = self.before.iter().chain([self]);
        all.flat_map(|each| each.request_mapping.iter().chain(&each.response_mapping))
    }

    /// Builds the request and fills in the path's parameters. `data` is sent as JSON, or as a form if a header says so.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub fn request(&self, variables: &Value) -> Result<ApiRequest, RestError> {
        let parts = self.request_mapping.as_ref().and_then(|mapping| mapping.evaluate(variables));
        let part = |name: &'static str| {
            string_entries(parts.as_ref().and_then(|parts| parts.get(name))).ok_or(RestError::NotAnObject(name))
        };
        let headers = parts.as_ref().and_then(|parts| parts.get("headers")).and_then(Value::as_object);
        let omitted = headers.into_iter().flatten().filter(|(_, value)| value.is_null());
        Ok(ApiRequest {
            method: self.method.clone(),
            path: fill(&self.path, &part("pathParameters")?)?,
            query: part("query")?,
            headers: part("headers")?,
            omitted_headers: omitted.map(|(name, _)| name.clone()).collect(),
            body: parts.as_ref().and_then(|parts| parts.get("data")).cloned().map(ApiBody::Data),
            base_uri: parts.as_ref().and_then(|parts| parts.get("baseUri")?.as_str()).map(str::to_owned),
            auth: parts.as_ref().map_or(Ok(None), basic_auth).map_err(|_| RestError::NotAnObject("auth"))?,
        })
    }

    /// The result of a successful request; `None` is undefined. In addition to the variables, the response mapping sees
    /// `response.data`, `.headers` (with lowercase names), `.statusCode`, and `.status`.
    pub fn result(&self, mut variables: Map<String, Value>, response: ApiResponse) -> Option<Value> {
        let Some(mapping) = &self.response_mapping else { return Some(response.into_data()) };
        variables.insert("response".to_owned(), response.into_variable());
        mapping.evaluate(&Value::Object(variables))
    }
}

/// The start of [`RestMapping::place_of`].
const PLACE: &str = " (request ";

/// Whether a `test` passed: any 2xx passes, unless a response mapping returns a falsy result.
pub fn test_passed(result: Option<&Value>, has_response_mapping: bool) -> bool {
    !has_response_mapping || js::truthy(result)
}

fn method(name: &str) -> Option<Method> {
    let method = Method::from_bytes(name.to_ascii_uppercase().as_bytes()).ok()?;
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&method).then_some(method)
}

/// The characters that JavaScript's `encodeURIComponent` encodes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// Replaces the placeholders in a path with the encoded parameters.
fn fill(path: &str, parameters: &[(String, String)]) -> Result<String, RestError> {
    let mut filled = String::new();
    let mut rest = path;
    // The last placeholder in the current segment.
    let mut last: Option<&str> = None;
    while let Some(at) = rest.find(['{', '/', '?']) {
        filled.push_str(&rest[..at]);
        let from = &rest[at..];
        let placeholder = from.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        if let Some((name, after)) = placeholder {
            let (_, value) = parameters
                .iter()
                .find(|(key, _)| key == name)
                .ok_or_else(|| RestError::MissingPathParameter(name.to_owned()))?;
            filled.extend(utf8_percent_encode(value, COMPONENT));
            last = Some(name);
            rest = after;
        } else {
            if !from.starts_with('{') {
                check_segment(&filled, last.take())?;
            }
            filled.push_str(&from[..1]);
            rest = &from[1..];
        }
    }
    filled.push_str(rest);
    check_segment(&filled, last)?;
    Ok(filled)
}

/// Rejects `.` and `..` segments: the URL parser resolves them even when they are encoded.
fn check_segment(filled: &str, placeholder: Option<&str>) -> Result<(), RestError> {
    let segment = filled.rsplit('/').next().unwrap_or_default();
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
    match placeholder {
        Some(name) if decoded == "." || decoded == ".." => Err(RestError::UnsafePathParameter(name.to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
