//! Disconnects connections: the provider forgets the credentials, and so does Larder. The connection stays, so that its end
//! user can reconnect it.
//!
//! Values that the end user entered are kept if they are not secret, such as the domain of an account.

use larder::caller::Caller;
use larder::connection::{Connection, Contents, Problem};
use larder::dynamodb::{AttemptKind, Begun};
use larder::error::Error;

use super::refresh_once::RefreshOnce;
use super::{Management, unknown};
use crate::connector::secrecy::is_secret_parameter;

impl Management {
    /// Revokes a connection's grant and erases its credentials, even if the provider fails.
    ///
    /// # Errors
    /// 400 if the connection has no integration; 404; 409 if it changes meanwhile.
    pub async fn disconnect(&self, caller: &Caller, selector: &str, tenant: Option<&str>) -> Result<(), Error> {
        // Calling the provider takes up to ten seconds, and the gateway waits for thirty.
        const ATTEMPTS: usize = 2;
        let mut seen = self.find(caller, selector, tenant).await?;
        if seen.integration.is_none() {
            let message = "these credentials don't belong to an integration; remove them with DELETE /credentials";
            return Err(Error::bad_request(message));
        }
        let key = seen.key.clone();
        for _ in 0..ATTEMPTS {
            let (reauthorize, begun) = (RefreshOnce::new(&self.refresher, &seen), Begun::now(AttemptKind::Disconnect));
            let refusal = self.revoke(&seen, &reauthorize).await.err();
            if let Some(error) = &refusal {
                tracing::warn!(connection = key.id, %error, "the provider was not notified of the disconnect");
            }
            let revoked = reauthorize.renewed().unwrap_or(seen);
            let kept = self.without_secrets(&revoked).await?;
            self.writer.discard_all(&self.connector_setup, &key).await?;
            let erased = self.vault.erase(&revoked, &kept, self.clock.now(), &*self.writer.rng).await?;
            if let Some(erased) = erased {
                self.follow_up.written(Some(revoked.state), &erased).await;
                self.attempts.add(&key, begun, refusal.as_ref().map(Problem::from).as_ref()).await;
                return Ok(());
            }
            let stored = self.connections.get(&key).await?;
            seen = stored.filter(|it| caller.may_see(it)).ok_or_else(|| unknown(selector))?;
            if !seen.has_only_been_refreshed_since(revoked.version) {
                let message = format!(
                    "the connection `{selector}` got new credentials while it was being disconnected, so they were kept"
                );
                return Err(Error::conflict(message));
            }
        }
        Err(super::delete::changed_by_others(selector))
    }

    /// Returns a connection's contents without anything secret. Nothing is left if the connector does not say what is secret.
    async fn without_secrets(&self, connection: &Connection) -> Result<Contents, Error> {
        let Some(mut contents) = self.vault.open_entered(connection).await? else { return Ok(Contents::default()) };
        let auth = match self.connector_setup.auth_of(connection, &contents).await {
            Ok(auth) => auth,
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => return Ok(Contents::default()),
        };
        let schema = auth.option.input_schema.as_ref();
        contents.input.retain(|name, _| !is_secret_parameter(schema, name));
        Ok(Contents { credentials: None, given: None, ..contents })
    }
}
