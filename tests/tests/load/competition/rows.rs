//! Direct access to the rows that running programs use, to read them and to make refreshes possible again.

use std::path::Path;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use larder::connection::{Connection, ConnectionKey};
use larder::dynamodb::Connections;
use larder::dynamodb::schema::Tables;
use larder_local::WORKSPACE;
use larder_local::bundle::DataDir;
use larder_local::embedded_dynamodb::EmbeddedDynamoDb;

/// The connections table of a data folder.
pub(crate) struct Rows {
    client: Client,
    table: String,
    connections: Connections,
}

impl Rows {
    pub(crate) async fn open(data: &Path) -> Self {
        let database = DataDir::open(data).expect("a folder").database();
        let database = EmbeddedDynamoDb::open(&database).expect("a database");
        let client = Client::new(&database.sdk_config());
        let table = Tables::default().connections;
        Self { connections: Connections::new(client.clone(), &table), client, table }
    }

    pub(crate) async fn get(&self, id: &str) -> Connection {
        let key = ConnectionKey::new(WORKSPACE, id);
        self.connections.get(&key).await.expect("the table answers").expect("a connection")
    }

    /// Removes the time of the last attempt, so that the next one need not wait a minute. A connection with a lease stays as it
    /// is.
    pub(crate) async fn forget_last_attempt(&self, id: &str) {
        let key = AttributeValue::S(format!("{WORKSPACE}#{id}"));
        let update = self.client.update_item().table_name(&self.table).key("id", key);
        let update = update.update_expression("REMOVE last_attempt_at");
        let result = update.condition_expression("attribute_not_exists(lease_token)").send().await;
        if let Err(error) = result {
            let error = error.into_service_error();
            assert!(error.is_conditional_check_failed_exception(), "{error}");
        }
    }
}
