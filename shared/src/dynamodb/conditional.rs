//! Conditional writes and their answers.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::item::Item;
use super::{StoreError, Write};

/// The answer to an update on a condition.
pub(super) enum Updated {
    /// The item, as the update returned it.
    Done(Item),
    /// The item that does not meet the condition, `None` if there is none.
    Refused(Option<Item>),
}

/// Updates an item on the update's condition, and returns the item as it was or is.
pub(super) async fn update_if(update: UpdateItemFluentBuilder, returned: ReturnValue) -> Result<Updated, StoreError> {
    let update = update
        .return_values(returned)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    match update.send().await {
        Ok(output) => Ok(Updated::Done(Item(output.attributes.unwrap_or_default()))),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                Ok(Updated::Refused(refused.item.clone().map(Item)))
            }
            _ => Err(StoreError::dynamodb(error)),
        },
    }
}

/// Returns a write's outcome. `is_condition` recognizes the error of a failed condition.
pub(super) fn outcome<T, E>(result: Result<T, SdkError<E>>, is_condition: fn(&E) -> bool) -> Result<Write, StoreError>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(Write::Done),
        Err(SdkError::ServiceError(error)) if is_condition(error.err()) => Ok(Write::Conflict),
        Err(SdkError::ServiceError(error)) if is_too_large(error.err()) => Err(StoreError::TooLarge),
        Err(error) => Err(StoreError::dynamodb(error)),
    }
}

/// Whether DynamoDB rejected a write because the row would exceed 400 KB.
fn is_too_large(error: &impl ProvideErrorMetadata) -> bool {
    error.code() == Some("ValidationException") && is_item_size(error.message())
}

/// Whether a message of DynamoDB says that an item would exceed 400 KB.
pub(super) fn is_item_size(message: Option<&str>) -> bool {
    message.is_some_and(|message| message.starts_with("Item size"))
}
