//! Schedules refreshes with Amazon EventBridge Scheduler.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, Target,
};
use time::macros::format_description;

use crate::connection::Connection;
use crate::digest::sha256_base64url;
use crate::refresh::RefreshEvent;
use crate::scheduler::{Scheduler, SchedulerError};

/// One-time schedules of Amazon EventBridge Scheduler, each of which deletes itself after it has fired.
///
/// A schedule's name contains the connection's version. So arming is one idempotent create, never an update that races
/// with the deletion of a schedule that is firing. If an older schedule fires, its event is stale and has no effect.
///
/// See [CreateSchedule](https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html).
#[derive(Debug, Clone)]
pub struct EventBridgeScheduler {
    client: Client,
    target: ScheduleTarget,
}

/// The function that schedules invoke, and the role they assume.
#[derive(Debug, Clone)]
pub struct ScheduleTarget {
    /// The schedule group.
    pub group: String,
    /// The ARN of the `refresh` function.
    pub function_arn: String,
    /// The ARN of the role that may invoke it.
    pub role_arn: String,
    /// The ARN of the queue for events that could not be delivered.
    pub dead_letter_arn: Option<String>,
}

impl EventBridgeScheduler {
    /// Creates a scheduler that invokes `target`.
    pub fn new(client: Client, target: ScheduleTarget) -> Self {
        Self { client, target }
    }
}

#[async_trait]
impl Scheduler for EventBridgeScheduler {
    async fn arm(&self, connection: &Connection) -> Result<(), SchedulerError> {
        let Some(due) = connection.next_refresh_at else { return Ok(()) };
        // Schedules have a resolution of seconds. Round up: one that fires early finds nothing due.
        let due = due.truncate_to_second() + Duration::from_secs(u64::from(due.nanosecond() > 0));
        let format = format_description!("at([year]-[month]-[day]T[hour]:[minute]:[second])");
        let event = RefreshEvent { key: connection.key.clone(), version: Some(connection.version) };
        let event = serde_json::to_string(&event).map_err(SchedulerError::new)?;
        let dead_letters = self.target.dead_letter_arn.as_ref().map(|arn| DeadLetterConfig::builder().arn(arn).build());
        let target = Target::builder()
            .arn(&self.target.function_arn)
            .role_arn(&self.target.role_arn)
            .input(event)
            .set_dead_letter_config(dead_letters)
            .build()
            .map_err(SchedulerError::new)?;
        let exactly = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
        let created = self
            .client
            .create_schedule()
            .name(schedule_name(connection))
            .group_name(&self.target.group)
            .schedule_expression(due.format(format).map_err(SchedulerError::new)?)
            .schedule_expression_timezone("UTC")
            .flexible_time_window(exactly.map_err(SchedulerError::new)?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target)
            .send()
            .await;
        match created {
            Err(error) if !error.as_service_error().is_some_and(|e| e.is_conflict_exception()) => {
                Err(SchedulerError::new(error))
            }
            _ => Ok(()),
        }
    }

    async fn disarm(&self, connection: &Connection) -> Result<(), SchedulerError> {
        if connection.next_refresh_at.is_none() {
            return Ok(());
        }
        let delete = self.client.delete_schedule().name(schedule_name(connection)).group_name(&self.target.group);
        match delete.send().await {
            Err(error) if !error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
                Err(SchedulerError::new(error))
            }
            _ => Ok(()),
        }
    }
}

/// Returns a name of at most 64 characters of `[0-9a-zA-Z-_.]` for any connection id: 32 of a digest, and the version.
fn schedule_name(connection: &Connection) -> String {
    format!("{:.32}.{}", sha256_base64url(connection.key.to_string()), connection.version)
}

#[cfg(test)]
mod tests {
    use aws_sdk_scheduler::operation::create_schedule::{CreateScheduleError, CreateScheduleOutput};
    use aws_sdk_scheduler::operation::delete_schedule::DeleteScheduleError;
    use aws_sdk_scheduler::types::error::{ConflictException, ResourceNotFoundException, ThrottlingException};
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use time::OffsetDateTime;

    use super::*;
    use crate::connection::ConnectionKey;

    fn due() -> Connection {
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).expect("a time");
        let mut connection = Connection::new(ConnectionKey::new("acme", "c/1 ü"), now);
        connection.version = 7;
        connection.next_refresh_at = Some(now + time::Duration::seconds(90));
        connection
    }

    fn scheduler(rule: &Rule) -> EventBridgeScheduler {
        let target = ScheduleTarget {
            group: "larder".into(),
            function_arn: "arn:aws:lambda:eu-west-1:123456789012:function:refresh".into(),
            role_arn: "arn:aws:iam::123456789012:role/schedules".into(),
            dead_letter_arn: Some("arn:aws:sqs:eu-west-1:123456789012:undelivered".into()),
        };
        EventBridgeScheduler::new(mock_client!(aws_sdk_scheduler, [rule]), target)
    }

    #[tokio::test]
    async fn a_schedule_fires_once_at_the_due_second_with_the_version() {
        let create = mock!(Client::create_schedule)
            .match_requests(|request| {
                request.schedule_expression() == Some("at(2023-11-14T22:14:50)")
                    && request.schedule_expression_timezone() == Some("UTC")
                    && request.action_after_completion() == Some(&ActionAfterCompletion::Delete)
                    && request.flexible_time_window().map(FlexibleTimeWindow::mode)
                        == Some(&FlexibleTimeWindowMode::Off)
                    && request.target().and_then(Target::input)
                        == Some(r#"{"workspace":"acme","connectionId":"c/1 ü","version":7}"#)
            })
            .then_output(|| CreateScheduleOutput::builder().schedule_arn("arn").build().expect("an output"));
        scheduler(&create).arm(&due()).await.expect("is armed");
        assert_eq!(create.num_calls(), 1);
    }

    #[tokio::test]
    async fn undeliverable_events_go_to_the_dead_letter_queue() {
        let create = mock!(Client::create_schedule)
            .match_requests(|request| {
                let target = request.target().expect("a target");
                target.dead_letter_config().and_then(DeadLetterConfig::arn)
                    == Some("arn:aws:sqs:eu-west-1:123456789012:undelivered")
                    // AWS's default retries for a day, up to 185 times, which is more than we could set.
                    && target.retry_policy().is_none()
            })
            .then_output(|| CreateScheduleOutput::builder().schedule_arn("arn").build().expect("an output"));
        scheduler(&create).arm(&due()).await.expect("is armed");
        assert_eq!(create.num_calls(), 1);
    }

    #[tokio::test]
    async fn arming_is_idempotent() {
        let create = mock!(Client::create_schedule).then_error(|| {
            CreateScheduleError::ConflictException(
                ConflictException::builder().message("exists").build().expect("an error"),
            )
        });
        scheduler(&create).arm(&due()).await.expect("is armed already");
    }

    #[tokio::test]
    async fn disarming_nothing_succeeds_and_throttling_is_an_error() {
        let gone = mock!(Client::delete_schedule).then_error(|| {
            let error = ResourceNotFoundException::builder().message("none").build().expect("an error");
            DeleteScheduleError::ResourceNotFoundException(error)
        });
        scheduler(&gone).disarm(&due()).await.expect("there is none");
        let throttled = mock!(Client::create_schedule).then_error(|| {
            CreateScheduleError::ThrottlingException(
                ThrottlingException::builder().message("slow").build().expect("an error"),
            )
        });
        assert!(scheduler(&throttled).arm(&due()).await.is_err());
    }

    #[test]
    fn schedule_names_are_valid_and_differ_by_version() {
        let mut connection = due();
        let first = schedule_name(&connection);
        connection.version = u64::MAX;
        let last = schedule_name(&connection);
        assert_ne!(first, last);
        for name in [first, last] {
            assert!(
                name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
                "{name}"
            );
        }
    }
}
