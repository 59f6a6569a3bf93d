//! The OpenAPI document, `functions/connections/openapi.json`, and the requests, responses and examples that it describes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use http::{HeaderMap, Method, StatusCode, header};
use jsonschema::{Draft, Validator};
use larder::http::{Request, Response};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::document::read;

static OPEN_API: LazyLock<OpenApi> = LazyLock::new(|| OpenApi {
    document: serde_json::from_str(&read("functions/connections/openapi.json")).expect("the document is JSON"),
    validators: Mutex::default(),
});

/// Parameters that the contract sends to show that unknown ones are ignored.
const IGNORED: [&str; 6] = ["token", "", "\u{fffd}", "é", "x", "credentialsId"];

/// The document.
pub struct OpenApi {
    document: Value,
    /// By schema, since building one takes longer than using it.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// An operation of the document.
pub struct Operation<'a> {
    /// The method.
    pub method: Method,
    /// The path with its parameters.
    pub path: &'a str,
    /// Everything else, as it is written.
    pub value: &'a Value,
    /// The parameters, with those of the path.
    pub parameters: Vec<&'a Value>,
}

/// An example, and the schema that it must match.
pub struct Example<'a> {
    /// The description of its place.
    pub place: String,
    /// The schema.
    pub schema: &'a Value,
    /// The example.
    pub value: &'a Value,
}

impl OpenApi {
    /// Returns the document.
    pub fn get() -> &'static Self {
        &OPEN_API
    }

    /// Returns the value at a JSON pointer.
    ///
    /// # Panics
    /// If there is none.
    pub fn at(&self, pointer: &str) -> &Value {
        self.document.pointer(pointer).unwrap_or_else(|| panic!("there is no {pointer}"))
    }

    /// Returns a component, for example `/schemas/Error`.
    pub fn component(&self, pointer: &str) -> &Value {
        self.at(&format!("/components{pointer}"))
    }

    /// Returns what a reference refers to, or the value itself.
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        value["$ref"].as_str().map_or(value, |reference| self.at(reference.trim_start_matches('#')))
    }

    /// Returns all operations.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let mut operations = Vec::new();
        for (path, item) in object(self.at("/paths")) {
            for (method, value) in object(item).into_iter().filter(|(name, _)| *name != "parameters") {
                let method = method.to_uppercase().parse().expect("a method");
                let parameters = [&item["parameters"], &value["parameters"]].into_iter().flat_map(list);
                let parameters = parameters.map(|parameter| self.resolve(parameter)).collect();
                operations.push(Operation { method, path, value, parameters });
            }
        }
        operations
    }

    /// Returns all examples, and the places of bodies and parameters that have none.
    pub fn examples(&self) -> (Vec<Example<'_>>, Vec<String>) {
        let (mut examples, mut missing) = (Vec::new(), Vec::new());
        for operation in self.operations() {
            let place = format!("{} {}", operation.method, operation.path);
            let body = self.resolve(&operation.value["requestBody"]);
            let mut described: Vec<(String, &Value)> = self.contents(&format!("{place}, body"), body);
            for (status, response) in object(&operation.value["responses"]) {
                let (place, response) = (format!("{place}, {status}"), self.resolve(response));
                described.extend(self.contents(&place, response));
                let headers = object(&response["headers"]).into_iter();
                described.extend(headers.map(|(name, header)| (format!("{place}, {name}"), header)));
            }
            for parameter in operation.parameters {
                let place = format!("{place}, {}", parameter["name"]);
                match parameter["content"].is_object() {
                    true => described.extend(self.contents(&place, parameter)),
                    false => described.push((place, parameter)),
                }
            }
            for (place, it) in described {
                let several = object(&it["examples"]).into_iter().map(|(_, example)| &example["value"]);
                let values: Vec<_> = it.get("example").into_iter().chain(several).collect();
                if values.is_empty() {
                    missing.push(place.clone());
                }
                let example = |value| Example { place: place.clone(), schema: &it["schema"], value };
                examples.extend(values.into_iter().map(example));
            }
        }
        (examples, missing)
    }

    fn contents<'a>(&self, place: &str, described: &'a Value) -> Vec<(String, &'a Value)> {
        let contents = object(&described["content"]).into_iter();
        contents.map(|(media_type, content)| (format!("{place}, {media_type}"), content)).collect()
    }

    /// Returns the mismatches of a value with a schema.
    pub fn mismatches(&self, schema: &Value, value: &Value) -> Vec<String> {
        let errors = self.validator(schema);
        let errors = errors.iter_errors(value);
        errors.map(|error| format!("{} at `{}`", error, error.instance_path())).collect()
    }

    fn validator(&self, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock().expect("the lock is not poisoned");
        let validator = validators.entry(schema.to_string()).or_insert_with(|| {
            // References start at the document's root.
            let root = json!({ "allOf": [schema], "components": self.document["components"] });
            let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
            Arc::new(options.build(&root).unwrap_or_else(|error| panic!("{schema}: {error}")))
        });
        Arc::clone(validator)
    }

    /// Checks a request, if it was accepted, and its response.
    ///
    /// # Panics
    /// If the path is documented and either does not match its description.
    pub fn check(&self, request: &Request, response: &Response) {
        report(request, response, &self.problems(request, response));
    }

    /// Checks only the response, for requests that a client of this document would not make.
    ///
    /// # Panics
    /// If the path is documented and the response does not match its description.
    pub fn check_response(&self, request: &Request, response: &Response) {
        report(request, response, &self.problems_of_response(request, response));
    }

    /// Returns the differences between a request, if it was accepted, and its response and their description.
    pub fn problems(&self, request: &Request, response: &Response) -> Vec<String> {
        let mut problems = self.problems_of_response(request, response);
        if let Some(operation) = self.operation_of(request)
            && (response.status().is_success() || response.status().is_redirection())
        {
            problems.extend(self.problems_of_request(&operation, request));
        }
        problems
    }

    /// Returns the differences between a request and its description.
    pub fn problems_of_request(&self, operation: &Operation<'_>, request: &Request) -> Vec<String> {
        let mut problems = self.problems_of_query(operation, request.uri().query().unwrap_or_default());
        problems.extend(self.problems_of_body(operation, request));
        problems
    }

    /// Returns the operations at a path, which may have a prefix. Longer paths win, then those with fewer parameters.
    fn operations_at(&self, path: &str) -> Vec<Operation<'_>> {
        let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let fits = |documented: &str| {
            let documented: Vec<_> = documented.split('/').skip(1).collect();
            let last = segments.len().checked_sub(documented.len()).map(|start| &segments[start..]);
            let same = |(documented, given): (&&str, &&str)| documented.starts_with('{') || documented == given;
            last.is_some_and(|last| documented.iter().zip(last).all(same))
        };
        let rank = |path: &str| (path.split('/').count(), usize::MAX - path.matches('{').count());
        let mut fitting = self.operations();
        fitting.retain(|operation| fits(operation.path));
        let best = fitting.iter().map(|operation| rank(operation.path)).max();
        fitting.retain(|operation| Some(rank(operation.path)) == best);
        fitting
    }

    fn operation_of(&self, request: &Request) -> Option<Operation<'_>> {
        self.operations_at(request.uri().path()).into_iter().find(|it| it.method == request.method())
    }

    fn problems_of_response(&self, request: &Request, response: &Response) -> Vec<String> {
        let Some(operation) = self.operation_of(request) else {
            let is_known = !self.operations_at(request.uri().path()).is_empty();
            let is_called = ![Method::OPTIONS, Method::HEAD].contains(request.method());
            // Gateways answer 404.
            let is_rejected = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_FOUND, StatusCode::UNAUTHORIZED];
            let is_accepted = is_known && is_called && !is_rejected.contains(&response.status());
            return if is_accepted { vec!["the method is not documented".to_owned()] } else { Vec::new() };
        };
        // With a prefix that is not this Larder's, it is another path.
        if response.status() == StatusCode::NOT_FOUND && segments(request.uri().path()) > segments(operation.path) {
            return Vec::new();
        }
        let Some(described) = operation.value["responses"].get(response.status().as_str()) else {
            return vec!["the status is not documented".to_owned()];
        };
        let described = self.resolve(described);
        let mut problems = Vec::new();
        for (name, header) in object(&described["headers"]) {
            match response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes())) {
                Some(value) => {
                    problems.extend(self.mismatches(&header["schema"], &read_text(&header["schema"], &value)))
                }
                None => problems.push(format!("there is no {name}")),
            }
        }
        match described["content"].as_object() {
            None if !response.body().is_empty() => problems.push("a body is not documented".to_owned()),
            None => {}
            Some(content) => problems.extend(self.problems_of_content(content, response.headers(), response.body())),
        }
        problems
    }

    fn problems_of_content(&self, content: &Map<String, Value>, headers: &HeaderMap, body: &str) -> Vec<String> {
        let media_type = media_type(headers);
        let Some(described) = content.get(&media_type) else {
            return vec![format!("the type `{media_type}` is not documented")];
        };
        let value = match media_type.as_str() {
            "application/json" => read_json(body.as_bytes()),
            _ => Ok(body.into()),
        };
        value.map_or_else(|error| vec![error.to_string()], |value| self.mismatches(&described["schema"], &value))
    }

    fn problems_of_query(&self, operation: &Operation<'_>, query: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let secrets = self.secrets_in_query(operation);
        for (name, text) in form_urlencoded::parse(query.as_bytes()) {
            let (base, of_object) = name.split_once('[').map_or((&*name, false), |(base, _)| (base, true));
            let described = operation.parameters.iter().find(|it| it["in"] == "query" && it["name"] == base);
            let Some(described) = described else {
                if !secrets.contains(base) && !IGNORED.contains(&base) {
                    problems.push(format!("the parameter `{name}` is not documented"));
                }
                continue;
            };
            let json = &described["content"]["application/json"]["schema"];
            let found = match () {
                () if text.is_empty() => Vec::new(),
                () if of_object => self.mismatches(&described["schema"]["additionalProperties"], &(*text).into()),
                () if json.is_object() => self.mismatches(json, &serde_json::from_str(&text).unwrap_or_default()),
                () => self.mismatches(&described["schema"], &read_text(&described["schema"], &text)),
            };
            problems.extend(found.into_iter().map(|problem| format!("`{name}`: {problem}")));
        }
        problems
    }

    /// Returns the parameters that carry a token.
    fn secrets_in_query(&self, operation: &Operation<'_>) -> BTreeSet<&str> {
        let schemes =
            operation.security().into_iter().map(|(name, _)| self.component(&format!("/securitySchemes/{name}")));
        schemes.filter(|scheme| scheme["in"] == "query").filter_map(|scheme| scheme["name"].as_str()).collect()
    }

    fn problems_of_body(&self, operation: &Operation<'_>, request: &Request) -> Vec<String> {
        let content = &self.resolve(&operation.value["requestBody"])["content"];
        if !content.is_object() || request.body().is_empty() {
            return Vec::new();
        }
        // A JSON route reads JSON, whatever the type says.
        let media_type = media_type(request.headers());
        let schema = &content.get(&media_type).unwrap_or(&content["application/json"])["schema"];
        let is_form = content.get(&media_type).is_some() && media_type == "application/x-www-form-urlencoded";
        if !is_form {
            let value = read_json(request.body());
            return value.map_or_else(|error| vec![error.to_string()], |value| self.mismatches(schema, &value));
        }
        let fields: Map<_, _> = form_urlencoded::parse(request.body())
            .map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())))
            .collect();
        let mut problems = Vec::new();
        for (name, field) in object(&schema["properties"]) {
            if let (Some(Value::String(text)), Some(inner)) = (fields.get(name), field.get("contentSchema")) {
                problems.extend(self.mismatches(inner, &serde_json::from_str(text).unwrap_or_default()));
            }
        }
        problems.extend(self.mismatches(schema, &fields.into()));
        problems
    }
}

impl Operation<'_> {
    /// The documented status codes.
    pub fn statuses(&self) -> BTreeSet<&str> {
        object(&self.value["responses"]).into_iter().map(|(status, _)| status).collect()
    }

    /// The security schemes that it names, each with the scopes that it requires.
    pub fn security(&self) -> Vec<(&str, &Value)> {
        list(&self.value["security"]).flat_map(object).collect()
    }

    /// The names of the query parameters.
    pub fn query(&self) -> BTreeSet<&str> {
        let query = self.parameters.iter().filter(|parameter| parameter["in"] == "query");
        query.filter_map(|parameter| parameter["name"].as_str()).collect()
    }
}

impl std::fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

fn report(request: &Request, response: &Response, problems: &[String]) {
    let (method, path, status) = (request.method(), request.uri().path(), response.status());
    let message = "functions/connections/openapi.json does not describe";
    assert!(problems.is_empty(), "{message} {method} {path}, {status}: {problems:#?}");
}

/// The members of an object; none of anything else.
pub fn object(value: &Value) -> Vec<(&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The number of segments in a path.
fn segments(path: &str) -> usize {
    path.split('/').filter(|segment| !segment.is_empty()).count()
}

/// Reads JSON. Credentials may have numbers that are too large for serde's `Value`; these become null.
fn read_json(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text).or_else(|_| {
        let members: HashMap<String, Box<RawValue>> = serde_json::from_slice(text)?;
        let read = |value: Box<RawValue>| serde_json::from_str::<Value>(value.get()).unwrap_or_default();
        Ok(members.into_iter().map(|(name, value)| (name, read(value))).collect())
    })
}

/// Reads a parameter or a header as its schema's type.
fn read_text(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("integer") => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        _ => text.into(),
    }
}

/// The media type, without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
