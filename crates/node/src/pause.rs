//! CLIENT PAUSE: commands of all sessions, or those that write, wait until a time.
//!
//! Looked at only while the node is special. The first worker that notices that the time has come
//! ends the pause.
//!
//! Invariant: [`Node::PAUSED`] is set exactly while there is a pause, both changed under the lock.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, PoisonError};

use trefoil_commands::{Flags, Group};

use crate::mail::Mail;
use crate::node::Node;
use crate::table::Entry;

/// Which commands wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Held {
    /// Those that may write.
    Writes,
    /// All but those about the connection itself.
    All,
}

/// The pause, if there is one: what waits, and until when, Unix milliseconds.
pub(crate) type Pause = Mutex<Option<(Held, u64)>>;

impl Node {
    /// Begins a pause, or makes the one there is longer or stricter.
    pub fn pause(&self, held: Held, until_ms: u64) {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, end) = pause.unwrap_or((held, until_ms));
        *pause = Some((held.max(before), until_ms.max(end)));
        self.special.fetch_or(Node::PAUSED, SeqCst);
    }

    /// Ends the pause and wakes the workers whose connections wait for that.
    pub fn unpause(&self) {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        if pause.take().is_some() {
            self.special.fetch_and(!Node::PAUSED, SeqCst);
            for worker in 0..self.workers {
                self.post.post(worker as u32, Mail::Wake);
            }
        }
    }

    /// What waits now, if there is a pause. During one, nothing expires and nothing is evicted.
    #[inline]
    #[must_use]
    pub fn held(&self, now_ms: u64) -> Option<Held> {
        if self.special.load(SeqCst) & Node::PAUSED == 0 { None } else { self.held_till(now_ms) }
    }

    #[cold]
    fn held_till(&self, now_ms: u64) -> Option<Held> {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let (held, until_ms) = (*pause)?;
        if now_ms >= until_ms {
            *pause = None;
            self.special.fetch_and(!Node::PAUSED, SeqCst);
            return None;
        }
        Some(held)
    }
}

impl Held {
    /// Whether a command waits. Under `All`, those about the connection itself that scripts may not
    /// use (CLIENT, AUTH, HELLO, RESET, QUIT) do not: somebody must be able to end the pause.
    #[must_use]
    pub fn holds(self, entry: &Entry) -> bool {
        let (flags, group) = (entry.spec.flags, entry.spec.group);
        match self {
            Held::Writes => flags.has_any(Flags::WRITE | Flags::MAY_REPLICATE),
            Held::All => group != Group::Connection || !flags.has(Flags::NOSCRIPT),
        }
    }
}
