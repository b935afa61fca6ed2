//! Start: the newest valid snapshot, then the log from where it began.

use trefoil_clock::{Epoch, Hlc, Lsn};
use trefoil_log::{
    Disk, EpochCause, EpochEntry, FrameBody, Identity, Note, Positions, RecoverError, Recovered,
    SnapshotError, SnapshotReader, WriteError, Writer, WriterOptions, newest_valid, recover,
    remove_unfinished,
};
use trefoil_store::apply::{apply, load};
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
    /// A snapshot can't be read.
    #[error("a snapshot can't be read: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The directory can't be read.
    #[error("the data directory can't be read: {0}")]
    Io(#[from] std::io::Error),
    /// The log begins after the newest snapshot ends.
    #[error(
        "records {0} to {1} are neither in a valid snapshot nor in the log; restore the missing files or start with an empty data directory"
    )]
    Hole(Lsn, Lsn),
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Keys in the snapshot that was loaded.
    pub snapshot_keys: u64,
    /// Its start, 0 without one.
    pub snapshot_lsn: Lsn,
    /// What the log held.
    pub log: Recovered,
    /// The epoch that begins now, or goes on.
    pub epoch: Epoch,
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
    /// Writers of counters: workers and one for everybody else.
    pub tallies: usize,
    /// How the log is written.
    pub log: WriterOptions,
}

/// Loads what the disk holds.
pub fn start<D: Disk>(disk: D, options: StartOptions) -> Result<Started<D>, StartError> {
    remove_unfinished(&disk)?;
    let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
    let keyspace = Keyspace::new(options.hasher, sequencer, options.tallies);
    let mut replayer = StoreWriter::new(options.tallies - 1, 1);
    let (snapshot, _rejected) = newest_valid(&disk, options.identity, SHARD, Lsn(u64::MAX))?;
    let (mut snapshot_keys, mut snapshot_lsn, mut snapshot_end) = (0, Lsn::ZERO, Lsn::ZERO);
    if let Some(snapshot) = &snapshot {
        snapshot_lsn = snapshot.header().start_lsn;
        snapshot_end = snapshot.footer().end.lsn;
        snapshot_keys = load_snapshot(snapshot, &keyspace, &mut replayer)?;
    }
    let mut from = Positions::new();
    from.set(stream(), snapshot_lsn);
    let log = recover(&disk, options.identity, &from, |frame| {
        if let FrameBody::Runs(runs) = &frame.body {
            for run in runs.iter() {
                for record in run.records() {
                    let record = record?;
                    if record.lsn > snapshot_lsn {
                        let stamp = Stamp { lsn: record.lsn, hlc: record.hlc };
                        apply(&keyspace, &mut replayer, stamp, record.effects)?;
                    }
                }
            }
        }
        Ok(())
    })?;
    let end = log.end.positions.get(stream());
    if end < snapshot_end {
        return Err(StartError::Hole(end.next(), snapshot_end));
    }
    keyspace.sequencer().resume(end, log.end.last_hlc);
    let (writer, epoch) = continue_log(disk, &options, &log, end)?;
    let report = Report { snapshot_keys, snapshot_lsn, log, epoch };
    Ok(Started { keyspace, writer, report })
}

fn load_snapshot<F: trefoil_log::DiskFile>(
    snapshot: &SnapshotReader<F>,
    keyspace: &Keyspace,
    replayer: &mut StoreWriter,
) -> Result<u64, StartError> {
    let mut buffer = Vec::new();
    let mut keys = 0;
    for piece in snapshot.index()? {
        let mut payload = snapshot.read_piece(&piece, &mut buffer)?;
        while !payload.is_empty() {
            load(keyspace, replayer, &mut payload).map_err(|_| SnapshotError::Footer)?;
            keys += 1;
        }
    }
    Ok(keys)
}

/// Opens the log behind what was recovered, in a new epoch unless the last stop was clean.
fn continue_log<D: Disk>(
    disk: D,
    options: &StartOptions,
    log: &Recovered,
    end: Lsn,
) -> Result<(Writer<D>, Epoch), StartError> {
    let last = log.epochs.get(&SHARD).and_then(|epochs| epochs.last()).copied();
    let mut writer = Writer::open(disk, options.identity, log.end.clone(), options.log.clone())?;
    let (epoch, cause) = match last {
        None => (Epoch(1), EpochCause::FirstStart),
        Some(last) if log.clean_stop => (last.epoch, EpochCause::CleanRestart),
        Some(last) => (last.epoch.next(), EpochCause::DirtyRestart),
    };
    if cause != EpochCause::CleanRestart {
        let entry = EpochEntry { epoch, first_lsn: end.next() };
        writer.append_note(&Note::EpochStart { shard: SHARD, entry, cause })?;
        writer.sync()?;
    }
    Ok((writer, epoch))
}
