//! What a session has seen: one position, shared by the session's connections.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use trefoil_clock::Position;

/// See the module.
#[derive(Default, Debug)]
pub struct Clock {
    seen: Mutex<Position>,
    /// When it was last asked for, in the registry's count of questions.
    pub(super) used: AtomicU64,
}

impl Clock {
    /// The newest record that the session wrote or saw, as far as it went through this node.
    #[must_use]
    pub fn seen(&self) -> Position {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session saw this record, or wrote it.
    pub fn raise(&self, to: Position) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (*seen).max(to);
    }

    pub(super) fn touch(&self, question: u64) {
        self.used.store(question, Relaxed);
    }
}
