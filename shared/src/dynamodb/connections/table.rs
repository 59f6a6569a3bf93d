//! The table itself. All writes are made here, and each takes a condition on the stored row.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, KeysAndAttributes, Put, TransactWriteItem, Update,
};
use time::OffsetDateTime;

use super::super::conditional::{is_item_size, outcome};
use super::super::item::Item;
use super::super::{StoreError, Write};
use crate::connection::{ConnectionKey, Lease};

/// Rows by key, and conditional writes.
#[derive(Debug, Clone)]
pub(super) struct Table {
    client: Client,
    name: String,
}

/// The stored row that a write requires. A row that was removed and created again has another version.
#[derive(Debug, Clone, Copy)]
pub(super) enum Condition<'a> {
    /// No row, or an archived one.
    Absent,
    /// No row, or one under this lease.
    AbsentOrLeased(&'a Lease),
    /// The row at this version.
    Version(u64),
    /// The row at this version, not leased at this time.
    Unleased(u64, OffsetDateTime),
    /// As [`Self::Unleased`], or under this lease at any version.
    UnleasedOrLeased(u64, OffsetDateTime, &'a Lease),
    /// The row under this lease.
    Leased(&'a Lease),
    /// A row that was due at this time.
    Due(OffsetDateTime),
    /// Any row.
    Exists,
    /// The row that was created at this time and is not archived.
    Present(OffsetDateTime),
    /// The same, and no active flow uses it.
    PresentAndUnused(OffsetDateTime),
    /// The same, nobody is deleting it at the second time, and people have changed nothing since the third.
    PresentAndKept(OffsetDateTime, OffsetDateTime, Option<OffsetDateTime>),
    /// No item of unconfirmed credentials, or one that was not confirmed after this time.
    NotConfirmed(OffsetDateTime),
    /// Unconfirmed credentials of this series that were not confirmed after this time.
    NotConfirmedSince(u64, OffsetDateTime),
    /// Unconfirmed credentials of this series that can still be confirmed.
    NotEnded(u64),
    /// Unconfirmed credentials of this series.
    Series(u64),
}

/// A caller's key that a row is to get: the pointer item, which exists once per tenant and key, leads to it.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// The id of the pointer item.
    pub(super) pointer: String,
    /// The id of the row.
    pub(super) target: String,
    /// The key.
    pub(super) key: String,
    /// The id of a row that the pointer leads to, but that no longer has the key.
    pub(super) stale: Option<String>,
}

/// The outcome of a write with a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// Both were written.
    Done,
    /// The row is not the one that the write expected.
    Conflict,
    /// Another row has the key.
    Taken,
}

/// Attributes to set and to remove. Names are aliased, since many of them are reserved words.
pub(super) struct Assignment {
    expression: String,
    names: HashMap<String, String>,
    values: Values,
}

impl Assignment {
    /// Sets the attributes of `set`, and removes those of `owned` that are not among them.
    pub(super) fn new(set: Item, owned: &[&str]) -> Self {
        let mut names = HashMap::new();
        let mut values = Values::new();
        let removed: Vec<_> = owned.iter().filter(|name| !set.0.contains_key(**name)).copied().collect();
        let mut sets = Vec::new();
        for (index, (name, value)) in set.0.into_iter().enumerate() {
            sets.push(format!("#s{index} = :s{index}"));
            names.insert(format!("#s{index}"), name);
            values.insert(format!(":s{index}"), value);
        }
        let mut removals = Vec::new();
        for (index, name) in removed.into_iter().enumerate() {
            removals.push(format!("#r{index}"));
            names.insert(format!("#r{index}"), name.to_owned());
        }
        let mut clauses = Vec::new();
        if !sets.is_empty() {
            clauses.push(format!("SET {}", sets.join(", ")));
        }
        if !removals.is_empty() {
            clauses.push(format!("REMOVE {}", removals.join(", ")));
        }
        Self { expression: clauses.join(" "), names, values }
    }

    /// Also adds a string to a set (`ADD`), or takes it out (`DELETE`).
    pub(super) fn member(mut self, action: &str, set: &str, member: &str) -> Self {
        self.expression = format!("{} {action} #member :member", self.expression);
        self.names.insert("#member".to_owned(), set.to_owned());
        self.values.insert(":member".to_owned(), AttributeValue::Ss(vec![member.to_owned()]));
        self
    }
}

/// The values of an expression, by their placeholders.
type Values = HashMap<String, AttributeValue>;

impl Table {
    /// The pauses before a transaction that another one canceled is repeated.
    const PAUSES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];

    pub(super) fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Reads a row with strong consistency.
    pub(super) async fn get(&self, key: &ConnectionKey) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.name).key("id", attribute(key)).consistent_read(true);
        Ok(get.send().await.map_err(StoreError::dynamodb)?.item.map(Item))
    }

    /// Reads rows by their keys with strong consistency, in no particular order.
    pub(super) async fn get_many(&self, keys: &[String]) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::new();
        let mut wanted: Vec<_> =
            keys.iter().map(|key| HashMap::from([("id".to_owned(), AttributeValue::S(key.clone()))])).collect();
        while !wanted.is_empty() {
            let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true);
            let keys = keys.build().map_err(StoreError::dynamodb)?;
            let batch = self.client.batch_get_item().request_items(&self.name, keys);
            let output = batch.send().await.map_err(StoreError::dynamodb)?;
            found.extend(output.responses.into_iter().flat_map(HashMap::into_values).flatten().map(Item));
            let unread = output.unprocessed_keys.and_then(|mut tables| tables.remove(&self.name));
            wanted = unread.map(|unread| unread.keys).unwrap_or_default();
        }
        Ok(found)
    }

    /// Starts a query of an index.
    pub(super) fn query(&self, index: &str) -> QueryFluentBuilder {
        self.client.query().table_name(&self.name).index_name(index)
    }

    /// Writes a whole row.
    pub(super) async fn put(&self, row: Item, condition: Condition<'_>) -> Result<Write, StoreError> {
        let (expression, values) = condition.expression();
        let put = self.client.put_item().table_name(&self.name).set_item(Some(row.0)).condition_expression(expression);
        let put = put.set_expression_attribute_values(some(values));
        outcome(put.send().await, PutItemError::is_conditional_check_failed_exception)
    }

    /// Changes attributes of a row.
    pub(super) async fn update(
        &self,
        key: &ConnectionKey,
        condition: Condition<'_>,
        change: &str,
        values: Item,
    ) -> Result<Write, StoreError> {
        let (expression, mut all) = condition.expression();
        all.extend(values.0);
        let update = self.client.update_item().table_name(&self.name).key("id", attribute(key));
        let update = update.condition_expression(expression).update_expression(change);
        let update = update.set_expression_attribute_values(some(all));
        outcome(update.send().await, UpdateItemError::is_conditional_check_failed_exception)
    }

    /// Writes a whole row, and claims its key for it.
    pub(super) async fn put_with_claim(
        &self,
        row: Item,
        condition: Condition<'_>,
        claim: &Claim,
    ) -> Result<Claimed, StoreError> {
        let (expression, values) = condition.expression();
        let put = Put::builder().table_name(&self.name).set_item(Some(row.0)).condition_expression(expression);
        let put = put.set_expression_attribute_values(some(values)).build().map_err(StoreError::dynamodb)?;
        self.transact(TransactWriteItem::builder().put(put).build(), claim).await
    }

    /// Changes attributes of a row, and claims a key for it.
    pub(super) async fn assign_with_claim(
        &self,
        key: &ConnectionKey,
        condition: Condition<'_>,
        assignment: Assignment,
        claim: &Claim,
    ) -> Result<Claimed, StoreError> {
        let (expression, mut values) = condition.expression();
        values.extend(assignment.values);
        let update =
            Update::builder().table_name(&self.name).key("id", attribute(key)).condition_expression(expression);
        let update = update.update_expression(assignment.expression).set_expression_attribute_values(some(values));
        let update = update.set_expression_attribute_names(Some(assignment.names));
        let update = update.build().map_err(StoreError::dynamodb)?;
        self.transact(TransactWriteItem::builder().update(update).build(), claim).await
    }

    async fn transact(&self, write: TransactWriteItem, claim: &Claim) -> Result<Claimed, StoreError> {
        let item = Item::default().string("id", &claim.pointer).string("target", &claim.target);
        let (condition, values) = match &claim.stale {
            None => ("attribute_not_exists(id) OR target = :target", Item::default()),
            Some(stale) => {
                let values = Item::default().string(":stale", stale);
                ("attribute_not_exists(id) OR target = :target OR target = :stale", values)
            }
        };
        let put = Put::builder().table_name(&self.name).set_item(Some(item.0)).condition_expression(condition);
        let put = put.set_expression_attribute_values(some(values.string(":target", &claim.target).0));
        let put = put.build().map_err(StoreError::dynamodb)?;
        let pointer = TransactWriteItem::builder().put(put).build();
        let unchanged = claim.stale.as_ref().map(|stale| self.check_stale(stale, &claim.key)).transpose()?;
        let items: Vec<_> = [Some(write), Some(pointer), unchanged].into_iter().flatten().collect();
        let send = || self.client.transact_write_items().set_transact_items(Some(items.clone())).send();
        let mut written = send().await;
        // DynamoDB cancels a transaction while another changes one of its items. The SDK does not repeat it.
        for pause in Self::PAUSES {
            let Err(error) = &written else { break };
            if !reasons(error).iter().any(|reason| reason.code() == Some("TransactionConflict")) {
                break;
            }
            tokio::time::sleep(pause).await;
            written = send().await;
        }
        match written {
            Ok(_) => Ok(Claimed::Done),
            Err(error) => {
                let reasons = reasons(&error);
                let failed = |index| is_failed(&error, index);
                let is_too_large = reasons.iter().any(|reason| is_item_size(reason.message()));
                match (failed(0), failed(1) || failed(2)) {
                    (true, _) => Ok(Claimed::Conflict),
                    (false, true) => Ok(Claimed::Taken),
                    (false, false) if is_too_large => Err(StoreError::TooLarge),
                    (false, false) => Err(StoreError::dynamodb(error)),
                }
            }
        }
    }

    /// A part of a transaction: the row that a stale pointer leads to has not got the key again, or is archived.
    fn check_stale(&self, id: &str, key: &str) -> Result<TransactWriteItem, StoreError> {
        let check = ConditionCheck::builder().table_name(&self.name).key("id", AttributeValue::S(id.to_owned()));
        let check = check
            .condition_expression("attribute_not_exists(own_key) OR own_key <> :key OR attribute_exists(archived_at)");
        let check = check.expression_attribute_values(":key", AttributeValue::S(key.to_owned()));
        Ok(TransactWriteItem::builder().condition_check(check.build().map_err(StoreError::dynamodb)?).build())
    }

    /// Reads the row that a pointer leads to, by the key of the row.
    pub(super) async fn target(&self, pointer: &str) -> Result<Option<String>, StoreError> {
        let id = AttributeValue::S(pointer.to_owned());
        let get = self.client.get_item().table_name(&self.name).key("id", id).consistent_read(true);
        let item = get.send().await.map_err(StoreError::dynamodb)?.item;
        Ok(item.and_then(|item| Item(item).get_string("target")))
    }

    /// Removes the pointer of a key, if it still leads to this row and the row has not got the key again.
    pub(super) async fn release_claim(
        &self,
        pointer: &str,
        target: &ConnectionKey,
        key: &str,
    ) -> Result<(), StoreError> {
        let delete = Delete::builder().table_name(&self.name).key("id", AttributeValue::S(pointer.to_owned()));
        let delete = delete.condition_expression("target = :target");
        let delete = delete.expression_attribute_values(":target", attribute(target));
        let delete = TransactWriteItem::builder().delete(delete.build().map_err(StoreError::dynamodb)?).build();
        let items = [delete, self.check_stale(&target.to_string(), key)?];
        match self.client.transact_write_items().set_transact_items(Some(items.into())).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_failed(&error, 0) || is_failed(&error, 1) => Ok(()),
            Err(error) => Err(StoreError::dynamodb(error)),
        }
    }

    /// Sets attributes of a row and removes others.
    pub(super) async fn assign(
        &self,
        key: &ConnectionKey,
        condition: Condition<'_>,
        assignment: Assignment,
    ) -> Result<Write, StoreError> {
        let (expression, mut values) = condition.expression();
        values.extend(assignment.values);
        let update = self.client.update_item().table_name(&self.name).key("id", attribute(key));
        let update = update.condition_expression(expression).update_expression(assignment.expression);
        let update = update.set_expression_attribute_names(Some(assignment.names));
        let update = update.set_expression_attribute_values(some(values));
        outcome(update.send().await, UpdateItemError::is_conditional_check_failed_exception)
    }

    /// Removes a row.
    pub(super) async fn delete(&self, key: &ConnectionKey, condition: Condition<'_>) -> Result<Write, StoreError> {
        let (expression, values) = condition.expression();
        let delete = self.client.delete_item().table_name(&self.name).key("id", attribute(key));
        let delete = delete.condition_expression(expression).set_expression_attribute_values(some(values));
        outcome(delete.send().await, DeleteItemError::is_conditional_check_failed_exception)
    }
}

impl Condition<'_> {
    fn expression(self) -> (String, Values) {
        const ABSENT: &str = "attribute_not_exists(id) OR attribute_exists(archived_at)";
        const PRESENT: &str = "created_at = :created_at AND attribute_not_exists(archived_at)";
        const UNUSED: &str = "attribute_not_exists(active_flows)";
        const KEPT: &str = "(attribute_not_exists(removing_until) OR removing_until <= :now)";
        const UNCHANGED: &str = "changed_at = :changed_at";
        const NEVER_CHANGED: &str = "attribute_not_exists(changed_at)";
        const VERSION: &str = "version = :version";
        const UNLEASED: &str = "version = :version AND (attribute_not_exists(lease_until) OR lease_until <= :now)";
        const LEASED: &str = "lease_token = :token";
        const SERIES: &str = "series = :series";
        const NOT_CONFIRMED: &str = "(attribute_not_exists(confirmed_at) OR confirmed_at < :since)";
        let at = |version: u64| Item::default().number(":version", version);
        let of = |series: u64| Item::default().number(":series", series);
        let by = |values: Item, lease: &Lease| values.string(":token", &lease.token);
        let (expression, values) = match self {
            Self::Absent => (ABSENT.to_owned(), Item::default()),
            Self::AbsentOrLeased(lease) => (format!("{ABSENT} OR {LEASED}"), by(Item::default(), lease)),
            Self::Version(version) => (VERSION.to_owned(), at(version)),
            Self::Unleased(version, now) => (UNLEASED.to_owned(), at(version).time(":now", now)),
            Self::UnleasedOrLeased(version, now, lease) => {
                (format!("{UNLEASED} OR {LEASED}"), by(at(version).time(":now", now), lease))
            }
            Self::Leased(lease) => (LEASED.to_owned(), by(Item::default(), lease)),
            Self::Due(now) => ("next_refresh_at <= :now".to_owned(), Item::default().time(":now", now)),
            Self::Exists => ("attribute_exists(id)".to_owned(), Item::default()),
            Self::Present(created) => (PRESENT.to_owned(), Item::default().time(":created_at", created)),
            Self::PresentAndUnused(created) => {
                (format!("{PRESENT} AND {UNUSED}"), Item::default().time(":created_at", created))
            }
            Self::PresentAndKept(created, now, changed) => {
                let values = Item::default().time(":created_at", created).time(":now", now);
                let unchanged = if changed.is_some() { UNCHANGED } else { NEVER_CHANGED };
                (format!("{PRESENT} AND {KEPT} AND {unchanged}"), values.maybe(":changed_at", changed, Item::time))
            }
            Self::NotConfirmed(since) => (NOT_CONFIRMED.to_owned(), Item::default().time(":since", since)),
            Self::NotConfirmedSince(series, since) => {
                (format!("{SERIES} AND {NOT_CONFIRMED}"), of(series).time(":since", since))
            }
            Self::NotEnded(series) => (format!("{SERIES} AND attribute_not_exists(ended_at)"), of(series)),
            Self::Series(series) => (SERIES.to_owned(), of(series)),
        };
        (expression, values.0)
    }
}

/// Returns why a transaction was canceled, by its items.
fn reasons(error: &SdkError<TransactWriteItemsError>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled.cancellation_reasons(),
        _ => &[],
    }
}

/// Whether a transaction was canceled by the condition of this item.
fn is_failed(error: &SdkError<TransactWriteItemsError>, index: usize) -> bool {
    reasons(error).get(index).and_then(CancellationReason::code) == Some("ConditionalCheckFailed")
}

fn attribute(key: &ConnectionKey) -> AttributeValue {
    AttributeValue::S(key.to_string())
}

/// Returns `None` for no values: DynamoDB does not accept an empty map.
fn some(values: Values) -> Option<Values> {
    (!values.is_empty()).then_some(values)
}
