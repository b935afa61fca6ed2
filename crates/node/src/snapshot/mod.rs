//! Snapshots while serving: pieces of the keyspace, each as it is when its turn comes, and the log
//! from the start on, which makes them one state again.
//!
//! Sans-IO but for the [`Disk`]: a thread of the shell calls [`Snapshot::step`] and decides when.
//!
//! Why it is right. A record takes its LSN while the stripes of its keys are locked, and keeps them
//! until its values are changed; a piece is encoded under the lock of its stripe. So a record that
//! was numbered before the start was sampled is wholly in every piece that it belongs to. Exclusive
//! transactions take their number before they lock what they touch: therefore the snapshot is one
//! more party at the exclusive gate, and samples its start, and takes each piece, inside it.
//!
//! Invariants: a stripe is held for one segment of its index, large values are shared, not copied,
//! meanwhile; a snapshot gets its name only when the log is durable up to its end (rule 13); older
//! snapshots and the log before the start go only after that.

mod policy;
mod status;

use std::io;
use std::sync::Arc;

use trefoil_clock::Lsn;
use trefoil_log::{Disk, PieceHead, SnapshotEnd, SnapshotHeader, SnapshotWriter, list_snapshots};
use trefoil_store::key::STRIPES;
use trefoil_store::record::codec::TABLES;
use trefoil_store::walk;

pub use policy::{Due, SavePoint, changes_since, due};
pub use status::{Asked, Busy, SnapshotStatus};

use crate::log::{LogHealth, SHARD};
use crate::node::Node;

/// The table of the piece that holds the databases' names instead of entries.
pub const NAMES_TABLE: u8 = 255;

/// Bits of a place that the range in a piece's head does without, to make room for the stripe.
const PLACE_DROPPED_BITS: u32 = 10;

/// What a step came to.
#[derive(Debug)]
pub enum Step {
    /// There is more to do.
    Working,
    /// Somebody runs alone: try again soon.
    Blocked,
    /// All pieces are written; the log has to become durable up to the end.
    Syncing,
    /// The snapshot is valid.
    Done(Finished),
}

/// A valid snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished {
    /// The file's name.
    pub name: String,
    /// Keys in it.
    pub keys: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// Older snapshots that it replaced.
    pub removed: usize,
    /// Where it began: the log before it is not needed any more.
    pub start_lsn: Lsn,
}

/// A snapshot being taken.
pub struct Snapshot<D: Disk> {
    node: Arc<Node>,
    disk: D,
    /// None: it has its name.
    file: Option<SnapshotWriter<D>>,
    start_lsn: Lsn,
    /// Where the next piece begins: table, stripe, place. None: all are taken.
    at: Option<(u8, u16, u64)>,
    end: Option<SnapshotEnd>,
    keys: u64,
    payload: Vec<u8>,
}

impl<D: Disk> Snapshot<D> {
    /// Begins a snapshot. None: somebody runs alone, try again soon.
    pub fn begin(node: &Arc<Node>, disk: D) -> io::Result<Option<Snapshot<D>>> {
        let sampled =
            inside_the_gate(node, || (node.keyspace.sequencer().last(), node.keyspace.names()));
        let Some((start, (names, names_version))) = sampled else { return Ok(None) };
        let header = SnapshotHeader {
            identity: node.replication.identity(),
            shard: SHARD,
            start_lsn: start.lsn,
            start_hlc: start.hlc,
            epochs: node.replication.epochs().entries().to_vec(),
        };
        let mut file = SnapshotWriter::create(disk.clone(), &header)?;
        let mut payload = names_version.to_le_bytes().to_vec();
        payload.extend_from_slice(&names);
        let raw_len = payload.len() as u32;
        let (lsn, table) = (start.lsn, NAMES_TABLE);
        file.piece(&PieceHead { table, lo: 0, hi: 0, lsn, records: 0, raw_len }, &payload)?;
        Ok(Some(Snapshot {
            node: Arc::clone(node),
            disk,
            file: Some(file),
            start_lsn: start.lsn,
            at: Some((0, 0, 0)),
            end: None,
            keys: 0,
            payload,
        }))
    }

    /// Does a little of the work.
    ///
    /// # Errors
    /// The snapshot is to be given up, see [`Snapshot::abandon`].
    pub fn step(&mut self) -> io::Result<Step> {
        if let Some(at) = self.at {
            return self.take_piece(at);
        }
        let log = &self.node.log;
        let end = *self.end.get_or_insert_with(|| {
            let last = self.node.keyspace.sequencer().last();
            SnapshotEnd { lsn: last.lsn, hlc: last.hlc }
        });
        if log.durable() >= end.lsn {
            return self.finish(end).map(Step::Done);
        }
        if log.health() != LogHealth::Writing {
            return Err(io::Error::other("the log can't be written, so it does not reach its end"));
        }
        log.want_sync();
        Ok(Step::Syncing)
    }

    /// Gives up. A file that can't be removed is removed by the next start.
    pub fn abandon(self) -> io::Result<()> {
        self.file.map_or(Ok(()), SnapshotWriter::abandon)
    }

    /// Encodes and writes one segment's entries.
    fn take_piece(&mut self, (table, stripe, place): (u8, u16, u64)) -> io::Result<Step> {
        if table == TABLES || !self.node.keyspace.has_table(table) {
            self.at = (table < TABLES).then_some((table + 1, 0, 0));
            return Ok(Step::Working);
        }
        self.payload.clear();
        let (node, payload) = (&self.node, &mut self.payload);
        let taken =
            inside_the_gate(node, || walk::piece(&node.keyspace, table, stripe, place, payload));
        let Some(piece) = taken else { return Ok(Step::Blocked) };
        let position = |place: u64| {
            (u64::from(stripe) << (64 - PLACE_DROPPED_BITS)) | (place >> PLACE_DROPPED_BITS)
        };
        let hi = position(piece.next_place.unwrap_or(u64::MAX));
        let head =
            PieceHead { table, lo: position(place), hi, lsn: piece.lsn, records: 0, raw_len: 0 };
        self.write(head, piece.entries as u32)?;
        for large in &piece.large {
            self.payload.clear();
            large.encode(&mut self.payload);
            self.write(head, 1)?;
        }
        if piece.large.is_empty() {
            self.payload.shrink_to(1 << 20);
        } else {
            self.payload = Vec::new();
        }
        self.at = Some(match piece.next_place {
            Some(place) => (table, stripe, place),
            None if usize::from(stripe) + 1 < STRIPES => (table, stripe + 1, 0),
            None => (table + 1, 0, 0),
        });
        Ok(Step::Working)
    }

    fn write(&mut self, head: PieceHead, records: u32) -> io::Result<()> {
        if records == 0 {
            return Ok(());
        }
        self.keys += u64::from(records);
        // Beyond 4 GiB the encoded length does not fit its field; no value is that long.
        let raw_len = u32::try_from(self.payload.len())
            .map_err(|_| io::Error::other("a value is too long for a snapshot"))?;
        let file = self.file.as_mut().expect("pieces are written before the snapshot is finished");
        file.piece(&PieceHead { records, raw_len, ..head }, &self.payload)
    }

    /// Names the file, then lets older ones and the log before the start go.
    fn finish(&mut self, end: SnapshotEnd) -> io::Result<Finished> {
        let file = self.file.take().expect("a snapshot is finished once");
        let bytes = file.bytes();
        let name = file.finish(end)?;
        let mut removed = 0;
        for older in list_snapshots(&self.disk)?.into_iter().filter(|other| other.name != name) {
            self.disk.remove(&older.name)?;
            removed += 1;
        }
        self.node.log.retain_after(self.start_lsn);
        Ok(Finished { name, keys: self.keys, bytes, removed, start_lsn: self.start_lsn })
    }
}

/// Runs `sample` as one more party of the exclusive gate, if nobody is alone.
fn inside_the_gate<T>(node: &Node, sample: impl FnOnce() -> T) -> Option<T> {
    let (sampled, wake) = node.exclusive.visit(sample);
    node.wake(wake);
    sampled
}
