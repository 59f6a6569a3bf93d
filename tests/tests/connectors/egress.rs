//! What may come back of a request to a provider, and where requests may go: however a server answers, it ends, and in an
//! error that says what is wrong and nothing of what was sent or received.

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

/// How a server answers, once it has read the request.
#[derive(Debug, Clone)]
enum Answer {
    /// Nothing, ever.
    Nothing,
    /// Closes the connection.
    HangUp,
    /// These bytes, and closes the connection.
    Bytes(Bytes),
    /// These bytes, and then others again and again, with a pause before each.
    Endless(&'static str, Bytes, Duration),
}

/// A server of one answer. Gives its URL, and the requests that it gets.
async fn server(answer: Answer) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/token?key=marker-in-the-url", listener.local_addr().unwrap());
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone(), Arc::clone(&seen)));
        }
    });
    (url, requests)
}

async fn serve(mut stream: TcpStream, answer: Answer, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = vec![0; 16 * 1024];
    let length = stream.read(&mut request).await.unwrap_or_default();
    seen.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
    match answer {
        Answer::Nothing => std::future::pending::<()>().await,
        Answer::HangUp => {}
        Answer::Bytes(bytes) => drop(stream.write_all(&bytes).await),
        Answer::Endless(start, again, pause) => {
            let mut is_heard = stream.write_all(start.as_bytes()).await.is_ok();
            while is_heard {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                is_heard = stream.write_all(&again).await.is_ok();
            }
        }
    }
}

/// Asks a server of this answer.
async fn ask(answer: Answer, limits: Limits) -> Result<larder_engine::egress::Response, EgressError> {
    let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
    let (url, _) = server(answer).await;
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
async fn a_huge_answer_is_cut_off_at_its_limit() {
    let limits = Limits { deadline: Duration::from_mins(5), max_body_bytes: 1024 * 1024, ..Limits::TOKEN };
    let block = bytes("x".repeat(64 * 1024));
    let chunk = bytes(format!("10000\r\n{}\r\n", "x".repeat(64 * 1024)));
    for answer in [
        Answer::Endless(ANNOUNCED, block.clone(), Duration::ZERO),
        Answer::Endless(UNTIL_CLOSED, block, Duration::ZERO),
        Answer::Endless(CHUNKED, chunk, Duration::ZERO),
    ] {
        let Err(error) = ask(answer, limits).await else { panic!("it has an end") };
        assert!(matches!(error, EgressError::TooLarge { limit: 1_048_576, .. }), "{error}");
        assert_silent(&error);
    }
    // To the byte.
    for (length, is_taken) in [(limits.max_body_bytes, true), (limits.max_body_bytes + 1, false)] {
        let answer = format!("{HEAD}content-length: {length}\r\n\r\n{}", "x".repeat(length));
        assert_eq!(ask(Answer::Bytes(bytes(answer)), limits).await.is_ok(), is_taken, "{length}");
    }
}

#[tokio::test]
async fn an_answer_that_drips_or_does_not_come_or_end_is_given_up_at_the_deadline() {
    let limits = Limits { deadline: Duration::from_millis(300), max_body_bytes: 1024 * 1024, ..Limits::TOKEN };
    let pause = Duration::from_millis(20);
    for answer in [
        Answer::Nothing,
        Answer::Endless("HTTP/1.1 200 ", bytes("x"), pause),
        Answer::Endless(HEAD, bytes("x-drip: 1\r\n"), pause),
        Answer::Endless(ANNOUNCED, bytes("x"), pause),
        Answer::Endless(CHUNKED, bytes("1\r\nx\r\n"), pause),
        Answer::Endless(UNTIL_CLOSED, bytes(" "), pause),
    ] {
        let shown = format!("{answer:?}");
        let Err(error) = ask(answer, limits).await else { panic!("{shown} has an end") };
        assert!(matches!(error, EgressError::TimedOut { .. }), "{shown}: {error}");
        assert_silent(&error);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_or_malformed_is_none() {
    let limits = Limits { deadline: Duration::from_mins(5), max_body_bytes: 1024 * 1024, ..Limits::TOKEN };
    for answer in [
        Answer::HangUp,
        Answer::Bytes(bytes("HTTP/1.1 200 OK\r\ncontent-")),
        Answer::Bytes(bytes(format!("{HEAD}content-length: 100\r\n\r\n{{\"access_token\":\"marker\""))),
        Answer::Bytes(bytes(format!("{CHUNKED}ff\r\n{{\"access_token\":\"marker\""))),
        Answer::Bytes(bytes(format!("{CHUNKED}7\r\n{{\"a\":1}}\r\n"))),
        Answer::Bytes(bytes(format!("{CHUNKED}marker\r\n"))),
        Answer::Bytes(bytes("marker marker marker\r\n\r\n")),
        Answer::Bytes(bytes(format!("{HEAD}content-length: -1\r\n\r\nmarker"))),
        Answer::Bytes(bytes(format!("{HEAD}content-length: 1\r\ncontent-length: 2\r\n\r\nmarker"))),
        Answer::Endless("HTTP/1.1 200 OK\r\nx-long: ", bytes("x".repeat(64 * 1024)), Duration::ZERO),
        Answer::Endless(HEAD, bytes("x-more: 1\r\n".repeat(100)), Duration::ZERO),
    ] {
        let shown = format!("{answer:.120?}");
        let Err(error) = ask(answer, limits).await else { panic!("{shown} is whole") };
        assert!(matches!(error, EgressError::ResponseLost { .. }), "{shown}: {error}");
        assert_silent(&error);
    }
}

#[tokio::test]
async fn a_compressed_answer_that_nobody_asked_for_is_decoded_up_to_the_limit() {
    const BYTES: usize = 64 * 1024;
    let bomb = STANDARD.decode(BOMB).unwrap();
    let head = format!("{HEAD}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let (url, requests) = server(Answer::Bytes([head.as_bytes(), &bomb].concat().into())).await;
    let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
    let send = async |max_body_bytes| {
        let limits = Limits { max_body_bytes, ..Limits::TOKEN };
        egress.send(http::Request::get(&url).body(Vec::new()).unwrap(), limits).await
    };
    let response = send(BYTES).await.unwrap();
    assert_eq!(response.body, vec![0; BYTES]);
    assert!(!response.headers.contains_key("content-encoding") && !response.headers.contains_key("content-length"));
    let Err(error) = send(BYTES - 1).await else { panic!("decoded bytes count") };
    assert!(matches!(error, EgressError::TooLarge { limit: 65_535, .. }), "{error}");
    assert!(!requests.lock().unwrap()[0].to_ascii_lowercase().contains("accept-encoding"));
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_is_sent_once_more_if_that_is_wanted() {
    let cut = bytes(format!("{HEAD}content-length: 100\r\n\r\n{{\"access_token\":\"marker\""));
    let whole = bytes(format!("{HEAD}content-length: 2\r\n\r\n{{}}"));
    let deadline = Limits { deadline: Duration::from_millis(300), ..Limits::CREDENTIALS };
    for (answer, limits, times) in [
        (Answer::HangUp, Limits::CREDENTIALS, 2),
        (Answer::Bytes(cut.clone()), Limits::CREDENTIALS, 2),
        (Answer::HangUp, Limits::TOKEN, 1),
        (Answer::Bytes(cut), Limits::API, 1),
        (Answer::Bytes(whole), Limits::CREDENTIALS, 1),
        // When the time is over, there is none for another try.
        (Answer::Nothing, deadline, 1),
        (Answer::Endless(ANNOUNCED, bytes("x".repeat(64 * 1024)), Duration::ZERO), Limits::CREDENTIALS, 1),
    ] {
        let shown = format!("{answer:.120?}");
        let (url, requests) = server(answer).await;
        let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
        drop(egress.send(http::Request::post(url).body(b"refresh".to_vec()).unwrap(), limits).await);
        assert_eq!(requests.lock().unwrap().len(), times, "{shown}");
    }
    // Nobody listens there: nothing was sent, so there is nothing to repeat, and the error says so.
    let address = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
    let request = http::Request::post(format!("http://{address}/")).body(Vec::new()).unwrap();
    let Err(error) = egress.send(request, Limits::CREDENTIALS).await else { panic!("nobody answers") };
    assert!(matches!(error, EgressError::Unreachable { .. }), "{error}");
}

/// Checks what a connection and its end user hear of a token endpoint with this answer, and how often it is asked for each.
async fn told(answer: Answer, hint: &str, times: usize) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    let (url, requests) = server(answer).await;
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

    // A connection that was never harmed.
    world.integrate(&provider, json!({})).await;
    world.advance(120);
    world.sweep().await;
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"]), (&json!("READY"), &Value::Null));
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn a_token_endpoint_that_answers_too_much_too_little_or_packed_costs_no_connection() {
    let bomb = STANDARD.decode(BOMB).unwrap();
    let head = format!("{HEAD}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let packed = [head.as_bytes(), &bomb].concat();
    let cut = format!("{HEAD}content-length: 100\r\n\r\n{{\"access_token\":\"marker\",\"refresh_token\":\"marker\"");
    for (answer, hint, times) in [
        (Answer::Endless(ANNOUNCED, bytes("x".repeat(64 * 1024)), Duration::ZERO), "more than 1048576 bytes", 1),
        (Answer::Bytes(bytes(cut)), "response from 127.0.0.1 was lost", 2),
        (Answer::HangUp, "response from 127.0.0.1 was lost", 2),
        (Answer::Bytes(packed.into()), "neither a JSON object nor a form", 1),
    ] {
        told(answer, hint, times).await;
    }
}

#[test]
fn no_special_address_is_reached_however_it_is_written_and_its_neighbours_are() {
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
    // The same addresses in other clothes: as numbers, in IPv6, and with a user before them.
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
            // What is no URI at all asks for nothing.
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
