//! Secrets in AWS Secrets Manager.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::create_secret::CreateSecretError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;

use crate::secret::Secret;
use crate::secret_store::{SecretStore, SecretStoreError};

/// Secrets whose names start with this deployment's prefix.
///
/// See the API reference:
/// [GetSecretValue](https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html),
/// [PutSecretValue](https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html).
#[derive(Debug, Clone)]
pub struct SecretsManager {
    client: Client,
    prefix: String,
    kms_key_id: Option<String>,
}

impl SecretsManager {
    /// The longest pause between attempts. A write is attempted for about three seconds while others create or delete the
    /// secret.
    const LONGEST_PAUSE: Duration = Duration::from_secs(2);

    /// The secrets named `{prefix}{name}`. New ones are encrypted with the KMS key, or with the account's key for
    /// Secrets Manager if there is none.
    pub fn new(client: Client, prefix: impl Into<String>, kms_key_id: Option<String>) -> Self {
        Self { client, prefix: prefix.into(), kms_key_id }
    }

    /// Returns the full name of a secret.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Creates or replaces a secret. All attempts at one write have the same `write_id` (32 to 64 characters) and
    /// create one version of the secret; without an id, each attempt creates its own.
    pub(crate) async fn write(
        &self,
        name: &str,
        value: &Secret,
        write_id: Option<&str>,
    ) -> Result<(), SecretStoreError> {
        let id = self.id(name);
        let mut pause = Duration::from_millis(200);
        loop {
            let Err(error) = self.try_write(&id, value, write_id).await? else { return Ok(()) };
            if pause > Self::LONGEST_PAUSE {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Makes one attempt. The inner error means that others are creating or deleting the secret.
    async fn try_write(
        &self,
        id: &str,
        value: &Secret,
        write_id: Option<&str>,
    ) -> Result<Result<(), SecretStoreError>, SecretStoreError> {
        let write_id = write_id.map(ToOwned::to_owned);
        let put = self.client.put_secret_value().secret_id(id).secret_string(value.expose());
        let Err(error) = put.set_client_request_token(write_id.clone()).send().await else { return Ok(Ok(())) };
        if error.as_service_error().is_some_and(|e| e.is_invalid_request_exception()) {
            // Its deletion is scheduled. If it can be restored, the next attempt finds it; otherwise it finds that it
            // is gone.
            drop(self.client.restore_secret().secret_id(id).send().await);
            return Ok(Err(failure(error)));
        }
        if !error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) {
            return Err(failure(error));
        }
        let create = self.client.create_secret().name(id).secret_string(value.expose());
        let create = create.set_kms_key_id(self.kms_key_id.clone());
        let Err(error) = create.set_client_request_token(write_id).send().await else { return Ok(Ok(())) };
        let is_busy = |e: &CreateSecretError| e.is_resource_exists_exception() || e.is_invalid_request_exception();
        if error.as_service_error().is_some_and(is_busy) { Ok(Err(failure(error))) } else { Err(failure(error)) }
    }
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn get(&self, name: &str) -> Result<Option<Secret>, SecretStoreError> {
        match self.client.get_secret_value().secret_id(self.id(name)).send().await {
            Ok(output) => Ok(output.secret_string.map(Secret::new)),
            Err(error) if error.as_service_error().is_some_and(is_gone) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    async fn put(&self, name: &str, value: &Secret) -> Result<(), SecretStoreError> {
        self.write(name, value, None).await
    }

    async fn remove(&self, name: &str) -> Result<(), SecretStoreError> {
        // Without a recovery window, so that the name can be reused immediately.
        let delete = self.client.delete_secret().secret_id(self.id(name)).force_delete_without_recovery(true);
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }
}

/// Whether there is no such secret, or its deletion is scheduled.
fn is_gone(error: &GetSecretValueError) -> bool {
    match error {
        GetSecretValueError::ResourceNotFoundException(_) => true,
        GetSecretValueError::InvalidRequestException(error) => error.message().unwrap_or_default().contains("delet"),
        _ => false,
    }
}

fn failure<E: std::error::Error + Send + Sync + 'static>(error: SdkError<E>) -> SecretStoreError {
    let is_answer = matches!(error, SdkError::ServiceError(_));
    SecretStoreError { source: Box::new(error), is_answer }
}

#[cfg(test)]
mod tests {
    use aws_sdk_secretsmanager::operation::create_secret::CreateSecretOutput;
    use aws_sdk_secretsmanager::operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput};
    use aws_sdk_secretsmanager::operation::put_secret_value::{PutSecretValueError, PutSecretValueOutput};
    use aws_sdk_secretsmanager::operation::restore_secret::{RestoreSecretError, RestoreSecretOutput};
    use aws_sdk_secretsmanager::types::error::{
        InvalidRequestException, ResourceExistsException, ResourceNotFoundException,
    };
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;

    #[tokio::test]
    async fn the_first_put_creates_the_secret_with_the_deployments_key() {
        let put = mock!(Client::put_secret_value)
            .match_requests(|request| request.secret_id() == Some("larder/workspaces/acme"))
            .then_error(|| {
                PutSecretValueError::ResourceNotFoundException(ResourceNotFoundException::builder().build())
            });
        let create = mock!(Client::create_secret)
            .match_requests(|request| {
                (request.name(), request.secret_string(), request.kms_key_id())
                    == (Some("larder/workspaces/acme"), Some("s3cret"), Some("alias/larder"))
            })
            .then_output(|| CreateSecretOutput::builder().build());
        let client = mock_client!(aws_sdk_secretsmanager, RuleMode::Sequential, [&put, &create]);
        let store = SecretsManager::new(client, "larder/", Some("alias/larder".into()));
        store.put("workspaces/acme", &Secret::new("s3cret")).await.expect("is created");
        assert_eq!((put.num_calls(), create.num_calls()), (1, 1));
    }

    #[tokio::test]
    async fn a_secret_whose_deletion_is_scheduled_is_restored_and_written() {
        let deleted = || InvalidRequestException::builder().message("it was marked for deletion").build();
        let put = mock!(Client::put_secret_value)
            .match_requests(|request| request.client_request_token() == Some("the id of the write"))
            .sequence()
            .error(move || PutSecretValueError::InvalidRequestException(deleted()))
            .output(|| PutSecretValueOutput::builder().build())
            .build();
        let restore =
            mock!(Client::restore_secret).then_output(|| RestoreSecretOutput::builder().name("larder/a").build());
        let client = mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&put, &restore]);
        let store = SecretsManager::new(client, "larder/", None);
        store.write("a", &Secret::new("s3cret"), Some("the id of the write")).await.expect("is written");
        assert_eq!((put.num_calls(), restore.num_calls()), (2, 1));
    }

    #[tokio::test]
    async fn a_secret_that_another_process_creates_meanwhile_is_replaced() {
        let put = mock!(Client::put_secret_value)
            .sequence()
            .error(|| PutSecretValueError::ResourceNotFoundException(ResourceNotFoundException::builder().build()))
            .output(|| PutSecretValueOutput::builder().build())
            .build();
        let create = mock!(Client::create_secret)
            .then_error(|| CreateSecretError::ResourceExistsException(ResourceExistsException::builder().build()));
        let client = mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&put, &create]);
        SecretsManager::new(client, "larder/", None).put("a", &Secret::new("s3cret")).await.expect("is written");
        assert_eq!((put.num_calls(), create.num_calls()), (2, 1));
    }

    #[tokio::test]
    async fn a_secret_that_stays_deleted_is_an_error() {
        let deleted = || InvalidRequestException::builder().message("it was marked for deletion").build();
        let put =
            mock!(Client::put_secret_value).then_error(move || PutSecretValueError::InvalidRequestException(deleted()));
        let restore =
            mock!(Client::restore_secret).then_error(move || RestoreSecretError::InvalidRequestException(deleted()));
        let get =
            mock!(Client::get_secret_value).then_error(move || GetSecretValueError::InvalidRequestException(deleted()));
        let client = mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&put, &restore, &get]);
        let store = SecretsManager::new(client, "larder/", None);
        assert!(store.put("a", &Secret::new("s3cret")).await.expect_err("is not written").is_answer);
        assert_eq!(store.get("a").await.expect("reads"), None);
    }

    #[tokio::test]
    async fn an_unknown_secret_is_absent_not_an_error() {
        let get = mock!(Client::get_secret_value)
            .sequence()
            .output(|| GetSecretValueOutput::builder().secret_string("there").build())
            .error(|| GetSecretValueError::ResourceNotFoundException(ResourceNotFoundException::builder().build()))
            .build();
        let store = SecretsManager::new(mock_client!(aws_sdk_secretsmanager, [&get]), "larder/", None);
        assert_eq!(store.get("a").await.expect("reads"), Some(Secret::new("there")));
        assert_eq!(store.get("a").await.expect("reads"), None);
    }
}
