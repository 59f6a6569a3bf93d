//! Requests to providers end whatever a server answers, with errors that explain the problem without revealing any data, and
//! reach only allowed addresses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use larder_engine::egress::{AddressPolicy, Egress, EgressError, Limits};
use larder_tests::{Browser, MockProvider, World};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server's behavior after reading a request.
#[derive(Debug, Clone)]
enum ServerBehavior {
    /// Never answers.
    Nothing,
    /// Closes the connection.
    HangUp,
    /// Sends these bytes and closes the connection.
    Bytes(Bytes),
    /// Sends these bytes, and then others repeatedly, with a pause before each.
    Endless(&'static str, Bytes, Duration),
}

/// Starts a server with this behavior. Returns its URL and a list that collects its requests.
async fn server(behavior: ServerBehavior) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/token?key=marker-in-the-url", listener.local_addr().unwrap());
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, behavior.clone(), Arc::clone(&seen)));
        }
    });
    (url, requests)
}

async fn serve(mut stream: TcpStream, behavior: ServerBehavior, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = vec![0; 16 * 1024];
    let length = stream.read(&mut request).await.unwrap_or_default();
    seen.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
    match behavior {
        ServerBehavior::Nothing => std::future::pending::<()>().await,
        ServerBehavior::HangUp => {}
        ServerBehavior::Bytes(bytes) => drop(stream.write_all(&bytes).await),
        ServerBehavior::Endless(start, again, pause) => {
            let mut is_open = stream.write_all(start.as_bytes()).await.is_ok();
            while is_open {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                is_open = stream.write_all(&again).await.is_ok();
            }
        }
    }
}

/// Sends a request to a server with this behavior.
async fn send_to(behavior: ServerBehavior, limits: Limits) -> Result<larder_engine::egress::Response, EgressError> {
    let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
    let (url, _) = server(behavior).await;
    let request = http::Request::post(url).header("authorization", "marker-in-a-header");
    egress.send(request.body(b"secret=marker-in-the-body".to_vec()).unwrap(), limits).await
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const ANNOUNCED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const UNTIL_CLOSED: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
/// 64 KiB of zeros.
const BOMB: &str = "H4sIAAAAAAACA+3BAQEAAACAkP6v7ggKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAauuOl9cAAAEA";

fn bytes(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

fn assert_silent(error: &EgressError) {
    let text = format!("{error} {error:?}");
    assert!(!text.contains("marker"), "{text}");
}

#[tokio::test]
async fn a_huge_answer_is_cut_off_at_the_limit() {
    let limits = Limits { deadline: Duration::from_mins(5), max_body_bytes: 1024 * 1024, ..Limits::TOKEN };
    let block = bytes("x".repeat(64 * 1024));
    let chunk = bytes(format!("10000\r\n{}\r\n", "x".repeat(64 * 1024)));
    for behavior in [
        ServerBehavior::Endless(ANNOUNCED, block.clone(), Duration::ZERO),
        ServerBehavior::Endless(UNTIL_CLOSED, block, Duration::ZERO),
        ServerBehavior::Endless(CHUNKED, chunk, Duration::ZERO),
    ] {
        let Err(error) = send_to(behavior, limits).await else { panic!("the answer was accepted") };
        assert!(matches!(error, EgressError::TooLarge { limit: 1_048_576, .. }), "{error}");
        assert_silent(&error);
    }
    // The limit is exact.
    for (length, is_taken) in [(limits.max_body_bytes, true), (limits.max_body_bytes + 1, false)] {
        let answer = format!("{HEAD}content-length: {length}\r\n\r\n{}", "x".repeat(length));
        assert_eq!(send_to(ServerBehavior::Bytes(bytes(answer)), limits).await.is_ok(), is_taken, "{length}");
    }
}

#[tokio::test]
async fn slow_missing_and_endless_answers_end_at_the_deadline() {
    let limits = Limits { deadline: Duration::from_millis(300), max_body_bytes: 1024 * 1024, ..Limits::TOKEN };
    let pause = Duration::from_millis(20);
    for behavior in [
        ServerBehavior::Nothing,
        ServerBehavior::Endless("HTTP/1.1 200 ", bytes("x"), pause),
        ServerBehavior::Endless(HEAD, bytes("x-drip: 1\r\n"), pause),
        ServerBehavior::Endless(ANNOUNCED, bytes("x"), pause),
        ServerBehavior::Endless(CHUNKED, bytes("1\r\nx\r\n"), pause),
        ServerBehavior::Endless(UNTIL_CLOSED, bytes(" "), pause),
    ] {
        let shown = format!("{behavior:?}");
        let Err(error) = send_to(behavior, limits).await else { panic!("{shown} was accepted") };
        assert!(matches!(error, EgressError::TimedOut { .. }), "{shown}: {error}");
        assert_silent(&error);
    }
}

#[tokio::test]
async fn truncated_and_malformed_answers_are_never_used() {
    let limits = Limits { deadline: Duration::from_mins(5), max_body_bytes: 1024 * 1024, ..Limits::TOKEN };
    for behavior in [
        ServerBehavior::HangUp,
        ServerBehavior::Bytes(bytes("HTTP/1.1 200 OK\r\ncontent-")),
        ServerBehavior::Bytes(bytes(format!("{HEAD}content-length: 100\r\n\r\n{{\"access_token\":\"marker\""))),
        ServerBehavior::Bytes(bytes(format!("{CHUNKED}ff\r\n{{\"access_token\":\"marker\""))),
        ServerBehavior::Bytes(bytes(format!("{CHUNKED}7\r\n{{\"a\":1}}\r\n"))),
        ServerBehavior::Bytes(bytes(format!("{CHUNKED}marker\r\n"))),
        ServerBehavior::Bytes(bytes("marker marker marker\r\n\r\n")),
        ServerBehavior::Bytes(bytes(format!("{HEAD}content-length: -1\r\n\r\nmarker"))),
        ServerBehavior::Bytes(bytes(format!("{HEAD}content-length: 1\r\ncontent-length: 2\r\n\r\nmarker"))),
        ServerBehavior::Endless("HTTP/1.1 200 OK\r\nx-long: ", bytes("x".repeat(64 * 1024)), Duration::ZERO),
        ServerBehavior::Endless(HEAD, bytes("x-more: 1\r\n".repeat(100)), Duration::ZERO),
    ] {
        let shown = format!("{behavior:.120?}");
        let Err(error) = send_to(behavior, limits).await else { panic!("{shown} was accepted") };
        assert!(matches!(error, EgressError::ResponseLost { .. }), "{shown}: {error}");
        assert_silent(&error);
    }
}

#[tokio::test]
async fn an_unrequested_compressed_answer_is_decoded_up_to_the_limit() {
    const BYTES: usize = 64 * 1024;
    let bomb = STANDARD.decode(BOMB).unwrap();
    let head = format!("{HEAD}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let (url, requests) = server(ServerBehavior::Bytes([head.as_bytes(), &bomb].concat().into())).await;
    let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
    let send = async |max_body_bytes| {
        let limits = Limits { max_body_bytes, ..Limits::TOKEN };
        egress.send(http::Request::get(&url).body(Vec::new()).unwrap(), limits).await
    };
    let response = send(BYTES).await.unwrap();
    assert_eq!(response.body, vec![0; BYTES]);
    assert!(!response.headers.contains_key("content-encoding") && !response.headers.contains_key("content-length"));
    let Err(error) = send(BYTES - 1).await else { panic!("decoded bytes must count") };
    assert!(matches!(error, EgressError::TooLarge { limit: 65_535, .. }), "{error}");
    assert!(!requests.lock().unwrap()[0].to_ascii_lowercase().contains("accept-encoding"));
}

#[tokio::test]
async fn a_request_with_a_lost_answer_is_resent_once_if_allowed() {
    let cut = bytes(format!("{HEAD}content-length: 100\r\n\r\n{{\"access_token\":\"marker\""));
    let whole = bytes(format!("{HEAD}content-length: 2\r\n\r\n{{}}"));
    let deadline = Limits { deadline: Duration::from_millis(300), ..Limits::CREDENTIALS };
    for (behavior, limits, times) in [
        (ServerBehavior::HangUp, Limits::CREDENTIALS, 2),
        (ServerBehavior::Bytes(cut.clone()), Limits::CREDENTIALS, 2),
        (ServerBehavior::HangUp, Limits::TOKEN, 1),
        (ServerBehavior::Bytes(cut), Limits::API, 1),
        (ServerBehavior::Bytes(whole), Limits::CREDENTIALS, 1),
        // After the deadline there is no time for another attempt.
        (ServerBehavior::Nothing, deadline, 1),
        (ServerBehavior::Endless(ANNOUNCED, bytes("x".repeat(64 * 1024)), Duration::ZERO), Limits::CREDENTIALS, 1),
    ] {
        let shown = format!("{behavior:.120?}");
        let (url, requests) = server(behavior).await;
        let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
        drop(egress.send(http::Request::post(url).body(b"refresh".to_vec()).unwrap(), limits).await);
        assert_eq!(requests.lock().unwrap().len(), times, "{shown}");
    }
    // Nothing listens on this port, so nothing was sent, nothing is repeated, and the error says so.
    let address = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
    let request = http::Request::post(format!("http://{address}/")).body(Vec::new()).unwrap();
    let Err(error) = egress.send(request, Limits::CREDENTIALS).await else { panic!("nothing listens there") };
    assert!(matches!(error, EgressError::Unreachable { .. }), "{error}");
}

/// Makes the token endpoint behave like this, and checks the errors for a connection and its end user, and how often it is
/// called for each.
async fn check_errors(behavior: ServerBehavior, hint: &str, times: usize) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    let (url, requests) = server(behavior).await;
    world.integrate(&provider, json!({ "tokenUri": url })).await;

    world.advance(3300);
    world.sweep().await;
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["retryAttempts"]), (&json!("READY"), &json!(1)), "{view}");
    assert_eq!(world.credentials(&id).await["access_token"], "access-1");

    let mut browser = Browser::default();
    let link = format!("/connect?integrationKey=crm&allowMultipleConnections=1&token={}", world.alice);
    let authorize = browser.get(&world, &link).await.location();
    let page = browser.get(&world, &provider.approve(&authorize)).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    for text in [view["error"]["message"].as_str().unwrap(), page.text()] {
        assert!(text.contains(hint) && !text.contains("marker"), "{text}");
    }
    assert_eq!(requests.lock().unwrap().len(), 2 * times, "{hint}");
    assert_eq!(world.get("/connections").await.json()["items"].as_array().unwrap().len(), 1);

    // The connection was not harmed.
    world.integrate(&provider, json!({})).await;
    world.advance(120);
    world.sweep().await;
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"]), (&json!("READY"), &Value::Null));
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn bad_token_endpoint_answers_never_cost_a_connection() {
    let bomb = STANDARD.decode(BOMB).unwrap();
    let head = format!("{HEAD}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let packed = [head.as_bytes(), &bomb].concat();
    let cut = format!("{HEAD}content-length: 100\r\n\r\n{{\"access_token\":\"marker\",\"refresh_token\":\"marker\"");
    for (behavior, hint, times) in [
        (
            ServerBehavior::Endless(ANNOUNCED, bytes("x".repeat(64 * 1024)), Duration::ZERO),
            "more than 1048576 bytes",
            1,
        ),
        (ServerBehavior::Bytes(bytes(cut)), "response from 127.0.0.1 was lost", 2),
        (ServerBehavior::HangUp, "response from 127.0.0.1 was lost", 2),
        (ServerBehavior::Bytes(packed.into()), "neither a JSON object nor a form", 1),
    ] {
        check_errors(behavior, hint, times).await;
    }
}

#[test]
fn special_addresses_are_blocked_in_every_notation() {
    let allowed = |host: &str| AddressPolicy::Public.allows_uri(&format!("https://{host}/").parse().unwrap()).is_ok();
    // The first and the last of every range of IANA's special-purpose registries that is not globally reachable.
    for host in [
        ["0.0.0.0", "0.255.255.255"],
        ["10.0.0.0", "10.255.255.255"],
        ["100.64.0.0", "100.127.255.255"],
        ["127.0.0.0", "127.255.255.255"],
        ["169.254.0.0", "169.254.255.255"],
        ["172.16.0.0", "172.31.255.255"],
        ["192.0.0.0", "192.0.0.255"],
        ["192.0.2.0", "192.0.2.255"],
        ["192.168.0.0", "192.168.255.255"],
        ["198.18.0.0", "198.19.255.255"],
        ["198.51.100.0", "198.51.100.255"],
        ["203.0.113.0", "203.0.113.255"],
        ["224.0.0.0", "239.255.255.255"],
        ["240.0.0.0", "255.255.255.255"],
        ["[::]", "[::1]"],
        ["[100::]", "[100::ffff:ffff:ffff:ffff]"],
        ["[2001::]", "[2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff]"],
        ["[2001:db8::]", "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]"],
        ["[3fff::]", "[3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff]"],
        ["[5f00::]", "[5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"],
        ["[fc00::]", "[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"],
        ["[fe80::]", "[febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"],
        ["[fec0::]", "[feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"],
        ["[ff00::]", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"],
    ]
    .concat()
    {
        assert!(!allowed(host), "{host}");
    }
    // The same addresses in other notations: as numbers, in IPv6, and after a user name.
    for inner in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "192.168.0.1"] {
        let address: std::net::Ipv4Addr = inner.parse().unwrap();
        let [a, b, c, d] = address.octets();
        let number = u32::from(address);
        let (high, low) = (number >> 16, number & 0xffff);
        for host in [
            inner.to_owned(),
            format!("{inner}."),
            format!("user@{inner}"),
            format!("{number}"),
            format!("0x{number:x}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            format!("{a}.{b}.{}", u32::from(c) << 8 | u32::from(d)),
            format!("%{:02x}{}", inner.as_bytes()[0], &inner[1..]),
            format!("[::ffff:{inner}]"),
            format!("[::ffff:{high:x}:{low:x}]"),
            format!("[::{inner}]"),
            format!("[::ffff:0:{inner}]"),
            format!("[64:ff9b::{inner}]"),
            format!("[64:ff9b:1::{inner}]"),
            format!("[2002:{high:x}:{low:x}::]"),
        ] {
            // An invalid URI cannot be requested.
            if let Ok(uri) = format!("https://{host}/").parse() {
                assert!(AddressPolicy::Public.allows_uri(&uri).is_err(), "{host}");
            }
        }
    }
    for host in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "[2001:200::]",
        "[2606:4700::1111]",
        "[2a00::1]",
        "[64:ff9b::1.1.1.1]",
        "[::ffff:1.1.1.1]",
    ] {
        assert!(allowed(host), "{host}");
    }
    for uri in ["http://example.com/", "ftp://example.com/", "ws://example.com/", "https:///", "/path"] {
        let refused = uri.parse().is_ok_and(|uri| AddressPolicy::Public.allows_uri(&uri).is_ok());
        assert!(!refused, "{uri}");
    }
}
