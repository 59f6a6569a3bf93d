//! Isolates connections that are served by the same process from each other's faults.
//!
//! A panic ends only the work that it happens in. A computation that never yields its thread does not block anything
//! else: each piece of work is polled on its own thread, while sockets, timers, and pooled connections stay with the
//! runtime's threads, which run none of it. An abort (out of memory, a stack overflow, an assertion in native code)
//! cannot be contained.
//!
//! # Decisions
//!
//! Threads rather than tasks: Tokio's workers are few, so a handful of refreshes that hang would stop all
//! others. A blocking thread that drives one future costs a stack. On a runtime with one thread, as in the simulation
//! and in functions that handle one request at a time, work runs in place. `cargo run` begins a sweep when the one
//! before has started everything that was due, and refreshes of all sweeps share 64 slots.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::record::TaskContext;

/// A panic of the work. Its details are on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Larder or a connector panicked; the process's log has the details")]
pub struct Panicked;

/// Runs work to completion on its own thread, even if its caller stops waiting.
///
/// In a single-threaded runtime, the work runs in place.
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

/// Runs work in place, and returns its panic as an error.
///
/// # Errors
/// When the work panics.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| {
        // Unfinished changes are dropped with the work, except those behind a lock, which is then poisoned.
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
    async fn work_that_never_yields_does_not_block_anything_else() {
        // The first three release their threads only after the last one, in the same runtime, has run.
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
        let panic = || -> u8 { panic!("intended by the test") };
        assert_eq!(isolated(async move { panic() }).await, Err(Panicked));
        assert_eq!(caught(async move { panic() }).await, Err(Panicked));
        assert_eq!(isolated(async { 1 }).await, Ok(1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_continues_after_its_caller_stops_waiting() {
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
