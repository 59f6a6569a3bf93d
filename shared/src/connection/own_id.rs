//! The id of an end user's only connection through an integration.
//!
//! It is computed, so that two simultaneous flows write one row. Only connecting can create an id of this form: `PUT
//! /credentials` rejects it for a new connection, so that no one can take another tenant's id in advance.
//!
//! # Decisions
//!
//! An id of this form can be created by `PUT /credentials` only on behalf of another Larder that keeps its credentials
//! here. Ids of earlier versions had no prefix and could be taken by others; they are still looked up. With
//! `allowMultipleConnections`, ids are random, or those of connection requests.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The prefix of such ids. The digest follows.
const PREFIX: &str = "own-";
const DIGEST_BYTES: usize = 16;
/// The number of ids without the prefix that earlier versions used for each end user and integration.
const FORMER: u8 = 4;

/// Returns the id of an end user's connection through an integration, if there is to be only one.
pub fn own_id(workspace: &str, integration_key: &str, tenant: Option<&str>) -> String {
    format!("{PREFIX}{}", digest_of(workspace, integration_key, tenant, 0))
}

/// Whether only connecting can create a connection with this id.
pub fn is_own_id(id: &str) -> bool {
    let digest = id.strip_prefix(PREFIX).and_then(|digest| URL_SAFE_NO_PAD.decode(digest).ok());
    digest.is_some_and(|digest| digest.len() == DIGEST_BYTES)
}

/// Returns the ids that such a connection may have if it was created before the prefix existed. Rows with these ids may
/// belong to others.
pub fn former_own_ids(workspace: &str, integration_key: &str, tenant: Option<&str>) -> Vec<String> {
    (0..FORMER).map(|attempt| digest_of(workspace, integration_key, tenant, attempt)).collect()
}

fn digest_of(workspace: &str, integration_key: &str, tenant: Option<&str>, attempt: u8) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [workspace, integration_key, tenant.unwrap_or_default()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.update(&[u8::from(tenant.is_some()), attempt]);
    URL_SAFE_NO_PAD.encode(context.finish().as_ref().get(..DIGEST_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ids_are_distinct_and_have_the_reserved_form() {
        let ids = [
            own_id("acme", "crm", Some("alice")),
            own_id("acme", "crm", Some("bob")),
            own_id("acme", "crm", Some("")),
            own_id("acme", "crm", None),
            own_id("acme", "erp", Some("alice")),
            own_id("acm", "ecrm", Some("alice")),
        ];
        for (number, id) in ids.iter().enumerate() {
            assert!(is_own_id(id) && !ids[..number].contains(id), "{id}");
        }
    }

    #[test]
    fn other_ids_are_not_reserved() {
        let digest = "AAAAAAAAAAAAAAAAAAAAAA";
        let others =
            ["", "own-", "own-a", "my-key", digest, "Own-AAAAAAAAAAAAAAAAAAAAAA", "own-AAAAAAAAAAAAAAAAAAAAAAA"];
        for id in others.into_iter().chain(["own-AAAAAAAAAAAAAAAAAAAA+A", "own-7c9e6679-7425-40de-944b"]) {
            assert!(!is_own_id(id), "{id}");
        }
        assert!(is_own_id(&format!("own-{digest}")));
    }

    #[test]
    fn former_own_ids_never_change() {
        // Rows with these ids exist and must still be found.
        let former = former_own_ids("local", "demo", Some("demo"));
        let expected =
            ["hz39XTayYSDP2l-LCrFkkA", "v7MVsOSnCUTxtG3u6tn_2A", "T6ZHPaQfRtlnxXlNB5bomQ", "ZGEM5zXxNdNnj7bwummyTQ"];
        assert_eq!(former, expected);
    }
}
