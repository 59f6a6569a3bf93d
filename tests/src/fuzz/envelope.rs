//! Sealed data.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use larder::dynamodb::Session;
use larder::error::ErrorClass;
use larder::random::Rng;
use larder::seal::{DataKey, DataKeys, SealContext, SealError, Sealer};
use larder_engine::connect::Flow;
use time::OffsetDateTime;

use super::assert_no_secret;

/// Takes the number of an envelope among `CONTEXTS` on the first line, then one change per line: `flip AT BITS`, `cut AT`,
/// `drop AT COUNT`, `insert AT HEX`, or `splice AT OTHER` (continues with another envelope). Other input is used both as an
/// envelope and as the contents of one.
pub fn envelope(data: &[u8]) {
    let changed = std::str::from_utf8(data).ok().and_then(changed);
    let envelope = changed.unwrap_or_else(|| {
        check_contents(data);
        data.to_vec()
    });
    for (context, sealed) in CONTEXTS.iter().zip(&*SEALED) {
        match block_on(SEALER.open(*context, &envelope)) {
            Ok(opened) => {
                assert!(envelope == *sealed && opened == TEXT, "{context:?} opens another context's envelope")
            }
            Err(SealError::DoesNotOpen) => assert_ne!(envelope, *sealed, "{context:?} does not open its own envelope"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Checks that sealed data opens, and that it is a flow or an error.
fn check_contents(data: &[u8]) {
    let context = CONTEXTS[SESSION];
    let sealed = block_on(SEALER.seal(context, data)).expect("it is sealed");
    assert_eq!(block_on(SEALER.open(context, &sealed)).expect("it opens"), data);
    let session = Session {
        id: context.id.to_owned(),
        workspace: context.workspace.to_owned(),
        browser: String::new(),
        host: None,
        sealed,
        expires_at: OffsetDateTime::UNIX_EPOCH,
    };
    match block_on(Flow::open(&SEALER, &session)) {
        Ok(flow) => {
            // A flow of this workspace survives another round trip.
            if flow.connection.workspace == context.workspace {
                let sealed = block_on(flow.seal(&SEALER, context.id)).expect("it is sealed");
                let again = block_on(Flow::open(&SEALER, &Session { sealed, ..session })).expect("it opens");
                let values = [flow, again].map(|flow| serde_json::to_value(flow).expect("JSON"));
                assert_eq!(values[0], values[1]);
            }
        }
        Err(error) => {
            assert_eq!(error.class, ErrorClass::Internal);
            assert_no_secret(&format!("{error:?}"));
        }
    }
}

fn changed(text: &str) -> Option<Vec<u8>> {
    let mut lines = text.lines();
    let mut envelope = sealed(lines.next()?)?.clone();
    for line in lines {
        let mut words = line.split(' ');
        let (what, at) = (words.next()?, words.next()?.parse::<usize>().ok()?);
        let at = at.min(envelope.len());
        match what {
            "flip" => {
                let bits: u8 = words.next()?.parse().ok()?;
                if let Some(byte) = envelope.get_mut(at) {
                    *byte ^= bits;
                }
            }
            "cut" => envelope.truncate(at),
            "drop" => {
                let end = at.saturating_add(words.next()?.parse().ok()?).min(envelope.len());
                envelope.drain(at..end);
            }
            "insert" => drop(envelope.splice(at..at, bytes(words.next()?)?)),
            "splice" => {
                let other = sealed(words.next()?)?;
                envelope.truncate(at);
                envelope.extend(other.get(at..).unwrap_or_default());
            }
            _ => return None,
        }
    }
    Some(envelope)
}

fn sealed(number: &str) -> Option<&'static Vec<u8>> {
    SEALED.get(number.parse::<usize>().ok()?)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2).map(|digits| std::str::from_utf8(digits).ok());
    digits.map(|digits| u8::from_str_radix(digits?, 16).ok()).collect()
}

/// Contexts that each differ in one part, or only in where one part ends.
const CONTEXTS: [SealContext<'_>; 8] = [
    SealContext { workspace: "acme", kind: "connection", id: "c1", version: 1 },
    SealContext { workspace: "acme", kind: "connection", id: "c1", version: 2 },
    SealContext { workspace: "acme", kind: "connection", id: "c2", version: 1 },
    SealContext { workspace: "acm", kind: "connection", id: "ec1", version: 1 },
    SealContext { workspace: "other", kind: "connection", id: "c1", version: 1 },
    SealContext { workspace: "acme", kind: "session", id: "c1", version: 1 },
    SealContext { workspace: "acme", kind: "session", id: "c1", version: 0 },
    SealContext { workspace: "acme", kind: "connection", id: "", version: 1 },
];
/// The index of a session's context.
const SESSION: usize = 6;
const TEXT: &[u8] = b"MARKER-7Fjfp0ZBr1KtDRbnfVdmIw, the same everywhere";

static SEALER: LazyLock<Sealer> = LazyLock::new(|| Sealer::new(Arc::new(Keys), Arc::new(Counter::default())));
static SEALED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    CONTEXTS.iter().map(|context| block_on(SEALER.seal(*context, TEXT)).expect("it is sealed")).collect()
});

/// One key for all workspaces, so that only the context separates them.
struct Keys;

#[async_trait]
impl DataKeys for Keys {
    async fn current(&self, _: &str, _: Duration) -> Result<Arc<DataKey>, SealError> {
        Ok(Arc::new(DataKey::new("key-1", [7; 32])))
    }

    async fn by_id(&self, workspace: &str, id: &str) -> Result<Option<Arc<DataKey>>, SealError> {
        if id == "key-1" { self.current(workspace, Duration::ZERO).await.map(Some) } else { Ok(None) }
    }
}

/// Nonces that are unique, but the same in every run.
#[derive(Default)]
struct Counter(AtomicU64);

impl Rng for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes.iter_mut().zip(count).for_each(|(byte, count)| *byte = count);
    }
}
