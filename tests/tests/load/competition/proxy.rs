//! A proxy in front of a token endpoint. For each refresh token it records the sender, and when the answer was delivered and
//! saved.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream as Probe};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{RwLock, mpsc};
use tokio::time::{Instant, sleep};

use super::fleet::Fleet;
use super::rows::Rows;
use crate::seeded::Seeded;

/// How long a save may take before it counts as missing.
const SAVE_TIMEOUT: Duration = Duration::from_secs(60);

/// The proxy.
pub(crate) struct TokenProxy {
    pub(crate) token_uri: String,
    /// The token endpoint behind the proxy.
    upstream: String,
    http: reqwest::Client,
    rows: Arc<Rows>,
    /// Locked for reading from just before a refresh token is forwarded until its result is saved, and for writing while a program
    /// is killed.
    pub(crate) windows: RwLock<()>,
    strikes: OnceLock<Strikes>,
    state: Mutex<ProxyState>,
}

/// Kills programs right after some answers.
struct Strikes {
    fleet: Arc<Fleet>,
    limit: usize,
    struck: mpsc::UnboundedSender<usize>,
}

struct ProxyState {
    rng: Seeded,
    /// The connection that owns each refresh token.
    owners: HashMap<String, String>,
    forwarded: HashSet<String>,
    seen: Seen,
}

/// Everything the proxy has seen.
#[derive(Default, Clone)]
pub(crate) struct Seen {
    /// Refreshes that the provider answered with tokens.
    pub(crate) refreshed: usize,
    /// Refreshes that were not forwarded because the sender was gone.
    pub(crate) withheld: usize,
    /// Connections whose refresh token was forwarded twice.
    pub(crate) repeated: Vec<String>,
    /// The provider's responses to refreshes that it rejected.
    pub(crate) rejected: Vec<String>,
    /// Connections whose result was not saved in time.
    pub(crate) unsaved: Vec<String>,
    /// The times from delivering an answer to seeing it saved.
    pub(crate) windows: Vec<Duration>,
    /// The number of answers followed by a kill.
    pub(crate) struck: usize,
}

struct TokenCall {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl TokenProxy {
    pub(crate) async fn start(upstream: String, rows: Arc<Rows>, http: reqwest::Client, seed: u64) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let token_uri = format!("http://{}/token", listener.local_addr().expect("an address"));
        let state = ProxyState {
            rng: Seeded::new(seed),
            owners: HashMap::new(),
            forwarded: HashSet::new(),
            seen: Seen::default(),
        };
        let (windows, strikes, state) = (RwLock::new(()), OnceLock::new(), Mutex::new(state));
        let proxy = Arc::new(Self { token_uri, upstream, http, rows, windows, strikes, state });
        let serving = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let proxy = Arc::clone(&serving);
                // A killed sender just ends its connection.
                tokio::spawn(async move { drop(proxy.serve(stream, peer).await) });
            }
        });
        proxy
    }

    /// From now on, kills the receiver of one answer in six, up to `limit` times. Returns the slots of the killed programs.
    pub(crate) fn strike(&self, fleet: Arc<Fleet>, limit: usize) -> mpsc::UnboundedReceiver<usize> {
        let (struck, slots) = mpsc::unbounded_channel();
        assert!(self.strikes.set(Strikes { fleet, limit, struck }).is_ok(), "only once");
        slots
    }

    /// Records the connection that owns a refresh token.
    pub(crate) fn introduce(&self, refresh_token: &str, id: &str) {
        self.state().owners.insert(refresh_token.to_owned(), id.to_owned());
    }

    pub(crate) fn seen(&self) -> Seen {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, ProxyState> {
        self.state.lock().expect("the lock is not poisoned")
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let stream = stream.into_std()?;
        let probe = stream.try_clone()?;
        let mut stream = TcpStream::from_std(stream)?;
        let call = read_call(&mut stream).await?;
        let form: HashMap<String, String> = form_urlencoded::parse(&call.body).into_owned().collect();
        let owner = form.get("refresh_token").and_then(|token| self.state().owners.get(token).cloned());
        let (Some(refresh_token), Some(id)) = (form.get("refresh_token"), owner) else {
            let (status, body) = self.forward(call).await;
            return hand_over(&mut stream, status, &body).await;
        };

        let pause = self.state().rng.below(50) as u64;
        sleep(Duration::from_millis(pause)).await;
        let window = self.windows.read().await;
        if is_gone(&probe) {
            self.state().seen.withheld += 1;
            return Ok(());
        }
        let version = self.rows.get(&id).await.version;
        if !self.state().forwarded.insert(refresh_token.clone()) {
            self.state().seen.repeated.push(id.clone());
        }
        let (status, body) = self.forward(call).await;
        if status != 200 {
            self.state().seen.rejected.push(body.clone());
            return hand_over(&mut stream, status, &body).await;
        }
        let tokens: Value = serde_json::from_str(&body).expect("JSON");
        let rotated = tokens["refresh_token"].as_str().expect("a refresh token").to_owned();
        let victim = {
            let mut state = self.state();
            state.owners.insert(rotated, id.clone());
            state.seen.refreshed += 1;
            let strikes = self.strikes.get().filter(|strikes| state.seen.struck < strikes.limit);
            let strikes = strikes.filter(|_| state.rng.below(6) == 0);
            state.seen.struck += usize::from(strikes.is_some());
            let delay = Duration::from_micros(state.rng.below(8000) as u64);
            strikes.map(|strikes| (strikes, delay))
        };
        let victim = victim.and_then(|(strikes, delay)| Some((strikes, delay, strikes.fleet.owner(peer.port())?)));
        hand_over(&mut stream, status, &body).await?;
        let handed_over_at = Instant::now();
        if let Some((Strikes { fleet, struck, .. }, delay, slot)) = victim {
            sleep(delay).await;
            fleet.strike(slot);
            struck.send(slot).expect("the fleet restarts it");
        }
        if self.strikes.get().is_some() {
            return Ok(());
        }
        while self.rows.get(&id).await.version == version {
            if handed_over_at.elapsed() > SAVE_TIMEOUT {
                self.state().seen.unsaved.push(id);
                return Ok(());
            }
            sleep(Duration::from_millis(2)).await;
        }
        self.state().seen.windows.push(handed_over_at.elapsed());
        drop(window);
        Ok(())
    }

    async fn forward(&self, call: TokenCall) -> (u16, String) {
        let mut request = self.http.post(&self.upstream).body(call.body);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.expect("the provider answers");
        (response.status().as_u16(), response.text().await.expect("a whole answer"))
    }
}

/// Whether the sender has closed the connection, or died.
fn is_gone(probe: &Probe) -> bool {
    match probe.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

async fn read_call(stream: &mut TcpStream) -> io::Result<TokenCall> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut headers: Vec<_> =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, it)| it.parse().ok());
        let length: usize = length.ok_or(ErrorKind::InvalidData)?;
        if bytes.len() >= end + 4 + length {
            headers.retain(|(name, _)| matches!(name.as_str(), "authorization" | "content-type" | "accept"));
            return Ok(TokenCall { headers, body: bytes[end + 4..].to_vec() });
        }
    }
}

async fn hand_over(stream: &mut TcpStream, status: u16, body: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} Answered\r\ncontent-type: application/json\r\nconnection: close\r\n");
    let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await
}
