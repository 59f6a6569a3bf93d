//! The DynamoDB operations that Larder and its tests use.

use dynoxide::Database;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Runs an operation and returns its response body.
///
/// # Errors
/// The status and body of DynamoDB's error; also for operations that are not implemented here.
pub(super) fn execute(database: &Database, operation: &str, body: &str) -> Result<String, (u16, String)> {
    fn with<T: DeserializeOwned, R: Serialize>(
        body: &str,
        act: impl FnOnce(T) -> dynoxide::Result<R>,
    ) -> Result<String, (u16, String)> {
        let malformed = |error: serde_json::Error| {
            (400, json!({ "__type": "SerializationException", "message": error.to_string() }).to_string())
        };
        let request = serde_json::from_str(body).map_err(malformed)?;
        let response = act(request).map_err(|error| (error.status_code(), error.to_json()))?;
        serde_json::to_string(&response).map_err(malformed)
    }
    match operation {
        "GetItem" => with(body, |request| database.get_item(request)),
        "PutItem" => with(body, |request| database.put_item(request)),
        "UpdateItem" => with(body, |request| database.update_item(request)),
        "DeleteItem" => with(body, |request| database.delete_item(request)),
        "Query" => with(body, |request| database.query(request)),
        "Scan" => with(body, |request| database.scan(request)),
        "BatchGetItem" => with(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" => with(body, |request| database.batch_write_item(request)),
        "TransactGetItems" => with(body, |request| database.transact_get_items(request)),
        "TransactWriteItems" => with(body, |request| database.transact_write_items(request)),
        "CreateTable" => with(body, |request| database.create_table(request)),
        "DeleteTable" => with(body, |request| database.delete_table(request)),
        "DescribeTable" => with(body, |request| database.describe_table(request)),
        "UpdateTable" => with(body, |request| database.update_table(request)),
        "ListTables" => with(body, |request| database.list_tables(request)),
        "DescribeTimeToLive" => with(body, |request| database.describe_time_to_live(request)),
        "UpdateTimeToLive" => with(body, |request| database.update_time_to_live(request)),
        _ => Err((400, json!({ "__type": "UnknownOperationException" }).to_string())),
    }
}
