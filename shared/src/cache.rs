//! A cache of values, each with its own expiry.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use time::OffsetDateTime;

use crate::clock::{Clock, later};

/// Values by key, each until its own expiry. There are at most `MOST`, so that made-up keys cannot fill the memory.
pub struct Cache<K, V> {
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<K, (OffsetDateTime, V)>>,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    const MOST: usize = 10_000;

    /// Creates an empty cache.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entries: Mutex::default() }
    }

    /// Returns a key's value unless it has expired.
    ///
    /// # Panics
    /// If another thread panicked while it used the cache.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.get_lasting(key, Duration::ZERO)
    }

    /// Returns a key's value unless it expires within `time`.
    pub(crate) fn get_lasting<Q: Eq + Hash + ?Sized>(&self, key: &Q, time: Duration) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let end = later(self.clock.now(), time);
        let entries = self.entries.lock().expect("the lock is not poisoned");
        entries.get(key).filter(|(until, _)| *until > end).map(|(_, value)| value.clone())
    }

    /// Adds a value. If the cache is full of unexpired values, they are all removed.
    ///
    /// # Panics
    /// If another thread panicked while it used the cache.
    pub fn insert(&self, key: K, value: V, until: OffsetDateTime) {
        let now = self.clock.now();
        let mut entries = self.entries.lock().expect("the lock is not poisoned");
        entries.retain(|_, (until, _)| *until > now);
        if entries.len() >= Self::MOST {
            entries.clear();
        }
        entries.insert(key, (until, value));
    }

    /// Removes all values.
    ///
    /// # Panics
    /// If another thread panicked while it used the cache.
    pub fn clear(&self) {
        self.entries.lock().expect("the lock is not poisoned").clear();
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.entries.lock().expect("the lock is not poisoned").remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_value_is_kept_until_it_expires() {
        let clock = Arc::new(ManualClock::at(1_000));
        let cache = Cache::new(Arc::clone(&clock) as _);
        cache.insert("a".to_owned(), 1, clock.now() + Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        assert_eq!((cache.get("a"), cache.get("b")), (Some(1), None));
        clock.advance(Duration::from_secs(1));
        assert_eq!(cache.get("a"), None);
        cache.insert("b".to_owned(), 2, clock.now() + Duration::from_secs(10));
        assert_eq!(cache.entries.lock().expect("free").len(), 1, "expired values are dropped");
    }

    #[test]
    fn made_up_keys_do_not_fill_the_memory() {
        let clock = Arc::new(ManualClock::at(1_000));
        let cache = Cache::new(Arc::clone(&clock) as _);
        for key in 0..10_001 {
            cache.insert(key, (), clock.now() + Duration::from_secs(10));
        }
        assert_eq!(cache.entries.lock().expect("free").len(), 1);
        assert_eq!((cache.get(&0), cache.get(&10_000)), (None, Some(())));
    }
}
