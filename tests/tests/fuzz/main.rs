//! Every entry point of `larder_tests::fuzz`, with the fuzzers' seeds and variants of them.
//!
//! `PROPTEST_CASES` is the number of variants for the slowest entry points; the others get a multiple of it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use larder_tests::{fuzz, root};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::{Value, json};

/// Runs an entry point with the seeds of its name, random bytes, and variants of the seeds: `times` as many as usual, with
/// some of these `words` in them.
fn run(name: &str, entry: fn(&[u8]), times: u32, words: &'static str) {
    let mut seeds = Vec::new();
    for file in fs::read_dir(root().join("tests/fuzz/corpus").join(name)).unwrap() {
        let path = file.unwrap().path();
        let seed = fs::read(&path).unwrap();
        catch_unwind(AssertUnwindSafe(|| entry(&seed))).unwrap_or_else(|_| panic!("{}", path.display()));
        seeds.push(seed);
    }
    let usual = Config::default();
    let config = Config { cases: usual.cases * times, failure_persistence: None, ..usual };
    let input = prop_oneof![1 => vec(any::<u8>(), 0..200), 9 => variant(seeds, words)];
    let result = TestRunner::new(config).run(&input, |input| {
        entry(&input);
        Ok(())
    });
    if let Err(TestError::Fail(reason, input)) = result {
        panic!("{reason}\n{name} failed for {:?}", String::from_utf8_lossy(&input));
    }
}

/// Asserts that all these statuses occurred, which shows that the inputs reach the code they are meant for.
fn assert_answered(expected: &[u16]) {
    let answered = fuzz::answered();
    assert!(expected.iter().all(|status| answered.contains(status)), "{answered:?}");
}

/// A change of a seed. Positions are fractions of its length.
#[derive(Debug, Clone)]
enum Edit {
    Flip(Index, u8),
    Cut(Index),
    Drop(Index, usize),
    Repeat(Index, usize, usize),
    Splice(Index, Index, Index),
    Insert(Index, String),
    /// Replaces the bytes between two of `&=\n "` with a word.
    Replace(Index, String),
    /// Replaces a JSON node with another.
    Node(Index, Value),
    /// Removes a JSON node, or adds a member to it.
    Member(Index, Option<(String, Value)>),
}

/// Strings that often trip up parsers.
const ODD: &[&str] =
    &["", "%", "%zz", "%00", "%c3%28", "\0", "\r\n", "\u{feff}", "\u{202e}", "ä", "💥", "&", "=", "+", "</script>"];

fn variant(seeds: Vec<Vec<u8>>, words: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let word = || {
        let words: Vec<&str> = words.split_whitespace().collect();
        prop_oneof![
            2 => select(words).prop_map(str::to_owned),
            1 => select(ODD).prop_map(str::to_owned),
            1 => any::<i64>().prop_map(|number| number.to_string()),
        ]
    };
    let value = || {
        let odd = [
            json!(null),
            json!(true),
            json!([]),
            json!({}),
            json!([[[]]]),
            json!({"": {"": ""}}),
            json!(-1),
            json!(1e308),
            json!(u64::MAX),
            json!(0.1),
            json!({"$var": "a"}),
            json!({"$copy": "a"}),
            json!("a".repeat(2000)),
        ];
        prop_oneof![1 => select(odd.to_vec()), 2 => word().prop_map(Value::from)]
    };
    let at = any::<Index>;
    let edit = prop_oneof![
        1 => (at(), any::<u8>()).prop_map(|(at, bits)| Edit::Flip(at, bits)),
        1 => at().prop_map(Edit::Cut),
        1 => (at(), 1..20_usize).prop_map(|(at, length)| Edit::Drop(at, length)),
        1 => (at(), 1..40_usize, 1..40_usize).prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
        1 => (at(), at(), at()).prop_map(|(seed, from, to)| Edit::Splice(seed, from, to)),
        1 => (at(), word()).prop_map(|(at, word)| Edit::Insert(at, word)),
        3 => (at(), word()).prop_map(|(at, word)| Edit::Replace(at, word)),
        4 => (at(), value()).prop_map(|(at, value)| Edit::Node(at, value)),
        2 => (at(), prop::option::of((word(), value()))).prop_map(|(at, member)| Edit::Member(at, member)),
    ];
    (select(seeds.clone()), vec(edit, 1..6))
        .prop_map(move |(seed, edits)| edits.into_iter().fold(seed, |input, edit| apply(input, edit, &seeds)))
}

fn apply(mut input: Vec<u8>, edit: Edit, seeds: &[Vec<u8>]) -> Vec<u8> {
    let place = |at: Index, input: &[u8]| at.index(input.len() + 1);
    match edit {
        Edit::Flip(at, bits) => {
            let at = place(at, &input);
            input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
        }
        Edit::Cut(at) => input.truncate(place(at, &input)),
        Edit::Drop(at, length) => {
            let at = place(at, &input);
            input.drain(at..(at + length).min(input.len()));
        }
        Edit::Repeat(at, length, times) => {
            let at = place(at, &input);
            let part = input[at..(at + length).min(input.len())].repeat(times);
            input.splice(at..at, part);
        }
        Edit::Splice(seed, from, to) => {
            let other = seed.get(seeds);
            input.truncate(place(from, &input));
            input.extend(&other[place(to, other)..]);
        }
        Edit::Insert(at, word) => {
            let at = place(at, &input);
            input.splice(at..at, word.into_bytes());
        }
        Edit::Replace(at, word) => {
            let at = place(at, &input);
            let ends = |byte: &u8| b"&=\n \"".contains(byte);
            let start = input[..at].iter().rposition(ends).map_or(0, |end| end + 1);
            let end = input[at..].iter().position(ends).map_or(input.len(), |end| at + end);
            input.splice(start..end, word.into_bytes());
        }
        Edit::Node(at, value) => return in_json(input, at, |node| *node = value),
        Edit::Member(at, member) => {
            return in_json(input, at, |node| match (member, node) {
                (Some((name, value)), Value::Object(object)) => drop(object.insert(name, value)),
                (Some((_, value)), Value::Array(items)) => items.push(value),
                (_, node) => *node = Value::Null,
            });
        }
    }
    input
}

/// Changes a JSON node of the input, or of a part of it that is JSON: one line, or everything from one line on.
fn in_json(mut input: Vec<u8>, at: Index, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let ends = input.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end);
    let starts: Vec<usize> = std::iter::once(0).chain(ends.map(|end| end + 1)).collect();
    let lines = starts.windows(2).map(|pair| pair[0]..pair[1] - 1);
    let parts = starts.iter().map(|start| *start..input.len()).chain(lines);
    let parse = |part: &Range<usize>| serde_json::from_slice::<Value>(&input[part.clone()]).ok();
    let is_json = |part: &Range<usize>| matches!(parse(part), Some(Value::Object(_) | Value::Array(_)));
    let parts: Vec<_> = parts.filter(is_json).collect();
    if parts.is_empty() {
        return input;
    }
    let part = at.get(&parts).clone();
    let mut root = parse(&part).unwrap();
    let mut pointers = vec![String::new()];
    collect(&root, "", &mut pointers);
    let pointer: &String = at.get(&pointers);
    change(root.pointer_mut(pointer).unwrap());
    input.splice(part, root.to_string().into_bytes());
    input
}

fn collect(value: &Value, at: &str, pointers: &mut Vec<String>) {
    let mut child = |name: &str, value: &Value| {
        let mut at = at.to_owned();
        write!(at, "/{}", name.replace('~', "~0").replace('/', "~1")).unwrap();
        pointers.push(at.clone());
        collect(value, &at, pointers);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(name, value)| child(name, value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| child(&index.to_string(), item)),
        _ => {}
    }
}

#[test]
fn api_gateway_events() {
    let words = "GET PUT POST DELETE HEAD /connect /credentials /connections /connections/bobs /integrations/app /connectors \
        /oauth-callback authorization Bearer ADMIN ALICE connectionId=bobs limit=1 cursor= MSNh test refresh-credentials \
        x-membrane-token content-type cookie x-forwarded-proto host body rawPath rawQueryString isBase64Encoded connectorKey";
    run("events", fuzz::events, 2, words);
    assert_answered(&[200, 201, 204, 302, 400, 401, 404]);
}

#[test]
fn connect_parameters() {
    let words = "GET POST token ALICE integrationKey app authOptionKey oauth key redirectUri requestId name customState input \
        payload connectionId allowMultipleConnections https://app.example/done?from=larder https://other.example/ // %5C \
        connectorParameters {\"apiKey\":\"abc\"} {} [] null connectionParameters";
    run("connect", fuzz::connect, 2, words);
    assert_answered(&[200, 302, 400, 401, 403, 404]);
}

#[test]
fn callbacks() {
    let words = "code state STATE error iss error_description SECRET access_denied c%6fde st%61te :custom code= state=";
    run("callback", fuzz::callback, 1, words);
    assert_answered(&[200, 302, 400]);
}

#[test]
fn token_responses() {
    let words = "200 400 429 500 application/json text/html SECRET access_token refresh_token expires_in expires_at error ok \
        false null -1 1e999 NaN 9999999999999999999 invalid_grant { } [ ] <html> data token error_description token_type \
        BAD_REFRESH_TOKEN status errors errorType code 190 gone success .expires expires_on expiry_date expires";
    run("token_response", fuzz::token_response, 32, words);
}

#[test]
fn api_responses() {
    let words = "200 201 204 301 400 401 403 429 500 503 SECRET retry-after: 30 date: location: content-encoding: gzip br \
        content-type: application/json error code type message invalid_grant BAD_REFRESH_TOKEN token_revoked temporarily_unavailable \
        gone 190 busy access_token expires_in expires_at .expires expiry 0 -1 1e12 253402300799 9999-12-31T23:59:59Z \
        connection_is_defunct access_token_expired rate_limit_exceeded responseHandlers match isSuccess $var response.data";
    run("api_response", fuzz::api_response, 4, words);
}

#[test]
fn encoded_bodies() {
    let words =
        "gzip x-gzip deflate zlib br identity gzip,gzip pack: flip: cut: content-encoding: 0 1 2 3 4 12 18 255 SECRET";
    run("content_encoding", fuzz::content_encoding, 8, words);
}

#[test]
fn script_results() {
    let words = "returns throws stored rules message key data response status headers retry-after 400 429 503 SECRET error code \
        access_token accessToken refresh_token refreshToken expires_in expires_at expiry 0 -1 1e999 invalid_grant token_revoked gone \
        190 busy connection_is_defunct rate_limit_exceeded <undefined> <NaN> <Infinity> <BigInt> <Date> <function> <Symbol> <Map> \
        <bytes> <surrogate> <cycle> <promise> <rejected> <getter> <toJSON> <proxy> <huge> <deep>";
    run("script_result", fuzz::script_result, 1, words);
    assert_answered(&[200, 201, 400, 503]);
}

#[test]
fn connector_folders() {
    let words = "key: auth: type: oauth2 oauth1 client-credentials proxy options: makeApiClient: getOAuthConfig: mapping: \
        implementationType: rest-api-mapping javascript inputSchema: &a *a !!str | > - ? : # {} [] ~ $var: $jsonata: === .nan";
    run("spec", fuzz::spec, 2, words);
}

#[test]
fn mappings() {
    let words = "$var $copy $tpl $concat $case $map $eval $and $or $jsonata $iterate $mergeObjects $firstNotEmpty $extractDate \
        $extractTime $firstName $lastName $domainFromEmail $plain mapping variables given a b $ a.b a[0] $.a {a} isPrime $sum(a)";
    run("mapping", fuzz::mapping, 8, words);
}

#[test]
fn caller_tokens() {
    let words = "current previous {\"alg\":\"HS256\"} {\"alg\":\"none\"} HS384 HS512 RS256 workspaceKey iss local tenantKey sub id \
        exp NOW nbf isAdmin true forApplication forCredentialsOf jku kid b64 crit . .. = private public application EdDSA ed scope \
        connections:read credentials:refresh-token proxy connectionIds integrationKeys lasting [] null";
    run("jwt", fuzz::jwt, 32, words);
}

#[test]
fn sealed_envelopes() {
    run("envelope", fuzz::envelope, 32, "0 1 2 3 4 5 6 7 flip cut drop insert splice 12 19 255 00 ff");
}

#[test]
fn stored_rows() {
    let words = "version sealed_version sealed name tenant state READY CLIENT_ACTION_REQUIRED expires_at obtained_at \
        next_refresh_at due_shard lease_token lease_holder recovery lease_until created_at table sessions integrations unconfirmed series replaces target request \
        confirm_by confirmed_at ended_at browser redirect_uris S N B \
        BOOL NULL SS L M 253402300799999 -377705116800000 0.5 1e38";
    run("row", fuzz::row, 1, words);
}

#[test]
fn refresh_function_events() {
    let words = "Records messageId receiptHandle body workspace local connectionId CONNECTION bobs version detail-type sealed \
        leaseToken createdAt {} []";
    run("refresh_event", fuzz::refresh_event, 1, words);
}

#[test]
fn oauth_1_provider_answers() {
    let words = "200 400 401 500 text/html oauth_token oauth_token_secret oauth_verifier oauth_callback_confirmed true denied \
        oauth_problem token_rejected hh5s93j4hdidpola SECRET { }";
    run("oauth1", fuzz::oauth1, 32, words);
}

#[test]
fn oversized_input_is_rejected() {
    let huge = "a".repeat(500_000);
    let event = |method: &str, path: &str, query: &str, token: &str, body: &Value| {
        let event = json!({
            "version": "2.0", "rawPath": path, "rawQueryString": query,
            "headers": {"authorization": format!("Bearer {token}"), "content-type": "application/x-www-form-urlencoded"},
            "body": body.as_str().map_or_else(|| body.to_string(), ToOwned::to_owned),
            "requestContext": {"http": {"method": method, "path": path}},
        });
        fuzz::events(event.to_string().as_bytes());
    };
    for option in ["oauth", "key"] {
        let payload = json!({"integrationKey": "app", "authOptionKey": option, "input": {"apiKey": "abc"}});
        for member in
            ["name", "redirectUri", "requestId", "customState", "connectionId", "integrationKey", "input", "new"]
        {
            let mut payload = payload.clone();
            payload[member] = if member == "input" { json!({"apiKey": huge}) } else { json!(huge) };
            let form = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("payload", &payload.to_string())
                .finish();
            event("POST", "/connect", "", "ALICE", &json!(form));
        }
    }
    event("PUT", "/credentials", "connectionId=huge", "ALICE", &json!({"credentials": huge}));
    event("PUT", "/credentials", &format!("connectionId={}", &huge[..600]), "ALICE", &json!({"credentials": 1}));
    for method in ["GET", "PUT", "DELETE"] {
        event(
            method,
            "/credentials",
            &format!("connectionId={}", &huge[..60_000]),
            "ALICE",
            &json!({"credentials": 1}),
        );
        event(method, &format!("/integrations/{}", &huge[..60_000]), "", "ADMIN", &json!({"connectorKey": "app"}));
    }
    for member in ["connectorKey", "name", "oAuthCallbackUri", "redirectUris", "parameters"] {
        let mut body = json!({"connectorKey": "app"});
        body[member] = match member {
            "oAuthCallbackUri" => json!(format!("https://a.example/{huge}")),
            "redirectUris" => json!([format!("https://a.example/{huge}")]),
            "parameters" => json!({"clientSecret": huge}),
            _ => json!(huge),
        };
        event("PUT", "/integrations/huge", "", "ADMIN", &body);
    }
    event("GET", "/oauth-callback", &format!("code={huge}"), "ALICE", &json!(""));
    event("GET", &format!("/{huge}"), "", "ALICE", &json!(""));
    event("GET", "/connections", &format!("cursor={}&limit=1", &huge[..60_000]), "ALICE", &json!(""));
}
