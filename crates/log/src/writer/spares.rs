//! Files that wait to become segments: allocated ahead, or used before and no longer needed.
//!
//! Invariants:
//! * A spare is named after the segment number that it will carry; no other segment ever had that number,
//!   so whatever the file contains is never valid in it.
//! * Such a name is durable before the file is used, if the file was used before.

use std::collections::VecDeque;
use std::io;

use super::{Allocate, WriterOptions};
use crate::disk::{Disk, DiskFile, write_all_at};
use crate::error::WriteError;
use crate::position::SegmentNo;
use crate::segment::{SEGMENT_HEADER_BYTES, parse_spare_name, spare_name};

/// Zeros written per call of `prepare`.
const SLICE_BYTES: u64 = 4 << 20;

/// How far preallocation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prepared {
    /// The next segment is ready.
    Ready,
    /// A slice of work was done, there is more.
    More,
}

/// A file that will become a segment.
pub(super) struct Spare<F> {
    pub(super) number: SegmentNo,
    pub(super) file: F,
    pub(super) size: u64,
}

impl<F> Spare<F> {
    pub(super) fn name(&self) -> String {
        spare_name(self.number)
    }
}

/// The spares of a log, and the numbers for new ones.
pub(super) struct SparePool<D: Disk> {
    disk: D,
    /// Ready to be used, ascending by number, all of the regular size.
    ready: VecDeque<Spare<D::File>>,
    /// Being filled with zeros; `size` is how far.
    filling: Option<Spare<D::File>>,
    next_number: SegmentNo,
}

impl<D: Disk> SparePool<D> {
    /// An empty pool. What an earlier life of this log left behind is removed: a spare whose renaming to a
    /// segment was lost in a crash holds that segment's header and frames, which were never confirmed and
    /// must not come back when the file is named like that again.
    pub(super) fn clear(disk: D, next_number: SegmentNo) -> Result<SparePool<D>, WriteError> {
        let failed = |source| WriteError::new(".", 0, source);
        let names = disk.list().map_err(failed)?;
        let mut removed = 0;
        for name in names.iter().filter(|name| parse_spare_name(name).is_some()) {
            disk.remove(name).map_err(failed)?;
            removed += 1;
        }
        if removed > 0 {
            disk.sync_dir().map_err(failed)?;
        }
        Ok(SparePool { disk, ready: VecDeque::new(), filling: None, next_number })
    }

    fn allot(&mut self) -> SegmentNo {
        let number = self.next_number;
        self.next_number = number.next();
        number
    }

    /// Removes a file that could not be allocated. Its number is free again, so that a disk that is
    /// full for long leaves no large gap in the numbers.
    fn give_up(&mut self, spare: &Spare<D::File>) {
        let removed = self.disk.remove(&spare.name()).is_ok();
        if removed && spare.number.next() == self.next_number {
            self.next_number = spare.number;
        }
    }

    pub(super) fn ready_bytes(&self) -> u64 {
        self.ready.iter().map(|spare| spare.size - SEGMENT_HEADER_BYTES as u64).sum()
    }

    /// Does a slice of the work of having one spare ready.
    pub(super) fn prepare(&mut self, options: &WriterOptions) -> Result<Prepared, WriteError> {
        if !self.ready.is_empty() {
            return Ok(Prepared::Ready);
        }
        let name = self.filling.as_ref().map_or(spare_name(self.next_number), Spare::name);
        if let Err(source) = self.work(options) {
            // Whatever was allocated is given back: a full disk should not be kept full.
            if let Some(filling) = self.filling.take() {
                self.give_up(&filling);
            }
            return Err(WriteError::new(&name, options.segment_bytes, source));
        }
        Ok(Prepared::More)
    }

    fn work(&mut self, options: &WriterOptions) -> io::Result<()> {
        if self.filling.is_none() {
            let number = self.allot();
            let file = self.disk.create(&spare_name(number))?;
            self.filling = Some(Spare { number, file, size: 0 });
        }
        let spare = self.filling.as_mut().expect("a file is being filled");
        match options.allocate {
            Allocate::Fallocate => {
                spare.file.preallocate(options.segment_bytes)?;
                spare.size = options.segment_bytes;
            }
            Allocate::ZeroFill => {
                let count = SLICE_BYTES.min(options.segment_bytes - spare.size);
                let zeros = vec![0; count as usize];
                write_all_at(&spare.file, &zeros, spare.size).map_err(|partial| partial.source)?;
                spare.size += count;
            }
        }
        // Blocks and length are settled here, so that no sync of a frame has to carry them.
        spare.file.sync_data()?;
        if spare.size == options.segment_bytes {
            self.ready.extend(self.filling.take());
        }
        Ok(())
    }

    /// A file of at least `needed` bytes; allocated now if none is ready.
    pub(super) fn take(
        &mut self,
        needed: u64,
        options: &WriterOptions,
    ) -> Result<Spare<D::File>, WriteError> {
        if needed <= options.segment_bytes
            && let Some(spare) = self.ready.pop_front()
        {
            return Ok(spare);
        }
        let size = needed.max(options.segment_bytes);
        let number = self.allot();
        let name = spare_name(number);
        let failed = |source| WriteError::new(&name, size, source);
        let file = self.disk.create(&name).map_err(failed)?;
        let spare = Spare { number, file, size };
        if let Err(source) = spare.file.preallocate(size) {
            self.give_up(&spare);
            return Err(failed(source));
        }
        Ok(spare)
    }

    /// Returns a spare that could not be used after all.
    pub(super) fn put_back(&mut self, spare: Spare<D::File>) {
        self.ready.push_front(spare);
    }

    /// Renames a used segment's file so that it can be used again, or removes it if it is not worth that.
    /// It is not in the pool yet: its old name has to be gone for certain before it holds anything new.
    pub(super) fn retire(
        &mut self,
        name: &str,
        options: &WriterOptions,
    ) -> io::Result<Option<Spare<D::File>>> {
        let file = self.disk.open(name)?;
        let size = file.size()?;
        if size != options.segment_bytes || self.ready.len() >= options.recycled_max {
            self.disk.remove(name)?;
            return Ok(None);
        }
        let number = self.allot();
        self.disk.rename(name, &spare_name(number))?;
        Ok(Some(Spare { number, file, size }))
    }

    /// Adds a retired file whose new name is durable.
    pub(super) fn add(&mut self, spare: Spare<D::File>) {
        self.ready.push_back(spare);
    }
}
