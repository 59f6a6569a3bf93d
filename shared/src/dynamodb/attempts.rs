//! The history of connections: connects, tests, and refreshes, with their outcomes.
//!
//! # Decisions
//!
//! Nothing else depends on an attempt, so recording one never fails the work that it describes and delays it by half a
//! second at most. Scheduled refreshes that succeed like the ones before are not recorded.
//!
//! An id may be used again after its connection is gone. Attempts from before the present row was created are therefore not
//! listed: they may be another tenant's.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::StoreError;
use super::item::Item;
use crate::clock::{Clock, later};
use crate::connection::{Connection, ConnectionKey, Problem};
use crate::error::log_cause;
use crate::random::{self, Rng};
use crate::record;

/// The longest message that is stored, in characters.
const MAX_MESSAGE: usize = 1000;

/// The kinds of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptKind {
    /// Connecting, reconnecting, or creating the connection.
    Connect,
    /// Replacing its secrets.
    Replace,
    /// Testing its credentials.
    Test,
    /// Refreshing its credentials.
    Refresh,
    /// Disconnecting it.
    Disconnect,
}

impl AttemptKind {
    const ALL: [Self; 5] = [Self::Connect, Self::Replace, Self::Test, Self::Refresh, Self::Disconnect];

    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Replace => "replace",
            Self::Test => "test",
            Self::Refresh => "refresh",
            Self::Disconnect => "disconnect",
        }
    }
}

/// An attempt that has begun.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    kind: AttemptKind,
    since: Instant,
}

impl Begun {
    /// An attempt that begins now.
    pub fn now(kind: AttemptKind) -> Self {
        Self { kind, since: Instant::now() }
    }
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its kind.
    pub kind: AttemptKind,
    /// When it ended.
    pub at: OffsetDateTime,
    /// How long it took.
    pub duration: Duration,
    /// Why it failed, in the provider's words; `None` if it succeeded.
    pub problem: Option<Problem>,
    /// The id of the invocation, which is in its log line.
    pub request_id: Option<String>,
}

impl Attempt {
    /// Returns the documented members.
    pub fn view(&self) -> Value {
        let mut view = json!({
            "type": self.kind.name(),
            "at": time_text(self.at),
            "durationMs": u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            "outcome": if self.problem.is_none() { "success" } else { "failure" },
            "error": self.problem,
            "requestId": self.request_id,
        });
        if let Some(members) = view.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        view
    }
}

/// Reads and writes attempts.
#[derive(Clone)]
pub struct Attempts {
    client: Client,
    table: String,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Attempts {
    /// How many attempts are listed.
    const LISTED: i32 = 50;
    /// How long an attempt is kept.
    const KEPT: Duration = Duration::from_hours(24 * 90);
    /// How long the work waits for its attempt to be recorded.
    const PATIENCE: Duration = Duration::from_millis(500);

    /// The attempts in `table`.
    pub fn new(client: Client, table: impl Into<String>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { client, table: table.into(), clock, rng }
    }

    /// Records an attempt that ends now. A failure to do so is only logged.
    pub async fn add(&self, key: &ConnectionKey, begun: Begun, problem: Option<&Problem>) {
        let now = self.clock.now();
        let attempt = Attempt {
            kind: begun.kind,
            at: now,
            duration: begun.since.elapsed(),
            problem: problem.cloned(),
            request_id: record::request_id(),
        };
        let item = row(key, &attempt, &*self.rng);
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item.0)).send();
        match tokio::time::timeout(Self::PATIENCE, put).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => log_cause("the database; an attempt was not recorded", &error),
            Err(late) => log_cause("the database; an attempt was not recorded", &late),
        }
    }

    /// Returns the last attempts of a connection since it was created, newest first.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn list(&self, connection: &Connection) -> Result<Vec<Attempt>, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#connection = :connection AND #at >= :created")
            .expression_attribute_names("#connection", "connection")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":connection", AttributeValue::S(connection.key.to_string()))
            .expression_attribute_values(":created", AttributeValue::S(time_text(connection.created_at)))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(Self::LISTED)
            .send()
            .await
            .map_err(StoreError::dynamodb)?;
        let items = output.items.unwrap_or_default().into_iter().map(Item);
        // An attempt that cannot be read is no reason to hide the others.
        Ok(items.filter_map(|item| read(&item)).collect())
    }
}

fn row(key: &ConnectionKey, attempt: &Attempt, rng: &dyn Rng) -> Item {
    let Attempt { kind, at, duration, problem, request_id } = attempt;
    let id = request_id.clone().unwrap_or_else(|| random::token::<8>(rng));
    let message = problem.as_ref().map(|it| it.message.chars().take(MAX_MESSAGE).collect::<String>());
    Item::default()
        .string("connection", key.to_string())
        .string("at", format!("{}#{id}", time_text(*at)))
        .string("kind", kind.name())
        .time("ended_at", *at)
        .number("duration_ms", duration.as_millis())
        .number("failed", u8::from(problem.is_some()))
        .maybe("problem", message, Item::string)
        .maybe("problem_key", problem.as_ref().and_then(|it| it.key.as_ref()), Item::string)
        .maybe("request_id", request_id.as_ref(), Item::string)
        // In seconds, for DynamoDB's own deletion.
        .number("ttl", later(*at, Attempts::KEPT).unix_timestamp())
}

fn read(item: &Item) -> Option<Attempt> {
    let kind = item.get_string("kind")?;
    let has_failed = item.get_number("failed") == Some(1_u8);
    let problem =
        || Problem { key: item.get_string("problem_key"), message: item.get_string("problem").unwrap_or_default() };
    Some(Attempt {
        kind: AttemptKind::ALL.into_iter().find(|it| it.name() == kind)?,
        at: item.get_time("ended_at")?,
        duration: Duration::from_millis(item.get_number("duration_ms")?),
        problem: has_failed.then(problem),
        request_id: item.get_string("request_id"),
    })
}

/// Formats a time in RFC 3339 with milliseconds, so that times sort as strings.
fn time_text(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, millisecond) = time.to_hms_milli();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
    use aws_sdk_dynamodb::types::error::ResourceNotFoundException;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;
    use crate::clock::ManualClock;
    use crate::random::SystemRng;
    use crate::testing::Lines;

    fn at(milliseconds: i64) -> OffsetDateTime {
        crate::clock::from_milliseconds(1_767_225_600_000 + milliseconds).expect("a time")
    }

    fn failed() -> Attempt {
        Attempt {
            kind: AttemptKind::Refresh,
            at: at(7),
            duration: Duration::from_millis(120),
            problem: Some(Problem::new(Some("access_token_expired"), "revoked")),
            request_id: Some("r-1".into()),
        }
    }

    fn key() -> ConnectionKey {
        ConnectionKey::new("acme", "c1")
    }

    #[test]
    fn a_row_reads_as_the_attempt_that_was_recorded() {
        let succeeded = Attempt { kind: AttemptKind::Connect, problem: None, request_id: None, ..failed() };
        for attempt in [failed(), succeeded] {
            assert_eq!(read(&row(&key(), &attempt, &SystemRng)), Some(attempt));
        }
    }

    #[test]
    fn rows_sort_by_time_and_expire_after_ninety_days() {
        let row = row(&key(), &failed(), &SystemRng);
        assert_eq!(row.get_string("connection").as_deref(), Some("acme#c1"));
        assert_eq!(row.get_string("at").as_deref(), Some("2026-01-01T00:00:00.007Z#r-1"));
        assert_eq!(row.get_number("ttl"), Some(1_767_225_600_i64 + 90 * 86_400));
        assert!(time_text(at(0)) < time_text(at(7)) && time_text(at(999)) < time_text(at(1000)));
    }

    #[test]
    fn a_long_message_is_cut() {
        let problem = Some(Problem::new(None, "ß".repeat(5000)));
        let row = row(&key(), &Attempt { problem, ..failed() }, &SystemRng);
        assert_eq!(row.get_string("problem").map(|it| it.chars().count()), Some(MAX_MESSAGE));
    }

    #[test]
    fn the_view_has_the_providers_words_and_no_empty_members() {
        let expected = json!({
            "type": "refresh", "at": "2026-01-01T00:00:00.007Z", "durationMs": 120, "outcome": "failure",
            "error": {"key": "access_token_expired", "message": "revoked"}, "requestId": "r-1",
        });
        assert_eq!(failed().view(), expected);
        let succeeded = Attempt { problem: None, request_id: None, ..failed() };
        let expected =
            json!({"type": "refresh", "at": "2026-01-01T00:00:00.007Z", "durationMs": 120, "outcome": "success"});
        assert_eq!(succeeded.view(), expected);
    }

    #[tokio::test]
    async fn a_failing_table_is_only_logged() {
        let rejected = mock!(Client::put_item)
            .then_error(|| PutItemError::ResourceNotFoundException(ResourceNotFoundException::builder().build()));
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&rejected]);
        let attempts = Attempts::new(client, "attempts", Arc::new(ManualClock::at(0)), Arc::new(SystemRng));
        let adding = async { attempts.add(&key(), Begun::now(AttemptKind::Test), None).await };
        let lines = Lines::of("info", adding).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[tokio::test]
    async fn an_attempt_carries_the_request_id() {
        let put = mock!(Client::put_item)
            .match_requests(|request| {
                let id = request.item().and_then(|item| item.get("request_id"));
                id.and_then(|id| id.as_s().ok()).is_some_and(|id| id == "r-7")
            })
            .then_output(|| PutItemOutput::builder().build());
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&put]);
        let attempts = Attempts::new(client, "attempts", Arc::new(ManualClock::at(0)), Arc::new(SystemRng));
        let work = async {
            record::note(|record| record.request_id = Some("r-7".into()));
            // A refresh has a record of its own.
            record::recorded(attempts.add(&key(), Begun::now(AttemptKind::Test), None)).await;
        };
        record::recorded(work).await;
        assert_eq!(put.num_calls(), 1);
    }
}
