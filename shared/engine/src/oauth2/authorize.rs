//! The URL of the authorization request, which the browser is sent to.

use url::Url;

use super::OAuthConfig;
use super::parameters::Parameters;

/// The parameters that only Larder sets. Neither `extra` nor the query of `authorizeUri` can set them, under whatever names
/// `authorizeParameterNames` gives them.
pub const PROTECTED_PARAMETERS: [&str; 6] =
    ["client_id", "redirect_uri", "response_type", "state", "code_challenge", "code_challenge_method"];

/// Builds the authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 8707 §2.1).
///
/// The parameters are added in this order: `client_id`, `redirect_uri`, `response_type=code`, `access_type=offline`, `scope`
/// (joined with `scopeSeparator`; omitted if there are no scopes), `state`, `code_challenge` and
/// `code_challenge_method=S256` (omitted with `skipPkce` or without a challenge), one `resource` per configured resource, and
/// `extra`. `authorizeParameterNames` renames or omits parameters. The connector may then use the old name for itself, and
/// the new one is protected instead.
///
/// - The query of `authorizeUri` stays in front unchanged, except for parameters that are added anyway and the
///   [`PROTECTED_PARAMETERS`], because no key may occur twice (RFC 6749 §3.1).
/// - A fragment stays at the end. If it is a route such as `#/authorize`, the parameters are added to the route's query.
/// - An `extra` entry replaces the parameter with its name, or is appended. `null` removes the parameter, numbers and
///   booleans become strings, an object becomes JSON, and an array is joined with spaces like OAuth's own lists, except that
///   `resource` is repeated instead.
/// - `extra` entries named in [`PROTECTED_PARAMETERS`] are ignored; [`ignored_extra`] lists them.
///
/// The added parameters are form-encoded (RFC 6749 appendix B), so a space is `+`. `redirect_uri` is the redirect URI of this
/// flow, which the token request must repeat unchanged; `config.redirect_uri` is not used here.
pub fn build_authorize_url(config: &OAuthConfig, redirect_uri: &str, state: &str, code_challenge: Option<&str>) -> Url {
    let names = &config.authorize_parameter_names;
    let mut ours = Parameters::default();
    ours.add(names.of("client_id"), config.client_id.as_str());
    ours.add(names.of("redirect_uri"), redirect_uri);
    ours.add(names.of("response_type"), "code");
    ours.add(names.of("access_type"), "offline");
    if !config.scopes.is_empty() {
        ours.add(names.of("scope"), config.scopes.join(&config.scope_separator));
    }
    ours.add(Some("state"), state);
    if let Some(challenge) = code_challenge.filter(|_| !config.skip_pkce) {
        ours.add(Some("code_challenge"), challenge);
        ours.add(Some("code_challenge_method"), "S256");
    }
    ours.add_resources(&config.resource);
    ours.put_over(config.extra.iter().filter(|(key, _)| !is_protected(config, key)));
    ours.onto_page(&config.authorize_uri, |key| is_protected(config, key) || config.extra.contains_key(key))
}

/// Returns the keys of `extra` that [`build_authorize_url`] ignores, for the linter and for logs.
pub fn ignored_extra(config: &OAuthConfig) -> Vec<&str> {
    config.extra.keys().map(String::as_str).filter(|key| is_protected(config, key)).collect()
}

fn is_protected(config: &OAuthConfig, key: &str) -> bool {
    PROTECTED_PARAMETERS.iter().any(|parameter| config.authorize_parameter_names.of(parameter) == Some(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::parameters::text;
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
    fn the_url_matches_the_specifications_example() {
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
    fn fragments_stay_at_the_end_and_routes_get_the_query() {
        let url = |uri: &str| {
            let config = config(json!({ "authorizeUri": uri, "extra": { "access_type": null } }));
            build_authorize_url(&config, "https://l.example/cb", "xyz", None).to_string()
        };
        assert_eq!(url("https://h/a?b=1#login"), format!("https://h/a?b=1&{OURS}&state=xyz#login"));
        assert_eq!(url("https://h/#/oauth/authorize"), format!("https://h/#/oauth/authorize?{OURS}&state=xyz"));
        assert_eq!(
            url("https://h/?b=1&state=evil#!/authorize?c=2&state=evil"),
            format!("https://h/?b=1#!/authorize?c=2&{OURS}&state=xyz")
        );
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
    fn every_resource_is_sent() {
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

    #[test]
    fn scopes_are_joined_with_scope_separator() {
        let scopes = json!(["read", "write"]);
        assert!(query(json!({ "scopes": scopes, "scopeSeparator": "," })).contains("&scope=read%2Cwrite&"));
        assert!(query(json!({ "scopes": scopes, "scopeSeparator": "+" })).contains("&scope=read%2Bwrite&"));
        assert!(query(json!({ "scopes": scopes, "scopeSeparator": "" })).contains("&scope=read+write&"));
    }

    #[test]
    fn authorize_parameter_names_rename_and_omit_parameters() {
        let names =
            json!({ "client_id": "client_key", "access_type": null, "response_type": null, "scope": "user_scope" });
        assert_eq!(
            query(json!({ "scopes": ["read"], "authorizeParameterNames": names })),
            "client_key=s6BhdRkqt3&redirect_uri=https%3A%2F%2Fl.example%2Fcb&user_scope=read&state=xyz"
        );
        let swapped = json!({ "client_id": "redirect_uri", "redirect_uri": "client_id" });
        assert_eq!(
            query(json!({ "authorizeParameterNames": swapped, "extra": { "access_type": null } })),
            "redirect_uri=s6BhdRkqt3&client_id=https%3A%2F%2Fl.example%2Fcb&response_type=code&state=xyz"
        );
    }

    #[test]
    fn a_renamed_parameter_is_protected_under_its_new_name() {
        let config = config(json!({
            "authorizeUri": "https://h/a?client_key=evil&client_id=theirs",
            "authorizeParameterNames": { "client_id": "client_key", "redirect_uri": "callback" },
            "extra": { "client_key": "evil", "callback": "https://evil", "redirect_uri": "theirs", "access_type": null },
        }));
        assert_eq!(
            build_authorize_url(&config, "https://l.example/cb", "xyz", None).query().unwrap(),
            "client_id=theirs&client_key=s6BhdRkqt3&callback=https%3A%2F%2Fl.example%2Fcb&response_type=code&state=xyz\
             &redirect_uri=theirs"
        );
        assert_eq!(ignored_extra(&config), ["client_key", "callback"]);
    }

    proptest! {
        #[test]
        fn no_key_occurs_twice_and_no_other_parameter_is_lost(
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
            for (key, value) in config.extra.iter().filter(|(key, _)| !is_protected(&config, key)) {
                let expected: Vec<String> = text(value).into_iter().collect();
                prop_assert_eq!(values(key), expected);
            }

            let ours = |key: &str| {
                is_protected(&config, key)
                    || key == "access_type"
                    || (key == "scope" && !scopes.is_empty())
                    || config.extra.contains_key(key)
            };
            let foreign: Vec<_> = config.authorize_uri.query_pairs().into_owned().filter(|(k, _)| !ours(k)).collect();
            let kept: Vec<_> = pairs.iter().filter(|(k, _)| !ours(k)).cloned().collect();
            prop_assert_eq!(kept, foreign);
        }

        #[test]
        fn renaming_neither_loses_values_nor_repeats_keys(
            names in prop::collection::btree_map(
                proptest::sample::select(vec!["client_id", "redirect_uri", "response_type", "scope", "access_type"]),
                prop::option::of(prop_oneof![
                    proptest::sample::select(PROTECTED_PARAMETERS.to_vec()).prop_map(str::to_owned),
                    "[a-z_]{1,6}",
                ]),
                0..5,
            ),
            extra in prop::collection::vec((key(), value()), 0..4),
        ) {
            let extra: serde_json::Map<_, _> = extra.into_iter().collect();
            let value = json!({
                "clientId": "the-client", "authorizeUri": "https://h/a?state=evil&redirect_uri=evil&a=1",
                "tokenUri": "https://h/t", "scopes": ["the-scope"], "authorizeParameterNames": names, "extra": extra,
            });
            // Names that would merge two parameters are rejected.
            let Ok(config) = OAuthConfig::from_value(&value) else { return Ok(()) };
            let url = build_authorize_url(&config, "https://l.example/cb", "the-state", Some("the-challenge"));
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            let values = |key: &str| -> Vec<&str> {
                pairs.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect()
            };
            for (key, _) in &pairs {
                prop_assert_eq!(values(key).len(), 1, "{}", key);
            }
            prop_assert_eq!(values("state"), ["the-state"]);
            prop_assert_eq!(values("code_challenge"), ["the-challenge"]);
            prop_assert_eq!(values("code_challenge_method"), ["S256"]);
            for (standard, value) in
                [("client_id", "the-client"), ("redirect_uri", "https://l.example/cb"), ("response_type", "code")]
            {
                if let Some(name) = config.authorize_parameter_names.of(standard) {
                    prop_assert_eq!(values(name), [value]);
                }
            }
            for (standard, value) in [("scope", "the-scope"), ("access_type", "offline")] {
                if let Some(name) = config.authorize_parameter_names.of(standard).filter(|it| !extra.contains_key(*it)) {
                    prop_assert_eq!(values(name), [value]);
                }
            }
        }
    }
}
