//! The engine of Larder: connectors, the protocols they speak, and all that is done with a provider's answers. Only functions
//! that speak to providers link it; [`larder`] is what all functions share.
//!
//! Each module uses those before it, and none behind it:
//!
//! - pure, without I/O: [`pasted`], [`rsa_sha1`], [`response`], [`oauth2`], [`oauth1`], [`connector`];
//! - out into the world: [`egress`], [`database`], [`javascript`];
//! - one connection at its provider: [`provider`], [`configuration`];
//! - the three things that functions do: [`connect`], [`refresh`], and [`lint`] for authors of connectors;
//! - [`environment`] puts them together.

pub mod connector;
pub mod oauth1;
pub mod oauth2;
pub mod pasted;
pub mod response;
pub mod rsa_sha1;

pub mod database;
pub mod egress;
pub mod javascript;

pub mod configuration;
pub mod provider;

pub mod connect;
pub mod lint;
pub mod refresh;

pub mod environment;
