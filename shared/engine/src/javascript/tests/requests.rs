//! `fetch`: redirects, limits, and forbidden addresses.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server on this machine. `{base}` in a response is replaced with its address.
pub(super) struct Server {
    pub(super) base: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server. `answer` gets a request's first line and returns a status line, headers and a body.
    pub(super) async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, own) = (Arc::clone(&seen), base.clone());
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (log, own, answer) = (Arc::clone(&log), own.clone(), Arc::clone(&answer));
                tokio::spawn(async move {
                    let request = read(&mut stream).await;
                    let reply = answer(request.lines().next().unwrap_or_default()).replace("{base}", &own);
                    log.lock().unwrap().push(request);
                    let (head, body) = reply.split_once("\n\n").unwrap_or((&reply, ""));
                    let head = head.replace('\n', "\r\n");
                    let length = body.len();
                    let text =
                        format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                    drop(stream.write_all(text.as_bytes()).await);
                });
            }
        });
        Self { base, seen }
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
            _ => return text,
        }
    }
}

async fn call_with(server: &Server, text: &str, limits: Limits) -> Result<Returned, ScriptFailure> {
    let arguments = Map::from_iter([("base".to_owned(), json!(server.base))]);
    engine(limits).call(ScriptCall { script: &script(text), arguments, client: None, exchange: Exchange::API }).await
}

async fn result(server: &Server, text: &str) -> Value {
    call_with(server, text, Limits::default()).await.unwrap().value.unwrap()
}

#[tokio::test]
async fn token_requests_are_sent_as_in_the_examples() {
    let server =
        Server::start(|_| "200 OK\ncontent-type: application/json\n\n{\"access_token\":\"a\"}".to_owned()).await;
    let text = r#"export default async function ({ base }) {
        const response = await fetch(base + "/token?x=1#fragment", {
            method: "POST",
            headers: {
                "Content-Type": "application/x-www-form-urlencoded",
                Authorization: `Basic ${btoa(`id:secret`)}`,
            },
            body: new URLSearchParams({ grant_type: "authorization_code", code: "c d" }),
        })
        return [response.status, response.ok, await response.json()]
    }"#;
    assert_eq!(result(&server, text).await, json!([200, true, {"access_token": "a"}]));
    let request = server.seen().remove(0);
    assert!(request.starts_with("POST /token?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"), "{request}");
    assert!(request.contains("authorization: Basic aWQ6c2VjcmV0\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\ngrant_type=authorization_code&code=c+d"), "{request}");
}

#[tokio::test]
async fn redirects_follow_the_standard() {
    let server = Server::start(|line| match line.split(' ').nth(1).unwrap_or_default() {
        "/303" => "303 See Other\nlocation: /end".to_owned(),
        "/302" => "302 Found\nlocation: {base}/end".to_owned(),
        "/307" => "307 Temporary Redirect\nlocation: end".to_owned(),
        "/loop" => "302 Found\nlocation: /loop".to_owned(),
        _ => "200 OK\n\nend".to_owned(),
    })
    .await;
    let text = "export default async ({ base }) => {
        const all = []
        for (const path of ['/302', '/303', '/307']) {
            const response = await fetch(base + path, { method: 'POST', body: 'b', headers: { Authorization: 'A' } })
            all.push([response.redirected, response.url === base + '/end', await response.text()])
        }
        const manual = await fetch(base + '/302', { redirect: 'manual' })
        all.push([manual.status, manual.headers.get('location') === base + '/end'])
        for (const [path, redirect] of [['/302', 'error'], ['/loop', 'follow']]) {
            try { await fetch(base + path, { redirect }) } catch (error) { all.push(error.name) }
        }
        return all
    }";
    let followed = json!([true, true, "end"]);
    assert_eq!(
        result(&server, text).await,
        json!([followed, followed, followed, [302, true], "TypeError", "TypeError"])
    );
    let seen = server.seen();
    let ends: Vec<&String> = seen.iter().filter(|request| request.contains(" /end ")).collect();
    assert!(ends[0].starts_with("GET ") && !ends[0].contains("content-type"), "{}", ends[0]);
    assert!(ends[1].starts_with("GET ") && ends[1].contains("authorization: A"), "{}", ends[1]);
    assert!(ends[2].starts_with("POST ") && ends[2].ends_with("\r\n\r\nb"), "{}", ends[2]);
    assert_eq!(seen.iter().filter(|request| request.contains(" /loop ")).count(), 21);
}

#[tokio::test]
async fn authorization_is_not_sent_to_another_origin() {
    let other = Server::start(|_| "200 OK\n\n".to_owned()).await;
    let location = format!("302 Found\nlocation: {}/", other.base);
    let server = Server::start(move |_| location.clone()).await;
    let text = "export default async ({ base }) =>
        (await fetch(base, { headers: { Authorization: 'secret', Cookie: 'secret', 'X-Kept': 'kept' } })).status";
    assert_eq!(result(&server, text).await, json!(200));
    let request = other.seen().remove(0);
    assert!(request.contains("x-kept: kept") && !request.contains("secret"), "{request}");
}

#[tokio::test]
async fn private_addresses_are_forbidden_in_any_notation() {
    let server = Server::start(|line| match line.split(' ').nth(1).unwrap_or_default() {
        "/metadata" => "302 Found\nlocation: http://169.254.169.254/latest/meta-data/".to_owned(),
        "/mapped" => "307 Temporary Redirect\nlocation: https://[::ffff:a9fe:a9fe]/".to_owned(),
        "/nat64" => "302 Found\nlocation: https://[64:ff9b::a9fe:a9fe]/".to_owned(),
        "/carrier" => "308 Permanent Redirect\nlocation: https://100.64.0.1/".to_owned(),
        "/link-local" => "303 See Other\nlocation: //[fe80::1]/".to_owned(),
        "/plain" => "302 Found\nlocation: http://example.com/".to_owned(),
        "/second" => "302 Found\nlocation: {base}/metadata".to_owned(),
        _ => "302 Found\nlocation: file:///etc/passwd".to_owned(),
    })
    .await;
    let text = "export default async ({ base }) => {
        const reached = []
        const urls = ['https://2852039166/', 'https://0xa9fea9fe/', 'https://[::ffff:169.254.169.254]/', 'https://10.0.0.1/',
          'https://0251.0376.0251.0376/', 'http://example.com/', 'file:///etc/passwd', ...['metadata', 'mapped', 'nat64', 'carrier', 'link-local', 'plain', 'second', 'file'].map((path) => `${base}/${path}`)]
        for (const url of urls) {
            try { await fetch(url); reached.push(url) } catch (error) { if (!(error instanceof TypeError)) reached.push(error.name) }
        }
        return reached
    }";
    assert_eq!(result(&server, text).await, json!([]));
    // The server saw each redirect, plus the second one of `/second`.
    assert_eq!(server.seen().len(), 9);
}

#[tokio::test]
async fn names_that_resolve_to_private_addresses_are_forbidden() {
    let engine = JavaScript::new(Egress::new(AddressPolicy::Public).unwrap(), Arc::new(SystemRng), Limits::default());
    let script = script("export default () => fetch('https://localhost:9/')");
    let failure = engine
        .call(ScriptCall { script: &script, arguments: Map::new(), client: None, exchange: Exchange::API })
        .await
        .unwrap_err();
    let JavaScriptError::Thrown(thrown) = failure.error else { panic!("{failure:?}") };
    assert_eq!(thrown.name.as_deref(), Some("TypeError"), "{thrown:?}");
    // Not because nothing listens there, which is a `TypeError`, too.
    assert!(thrown.message.contains("not on the public internet"), "{thrown:?}");
    assert_eq!(thrown.at.as_deref(), Some("auth/test.js:1:21"), "{thrown:?}");
}

#[tokio::test]
async fn failed_requests_have_the_scripts_location_after_an_await() {
    let server = Server::start(|_| "302 Found\nlocation: https://10.0.0.1/".to_owned()).await;
    let text = "export default async ({ base }) => {\n  await null\n  await fetch(base)\n}";
    let failure = call_with(&server, text, Limits::default()).await.unwrap_err();
    let JavaScriptError::Thrown(thrown) = failure.error else { panic!("{failure:?}") };
    assert_eq!(thrown.at.as_deref(), Some("auth/test.js:3:15"), "{thrown:?}");
}

#[tokio::test]
async fn floods_of_requests_or_responses_end_the_call() {
    let server =
        Server::start(|line| format!("200 OK\n\n{}", "x".repeat(if line.contains("/big") { 900_000 } else { 1 })))
            .await;
    let limits = Limits { response_bytes: 1_000_000, request_bytes: 1000, ..Limits::default() };
    for (text, part) in [
        ("export default async ({ base }) => { for (;;) try { await fetch(base) } catch {} }", "more than 50 requests"),
        (
            "export default ({ base }) => Promise.allSettled(Array.from({ length: 200 }, () => fetch(base)))",
            "more than 50 requests",
        ),
        (
            "export default async ({ base }) => { for (;;) try { await fetch(base + '/big') } catch {} }",
            "responses of more than 1000000 bytes",
        ),
        (
            "export default async ({ base }) => { try { await fetch(base, { method: 'POST', body: 'x'.repeat(2000) }) } catch {} }",
            "a request body of more than 1000 bytes",
        ),
    ] {
        let error = call_with(&server, text, limits).await.unwrap_err().error;
        assert!(matches!(&error, JavaScriptError::Limit { what } if what.contains(part)), "{text}: {error:?}");
    }
}

#[tokio::test]
async fn aborted_requests_end_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = Server { base, seen: Arc::default() };
    let text = "export default async ({ base }) => {
        const controller = new AbortController()
        setTimeout(() => controller.abort(), 20)
        try { await fetch(base, { signal: controller.signal }) } catch (error) { return error.name }
    }";
    assert_eq!(result(&server, text).await, json!("AbortError"));
    let text = "export default ({ base }) => fetch(base)";
    let limits = Limits { wall_clock: Duration::from_millis(300), ..Limits::default() };
    let error = call_with(&server, text, limits).await.unwrap_err().error;
    assert_eq!(error, JavaScriptError::Timeout { seconds: 0.3 });
}

/// Starts a server that accepts connections but never responds.
async fn silent_server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

async fn limit_of(base: &str, text: &str, limits: Limits) -> String {
    let arguments = Map::from_iter([("base".to_owned(), json!(base))]);
    let failure = engine(limits)
        .call(ScriptCall { script: &script(text), arguments, client: None, exchange: Exchange::API })
        .await;
    match failure.unwrap_err().error {
        JavaScriptError::Limit { what } => what,
        other => panic!("{text}: {other:?}"),
    }
}

#[tokio::test]
async fn requests_count_as_soon_as_they_are_created() {
    let (_listener, base) = silent_server().await;
    // The server never responds: a request that only counted at its turn would wait forever.
    for text in [
        "export default ({ base }) => { for (let i = 0; i < 60_000; i++) fetch(base) }",
        "export default ({ base }) => { for (let i = 0; i < 60_000; i++) try { fetch(base).catch(() => {}) } catch {} }",
        "import axios from 'axios'; export default async ({ base }) => { for (let i = 0; i < 51; i++) axios.get(base).catch(() => {}); await new Promise(() => {}) }",
        "export default ({ base }) => { for (;;) { const c = new AbortController(); fetch(base, { signal: c.signal }).catch(() => {}); c.abort() } }",
    ] {
        assert_eq!(limit_of(&base, text, Limits::default()).await, "more than 50 requests", "{text}");
    }
    let fifty =
        "export default async ({ base }) => { for (let i = 0; i < 50; i++) fetch(base).catch(() => {}); return 1 }";
    let server = Server { base, seen: Arc::default() };
    assert_eq!(result(&server, fifty).await, json!(1));
}

#[tokio::test]
async fn pending_requests_have_a_total_size_limit() {
    let (_listener, base) = silent_server().await;
    let text = "export default ({ base }) => { const body = new Uint8Array(10 * 1024 * 1024 - 100); for (let i = 0; i < 80; i++) fetch(base, { method: 'POST', body }) }";
    let what = limit_of(&base, text, Limits::default()).await;
    assert_eq!(what, "pending requests of more than 20971520 bytes in total");
    let headers = "export default ({ base }) => { for (let i = 0; i < 40; i++) fetch(base, { headers: { a: 'x'.repeat(1000) } }) }";
    let limits = Limits { waiting_bytes: 20_000, ..Limits::default() };
    assert!(limit_of(&base, headers, limits).await.starts_with("pending requests"));
    // Completed requests no longer count.
    let server = Server::start(|_| "200 OK\n\nok".to_owned()).await;
    let text = "export default async ({ base }) => { for (let i = 0; i < 40; i++) await fetch(base, { method: 'POST', body: 'x'.repeat(10_000) }); return 1 }";
    assert_eq!(call_with(&server, text, limits).await.unwrap().value, Some(json!(1)));
}

#[tokio::test]
async fn headers_have_a_number_limit_and_a_size_limit() {
    let server = Server::start(|_| "200 OK\n\nok".to_owned()).await;
    let text = "export default async ({ base }) => {
        const outcomes = []
        for (const headers of [
            Array.from({ length: 900 }, (_, i) => ['x' + i, 'v']),
            Array.from({ length: 40_000 }, (_, i) => ['x' + i, 'v']),
            Array(400).fill(['x', 'v'.repeat(10_000)]),
        ]) outcomes.push(await fetch(base, { headers }).then(() => 'sent', (error) => error.message))
        return outcomes
    }";
    assert_eq!(
        result(&server, text).await,
        json!(["sent", "fetch: more than 1000 headers", "more than 262144 bytes at once"])
    );
}
