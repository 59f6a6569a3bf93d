//! The timers behind `setTimeout` and `setInterval`.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rquickjs::{Ctx, Function, Persistent, Result};

use super::Functions;

/// The active timers, the next one first.
#[derive(Default)]
pub(super) struct Timers {
    waiting: BTreeMap<(Instant, u64), Timer>,
    last_id: u64,
}

struct Timer {
    function: Persistent<Function<'static>>,
    every: Option<Duration>,
}

impl Timers {
    /// Returns the function of a timer that is due, and restarts it if it is an interval.
    pub(super) fn due(&mut self) -> Option<Persistent<Function<'static>>> {
        let now = Instant::now();
        let entry = self.waiting.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((_, id), timer) = entry.remove_entry();
        let function = timer.function.clone();
        if let Some(every) = timer.every {
            self.waiting.insert((now + every, id), timer);
        }
        Some(function)
    }

    /// Returns when the next timer is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }
}

/// Adds `setTimer(function, milliseconds, repeats)`, which returns an id, and `clearTimer(id)`.
pub(super) fn add<'js>(functions: &Functions<'_, 'js>) -> Result<()> {
    let host = Rc::clone(functions.host);
    functions.add("setTimer", move |ctx: Ctx<'js>, function: Function<'js>, milliseconds: f64, repeats: bool| {
        let max = host.settings.limits.timers;
        if host.timers.borrow().waiting.len() >= max {
            return Err(host.stop_at(&ctx, format!("more than {max} timers at once")));
        }
        // At least a millisecond, as in browsers and Node, even for `NaN` and negative numbers.
        let delay = Duration::from_millis(milliseconds.clamp(1.0, f64::from(i32::MAX)) as u64);
        let function = Persistent::save(&ctx, function);
        let mut timers = host.timers.borrow_mut();
        timers.last_id += 1;
        let id = timers.last_id;
        timers.waiting.insert((Instant::now() + delay, id), Timer { function, every: repeats.then_some(delay) });
        Ok(id as f64)
    })?;
    let host = Rc::clone(functions.host);
    functions.add("clearTimer", move |id: f64| {
        host.timers.borrow_mut().waiting.retain(|(_, each), _| *each as f64 != id);
    })
}
