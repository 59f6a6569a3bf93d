//! Checks that several tests apply to different subjects: one contract for every deployment, one suite for every store of
//! credentials, one script for every provider.

pub mod conformance;
pub mod contract;
pub mod scenario;
