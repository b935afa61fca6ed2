//! What the log thread does: take, merge, write, sync, tell.
//!
//! The thread itself belongs to the shell; a simulation calls [`LogDriver::turn`] by itself.
//!
//! Invariants: progress is told only after the disk has it; a failed sync ends the node; a full
//! disk loses nothing, the driver keeps what it could not write and tries again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trefoil_clock::{Epoch, EpochEntry, Lsn, Origin, ShardId};
use trefoil_log::{
    Disk, EpochCause, Note, Positions, Prepared, Run as LogRun, RunHeader, Stream, WriteError,
    Writer,
};
use trefoil_store::record::LogBatch;

use super::group::Grouping;
use super::merge::Merge;
use super::queue::{Extent, Fsync, LogHealth, LogQueue, POLL, Stop, Taken};
use super::syncer::Syncer;
use super::task::{Task, Ticket};
use crate::applier::Received;

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

/// What the log thread tells others of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// More is written.
    Written,
    /// More is durable, and perhaps more is written.
    Synced,
    /// Writes had to wait for the log thread, and no longer have to.
    Room,
}

/// What a turn came to.
pub enum Turn {
    /// There is more to come.
    Continue,
    /// Everything that was handed over is synced, and this is to be carried out now.
    Asked(Task, Ticket),
    /// Everything is written, and the clean stop is marked if it is one.
    Stopped,
}

/// See the module.
pub struct LogDriver<D: Disk> {
    queue: Arc<LogQueue>,
    writer: Writer<D>,
    merge: Merge,
    /// What a leader sent and is not written yet, and how many runs of the first are.
    received: VecDeque<Arc<Received>>,
    runs_written: usize,
    tasks: VecDeque<(Task, Ticket)>,
    epoch: Epoch,
    /// The epoch of another node's records that was noted last, since the log was opened or cut.
    noted: Option<Epoch>,
    /// Called when records were written or became durable, or few enough wait again: somebody may
    /// wait for that.
    on_progress: Box<dyn Fn(Progress) + Send>,
    /// Time since an arbitrary beginning.
    clock: Clock,
    last_sync: Duration,
    /// A sync was asked for, and is owed until records up to here are durable.
    sync_owed: Lsn,
    /// No next segment is tried to be made before: the disk was full.
    prepare_after: Option<Duration>,
    quiet_polls: u32,
    /// Up to here a valid snapshot covers the log, and up to there it was let go.
    covered: Lsn,
    retained_after: Lsn,
    /// Bytes of segments that were let go.
    retired_bytes: u64,
    grouping: Grouping,
    failing: bool,
    spare_ready: bool,
    syncer: Option<Syncer<D>>,
}

/// A clock that never goes back.
pub type Clock = Box<dyn Fn() -> Duration + Send>;

impl<D: Disk> LogDriver<D> {
    /// A driver for a writer that stands where the queue begins.
    pub fn new(
        queue: Arc<LogQueue>,
        writer: Writer<D>,
        epoch: Epoch,
        on_progress: Box<dyn Fn(Progress) + Send>,
    ) -> LogDriver<D> {
        let end = writer.appended(stream());
        let began = Instant::now();
        LogDriver {
            merge: Merge::starting_after(end.max(queue.appended())),
            queue,
            writer,
            received: VecDeque::new(),
            runs_written: 0,
            tasks: VecDeque::new(),
            epoch,
            noted: None,
            on_progress,
            clock: Box::new(move || began.elapsed()),
            last_sync: Duration::ZERO,
            sync_owed: Lsn::ZERO,
            prepare_after: None,
            quiet_polls: 0,
            covered: Lsn::ZERO,
            retained_after: Lsn::ZERO,
            retired_bytes: 0,
            grouping: Grouping::default(),
            failing: false,
            spare_ready: false,
            syncer: None,
        }
    }

    /// The same with another thread for syncs that nobody waits for one by one.
    #[must_use]
    pub fn with_syncer(mut self, syncer: Syncer<D>) -> LogDriver<D> {
        self.syncer = Some(syncer);
        self
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
        let (records, stop) = self.take(patience)?;
        // First of all, because it makes room on a full disk.
        self.retain()?;
        let mut used = Vec::new();
        let written = self.write(&mut used);
        if self.queue.give_back(used.into_iter()) {
            (self.on_progress)(Progress::Room);
        }
        match written {
            Ok(()) => self.recovered(),
            Err(error) => return self.failed(error, stop.is_some()),
        }
        if self.writer.written(stream()) > self.queue.appended() {
            // Before the sync: followers can have it meanwhile.
            self.tell();
        }
        let dirty = self.writer.durable_seq() < self.writer.written_seq();
        let due = match self.queue.fsync() {
            Fsync::Always => true,
            Fsync::Everysec => self.since_sync() >= SYNC_EVERY,
            Fsync::No => false,
        };
        let owed = self.sync_owed > self.writer.durable(stream());
        let synced = if !self.tasks.is_empty() || stop.is_some() {
            self.sync_here()
        } else if dirty && (due || owed) {
            self.sync(records)
        } else {
            Ok(())
        };
        if let Err(error) = synced {
            return self.failed(error, stop.is_some());
        }
        self.tell();
        if self.is_drained() {
            if let Some((task, ticket)) = self.tasks.pop_front() {
                return Ok(Turn::Asked(task, ticket));
            }
            if let Some(how) = stop {
                return self.stop(how);
            }
        }
        self.prepare()?;
        Ok(Turn::Continue)
    }

    /// Takes what was handed over. How many records of workers that are, and whether the node stops.
    fn take(&mut self, patience: Option<Duration>) -> Result<(usize, Option<Stop>), LogLost> {
        let taken = self.queue.take(patience);
        if let Some(done) = self.syncer.as_mut().and_then(Syncer::ended)
            && let Err(error) = self.writer.finish_sync(done)
        {
            return Err(self.lost(error));
        }
        let quiet = taken.batches.is_empty() && taken.received.is_empty();
        self.quiet_polls = if quiet { self.quiet_polls.saturating_add(1) } else { 0 };
        let Taken { mut batches, received, task, sync_wanted, stop } = taken;
        self.received.extend(received);
        self.tasks.extend(task);
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
            self.sync_owed = self.received.back().map_or(self.merge.last(), |last| last.last());
        }
        Ok((records, stop))
    }

    /// Everything is synced: ends the log as it is to be ended.
    fn stop(&mut self, how: Stop) -> Result<Turn, LogLost> {
        if how == Stop::Clean {
            self.writer.clean_stop().map_err(|error| self.lost(error))?;
        }
        self.tell();
        Ok(Turn::Stopped)
    }

    /// Syncs what is written: here, if every record waits for that, else beside.
    fn sync(&mut self, records: usize) -> Result<(), WriteError> {
        let beside = self.queue.fsync() != Fsync::Always;
        if beside && let Some(syncer) = &mut self.syncer {
            if !syncer.is_running() {
                self.last_sync = (self.clock)();
                syncer.begin(self.writer.start_sync()?);
            }
            return Ok(());
        }
        self.last_sync = (self.clock)();
        self.sync_here()?;
        self.grouping.on_synced(records, self.since_sync());
        Ok(())
    }

    /// Syncs what is written, after a sync that runs beside.
    fn sync_here(&mut self) -> Result<(), WriteError> {
        if let Some(done) = self.syncer.as_mut().and_then(Syncer::wait) {
            self.writer.finish_sync(done)?;
        }
        self.writer.sync()
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
        // Who waits for a record wakes us.
        let sleeps = self.queue.is_urgent() || self.quiet_polls > POLLS_BEFORE_SLEEP;
        match self.queue.fsync() {
            Fsync::Always if self.spare_ready => None,
            Fsync::Everysec if dirty && sleeps => {
                Some(SYNC_EVERY.saturating_sub(self.since_sync()).max(POLL))
            }
            _ if sleeps && self.spare_ready => None,
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
        self.write_received()?;
        self.writer.write()
    }

    /// Writes what a leader has sent, as it is. An epoch that begins with a run is noted before it.
    fn write_received(&mut self) -> Result<(), WriteError> {
        while let Some(message) = self.received.front().cloned() {
            while let Some(run) = message.runs.get(self.runs_written) {
                if self.noted != Some(run.epoch) {
                    self.enter_epoch(run.epoch)?;
                }
                let header = RunHeader {
                    shard: SHARD,
                    origin: Origin::LEADER,
                    epoch: run.epoch,
                    base_lsn: run.base.lsn,
                    base_hlc: run.base.hlc,
                    count: run.count,
                };
                let payload = &message.bytes[run.range.clone()];
                self.writer.append_runs(&[LogRun { header, payload }])?;
                self.queue.add_bytes_logged(payload.len() as u64);
                self.merge.skip_to(header.last_lsn());
                self.runs_written += 1;
            }
            self.runs_written = 0;
            self.received.pop_front();
            if self.queue.wrote_received(message.bytes.len()) {
                (self.on_progress)(Progress::Room);
            }
        }
        Ok(())
    }

    /// The records that follow are of another epoch than those before, or may be: after a cut an epoch of
    /// the same number can have another leader.
    fn enter_epoch(&mut self, epoch: Epoch) -> Result<(), WriteError> {
        let epochs = self.queue.epochs();
        let entry = epochs.entries().iter().find(|entry| entry.epoch == epoch).copied();
        let entry = entry.expect("records are handed over after the epoch that they belong to");
        self.note_epoch(entry, EpochCause::Grant)
    }

    /// Notes that an epoch begins.
    pub(super) fn note_epoch(
        &mut self,
        entry: EpochEntry,
        cause: EpochCause,
    ) -> Result<(), WriteError> {
        self.writer.append_note(&Note::EpochStart { shard: SHARD, entry, cause })?;
        (self.epoch, self.noted) = (entry.epoch, Some(entry.epoch));
        Ok(())
    }

    /// Notes that an epoch of this node begins, for certain.
    pub(super) fn begin_epoch(
        &mut self,
        entry: EpochEntry,
        cause: EpochCause,
    ) -> Result<(), LogLost> {
        let noted = self.note_epoch(entry, cause).and_then(|()| self.writer.sync());
        noted.map_err(|error| self.lost(error))?;
        self.tell();
        Ok(())
    }

    pub(crate) fn writer_mut(&mut self) -> &mut Writer<D> {
        &mut self.writer
    }

    /// The records behind `to` are cut off.
    pub(super) fn continue_after(&mut self, to: Lsn) {
        self.merge = Merge::starting_after(to);
        self.noted = None;
        self.tell_extent();
        self.tell();
    }

    /// The log is another one.
    pub(super) fn continue_with(&mut self, writer: Writer<D>, epoch: Epoch) {
        self.retired_bytes += self.writer.log_bytes();
        self.writer = writer;
        self.epoch = epoch;
        (self.covered, self.retained_after) = (Lsn::ZERO, Lsn::ZERO);
        self.spare_ready = false;
        self.continue_after(self.writer.appended(stream()));
    }

    /// Whether everything that was handed over is written.
    fn is_drained(&self) -> bool {
        self.merge.is_empty() && self.received.is_empty()
    }

    fn tell_extent(&self) {
        let (floor_bytes, kept_bytes) = (self.retired_bytes, self.writer.log_bytes());
        let end = self.writer.written_end(stream());
        self.queue.set_extent(Extent { end, end_bytes: floor_bytes + kept_bytes, floor_bytes });
    }

    fn tell(&mut self) {
        let (appended, durable) = (self.writer.written(stream()), self.writer.durable(stream()));
        let before = (self.queue.appended(), self.queue.durable());
        if appended != before.0 || self.queue.extent().is_none() {
            self.tell_extent();
        }
        self.queue.set_progress(appended, durable);
        if durable != before.1 {
            (self.on_progress)(Progress::Synced);
        } else if appended != before.0 {
            (self.on_progress)(Progress::Written);
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

    /// Drops segments whose records are all in a valid snapshot, and that no follower needs.
    fn retain(&mut self) -> Result<(), LogLost> {
        self.covered = self.queue.take_retain().unwrap_or(self.covered);
        let needed_after = self.queue.needed_after().unwrap_or(self.covered).min(self.covered);
        if needed_after <= self.retained_after {
            return Ok(());
        }
        let mut positions = Positions::new();
        positions.set(stream(), needed_after);
        let before = self.writer.log_bytes();
        let retained = self.writer.retain(&positions);
        self.retired_bytes += before - self.writer.log_bytes();
        self.tell_extent();
        match retained {
            Ok(_) => self.retained_after = needed_after,
            Err(error) => {
                self.failed(error, false)?;
            }
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

    pub(super) fn lost(&self, error: WriteError) -> LogLost {
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
