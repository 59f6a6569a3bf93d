//! Pending connect flows. A session is used once, within its life, by the browser that began it; for a moment after that,
//! it keeps how the flow ended.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use time::OffsetDateTime;

use super::StoreError;
use super::item::{Item, present};
use crate::clock::milliseconds;

const TABLE: &str = "sessions";

/// A pending flow, its contents sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The digest of the state parameter. The state itself is nowhere stored.
    pub id: String,
    /// The workspace whose key sealed the contents.
    pub workspace: String,
    /// The digest of the cookie of the browser that began the flow.
    pub browser: String,
    /// The host that the browser began at, where it has the cookie.
    pub host: Option<String>,
    /// The sealed contents.
    pub sealed: Vec<u8>,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// A callback that asks for a session.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// The id of the session.
    pub id: &'a str,
    /// The digest of the browser's cookie.
    pub browser: &'a str,
    /// The digest of all that the callback says.
    pub callback: &'a str,
}

/// The answer to a callback that asks for a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// The session, which nobody else gets.
    Session(Session),
    /// The very same callback has the session and is at work.
    Unfinished,
    /// The very same callback came before, and this is what came of it.
    Finished {
        /// The workspace whose key sealed it.
        workspace: String,
        /// The sealed outcome.
        outcome: Vec<u8>,
    },
}

/// Why a session could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Unknown, used already, or over.
    #[error("this connect flow is unknown, over, or finished already")]
    Gone,
    /// It was begun in another browser. It stays, so that a stranger cannot end it.
    #[error("this connect flow was begun in another browser")]
    OtherBrowser {
        /// The host at which it was begun.
        host: Option<String>,
    },
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    client: Client,
    table: String,
}

impl Sessions {
    /// Sessions in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Stores a new session.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn put(&self, session: &Session) -> Result<(), StoreError> {
        let item = Item::default()
            .string("id", &session.id)
            .string("workspace", &session.workspace)
            .string("browser", &session.browser)
            .maybe("host", session.host.as_ref(), Item::string)
            .bytes("sealed", session.sealed.clone())
            .time("expires_at", session.expires_at)
            // In seconds, for DynamoDB's own deletion, which may come days later.
            .number("ttl", session.expires_at.unix_timestamp());
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item.0));
        put.send().await.map(drop).map_err(StoreError::dynamodb)
    }

    /// Takes a session: of two takers, one gets it. Its sealed contents are then gone from the table.
    ///
    /// The same callback from the same browser, within `again` of `now`, is shown the outcome once more.
    ///
    /// # Errors
    /// When it is gone or another browser's, or DynamoDB fails.
    pub async fn take(&self, visit: Visit<'_>, now: OffsetDateTime, again: Duration) -> Result<Taken, SessionError> {
        let result = self
            .update(visit.id, now + again)
            .update_expression("SET callback = :callback, expires_at = :until, #ttl = :ttl REMOVE sealed")
            .condition_expression("browser = :browser AND expires_at > :now AND attribute_not_exists(callback)")
            .expression_attribute_values(":browser", AttributeValue::S(visit.browser.to_owned()))
            .expression_attribute_values(":callback", AttributeValue::S(visit.callback.to_owned()))
            .expression_attribute_values(":now", AttributeValue::N(milliseconds(now).to_string()))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(output) => Ok(Taken::Session(read(&Item(output.attributes.ok_or(SessionError::Gone)?))?)),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                let UpdateItemError::ConditionalCheckFailedException(refused) = error.into_err() else {
                    return Err(SessionError::Gone);
                };
                missed(&Item(refused.item.unwrap_or_default()), visit, now)
            }
            Err(error) => Err(StoreError::dynamodb(error).into()),
        }
    }

    /// Keeps how a flow ended with the session that was taken for this callback, until `until`.
    ///
    /// # Errors
    /// When DynamoDB fails, or has deleted the session.
    pub async fn keep(&self, visit: Visit<'_>, outcome: Vec<u8>, until: OffsetDateTime) -> Result<(), StoreError> {
        let update = self
            .update(visit.id, until)
            .update_expression("SET outcome = :outcome, expires_at = :until, #ttl = :ttl")
            .condition_expression("callback = :callback")
            .expression_attribute_values(":callback", AttributeValue::S(visit.callback.to_owned()))
            .expression_attribute_values(":outcome", AttributeValue::B(Blob::new(outcome)));
        update.send().await.map(drop).map_err(StoreError::dynamodb)
    }

    /// An update of a session that is over then.
    fn update(
        &self,
        id: &str,
        until: OffsetDateTime,
    ) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("id", AttributeValue::S(id.to_owned()))
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":until", AttributeValue::N(milliseconds(until).to_string()))
            .expression_attribute_values(":ttl", AttributeValue::N(until.unix_timestamp().to_string()))
    }
}

/// The answer of a session that cannot be taken, or that is not there.
fn missed(item: &Item, visit: Visit<'_>, now: OffsetDateTime) -> Result<Taken, SessionError> {
    if item.0.is_empty() {
        return Err(SessionError::Gone);
    }
    if item.get_string("browser").as_deref() != Some(visit.browser) {
        return Err(SessionError::OtherBrowser { host: item.get_string("host") });
    }
    let is_over = item.get_time("expires_at").is_none_or(|expires_at| expires_at <= now);
    if is_over || item.get_string("callback").as_deref() != Some(visit.callback) {
        return Err(SessionError::Gone);
    }
    Ok(match item.get_bytes("outcome") {
        Some(outcome) => {
            Taken::Finished { workspace: present(item.get_string("workspace"), TABLE, "workspace")?, outcome }
        }
        None => Taken::Unfinished,
    })
}

fn read(item: &Item) -> Result<Session, StoreError> {
    Ok(Session {
        id: present(item.get_string("id"), TABLE, "id")?,
        workspace: present(item.get_string("workspace"), TABLE, "workspace")?,
        browser: present(item.get_string("browser"), TABLE, "browser")?,
        host: item.get_string("host"),
        sealed: present(item.get_bytes("sealed"), TABLE, "sealed")?,
        expires_at: present(item.get_time("expires_at"), TABLE, "expires_at")?,
    })
}
