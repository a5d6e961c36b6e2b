//! Compiled methods that wait for the next call. Each call takes one for itself, so that threads do not wait for each other.

use std::sync::{Mutex, PoisonError};

use candor::Method;

/// Most compiled methods that wait; each holds about twice the model's weights.
const MOST: usize = 4;

/// Compiled methods of one model, the latest last.
pub struct Pool<T> {
    idle: Mutex<Vec<(String, T)>>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool { idle: Mutex::new(vec![]) }
    }
}

impl<T> Pool<T> {
    /// One that was compiled for these settings, or what `compile` makes.
    pub fn take<E>(&self, method: &Method, compile: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let key = key(method);
        let waiting = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.iter().rposition(|(k, _)| *k == key).map(|i| idle.remove(i).1)
        };
        waiting.map_or_else(compile, Ok)
    }

    /// Gives one back.
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
