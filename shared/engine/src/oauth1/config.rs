//! The checked result of an `oauth1` connector's `getOAuthConfig`.

use std::fmt;

use larder::secret::Secret;
use serde_json::{Map, Value};
use url::Url;

use super::signature::SignatureMethod;
use crate::oauth2::{ConfigError, ConfigReader, documented, nowhere};
use crate::rsa_sha1::PrivateKey;

documented! {
    /// An integration's OAuth 1.0a configuration: the result of a connector's `getOAuthConfig`.
    ///
    /// Each field's docs begin with its key: [`OAuth1Config::KEYS`] and the table in `shared/connectors/FORMAT.md` are
    /// generated from them. `Debug` shows only the consumer key and the signature method.
    #[derive(Clone)]
    #[non_exhaustive]
    pub struct OAuth1Config {
        /// `consumerKey`: required. The client's id (RFC 5849 §1.1).
        pub consumer_key: String,
        /// `consumerSecret`: required, except with `RSA-SHA1`, where it is used as the private key if there is no
        /// `privateKey`.
        pub consumer_secret: Option<Secret>,
        /// `requestTokenUri`: required. The URL that starts a flow: an absolute http(s) URL without fragment or user
        /// (RFC 5849 §2.1).
        pub request_token_uri: Url,
        /// `authorizeUri`: required. The page that the browser is sent to (RFC 5849 §2.2). A query and a fragment are
        /// kept, as in `oauth2`.
        pub authorize_uri: Url,
        /// `tokenUri`: required. The URL that exchanges the verifier for a token (RFC 5849 §2.3).
        pub token_uri: Url,
        /// `scopes`: array, or one string separated by spaces; sent as `scope` in the authorize URL, joined with
        /// spaces. OAuth 1.0 has no scopes; if the provider wants them in another form, use `extra`.
        pub scopes: Vec<String>,
        /// `extra`: object of authorize URL parameters; each replaces the parameter of the same name or is appended.
        /// `null` removes it. Arrays are joined with spaces, objects become JSON. `oauth_token` cannot be set.
        pub extra: Map<String, Value>,
        /// `signatureMethod`: `HMAC-SHA1` (the default), `HMAC-SHA256`, `PLAINTEXT` or `RSA-SHA1` (RFC 5849 §3.4).
        pub signature_method: SignatureMethod,
        /// `privateKey`: for `RSA-SHA1`: an RSA key in PEM, PKCS#8 or PKCS#1.
        pub private_key: Option<PrivateKey>,
        /// `realm`: the `realm` of the `Authorization` header (RFC 5849 §3.5.1). For providers that name the account
        /// there.
        pub realm: Option<String>,
        /// `allowUnconfirmedCallback`: `true`: the provider speaks OAuth 1.0, which has neither
        /// `oauth_callback_confirmed` nor a verifier.
        pub allow_unconfirmed_callback: bool,
    }
    also {}
}

impl OAuth1Config {
    /// Parses the result of `getOAuthConfig`. `null` and `""` count as absent; unknown keys are ignored.
    ///
    /// # Errors
    ///
    /// Returns all problems at once.
    pub fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let mut reader = ConfigReader::new(value)?;
        let signature_method = reader.choice("signatureMethod", &SignatureMethod::NAMES).unwrap_or_default();
        let is_rsa = signature_method == SignatureMethod::RsaSha1;
        let consumer_key = reader.required("consumerKey", ConfigReader::pasted);
        let consumer_secret = if is_rsa {
            reader.text("consumerSecret")
        } else {
            reader.required("consumerSecret", ConfigReader::pasted)
        };
        let request_token_uri = reader.required("requestTokenUri", ConfigReader::url);
        let authorize_uri = reader.required("authorizeUri", ConfigReader::url);
        let token_uri = reader.required("tokenUri", ConfigReader::url);
        let pem = reader.text("privateKey").or_else(|| consumer_secret.clone());
        let private_key = pem.filter(|_| is_rsa).and_then(|pem| PrivateKey::from_pem(&pem));
        if is_rsa && private_key.is_none() {
            reader.problem("getOAuthConfig's privateKey must be an RSA key in PEM, PKCS#8 or PKCS#1".into());
        }
        let realm = reader.text("realm");
        if realm.as_ref().is_some_and(|realm| !realm.bytes().all(is_quotable)) {
            reader.problem(
                "getOAuthConfig's realm must be ASCII without quotes, backslashes or control characters".into(),
            );
        }
        let config = Self {
            consumer_key: consumer_key.unwrap_or_default(),
            consumer_secret: consumer_secret.map(Secret::new),
            request_token_uri: request_token_uri.unwrap_or_else(nowhere),
            authorize_uri: authorize_uri.unwrap_or_else(nowhere),
            token_uri: token_uri.unwrap_or_else(nowhere),
            scopes: reader.words("scopes"),
            extra: reader.object("extra"),
            signature_method,
            private_key,
            realm,
            allow_unconfirmed_callback: reader.flag("allowUnconfirmedCallback"),
        };
        reader.finish(config)
    }
}

fn is_quotable(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
}

impl fmt::Debug for OAuth1Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth1Config")
            .field("consumer_key", &self.consumer_key)
            .field("signature_method", &self.signature_method)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    fn with(changes: &Value) -> Result<OAuth1Config, ConfigError> {
        let mut value = json!({
            "consumerKey": "dpf43f3p2l4k3l03",
            "consumerSecret": "kd94hf93k423kf44",
            "requestTokenUri": "https://photos.example.net/initiate",
            "authorizeUri": "https://photos.example.net/authorize",
            "tokenUri": "https://photos.example.net/token",
        });
        for (key, change) in changes.as_object().unwrap() {
            value[key] = change.clone();
        }
        OAuth1Config::from_value(&value)
    }

    /// Returns the client of RFC 5849's examples, with some changes.
    pub(in crate::oauth1) fn config(changes: Value) -> OAuth1Config {
        with(&changes).unwrap()
    }

    #[test]
    fn every_key_is_read() {
        let config = config(json!({
            "scopes": "read write",
            "extra": { "expiration": "never" },
            "signatureMethod": "RSA-SHA1",
            "privateKey": include_str!("vectors/test-key.pkcs8.pem"),
            "realm": "123_SB1",
            "allowUnconfirmedCallback": true,
        }));
        assert_eq!((config.consumer_key.as_str(), config.realm.as_deref()), ("dpf43f3p2l4k3l03", Some("123_SB1")));
        assert_eq!(config.scopes, ["read", "write"]);
        assert_eq!(config.extra["expiration"], "never");
        assert!(config.allow_unconfirmed_callback && config.private_key.is_some());
        assert_eq!(
            format!("{config:?}"),
            r#"OAuth1Config { consumer_key: "dpf43f3p2l4k3l03", signature_method: RsaSha1, .. }"#
        );
    }

    #[test]
    fn rsa_sha1_accepts_the_key_as_consumer_secret() {
        let pem = include_str!("vectors/test-key.pkcs1.pem");
        assert!(with(&json!({ "signatureMethod": "RSA-SHA1", "consumerSecret": pem })).is_ok());
        let key_only = json!({ "signatureMethod": "RSA-SHA1", "consumerSecret": null, "privateKey": pem });
        assert!(with(&key_only).is_ok());
    }

    #[test]
    fn all_problems_are_reported_at_once_without_values() {
        let wrong = json!({
            "consumerKey": null, "requestTokenUri": "hunter2", "signatureMethod": "RSA-SHA1", "privateKey": "hunter2",
            "realm": "hunter\"2", "scopes": 3, "extra": "hunter2", "allowUnconfirmedCallback": "hunter2",
        });
        assert_eq!(
            with(&wrong).unwrap_err().to_string(),
            "getOAuthConfig returned no consumerKey; add it to auth/get-oauth-config.map.yml\n\
             getOAuthConfig's requestTokenUri must be an absolute http or https URL\n\
             getOAuthConfig's privateKey must be an RSA key in PEM, PKCS#8 or PKCS#1\n\
             getOAuthConfig's realm must be ASCII without quotes, backslashes or control characters\n\
             getOAuthConfig returned a number for scopes; it must be an array of strings\n\
             getOAuthConfig returned a string for extra; it must be an object\n\
             getOAuthConfig returned a string for allowUnconfirmedCallback; it must be true or false"
        );
        assert_eq!(
            with(&json!({ "signatureMethod": "MD5", "consumerSecret": "" })).unwrap_err().problems(),
            [
                "getOAuthConfig's signatureMethod must be HMAC-SHA1, HMAC-SHA256, PLAINTEXT or RSA-SHA1",
                "getOAuthConfig returned no consumerSecret; add it to auth/get-oauth-config.map.yml",
            ]
        );
    }
}
