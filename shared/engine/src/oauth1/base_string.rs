//! The signature base string: the request as one string to sign (RFC 5849 §3.4.1).

use http::{Method, Uri};

use super::encoding::encode;

/// Builds the signature base string of a request (RFC 5849 §3.4.1.1). Returns `None` if the URI is not absolute.
///
/// `parameters` are decoded and come from the query, the form body, and the `Authorization` header without `realm` and
/// `oauth_signature`.
pub(super) fn base_string(method: &Method, uri: &Uri, parameters: &[(Vec<u8>, Vec<u8>)]) -> Option<String> {
    // Sorted by the encoded name, then by the encoded value (§3.4.1.3.2).
    let mut pairs: Vec<_> = parameters.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let method = method.as_str().to_ascii_uppercase();
    Some(format!("{}&{}&{}", encode(method), encode(base_uri(uri)?), encode(pairs.join("&"))))
}

/// Returns the URI without its query, lowercase except for the path, and without the scheme's default port (§3.4.1.2).
fn base_uri(uri: &Uri) -> Option<String> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let host = uri.host()?.to_ascii_lowercase();
    let default_port = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().filter(|port| *port != default_port).map(|port| format!(":{port}")).unwrap_or_default();
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    Some(format!("{scheme}://{host}{port}{path}"))
}

#[cfg(test)]
mod tests {
    use super::super::encoding::pairs;
    use super::*;

    #[test]
    fn rfc_5849_section_3_4_1_1_base_string() {
        let uri: Uri = "http://example.com/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b".parse().unwrap();
        let header =
            b"oauth_consumer_key=9djdj82h48djs9d2&oauth_token=kkk9d7dh3k39sjv7&oauth_signature_method=HMAC-SHA1\
            &oauth_timestamp=137131201&oauth_nonce=7d8f3e4a";
        let parameters: Vec<_> =
            pairs(uri.query().unwrap().as_bytes()).chain(pairs(header)).chain(pairs(b"c2&a3=2+q")).collect();
        assert_eq!(
            base_string(&Method::POST, &uri, &parameters).unwrap(),
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D\
             %26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a\
             %26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        );
    }

    #[test]
    fn rfc_5849_section_3_4_1_2_base_uris() {
        let base = |uri: &str| base_uri(&uri.parse().unwrap());
        assert_eq!(base("http://EXAMPLE.COM:80/r%20v/X?id=123").unwrap(), "http://example.com/r%20v/X");
        assert_eq!(base("https://www.example.net:8080/?q=1").unwrap(), "https://www.example.net:8080/");
        assert_eq!(base("https://example.net:443").unwrap(), "https://example.net/");
        assert_eq!(base("https://example.net:80").unwrap(), "https://example.net:80/");
        assert_eq!(base("/relative"), None);
    }

    #[test]
    fn rfc_5849_section_3_4_1_3_2_parameters_sort_by_encoding() {
        let parameters: Vec<_> = pairs(b"b5=%3D%253D&a3=a&c%40=&a2=r%20b&c2&a3=2+q").collect();
        let base = base_string(&Method::GET, &"http://h".parse().unwrap(), &parameters).unwrap();
        assert!(base.ends_with("&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D"));
    }
}
