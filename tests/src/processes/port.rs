//! Ports for servers that cannot choose one themselves.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Returns a free port of 127.0.0.1. It stays free until a server binds it: it is below the range of outgoing connections,
/// and this process returns it only once.
pub(super) fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Other processes start elsewhere.
    let start = std::process::id().wrapping_mul(7919);
    let candidates = std::iter::repeat_with(|| start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let mut ports = candidates.take(COUNT as usize).map(|offset| u16::try_from(FIRST + offset).expect("a port"));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
