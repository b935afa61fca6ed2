//! Reading little-endian fields from a message of unknown quality.
//!
//! Every read is bounds-checked: `None` means "the bytes end here or make no sense".

use trefoil_clock::{ClusterId, Epoch, EpochEntry, Hlc, Lsn, NodeId, Position, ShardId};

use super::message::{Fence, SnapshotId};

/// A read position in a message.
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { rest: bytes }
    }

    /// All that was not read.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>()?;
        self.rest = tail;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// 0 or 1, nothing else.
    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn lsn(&mut self) -> Option<Lsn> {
        self.u64().map(Lsn)
    }

    pub(super) fn hlc(&mut self) -> Option<Hlc> {
        self.u64().map(Hlc)
    }

    pub(super) fn snapshot(&mut self) -> Option<SnapshotId> {
        self.u128().map(SnapshotId)
    }

    pub(super) fn position(&mut self) -> Option<Position> {
        Some(Position { epoch: Epoch(self.u64()?), lsn: self.lsn()? })
    }

    pub(super) fn fence(&mut self) -> Option<Fence> {
        Some(Fence {
            cluster: ClusterId(self.u128()?),
            shard: ShardId(self.u32()?),
            epoch: Epoch(self.u64()?),
            sender: NodeId(self.u128()?),
        })
    }

    /// An epoch table as its sender has it; whether it ascends is for its reader to say. Takes no more
    /// memory than the bytes that are there.
    pub(super) fn epochs(&mut self) -> Option<Vec<EpochEntry>> {
        let count = self.u32()? as usize;
        if self.rest.len() / EPOCH_ENTRY_BYTES < count {
            return None;
        }
        (0..count).map(|_| self.epoch_entry()).collect()
    }

    fn epoch_entry(&mut self) -> Option<EpochEntry> {
        Some(EpochEntry {
            epoch: Epoch(self.u64()?),
            leader: NodeId(self.u128()?),
            first_lsn: self.lsn()?,
        })
    }
}

/// Bytes of one entry of an epoch table.
const EPOCH_ENTRY_BYTES: usize = 32;
