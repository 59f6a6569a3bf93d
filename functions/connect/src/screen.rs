//! The form in a frame of the application, which the function `pages` shows.
//!
//! # Decisions
//!
//! `pages` links this crate and calls [`Connect::screen`] in its own process. So both have one form and one way to connect, and
//! `pages` decides only what a frame needs: who may show it, its ticket, and how the application learns the result.
//!
//! In a frame, the end user confirms everything: an API key without fields is not connected until a button is pressed, as a
//! page could otherwise connect it by showing the frame.
//!
//! A provider is visited in another window, by the link of a connection request: the cookie that ties a flow to its browser
//! would be lost in a frame of another website.

use larder::caller::Caller;
use larder::connection::Connection;
use larder::dynamodb::Integration;
use larder::error::Error;
use larder::http::{Parameters, Request, Response};
use larder_engine::connect::{Delivery, RequestedConnection};
use larder_engine::pages::ScreenFrame;

use crate::Connect;
use crate::form::{Asking, Step};
use crate::request::ConnectRequest;

/// A form in a frame.
pub struct Screen<'a> {
    /// The request for it.
    pub request: &'a Request,
    /// The caller on whose behalf the end user connects.
    pub caller: &'a Caller,
    /// The integration.
    pub integration: &'a Integration,
    /// The origins of the integration, and the language.
    pub delivery: &'a Delivery,
    /// The frame.
    pub frame: ScreenFrame<'a>,
    /// The hidden fields of its forms, by name.
    pub hidden: &'a [(&'a str, &'a str)],
}

/// The next step in a frame.
pub enum ScreenStep {
    /// The end user is asked.
    Ask(Response),
    /// The connection is made.
    Connected(Box<Connection>),
    /// The end user approves access in another window, by a request for this connection.
    Leave(Box<RequestedConnection>),
}

impl Connect {
    /// Asks the end user in a frame, or connects if there is nothing to ask. `submitted` are the fields of a form that was shown
    /// before.
    ///
    /// # Errors
    /// Those that the end user cannot correct in a form.
    pub async fn screen(
        &self,
        screen: &Screen<'_>,
        wanted: ConnectRequest,
        submitted: &Parameters,
    ) -> Result<ScreenStep, Error> {
        let &Screen { request, caller, integration, delivery, frame, hidden } = screen;
        let asking = Asking::new(request, caller, integration, delivery).with_hidden(hidden.to_vec()).with_frame(frame);
        let begin = |wanted| Box::pin(self.begin_in_frame(caller, integration, wanted));
        Ok(match self.step(&asking, wanted, submitted, begin).await? {
            Step::Ask(page) => ScreenStep::Ask(page),
            Step::Begun(next) => next,
        })
    }

    async fn begin_in_frame(
        &self,
        caller: &Caller,
        integration: &Integration,
        wanted: ConnectRequest,
    ) -> Result<ScreenStep, Error> {
        let is_override = !wanted.connector_parameters.is_empty();
        let requested = RequestedConnection {
            integration_keys: vec![integration.key.clone()],
            connection_id: wanted.connection_id.clone(),
            name: wanted.name.clone(),
            input: wanted.input.clone(),
            is_filled_in: wanted.is_filled_in,
            custom_state: wanted.custom_state.clone(),
            allow_multiple_connections: wanted.allow_multiple_connections,
            ..RequestedConnection::default()
        };
        let prepared = self.prepare(caller, integration, wanted).await?;
        if prepared.auth.kind().is_immediate() {
            let connection = self.enter(&prepared, integration, None).await?;
            return Ok(ScreenStep::Connected(Box::new(connection)));
        }
        if is_override {
            let message =
                "`connectorParameters` does not work here with this way to connect; use `connect()` of the SDK";
            return Err(Error::bad_request(message));
        }
        let option_key = Some(prepared.auth.option.key.clone()).filter(|key| !key.is_empty());
        Ok(ScreenStep::Leave(Box::new(RequestedConnection { option_key, ..requested })))
    }
}
