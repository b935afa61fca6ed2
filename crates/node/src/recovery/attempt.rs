//! Attempts to load a state: a snapshot and the log behind it. If they do not fit each other, or records
//! turn out to be void, the next attempt begins with nothing.

use trefoil_clock::{EpochEntry, Hlc, Lsn};
use trefoil_log::{
    Disk, Frame, FrameBody, FrameSeq, Note, Positions, RecoverError, Recovered, Runs, ScanError,
    SegmentNo, SnapshotError, Voids, list_snapshots, newest_valid, recover_up_to,
    remove_unfinished, seeded_until,
};
use trefoil_store::Keyspace;
use trefoil_store::apply::apply;
use trefoil_store::record::Stamp;
use trefoil_store::txn::Writer as StoreWriter;

use super::{Rejected, StartError, StartOptions, pieces};
use crate::log::{SHARD, stream};

/// What is known of the snapshot that was loaded; the default: there is none.
#[derive(Default)]
pub(super) struct LoadedSnapshot {
    pub(super) name: Option<String>,
    pub(super) keys: u64,
    pub(super) bytes: u64,
    pub(super) start_lsn: Lsn,
    pub(super) end: (Lsn, Hlc),
    /// Whether it came from another node and the log may not have reached its end yet.
    pub(super) is_seed: bool,
    pub(super) epochs: Vec<EpochEntry>,
}

type Loaded = (LoadedSnapshot, Recovered, Vec<Rejected>);

/// What the attempts so far have shown.
pub(super) struct Attempts<'a, D: Disk> {
    keyspace: &'a Keyspace,
    disk: &'a D,
    options: &'a StartOptions,
    /// Snapshots that end behind it do not fit the log.
    up_to: Lsn,
    rejected: Vec<Rejected>,
    /// Cuts of history that are known.
    voids: Voids,
}

impl<'a, D: Disk> Attempts<'a, D> {
    pub(super) fn new(
        keyspace: &'a Keyspace,
        disk: &'a D,
        options: &'a StartOptions,
    ) -> Attempts<'a, D> {
        let (up_to, rejected, voids) = (Lsn(u64::MAX), Vec::new(), Voids::default());
        Attempts { keyspace, disk, options, up_to, rejected, voids }
    }

    /// Until one succeeds, or none can.
    pub(super) fn run(mut self) -> Result<Loaded, StartError> {
        remove_unfinished(self.disk)?;
        loop {
            let snapshot = self.load_snapshot()?;
            let floor = match snapshot.name {
                // The log of the snapshot's end is another node's, and yet to come from there.
                Some(_) if snapshot.is_seed => snapshot.start_lsn,
                Some(_) => snapshot.end.0,
                None => self.newest_end()?,
            };
            let mut replay = Replay::new(&self, snapshot.start_lsn);
            match replay.run(self.disk, floor) {
                Ok(Replayed::Whole(log)) => return Ok((snapshot, *log, self.rejected)),
                Ok(Replayed::Void(voids)) => self.voids = voids,
                Err(error) => self.pass_over(snapshot, error)?,
            }
        }
    }

    fn newest_end(&self) -> std::io::Result<Lsn> {
        Ok(list_snapshots(self.disk)?.first().map_or(Lsn::ZERO, |newest| newest.end_lsn))
    }

    /// Goes back to an older snapshot if the log lost its end after this one was taken.
    fn pass_over(
        &mut self,
        snapshot: LoadedSnapshot,
        error: RecoverError,
    ) -> Result<(), StartError> {
        let end = snapshot.end.0;
        let found = match error {
            // Behind the snapshot's end, not before its start.
            RecoverError::Scan(ScanError::Missing { found, needed, .. })
                if snapshot.name.is_some() && found < needed && found < end =>
            {
                found
            }
            log if self.rejected.is_empty() => return Err(log.into()),
            log => {
                let rejected = std::mem::take(&mut self.rejected);
                return Err(StartError::NoSnapshot { log: Box::new(log), rejected });
            }
        };
        if !list_snapshots(self.disk)?.iter().any(|other| other.end_lsn <= found) {
            return Err(StartError::Hole(found.next(), end));
        }
        let reason = format!("it ends at record {end}, the log at {found}");
        self.rejected.push(Rejected { name: snapshot.name.unwrap_or_default(), reason });
        self.up_to = found;
        Ok(())
    }

    /// Loads the newest usable snapshot that fits the log, into a keyspace that holds nothing else.
    fn load_snapshot(&mut self) -> Result<LoadedSnapshot, StartError> {
        loop {
            self.keyspace.reset();
            let identity = self.options.identity;
            let (reader, unusable) = newest_valid(self.disk, identity, SHARD, self.up_to)?;
            for (snapshot, error) in unusable {
                self.reject(snapshot.name, &error);
            }
            let Some(reader) = reader else { return Ok(LoadedSnapshot::default()) };
            let (header, end) = (reader.header(), reader.footer().end);
            let mut snapshots = list_snapshots(self.disk)?.into_iter();
            let name = snapshots.find(|one| one.end_lsn == end.lsn).map(|one| one.name);
            match pieces::load(&reader, self.keyspace, self.options.tallies) {
                Ok(keys) => {
                    return Ok(LoadedSnapshot {
                        name,
                        keys,
                        bytes: reader.pieces_bytes(),
                        start_lsn: header.start_lsn,
                        end: (end.lsn, end.hlc),
                        is_seed: seeded_until(self.disk)? == Some(end.lsn),
                        epochs: header.epochs.clone(),
                    });
                }
                Err(error) => self.reject(name.unwrap_or_default(), &error),
            }
            let Some(before) = end.lsn.0.checked_sub(1) else {
                self.keyspace.reset();
                return Ok(LoadedSnapshot::default());
            };
            self.up_to = Lsn(before);
        }
    }

    fn reject(&mut self, name: String, error: &SnapshotError) {
        let one = Rejected { name, reason: error.to_string() };
        if !self.rejected.contains(&one) {
            self.rejected.push(one);
        }
    }
}

type ApplyError = Box<dyn std::error::Error + Send + Sync>;

/// What came of applying the log's records.
enum Replayed {
    /// All that count were applied, and nothing else.
    Whole(Box<Recovered>),
    /// Records were applied that later notes, which are known now, void.
    Void(Voids),
}

/// Applies the log's records after a snapshot's start.
struct Replay<'a> {
    keyspace: &'a Keyspace,
    options: &'a StartOptions,
    voids: &'a Voids,
    writer: StoreWriter,
    from: Lsn,
    /// The last record that was applied.
    applied: Lsn,
    /// Whether void records were applied: the rest is only read to know all cuts.
    spoiled: bool,
    /// A record that could not be applied. It may be void: then no wonder.
    failed: Option<Failed>,
}

struct Failed {
    seq: FrameSeq,
    lsn: Lsn,
    segment: SegmentNo,
    offset: u64,
    error: ApplyError,
}

impl<'a> Replay<'a> {
    fn new<D: Disk>(attempts: &'a Attempts<'a, D>, from: Lsn) -> Replay<'a> {
        let Attempts { keyspace, options, voids, .. } = attempts;
        let writer = StoreWriter::new(options.tallies - 1, 1);
        Replay {
            keyspace,
            options,
            voids,
            writer,
            from,
            applied: from,
            spoiled: false,
            failed: None,
        }
    }

    /// The log's records have to reach `floor`.
    fn run<D: Disk>(&mut self, disk: &D, floor: Lsn) -> Result<Replayed, RecoverError> {
        let at = |lsn| Positions::from_iter([(stream(), lsn)]);
        let (from, identity) = (at(self.from), self.options.identity);
        let log = recover_up_to(disk, identity, &from, &at(floor), |frame| {
            match &frame.body {
                FrameBody::Runs(runs) => self.apply(frame, runs),
                FrameBody::Note(Note::Truncate { shard, lsn }) if *shard == SHARD => {
                    let voids_applied = self.applied > self.from && self.applied > *lsn;
                    self.spoiled |= voids_applied && !self.knows(frame.header.seq);
                }
                FrameBody::Note(_) => {}
            }
            Ok(())
        })?;
        match self.failed.take() {
            Some(failed) if failed.lsn <= log.end.voids.end_of(stream(), failed.seq) => {
                let segment = log.end.segments.iter().find(|one| one.number == failed.segment);
                let file = segment.map_or_else(|| ".".to_owned(), |segment| segment.name());
                let Failed { seq, offset, error: source, .. } = failed;
                Err(RecoverError::Sink { seq, file, offset, source })
            }
            Some(_) => Ok(Replayed::Void(log.end.voids)),
            None if self.spoiled => Ok(Replayed::Void(log.end.voids)),
            None => Ok(Replayed::Whole(Box::new(log))),
        }
    }

    fn knows(&self, note: FrameSeq) -> bool {
        self.voids.iter().any(|void| void.seq == note)
    }

    fn apply(&mut self, frame: &Frame<'_>, runs: &Runs<'_>) {
        if self.spoiled || self.failed.is_some() {
            return;
        }
        let seq = frame.header.seq;
        let end = self.voids.end_of(stream(), seq);
        for record in runs.iter().flat_map(|run| run.records()) {
            let applied = record.map_err(ApplyError::from).and_then(|record| {
                if record.lsn > self.from && record.lsn <= end {
                    let stamp = Stamp { lsn: record.lsn, hlc: record.hlc };
                    apply(self.keyspace, &mut self.writer, stamp, record.effects)?;
                    self.applied = record.lsn;
                }
                Ok(())
            });
            if let Err(error) = applied {
                let (segment, offset) = (frame.segment, frame.offset);
                let lsn = self.applied.next();
                self.failed = Some(Failed { seq, lsn, segment, offset, error });
                return;
            }
        }
    }
}
