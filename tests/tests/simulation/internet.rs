//! The way of processes to applications, and what gets lost on it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use larder_engine::egress::{EgressError, Limits, Response, Transport};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::application::{Applications, Reply, Standing};
use super::network::{Fault, Service};
use super::sandbox::{START, Sandbox};

/// The way of one process to all applications.
pub(super) struct Internet {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) applications: Arc<Applications>,
}

/// Nobody waits any more for an answer that is dropped before it is delivered.
struct UnderWay<'a> {
    applications: &'a Applications,
    answer: Option<usize>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer {
            self.applications.network.tell(|| format!("answer {answer} is lost"));
            self.applications.stand(answer, Standing::Lost);
        }
    }
}

#[async_trait::async_trait]
impl Transport for Internet {
    async fn exchange(&self, request: http::Request<Vec<u8>>, _: Limits) -> Result<Response, EgressError> {
        let Self { sandbox, applications } = self;
        let host = request.uri().host().expect("a host").to_owned();
        let number = Applications::by_host(&host);
        let (application, chance) = (applications.get(number), &sandbox.network.chance);
        let is_second = applications.is_second_try(sandbox.id, number);
        let there = chance.milliseconds(5..=400);
        let may = |per_mille| !sandbox.network.is_quiet() && chance.per_mille(per_mille);
        let back = if may(application.slow) { chance.seconds(10..=40) } else { chance.milliseconds(5..=400) };
        let is_failing = may(application.fails);
        // Nothing is drawn for applications that never do it: the seeds that are kept go on meaning the same lives.
        let is_erring = application.errs > 0 && may(application.errs);
        let is_losing = application.loses > 0 && !is_second && may(application.loses);
        let lost = |reason: &str| {
            applications.lost(sandbox.id, number, is_second);
            EgressError::ResponseLost { host: host.clone(), reason: reason.into() }
        };
        let mut under_way = UnderWay { applications, answer: None };
        let mut asked_at = Duration::ZERO;
        let answering = sandbox.call_slowly(Service::Application, there, back, || {
            asked_at = sandbox.network.now();
            if is_failing {
                return None;
            }
            if is_erring {
                sandbox.network.count("errors with a 200");
                return Some(passing_error(chance.number(0..=3)));
            }
            let reply = applications.answer(sandbox.id, number, request.body(), is_second);
            under_way.answer = reply.answer;
            Some(reply)
        });
        let (status, body) = match answering.await {
            Ok(Some(Reply { answer: Some(_), .. })) if is_losing => {
                sandbox.network.count("answers lost by an application");
                return Err(lost("the application closed the connection"));
            }
            Ok(Some(Reply { status, body, answer })) => {
                under_way.answer = None;
                if let Some(answer) = answer {
                    applications.stand(answer, Standing::Delivered);
                }
                (status, body)
            }
            Ok(None) => out_of_order(chance.number(0..=4)),
            Err(Fault::Refused) => match chance.number(0..=4) {
                2 => return Err(EgressError::Unreachable { host, reason: "connection refused".into() }),
                kind => out_of_order(kind),
            },
            Err(Fault::AnswerLost) => match chance.number(0..=2) {
                0 => (StatusCode::OK, r#"{"access_token": "acc"#.to_owned()),
                1 => (StatusCode::BAD_GATEWAY, "<html>".to_owned()),
                _ => return Err(lost("the connection was reset")),
            },
            Err(Fault::NoAnswer) => unreachable!("it never comes"),
        };
        let mut headers = HeaderMap::new();
        let kind = if body.starts_with('{') { "application/json" } else { "text/html" };
        headers.insert("content-type", HeaderValue::from_static(kind));
        let date = OffsetDateTime::UNIX_EPOCH
            + Duration::from_secs(START.unsigned_abs())
            + asked_at
            + time::Duration::seconds(application.ahead);
        let date = date.format(&Rfc2822).expect("a date").replace("+0000", "GMT");
        headers.insert("date", date.parse().expect("a header"));
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert("retry-after", HeaderValue::from_static("120"));
        }
        Ok(Response::new(status, headers, body))
    }
}

/// Answers that mean nothing but "later".
fn out_of_order(kind: u64) -> (StatusCode, String) {
    match kind {
        0 => (StatusCode::SERVICE_UNAVAILABLE, "<html>".to_owned()),
        1 => (StatusCode::TOO_MANY_REQUESTS, r#"{"error": "rate_limited"}"#.to_owned()),
        2 => (StatusCode::BAD_REQUEST, "<html>Bad Request</html>".to_owned()),
        3 => (StatusCode::OK, "{}".to_owned()),
        _ => (StatusCode::BAD_REQUEST, r#"{"error": "temporarily_unavailable"}"#.to_owned()),
    }
}

/// Answers that look like success and mean "later".
fn passing_error(kind: u64) -> Reply {
    let body = match kind {
        0 => r#"{"error": "temporarily_unavailable"}"#,
        1 => r#"{"error": "rate_limited"}"#,
        2 => r#"{"ok": false, "error": "ratelimited"}"#,
        _ => r#"{"ok": false, "error": "server_error", "access_token": "never-issued"}"#,
    };
    Reply { status: StatusCode::OK, body: body.to_owned(), answer: None }
}
