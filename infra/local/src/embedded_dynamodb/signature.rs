//! Verifies that a request to the embedded database is signed with its key (AWS Signature Version 4).
//!
//! Only requests in the SDKs' form are accepted: `POST /` without a query. A signature stays valid as long as the key, which
//! changes at every start: seeing one on the loopback interface takes more rights than reading the files.

use aws_lc_rs::{constant_time, digest, hmac};
use http::header;
use http::request::Parts;
use larder::secret::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Whether `Authorization` has this request's signature by `access_key_id` and `secret`.
pub(crate) fn verify(parts: &Parts, body: &[u8], access_key_id: &str, secret: &Secret) -> bool {
    expected(parts, body, access_key_id, secret).is_some_and(|(expected, given)| {
        constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).is_ok()
    })
}

/// The signature that the request should have, and the one it has.
fn expected<'a>(parts: &'a Parts, body: &[u8], access_key_id: &str, secret: &Secret) -> Option<(String, &'a str)> {
    let fields = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix(ALGORITHM)?;
    let field = |name: &str| {
        let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
        fields.find_map(|(key, value)| (key == name).then_some(value))
    };
    let (id, scope) = field("Credential")?.split_once('/')?;
    let signed_headers = field("SignedHeaders")?;
    if id != access_key_id || parts.uri.path() != "/" || parts.uri.query().is_some() {
        return None;
    }
    let mut canonical = format!("{}\n/\n\n", parts.method);
    for name in signed_headers.split(';') {
        let values = parts.headers.get_all(name).iter().map(|value| {
            let words = value.to_str().map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
            words.ok()
        });
        canonical += &format!("{name}:{}\n", values.collect::<Option<Vec<_>>>()?.join(","));
    }
    canonical += &format!("\n{signed_headers}\n{}", hex(digest::digest(&digest::SHA256, body).as_ref()));
    let at = parts.headers.get("x-amz-date")?.to_str().ok()?;
    let digest = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let key = scope.split('/').fold(format!("AWS4{}", secret.expose()).into_bytes(), |key, part| sign(&key, part));
    Some((hex(&sign(&key, &format!("{ALGORITHM}\n{at}\n{scope}\n{digest}"))), field("Signature")?))
}

fn sign(key: &[u8], data: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `post-vanilla` from AWS's test suite for Signature Version 4.
    #[test]
    fn the_published_example_verifies_but_no_variation_does() {
        let verify = |authorization: &str, uri: &str, date: &str, body: &[u8], id: &str, secret: &str| {
            let request = http::Request::post(uri)
                .header("host", "example.amazonaws.com")
                .header("x-amz-date", date)
                .header("authorization", authorization);
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            super::verify(&parts, body, id, &Secret::new(secret))
        };
        let signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature={signature}"
        );
        let (id, secret) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let date = "20150830T123600Z";
        assert!(verify(&authorization, "/", date, b"", id, secret));
        assert!(!verify(&authorization, "/", date, b"{}", id, secret));
        assert!(!verify(&authorization, "/", "20150830T123601Z", b"", id, secret));
        assert!(!verify(&authorization, "/?a=b", date, b"", id, secret));
        assert!(!verify(&authorization, "/a", date, b"", id, secret));
        assert!(!verify(&authorization, "/", date, b"", "another", secret));
        assert!(!verify(&authorization, "/", date, b"", id, "another"));
        assert!(!verify(&authorization.replace(signature, ""), "/", date, b"", id, secret));
        for broken in ["", "Bearer x", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE"] {
            assert!(!verify(broken, "/", date, b"", id, secret), "{broken}");
        }
    }
}
