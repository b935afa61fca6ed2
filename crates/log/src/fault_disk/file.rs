//! One file of the simulated disk: what programs see and what a power loss leaves.

use std::collections::BTreeSet;

use super::dice::Dice;

const SECTOR_BYTES: usize = 512;

/// A file's bytes, twice.
#[derive(Debug, Default)]
pub(super) struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors in which `live` may differ from `durable`.
    dirty: BTreeSet<usize>,
    /// The last sector written since the last sync; only it may be torn.
    last_written: Option<usize>,
}

impl Inode {
    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.grow(end);
        self.live[offset..end].copy_from_slice(bytes);
        if end > offset {
            self.dirty.extend(offset / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES);
            self.last_written = Some((end - 1) / SECTOR_BYTES);
        }
    }

    pub(super) fn grow(&mut self, size: usize) {
        if size > self.live.len() {
            self.mark_from(self.live.len());
            self.live.resize(size, 0);
            self.mark_from(size.saturating_sub(1));
        }
    }

    pub(super) fn truncate(&mut self, size: usize) {
        if size < self.live.len() {
            self.live.truncate(size);
            self.mark_from(size);
        }
    }

    /// The sector around a changed end; sectors beyond both ends need no mark.
    fn mark_from(&mut self, end: usize) {
        self.dirty.insert(end / SECTOR_BYTES);
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.live);
        self.dirty.clear();
        self.last_written = None;
    }

    pub(super) fn flip_bit(&mut self, byte: usize, bit: u8) {
        self.live[byte] ^= 1 << bit;
        if let Some(durable) = self.durable.get_mut(byte) {
            *durable ^= 1 << bit;
        }
    }

    /// Draws what the platter holds. A length that was not synced is either the old or the new one.
    pub(super) fn crash(&mut self, dice: &mut Dice) {
        let size = if dice.flip() { self.live.len() } else { self.durable.len() };
        // Where the old file ended, unwritten blocks read as zeros.
        let mut platter = std::mem::take(&mut self.durable);
        platter.resize(size, 0);
        self.live.resize(size, 0);
        let dirty = std::mem::take(&mut self.dirty);
        for sector in dirty {
            let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(size);
            if range.is_empty() || dice.flip() {
                continue;
            }
            let torn = self.last_written == Some(sector) && dice.flip();
            let kept = if torn { dice.up_to(range.len()) } else { range.len() };
            let range = range.start..range.start + kept;
            platter[range.clone()].copy_from_slice(&self.live[range]);
        }
        self.live.clone_from(&platter);
        self.durable = platter;
        self.last_written = None;
    }
}
