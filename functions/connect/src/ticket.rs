//! Sealed tickets: a form carries the request that it continues in one.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder::caller::Caller;
use larder::clock::Clock;
use larder::environment::SettingError;
use larder::error::Error;
use larder::random::{self, Rng};
use larder::record;
use larder::seal::{SealContext, SealError, Sealer};
use larder_engine::environment::Environment;
use larder_engine::pages::{Language, words};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Connect;
use crate::request::ConnectRequest;

/// Tickets of one kind. No other kind is accepted in their place.
pub struct Tickets {
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    kind: &'static str,
    lifetime: Duration,
}

/// A ticket that was opened.
#[derive(Serialize, Deserialize)]
pub struct Ticket<T> {
    /// The sealed value.
    pub contents: T,
    expires_at: i64,
}

/// A verified request that continues with a form.
#[derive(Serialize, Deserialize)]
struct FormTicket {
    caller: Caller,
    request: ConnectRequest,
    new_id: String,
}

impl Tickets {
    /// Creates the tickets of a kind, which are good for this long.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn new(environment: &Environment, kind: &'static str, lifetime: Duration) -> Result<Self, SettingError> {
        Ok(Self {
            sealer: environment.sealer()?,
            clock: Arc::clone(&environment.clock),
            rng: Arc::clone(&environment.rng),
            kind,
            lifetime,
        })
    }

    /// Returns the tickets of forms in a window.
    pub(crate) fn of_forms(environment: &Environment) -> Result<Self, SettingError> {
        Self::new(environment, "form", Duration::from_mins(30))
    }

    /// Seals the contents of a ticket. The workspace is in front, since it names the key.
    ///
    /// # Errors
    /// 503 when the key service fails.
    pub async fn seal<T: Serialize + Sync>(&self, workspace: &str, contents: &T) -> Result<String, Error> {
        let ticket = Ticket { contents, expires_at: (self.clock.now() + self.lifetime).unix_timestamp() };
        let bytes = serde_json::to_vec(&ticket).map_err(Error::internal)?;
        let id = random::token::<16>(&*self.rng);
        let sealed = self.sealer.seal(self.context(workspace, &id), &bytes).await?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Ok(format!("{}.{id}.{}", encode(workspace.as_bytes()), encode(&sealed)))
    }

    /// Opens a ticket, and returns it with its workspace. It may have expired. `None` if it was changed, or is none of this kind.
    ///
    /// # Errors
    /// 503 when the key service fails.
    pub async fn open<T: DeserializeOwned>(&self, ticket: &str) -> Result<Option<(String, Ticket<T>)>, Error> {
        let mut parts = ticket.splitn(3, '.');
        let (Some(workspace), Some(id), Some(sealed)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(None);
        };
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let workspace = decode(workspace).and_then(|bytes| String::from_utf8(bytes).ok());
        let (Some(workspace), Some(sealed)) = (workspace, decode(sealed)) else { return Ok(None) };
        let bytes = match self.sealer.open(self.context(&workspace, id), &sealed).await {
            Err(SealError::DoesNotOpen) => return Ok(None),
            opened => opened?,
        };
        record::note(|record| record.workspace = Some(workspace.clone()));
        Ok(serde_json::from_slice(&bytes).ok().map(|ticket| (workspace, ticket)))
    }

    /// Whether a ticket has expired.
    pub fn is_expired<T>(&self, ticket: &Ticket<T>) -> bool {
        ticket.expires_at <= self.clock.now().unix_timestamp()
    }

    fn context<'a>(&self, workspace: &'a str, id: &'a str) -> SealContext<'a> {
        SealContext { workspace, kind: self.kind, id, version: 0 }
    }
}

impl Connect {
    /// Seals a request.
    ///
    /// # Errors
    /// 503 when the key service fails.
    pub(crate) async fn seal_ticket(&self, caller: &Caller, wanted: &ConnectRequest) -> Result<String, Error> {
        let new_id = random::token::<16>(&*self.rng);
        let ticket = FormTicket { caller: caller.clone(), request: wanted.clone(), new_id };
        self.tickets.seal(&caller.workspace, &ticket).await
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
        let opened = self.tickets.open::<FormTicket>(ticket).await?;
        // The seal is bound to the workspace.
        let is_good = |(workspace, ticket): &(String, Ticket<FormTicket>)| {
            !self.tickets.is_expired(ticket) && ticket.contents.caller.workspace == *workspace
        };
        let Some((_, ticket)) = opened.filter(is_good) else {
            return Err(Error::bad_request("").for_people(words::PAGE_EXPIRED.say(language)));
        };
        let FormTicket { caller, request, new_id } = ticket.contents;
        Ok((caller, ConnectRequest { new_id: Some(new_id), ..request }))
    }
}
