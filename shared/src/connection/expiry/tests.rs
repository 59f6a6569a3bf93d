//! Every spelling of a lifetime, and how later refreshes change it.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).expect("a time")
}

fn map(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

/// Returns how many seconds after 0, when they were requested, credentials expire.
fn expires_in(credentials: &Value) -> Option<i64> {
    expiry_of(map(credentials), Asked::at(at(0))).map(|expiry| (expiry.at - at(0)).whole_seconds())
}

#[test]
fn expiry_times_are_corrected_for_the_providers_clock() {
    let credentials = json!({ "expires_at": at(300 + 3600).unix_timestamp() });
    let expires_in = |date: Option<OffsetDateTime>| {
        let expiry = expiry_of(map(&credentials), Asked { at: at(0), date });
        (expiry.expect("an expiry").at - at(0)).whole_seconds()
    };
    assert_eq!(expires_in(Some(at(300))), 3600, "the clock is five minutes ahead");
    assert_eq!(expires_in(Some(at(-300))), 4200, "the clock is five minutes behind");
    assert_eq!(expires_in(None), 3900);
    assert_eq!(expires_in(Some(at(3599))), 301, "the clock is almost an hour ahead");
    for implausible in [at(3600), at(7200), at(-3600)] {
        assert_eq!(expires_in(Some(implausible)), 3900, "{implausible}");
    }
}

#[test]
fn lifetimes_are_read_in_every_spelling() {
    // 1,700,000,000 is 2023-11-14T22:13:20Z.
    let rows = [
        (json!({"expires_in": 3600}), Some(3600)),
        (json!({"expiresIn": "7200"}), Some(7200)),
        (json!({"expires_in": "3600s"}), Some(3600)),
        (json!({"expires_in": 3600, "expires_at": 0}), Some(3600)),
        (json!({"access_token_expires_in": 90}), Some(90)),
        (json!({"expires_at": 1_700_000_060_000_i64}), Some(60)),
        (json!({"expires_at": 1_700_000_060}), Some(60)),
        (json!({"expires_on": "1700000060"}), Some(60)),
        (json!({"expiry_date": 1_700_000_060_000_i64}), Some(60)),
        (json!({"expiresAt": "2023-11-14T22:14:20Z"}), Some(60)),
        (json!({"expiresAt": "2023-11-14T22:14:20"}), Some(60)),
        (json!({"expiresAt": "2023-11-14 22:14:20.123"}), Some(60)),
        (json!({"expires_at": 99_999_999_999_i64}), Some(315_360_000)),
        (json!({"expires_at": 100_000_000_000_i64}), Some(0)),
        (json!({"expiresAt": "2023-11-15T00:14:20+0200"}), Some(60)),
        (json!({"expiresAt": "2023-11-15T00:14:20+02"}), Some(60)),
        (json!({"expiresAt": "2023-11-15 03:44:20 +0530"}), Some(60)),
        (json!({"expiresAt": "2023-11-14T21:14:20-0100"}), Some(60)),
        (json!({"expires_on": "11/14/2023 22:14:20 +00:00"}), Some(60)),
        (json!({".expires": "Tue, 14 Nov 2023 22:14:20 GMT"}), Some(60)),
        (json!({"expires": "2023-11-14 22:14:20 UTC"}), Some(60)),
        (json!({"expires": 5_184_000}), Some(5_184_000)),
        (json!({"expires": 315_359_999}), Some(315_359_999)),
        (json!({"expires": 315_360_000}), Some(0)),
        (json!({"expires": 1_700_000_060}), Some(60)),
        (json!({"expiry": "2023-11-14T22:14:20.5Z"}), Some(60)),
        (json!({"expires_in": -5}), None),
        (json!({"expires_in": 1e300}), Some(315_360_000)),
        (json!({"expires_at": u64::MAX}), None),
        (json!({"expires_in": 0}), None),
        (json!({"expires_at": 0}), None),
        (json!({"expires_in": 0, ".expires": "Tue, 14 Nov 2023 22:14:20 GMT"}), Some(60)),
        (json!({"expires_in": null, "expires_at": 1_700_000_060}), Some(60)),
        (json!({"expires_in": "soon", "expires_at": 1_700_000_060}), Some(60)),
        (json!({"expires_in": "soon"}), None),
        (json!({"expires_in": "NaN"}), None),
        (json!({"expires_in": "inf"}), None),
        (json!({"expires_in": [3600]}), None),
        (json!({"expires_in": " 3600.0 "}), Some(3600)),
        (json!({"expires_in": 3599.9}), Some(3599)),
        (json!({"access_token": "x"}), None),
    ];
    for (credentials, expected) in rows {
        assert_eq!(expires_in(&credentials), expected, "{credentials}");
    }
}

fn jwt(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[test]
fn the_exp_claim_counts_only_if_nothing_else_is_stated() {
    let hour = jwt(&json!({"exp": 1_700_003_600}));
    assert_eq!(expires_in(&json!({"access_token": hour})), Some(3600));
    assert_eq!(expires_in(&json!({"access_token": hour, "expires_in": 60})), Some(60));
    assert_eq!(expires_in(&json!({"access_token": hour, "expires_in": 0})), Some(3600));
    assert_eq!(expires_in(&json!({"access_token": hour, "expires_in": "soon"})), Some(3600));
    assert_eq!(expires_in(&json!({"access_token": jwt(&json!({"exp": 1e18}))})), None);
    assert_eq!(expires_in(&json!({"access_token": jwt(&json!({"exp": 9e9}))})), Some(315_360_000));
    for odd in [jwt(&json!({"exp": 1_699_999_999})), jwt(&json!({})), "a.b.c".into(), format!("{hour}.d")] {
        assert_eq!(expires_in(&json!({"access_token": odd})), None, "{odd}");
    }
}

#[test]
fn the_claims_of_a_token_are_read_up_to_16_kib() {
    let token = |bytes: usize| {
        let around = json!({"exp": 1_700_003_600, "x": ""}).to_string().len();
        json!({"access_token": jwt(&json!({"exp": 1_700_003_600, "x": "a".repeat(bytes - around)}))})
    };
    // In base64, 16,384 characters.
    assert_eq!(expires_in(&token(12_288)), Some(3600));
    assert_eq!(expires_in(&token(12_289)), None);
}

#[test]
fn an_unreadable_lifetime_is_reported_by_its_key() {
    let unreadable = |credentials: Value| unreadable_lifetime(map(&credentials), Asked::at(at(0)));
    assert_eq!(unreadable(json!({"access_token": "a", "expires_at": "in an hour"})), Some("expires_at"));
    assert_eq!(unreadable(json!({"expires_in": ["3600"]})), Some("expires_in"));
    for fine in [json!({"expires_at": "soon", "expires_in": 60}), json!({"expires_in": null}), json!({"expires_in": 0})]
    {
        assert_eq!(unreadable(fine.clone()), None, "{fine}");
    }
}

/// Refreshes, at 3300, a one-hour token issued at 0. Returns `from`, `at`, and `is_rest` of its new expiry.
fn refreshed(changes: Value) -> Option<(i64, i64, bool)> {
    refreshed_at(3300, Some(Expiry::new(at(0), at(3600))), changes)
}

fn refreshed_at(seconds: i64, before: Option<Expiry>, changes: Value) -> Option<(i64, i64, bool)> {
    let stored = json!({"access_token": "old", "expires_at": 1_700_003_600, "expires_in": 3600});
    let expiry = refreshed_expiry(before, &stored, map(&changes), Asked::at(at(seconds)))?;
    Some(((expiry.from - at(0)).whole_seconds(), (expiry.at - at(0)).whole_seconds(), expiry.is_rest))
}

#[test]
fn the_last_stated_lifetime_still_applies() {
    assert_eq!(refreshed(json!({"access_token": "new"})), Some((3300, 6900, false)));
    assert_eq!(refreshed(json!({"access_token": "new", "expires_in": 60})), Some((3300, 3360, false)));
    assert_eq!(refreshed(json!({"access_token": "new", "expires_at": 1_700_003_600})), Some((3300, 6900, false)));
    assert_eq!(refreshed(json!({"access_token": "new", "expires_at": 1_700_003_900})), Some((3300, 3900, false)));
    assert_eq!(refreshed(json!({"access_token": "new", "expires_at": 1_700_000_000})), Some((3300, 6900, false)));
    assert_eq!(
        refreshed_at(3300, None, json!({"access_token": "new", "expires_at": 1_700_000_000})),
        Some((3300, 3300, false))
    );
    assert_eq!(refreshed(json!({"access_token": "new", "expires_in": 0})), Some((3300, 6900, false)));
    assert_eq!(refreshed_at(3300, None, json!({"access_token": "new", "expires_in": 0})), None);
    assert_eq!(refreshed_at(3300, None, json!({"access_token": "new"})), None);
}

#[test]
fn the_same_token_keeps_its_expiry() {
    assert_eq!(refreshed(json!({"access_token": "old", "expires_in": 300})), Some((0, 3600, true)));
    assert_eq!(refreshed(json!({"access_token": "old", "expires_in": 299})), Some((0, 3600, true)));
    // Requested by a process whose clock is ahead.
    assert_eq!(refreshed(json!({"access_token": "old", "expires_in": 329})), Some((0, 3600, true)));
    assert_eq!(refreshed(json!({"access_token": "old", "expires_in": 200})), Some((0, 3500, true)));
    assert_eq!(refreshed(json!({"access_token": "old", "expires_in": 0})), Some((0, 3300, true)));
    assert_eq!(refreshed(json!({"access_token": "old"})), Some((0, 3600, true)));
    assert_eq!(refreshed(json!({})), Some((0, 3600, true)));
    // The same token twice within a second.
    let twice = refreshed_at(1, Some(Expiry::new(at(0), at(3600))), json!({"access_token": "old", "expires_in": 3600}));
    assert_eq!(twice, Some((1, 3601, false)));
    // The provider has extended the token.
    assert_eq!(refreshed(json!({"access_token": "old", "expires_in": 3600})), Some((3300, 6900, false)));
}

#[test]
fn a_remaining_lifetime_may_be_a_little_off() {
    let again = |asked_at, lifetime, expires_in| {
        let changes = json!({"access_token": "old", "expires_in": expires_in});
        refreshed_at(asked_at, Some(Expiry::new(at(0), at(lifetime))), changes)
    };
    // Later than known by 30 seconds, or a tenth of the lifetime.
    assert_eq!(again(3300, 3600, 330), Some((0, 3600, true)));
    assert_eq!(again(3300, 3600, 331), Some((3300, 3631, false)));
    assert_eq!(again(50, 100, 60), Some((0, 100, true)));
    assert_eq!(again(50, 100, 61), Some((50, 111, false)));
    // Two seconds earlier is the same time, and two seconds less than the whole lifetime is the whole.
    assert_eq!(again(3300, 3600, 298), Some((0, 3600, true)));
    assert_eq!(again(3300, 3600, 297), Some((0, 3597, true)));
    assert_eq!(again(1, 3600, 3597), Some((0, 3600, true)));
    assert_eq!(again(1, 3600, 3598), Some((1, 3599, false)));
}

#[test]
fn credentials_without_a_token_are_new_if_they_differ() {
    let stored = json!({"session": "old", "expires_in": 60});
    let is_new = |changes: Value| brings_new_token(&stored, map(&changes));
    assert!(is_new(json!({"session": "new"})) && is_new(json!({"accessToken": "new"})));
    assert!(!is_new(json!({"session": "old", "expires_in": 30})) && !is_new(json!({})));
}

#[test]
fn a_token_is_not_served_in_its_last_five_seconds() {
    let hour = Expiry::new(at(0), at(3600));
    assert!(!hour.is_over(at(3594)) && hour.is_over(at(3595)));
    let second = Expiry::new(at(0), at(1));
    assert!(!second.is_over(at(0)) && second.is_over(at(1)));
    let rest = Expiry { is_rest: true, ..hour };
    assert!(!rest.is_over(at(3599)) && rest.is_over(at(3600)));
    assert!(!rest.is_long_over(at(3604)) && rest.is_long_over(at(3605)));
}

proptest! {
    #[test]
    fn no_stated_lifetime_overflows(
        key in proptest::sample::select(spellings().collect::<Vec<_>>()),
        number in any::<f64>(),
        text in "\\PC{0,40}",
        before in prop::option::of(0_i64..1_000_000),
    ) {
        for value in [json!(number), json!(text), json!(number.to_string())] {
            let changes = json!({ "access_token": "a", key: value });
            let before = before.map(|end| Expiry::new(at(-1000), at(end)));
            for asked_at in [at(0), OffsetDateTime::UNIX_EPOCH, time::macros::datetime!(9999-12-31 23:59:59 UTC)] {
                let asked = Asked { at: asked_at, date: Some(at(5)) };
                let first = expiry_of(map(&changes), asked);
                prop_assert!(first.is_none_or(|expiry| expiry.at >= asked_at));
                refreshed_expiry(before, &json!({"access_token": "a"}), map(&changes), asked);
            }
        }
    }
}
