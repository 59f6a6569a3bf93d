//! Keeps the trouble of one connection away from all others that the same process serves.
//!
//! A panic ends the piece of work that it happens in. A standstill, which is a computation that does not give its thread
//! back, holds up nothing else: each piece of work is polled on a thread of its own, while sockets, timers and pooled
//! connections stay with the runtime, whose threads run none of it. An abort cannot be contained: running out of memory, an
//! overflow of the stack, an assertion in native code.
//!
//! # Decisions
//!
//! Threads rather than tasks: Tokio's workers are few, so a handful of refreshes that stand still would stop all
//! others. A blocking thread that drives one future costs a stack. On a runtime with one thread, as in the simulation
//! and in functions that handle one request at a time, work runs in place. `cargo run` begins a sweep when the one
//! before has started everything that was due, and refreshes of all sweeps share 64 slots.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::record::TaskContext;

/// The work ended in a panic. Where and why is on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fault in Larder or in a connector; the log of the process says where")]
pub struct Panicked;

/// Runs work to its end, also if nobody waits for it any more.
///
/// A runtime of one thread has no threads to spare: there the work runs in its place.
///
/// # Errors
/// When the work panics.
pub async fn isolated<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Panicked> {
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(work.await);
    }
    let work = TaskContext::current().run(work);
    let thread = tokio::task::spawn_blocking(move || runtime.block_on(work));
    thread.await.map_err(|_| Panicked)
}

/// Runs work in its place, and gives its panic back as an error.
///
/// # Errors
/// When the work panics.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| {
        // Half-made changes go with the work, but for those under a lock, which is poisoned.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.map_or(Poll::Ready(Err(Panicked)), |polled| polled.map(Ok))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_that_stands_still_holds_up_nothing_else() {
        // Each of the first three gives its thread back only after the last, of the same runtime, has run.
        let (ends, standing): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (end, ended) = mpsc::channel::<()>();
                (end, tokio::spawn(isolated(async move { ended.recv().is_ok() })))
            })
            .unzip();
        assert_eq!(isolated(async { tokio::task::yield_now().await }).await, Ok(()));
        ends.iter().for_each(|end| end.send(()).unwrap());
        for work in standing {
            assert_eq!(work.await.unwrap(), Ok(true));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_panic_ends_only_the_work_it_happens_in() {
        let panic = || -> u8 { panic!("as a test wants it") };
        assert_eq!(isolated(async move { panic() }).await, Err(Panicked));
        assert_eq!(caught(async move { panic() }).await, Err(Panicked));
        assert_eq!(isolated(async { 1 }).await, Ok(1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_goes_on_when_nobody_waits_for_it() {
        let (begin, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let work = tokio::spawn(isolated(async move {
            begin.send(()).unwrap();
            tokio::task::yield_now().await;
            end.send(()).unwrap();
        }));
        begun.recv().unwrap();
        work.abort();
        assert_eq!(ended.recv(), Ok(()));
    }
}
