//! The engine of Larder: connectors, the protocols they speak, and all that is done with a provider's answers. Only functions
//! that speak to providers link it; [`larder`] is what all functions share.
//!
//! The modules stand in reading order: each uses those above it and none below, which a test holds them to.

// Pure: texts and values.
pub mod pasted;
pub mod rsa_sha1;
pub mod response;
pub mod oauth2;
pub mod oauth1;
pub mod connector;

// Out into the world.
pub mod egress;
pub mod database_login;
pub mod javascript;

// One connection at its provider.
pub mod provider;
pub mod connector_setup;

// What functions do, and the checks for authors of connectors.
pub mod connect;
pub mod refresh;
pub mod lint;

// All of it put together.
pub mod environment;
