//! URLs that results may be sent to, and their origins. Every browser reads them as they look.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The origin of a checked URL, such as `https://app.example`. It stands in a Content-Security-Policy as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// Why nothing can be sent to a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriError {
    /// Relative, of another scheme, or with parts that have no place in a redirect.
    #[error("is not an absolute http(s) URL without user and fragment")]
    NotPlain,
    /// The host would be read as several, or as something else.
    #[error(
        "has the host `{0}`: a host has letters, digits, `.`, `-` and `_` only; there are no wildcards, so list each URL \
         by itself"
    )]
    OddHost(String),
}

impl Origin {
    /// The origin of a redirect URI: an absolute http(s) URL without userinfo, fragment, or anything that a browser would
    /// read otherwise than it looks.
    ///
    /// # Errors
    /// [`RedirectUriError`], to be read after the URL.
    pub fn of_redirect_uri(uri: &str) -> Result<Self, RedirectUriError> {
        let url = Url::parse(uri).ok().filter(|url| {
            // Where `//` is missing, a browser reads a path on the page that it comes from.
            uri.get(url.scheme().len()..).is_some_and(|rest| rest.starts_with("://") && !rest.starts_with(":///"))
                && matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
                && !uri.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\')
        });
        let url = url.ok_or(RedirectUriError::NotPlain)?;
        // The parser takes more than names of hosts: `*`, `,`, `;` and quotes, which shape a policy.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        match url.host() {
            None => Err(RedirectUriError::NotPlain),
            Some(Host::Domain(name)) if !name.chars().all(is_plain) => Err(RedirectUriError::OddHost(name.to_owned())),
            Some(_) => Ok(Self(url.origin().ascii_serialization())),
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = RedirectUriError;

    fn try_from(text: String) -> Result<Self, RedirectUriError> {
        Self::of_redirect_uri(&text)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_has_one_plain_host() {
        for (uri, origin) in [
            ("https://app.example/done?from=larder", "https://app.example"),
            ("https://APP.example:443/", "https://app.example"),
            ("http://localhost:3000/a'b\"c;d", "http://localhost:3000"),
            ("http://my_app:8080/", "http://my_app:8080"),
            ("http://127.0.0.1:3000/", "http://127.0.0.1:3000"),
            ("http://[::1]:3000/", "http://[::1]:3000"),
            ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(Origin::of_redirect_uri(uri).map(String::from), Ok(origin.to_owned()), "{uri}");
        }
        for host in
            ["*.example", "*", "a,b", "a;b", "a'b", "a\"b", "'none'", "a;script-src", "a&b", "(a)", "a+b", "a=b"]
        {
            let odd = Err(RedirectUriError::OddHost(host.to_owned()));
            assert_eq!(Origin::of_redirect_uri(&format!("https://{host}/")), odd, "{host}");
        }
        for uri in [
            "https://a b/",
            "//a.example",
            "/done",
            "javascript:alert(1)",
            "https://u@a.example/",
            "https://",
            "",
            "https:a.example",
            "https:/a.example",
            "https:///a.example",
        ] {
            assert_eq!(Origin::of_redirect_uri(uri), Err(RedirectUriError::NotPlain), "{uri}");
        }
    }
}
