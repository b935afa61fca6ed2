//! The queue between the workers, or a leader's records, and the log thread.
//!
//! Workers hand over a batch at the end of a turn, and get an emptied one back for the next. When
//! somebody waits for the record (`fsync always`, followers' acknowledgements) they wake the log
//! thread; otherwise it looks by itself every millisecond while there is traffic, because a wake costs
//! more than a write.
//!
//! Invariant: `bytes` is what was pushed and not given back, so what waits in the merge as well; a
//! worker runs no writes while it is above [`BYTES_MAX`].

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use trefoil_clock::{EpochTable, Lsn};
use trefoil_log::WrittenEnd;
use trefoil_store::record::LogBatch;

use crate::applier::Received;
use crate::log::{Task, Ticket};
use crate::sync::{
    AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering,
};

/// How long the log thread looks by itself at a time.
pub(super) const POLL: Duration = Duration::from_millis(1);

/// Bytes that may wait for the log thread before writes have to wait.
const BYTES_MAX: usize = 64 << 20;

/// Emptied batches kept for reuse, and the largest that is kept.
const SPARES_MAX: usize = 2;
const SPARE_CAPACITY_MAX: usize = 128 << 10;

/// When the log is synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Fsync {
    /// Before a write is acknowledged.
    Always = 0,
    /// Once a second.
    Everysec = 1,
    /// When the operating system likes.
    No = 2,
}

impl Fsync {
    /// The option's words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fsync::Always => "always",
            Fsync::Everysec => "everysec",
            Fsync::No => "no",
        }
    }

    /// Reads the option's words.
    #[must_use]
    pub fn parse(word: &[u8]) -> Option<Fsync> {
        [Fsync::Always, Fsync::Everysec, Fsync::No]
            .into_iter()
            .find(|fsync| word.eq_ignore_ascii_case(fsync.name().as_bytes()))
    }
}

/// Whether the log takes records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum LogHealth {
    /// It does.
    Writing = 0,
    /// The disk is full or fails: writes are refused until it recovers.
    Refusing = 1,
}

/// See the module.
pub struct LogQueue {
    state: Mutex<State>,
    filled: Condvar,
    bytes: AtomicUsize,
    asleep: AtomicBool,
    fsync: AtomicU8,
    /// Followers' acknowledgements are waited for, or a leader waits for ours.
    urgent: AtomicBool,
    health: AtomicU8,
    appended: AtomicU64,
    durable: AtomicU64,
    extent: Mutex<Option<Extent>>,
    /// Followers need the records behind this one; `u64::MAX`: none does.
    needed_after: AtomicU64,
    /// Bytes of records written since an arbitrary beginning.
    bytes_logged: AtomicU64,
}

#[derive(Default)]
struct State {
    batches: Vec<LogBatch>,
    /// What a leader has sent, behind all of `batches`.
    received: Vec<Arc<Received>>,
    tasks: VecDeque<(Task, Ticket)>,
    /// The epochs that received records belong to.
    epochs: EpochTable,
    /// Records in `batches`.
    records: usize,
    /// Under `fsync always` the log thread is woken when there are this many.
    records_wanted: usize,
    spares: Vec<LogBatch>,
    sync_wanted: bool,
    retain_after: Option<Lsn>,
    stop: Option<Stop>,
    /// The log thread is to look at what goes on besides.
    rung: bool,
}

/// How the log thread ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The log holds all that this node ever numbered, and says so: the next start goes on.
    Clean,
    /// It may not: this node led and was still asking its followers, or it leads no more. The next start
    /// has to find out again.
    Unproven,
}

/// From where to where the log goes. Bytes count from an arbitrary beginning and only rise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where it ends, and from which record on it can be streamed.
    pub end: WrittenEnd,
    /// The byte behind the end.
    pub end_bytes: u64,
    /// The byte at the beginning of what is kept.
    pub floor_bytes: u64,
}

/// What the log thread takes at once.
#[derive(Default, Debug)]
pub struct Taken {
    /// Batches in the order of their arrival.
    pub batches: Vec<LogBatch>,
    /// What a leader has sent, behind all of `batches`.
    pub received: Vec<Arc<Received>>,
    /// What is to be done besides, once all that is written.
    pub task: Option<(Task, Ticket)>,
    /// Somebody waits for a sync.
    pub sync_wanted: bool,
    /// The node stops; nothing comes after this.
    pub stop: Option<Stop>,
}

impl LogQueue {
    /// An empty queue behind a log that ends at `end`.
    #[must_use]
    pub fn new(fsync: Fsync, end: Lsn) -> LogQueue {
        LogQueue {
            state: Mutex::default(),
            filled: Condvar::new(),
            bytes: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            fsync: AtomicU8::new(fsync as u8),
            urgent: AtomicBool::new(false),
            health: AtomicU8::new(LogHealth::Writing as u8),
            appended: AtomicU64::new(end.0),
            durable: AtomicU64::new(end.0),
            extent: Mutex::new(None),
            needed_after: AtomicU64::new(u64::MAX),
            bytes_logged: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy in force.
    #[inline]
    #[must_use]
    pub fn fsync(&self) -> Fsync {
        match self.fsync.load(Ordering::Relaxed) {
            0 => Fsync::Always,
            1 => Fsync::Everysec,
            _ => Fsync::No,
        }
    }

    /// Changes the policy. What was acknowledged under the old one is synced soon.
    pub fn set_fsync(&self, fsync: Fsync) {
        self.fsync.store(fsync as u8, Ordering::SeqCst);
        self.want_sync();
    }

    /// Whether records are written as soon as they come.
    #[inline]
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed) || self.fsync() == Fsync::Always
    }

    /// Told by the peers thread: somebody waits for records, whatever the fsync policy is.
    pub fn set_urgent(&self, urgent: bool) {
        if self.urgent.swap(urgent, Ordering::SeqCst) != urgent {
            // It may be looking by itself only.
            drop(self.lock());
            self.filled.notify_one();
        }
    }

    /// Told by the peers thread: followers need the records behind this one. None: no follower does.
    pub fn set_needed_after(&self, lsn: Option<Lsn>) {
        self.needed_after.store(lsn.map_or(u64::MAX, |lsn| lsn.0), Ordering::Relaxed);
    }

    /// See [`LogQueue::set_needed_after`].
    #[must_use]
    pub fn needed_after(&self) -> Option<Lsn> {
        Some(self.needed_after.load(Ordering::Relaxed)).filter(|&lsn| lsn < u64::MAX).map(Lsn)
    }

    /// Whether the log takes records.
    #[must_use]
    pub fn health(&self) -> LogHealth {
        if self.health.load(Ordering::Relaxed) == 0 {
            LogHealth::Writing
        } else {
            LogHealth::Refusing
        }
    }

    /// Told by the log thread.
    pub fn set_health(&self, health: LogHealth) {
        self.health.store(health as u8, Ordering::Relaxed);
    }

    /// The last LSN that the operating system has.
    #[must_use]
    pub fn appended(&self) -> Lsn {
        Lsn(self.appended.load(Ordering::Acquire))
    }

    /// The last LSN that survives power loss.
    #[inline]
    #[must_use]
    pub fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    /// Bytes of records written so far, those replayed at start included: differences count.
    #[must_use]
    pub fn bytes_logged(&self) -> u64 {
        self.bytes_logged.load(Ordering::Relaxed)
    }

    /// More was written, or found at start.
    pub fn add_bytes_logged(&self, bytes: u64) {
        self.bytes_logged.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Told by the log thread.
    pub fn set_progress(&self, appended: Lsn, durable: Lsn) {
        self.appended.store(appended.0, Ordering::Release);
        self.durable.store(durable.0, Ordering::Release);
    }

    /// How far the log can be read back; None: the log thread has not said so yet.
    #[must_use]
    pub fn written_end(&self) -> Option<WrittenEnd> {
        self.extent().map(|extent| extent.end)
    }

    /// From where to where the log goes; None: the log thread has not said so yet.
    #[must_use]
    pub fn extent(&self) -> Option<Extent> {
        *self.extent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told by the log thread, before the progress that it belongs to.
    pub fn set_extent(&self, extent: Extent) {
        *self.extent.lock().unwrap_or_else(PoisonError::into_inner) = Some(extent);
    }

    /// Whether writes have to wait for the log thread.
    #[inline]
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > BYTES_MAX
    }

    /// Bytes that wait for the log thread.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Hands over a batch, and returns an emptied one.
    pub fn push(&self, batch: LogBatch) -> LogBatch {
        self.bytes.fetch_add(batch.bytes.len(), Ordering::Relaxed);
        let (spare, enough) = {
            let mut state = self.lock();
            state.records += batch.records();
            state.batches.push(batch);
            (state.spares.pop(), state.records >= state.records_wanted)
        };
        if (self.is_urgent() && enough) || self.asleep.load(Ordering::SeqCst) {
            self.filled.notify_one();
        }
        spare.unwrap_or_default()
    }

    /// Hands over what a leader has sent: it follows everything that was handed over before.
    pub fn push_received(&self, received: Arc<Received>) {
        self.bytes.fetch_add(received.bytes.len(), Ordering::Relaxed);
        self.lock().received.push(received);
        self.filled.notify_one();
    }

    /// Gives the log thread something to do behind everything that was handed over before.
    pub fn give_task(&self, task: Task) -> Ticket {
        let ticket = Ticket::default();
        self.lock().tasks.push_back((task, ticket.clone()));
        self.filled.notify_one();
        ticket
    }

    /// Told by the peers thread before it hands over records of a new epoch.
    pub fn set_epochs(&self, epochs: EpochTable) {
        self.lock().epochs = epochs;
    }

    /// See [`LogQueue::set_epochs`].
    #[must_use]
    pub fn epochs(&self) -> EpochTable {
        self.lock().epochs.clone()
    }

    /// Wakes the log thread: something that it began elsewhere has ended.
    pub fn ring(&self) {
        self.lock().rung = true;
        self.filled.notify_one();
    }

    /// Asks for a sync of everything queued so far.
    pub fn want_sync(&self) {
        self.lock().sync_wanted = true;
        self.filled.notify_one();
    }

    /// A snapshot covers everything up to this LSN: the log before it may go.
    pub fn retain_after(&self, lsn: Lsn) {
        self.lock().retain_after = Some(lsn);
        self.filled.notify_one();
    }

    /// For the log thread: what [`LogQueue::retain_after`] was told last.
    pub fn take_retain(&self) -> Option<Lsn> {
        self.lock().retain_after.take()
    }

    /// Ends the log thread once it has written what is queued.
    pub fn stop(&self, how: Stop) {
        self.lock().stop = Some(how);
        self.filled.notify_one();
    }

    /// For the log thread: waits for something to do, at most `patience` (None: until it comes).
    pub fn take(&self, patience: Option<Duration>) -> Taken {
        let mut state = self.lock();
        // Who waits longer than a poll takes is to be woken: a record must not lie here for a second.
        let asleep = patience.is_none_or(|patience| patience > POLL);
        self.asleep.store(asleep, Ordering::SeqCst);
        let idle = |state: &mut State| {
            state.batches.is_empty()
                && state.received.is_empty()
                && state.tasks.is_empty()
                && !state.sync_wanted
                && state.stop.is_none()
                && !state.rung
                && state.retain_after.is_none()
        };
        state = match patience {
            None => self.filled.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = self.filled.wait_timeout_while(state, patience, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        self.asleep.store(false, Ordering::SeqCst);
        state.rung = false;
        let batches = self.take_batches(&mut state);
        let received = std::mem::take(&mut state.received);
        let task = state.tasks.pop_front();
        Taken {
            batches,
            received,
            task,
            sync_wanted: std::mem::take(&mut state.sync_wanted),
            stop: state.stop,
        }
    }

    /// For the log thread: waits until so many records are there, at most `patience`, and takes what
    /// is. Whoever wants a sync or the end is not kept waiting.
    pub fn gather(&self, records: usize, patience: Duration) -> Vec<LogBatch> {
        let mut state = self.lock();
        state.records_wanted = records;
        let gathering = |state: &mut State| {
            state.records < records
                && !state.sync_wanted
                && state.stop.is_none()
                && state.tasks.is_empty()
        };
        let waited = self.filled.wait_timeout_while(state, patience, gathering);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.records_wanted = 0;
        self.take_batches(&mut state)
    }

    fn take_batches(&self, state: &mut State) -> Vec<LogBatch> {
        let batches = std::mem::take(&mut state.batches);
        state.records = 0;
        batches
    }

    /// For the log thread: received records are written. Whether writes had to wait for that.
    pub fn wrote_received(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        before > BYTES_MAX && before - bytes <= BYTES_MAX
    }

    /// For the log thread: gives written batches back to be filled again. Whether writes had to wait
    /// for that and no longer have to.
    pub fn give_back(&self, batches: impl Iterator<Item = LogBatch>) -> bool {
        let mut state = self.lock();
        let mut written = 0;
        for mut batch in batches {
            written += batch.bytes.len();
            if state.spares.len() < SPARES_MAX && batch.bytes.capacity() <= SPARE_CAPACITY_MAX {
                batch.bytes.clear();
                batch.runs.clear();
                state.spares.push(batch);
            }
        }
        let before = self.bytes.fetch_sub(written, Ordering::Relaxed);
        before > BYTES_MAX && before - written <= BYTES_MAX
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn writes_wait_until_what_was_pushed_is_written() {
        let queue = LogQueue::new(Fsync::No, Lsn::ZERO);
        for bytes in [BYTES_MAX, 1] {
            assert!(!queue.is_behind());
            queue.push(LogBatch { runs: Vec::new(), bytes: vec![0; bytes] });
        }
        let mut batches = queue.take(None).batches;
        assert!(queue.is_behind(), "it waits for its turn in the merge");
        assert!(queue.give_back(batches.drain(..1)) && !queue.is_behind());
        assert!(!queue.give_back(batches.drain(..)) && queue.bytes() == 0);
    }
}
