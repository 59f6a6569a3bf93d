//! Connecting an end user: the OAuth flow, the other auth types, connection requests, and unusual callbacks.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod auth_types;
mod callbacks;
mod deputies;
mod flow;
mod form;
mod form_round_trip;
mod request_form;
mod requests;
mod screens;
mod sdks;
mod unconfirmed;
