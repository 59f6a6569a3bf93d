//! A fake of the Lambda runtime API on a local port. It sends events to one function and receives the results.
//!
//! See [the API's documentation](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use tokio::sync::{mpsc, oneshot, watch};

use crate::doubles::loopback::{listen, serve};

/// A running API. It stops with the test.
#[derive(Debug, Clone)]
pub struct RuntimeApi {
    address: SocketAddr,
    state: Arc<RuntimeApiState>,
}

/// The result of an invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The function's response, or `Err` with the error it posted.
    pub result: Result<String, String>,
    /// The request id.
    pub id: String,
    /// The time at which the function got the event.
    pub given_at: Instant,
    /// The time at which its result arrived.
    pub posted_at: Instant,
}

/// The state of a function's initialization.
#[derive(Debug, Clone)]
enum Init {
    /// It has not requested an event yet.
    Starting,
    /// It requested its first event.
    Ready(Instant),
    /// It posted an initialization error.
    Failed(String),
}

#[derive(Debug)]
struct RuntimeApiState {
    init: watch::Sender<Init>,
    queue: mpsc::UnboundedSender<Event>,
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    under_way: Mutex<HashMap<String, (Instant, oneshot::Sender<Invocation>)>>,
    count: AtomicU64,
}

#[derive(Debug)]
struct Event {
    id: String,
    body: String,
    trace: String,
    done: oneshot::Sender<Invocation>,
}

impl RuntimeApi {
    /// The function's timeout, from which its deadline is computed.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
    /// The function's ARN.
    pub const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:larder";

    /// Starts an API for one function.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let (queue, waiting) = mpsc::unbounded_channel();
        let state = Arc::new(RuntimeApiState {
            init: watch::Sender::new(Init::Starting),
            queue,
            waiting: tokio::sync::Mutex::new(waiting),
            under_way: Mutex::default(),
            count: AtomicU64::new(0),
        });
        let serving = Arc::clone(&state);
        serve(listener, move |request| {
            let state = Arc::clone(&serving);
            async move { Ok::<_, Infallible>(state.answer(request).await) }
        });
        Self { address, state }
    }

    /// The environment variables that Lambda gives a function of this name.
    pub fn variables(&self, function: &str) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_LAMBDA_RUNTIME_API", self.address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", function.to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// Waits until the function requests its first event.
    ///
    /// # Errors
    /// The initialization error that it posted.
    pub async fn ready(&self) -> Result<Instant, String> {
        let mut init = self.state.init.subscribe();
        let init = init.wait_for(|init| !matches!(init, Init::Starting)).await.expect("the sender is in `state`");
        match &*init {
            Init::Ready(at) => Ok(*at),
            Init::Failed(error) => Err(error.clone()),
            Init::Starting => unreachable!("the function has started or failed"),
        }
    }

    /// Sends an event to the function and waits for the result.
    ///
    /// # Errors
    /// The initialization error that the function posted.
    pub async fn invoke(&self, event: &str) -> Result<Invocation, String> {
        self.invoke_traced(event, "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1").await
    }

    /// Like [`Self::invoke`], with a value for the trace header.
    ///
    /// # Errors
    /// The initialization error that the function posted.
    pub async fn invoke_traced(&self, event: &str, trace: &str) -> Result<Invocation, String> {
        let number = self.state.count.fetch_add(1, Ordering::Relaxed);
        let (done, invocation) = oneshot::channel();
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let event = Event { id, body: event.to_owned(), trace: trace.to_owned(), done };
        self.state.queue.send(event).expect("the receiver is in `state`");
        self.ready().await?;
        Ok(invocation.await.expect("the sender is kept until the result arrives"))
    }
}

impl RuntimeApiState {
    async fn answer(&self, request: hyper::Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let path = path.strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
        let parts: Vec<_> = path.split('/').collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => return self.next().await,
            (&Method::POST, ["init", "error"]) => {
                let error = body(request).await;
                self.init.send_replace(Init::Failed(error));
            }
            (&Method::POST, ["invocation", id, what @ ("response" | "error")]) => {
                let result = body(request).await;
                let posted_at = Instant::now();
                let result = if *what == "response" { Ok(result) } else { Err(result) };
                let under_way = self.under_way.lock().expect("the lock is not poisoned").remove(*id);
                let Some((given_at, done)) = under_way else { return status(StatusCode::FORBIDDEN) };
                // The caller may have stopped waiting.
                drop(done.send(Invocation { result, id: (*id).to_owned(), given_at, posted_at }));
            }
            _ => return status(StatusCode::NOT_FOUND),
        }
        status(StatusCode::ACCEPTED)
    }

    /// Waits for the next event and returns it to the function.
    async fn next(&self) -> Response<Full<Bytes>> {
        self.init.send_if_modified(|init| {
            let is_first = matches!(init, Init::Starting);
            if is_first {
                *init = Init::Ready(Instant::now());
            }
            is_first
        });
        let Some(Event { id, body, trace, done }) = self.waiting.lock().await.recv().await else {
            return status(StatusCode::GONE);
        };
        #[expect(clippy::disallowed_methods, reason = "Lambda's deadline is on the machine's clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        let response = Response::builder()
            .header("Lambda-Runtime-Aws-Request-Id", &id)
            .header("Lambda-Runtime-Deadline-Ms", (now + RuntimeApi::TIMEOUT).as_millis().to_string())
            .header("Lambda-Runtime-Invoked-Function-Arn", RuntimeApi::FUNCTION_ARN)
            .header("Lambda-Runtime-Trace-Id", trace)
            .header("Content-Type", "application/json");
        self.under_way.lock().expect("the lock is not poisoned").insert(id, (Instant::now(), done));
        response.body(Full::from(body)).expect("valid headers")
    }
}

async fn body(request: hyper::Request<Incoming>) -> String {
    let bytes = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
