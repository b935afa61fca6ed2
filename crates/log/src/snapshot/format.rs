//! Bytes of a snapshot: header, pieces, footer. All numbers little-endian, all checksums CRC-32C.

use trefoil_clock::{Epoch, Hlc, Lsn, NodeId, ShardId};

use crate::cursor::Cursor;
use crate::frame::crc32c;
use crate::note::EpochEntry;
use crate::position::{ClusterId, Identity};

const MAGIC: [u8; 8] = *b"TREFOILS";
const VERSION: u32 = 1;

/// Magic, version, length of the rest.
pub(super) const HEADER_FIXED_BYTES: usize = 16;
const HEADER_BODY_BYTES: usize = 56;
const EPOCH_BYTES: usize = 32;
/// A table of a million epochs is not one that we wrote.
const HEADER_REST_MAX: usize = HEADER_BODY_BYTES + 4 + (EPOCH_BYTES << 20);

/// Bytes in front of a piece's payload.
pub(super) const PIECE_HEAD_BYTES: usize = 42;
/// Bytes of the footer, the last ones of the file.
pub(super) const FOOTER_BYTES: usize = 37;

const TAG_PIECE: u8 = 1;
const TAG_FOOTER: u8 = 2;

/// What a snapshot says about itself at its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotHeader {
    /// Who wrote it.
    pub identity: Identity,
    /// Whose state it is.
    pub shard: ShardId,
    /// No piece is older: replay starts after this record.
    pub start_lsn: Lsn,
    /// The stamp of that moment.
    pub start_hlc: Hlc,
    /// The shard's epochs up to then, ascending.
    pub epochs: Vec<EpochEntry>,
}

/// What stands in front of a piece's payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PieceHead {
    /// Which of the store's tables the piece is of.
    pub table: u8,
    /// First position of the range that the piece covers, in the store's order.
    pub lo: u64,
    /// End of that range, as the store defines it.
    pub hi: u64,
    /// The last record whose effects are in the piece.
    pub lsn: Lsn,
    /// Entries in the payload.
    pub records: u32,
    /// Bytes that the payload stands for once decoded; its own length if it is not compressed.
    pub raw_len: u32,
}

/// Where a snapshot ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotEnd {
    /// No piece is younger: nothing is served before this record is applied.
    pub lsn: Lsn,
    /// The stamp of that moment.
    pub hlc: Hlc,
}

/// What a snapshot says about itself at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotFooter {
    /// Where it ends.
    pub end: SnapshotEnd,
    /// Pieces in the file.
    pub pieces: u64,
    /// Entries in all of them.
    pub records: u64,
}

impl SnapshotHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let rest = HEADER_BODY_BYTES + self.epochs.len() * EPOCH_BYTES + 4;
        let mut out = Vec::with_capacity(HEADER_FIXED_BYTES + rest);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(rest as u32).to_le_bytes());
        out.extend_from_slice(&self.identity.node.0.to_le_bytes());
        out.extend_from_slice(&self.identity.cluster.0.to_le_bytes());
        out.extend_from_slice(&self.shard.0.to_le_bytes());
        out.extend_from_slice(&self.start_lsn.0.to_le_bytes());
        out.extend_from_slice(&self.start_hlc.0.to_le_bytes());
        out.extend_from_slice(&(self.epochs.len() as u32).to_le_bytes());
        for entry in &self.epochs {
            out.extend_from_slice(&entry.epoch.0.to_le_bytes());
            out.extend_from_slice(&entry.leader.0.to_le_bytes());
            out.extend_from_slice(&entry.first_lsn.0.to_le_bytes());
        }
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Bytes that follow the fixed part; `None` if that is not a snapshot's, `Err` with its version if it
    /// is one that this program cannot read.
    pub(super) fn rest_len(fixed: &[u8]) -> Option<Result<usize, u32>> {
        let mut cursor = Cursor::new(fixed);
        if cursor.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let version = cursor.u32()?;
        if version != VERSION {
            return Some(Err(version));
        }
        let rest = cursor.u32()? as usize;
        (HEADER_BODY_BYTES + 4..=HEADER_REST_MAX).contains(&rest).then_some(Ok(rest))
    }

    /// The header in exactly its bytes.
    pub(super) fn decode(bytes: &[u8]) -> Option<SnapshotHeader> {
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*crc) != crc32c(covered) {
            return None;
        }
        let mut cursor = Cursor::new(covered.get(HEADER_FIXED_BYTES..)?);
        let mut header = SnapshotHeader {
            identity: Identity { node: NodeId(cursor.u128()?), cluster: ClusterId(cursor.u128()?) },
            shard: ShardId(cursor.u32()?),
            start_lsn: Lsn(cursor.u64()?),
            start_hlc: Hlc(cursor.u64()?),
            epochs: Vec::new(),
        };
        for _ in 0..cursor.u32()? {
            let (epoch, leader) = (Epoch(cursor.u64()?), NodeId(cursor.u128()?));
            header.epochs.push(EpochEntry { epoch, leader, first_lsn: Lsn(cursor.u64()?) });
        }
        cursor.is_empty().then_some(header)
    }
}

impl PieceHead {
    /// The head with its checksum. Panics beyond 4 GiB of payload.
    pub(super) fn seal(&self, payload: &[u8]) -> [u8; PIECE_HEAD_BYTES] {
        let len = u32::try_from(payload.len()).expect("a piece's payload is below 4 GiB");
        let mut bytes = [0; PIECE_HEAD_BYTES];
        bytes[4..8].copy_from_slice(&len.to_le_bytes());
        bytes[8] = TAG_PIECE;
        bytes[9] = self.table;
        bytes[10..18].copy_from_slice(&self.lo.to_le_bytes());
        bytes[18..26].copy_from_slice(&self.hi.to_le_bytes());
        bytes[26..34].copy_from_slice(&self.lsn.0.to_le_bytes());
        bytes[34..38].copy_from_slice(&self.records.to_le_bytes());
        bytes[38..42].copy_from_slice(&self.raw_len.to_le_bytes());
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        digest.update(&bytes[4..]);
        digest.update(payload);
        let crc = digest.finalize() as u32;
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head at the start of `bytes` and the payload's length; the checksum is not looked at.
    pub(super) fn decode(bytes: &[u8]) -> Option<(PieceHead, u32)> {
        let mut cursor = Cursor::new(bytes);
        cursor.u32()?;
        let len = cursor.u32()?;
        if cursor.u8()? != TAG_PIECE {
            return None;
        }
        let head = PieceHead {
            table: cursor.u8()?,
            lo: cursor.u64()?,
            hi: cursor.u64()?,
            lsn: Lsn(cursor.u64()?),
            records: cursor.u32()?,
            raw_len: cursor.u32()?,
        };
        Some((head, len))
    }

    /// Whether `piece`, exactly one piece's bytes, carries its checksum.
    pub(super) fn checksum_holds(piece: &[u8]) -> bool {
        let Some((stored, covered)) = piece.split_first_chunk::<4>() else { return false };
        u32::from_le_bytes(*stored) == crc32c(covered)
    }
}

impl SnapshotFooter {
    pub(super) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[4] = TAG_FOOTER;
        bytes[5..13].copy_from_slice(&self.end.lsn.0.to_le_bytes());
        bytes[13..21].copy_from_slice(&self.end.hlc.0.to_le_bytes());
        bytes[21..29].copy_from_slice(&self.pieces.to_le_bytes());
        bytes[29..37].copy_from_slice(&self.records.to_le_bytes());
        let crc = crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<SnapshotFooter> {
        let mut cursor = Cursor::new(bytes);
        let stored = cursor.u32()?;
        if stored != crc32c(cursor.rest()) || cursor.u8()? != TAG_FOOTER {
            return None;
        }
        let end = SnapshotEnd { lsn: Lsn(cursor.u64()?), hlc: Hlc(cursor.u64()?) };
        let footer = SnapshotFooter { end, pieces: cursor.u64()?, records: cursor.u64()? };
        cursor.is_empty().then_some(footer)
    }
}
