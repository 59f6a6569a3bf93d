//! Finds out whose account was connected (`getAccount`).

use std::sync::Arc;

use larder::connection::Account;
use larder::isolation::caught;
use serde_json::{Map, Value};

use super::auth::with_credentials;
use super::{ConnectorContext, Provider};
use crate::connector::FunctionName;

/// The argument with the response to the connector's REST `test`.
pub(super) const RESPONSE: &str = "response";

impl Provider {
    /// Runs `getAccount`. `response` is the response to the connector's REST `test`. A failure is only logged, because the
    /// credentials work all the same.
    pub(super) async fn account(
        &self,
        auth: &Arc<ConnectorContext>,
        credentials: Value,
        response: Option<Value>,
    ) -> Option<Account> {
        auth.function(FunctionName::GetAccount)?;
        let mut arguments = with_credentials(credentials.clone());
        arguments.extend(response.map(|response| (RESPONSE.to_owned(), response)));
        let api = self.api(auth, FunctionName::GetAccount, credentials, None);
        let finding = caught(self.run_for_object(auth, FunctionName::GetAccount, arguments, Some(&api)));
        let problem = match tokio::time::timeout(Self::ACCOUNT, finding).await {
            Ok(Ok(Ok(found))) => match account_in(&found.unwrap_or_default()) {
                Some(account) => return Some(account),
                None => "it returned no `id`".to_owned(),
            },
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(panicked)) => panicked.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        tracing::warn!(connector = auth.connector.key, problem, "the account is not known: getAccount failed");
        None
    }
}

/// Reads the result of `getAccount`. Ids may be numbers.
fn account_in(result: &Map<String, Value>) -> Option<Account> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let label = result.get("label").and_then(text);
    Account::new(&result.get("id").and_then(text)?, label.as_deref())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_has_an_id_and_maybe_a_label() {
        let read = |result: Value| account_in(result.as_object().expect("an object"));
        assert_eq!(read(json!({"id": 7, "label": "octocat"})), Account::new("7", Some("octocat")));
        assert_eq!(read(json!({"id": " u1 ", "label": null})), Account::new("u1", None));
        for without_id in [json!({"label": "octocat"}), json!({"id": ""}), json!({"id": {"a": 1}})] {
            assert_eq!(read(without_id.clone()), None, "{without_id}");
        }
        let long = "ß".repeat(300);
        let account = read(json!({"id": long, "label": long})).expect("an account");
        assert_eq!((account.id.chars().count(), account.label.map(|it| it.chars().count())), (255, Some(255)));
    }
}
