//! Secrets in AWS Secrets Manager.

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;

use super::{SecretStore, SecretStoreError};
use crate::secret::Secret;

/// Secrets whose names begin with a prefix of this deployment's.
///
/// See the API reference:
/// [GetSecretValue](https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html),
/// [PutSecretValue](https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html).
#[derive(Debug, Clone)]
pub struct SecretsManager {
    client: Client,
    prefix: String,
}

impl SecretsManager {
    /// Secrets named `{prefix}{name}`.
    pub fn new(client: Client, prefix: impl Into<String>) -> Self {
        Self { client, prefix: prefix.into() }
    }

    fn id(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn get(&self, name: &str) -> Result<Option<Secret>, SecretStoreError> {
        match self.client.get_secret_value().secret_id(self.id(name)).send().await {
            Ok(output) => Ok(output.secret_string.map(Secret::new)),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => Ok(None),
            Err(error) => Err(boxed(error)),
        }
    }

    async fn put(&self, name: &str, value: &Secret) -> Result<(), SecretStoreError> {
        let put = self.client.put_secret_value().secret_id(self.id(name)).secret_string(value.expose());
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => self
                .client
                .create_secret()
                .name(self.id(name))
                .secret_string(value.expose())
                .send()
                .await
                .map(drop)
                .map_err(boxed),
            Err(error) => Err(boxed(error)),
        }
    }

    async fn remove(&self, name: &str) -> Result<(), SecretStoreError> {
        // Without a recovery window, so that the name can be used again at once.
        let delete = self.client.delete_secret().secret_id(self.id(name)).force_delete_without_recovery(true);
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => Ok(()),
            Err(error) => Err(boxed(error)),
        }
    }
}

fn boxed(error: impl std::error::Error + Send + Sync + 'static) -> SecretStoreError {
    SecretStoreError(Box::new(error))
}

#[cfg(test)]
mod tests {
    use aws_sdk_secretsmanager::operation::create_secret::CreateSecretOutput;
    use aws_sdk_secretsmanager::operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput};
    use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;
    use aws_sdk_secretsmanager::types::error::ResourceNotFoundException;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;

    #[tokio::test]
    async fn the_first_put_creates_the_secret() {
        let put = mock!(Client::put_secret_value)
            .match_requests(|request| request.secret_id() == Some("larder/workspaces/acme"))
            .then_error(|| {
                PutSecretValueError::ResourceNotFoundException(ResourceNotFoundException::builder().build())
            });
        let create = mock!(Client::create_secret)
            .match_requests(|request| {
                request.name() == Some("larder/workspaces/acme") && request.secret_string() == Some("s3cret")
            })
            .then_output(|| CreateSecretOutput::builder().build());
        let client = mock_client!(aws_sdk_secretsmanager, RuleMode::Sequential, [&put, &create]);
        let store = SecretsManager::new(client, "larder/");
        store.put("workspaces/acme", &Secret::new("s3cret")).await.expect("is created");
        assert_eq!((put.num_calls(), create.num_calls()), (1, 1));
    }

    #[tokio::test]
    async fn an_unknown_secret_is_absent_not_an_error() {
        let get = mock!(Client::get_secret_value)
            .sequence()
            .output(|| GetSecretValueOutput::builder().secret_string("there").build())
            .error(|| GetSecretValueError::ResourceNotFoundException(ResourceNotFoundException::builder().build()))
            .build();
        let store = SecretsManager::new(mock_client!(aws_sdk_secretsmanager, [&get]), "larder/");
        assert_eq!(store.get("a").await.expect("reads"), Some(Secret::new("there")));
        assert_eq!(store.get("a").await.expect("reads"), None);
    }
}
