//! Compiled methods that are kept for the next call. Each call takes one for itself, so that threads do not block each other.

use std::sync::{Mutex, PoisonError};

use candor::Method;

/// Maximum number of compiled methods that are kept; each holds about twice the model's weights.
const MOST: usize = 4;

/// Compiled methods of one model, the most recent last.
pub struct Pool<T> {
    idle: Mutex<Vec<(String, T)>>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool { idle: Mutex::new(vec![]) }
    }
}

impl<T> Pool<T> {
    /// Takes one that was compiled with these settings, or calls `compile`.
    pub fn take<E>(&self, method: &Method, compile: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let key = key(method);
        let waiting = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.iter().rposition(|(k, _)| *k == key).map(|i| idle.remove(i).1)
        };
        waiting.map_or_else(compile, Ok)
    }

    /// Returns one to the pool.
    pub fn give(&self, method: &Method, compiled: T) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((key(method), compiled));
        let dropped = (idle.len() > MOST).then(|| idle.remove(0));
        drop(idle);
        drop(dropped);
    }
}

fn key(method: &Method) -> String {
    format!("{method:?}")
}
