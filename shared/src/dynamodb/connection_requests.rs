//! Connection requests: links that let one browser make one connection. They are items of the table of sessions, with ids
//! that no session has.
//!
//! # Decisions
//!
//! A request can be read for a day after it has expired, so that a client that polls learns how it ended.
//!
//! Storing a connection and ending its request are two writes. So whatever ends a request (a callback, a confirmation or a
//! cancellation) claims it first, and of several at once only one gets the claim. If it dies, the claim expires, and others may
//! end the request.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde_json::Value;
use time::OffsetDateTime;

use super::conditional::{Updated, outcome, update_if};
use super::item::{Item, present};
use super::{StoreError, Write};
use crate::clock::{later, milliseconds};
use crate::error::Error;

const TABLE: &str = "sessions";
/// The beginning of an item's id. A session's id has no `#`.
const PREFIX: &str = "request#";
/// The length of an id: a SHA-256 as base64url.
const ID_LENGTH: usize = 43;
/// How long a request can be read after it has expired.
const KEPT: Duration = Duration::from_hours(24);
/// How long a claim lasts: longer than a callback can run, and than a confirmation or a cancellation takes.
const CLAIM: Duration = Duration::from_mins(1);

/// The names of outcomes.
const CONNECTED: &str = "connected";
const UNCONFIRMED: &str = "unconfirmed";
const FAILED: &str = "failed";
const CANCELED: &str = "canceled";

/// A request, with its parameters sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionRequest {
    /// The digest of the secret in the link. The secret itself is not stored.
    pub id: String,
    /// The workspace whose key sealed the parameters.
    pub workspace: String,
    /// The tenant for which the connection is made.
    pub tenant: Option<String>,
    /// The digest of the token that reads the status.
    pub status_token: String,
    /// The digest of the cookie in the browser that opened the link first.
    pub browser: Option<String>,
    /// The sealed parameters.
    pub sealed: Vec<u8>,
    /// When the link stops working.
    pub expires_at: OffsetDateTime,
    /// How it ended so far.
    pub outcome: Option<RequestOutcome>,
    /// The digest of the code that the end user's browser took to the application.
    pub confirmation: Option<String>,
    /// Until when something that is ending it has claimed it.
    pub claimed_until: Option<OffsetDateTime>,
}

/// The reasons to claim a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claiming {
    /// A flow ends.
    Flow,
    /// The application confirms the connection.
    Confirmation,
    /// The application cancels the request.
    Cancellation,
}

/// The answer to a claim.
#[derive(Debug)]
pub enum Claim {
    /// Nothing else ends the request now.
    Taken(ConnectionRequest),
    /// Something else has claimed the request, or its outcome does not allow this. `None` if there is no such request.
    Refused(Option<ConnectionRequest>),
}

/// How a request ended. Only a failure may be followed by another outcome at the end of a flow.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestOutcome {
    /// A connection was made.
    Connected {
        /// The connection's id.
        connection_id: String,
    },
    /// A connection was made, and the application has to confirm it.
    Unconfirmed {
        /// The connection's id.
        connection_id: String,
    },
    /// The last attempt failed; the end user may try again.
    Failed(Value),
    /// The application canceled it.
    Canceled,
}

/// The status of a request, as the API shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestStatus {
    /// The end user has not finished, or the connection is not confirmed.
    Pending,
    /// The connection is made.
    Success,
    /// The last attempt failed.
    Error,
    /// It was canceled.
    #[serde(rename = "cancelled")]
    Canceled,
    /// It expired before it succeeded.
    Expired,
}

/// Why a link does not lead on, in words for the person who opened it.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no such request, or it ended long ago.
    #[error("this link is not valid; go back to where you came from and ask for a new one")]
    Unknown,
    /// It has expired.
    #[error("this link has expired; go back to where you came from and ask for a new one")]
    Expired,
    /// The application canceled it.
    #[error("this link was canceled; go back to where you came from and ask for a new one")]
    Canceled,
    /// It has led to a connection.
    #[error("this link was already used to connect an account; you can close this window")]
    Used,
    /// It is leading to a connection right now.
    #[error(
        "this link is being used to connect an account right now; wait a moment, then go back to where you came from"
    )]
    Busy,
    /// Another browser opened it first.
    #[error(
        "this link was already opened in another browser; continue there, or ask for a new link where you got this one"
    )]
    OtherBrowser,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LinkError> for Error {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Store(error) => error.into(),
            LinkError::Unknown => Self::not_found(error.to_string()),
            LinkError::Expired => Self::bad_request(error.to_string()),
            LinkError::Canceled | LinkError::Used | LinkError::Busy | LinkError::OtherBrowser => {
                Self::conflict(error.to_string())
            }
        }
    }
}

impl ConnectionRequest {
    /// Returns the status at a time.
    pub fn status(&self, now: OffsetDateTime) -> RequestStatus {
        match &self.outcome {
            Some(RequestOutcome::Connected { .. }) => RequestStatus::Success,
            Some(RequestOutcome::Canceled) => RequestStatus::Canceled,
            Some(RequestOutcome::Failed(_)) => RequestStatus::Error,
            None | Some(RequestOutcome::Unconfirmed { .. }) if self.expires_at <= now => RequestStatus::Expired,
            None | Some(RequestOutcome::Unconfirmed { .. }) => RequestStatus::Pending,
        }
    }

    /// Checks that the request can still lead to a connection.
    ///
    /// # Errors
    /// When it is canceled, expired, or has led to one.
    pub fn check_open(&self, now: OffsetDateTime) -> Result<(), LinkError> {
        match &self.outcome {
            Some(RequestOutcome::Canceled) => Err(LinkError::Canceled),
            Some(RequestOutcome::Connected { .. } | RequestOutcome::Unconfirmed { .. }) => Err(LinkError::Used),
            None | Some(RequestOutcome::Failed(_)) if self.expires_at <= now => Err(LinkError::Expired),
            None | Some(RequestOutcome::Failed(_)) => Ok(()),
        }
    }

    /// Whether something is ending the request.
    pub fn is_claimed(&self, now: OffsetDateTime) -> bool {
        self.claimed_until.is_some_and(|until| until > now)
    }
}

impl RequestOutcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Connected { .. } => CONNECTED,
            Self::Unconfirmed { .. } => UNCONFIRMED,
            Self::Failed(_) => FAILED,
            Self::Canceled => CANCELED,
        }
    }

    /// The attributes that store it.
    fn attributes(&self) -> Item {
        let item = Item::default().string("outcome", self.name());
        match self {
            Self::Connected { connection_id } | Self::Unconfirmed { connection_id } => {
                item.string("connection_id", connection_id)
            }
            Self::Failed(problem) => item.string("problem", problem.to_string()),
            Self::Canceled => item,
        }
    }
}

/// Reads and writes connection requests.
#[derive(Debug, Clone)]
pub struct ConnectionRequests {
    client: Client,
    table: String,
}

impl ConnectionRequests {
    /// The requests in the table of sessions.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Stores a new request.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn put(&self, request: &ConnectionRequest) -> Result<(), StoreError> {
        let item = Item::default()
            .string("id", item_id(&request.id))
            .string("workspace", &request.workspace)
            .maybe("tenant", request.tenant.as_ref(), Item::string)
            .string("status_token", &request.status_token)
            .bytes("sealed", request.sealed.clone())
            .time("expires_at", request.expires_at)
            .number("ttl", later(request.expires_at, KEPT).unix_timestamp());
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item.0));
        put.send().await.map(drop).map_err(StoreError::dynamodb)
    }

    /// Reads a request with strong consistency. One that expired more than a day ago counts as gone.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is damaged.
    pub async fn get(&self, id: &str, now: OffsetDateTime) -> Result<Option<ConnectionRequest>, StoreError> {
        // Ids come from outside, and DynamoDB rejects long keys.
        if id.len() != ID_LENGTH {
            return Ok(None);
        }
        let get = self.client.get_item().table_name(&self.table).key("id", AttributeValue::S(item_id(id)));
        let item = get.consistent_read(true).send().await.map_err(StoreError::dynamodb)?.item;
        let request = item.map(|item| read(id, &Item(item))).transpose()?;
        Ok(request.filter(|request| later(request.expires_at, KEPT) > now))
    }

    /// Opens the link of a request in a browser, whose cookie has the digest `presented`. The first browser gets a cookie with
    /// the digest `fresh`, and is the only one that can open the link from then on.
    ///
    /// # Errors
    /// When the link does not lead on, or DynamoDB fails.
    pub async fn open(
        &self,
        id: &str,
        presented: &str,
        fresh: &str,
        now: OffsetDateTime,
    ) -> Result<ConnectionRequest, LinkError> {
        let update = self
            .update(id)
            .update_expression("SET browser = if_not_exists(browser, :fresh)")
            .condition_expression(
                "attribute_exists(sealed) AND expires_at > :now AND (attribute_not_exists(outcome) OR outcome = :failed) \
                 AND (attribute_not_exists(browser) OR browser = :presented OR browser = :fresh)",
            )
            .expression_attribute_values(":now", AttributeValue::N(milliseconds(now).to_string()))
            .expression_attribute_values(":failed", AttributeValue::S(FAILED.to_owned()))
            .expression_attribute_values(":presented", AttributeValue::S(presented.to_owned()))
            .expression_attribute_values(":fresh", AttributeValue::S(fresh.to_owned()));
        match update_if(update, ReturnValue::AllNew).await? {
            Updated::Done(item) => Ok(read(id, &item)?),
            Updated::Refused(item) => {
                let request = read(id, &item.ok_or(LinkError::Unknown)?)?;
                if later(request.expires_at, KEPT) <= now {
                    return Err(LinkError::Unknown);
                }
                request.check_open(now)?;
                Err(LinkError::OtherBrowser)
            }
        }
    }

    /// Claims a request, to end it. The claim has a random name, which ends it again.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn claim(
        &self,
        id: &str,
        claim: &str,
        claiming: Claiming,
        now: OffsetDateTime,
    ) -> Result<Claim, StoreError> {
        let state = match claiming {
            Claiming::Flow => "expires_at > :now AND (attribute_not_exists(outcome) OR outcome = :failed)",
            Claiming::Confirmation => "expires_at > :now AND outcome = :unconfirmed",
            Claiming::Cancellation => "(attribute_not_exists(outcome) OR outcome = :failed OR outcome = :unconfirmed)",
        };
        let condition = format!(
            "attribute_exists(sealed) AND {state} \
             AND (attribute_not_exists(claimed_until) OR claimed_until <= :now OR claim = :claim)"
        );
        let mut update = self
            .update(id)
            .update_expression("SET claim = :claim, claimed_until = :until")
            .condition_expression(condition)
            .expression_attribute_values(":claim", AttributeValue::S(claim.to_owned()))
            .expression_attribute_values(":until", AttributeValue::N(milliseconds(later(now, CLAIM)).to_string()))
            .expression_attribute_values(":now", AttributeValue::N(milliseconds(now).to_string()));
        if claiming != Claiming::Confirmation {
            update = update.expression_attribute_values(":failed", AttributeValue::S(FAILED.to_owned()));
        }
        if claiming != Claiming::Flow {
            update = update.expression_attribute_values(":unconfirmed", AttributeValue::S(UNCONFIRMED.to_owned()));
        }
        match update_if(update, ReturnValue::AllNew).await? {
            Updated::Done(item) => Ok(Claim::Taken(read(id, &item)?)),
            Updated::Refused(item) => {
                let request = item.map(|item| read(id, &item)).transpose()?;
                Ok(Claim::Refused(request.filter(|request| later(request.expires_at, KEPT) > now)))
            }
        }
    }

    /// Records the outcome of what claimed a request, and ends the claim. With it comes the digest of the code that the end
    /// user's browser took to the application, if the connection must be confirmed. It conflicts if the claim has expired and
    /// something else has claimed the request.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn finish(
        &self,
        id: &str,
        claim: &str,
        outcome: &RequestOutcome,
        confirmation: Option<&str>,
    ) -> Result<Write, StoreError> {
        let set = outcome.attributes().maybe("confirmation", confirmation, Item::string);
        self.set(id, set, "claim = :claim", [(":claim", AttributeValue::S(claim.to_owned()))]).await
    }

    /// Ends a claim without an outcome.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn release(&self, id: &str, claim: &str) -> Result<Write, StoreError> {
        let update = self
            .update(id)
            .update_expression("REMOVE claimed_until")
            .condition_expression("claim = :claim")
            .expression_attribute_values(":claim", AttributeValue::S(claim.to_owned()));
        outcome(update.send().await, UpdateItemError::is_conditional_check_failed_exception)
    }

    /// Records that an attempt failed before it claimed the request. It conflicts if the request is claimed, has been canceled
    /// or has led to a connection.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn fail(&self, id: &str, problem: Value, now: OffsetDateTime) -> Result<Write, StoreError> {
        let condition = "(attribute_not_exists(outcome) OR outcome = :outcome) \
                         AND (attribute_not_exists(claimed_until) OR claimed_until <= :now)";
        let now = AttributeValue::N(milliseconds(now).to_string());
        self.set(id, RequestOutcome::Failed(problem).attributes(), condition, [(":now", now)]).await
    }

    /// Sets attributes and ends the claim, on a condition.
    async fn set<const N: usize>(
        &self,
        id: &str,
        set: Item,
        condition: &str,
        values: [(&str, AttributeValue); N],
    ) -> Result<Write, StoreError> {
        let assignments: Vec<_> = set.0.keys().map(|name| format!("{name} = :{name}")).collect();
        let mut update = self
            .update(id)
            .update_expression(format!("SET {} REMOVE claimed_until", assignments.join(", ")))
            .condition_expression(format!("attribute_exists(sealed) AND {condition}"));
        for (name, value) in set.0 {
            update = update.expression_attribute_values(format!(":{name}"), value);
        }
        for (name, value) in values {
            update = update.expression_attribute_values(name, value);
        }
        outcome(update.send().await, UpdateItemError::is_conditional_check_failed_exception)
    }

    fn update(&self, id: &str) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.table).key("id", AttributeValue::S(item_id(id)))
    }
}

fn item_id(id: &str) -> String {
    format!("{PREFIX}{id}")
}

fn read(id: &str, item: &Item) -> Result<ConnectionRequest, StoreError> {
    let connection_id = || present(item.get_string("connection_id"), TABLE, "connection_id");
    let outcome = match item.get_string("outcome").as_deref() {
        None => None,
        Some(CONNECTED) => Some(RequestOutcome::Connected { connection_id: connection_id()? }),
        Some(UNCONFIRMED) => Some(RequestOutcome::Unconfirmed { connection_id: connection_id()? }),
        Some(FAILED) => {
            let problem = item.get_json("problem").filter(Value::is_object);
            Some(RequestOutcome::Failed(present(problem, TABLE, "problem")?))
        }
        Some(CANCELED) => Some(RequestOutcome::Canceled),
        Some(_) => return Err(StoreError::Damaged { table: TABLE, attribute: "outcome" }),
    };
    Ok(ConnectionRequest {
        id: id.to_owned(),
        workspace: present(item.get_string("workspace"), TABLE, "workspace")?,
        tenant: item.get_string("tenant"),
        status_token: present(item.get_string("status_token"), TABLE, "status_token")?,
        browser: item.get_string("browser"),
        sealed: present(item.get_bytes("sealed"), TABLE, "sealed")?,
        expires_at: present(item.get_time("expires_at"), TABLE, "expires_at")?,
        outcome,
        confirmation: item.get_string("confirmation"),
        claimed_until: item.get_time("claimed_until"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).expect("a time")
    }

    #[test]
    fn a_status_follows_from_the_outcome_and_the_time() {
        let connection_id = || "c1".to_owned();
        let unconfirmed = RequestOutcome::Unconfirmed { connection_id: connection_id() };
        for (outcome, before, after, opens) in [
            (None, RequestStatus::Pending, RequestStatus::Expired, true),
            (Some(unconfirmed), RequestStatus::Pending, RequestStatus::Expired, false),
            (Some(RequestOutcome::Failed(Value::Null)), RequestStatus::Error, RequestStatus::Error, true),
            (Some(RequestOutcome::Canceled), RequestStatus::Canceled, RequestStatus::Canceled, false),
            (
                Some(RequestOutcome::Connected { connection_id: connection_id() }),
                RequestStatus::Success,
                RequestStatus::Success,
                false,
            ),
        ] {
            let request = ConnectionRequest {
                id: "r1".into(),
                workspace: "acme".into(),
                tenant: None,
                status_token: String::new(),
                browser: None,
                sealed: Vec::new(),
                expires_at: at(1800),
                outcome,
                confirmation: None,
                claimed_until: None,
            };
            assert_eq!((request.status(at(1799)), request.status(at(1800))), (before, after), "{request:?}");
            assert_eq!(request.check_open(at(1799)).is_ok(), opens, "{request:?}");
            assert!(request.check_open(at(1800)).is_err(), "{request:?}");
        }
    }
}
