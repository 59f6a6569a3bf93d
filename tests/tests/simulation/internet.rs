//! The connection between processes and providers, with its faults.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use larder_engine::egress::{EgressError, Limits, Response, Transport};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::network::{Fault, Service};
use super::provider::{AnswerStatus, Reply, SimulatedProviders};
use super::sandbox::{START, Sandbox};

/// One process's connection to all providers.
pub(super) struct Internet {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) providers: Arc<SimulatedProviders>,
}

/// An answer in transit. If it is dropped before delivery, it is lost.
struct UnderWay<'a> {
    providers: &'a SimulatedProviders,
    answer: Option<usize>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer {
            self.providers.network.log(|| format!("answer {answer} is lost"));
            self.providers.set_answer_status(answer, AnswerStatus::Lost);
        }
    }
}

#[async_trait::async_trait]
impl Transport for Internet {
    async fn exchange(&self, request: http::Request<Vec<u8>>, _: Limits) -> Result<Response, EgressError> {
        let Self { sandbox, providers } = self;
        let host = request.uri().host().expect("a host").to_owned();
        let number = SimulatedProviders::by_host(&host);
        let (provider, chance) = (providers.get(number), &sandbox.network.chance);
        let is_retry = providers.is_retry(sandbox.id, number);
        let there = chance.milliseconds(5..=400);
        let may = |per_mille| !sandbox.network.is_quiet() && chance.per_mille(per_mille);
        let back = if may(provider.slow) { chance.seconds(10..=40) } else { chance.milliseconds(5..=400) };
        let is_failing = may(provider.fails);
        // Draw only for providers with these quirks, so that the regression seeds still give the same runs.
        let is_erring = provider.errors_with_200 > 0 && may(provider.errors_with_200);
        let is_losing = provider.loses_answers > 0 && !is_retry && may(provider.loses_answers);
        let lost = |reason: &str| {
            providers.lost(sandbox.id, number, is_retry);
            EgressError::ResponseLost { host: host.clone(), reason: reason.into() }
        };
        let mut under_way = UnderWay { providers, answer: None };
        let mut requested_at = Duration::ZERO;
        let answering = sandbox.call_slowly(Service::Provider, there, back, || {
            requested_at = sandbox.network.now();
            if is_failing {
                return None;
            }
            if is_erring {
                sandbox.network.count("errors with a 200");
                return Some(temporary_error(chance.number(0..=3)));
            }
            let reply = providers.answer(sandbox.id, number, request.body(), is_retry);
            under_way.answer = reply.answer;
            Some(reply)
        });
        let (status, body) = match answering.await {
            Ok(Some(Reply { answer: Some(_), .. })) if is_losing => {
                sandbox.network.count("answers lost by a provider");
                return Err(lost("the provider closed the connection"));
            }
            Ok(Some(Reply { status, body, answer })) => {
                under_way.answer = None;
                if let Some(answer) = answer {
                    providers.set_answer_status(answer, AnswerStatus::Delivered);
                }
                (status, body)
            }
            Ok(None) => unavailable(chance.number(0..=4)),
            Err(Fault::Refused) => match chance.number(0..=4) {
                2 => return Err(EgressError::Unreachable { host, reason: "connection refused".into() }),
                kind => unavailable(kind),
            },
            Err(Fault::AnswerLost) => match chance.number(0..=2) {
                0 => (StatusCode::OK, r#"{"access_token": "acc"#.to_owned()),
                1 => (StatusCode::BAD_GATEWAY, "<html>".to_owned()),
                _ => return Err(lost("the connection was reset")),
            },
            Err(Fault::NoAnswer) => unreachable!("no answer ever arrives"),
        };
        let mut headers = HeaderMap::new();
        let kind = if body.starts_with('{') { "application/json" } else { "text/html" };
        headers.insert("content-type", HeaderValue::from_static(kind));
        let date = OffsetDateTime::UNIX_EPOCH
            + Duration::from_secs(START.unsigned_abs())
            + requested_at
            + time::Duration::seconds(provider.ahead);
        let date = date.format(&Rfc2822).expect("a date").replace("+0000", "GMT");
        headers.insert("date", date.parse().expect("a header"));
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert("retry-after", HeaderValue::from_static("120"));
        }
        Ok(Response::new(status, headers, body))
    }
}

/// Returns one of the error responses that only mean "try again later".
fn unavailable(kind: u64) -> (StatusCode, String) {
    match kind {
        0 => (StatusCode::SERVICE_UNAVAILABLE, "<html>".to_owned()),
        1 => (StatusCode::TOO_MANY_REQUESTS, r#"{"error": "rate_limited"}"#.to_owned()),
        2 => (StatusCode::BAD_REQUEST, "<html>Bad Request</html>".to_owned()),
        3 => (StatusCode::OK, "{}".to_owned()),
        _ => (StatusCode::BAD_REQUEST, r#"{"error": "temporarily_unavailable"}"#.to_owned()),
    }
}

/// Returns one of the responses that look like success but mean "try again later".
fn temporary_error(kind: u64) -> Reply {
    let body = match kind {
        0 => r#"{"error": "temporarily_unavailable"}"#,
        1 => r#"{"error": "rate_limited"}"#,
        2 => r#"{"ok": false, "error": "ratelimited"}"#,
        _ => r#"{"ok": false, "error": "server_error", "access_token": "never-issued"}"#,
    };
    Reply { status: StatusCode::OK, body: body.to_owned(), answer: None }
}
