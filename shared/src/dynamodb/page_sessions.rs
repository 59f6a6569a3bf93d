//! Sessions of the pages. Each begins as a link that works once. They are items of the table of sessions, with ids that no
//! flow has.
//!
//! # Decisions
//!
//! The link and the session are one item, so revoking the item ends whichever it is by then. Signing in is one conditional
//! update: of two browsers that follow a link, only one gets the session.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use time::OffsetDateTime;

use super::conditional::{Updated, outcome, update_if};
use super::item::{Item, present};
use super::{StoreError, Write};
use crate::clock::milliseconds;
use crate::error::Error;

const TABLE: &str = "sessions";
/// The beginning of an item's id. The session of a flow has no `#`.
const PREFIX: &str = "page#";

/// A session, or the link that it will begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSession {
    /// Its id, which isn't a secret.
    pub id: String,
    /// The workspace whose key sealed the caller.
    pub workspace: String,
    /// The tenant whose session it is. `None` for an admin of the workspace.
    pub tenant: Option<String>,
    /// The digest of the link's secret, until the link is used.
    pub link: Option<String>,
    /// The digest of the cookie in the browser that used the link.
    pub browser: Option<String>,
    /// The sealed caller.
    pub sealed: Vec<u8>,
    /// When the link or the session ends.
    pub expires_at: OffsetDateTime,
}

/// Why a link signs nobody in, in words for the person who opened it.
#[derive(Debug, thiserror::Error)]
pub enum PageLinkError {
    /// The link doesn't exist, or was revoked.
    #[error("this link is not valid")]
    Unknown,
    /// It has expired.
    #[error("this link has expired")]
    Expired,
    /// It has signed a browser in.
    #[error("this link was already used; each link signs in one browser")]
    Used,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PageLinkError> for Error {
    fn from(error: PageLinkError) -> Self {
        match error {
            PageLinkError::Store(error) => error.into(),
            PageLinkError::Unknown => Self::not_found(error.to_string()),
            PageLinkError::Expired => Self::bad_request(error.to_string()),
            PageLinkError::Used => Self::conflict(error.to_string()),
        }
    }
}

/// Reads and writes the sessions of pages.
#[derive(Debug, Clone)]
pub struct PageSessions {
    client: Client,
    table: String,
}

impl PageSessions {
    /// The sessions in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Stores a new link.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn put(&self, session: &PageSession) -> Result<(), StoreError> {
        let item = Item::default()
            .string("id", item_id(&session.id))
            .string("kind", "page")
            .string("workspace", &session.workspace)
            .maybe("tenant", session.tenant.as_ref(), Item::string)
            .maybe("link", session.link.as_ref(), Item::string)
            .maybe("browser", session.browser.as_ref(), Item::string)
            .bytes("sealed", session.sealed.clone())
            .expiring(session.expires_at);
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item.0));
        put.send().await.map(drop).map_err(StoreError::dynamodb)
    }

    /// Uses a link: from `now` on until `until`, the browser with this digest has the session.
    ///
    /// # Errors
    /// When the link is unknown, used or expired, or DynamoDB fails.
    pub async fn sign_in(
        &self,
        id: &str,
        link: &str,
        browser: &str,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<PageSession, PageLinkError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", AttributeValue::S(item_id(id)))
            .update_expression("SET browser = :browser, expires_at = :until, #ttl = :ttl REMOVE link")
            .condition_expression("link = :link AND expires_at > :now")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":browser", AttributeValue::S(browser.to_owned()))
            .expression_attribute_values(":link", AttributeValue::S(link.to_owned()))
            .expression_attribute_values(":now", AttributeValue::N(milliseconds(now).to_string()))
            .expression_attribute_values(":until", AttributeValue::N(milliseconds(until).to_string()))
            .expression_attribute_values(":ttl", AttributeValue::N(until.unix_timestamp().to_string()));
        match update_if(update, ReturnValue::AllNew).await? {
            Updated::Done(item) => Ok(read(&item)?),
            Updated::Refused(None) => Err(PageLinkError::Unknown),
            Updated::Refused(Some(item)) => Err(match read(&item)?.link {
                None => PageLinkError::Used,
                Some(stored) if stored == link => PageLinkError::Expired,
                Some(_) => PageLinkError::Unknown,
            }),
        }
    }

    /// Returns a session or a link.
    ///
    /// # Errors
    /// When DynamoDB fails, or the item is damaged.
    pub async fn get(&self, id: &str) -> Result<Option<PageSession>, StoreError> {
        // Consistent: a session that was ended must not serve another page.
        let key = AttributeValue::S(item_id(id));
        let get = self.client.get_item().table_name(&self.table).key("id", key).consistent_read(true);
        let output = get.send().await.map_err(StoreError::dynamodb)?;
        output.item.map(|item| read(&Item(item))).transpose()
    }

    /// Ends the session of this browser.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn sign_out(&self, id: &str, browser: &str) -> Result<Write, StoreError> {
        let delete = self
            .delete(id)
            .condition_expression("browser = :browser")
            .expression_attribute_values(":browser", AttributeValue::S(browser.to_owned()));
        outcome(delete.send().await, DeleteItemError::is_conditional_check_failed_exception)
    }

    /// Revokes a link of a workspace, with the session that began with it.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn revoke(&self, id: &str, workspace: &str) -> Result<Write, StoreError> {
        let delete = self
            .delete(id)
            .condition_expression("workspace = :workspace")
            .expression_attribute_values(":workspace", AttributeValue::S(workspace.to_owned()));
        outcome(delete.send().await, DeleteItemError::is_conditional_check_failed_exception)
    }

    fn delete(&self, id: &str) -> DeleteItemFluentBuilder {
        self.client.delete_item().table_name(&self.table).key("id", AttributeValue::S(item_id(id)))
    }
}

fn item_id(id: &str) -> String {
    format!("{PREFIX}{id}")
}

fn read(item: &Item) -> Result<PageSession, StoreError> {
    let id = present(item.get_string("id"), TABLE, "id")?;
    Ok(PageSession {
        id: id.strip_prefix(PREFIX).unwrap_or(&id).to_owned(),
        workspace: present(item.get_string("workspace"), TABLE, "workspace")?,
        tenant: item.get_string("tenant"),
        link: item.get_string("link"),
        browser: item.get_string("browser"),
        sealed: present(item.get_bytes("sealed"), TABLE, "sealed")?,
        expires_at: present(item.get_time("expires_at"), TABLE, "expires_at")?,
    })
}
