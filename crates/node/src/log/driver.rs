//! What the log thread does: take, merge, write, sync, tell.
//!
//! The thread itself belongs to the shell; a simulation calls [`LogDriver::turn`] by itself.
//!
//! Invariants: progress is told only after the disk has it; a failed sync ends the node; a full
//! disk loses nothing, the driver keeps what it could not write and tries again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trefoil_clock::{Epoch, Lsn, Origin, ShardId};
use trefoil_log::{
    Disk, Positions, Prepared, Run as LogRun, RunHeader, Stream, WriteError, Writer,
};
use trefoil_store::record::LogBatch;

use super::group::Grouping;
use super::merge::Merge;
use super::queue::{Fsync, LogHealth, LogQueue, POLL, Taken};

/// The shard of the keyspace `default`.
pub const SHARD: ShardId = ShardId(0);

/// How often the driver looks by itself before it sleeps until it is woken.
const POLLS_BEFORE_SLEEP: u32 = 200;
const SYNC_EVERY: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Why the log thread ended otherwise than it was told to.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log can't be written any more, so the node stops: {0}. Acknowledged writes up to LSN {1} are safe; start the node again once the disk is healthy"
)]
pub struct LogLost(#[source] pub WriteError, pub Lsn);

/// What a turn came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// There is more to come.
    Continue,
    /// Everything is written and the clean stop is marked.
    Stopped,
}

/// See the module.
pub struct LogDriver<D: Disk> {
    queue: Arc<LogQueue>,
    writer: Writer<D>,
    merge: Merge,
    epoch: Epoch,
    /// Called when records became durable, or few enough wait again: somebody may wait for that.
    on_durable: Box<dyn Fn() + Send>,
    /// Time since an arbitrary beginning.
    clock: Clock,
    last_sync: Duration,
    /// A sync was asked for, and is owed until records up to here are durable.
    sync_owed: Lsn,
    /// No next segment is tried to be made before: the disk was full.
    prepare_after: Option<Duration>,
    quiet_polls: u32,
    grouping: Grouping,
    failing: bool,
    spare_ready: bool,
}

/// A clock that never goes back.
pub type Clock = Box<dyn Fn() -> Duration + Send>;

impl<D: Disk> LogDriver<D> {
    /// A driver for a writer that stands where the queue begins.
    pub fn new(
        queue: Arc<LogQueue>,
        writer: Writer<D>,
        epoch: Epoch,
        on_durable: Box<dyn Fn() + Send>,
    ) -> LogDriver<D> {
        let end = writer.appended(stream());
        let began = Instant::now();
        LogDriver {
            merge: Merge::starting_after(end.max(queue.appended())),
            queue,
            writer,
            epoch,
            on_durable,
            clock: Box::new(move || began.elapsed()),
            last_sync: Duration::ZERO,
            sync_owed: Lsn::ZERO,
            prepare_after: None,
            quiet_polls: 0,
            grouping: Grouping::default(),
            failing: false,
            spare_ready: false,
        }
    }

    /// The same with a simulation's time.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> LogDriver<D> {
        self.last_sync = clock();
        self.clock = clock;
        self
    }

    /// One round: waits for records, writes them, syncs if it is time.
    pub fn turn(&mut self) -> Result<Turn, LogLost> {
        self.round(self.patience())
    }

    /// A round with what is there, for simulations.
    pub fn turn_without_waiting(&mut self) -> Result<Turn, LogLost> {
        self.round(Some(Duration::ZERO))
    }

    fn round(&mut self, patience: Option<Duration>) -> Result<Turn, LogLost> {
        let taken = self.queue.take(patience);
        let quiet = taken.batches.is_empty();
        self.quiet_polls = if quiet { self.quiet_polls.saturating_add(1) } else { 0 };
        let Taken { mut batches, sync_wanted, stop } = taken;
        let mut records = count(&batches);
        if self.queue.fsync() == Fsync::Always && (1..self.grouping.target()).contains(&records) {
            let missing = self.grouping.target() - records;
            batches.extend(self.queue.gather(missing, self.grouping.patience()));
            records = count(&batches);
        }
        for batch in batches {
            self.merge.add(batch);
        }
        if sync_wanted {
            self.sync_owed = self.merge.last();
        }
        // First of all, because it makes room on a full disk.
        self.retain()?;
        let mut used = Vec::new();
        let written = self.write(&mut used);
        if self.queue.give_back(used.into_iter()) {
            (self.on_durable)();
        }
        match written {
            Ok(()) => self.recovered(),
            Err(error) => return self.failed(error, stop),
        }
        let dirty = self.writer.durable_seq() < self.writer.written_seq();
        let due = match self.queue.fsync() {
            Fsync::Always => true,
            Fsync::Everysec => self.since_sync() >= SYNC_EVERY,
            Fsync::No => false,
        };
        let owed = self.sync_owed > self.writer.durable(stream());
        if dirty && (due || owed) {
            self.last_sync = (self.clock)();
            if let Err(error) = self.writer.sync() {
                return self.failed(error, stop);
            }
            self.grouping.on_synced(records, self.since_sync());
        }
        self.tell();
        if stop && self.merge.is_empty() {
            self.writer.clean_stop().map_err(|error| self.lost(error))?;
            self.tell();
            return Ok(Turn::Stopped);
        }
        self.prepare()?;
        Ok(Turn::Continue)
    }

    fn since_sync(&self) -> Duration {
        (self.clock)().saturating_sub(self.last_sync)
    }

    /// How long to wait for records. Longer than [`POLL`] only in a sleep that a push ends.
    fn patience(&self) -> Option<Duration> {
        let dirty = self.writer.durable_seq() < self.writer.written_seq();
        if self.failing {
            return Some(RETRY_AFTER);
        }
        match self.queue.fsync() {
            Fsync::Always if self.spare_ready => None,
            Fsync::Everysec if dirty && self.quiet_polls > POLLS_BEFORE_SLEEP => {
                Some(SYNC_EVERY.saturating_sub(self.since_sync()).max(POLL))
            }
            _ if self.quiet_polls > POLLS_BEFORE_SLEEP && self.spare_ready => None,
            _ => Some(POLL),
        }
    }

    /// Writes every run whose turn it is. Puts the batches that are used up into `used`, also of
    /// what the writer took before it failed.
    fn write(&mut self, used: &mut Vec<LogBatch>) -> Result<(), WriteError> {
        while let Some((run, payload)) = self.merge.peek() {
            let header = RunHeader {
                shard: SHARD,
                origin: Origin::LEADER,
                epoch: self.epoch,
                base_lsn: run.base.lsn,
                base_hlc: run.base.hlc,
                count: run.count,
            };
            self.writer.append_runs(&[LogRun { header, payload }])?;
            self.queue.add_bytes_logged(payload.len() as u64);
            used.extend(self.merge.done());
        }
        self.writer.write()
    }

    fn tell(&mut self) {
        let (appended, durable) = (self.writer.written(stream()), self.writer.durable(stream()));
        let before = self.queue.durable();
        self.queue.set_progress(appended, durable);
        if durable > before {
            (self.on_durable)();
        }
    }

    /// Makes the next segment ready while there is time.
    fn prepare(&mut self) -> Result<(), LogLost> {
        if self.prepare_after.is_some_and(|after| (self.clock)() < after) {
            return Ok(());
        }
        self.prepare_after = None;
        match self.writer.prepare() {
            Ok(prepared) => self.spare_ready = prepared == Prepared::Ready,
            Err(WriteError::NoSpace { .. }) => {
                self.spare_ready = true;
                self.prepare_after = Some((self.clock)() + RETRY_AFTER);
            }
            Err(error) => {
                self.failed(error, false)?;
            }
        }
        Ok(())
    }

    /// Drops segments whose records are all in a valid snapshot, if one became valid.
    fn retain(&mut self) -> Result<(), LogLost> {
        let Some(lsn) = self.queue.take_retain() else { return Ok(()) };
        let mut needed_after = Positions::new();
        needed_after.set(stream(), lsn);
        if let Err(error) = self.writer.retain(&needed_after) {
            self.failed(error, false)?;
        }
        Ok(())
    }

    fn recovered(&mut self) {
        if self.failing {
            self.failing = false;
            self.queue.set_health(LogHealth::Writing);
        }
    }

    /// A full or failing disk: refuse writes, keep what there is, try again. A lost sync, or a record
    /// that no frame takes, now or later: stop.
    fn failed(&mut self, error: WriteError, stop: bool) -> Result<Turn, LogLost> {
        let hopeless = match error {
            WriteError::SyncFailed { .. } | WriteError::Stopped | WriteError::TooLarge { .. } => {
                true
            }
            WriteError::NoSpace { .. } | WriteError::Io { .. } => stop,
        };
        if hopeless {
            return Err(self.lost(error));
        }
        if !self.failing {
            eprintln!("trefoil: writes are refused until the log can be written again: {error}");
        }
        self.failing = true;
        self.queue.set_health(LogHealth::Refusing);
        Ok(Turn::Continue)
    }

    fn lost(&self, error: WriteError) -> LogLost {
        LogLost(error, self.writer.durable(stream()))
    }
}

fn count(batches: &[LogBatch]) -> usize {
    batches.iter().map(LogBatch::records).sum()
}

/// The stream of the keyspace `default`.
#[must_use]
pub fn stream() -> Stream {
    Stream::leader(SHARD)
}

#[cfg(all(test, not(shuttle)))]
mod tests;
