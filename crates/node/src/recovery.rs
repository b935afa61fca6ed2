//! Start: the newest valid snapshot, then the log from where it began. A running node does the same when
//! its history was cut or a snapshot was installed.
//!
//! Invariants: nothing is served before the log has been replayed up to the snapshot's end (rule
//! 13); a snapshot that ends behind the log's end, or that is damaged, is passed over for an older
//! one, and said so; damage changes nothing on disk. A snapshot's name alone proves that the log was
//! durable up to its end, so a log that ends earlier is never taken for a whole one. Once an older
//! snapshot was used instead, a newer one is void for ever: its records will be numbered again.
//! Records that a cut of history voids are not applied. An epoch that anything on the disk tells of is
//! never used for other records.

mod attempt;
mod epochs;
mod pieces;
#[cfg(test)]
mod tests;

use trefoil_clock::{Epoch, EpochTable, Hlc, Lsn};
use trefoil_log::{
    Disk, EpochCause, Identity, RecoverError, Recovered, WriteError, Writer, WriterOptions,
    forget_seeds, void_snapshots_after,
};
use trefoil_store::{KeyHasher, Keyspace, Sequencer};

use self::attempt::Attempts;
use self::epochs::Epochs;
use crate::log::stream;

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
    /// Nothing is served before this record is applied (rule 13). It may be behind the log's end only if
    /// the snapshot came from another node.
    pub ready_after: Lsn,
    /// What the log held.
    pub log: Recovered,
    /// Whose data it is.
    pub identity: Identity,
    /// The epoch that begins now, or goes on.
    pub epoch: Epoch,
    /// Why it does, or why the next one would.
    pub cause: EpochCause,
    /// All epochs, this one included: a snapshot keeps them.
    pub epochs: EpochTable,
    /// An epoch that was never used, as far as this disk tells.
    pub next_epoch: Epoch,
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

/// A log to go on with; no epoch has begun.
pub struct Loaded<D: Disk> {
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

/// Loads what the disk holds, for a node that leads: in a new epoch, unless its last stop was clean.
pub fn start<D: Disk>(disk: D, options: StartOptions) -> Result<Started<D>, StartError> {
    let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
    let keyspace = Keyspace::new(options.hasher, sequencer, options.tallies);
    let mut loaded = load_into(&keyspace, disk, &options)?;
    loaded.lead()?;
    let Loaded { writer, report } = loaded;
    Ok(Started { keyspace, writer, report })
}

/// Loads what the disk holds into a keyspace, whatever that held before. Begins no epoch: a node that
/// follows does not, one that leads calls [`Loaded::lead`].
///
/// Nobody else uses the keyspace meanwhile, nor the log, whose writer is gone.
///
/// # Errors
/// The keyspace holds nothing of use then.
pub fn load_into<D: Disk>(
    keyspace: &Keyspace,
    disk: D,
    options: &StartOptions,
) -> Result<Loaded<D>, StartError> {
    let (snapshot, log, rejected) = Attempts::new(keyspace, &disk, options).run()?;
    let end = log.end.positions.get(stream());
    keyspace.sequencer().resume(end, log.end.last_hlc.max(snapshot.end.1));
    let seed_end = if snapshot.is_seed { snapshot.end.0 } else { Lsn::ZERO };
    let voided = void_snapshots_after(&disk, end.max(seed_end))?;
    if end >= seed_end {
        forget_seeds(&disk)?;
    }
    // What an older snapshot and a log that fits it make of the data is a state that once was, not
    // necessarily the last one.
    let is_newest = rejected.is_empty() && voided.is_empty();
    let Epochs { table: epochs, next: next_epoch } = Epochs::find(&disk, &snapshot.epochs, &log)?;
    let cause = match epochs.last() {
        None => EpochCause::FirstStart,
        Some(last) if last.leader != options.identity.node => EpochCause::Grant,
        Some(_) if log.clean_stop && is_newest => EpochCause::CleanRestart,
        Some(_) => EpochCause::DirtyRestart,
    };
    let writer = Writer::open(disk, options.identity, log.end.clone(), options.log.clone())?;
    let report = Report {
        snapshot_keys: snapshot.keys,
        snapshot_lsn: snapshot.start_lsn,
        snapshot_name: snapshot.name,
        snapshot_bytes: snapshot.bytes,
        ready_after: snapshot.end.0,
        rejected,
        log,
        identity: options.identity,
        epoch: epochs.last().map_or(Epoch::default(), |last| last.epoch),
        cause,
        epochs,
        next_epoch,
    };
    Ok(Loaded { writer, report })
}
