//! Metrics as lines of JSON on standard output, from which CloudWatch Logs extracts them.
//!
//! See the [embedded metric
//! format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
//! Only names with few values are dimensions, because each combination of values is a metric that costs money. The ids
//! in a line are for searching the log.
//!
//! # Decisions
//!
//! The embedded metric format costs a line, but no request and no crate; outside AWS it costs nothing. Ids in those
//! lines are members rather than dimensions, so a sweep's refreshes can still be found one by one.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::connection::RefreshOutcome;
use crate::error::Error;
use crate::invocation::{ERROR, wire_name};

const NAMESPACE: &str = "Larder";

/// The destination of metrics.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<Mutex<dyn Write + Send>>>);

/// The measurements of one refresh.
#[derive(Debug)]
pub struct RefreshMetrics<'a> {
    /// The workspace.
    pub workspace: &'a str,
    /// The connection's id.
    pub connection: &'a str,
    /// Its connector's key, if it has one.
    pub connector: Option<&'a str>,
    /// The outcome.
    pub outcome: &'a Result<RefreshOutcome, Error>,
    /// The remaining lifetime of the old access token, negative if it had expired; `None` if it does not expire.
    pub to_expiry: Option<time::Duration>,
    /// The time spent waiting for the provider; `None` if it was not called.
    pub provider: Option<Duration>,
}

impl Metrics {
    /// Creates metrics that are written to `writer`, one line each.
    pub fn to(writer: Arc<Mutex<dyn Write + Send>>) -> Self {
        Self(Some(writer))
    }

    /// Creates metrics that are discarded.
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// Writes the measurements of a refresh.
    pub fn refresh(&self, at: OffsetDateTime, measured: &RefreshMetrics<'_>) {
        self.write(|| measured.line(at));
    }

    /// Writes how long the first connection of a sweep had been due.
    pub fn sweep(&self, at: OffsetDateTime, lag: Duration) {
        self.write(|| Line::default().metrics(&[&[]], [("SweeperLag", "Seconds", lag.as_secs_f64())]).finish(at));
    }

    fn write(&self, line: impl FnOnce() -> Value) {
        let Some(writer) = &self.0 else { return };
        let line = format!("{}\n", line());
        if let Err(error) = writer.lock().expect("the lock is not poisoned").write_all(line.as_bytes()) {
            tracing::warn!(%error, "a metric was not written");
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Metrics").field(&self.0.is_some()).finish()
    }
}

impl RefreshMetrics<'_> {
    fn line(&self, at: OffsetDateTime) -> Value {
        let outcome = self.outcome.as_ref().map_or_else(|_| ERROR.to_owned(), wire_name);
        // CloudWatch skips the whole line if a dimension's value is invalid.
        let connector = self.connector.filter(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()));
        let was_tried =
            matches!(self.outcome, Ok(RefreshOutcome::Refreshed | RefreshOutcome::Recovering | RefreshOutcome::Failed));
        let to_expiry = self.to_expiry.filter(|_| was_tried).map(time::Duration::as_seconds_f64);
        let latency = self.provider.map(|latency| (latency.as_secs_f64() * 1e6).round() / 1e3);

        let mut line = Line::default();
        line.0.insert("Outcome".to_owned(), outcome.into());
        let by_outcome: &[&[&str]] = match connector {
            Some(_) => &[&["Outcome"], &["Outcome", "Connector"]],
            None => &[&["Outcome"]],
        };
        line = line.metrics(by_outcome, [("Refreshes", "Count", 1.0)]);
        if let Some(connector) = connector {
            line.0.insert("Connector".to_owned(), connector.into());
            let values = [("SecondsToExpiry", "Seconds", to_expiry), ("ProviderLatency", "Milliseconds", latency)];
            let values = values.into_iter().filter_map(|(name, unit, value)| Some((name, unit, value?)));
            line = line.metrics(&[&["Connector"]], values);
        }
        line.0.insert("workspace".to_owned(), self.workspace.into());
        line.0.insert("connection".to_owned(), self.connection.into());
        line.finish(at)
    }
}

/// A line under construction: its members, and the definitions of those that are metrics.
#[derive(Default)]
struct Line(Map<String, Value>, Vec<Value>);

impl Line {
    /// Adds metrics with these sets of dimensions. Each set is counted separately.
    fn metrics<'a>(
        mut self,
        dimensions: &[&[&str]],
        values: impl IntoIterator<Item = (&'a str, &'a str, f64)>,
    ) -> Self {
        let mut definitions = Vec::new();
        for (name, unit, value) in values {
            self.0.insert(name.to_owned(), value.into());
            definitions.push(json!({"Name": name, "Unit": unit}));
        }
        if !definitions.is_empty() {
            self.1.push(json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": definitions}));
        }
        self
    }

    fn finish(self, at: OffsetDateTime) -> Value {
        let Self(members, directives) = self;
        let timestamp = at.unix_timestamp_nanos() / 1_000_000;
        let timestamp = i64::try_from(timestamp).unwrap_or_default();
        let mut line = Map::new();
        line.insert("_aws".to_owned(), json!({"Timestamp": timestamp, "CloudWatchMetrics": directives}));
        line.extend(members);
        Value::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T00:00:00.25Z
    const AT: i128 = 1_767_225_600_250_000_000;

    fn at() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(AT).unwrap()
    }

    fn measured(outcome: &Result<RefreshOutcome, Error>) -> RefreshMetrics<'_> {
        RefreshMetrics {
            workspace: "w",
            connection: "c",
            connector: Some("github"),
            outcome,
            to_expiry: Some(time::Duration::seconds(299)),
            provider: Some(Duration::from_micros(210_500)),
        }
    }

    /// Checks a line against the specification: every metric is a number in the line, and every dimension a string of 1
    /// to 1024 ASCII characters.
    fn checked(line: Value) -> Value {
        assert!(line["_aws"]["Timestamp"].is_u64());
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(directive["Namespace"], "Larder");
            let sets = directive["Dimensions"].as_array().unwrap();
            assert!(!sets.is_empty());
            for dimension in sets.iter().flat_map(|set| set.as_array().unwrap()) {
                let value = line[dimension.as_str().unwrap()].as_str().unwrap();
                assert!((1..=1024).contains(&value.len()) && value.is_ascii() && !value.trim().is_empty(), "{value:?}");
            }
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!((1..=100).contains(&metrics.len()));
            for metric in metrics {
                assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
                assert!(["Count", "Seconds", "Milliseconds"].contains(&metric["Unit"].as_str().unwrap()), "{metric}");
            }
        }
        line
    }

    #[test]
    fn a_refresh_is_counted_by_outcome_and_by_connector() {
        let line = checked(measured(&Ok(RefreshOutcome::Refreshed)).line(at()));
        let expected = json!({
            "_aws": {
                "Timestamp": 1_767_225_600_250_u64,
                "CloudWatchMetrics": [
                    {
                        "Namespace": "Larder",
                        "Dimensions": [["Outcome"], ["Outcome", "Connector"]],
                        "Metrics": [{"Name": "Refreshes", "Unit": "Count"}],
                    },
                    {
                        "Namespace": "Larder",
                        "Dimensions": [["Connector"]],
                        "Metrics": [
                            {"Name": "SecondsToExpiry", "Unit": "Seconds"},
                            {"Name": "ProviderLatency", "Unit": "Milliseconds"},
                        ],
                    },
                ],
            },
            "Outcome": "refreshed", "Refreshes": 1.0, "Connector": "github", "SecondsToExpiry": 299.0,
            "ProviderLatency": 210.5, "workspace": "w", "connection": "c",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn refreshes_that_were_not_attempted_have_no_time_to_expiry() {
        for (outcome, is_tried) in
            [(RefreshOutcome::Recovering, true), (RefreshOutcome::Busy, false), (RefreshOutcome::TooSoon, false)]
        {
            let outcome = Ok(outcome);
            let line = checked(RefreshMetrics { provider: None, ..measured(&outcome) }.line(at()));
            assert_eq!(line.get("SecondsToExpiry").is_some(), is_tried, "{line}");
            assert_eq!(line.get("ProviderLatency"), None);
        }
        let dead =
            RefreshMetrics { to_expiry: Some(time::Duration::seconds(-60)), ..measured(&Ok(RefreshOutcome::Failed)) };
        assert_eq!(checked(dead.line(at()))["SecondsToExpiry"], -60.0);
    }

    #[test]
    fn a_refresh_without_a_connector_is_still_counted() {
        for connector in [None, Some(""), Some("größe")] {
            let line = checked(RefreshMetrics { connector, ..measured(&Ok(RefreshOutcome::Gone)) }.line(at()));
            assert_eq!((&line["Refreshes"], line.get("Connector")), (&json!(1.0), None), "{line}");
        }
        let failed = Err(Error::conflict("something"));
        assert_eq!(checked(measured(&failed).line(at()))["Outcome"], "error");
    }

    #[test]
    fn a_sweep_reports_its_lag_without_a_dimension() {
        let written = Arc::new(Mutex::new(Vec::new()));
        Metrics::to(Arc::clone(&written) as _).sweep(at(), Duration::from_secs(90));
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
        let line = checked(serde_json::from_str(&text).unwrap());
        assert_eq!(line["SweeperLag"], 90.0);
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
    }
}
