//! Start: the newest valid snapshot, then the log from where it began.
//!
//! Invariants: nothing is served before the log has been replayed up to the snapshot's end (rule
//! 13); a snapshot that ends behind the log's end, or that is damaged, is passed over for an older
//! one, and said so; damage changes nothing on disk. A snapshot's name alone proves that the log was
//! durable up to its end, so a log that ends earlier is never taken for a whole one. Once an older
//! snapshot was used instead, a newer one is void for ever: its records will be numbered again.

mod pieces;
#[cfg(test)]
mod tests;

use trefoil_clock::{Epoch, EpochEntry, EpochTable, Hlc, Lsn};
use trefoil_log::{
    Disk, EpochCause, Frame, FrameBody, Identity, Note, Positions, RecoverError, Recovered,
    ScanError, SnapshotError, WriteError, Writer, WriterOptions, list_snapshots, newest_valid,
    recover_up_to, remove_unfinished,
};
use trefoil_store::apply::apply;
use trefoil_store::record::Stamp;
use trefoil_store::txn::Writer as StoreWriter;
use trefoil_store::{KeyHasher, Keyspace, Sequencer};

use crate::log::{SHARD, stream};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log can't be read or is damaged.
    #[error(transparent)]
    Log(#[from] RecoverError),
    /// The log can't be written.
    #[error("the log was read but can't be continued: {0}")]
    Write(#[from] WriteError),
    /// The directory can't be read.
    #[error("the data directory can't be read: {0}")]
    Io(#[from] std::io::Error),
    /// The log ends before the snapshot does.
    #[error(
        "records {0} to {1} are neither in a valid snapshot nor in the log; nothing was changed. \
         Restore the missing files, or start with an empty data directory"
    )]
    Hole(Lsn, Lsn),
    /// No snapshot could be used, and the log alone does not begin early enough.
    #[error("{log}. The snapshots that could have helped are unusable: {}", list(.rejected))]
    NoSnapshot {
        /// What the log says.
        log: Box<RecoverError>,
        /// The snapshots.
        rejected: Vec<Rejected>,
    },
}

/// A snapshot that was passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// The file.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

fn list(rejected: &[Rejected]) -> String {
    let lines: Vec<_> =
        rejected.iter().map(|one| format!("{}: {}", one.name, one.reason)).collect();
    lines.join("; ")
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Keys in the snapshot that was loaded.
    pub snapshot_keys: u64,
    /// Its start, 0 without one.
    pub snapshot_lsn: Lsn,
    /// Its file, if there is one.
    pub snapshot_name: Option<String>,
    /// Bytes of its pieces.
    pub snapshot_bytes: u64,
    /// Newer ones that could not be used.
    pub rejected: Vec<Rejected>,
    /// What the log held.
    pub log: Recovered,
    /// Whose data it is.
    pub identity: Identity,
    /// The epoch that begins now, or goes on.
    pub epoch: Epoch,
    /// Why it does.
    pub cause: EpochCause,
    /// All epochs, this one included: a snapshot keeps them.
    pub epochs: EpochTable,
}

/// A keyspace as it was, and the log to go on with.
pub struct Started<D: Disk> {
    /// The data.
    pub keyspace: Keyspace,
    /// The log.
    pub writer: Writer<D>,
    /// What was found.
    pub report: Report,
}

/// How to start.
#[derive(Clone)]
pub struct StartOptions {
    /// Who this node is.
    pub identity: Identity,
    /// Hashes keys.
    pub hasher: KeyHasher,
    /// Writers of counters: workers and one for everybody else. As many threads load a snapshot.
    pub tallies: usize,
    /// How the log is written.
    pub log: WriterOptions,
}

/// Loads what the disk holds.
pub fn start<D: Disk>(disk: D, options: StartOptions) -> Result<Started<D>, StartError> {
    remove_unfinished(&disk)?;
    let mut rejected = Vec::new();
    let mut up_to = Lsn(u64::MAX);
    let (keyspace, snapshot, log) = loop {
        let attempt = Attempt::load(&disk, &options, up_to, &mut rejected)?;
        let (end, name) = (attempt.snapshot.end.0, attempt.snapshot.name.clone());
        let floor = match name {
            Some(_) => end,
            None => list_snapshots(&disk)?.first().map_or(Lsn::ZERO, |newest| newest.end_lsn),
        };
        let error = match replay(&disk, &options, &attempt, floor) {
            Ok(log) => break (attempt.keyspace, attempt.snapshot, log),
            Err(error) => error,
        };
        let found = match error {
            // Behind the snapshot's end, not before its start.
            RecoverError::Scan(ScanError::Missing { found, needed, .. })
                if name.is_some() && found < needed && found < end =>
            {
                found
            }
            log if rejected.is_empty() => return Err(log.into()),
            log => {
                return Err(StartError::NoSnapshot { log: Box::new(log), rejected });
            }
        };
        // The log lost its end after the snapshot was taken: an older snapshot may fit.
        if !list_snapshots(&disk)?.iter().any(|other| other.end_lsn <= found) {
            return Err(StartError::Hole(found.next(), end));
        }
        let reason = format!("it ends at record {end}, the log at {found}");
        rejected.push(Rejected { name: name.unwrap_or_default(), reason });
        up_to = found;
    };
    let (end, identity) = (log.end.positions.get(stream()), options.identity);
    keyspace.sequencer().resume(end, log.end.last_hlc.max(snapshot.end.1));
    void_after(&disk, end)?;
    let mut epochs = join(snapshot.epochs, log.epochs.get(&SHARD));
    let (writer, epoch, cause) = continue_log(disk, &options, &log, &mut epochs, end)?;
    let report = Report {
        snapshot_keys: snapshot.keys,
        snapshot_lsn: snapshot.start_lsn,
        snapshot_name: snapshot.name,
        snapshot_bytes: snapshot.bytes,
        rejected,
        log,
        identity,
        epoch,
        cause,
        epochs,
    };
    Ok(Started { keyspace, writer, report })
}

/// What is known of the snapshot that was loaded; the default: there is none.
#[derive(Default)]
struct Loaded {
    name: Option<String>,
    keys: u64,
    bytes: u64,
    start_lsn: Lsn,
    end: (Lsn, Hlc),
    epochs: EpochTable,
}

struct Attempt {
    keyspace: Keyspace,
    snapshot: Loaded,
}

impl Attempt {
    /// Loads the newest usable snapshot that ends at or before `up_to`.
    fn load<D: Disk>(
        disk: &D,
        options: &StartOptions,
        mut up_to: Lsn,
        rejected: &mut Vec<Rejected>,
    ) -> Result<Attempt, StartError> {
        loop {
            let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
            let keyspace = Keyspace::new(options.hasher, sequencer, options.tallies);
            let (reader, unusable) = newest_valid(disk, options.identity, SHARD, up_to)?;
            for (snapshot, error) in unusable {
                reject(rejected, snapshot.name, &error);
            }
            let Some(reader) = reader else {
                return Ok(Attempt { keyspace, snapshot: Loaded::default() });
            };
            let (header, end) = (reader.header(), reader.footer().end);
            let name = list_snapshots(disk)?.into_iter().find(|one| one.end_lsn == end.lsn);
            let name = name.map(|one| one.name);
            match pieces::load(&reader, &keyspace, options.tallies) {
                Ok(keys) => {
                    let snapshot = Loaded {
                        name,
                        keys,
                        bytes: reader.pieces_bytes(),
                        start_lsn: header.start_lsn,
                        end: (end.lsn, end.hlc),
                        epochs: table(&header.epochs),
                    };
                    return Ok(Attempt { keyspace, snapshot });
                }
                Err(error) => reject(rejected, name.unwrap_or_default(), &error),
            }
            let Some(before) = end.lsn.0.checked_sub(1) else {
                let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
                let keyspace = Keyspace::new(options.hasher, sequencer, options.tallies);
                return Ok(Attempt { keyspace, snapshot: Loaded::default() });
            };
            up_to = Lsn(before);
        }
    }
}

fn reject(rejected: &mut Vec<Rejected>, name: String, error: &SnapshotError) {
    let one = Rejected { name, reason: error.to_string() };
    if !rejected.contains(&one) {
        rejected.push(one);
    }
}

/// Renames the snapshots that end after the log does, before anything is written: what they hold of
/// records behind that end must never be taken for records that get the same numbers.
fn void_after<D: Disk>(disk: &D, end: Lsn) -> std::io::Result<()> {
    let snapshots = list_snapshots(disk)?;
    let mut voided = snapshots.iter().filter(|snapshot| snapshot.end_lsn > end).peekable();
    if voided.peek().is_none() {
        return Ok(());
    }
    for snapshot in voided {
        disk.rename(&snapshot.name, &format!("{}.void", snapshot.name))?;
    }
    disk.sync_dir()
}

/// Applies the log's records after the snapshot's start, which have to reach `floor`.
fn replay<D: Disk>(
    disk: &D,
    options: &StartOptions,
    Attempt { keyspace, snapshot }: &Attempt,
    floor: Lsn,
) -> Result<Recovered, RecoverError> {
    let mut replayer = StoreWriter::new(options.tallies - 1, 1);
    let from = snapshot.start_lsn;
    let at = |lsn| {
        let mut positions = Positions::new();
        positions.set(stream(), lsn);
        positions
    };
    recover_up_to(disk, options.identity, &at(from), &at(floor), |frame: &Frame<'_>| {
        let FrameBody::Runs(runs) = &frame.body else { return Ok(()) };
        for record in runs.iter().flat_map(|run| run.records()) {
            let record = record?;
            if record.lsn > from {
                let stamp = Stamp { lsn: record.lsn, hlc: record.hlc };
                apply(keyspace, &mut replayer, stamp, record.effects)?;
            }
        }
        Ok(())
    })
}

/// Opens the log behind what was recovered, in a new epoch unless the last stop was clean.
fn continue_log<D: Disk>(
    disk: D,
    options: &StartOptions,
    log: &Recovered,
    epochs: &mut EpochTable,
    end: Lsn,
) -> Result<(Writer<D>, Epoch, EpochCause), StartError> {
    let mut writer = Writer::open(disk, options.identity, log.end.clone(), options.log.clone())?;
    let (epoch, cause) = match epochs.last() {
        None => (Epoch(1), EpochCause::FirstStart),
        Some(last) if log.clean_stop => (last.epoch, EpochCause::CleanRestart),
        Some(last) => (last.epoch.next(), EpochCause::DirtyRestart),
    };
    if cause != EpochCause::CleanRestart {
        let entry = EpochEntry { epoch, leader: options.identity.node, first_lsn: end.next() };
        writer.append_note(&Note::EpochStart { shard: SHARD, entry, cause })?;
        writer.sync()?;
        epochs.push(entry);
    }
    Ok((writer, epoch, cause))
}

/// The table in a snapshot's header.
fn table(entries: &[EpochEntry]) -> EpochTable {
    let mut table = EpochTable::default();
    for entry in entries {
        continue_with(&mut table, *entry);
    }
    table
}

/// The snapshot's table with the log's notes after it.
fn join(mut epochs: EpochTable, log: Option<&Vec<EpochEntry>>) -> EpochTable {
    for entry in log.into_iter().flatten() {
        continue_with(&mut epochs, *entry);
    }
    epochs
}

/// Adds an epoch if it is not there yet.
fn continue_with(epochs: &mut EpochTable, entry: EpochEntry) {
    if epochs.last().is_none_or(|last| last.epoch < entry.epoch) {
        epochs.push(entry);
    }
}
