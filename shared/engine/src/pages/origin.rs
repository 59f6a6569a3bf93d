//! The URLs that results may be sent to, and their origins. Only URLs that every browser reads the same way are accepted.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The origin of a checked URL, such as `https://app.example`. It is safe to put into a Content-Security-Policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// Why a redirect URI is rejected. The messages follow the URL or the name of its parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriError {
    /// The URL is relative, has another scheme, or has parts that do not belong in a redirect URI.
    #[error("must be an absolute http(s) URL without a user name or fragment")]
    NotPlain,
    /// The host could be read as several hosts, or as something else.
    #[error(
        "has the host `{0}`, but hosts may contain only letters, digits, `.`, `-` and `_` (no wildcards; list each URL \
         separately)"
    )]
    OddHost(String),
}

impl Origin {
    /// Returns the origin of a redirect URI, which must be an absolute http(s) URL without userinfo, a fragment, or anything
    /// that a browser might read differently.
    ///
    /// # Errors
    /// [`RedirectUriError`] for any other URL.
    pub fn of_redirect_uri(uri: &str) -> Result<Self, RedirectUriError> {
        let url = Url::parse(uri).ok().filter(|url| {
            // Without `//`, a browser resolves the URL against the current page.
            uri.get(url.scheme().len()..).is_some_and(|rest| rest.starts_with("://") && !rest.starts_with(":///"))
                && matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
                && !uri.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\')
        });
        let url = url.ok_or(RedirectUriError::NotPlain)?;
        // The parser also accepts `*`, `,`, `;` and quotes in a host, which would change a policy.
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

    fn try_from(uri: String) -> Result<Self, RedirectUriError> {
        Self::of_redirect_uri(&uri)
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
    fn a_redirect_uri_must_have_one_plain_host() {
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
