//! Who wants a snapshot, whether one is being taken, and how the last one went.
//!
//! Workers ask and look; the snapshot thread waits here, takes it and tells. A snapshot has a
//! ticket, so that who waits for one (SAVE) knows its own.
//!
//! Invariants: one snapshot at a time; `finished <= begun <= finished + 1` in tickets; a flag here
//! is behind the truth for at most the time of a call.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use trefoil_clock::Lsn;

use super::policy::SavePoint;

/// A snapshot is being taken already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

/// What the snapshot thread is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Take one.
    Take,
    /// Look whether one is due.
    Nothing,
    /// End.
    Stop,
}

/// See the module.
#[derive(Default)]
pub struct SnapshotStatus {
    state: Mutex<State>,
    asked: Condvar,
    in_progress: AtomicBool,
    last_failed: AtomicBool,
    last_success_s: AtomicU64,
    last_attempt_ms: AtomicU64,
    last_duration_ms: AtomicU64,
    covered: AtomicU64,
    covered_log_bytes: AtomicU64,
    /// When one is taken by itself, besides by the size of the log (the option `save`).
    pub save_points: RwLock<Vec<SavePoint>>,
}

#[derive(Default)]
struct State {
    wanted: bool,
    /// Another one after the one in progress.
    again: bool,
    stop: bool,
    /// The data is about to be exchanged: none may be taken.
    held: bool,
    begun: u64,
    finished: u64,
    last_ok: bool,
    /// Sessions that wait for a ticket.
    waiting: Vec<(u64, u64)>,
}

impl SnapshotStatus {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a snapshot of the state from now on.
    pub fn ask(&self) -> Result<(), Busy> {
        self.ask_with(&mut self.lock()).map(|_| ())
    }

    /// Asks for one, and if one is being taken, for another one after it. Whether that is so.
    pub fn ask_or_schedule(&self) -> bool {
        let mut state = self.lock();
        let busy = self.ask_with(&mut state).is_err();
        state.again |= busy;
        busy
    }

    fn ask_with(&self, state: &mut State) -> Result<u64, Busy> {
        if state.wanted || state.begun > state.finished {
            return Err(Busy);
        }
        state.wanted = true;
        self.in_progress.store(true, Relaxed);
        self.asked.notify_one();
        Ok(state.begun + 1)
    }

    /// The result of the snapshot that this session waits for; asks for one if it waits for none.
    /// None: it is not finished.
    pub fn result_for(&self, session: u64) -> Result<Option<bool>, Busy> {
        let mut state = self.lock();
        match state.waiting.iter().position(|&(waiting, _)| waiting == session) {
            None => {
                let ticket = self.ask_with(&mut state)?;
                // Of sessions that were closed while they waited.
                let finished = state.finished;
                state.waiting.retain(|&(_, ticket)| ticket >= finished);
                state.waiting.push((session, ticket));
                Ok(None)
            }
            Some(at) if state.waiting[at].1 <= state.finished => {
                state.waiting.swap_remove(at);
                Ok(Some(state.last_ok))
            }
            Some(_) => Ok(None),
        }
    }

    /// For the snapshot thread: waits until it is asked for something, at most `patience`.
    pub fn wait(&self, patience: Duration) -> Asked {
        let idle = |state: &mut State| (!state.wanted || state.held) && !state.stop;
        let waited = self.asked.wait_timeout_while(self.lock(), patience, idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.stop {
            Asked::Stop
        } else if !state.held && std::mem::take(&mut state.wanted) {
            Asked::Take
        } else {
            Asked::Nothing
        }
    }

    /// For the snapshot thread: it begins, Unix milliseconds. False: it must not.
    #[must_use]
    pub fn on_begun(&self, now_ms: u64) -> bool {
        let mut state = self.lock();
        if state.held {
            return false;
        }
        state.wanted = false;
        state.begun = state.finished + 1;
        self.in_progress.store(true, Relaxed);
        self.last_attempt_ms.store(now_ms, Relaxed);
        true
    }

    /// For the snapshot thread: it ended, well if there is an LSN up to which the log is covered,
    /// and the count of the log's bytes at that time.
    pub fn on_finished(&self, now_ms: u64, covered: Option<(Lsn, u64)>) {
        let mut state = self.lock();
        state.finished = state.begun;
        state.last_ok = covered.is_some();
        self.last_failed.store(covered.is_none() && !state.held, Relaxed);
        let took_ms = now_ms.saturating_sub(self.last_attempt_ms.load(Relaxed));
        self.last_duration_ms.store(took_ms, Relaxed);
        if let Some((lsn, log_bytes)) = covered {
            self.covered.store(lsn.0, Relaxed);
            self.covered_log_bytes.store(log_bytes, Relaxed);
            self.last_success_s.store(now_ms / 1_000, Relaxed);
        }
        state.wanted = std::mem::take(&mut state.again);
        self.in_progress.store(state.wanted, Relaxed);
    }

    /// What recovery found: a snapshot that covers the log up to here, or none (0). LASTSAVE counts
    /// from the start.
    pub fn on_start(&self, now_ms: u64, covered: Lsn) {
        self.covered.store(covered.0, Relaxed);
        self.last_success_s.store(now_ms / 1_000, Relaxed);
    }

    /// Ends the snapshot thread; a snapshot in progress is given up.
    pub fn stop(&self) {
        self.lock().stop = true;
        self.asked.notify_all();
    }

    /// No snapshot may be taken from now on, because the data is about to be exchanged. False: one is
    /// still being taken, and will soon be given up; to be asked again.
    #[must_use]
    pub fn hold(&self) -> bool {
        let mut state = self.lock();
        state.held = true;
        state.begun == state.finished
    }

    /// Snapshots may be taken again.
    pub fn release(&self) {
        self.lock().held = false;
        self.asked.notify_all();
    }

    /// Whether a snapshot that is being taken is to be given up.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        let state = self.lock();
        state.stop || state.held
    }

    /// Whether the thread is to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.lock().stop
    }

    /// Whether a snapshot is being taken, or about to be.
    #[must_use]
    pub fn in_progress(&self) -> bool {
        self.in_progress.load(Relaxed)
    }

    /// Whether the last one failed. False before the first.
    #[must_use]
    pub fn last_failed(&self) -> bool {
        self.last_failed.load(Relaxed)
    }

    /// When the last one succeeded, or the node started: Unix seconds.
    #[must_use]
    pub fn last_success_s(&self) -> u64 {
        self.last_success_s.load(Relaxed)
    }

    /// When the last one began, Unix milliseconds; 0: never.
    #[must_use]
    pub fn last_attempt_ms(&self) -> u64 {
        self.last_attempt_ms.load(Relaxed)
    }

    /// How long the last one took, milliseconds. None: there was none.
    #[must_use]
    pub fn last_duration_ms(&self) -> Option<u64> {
        (self.last_attempt_ms() > 0).then(|| self.last_duration_ms.load(Relaxed))
    }

    /// Where the last valid one began: records after it are the changes since.
    #[must_use]
    pub fn covered(&self) -> Lsn {
        Lsn(self.covered.load(Relaxed))
    }

    /// What [`crate::log::LogQueue::bytes_logged`] was when the last valid one began.
    #[must_use]
    pub fn covered_log_bytes(&self) -> u64 {
        self.covered_log_bytes.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn who_waits_for_a_snapshot_gets_the_result_of_its_own() {
        let status = SnapshotStatus::default();
        assert_eq!(status.result_for(7), Ok(None));
        assert_eq!(status.result_for(8), Err(Busy));
        assert_eq!(status.wait(NOW), Asked::Take);
        assert!(status.on_begun(5_000));
        assert_eq!(status.ask(), Err(Busy));
        assert_eq!(status.result_for(7), Ok(None));
        status.on_finished(6_500, Some((Lsn(3), 0)));
        assert_eq!(status.result_for(7), Ok(Some(true)));
        assert_eq!((status.last_success_s(), status.last_duration_ms()), (6, Some(1_500)));
        assert_eq!(status.wait(NOW), Asked::Nothing);
    }

    #[test]
    fn a_scheduled_snapshot_follows_the_one_in_progress() {
        let status = SnapshotStatus::default();
        assert!(!status.ask_or_schedule());
        assert_eq!(status.wait(NOW), Asked::Take);
        assert!(status.on_begun(1));
        assert!(status.ask_or_schedule());
        status.on_finished(2, None);
        assert!(status.in_progress() && status.last_failed());
        assert_eq!(status.wait(NOW), Asked::Take);
    }
}
