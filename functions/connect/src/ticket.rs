//! The ticket of a form: the sealed request that it continues.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder::caller::Caller;
use larder::error::Error;
use larder::seal::{SealContext, SealError};
use larder::{random, record};
use larder_engine::pages::{Language, words};
use serde::{Deserialize, Serialize};

use crate::Connect;
use crate::request::ConnectRequest;

/// How long a form can be submitted.
const FORM_LIFETIME: Duration = Duration::from_mins(30);

/// A verified request that continues with a form.
#[derive(Serialize, Deserialize)]
struct FormTicket {
    caller: Caller,
    request: ConnectRequest,
    new_id: String,
    expires_at: i64,
}

impl Connect {
    /// Seals a request. The workspace is in front, since it names the key.
    ///
    /// # Errors
    /// 503 when the key service fails.
    pub(crate) async fn seal_ticket(&self, caller: &Caller, wanted: &ConnectRequest) -> Result<String, Error> {
        let ticket = FormTicket {
            caller: caller.clone(),
            request: wanted.clone(),
            new_id: random::token::<16>(&*self.rng),
            expires_at: (self.clock.now() + FORM_LIFETIME).unix_timestamp(),
        };
        let bytes = serde_json::to_vec(&ticket).map_err(Error::internal)?;
        let id = random::token::<16>(&*self.rng);
        let sealed = self.sealer.seal(seal_context(&caller.workspace, &id), &bytes).await?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Ok(format!("{}.{id}.{}", encode(caller.workspace.as_bytes()), encode(&sealed)))
    }

    /// Opens a ticket.
    ///
    /// # Errors
    /// 400 if it is too old or was changed; 503 when the key service fails.
    pub(crate) async fn open_ticket(
        &self,
        ticket: &str,
        language: Language,
    ) -> Result<(Caller, ConnectRequest), Error> {
        let expired = || Error::bad_request(words::PAGE_EXPIRED.say(language));
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| expired());
        let mut parts = ticket.splitn(3, '.');
        let (Some(workspace), Some(id), Some(sealed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(expired());
        };
        let workspace = String::from_utf8(decode(workspace)?).map_err(|_| expired())?;
        let bytes = match self.sealer.open(seal_context(&workspace, id), &decode(sealed)?).await {
            Err(SealError::DoesNotOpen) => return Err(expired()),
            opened => opened?,
        };
        let FormTicket { caller, request, new_id, expires_at } =
            serde_json::from_slice(&bytes).map_err(|_| expired())?;
        // The seal is bound to the workspace.
        if expires_at <= self.clock.now().unix_timestamp() || caller.workspace != workspace {
            return Err(expired());
        }
        record::note(|record| record.workspace = Some(workspace));
        Ok((caller, ConnectRequest { new_id: Some(new_id), ..request }))
    }
}

fn seal_context<'a>(workspace: &'a str, id: &'a str) -> SealContext<'a> {
    SealContext { workspace, kind: "form", id, version: 0 }
}
