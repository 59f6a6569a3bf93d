use serde_json::json;

use super::*;
use crate::connector::ApiClient;

fn build(mapping: &RestMapping, client: &ApiClient, variables: &Value) -> Result<http::Request<Vec<u8>>, RestError> {
    mapping.request(variables)?.build(client)
}

fn client() -> ApiClient {
    ApiClient::from_value(&json!({
        "baseUri": "https://api.example.com/v1/",
        "headers": {"Authorization": "Bearer T", "X-Client": "1"},
        "query": {"k": "a b"}
    }))
    .unwrap()
}

fn rest(value: Value) -> RestMapping {
    RestMapping::parse(&value).unwrap()
}

fn get(path: &str) -> RestMapping {
    rest(json!({"path": path, "method": "get"}))
}

#[track_caller]
fn uri(mapping: &RestMapping, client: &ApiClient) -> String {
    build(mapping, client, &json!({"id": "a/b c", "dots": ".."})).unwrap().uri().to_string()
}

#[test]
fn everything_malformed_is_reported() {
    let malformed = RestMapping::check(&json!({"method": "trace", "requestMapping": {"query": {"q": {"$concat": 1}}}}))
        .unwrap_err();
    let pointers: Vec<&str> = malformed.iter().map(|each| each.pointer.as_str()).collect();
    assert_eq!(pointers, ["/path", "/method", "/requestMapping/query/q/$concat"]);
}

#[test]
fn a_relative_path_goes_under_the_base_uri() {
    assert_eq!(uri(&get("/me"), &client()), "https://api.example.com/v1/me?k=a+b");
    assert_eq!(uri(&get("me"), &client()), "https://api.example.com/v1/me?k=a+b");
    assert_eq!(build(&get("/me"), &ApiClient::default(), &json!({})).unwrap_err(), RestError::NoBaseUri);
}

#[test]
fn an_absolute_path_bypasses_the_base_uri() {
    assert_eq!(uri(&get("HTTPS://other.example/x"), &client()), "https://other.example/x?k=a+b");
}

#[test]
fn a_query_in_the_path_is_kept() {
    let mapping = rest(json!({
        "path": "/me?a=1&x=%2F", "method": "GET", "requestMapping": {"query": {"k": "mine", "n": null, "q": {"$var": "id"}}}
    }));
    assert_eq!(uri(&mapping, &client()), "https://api.example.com/v1/me?a=1&x=%2F&k=mine&q=a%2Fb+c");
}

#[test]
fn only_http_urls_without_a_user_name_are_built() {
    for base in ["ftp://a.example", "https://u:p@a.example", "not a url", "file:///etc"] {
        let client = ApiClient { base_uri: Some(base.to_owned()), ..ApiClient::default() };
        assert_eq!(build(&get("/x"), &client, &json!({})).unwrap_err(), RestError::InvalidUrl, "{base}");
    }
}

#[test]
fn a_base_uri_cannot_contain_dot_segments() {
    for base in [
        "https://a.example/accounts/../x",
        "https://a.example/./",
        "https://a.example/b/%2E%2e",
        "https://a.example\\..",
    ] {
        let client = ApiClient { base_uri: Some(base.to_owned()), ..ApiClient::default() };
        assert_eq!(build(&get("/x"), &client, &json!({})).unwrap_err(), RestError::UnsafeBaseUri, "{base}");
    }
    let client =
        ApiClient { base_uri: Some("https://a.example/.well-known/v1..2?q=../".to_owned()), ..ApiClient::default() };
    assert_eq!(uri(&get("/x"), &client), "https://a.example/.well-known/v1..2/x?q=../");
}

#[test]
fn the_host_header_cannot_be_set() {
    let client = ApiClient { headers: vec![("HOST".to_owned(), "b.example".to_owned())], ..client() };
    assert_eq!(build(&get("/x"), &client, &json!({})).unwrap_err(), RestError::HostHeader);
}

#[test]
fn path_parameters_are_encoded() {
    let mapping = rest(json!({
        "path": "/users/{id}/x", "method": "get", "requestMapping": {"pathParameters": {"id": {"$var": "id"}}}
    }));
    assert_eq!(uri(&mapping, &client()), "https://api.example.com/v1/users/a%2Fb%20c/x?k=a+b");
}

#[test]
fn a_path_parameter_cannot_leave_its_segment() {
    for (path, id) in [("/users/{id}", ".."), ("/users/.{id}/x", "."), ("/users/{id}?q=1", ".")] {
        let mapping =
            rest(json!({"path": path, "method": "get", "requestMapping": {"pathParameters": {"id": {"$var": "id"}}}}));
        let error = build(&mapping, &client(), &json!({"id": id})).unwrap_err();
        assert_eq!(error, RestError::UnsafePathParameter("id".to_owned()), "{path}");
    }
}

#[test]
fn a_path_parameter_without_a_value_is_an_error() {
    let mapping = rest(json!({
        "path": "/users/{id}", "method": "get", "requestMapping": {"pathParameters": {"id": {"$var": "missing"}}}
    }));
    let error = build(&mapping, &client(), &json!({})).unwrap_err();
    assert_eq!(error, RestError::MissingPathParameter("id".to_owned()));
}

#[test]
fn credentials_override_headers_and_requests_override_clients() {
    let mapping =
        rest(json!({"path": "/", "method": "get", "requestMapping": {"headers": {"x-client": 2, "X-Nothing": null}}}));
    let mut client = client();
    let request = build(&mapping, &client, &json!({})).unwrap();
    assert_eq!(request.headers()["x-client"], "2");
    assert_eq!(request.headers()["authorization"], "Bearer T");
    assert!(!request.headers().contains_key("x-nothing"));
    client.auth = ApiClient::from_value(&json!({"auth": {"username": "u", "password": "p"}})).unwrap().auth;
    let request = build(&mapping, &client, &json!({})).unwrap();
    assert_eq!(request.headers()["authorization"], "Basic dTpw");
}

#[test]
fn a_line_break_in_a_header_is_an_error_without_the_value() {
    for value in ["hunter2\r\nX-Evil: 1", "hunter2\n", "hunter2\0"] {
        let mapping = rest(json!({"path": "/", "method": "get", "requestMapping": {"headers": {"X-A": value}}}));
        let error = build(&mapping, &client(), &json!({})).unwrap_err();
        assert_eq!(error, RestError::InvalidHeader("X-A".to_owned()));
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn data_is_sent_as_json_or_as_a_form() {
    let data = json!({"a": "x y", "n": null, "b": 1.0});
    let mapping = rest(json!({"path": "/", "method": "post", "requestMapping": {"data": data}}));
    let request = build(&mapping, &client(), &json!({})).unwrap();
    assert_eq!(request.headers()["content-type"], "application/json");
    assert_eq!(serde_json::from_slice::<Value>(request.body()).unwrap(), data);

    let headers = json!({"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"});
    let mapping = rest(json!({"path": "/", "method": "post", "requestMapping": {"data": data, "headers": headers}}));
    let request = build(&mapping, &client(), &json!({})).unwrap();
    assert_eq!(request.body(), b"a=x+y&b=1");

    let headers = json!({"Content-Type": "text/xml"});
    let mapping = rest(json!({"path": "/", "method": "post", "requestMapping": {"data": "<a/>", "headers": headers}}));
    assert_eq!(build(&mapping, &client(), &json!({})).unwrap().body(), b"<a/>");
}

#[test]
fn without_data_there_is_no_body() {
    let request = build(&get("/me"), &client(), &json!({})).unwrap();
    assert!(request.body().is_empty() && !request.headers().contains_key("content-type"));
}

#[test]
fn debug_output_of_a_request_shows_no_header_values() {
    let request = build(&get("/me"), &client(), &json!({})).unwrap();
    assert!(!format!("{:?}", request.headers()).contains("Bearer"));
}

#[test]
fn parts_of_the_request_must_be_objects() {
    let mapping = rest(json!({"path": "/", "method": "get", "requestMapping": {"query": "a=1"}}));
    assert_eq!(build(&mapping, &client(), &json!({})).unwrap_err(), RestError::NotAnObject("query"));
}

#[test]
fn without_a_response_mapping_the_result_is_the_body() {
    let response = ApiResponse::new(200, vec![], r#"{"id":1}"#);
    assert_eq!(get("/me").result(Map::new(), response), Some(json!({"id": 1})));
    let response = ApiResponse::new(204, vec![], "no json");
    assert_eq!(get("/me").result(Map::new(), response), Some(json!("no json")));
}

#[test]
fn a_response_mapping_sees_the_response_and_the_variables() {
    let headers = vec![("X-Id".to_owned(), "7".to_owned()), ("x-id".to_owned(), "8".to_owned())];
    let response = ApiResponse::new(201, headers, r#"{"ok":true}"#);
    let mapping = rest(json!({"path": "/", "method": "get", "responseMapping": {
        "ok": {"$var": "response.data.ok"}, "id": {"$var": "response.headers.x-id"},
        "codes": [{"$var": "response.statusCode"}, {"$var": "response.status"}], "own": {"$var": "credentials.user"}
    }}));
    let result = mapping.result(Map::from_iter([("credentials".to_owned(), json!({"user": "ann"}))]), response);
    assert_eq!(result, Some(json!({"ok": true, "id": "7, 8", "codes": [201, 201], "own": "ann"})));
}

#[test]
fn a_test_without_a_response_mapping_passes_on_any_success() {
    for body in [json!({}), json!(""), json!(false)] {
        assert!(test_passed(Some(&body), false));
    }
    assert!(test_passed(Some(&json!({})), true));
    assert!(!test_passed(Some(&json!(false)), true));
    assert!(!test_passed(None, true));
}

#[test]
fn too_many_headers_are_an_error() {
    let request = |count: usize| {
        let headers: Map<String, Value> = (0..count).map(|number| (format!("x-{number}"), json!("v"))).collect();
        ApiRequest::from_value(&json!({"path": "/", "headers": headers})).unwrap().build(&client())
    };
    assert_eq!(request(900).unwrap().headers().len(), 902);
    // `HeaderMap` panics with this many.
    assert_eq!(request(40_000).unwrap_err(), RestError::TooManyHeaders);
}

#[test]
fn a_request_may_have_its_own_base_credentials_and_omissions() {
    let mapping = rest(json!({"path": "", "method": "post", "requestMapping": {
        "baseUri": {"$var": "connectorParameters.tokenUri"},
        "auth": {"username": "u", "password": {"$var": "connectionParameters.secret"}},
        "headers": {"x-version": null, "Authorization": null},
    }}));
    let variables = json!({"connectorParameters": {"tokenUri": "https://auth.example/token"},
                           "connectionParameters": {"secret": "s"}});
    let client = ApiClient::from_value(&json!({
        "baseUri": "https://api.example", "headers": {"Authorization": "Bearer old", "X-Version": "1", "Accept": "a/b"}
    }));
    let request = mapping.request(&variables).unwrap().build(&client.unwrap()).unwrap();
    assert_eq!(request.uri(), "https://auth.example/token");
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!((header("authorization"), header("x-version")), (Some("Basic dTpz"), None));
    assert_eq!(header("accept"), Some("a/b"));
}

#[test]
fn requests_before_are_checked_and_limited() {
    let request = json!({"path": "/a", "method": "get"});
    let with = |before: Value| RestMapping::parse(&json!({"path": "/", "method": "get", "before": before}));
    assert_eq!(with(json!([request, request])).unwrap().before.len(), 2);
    assert!(with(Value::Null).unwrap().before.is_empty());
    for (before, message) in [
        (json!({}), "must be a list of at most 4 requests"),
        (json!([request, request, request, request, request]), "must be a list of at most 4 requests"),
        (json!([{"path": "/a", "method": "gett"}]), "`method` must be an HTTP method"),
        (json!([{"path": "/", "method": "get", "before": [request]}]), "cannot have requests before it"),
    ] {
        let error = with(before).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}
