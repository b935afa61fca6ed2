//! Letting go of segments that nobody needs any more.

use super::Writer;
use crate::disk::Disk;
use crate::error::WriteError;
use crate::position::Positions;
use crate::segment::SegmentInfo;

/// What a [`Writer::retain`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retained {
    /// Segments removed.
    pub removed: u64,
    /// Segments kept to be overwritten.
    pub recycled: u64,
}

impl<D: Disk> Writer<D> {
    /// Removes or recycles the oldest segments, up to the first one that still holds a record after
    /// `needed_after` (a stream that is not mentioned needs all its records), or frames not yet synced.
    ///
    /// Each step is durable before the next, so a crash never leaves a hole in the log.
    ///
    /// # Errors
    /// The segments that could not be removed stay and are tried again by the next call, except after
    /// [`WriteError::SyncFailed`], which is final.
    pub fn retain(&mut self, needed_after: &Positions) -> Result<Retained, WriteError> {
        self.check_running()?;
        let mut retained = Retained::default();
        while let Some(oldest) = self.sealed.front() {
            if oldest.last_seq > self.durable || is_needed(oldest, needed_after) {
                break;
            }
            let name = oldest.name();
            let spare = self
                .spares
                .retire(&name, &self.options)
                .map_err(|source| WriteError::new(&name, 0, source))?;
            self.sealed.pop_front();
            self.sync_names()?;
            match spare {
                Some(spare) => {
                    self.spares.add(spare);
                    retained.recycled += 1;
                }
                None => retained.removed += 1,
            }
        }
        let first_seq =
            self.segments().next().map_or(self.appended.next(), |first| first.first_seq);
        self.voids.forget_before(first_seq);
        Ok(retained)
    }
}

fn is_needed(segment: &SegmentInfo, needed_after: &Positions) -> bool {
    segment.ranges.iter().any(|range| range.last > needed_after.get(range.stream))
}
