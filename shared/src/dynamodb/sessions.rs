//! Pending connect flows. A session is used once, before it expires, by the browser that started it. For a moment after
//! that, it keeps the flow's outcome.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use time::OffsetDateTime;

use super::StoreError;
use super::conditional::{Updated, update_if};
use super::item::{Item, present};
use crate::clock::milliseconds;

const TABLE: &str = "sessions";

/// A pending flow, with its contents sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The digest of the state parameter. The state itself is not stored.
    pub id: String,
    /// The workspace whose key sealed the contents.
    pub workspace: String,
    /// The digest of the cookie in the browser that started the flow.
    pub browser: String,
    /// The host at which the browser started, and for which it has the cookie.
    pub host: Option<String>,
    /// The sealed contents.
    pub sealed: Vec<u8>,
    /// When it expires.
    pub expires_at: OffsetDateTime,
}

/// A callback that requests a session.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// The session's id.
    pub id: &'a str,
    /// The digest of the browser's cookie.
    pub browser: &'a str,
    /// The digest of all the callback's parameters.
    pub callback: &'a str,
}

/// The result of taking a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// The session, which no other callback gets.
    Session(Session),
    /// The same callback has taken the session and is still running.
    Unfinished,
    /// The same callback has finished with this outcome.
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
    /// It is unknown, used, or expired.
    #[error("this connection attempt is unknown, expired, or already finished")]
    Gone,
    /// It was started in another browser. It is kept, so that a stranger cannot end it.
    #[error("this connection attempt was started in another browser")]
    OtherBrowser {
        /// The host at which it was started.
        host: Option<String>,
    },
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads and writes sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    client: Client,
    table: String,
}

impl Sessions {
    /// The sessions in `table`.
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
            .expiring(session.expires_at);
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item.0));
        put.send().await.map(drop).map_err(StoreError::dynamodb)
    }

    /// Takes a session. Of two simultaneous callbacks, only one gets it. Its sealed contents are removed from the table.
    ///
    /// If the same callback comes again from the same browser, within `again` of `now`, it gets the outcome.
    ///
    /// # Errors
    /// When the session is gone or another browser's, or DynamoDB fails.
    pub async fn take(&self, visit: Visit<'_>, now: OffsetDateTime, again: Duration) -> Result<Taken, SessionError> {
        let update = self
            .update(visit.id, now + again)
            .update_expression("SET callback = :callback, expires_at = :until, #ttl = :ttl REMOVE sealed")
            .condition_expression("browser = :browser AND expires_at > :now AND attribute_not_exists(callback)")
            .expression_attribute_values(":browser", AttributeValue::S(visit.browser.to_owned()))
            .expression_attribute_values(":callback", AttributeValue::S(visit.callback.to_owned()))
            .expression_attribute_values(":now", AttributeValue::N(milliseconds(now).to_string()));
        match update_if(update, ReturnValue::AllOld).await? {
            Updated::Done(item) => Ok(Taken::Session(read(&item)?)),
            Updated::Refused(item) => missed(&item.ok_or(SessionError::Gone)?, visit, now),
        }
    }

    /// Keeps a flow's outcome, until `until`, in the session that this callback took.
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

    /// Starts an update of a session that will expire at `until`.
    fn update(&self, id: &str, until: OffsetDateTime) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("id", AttributeValue::S(id.to_owned()))
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":until", AttributeValue::N(milliseconds(until).to_string()))
            .expression_attribute_values(":ttl", AttributeValue::N(until.unix_timestamp().to_string()))
    }
}

/// Returns the result for a session that cannot be taken.
fn missed(item: &Item, visit: Visit<'_>, now: OffsetDateTime) -> Result<Taken, SessionError> {
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
