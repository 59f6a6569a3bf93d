//! Handles events that a function does not expect. Warm-up events succeed; all others get an error that says what to do.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::http::Response;
use crate::invocation::Invocation;

/// The response to an expected event or to a foreign one.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum EventResponse<A> {
    Expected(A),
    Foreign(Value),
}

/// Responds to an event that a function does not expect. `takes` is the error message that says which events it accepts.
///
/// A warm-up succeeds and does nothing. HTTP callers get a response in the format of the invoking service: a REST API
/// or a load balancer.
///
/// # Errors
/// Any other event fails, so that its source keeps it.
pub(super) async fn answer(event: &str, takes: &'static str, invocation: Invocation) -> Result<Value, Error> {
    let event: Value = serde_json::from_str(event).unwrap_or_default();
    let error = Error::foreign_event(takes);
    match &event["requestContext"] {
        _ if is_warm_up(&event) => invocation.handle(async { Ok(Value::Null) }).await,
        Value::Object(context) => {
            let response = invocation.answer(async { error.into() }).await;
            Ok(http_response(&event, context, &response))
        }
        _ => invocation.handle(async { Err(error) }).await,
    }
}

/// Whether an event only keeps the function warm: an empty one, or one from a schedule or a common warm-up tool.
fn is_warm_up(event: &Value) -> bool {
    let sources = ["serverless-plugin-warmup", "aws.events", "aws.scheduler"];
    match event {
        Value::Null => true,
        Value::Object(members) => {
            let is_known = |source: &Value| source.as_str().is_some_and(|source| sources.contains(&source));
            members.is_empty() || members.contains_key("warmer") || members.get("source").is_some_and(is_known)
        }
        _ => false,
    }
}

/// Returns a response in the format of the service that sent the event. Each service rejects members of the others'
/// formats. See the formats of [REST
/// APIs](https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html) and [load
/// balancers](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html).
fn http_response(event: &Value, context: &Map<String, Value>, response: &Response) -> Value {
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
    let status = response.status();
    let mut answer = json!({"statusCode": status.as_u16(), "isBase64Encoded": false, "body": response.body()});
    let is_load_balancer = context.contains_key("elb");
    if is_load_balancer {
        answer["statusDescription"] = status_line(status).into();
    }
    if is_load_balancer && event.get("multiValueHeaders").is_some() {
        answer["multiValueHeaders"] = headers.map(|(name, value)| (name, json!([value]))).collect::<Map<_, _>>().into();
    } else {
        answer["headers"] = headers.map(|(name, value)| (name, value.into())).collect::<Map<_, _>>().into();
    }
    answer
}

fn status_line(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Lines;

    const TAKES: &str = "this function accepts the test's events";

    /// Returns the answer and the invocation's log line.
    async fn answered(event: Value) -> (Result<Value, Error>, Value) {
        let mut answered = None;
        let work = async { answered = Some(answer(&event.to_string(), TAKES, Invocation::default()).await) };
        let lines = Lines::of("info", work).await;
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["message"], "invocation");
        (answered.unwrap(), line.clone())
    }

    #[tokio::test]
    async fn a_warm_up_succeeds_and_does_nothing() {
        for event in [
            json!({}),
            json!(null),
            json!({"source": "serverless-plugin-warmup"}),
            json!({"warmer": true, "concurrency": 3}),
            json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
        ] {
            let (answer, line) = answered(event.clone()).await;
            assert_eq!(answer.expect("succeeds"), Value::Null, "{event}");
            assert_eq!(line.get("errorType"), None, "{line}");
        }
    }

    #[tokio::test]
    async fn http_callers_get_the_error_in_their_own_format() {
        let members = |answer: &Value| answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        let rest = json!({"resource": "/credentials", "path": "/credentials", "httpMethod": "GET",
                          "headers": {"authorization": "Bearer t"}, "requestContext": {"stage": "prod"}});
        let balancer = json!({"httpMethod": "GET", "path": "/credentials", "headers": {"host": "a"},
                              "requestContext": {"elb": {"targetGroupArn": "arn"}}});
        let mut many = balancer.clone();
        many["multiValueHeaders"] = json!({"host": ["a"]});
        for (event, expected) in [
            (rest, "statusCode isBase64Encoded body headers"),
            (json!({"requestContext": {"http": {"method": "GET"}}}), "statusCode isBase64Encoded body headers"),
            (balancer, "statusCode isBase64Encoded body statusDescription headers"),
            (many, "statusCode isBase64Encoded body statusDescription multiValueHeaders"),
        ] {
            let (answer, line) = answered(event.clone()).await;
            let answer = answer.expect("is a response");
            assert_eq!((&answer["statusCode"], members(&answer).as_str()), (&json!(501), expected), "{event}");
            let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).expect("JSON");
            assert_eq!((&body["type"], &body["message"]), (&json!("configuration"), &json!(TAKES)));
            assert_eq!((&line["status"], &line["errorType"]), (&json!(501), &json!("configuration")), "{line}");
        }
    }

    #[tokio::test]
    async fn other_events_fail_with_the_error_message() {
        for event in
            [json!({"Records": []}), json!({"workspace": "w"}), json!([1]), json!("text"), json!({"source": "x"})]
        {
            let (answer, line) = answered(event.clone()).await;
            assert_eq!(answer.expect_err("fails").message, TAKES, "{event}");
            assert_eq!((&line["outcome"], &line["errorType"]), (&json!("error"), &json!("configuration")), "{line}");
        }
    }
}
