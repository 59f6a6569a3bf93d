//! Logs each invocation of a function in one line: its subject, its result, and how long it took.
//!
//! An [`Invocation`] runs its handler with its own [`Record`]. Code inside adds to it with [`note`]: the authenticator adds
//! the workspace, the table the connection, the egress client the time spent waiting for the provider. So no record is passed
//! around, and a note outside of an invocation has no effect.
//!
//! # Decisions
//!
//! There is no OpenTelemetry. The X-Ray trace id is in every line, so a trace leads to its lines and back. A tracer in
//! the process would cost megabytes and cold start time for spans that the lines already contain.

use std::time::Duration;

use http::Method;
use serde::Serialize;
use tokio::time::Instant;

use crate::error::{Error, ErrorSummary};
use crate::http::Response;
use crate::isolation::caught;
use crate::record::{Record, note, recorded};

/// One invocation of a function.
#[derive(Debug, Default)]
pub struct Invocation {
    /// The function's name.
    pub function: String,
    /// Lambda's id of the invocation.
    pub request_id: Option<String>,
    /// The trace header (`X-Amzn-Trace-Id`).
    pub trace_header: Option<String>,
    /// The method, for an HTTP request.
    pub method: Option<Method>,
    /// Whether it is the first invocation of its process, if known.
    pub is_cold_start: Option<bool>,
}

impl Invocation {
    /// Handles an HTTP request and logs it.
    pub async fn answer(self, work: impl Future<Output = Response>) -> Response {
        let started = Instant::now();
        let (response, record) = recorded(self.identified(caught(work))).await;
        let response = response.unwrap_or_else(|panicked| Error::internal(panicked).into());
        let error = response.extensions().get::<ErrorSummary>();
        self.log(&record, Some(response.status().as_u16()), error, started.elapsed());
        response
    }

    /// Handles an event and logs it.
    ///
    /// # Errors
    /// The error of `work`.
    pub async fn handle<T>(self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let started = Instant::now();
        let (result, record) = recorded(self.identified(caught(work))).await;
        let result = result.unwrap_or_else(|panicked| Err(Error::internal(panicked)));
        let error = result.as_ref().err().map(Error::summary);
        self.log(&record, None, error.as_ref(), started.elapsed());
        result
    }

    async fn identified<T>(&self, work: impl Future<Output = T>) -> T {
        note(|record| record.request_id.clone_from(&self.request_id));
        work.await
    }

    fn log(&self, record: &Record, status: Option<u16>, error: Option<&ErrorSummary>, duration: Duration) {
        let Self { function, request_id, trace_header, method, is_cold_start } = self;
        let outcome = record.outcome.map(|outcome| wire_name(&outcome));
        let is_failed_event = status.is_none() && error.is_some();
        let sweep = record.sweep.as_ref();
        // Without a parent span, whose fields the line already has.
        tracing::info!(
            parent: None,
            function,
            requestId = request_id.as_deref(),
            traceId = trace_header.as_deref().map(trace_id),
            method = method.as_ref().map(Method::as_str),
            workspace = record.workspace.as_deref(),
            connection = record.connection.as_deref(),
            connector = record.connector.as_deref(),
            status,
            outcome = if is_failed_event { Some(ERROR) } else { outcome.as_deref() },
            errorType = error.map(|error| wire_name(&error.kind)),
            errorKey = error.and_then(|error| error.key),
            refusal = record.refusal,
            due = sweep.map(|sweep| sweep.due),
            queued = sweep.map(|sweep| sweep.queued),
            refreshed = sweep.map(|sweep| sweep.refreshed),
            failed = sweep.map(|sweep| sweep.failed),
            lagMs = sweep.map(|sweep| sweep.lag_ms),
            messages = record.batch.map(|batch| batch.messages),
            returned = record.batch.map(|batch| batch.returned),
            durationMs = milliseconds(duration),
            providerMs = record.provider.map(milliseconds),
            coldStart = *is_cold_start,
            "invocation"
        );
    }
}

/// The outcome of an invocation that failed.
pub(crate) const ERROR: &str = "error";

/// Returns the serialized name of a unit variant.
pub(crate) fn wire_name(variant: &impl Serialize) -> String {
    let name = serde_json::to_value(variant);
    name.ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Returns the trace id from its
/// [header](https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader).
fn trace_id(header: &str) -> &str {
    header.split(';').find_map(|part| part.trim().strip_prefix("Root=")).unwrap_or(header)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::connection::ConnectionKey;
    use crate::connection::RefreshOutcome;
    use crate::record::waiting_for_provider;
    use crate::testing::Lines;

    fn invocation() -> Invocation {
        Invocation {
            function: "refresh".into(),
            request_id: Some("r1".into()),
            trace_header: Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".into()),
            ..Invocation::default()
        }
    }

    /// Returns the only line that some work logs, without its timestamp, and its two durations separately.
    async fn line(work: impl Future<Output = ()>) -> (Value, Option<u64>, Option<u64>) {
        let mut logged = Lines::of("info", work).await;
        assert_eq!(logged.len(), 1, "{logged:?}");
        let mut line = logged.remove(0);
        let members = line.as_object_mut().unwrap();
        members.remove("timestamp");
        let [duration, provider] =
            ["durationMs", "providerMs"].map(|name| members.remove(name).map(|value| value.as_u64().unwrap()));
        (line, duration, provider)
    }

    #[tokio::test]
    async fn the_log_line_has_the_notes_and_the_durations() {
        let (line, duration, provider) = line(async {
            let work = async {
                note(|record| record.connection(&ConnectionKey::new("w", "c")));
                waiting_for_provider(tokio::time::sleep(Duration::from_millis(30))).await;
                tokio::time::sleep(Duration::from_millis(12)).await;
                note(|record| record.outcome = Some(RefreshOutcome::TooSoon));
                Ok(())
            };
            invocation().handle(work).await.unwrap();
        })
        .await;
        let expected = json!({
            "level": "INFO", "message": "invocation", "target": "larder::invocation",
            "function": "refresh", "requestId": "r1", "traceId": "1-5759e988-bd862e3fe1be46a994272793",
            "workspace": "w", "connection": "c", "outcome": "tooSoon",
        });
        assert_eq!(line, expected);
        assert!(
            provider >= Some(30) && duration >= provider.map(|provider| provider + 12),
            "{duration:?} {provider:?}"
        );
    }

    #[tokio::test]
    async fn the_log_line_has_an_errors_type_but_not_its_message() {
        let request = Invocation { method: Some(Method::GET), is_cold_start: Some(true), ..invocation() };
        let response = async { Error::not_found("there is no connection `c`").into() };
        let (line, duration, provider) = line(async { drop(request.answer(response).await) }).await;
        let expected = json!({
            "level": "INFO", "message": "invocation", "target": "larder::invocation",
            "function": "refresh", "requestId": "r1", "traceId": "1-5759e988-bd862e3fe1be46a994272793",
            "method": "GET", "status": 404, "errorType": "bad_request", "errorKey": "not_found",
            "coldStart": true,
        });
        assert_eq!(line, expected);
        assert!(duration.is_some() && provider.is_none(), "{duration:?} {provider:?}");
    }

    #[tokio::test]
    async fn a_panic_gets_a_response_and_a_log_line() {
        let line = Lines::of("larder::invocation=info", async {
            let panic = || -> Response { panic!("intended by the test") };
            let response = invocation().answer(async { panic() }).await;
            assert_eq!(response.status(), http::StatusCode::INTERNAL_SERVER_ERROR);
        });
        let line = line.await;
        assert_eq!((&line[0]["status"], line.len()), (&json!(500), 1), "{line:?}");
    }

    #[tokio::test]
    async fn a_failed_event_is_logged_with_the_outcome_error() {
        let failure = async { Err::<(), _>(Error::conflict("somebody else was faster")) };
        let (line, ..) = line(async { drop(invocation().handle(failure).await) }).await;
        assert_eq!((&line["outcome"], &line["errorType"]), (&json!("error"), &json!("bad_request")), "{line}");
    }
}
