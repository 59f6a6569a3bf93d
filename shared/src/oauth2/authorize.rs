//! The URL that the browser is sent to.

use serde_json::Value;
use url::{Url, form_urlencoded};

use super::OAuthConfig;

/// The parameters that a connector's `extra` cannot set, and that an `authorizeUri` cannot carry: they are ours.
pub const PROTECTED_PARAMETERS: [&str; 6] =
    ["client_id", "redirect_uri", "response_type", "state", "code_challenge", "code_challenge_method"];

/// Builds the authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 8707 §2.1).
///
/// Added in this order: `client_id`, `redirect_uri`, `response_type=code`, `access_type=offline`, `scope` (joined by
/// spaces; left out if there is none), `state`, `code_challenge` and `code_challenge_method=S256` (left out with
/// `skipPkce`, or without a challenge), one `resource` for each configured, then `extra`.
///
/// - A query that `authorizeUri` already has stays in front as it is, less the parameters that follow anyway and the
///   [`PROTECTED_PARAMETERS`]: no key is added a second time (RFC 6749 §3.1).
/// - An `extra` entry takes the place of the parameter of its name, or is appended. `null` removes the parameter;
///   numbers and booleans become text; an array is joined by spaces, as OAuth's own lists are, but `resource` is
///   repeated instead; an object becomes JSON text.
/// - `extra` entries named in [`PROTECTED_PARAMETERS`] are ignored; [`ignored_extra`] lists them.
///
/// What is added is form-encoded (RFC 6749 appendix B), so a space is `+`. `redirect_uri` is the one in force for
/// this flow and goes into the token request unchanged; `config.redirect_uri` is not looked at here.
pub fn build_authorize_url(config: &OAuthConfig, redirect_uri: &str, state: &str, code_challenge: Option<&str>) -> Url {
    let mut ours = vec![
        ("client_id", config.client_id.clone()),
        ("redirect_uri", redirect_uri.to_owned()),
        ("response_type", "code".to_owned()),
        ("access_type", "offline".to_owned()),
    ];
    if !config.scopes.is_empty() {
        ours.push(("scope", config.scopes.join(" ")));
    }
    ours.push(("state", state.to_owned()));
    if let Some(challenge) = code_challenge.filter(|_| !config.skip_pkce) {
        ours.push(("code_challenge", challenge.to_owned()));
        ours.push(("code_challenge_method", "S256".to_owned()));
    }
    ours.extend(config.resource.iter().map(|resource| ("resource", resource.clone())));

    for (key, value) in config.extra.iter().filter(|(key, _)| !is_protected(key)) {
        let at = ours.iter().position(|(ours, _)| ours == key).unwrap_or(ours.len());
        ours.retain(|(ours, _)| ours != key);
        ours.splice(at..at, texts(key, value).into_iter().map(|text| (key.as_str(), text)));
    }

    let replaced =
        |key: &str| is_protected(key) || config.extra.contains_key(key) || ours.iter().any(|(ours, _)| *ours == key);
    let kept = foreign_pairs(config.authorize_uri.query().unwrap_or_default(), replaced);
    let mut url = config.authorize_uri.clone();
    url.set_query(Some(kept.as_str()).filter(|query| !query.is_empty()));
    url.query_pairs_mut().extend_pairs(&ours);
    url
}

/// The keys of `extra` that [`build_authorize_url`] ignores, for a linter or a log.
pub fn ignored_extra(config: &OAuthConfig) -> Vec<&str> {
    config.extra.keys().map(String::as_str).filter(|key| is_protected(key)).collect()
}

fn is_protected(key: &str) -> bool {
    PROTECTED_PARAMETERS.contains(&key)
}

/// The pairs of a query whose keys are not replaced, in their own encoding.
fn foreign_pairs(query: &str, replaced: impl Fn(&str) -> bool) -> String {
    let is_foreign =
        |pair: &&str| form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(key, _)| !replaced(&key));
    query.split('&').filter(is_foreign).collect::<Vec<_>>().join("&")
}

fn texts(key: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) if key == "resource" => items.iter().filter_map(text).collect(),
        value => text(value).into_iter().collect(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(items.iter().filter_map(text).collect::<Vec<_>>().join(" ")),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn config(changes: Value) -> OAuthConfig {
        let mut value = json!({
            "clientId": "s6BhdRkqt3",
            "clientSecret": "hunter2",
            "authorizeUri": "https://auth.example.com/oauth2/authorize",
            "tokenUri": "https://auth.example.com/oauth2/token",
        });
        for (key, change) in changes.as_object().unwrap() {
            value[key] = change.clone();
        }
        OAuthConfig::from_value(&value).unwrap()
    }

    fn query(changes: Value) -> String {
        build_authorize_url(&config(changes), "https://l.example/cb", "xyz", None).query().unwrap().to_owned()
    }

    const OURS: &str = "client_id=s6BhdRkqt3&redirect_uri=https%3A%2F%2Fl.example%2Fcb&response_type=code";

    #[test]
    fn the_url_is_the_one_of_the_specification() {
        let config =
            config(json!({ "scopes": ["read", "write"], "extra": { "prompt": "consent", "custom_param": "value" } }));
        let url = build_authorize_url(&config, "https://l.example/oauth-callback", "xyz", Some("E9Mel"));
        assert_eq!(
            url.as_str(),
            "https://auth.example.com/oauth2/authorize?client_id=s6BhdRkqt3\
             &redirect_uri=https%3A%2F%2Fl.example%2Foauth-callback&response_type=code&access_type=offline\
             &scope=read+write&state=xyz&code_challenge=E9Mel&code_challenge_method=S256\
             &prompt=consent&custom_param=value"
        );
    }

    #[test]
    fn an_existing_query_is_kept() {
        let query =
            query(json!({ "authorizeUri": "https://h/a?tenant=a%2Fb&x=%20y&x=2&access_type=online&state=evil" }));
        assert_eq!(query, format!("tenant=a%2Fb&x=%20y&x=2&{OURS}&access_type=offline&state=xyz"));
    }

    #[test]
    fn extra_replaces_removes_and_appends() {
        let extra = json!({ "access_type": null, "scope": "all", "n": 1, "b": true, "a": ["x", 2], "o": { "k": 1 } });
        assert_eq!(
            query(json!({ "scopes": ["read"], "extra": extra })),
            format!("{OURS}&scope=all&state=xyz&n=1&b=true&a=x+2&o=%7B%22k%22%3A1%7D")
        );
        assert_eq!(
            query(json!({ "authorizeUri": "https://h/a?prompt=login&keep=1", "extra": { "prompt": "none" } })),
            format!("keep=1&{OURS}&access_type=offline&state=xyz&prompt=none")
        );
    }

    #[test]
    fn extra_cannot_touch_the_protected_parameters() {
        let extra = json!({ "client_id": "evil", "state": null, "redirect_uri": "https://evil", "response_type": "token",
            "code_challenge": "x", "code_challenge_method": "plain", "prompt": "none" });
        let config = config(json!({ "extra": extra }));
        let url = build_authorize_url(&config, "https://l.example/cb", "xyz", None);
        assert_eq!(url.query().unwrap(), format!("{OURS}&access_type=offline&state=xyz&prompt=none"));
        let mut ignored = ignored_extra(&config);
        let mut protected = PROTECTED_PARAMETERS;
        ignored.sort_unstable();
        protected.sort_unstable();
        assert_eq!(ignored, protected);
    }

    #[test]
    fn only_skip_pkce_turns_the_challenge_off() {
        let url = |skip: bool| {
            build_authorize_url(&config(json!({ "skipPkce": skip })), "https://l.example/cb", "xyz", Some("E9Mel"))
        };
        assert!(url(false).as_str().ends_with("&code_challenge=E9Mel&code_challenge_method=S256"));
        assert!(!url(true).as_str().contains("code_challenge"));
    }

    #[test]
    fn every_resource_is_named() {
        let resources = json!(["https://a.example/", "https://b.example/"]);
        let expected = format!(
            "{OURS}&access_type=offline&state=xyz&resource=https%3A%2F%2Fa.example%2F&resource=https%3A%2F%2Fb.example%2F"
        );
        assert_eq!(query(json!({ "resource": resources })), expected);
        assert_eq!(query(json!({ "resource": "x", "extra": { "resource": resources } })), expected);
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            proptest::sample::select(PROTECTED_PARAMETERS.to_vec()).prop_map(str::to_owned),
            proptest::sample::select(vec!["scope", "access_type", "prompt", "a", "b"]).prop_map(str::to_owned),
            "\\PC{0,6}",
        ]
        .prop_filter("may be repeated", |key| key != "resource")
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
            prop::collection::vec("\\PC{0,3}", 0..3).prop_map(Value::from),
            "\\PC{0,3}".prop_map(|text| json!({ "k": text })),
        ]
    }

    proptest! {
        #[test]
        fn no_key_is_doubled_and_no_foreign_pair_lost(
            pairs in prop::collection::vec((key(), "\\PC{0,8}"), 0..6),
            raw in "[ -~]{0,30}",
            extra in prop::collection::vec((key(), value()), 0..6),
            scopes in prop::collection::vec("[a-z]{1,4}", 0..3),
            challenge in prop::option::of("[A-Za-z0-9_-]{43}"),
            state in "\\PC{1,20}",
        ) {
            let mut config = config(json!({ "scopes": scopes }));
            config.extra = extra.into_iter().collect();
            config.authorize_uri.set_query(Some(&raw));
            config.authorize_uri.query_pairs_mut().extend_pairs(&pairs);

            let url = build_authorize_url(&config, "https://l.example/cb?x=1", &state, challenge.as_deref());

            prop_assert_eq!(&Url::parse(url.as_str()).unwrap(), &url);
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            let values = |key: &str| -> Vec<&str> {
                pairs.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect()
            };
            prop_assert_eq!(values("client_id"), ["s6BhdRkqt3"]);
            prop_assert_eq!(values("redirect_uri"), ["https://l.example/cb?x=1"]);
            prop_assert_eq!(values("response_type"), ["code"]);
            prop_assert_eq!(values("state"), [state.as_str()]);
            prop_assert_eq!(values("code_challenge"), challenge.as_deref().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(values("code_challenge_method"), challenge.iter().map(|_| "S256").collect::<Vec<_>>());
            if !config.extra.contains_key("access_type") {
                prop_assert_eq!(values("access_type"), ["offline"]);
            }
            if !config.extra.contains_key("scope") && !scopes.is_empty() {
                prop_assert_eq!(values("scope"), [scopes.join(" ")]);
            }
            for (key, value) in config.extra.iter().filter(|(key, _)| !is_protected(key)) {
                let expected: Vec<String> = text(value).into_iter().collect();
                prop_assert_eq!(values(key), expected);
            }

            let ours = |key: &str| {
                is_protected(key)
                    || key == "access_type"
                    || (key == "scope" && !scopes.is_empty())
                    || config.extra.contains_key(key)
            };
            let foreign: Vec<_> = config.authorize_uri.query_pairs().into_owned().filter(|(k, _)| !ours(k)).collect();
            let kept: Vec<_> = pairs.iter().filter(|(k, _)| !ours(k)).cloned().collect();
            prop_assert_eq!(kept, foreign);
        }
    }
}
