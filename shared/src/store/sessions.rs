//! Pending connect flows. A session is used once, within its life, by the browser that began it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use time::OffsetDateTime;

use super::StoreError;
use super::item::{Item, present};

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
    /// The sealed contents.
    pub sealed: Vec<u8>,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// Why a session could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Unknown, used already, or over.
    #[error("this connect flow is unknown, over, or finished already")]
    Gone,
    /// It was begun in another browser. It stays, so that a stranger cannot end it.
    #[error("this connect flow was begun in another browser")]
    OtherBrowser,
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
            .bytes("sealed", session.sealed.clone())
            .time("expires_at", session.expires_at)
            // In seconds, for DynamoDB's own deletion, which may come days later.
            .number("ttl", session.expires_at.unix_timestamp());
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item.0));
        put.send().await.map(drop).map_err(StoreError::dynamodb)
    }

    /// Takes a session out: of two takers, one gets it.
    ///
    /// # Errors
    /// When it is gone or another browser's, or DynamoDB fails.
    pub async fn take(&self, id: &str, browser: &str, now: OffsetDateTime) -> Result<Session, SessionError> {
        let result = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("id", AttributeValue::S(id.to_owned()))
            .condition_expression("browser = :browser")
            .expression_attribute_values(":browser", AttributeValue::S(browser.to_owned()))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let item =
            match result {
                Ok(output) => output.attributes.ok_or(SessionError::Gone)?,
                Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                    return Err(match error.into_err() {
                        aws_sdk_dynamodb::operation::delete_item::DeleteItemError::ConditionalCheckFailedException(
                            e,
                        ) if e.item.as_ref().is_some_and(|item| !item.is_empty()) => SessionError::OtherBrowser,
                        _ => SessionError::Gone,
                    });
                }
                Err(error) => return Err(StoreError::dynamodb(error).into()),
            };
        let session = read(&Item(item))?;
        if session.expires_at <= now { Err(SessionError::Gone) } else { Ok(session) }
    }
}

fn read(item: &Item) -> Result<Session, StoreError> {
    Ok(Session {
        id: present(item.get_string("id"), TABLE, "id")?,
        workspace: present(item.get_string("workspace"), TABLE, "workspace")?,
        browser: present(item.get_string("browser"), TABLE, "browser")?,
        sealed: present(item.get_bytes("sealed"), TABLE, "sealed")?,
        expires_at: present(item.get_time("expires_at"), TABLE, "expires_at")?,
    })
}
