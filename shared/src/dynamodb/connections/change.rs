//! Changes a connection that others may change at the same time.

use super::Connections;
use crate::connection::{Connection, ConnectionKey};
use crate::error::Error;

impl Connections {
    /// The number of attempts at a change. Each failed attempt means that another write succeeded, and Larder's own
    /// writes are a minute apart. More conflicts than this in one request come from callers that overwrite each other;
    /// they should get an error.
    const ATTEMPTS: usize = 5;

    /// Reads a connection and calls `change` to write a new version of it. Repeats this while `change` returns `None`,
    /// which means that another write came first. Returns `None` if that happened each time.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is damaged, and the errors of `change`, which are not retried.
    pub async fn change<T, F>(
        &self,
        key: &ConnectionKey,
        mut change: impl FnMut(Option<Connection>) -> F,
    ) -> Result<Option<T>, Error>
    where
        F: Future<Output = Result<Option<T>, Error>>,
    {
        for _ in 0..Self::ATTEMPTS {
            let stored = self.get(key).await?;
            if let Some(changed) = change(stored).await? {
                return Ok(Some(changed));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;

    #[tokio::test]
    async fn a_conflicting_change_is_retried_a_limited_number_of_times() {
        let get = mock!(Client::get_item).then_output(|| GetItemOutput::builder().build());
        let connections = Connections::new(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&get]), "connections");
        let (key, mut tries) = (ConnectionKey::new("acme", "c1"), 0);
        let third = connections.change(&key, |_| {
            tries += 1;
            std::future::ready(Ok((tries == 3).then_some("third")))
        });
        assert_eq!(third.await.unwrap(), Some("third"));
        assert_eq!(get.num_calls(), 3);
        let never = connections.change(&key, |_| std::future::ready(Ok(None::<()>)));
        assert_eq!(never.await.unwrap(), None);
        assert_eq!(get.num_calls(), 3 + Connections::ATTEMPTS);
    }

    #[tokio::test]
    async fn a_failed_change_is_not_retried() {
        let get = mock!(Client::get_item).then_output(|| GetItemOutput::builder().build());
        let connections = Connections::new(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&get]), "connections");
        let key = ConnectionKey::new("acme", "c1");
        let failing = connections.change(&key, |_| std::future::ready(Err::<Option<()>, _>(Error::conflict("no"))));
        assert!(failing.await.is_err());
        assert_eq!(get.num_calls(), 1);
    }
}
