//! Messages on their way to followers, whose clients listen as well.
//!
//! No record: who is not attached misses them, as a client that is not connected does. Bounded: what
//! does not fit is dropped and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use trefoil_clock::Lsn;

use super::hub::Kind;

/// Bytes of messages that may wait.
const BYTES_MAX: usize = 32 << 20;

/// A published message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Posted {
    /// What kind of channel.
    pub kind: Kind,
    /// The channel.
    pub channel: Box<[u8]>,
    /// What was published.
    pub payload: Box<[u8]>,
    /// Not to be seen before this record is.
    pub after: Lsn,
}

impl Posted {
    fn bytes(&self) -> usize {
        self.channel.len() + self.payload.len() + size_of::<Posted>()
    }
}

/// See the module.
#[derive(Default)]
pub struct Outbox {
    /// Somebody takes them.
    wanted: AtomicBool,
    waiting: Mutex<(VecDeque<Posted>, usize)>,
    /// Messages that did not fit.
    pub dropped: AtomicU64,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Posted>, usize)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is anybody to send messages to.
    #[inline]
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Told by the peers thread: messages are taken, or not any more.
    pub fn set_wanted(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
        if !wanted {
            *self.lock() = Default::default();
        }
    }

    /// Adds a message, unless too much waits.
    pub fn put(&self, posted: Posted) {
        let mut waiting = self.lock();
        if waiting.1 + posted.bytes() > BYTES_MAX {
            drop(waiting);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.1 += posted.bytes();
        waiting.0.push_back(posted);
    }

    /// Takes the oldest message, if it may be seen when `applied` is.
    pub fn take(&self, applied: Lsn) -> Option<Posted> {
        let mut waiting = self.lock();
        let posted = waiting.0.pop_front_if(|posted| posted.after <= applied)?;
        waiting.1 -= posted.bytes();
        Some(posted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(after: u64, len: usize) -> Posted {
        let (channel, payload) = (b"c"[..].into(), vec![7; len].into());
        Posted { kind: Kind::Plain, channel, payload, after: Lsn(after) }
    }

    #[test]
    fn messages_leave_in_order_and_not_before_their_record() {
        let outbox = Outbox::default();
        outbox.put(posted(5, 1));
        outbox.put(posted(3, 1));
        assert_eq!(outbox.take(Lsn(4)), None, "the later one does not overtake");
        assert_eq!(outbox.take(Lsn(5)), Some(posted(5, 1)));
        assert_eq!(outbox.take(Lsn(5)), Some(posted(3, 1)));
        assert_eq!(outbox.take(Lsn(5)), None);
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let outbox = Outbox::default();
        outbox.put(posted(0, BYTES_MAX / 2));
        outbox.put(posted(0, BYTES_MAX / 2));
        assert_eq!(outbox.dropped.load(Ordering::Relaxed), 1);
        assert!(outbox.take(Lsn(0)).is_some() && outbox.take(Lsn(0)).is_none());
        outbox.put(posted(0, BYTES_MAX / 2));
        outbox.set_wanted(false);
        assert_eq!(outbox.take(Lsn(0)), None);
    }
}
