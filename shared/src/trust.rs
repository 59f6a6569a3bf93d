//! The certificate authorities that TLS connections trust.
//!
//! Reading the machine's certificates takes 2 to 3 ms of processor time, in every cold start (measured: 146 files, release
//! build). Lambda functions therefore trust authorities that are compiled in, unless a variable names others. The local
//! program uses the machine's.

use std::sync::Arc;

/// The source of the trusted certificate authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Compiled in: Amazon's for AWS, Mozilla's for providers.
    CompiledIn,
    /// The machine's store, or the file or folder that `SSL_CERT_FILE` or `SSL_CERT_DIR` names.
    #[default]
    Machine,
    /// The machine's store and, for calls to AWS and to an external credential API, the PEM certificates of
    /// `AWS_CA_BUNDLE`.
    Bundle(Arc<[u8]>),
}
