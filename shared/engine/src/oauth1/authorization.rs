//! The `Authorization` header (RFC 5849 §3.5.1).

use http::HeaderValue;

use super::encoding::encode;

/// Builds `OAuth realm="…", oauth_…="…", …`, marked sensitive. The parameters are encoded, the realm is not.
pub(super) fn authorization(realm: Option<&str>, parameters: &[(&str, String)]) -> Option<HeaderValue> {
    let realm = realm.map(|realm| format!("realm=\"{realm}\""));
    let parameters = parameters.iter().map(|(name, value)| format!("{}=\"{}\"", encode(name), encode(value)));
    let text = realm.into_iter().chain(parameters).collect::<Vec<_>>().join(", ");
    let mut value = HeaderValue::try_from(format!("OAuth {text}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_5849_section_1_2_header() {
        let parameters = [
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131200"),
            ("oauth_nonce", "wIjqoS"),
            ("oauth_callback", "http://printer.example.com/ready"),
            ("oauth_signature", "74KNZJeDHnMBp0EMJ9ZHt/XKycU="),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let header = authorization(Some("Photos"), &parameters).unwrap();
        assert!(header.is_sensitive());
        assert_eq!(
            header.to_str().unwrap(),
            r#"OAuth realm="Photos", oauth_consumer_key="dpf43f3p2l4k3l03", oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131200", oauth_nonce="wIjqoS", oauth_callback="http%3A%2F%2Fprinter.example.com%2Fready", oauth_signature="74KNZJeDHnMBp0EMJ9ZHt%2FXKycU%3D""#
        );
    }

    proptest! {
        #[test]
        fn any_parameters_round_trip_through_the_header(values in prop::collection::vec(any::<String>(), 1..5)) {
            const NAMES: [&str; 4] = ["oauth_token", "oauth_nonce", "oauth_verifier", "oauth_callback"];
            let parameters: Vec<_> = NAMES.into_iter().zip(values).collect();
            let header = authorization(None, &parameters).unwrap();
            let text = header.to_str().unwrap().strip_prefix("OAuth ").unwrap();
            for ((name, value), written) in parameters.iter().zip(text.split(", ")) {
                let (written_name, quoted) = written.split_once('=').unwrap();
                let quoted = quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
                prop_assert!(!quoted.contains(['"', ',', ' ']));
                prop_assert_eq!(written_name, *name);
                prop_assert_eq!(&percent_decode_str(quoted).decode_utf8().unwrap(), value);
            }
        }
    }
}
