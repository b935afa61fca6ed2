//! Frames that carry no records: what the log says about itself.
//!
//! Every note is small and owned; none changes a key.

pub use trefoil_clock::EpochEntry;
use trefoil_clock::{Epoch, Lsn, NodeId, Origin, ShardId};

use crate::cursor::Cursor;
use crate::frame::FrameKind;
use crate::position::{Positions, Stream};

/// Why an epoch began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum EpochCause {
    /// The shard is new.
    FirstStart = 1,
    /// The node restarted without a proven clean stop.
    DirtyRestart = 2,
    /// The node restarted after a clean stop.
    CleanRestart = 3,
    /// The control plane granted leadership.
    Grant = 4,
    /// The log was repaired: records behind the cut are archived, not applied.
    Repair = 5,
}

impl EpochCause {
    fn from_byte(byte: u8) -> Option<EpochCause> {
        use EpochCause::{CleanRestart, DirtyRestart, FirstStart, Grant, Repair};
        [FirstStart, DirtyRestart, CleanRestart, Grant, Repair]
            .into_iter()
            .find(|cause| *cause as u8 == byte)
    }
}

/// What the log says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// From `entry.first_lsn` on, leader records of `shard` belong to `entry.epoch`.
    EpochStart {
        /// The shard.
        shard: ShardId,
        /// The epoch and its first record.
        entry: EpochEntry,
        /// Why it began.
        cause: EpochCause,
    },
    /// The node stopped with everything flushed. Counts only as the very last frame of the log.
    CleanStop {
        /// Where each stream stood.
        ends: Positions,
    },
    /// Leader records of `shard` above `lsn` are void; the next one is `lsn + 1` of a later epoch.
    Truncate {
        /// The shard.
        shard: ShardId,
        /// The last record that stays.
        lsn: Lsn,
    },
    /// A snapshot of `shard` became valid.
    SnapshotMark {
        /// The shard.
        shard: ShardId,
        /// Replay from that snapshot starts after this record.
        start_lsn: Lsn,
        /// Nothing is served from it before this record is applied.
        end_lsn: Lsn,
    },
}

impl Note {
    pub(crate) fn kind(&self) -> FrameKind {
        match self {
            Note::EpochStart { .. } => FrameKind::EpochStart,
            Note::CleanStop { .. } => FrameKind::CleanStop,
            Note::Truncate { .. } => FrameKind::Truncate,
            Note::SnapshotMark { .. } => FrameKind::SnapshotMark,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Note::EpochStart { shard, entry, cause } => {
                out.extend_from_slice(&shard.0.to_le_bytes());
                out.extend_from_slice(&entry.epoch.0.to_le_bytes());
                out.extend_from_slice(&entry.leader.0.to_le_bytes());
                out.extend_from_slice(&entry.first_lsn.0.to_le_bytes());
                out.push(*cause as u8);
            }
            Note::CleanStop { ends } => {
                out.extend_from_slice(&(ends.len() as u32).to_le_bytes());
                for (stream, lsn) in ends.iter() {
                    out.extend_from_slice(&stream.shard.0.to_le_bytes());
                    out.extend_from_slice(&stream.origin.0.to_le_bytes());
                    out.extend_from_slice(&lsn.0.to_le_bytes());
                }
            }
            Note::Truncate { shard, lsn } => {
                out.extend_from_slice(&shard.0.to_le_bytes());
                out.extend_from_slice(&lsn.0.to_le_bytes());
            }
            Note::SnapshotMark { shard, start_lsn, end_lsn } => {
                out.extend_from_slice(&shard.0.to_le_bytes());
                out.extend_from_slice(&start_lsn.0.to_le_bytes());
                out.extend_from_slice(&end_lsn.0.to_le_bytes());
            }
        }
    }

    /// The note in a frame's body; `None` if the body is not exactly such a note.
    pub(crate) fn decode(kind: FrameKind, body: &[u8]) -> Option<Note> {
        let cursor = &mut Cursor::new(body);
        let note = match kind {
            FrameKind::Runs => return None,
            FrameKind::EpochStart => Note::EpochStart {
                shard: ShardId(cursor.u32()?),
                entry: EpochEntry {
                    epoch: Epoch(cursor.u64()?),
                    leader: NodeId(cursor.u128()?),
                    first_lsn: Lsn(cursor.u64()?),
                },
                cause: EpochCause::from_byte(cursor.u8()?)?,
            },
            FrameKind::CleanStop => Note::CleanStop { ends: decode_ends(cursor)? },
            FrameKind::Truncate => {
                Note::Truncate { shard: ShardId(cursor.u32()?), lsn: Lsn(cursor.u64()?) }
            }
            FrameKind::SnapshotMark => Note::SnapshotMark {
                shard: ShardId(cursor.u32()?),
                start_lsn: Lsn(cursor.u64()?),
                end_lsn: Lsn(cursor.u64()?),
            },
        };
        cursor.is_empty().then_some(note)
    }
}

fn decode_ends(cursor: &mut Cursor<'_>) -> Option<Positions> {
    let count = cursor.u32()?;
    let mut ends = Positions::new();
    for _ in 0..count {
        let stream = Stream { shard: ShardId(cursor.u32()?), origin: Origin(cursor.u32()?) };
        ends.set(stream, Lsn(cursor.u64()?));
    }
    Some(ends)
}
