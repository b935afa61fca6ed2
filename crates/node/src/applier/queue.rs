//! What waits to be applied, between the thread that receives records and the one that applies them.
//!
//! Records wait until they are known to be committed. The receiver pushes messages and raises the
//! watermark; the applier takes shares, says how far it came, and sleeps while there is nothing it may
//! do. Whoever waits for the exclusive gate while the applier is inside, or the other way round, rings
//! here as at a worker's mailbox.
//!
//! Invariants: records are applied in order, each once, none above the watermark; `bytes` is what was
//! pushed and is not applied to its end; while the queue is paused the applier is neither inside the
//! gate nor does it claim it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use trefoil_clock::Lsn;

use crate::sync::{AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering};

use super::Received;
use super::share::{Cursor, Share};

/// Bytes that may wait before nothing more is to be received.
const BYTES_MAX: usize = 64 << 20;

/// See the module.
pub struct ApplyQueue {
    state: Mutex<State>,
    /// The applier sleeps here.
    bell: Condvar,
    /// Those who pause it wait here.
    idle: Condvar,
    bytes: AtomicUsize,
    applied: AtomicU64,
}

struct State {
    waiting: VecDeque<Waiting>,
    /// Records up to this one may be applied.
    commit: Lsn,
    /// Somebody rang since the applier last went to sleep.
    rung: bool,
    paused: bool,
    /// The applier has a share, or claims the gate.
    engaged: bool,
    stopped: bool,
}

/// A message, and how much of it is to be applied.
struct Waiting {
    received: Arc<Received>,
    cursor: Cursor,
    /// What is behind this record was cut off.
    last: Lsn,
}

/// What the applier may do while it waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// There is something to do as soon as records may be applied.
    Ready,
    /// The exclusive gate is closed to it.
    Blocked,
}

impl State {
    /// Whether the applier can do something.
    fn has_share(&self) -> bool {
        !self.paused && self.is_committed()
    }

    /// Whether something that waits may be applied.
    fn is_committed(&self) -> bool {
        self.waiting.front().is_some_and(|next| next.cursor.lsn <= self.commit)
    }
}

impl ApplyQueue {
    /// An empty queue behind data that holds the records up to `applied`.
    #[must_use]
    pub fn new(applied: Lsn) -> ApplyQueue {
        ApplyQueue {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                commit: applied,
                rung: false,
                paused: false,
                engaged: false,
                stopped: false,
            }),
            bell: Condvar::new(),
            idle: Condvar::new(),
            bytes: AtomicUsize::new(0),
            applied: AtomicU64::new(applied.0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last record that readers see, with all before it.
    #[inline]
    #[must_use]
    pub fn applied(&self) -> Lsn {
        Lsn(self.applied.load(Ordering::Acquire))
    }

    /// Bytes of messages that wait, the one that is being applied included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether nothing more is to be received before something was applied. Never while all that waits
    /// is not known to be committed: that is only heard of by receiving more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes() > BYTES_MAX && self.lock().is_committed()
    }

    /// Adds the records that follow what was pushed before.
    pub fn push(&self, received: Arc<Received>) {
        let Some(cursor) = Cursor::first_of(&received) else { return };
        self.bytes.fetch_add(received.bytes.len(), Ordering::Relaxed);
        let mut state = self.lock();
        let last = received.last();
        state.waiting.push_back(Waiting { received, cursor, last });
        if state.has_share() {
            self.bell.notify_one();
        }
    }

    /// Records up to this one are committed. A lower one than before changes nothing.
    pub fn set_commit(&self, commit: Lsn) {
        let mut state = self.lock();
        if commit > state.commit {
            state.commit = commit;
            if state.has_share() {
                self.bell.notify_one();
            }
        }
    }

    /// Rings: the exclusive gate opened for the applier, or was left by others for it.
    pub fn wake(&self) {
        self.lock().rung = true;
        self.bell.notify_one();
    }

    /// Ends the applier's thread; what waits is left.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.bell.notify_one();
    }

    /// Keeps the applier from touching data. Returns when it does not, and claims no gate: at once, or
    /// when its thread has ended a slice.
    pub fn pause(&self) {
        let mut state = self.call_off();
        while state.engaged {
            state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same for those who can't wait: whether it does not any more. If not, to be asked again.
    #[must_use]
    pub fn try_pause(&self) -> bool {
        !self.call_off().engaged
    }

    fn call_off(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.paused = true;
        self.bell.notify_one();
        state
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.lock().paused = false;
        self.bell.notify_one();
    }

    /// Forgets everything that waits, because the data was or will be loaded anew: `applied` is the
    /// last record that it holds then. Nothing above it counts as committed. Only while paused.
    pub fn clear(&self, applied: Lsn) {
        let mut state = self.lock();
        assert!(state.paused && !state.engaged, "a running applier keeps its data");
        let waiting = std::mem::take(&mut state.waiting);
        let bytes: usize = waiting.iter().map(|one| one.received.bytes.len()).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        state.commit = applied;
        self.applied.store(applied.0, Ordering::Release);
    }

    /// Forgets the records behind `to`, none of which is applied: they were cut off the log. Only
    /// while paused.
    pub fn cut(&self, to: Lsn) {
        let mut state = self.lock();
        assert!(state.paused && !state.engaged, "a running applier keeps its records");
        assert!(self.applied() <= to, "what is applied is not cut off");
        while let Some(last) = state.waiting.back_mut() {
            last.last = last.last.min(to);
            if last.cursor.lsn <= last.last {
                break;
            }
            self.bytes.fetch_sub(last.received.bytes.len(), Ordering::Relaxed);
            state.waiting.pop_back();
        }
        state.commit = state.commit.min(to);
    }

    /// For the applier: sleeps until there is something to do. False: it is to end.
    pub(super) fn wait(&self, patience: Patience) -> bool {
        let mut state = self.lock();
        loop {
            let ready = patience == Patience::Ready && state.has_share();
            // A claim is to be given up, or a share.
            let called_off = state.engaged && (state.paused || !state.has_share());
            if state.stopped {
                return false;
            }
            if ready || called_off || std::mem::take(&mut state.rung) {
                return true;
            }
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// For the applier: what is to be applied next. None: nothing now.
    pub(super) fn share(&self) -> Option<Share> {
        let mut state = self.lock();
        if !state.has_share() {
            return None;
        }
        state.engaged = true;
        let (next, commit) = (state.waiting.front()?, state.commit);
        Some(Share {
            received: Arc::clone(&next.received),
            cursor: next.cursor,
            until: next.last.min(commit),
            applied: self.applied(),
        })
    }

    /// For the applier: it came so far with the share that it was given. Whether nothing is left that
    /// may be applied.
    pub(super) fn advance(&self, share: &Share) -> bool {
        let mut state = self.lock();
        if let Some(next) = state.waiting.front_mut() {
            next.cursor = share.cursor;
            if next.cursor.lsn > next.last {
                self.bytes.fetch_sub(next.received.bytes.len(), Ordering::Relaxed);
                state.waiting.pop_front();
            }
        }
        self.applied.store(share.applied.0, Ordering::Release);
        !state.has_share()
    }

    /// For the applier: it holds no share and is outside of the gate, which it does not claim.
    pub(super) fn disengage(&self) {
        let mut state = self.lock();
        state.engaged = false;
        if state.paused {
            self.idle.notify_all();
        }
    }
}
