//! Checks that several tests apply to different subjects: the contract for every deployment, the conformance suite for every
//! credential store, and the scenarios of the providers.

pub mod conformance;
pub mod contract;
pub mod scenario;
