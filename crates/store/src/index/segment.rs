//! A segment of the index: up to 63 buckets in one allocation, after a header line.
//!
//! Entries are placed in the bucket that their place (see [`crate::key`]) names, or in the next one
//! with room, around the end. Buckets are in the order of places, so a bucket is a range of places.
//!
//! Invariants: `live` entries are filled slots; every bucket between an entry's home and where it
//! lies counts it as passed.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use super::bucket::{Bucket, SLOTS};

/// Sizes of a segment in cache lines, header included: the allocator's classes, so nothing is lost.
const LINES: [u8; 19] = [2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64];

const LINE: usize = 64;

#[repr(C, align(64))]
struct Header {
    /// Buckets that follow, 1..=63.
    buckets: u32,
    /// Entries, 0..=buckets * SLOTS.
    live: u32,
    /// How many leading bits of a place all entries of this segment share, 0..=[`super::DEPTH_MAX`].
    depth: u32,
}

const _: () = assert!(size_of::<Header>() == LINE);

/// A handle to a segment. Copies alias: what may be done with one is said where it is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment(NonNull<Header>);

/// Where an entry lies.
#[derive(Clone, Copy)]
pub(super) struct Position {
    pub(super) bucket: u32,
    pub(super) slot: u32,
}

/// The bucket, of `buckets`, that a place belongs to in a segment of this depth.
#[inline(always)]
pub(super) fn home_of(place: u64, depth: u32, buckets: u32) -> u32 {
    let fraction = (place << depth) >> 32;
    ((fraction * u64::from(buckets)) >> 32) as u32
}

impl Segment {
    /// An empty segment that can take `entries` entries, as far as one segment can.
    pub(super) fn with_room_for(entries: usize, depth: u32) -> Segment {
        let lines = LINES
            .into_iter()
            .find(|&lines| limit(u32::from(lines) - 1) as usize >= entries)
            .unwrap_or(LINES[LINES.len() - 1]);
        Segment::allocate(u32::from(lines) - 1, depth)
    }

    fn allocate(buckets: u32, depth: u32) -> Segment {
        let layout = layout(buckets);
        // SAFETY: the layout is not of size zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(header) = NonNull::new(memory.cast::<Header>()) else {
            handle_alloc_error(layout)
        };
        // SAFETY: the memory is large enough for a header, aligned for it, and ours alone. Zeroed
        // memory is an array of empty buckets.
        unsafe { header.write(Header { buckets, live: 0, depth }) };
        Segment(header)
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// Nobody may use this segment any more, not even to prefetch.
    pub(super) unsafe fn free(self) {
        let layout = layout(self.buckets());
        // SAFETY: allocated by `allocate` with this layout; the caller promises that it is unused.
        unsafe { dealloc(self.0.as_ptr().cast(), layout) };
    }

    pub(super) fn from_address(address: NonNull<u8>) -> Segment {
        Segment(address.cast())
    }

    pub(super) fn address(self) -> NonNull<u8> {
        self.0.cast()
    }

    #[inline]
    pub(super) fn buckets(self) -> u32 {
        // SAFETY: a segment in hand is alive, and `buckets` never changes.
        unsafe { self.0.as_ref().buckets }
    }

    pub(super) fn live(self) -> u32 {
        // SAFETY: the segment is alive; only the lock holder reads or writes `live`.
        unsafe { self.0.as_ref().live }
    }

    pub(super) fn depth(self) -> u32 {
        // SAFETY: the segment is alive, and `depth` never changes.
        unsafe { self.0.as_ref().depth }
    }

    fn add_live(self, change: i32) {
        let live = self.live().wrapping_add_signed(change);
        // SAFETY: the segment is alive; only the lock holder reads or writes `live`, and no
        // reference to the header is held across this.
        unsafe { (*self.0.as_ptr()).live = live };
    }

    /// Bucket `index` of the segment at `address`, without reading the header.
    #[inline(always)]
    pub(super) fn bucket_at<'a>(address: NonNull<u8>, index: u32) -> &'a Bucket {
        // SAFETY: callers pass `index < buckets`, so the bucket lies within the allocation; buckets
        // are atomics and may be shared. The reference is used while the segment is alive: under
        // the stripe's lock or while the reader is pinned.
        unsafe { &*address.as_ptr().add(LINE + index as usize * LINE).cast::<Bucket>() }
    }

    #[inline(always)]
    pub(super) fn bucket<'a>(self, index: u32) -> &'a Bucket {
        debug_assert!(index < self.buckets());
        Segment::bucket_at(self.0.cast(), index)
    }

    /// Whether the segment should get one more entry without growing first.
    pub(super) fn has_room(self) -> bool {
        self.live() < limit(self.buckets())
    }

    /// Whether it is the largest kind of segment.
    pub(super) fn is_full_size(self) -> bool {
        self.buckets() + 1 == u32::from(LINES[LINES.len() - 1])
    }

    /// Puts an entry at its home or at most `probes_max` buckets further. False: no room there.
    pub(super) fn place(self, place: u64, tag: u8, entry: NonNull<u8>, probes_max: u32) -> bool {
        let buckets = self.buckets();
        let home = home_of(place, self.depth(), buckets);
        let mut index = home;
        for probe in 0..buckets.min(probes_max) {
            if let Some(slot) = self.bucket(index).vacancy() {
                self.bucket(index).fill(slot, tag, entry);
                for passed in 0..probe {
                    self.bucket((home + passed) % buckets).pass();
                }
                self.add_live(1);
                return true;
            }
            index = if index + 1 == buckets { 0 } else { index + 1 };
        }
        false
    }

    /// Takes the entry at `position`, whose place is `place`, out.
    pub(super) fn take(self, place: u64, position: Position) {
        let buckets = self.buckets();
        self.bucket(position.bucket).clear(position.slot as usize);
        let mut index = home_of(place, self.depth(), buckets);
        while index != position.bucket {
            self.bucket(index).unpass();
            index = if index + 1 == buckets { 0 } else { index + 1 };
        }
        self.add_live(-1);
    }

    /// Calls `visit` with the tag and pointer of every entry.
    pub(super) fn for_each(self, mut visit: impl FnMut(u8, NonNull<u8>)) {
        for index in 0..self.buckets() {
            let bucket = self.bucket(index);
            for slot in 0..SLOTS {
                if let Some(entry) = bucket.get(slot) {
                    visit(bucket.tag(slot), entry);
                }
            }
        }
    }
}

/// How many entries a segment takes before it grows: nine tenths of its slots.
fn limit(buckets: u32) -> u32 {
    (buckets * SLOTS as u32 * 9).div_ceil(10)
}

fn layout(buckets: u32) -> Layout {
    Layout::from_size_align((buckets as usize + 1) * LINE, LINE)
        .expect("a segment is at most 64 lines long")
}
