//! The locks and atomics of this crate: the standard ones, or shuttle's when a test explores their
//! interleavings (`RUSTFLAGS="--cfg shuttle"`).

pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};

use std::sync::PoisonError;

/// Locks. A panic while the lock was held does not make the data unusable: a panic in the middle of
/// a change aborts the process, so what is there is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
