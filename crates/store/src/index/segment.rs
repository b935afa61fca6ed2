//! A segment of the index: up to 19 buckets in one allocation, with a header behind them.
//!
//! The allocator aligns to 16 bytes, buckets are cache lines: one line more than the buckets is
//! asked for, the buckets begin at the first line boundary, and the header lies in what is left of
//! that line behind them. So sizes are the allocator's classes exactly, and none is rounded up.
//!
//! Entries are placed in the bucket that their place (see [`crate::key`]) names, or in the next one
//! with room, around the end. Buckets are in the order of places, so a bucket is a range of places.
//!
//! Invariants: `live` entries are filled slots; every bucket between an entry's home and where it
//! lies counts it as passed.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use super::bucket::{Bucket, SLOTS};

/// Sizes of a segment in cache lines, one for the header included: the allocator's classes, so
/// nothing is lost. An index of one segment grows through them; one of several has only the last,
/// because blocks of one size leave no holes: with sizes up to 64 lines a table whose stripes all
/// grow from one size to the next left a third of the index in half-empty pages.
const LINES: [u8; 12] = [2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20];

const LINE: usize = 64;

#[repr(C)]
struct Header {
    /// Entries, 0..=buckets * SLOTS.
    live: u32,
    /// How many leading bits of a place all entries of this segment share, 0..=[`super::DEPTH_MAX`].
    depth: u32,
    /// Bytes between the start of the allocation and the first bucket, 0..64.
    lead: u32,
}

const ALIGN: usize = 16;
const _: () = assert!(size_of::<Header>() <= ALIGN, "the least that is left behind the buckets");

/// A handle to a segment. Copies alias: what may be done with one is said where it is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    first: NonNull<Bucket>,
    buckets: u32,
}

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

    /// An empty segment of the largest size.
    pub(super) fn full_size(depth: u32) -> Segment {
        Segment::with_room_for(usize::MAX, depth)
    }

    fn allocate(buckets: u32, depth: u32) -> Segment {
        let layout = layout(buckets);
        // SAFETY: the layout is not of size zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let lead = memory.align_offset(LINE);
        // SAFETY: `lead` is less than a line, of which there is one more than buckets.
        let Some(first) = NonNull::new(unsafe { memory.add(lead) }).filter(|_| !memory.is_null())
        else {
            handle_alloc_error(layout)
        };
        let segment = Segment { first: first.cast(), buckets };
        // SAFETY: the lead is a multiple of 16 below 64, so at least 16 bytes are left behind the
        // buckets, aligned; the memory is ours alone. Zeroed memory is an array of empty buckets.
        unsafe { segment.header().write(Header { live: 0, depth, lead: lead as u32 }) };
        segment
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// Nobody may use this segment any more, not even to prefetch.
    pub(super) unsafe fn free(self) {
        let layout = layout(self.buckets);
        // SAFETY: the segment is alive until here; `lead` says where its allocation starts. It was
        // allocated by `allocate` with this layout; the caller promises that it is unused.
        unsafe {
            let lead = (*self.header().as_ptr()).lead as usize;
            dealloc(self.first.as_ptr().cast::<u8>().sub(lead), layout);
        }
    }

    pub(super) fn from_parts(first: NonNull<u8>, buckets: u32) -> Segment {
        Segment { first: first.cast(), buckets }
    }

    pub(super) fn address(self) -> NonNull<u8> {
        self.first.cast()
    }

    fn header(self) -> NonNull<Header> {
        // SAFETY: the header lies behind the buckets, within the allocation.
        unsafe { self.first.add(self.buckets as usize).cast() }
    }

    #[inline]
    pub(super) fn buckets(self) -> u32 {
        self.buckets
    }

    pub(super) fn live(self) -> u32 {
        // SAFETY: the segment is alive; only the lock holder reads or writes `live`.
        unsafe { self.header().as_ref().live }
    }

    pub(super) fn depth(self) -> u32 {
        // SAFETY: the segment is alive, and `depth` never changes.
        unsafe { self.header().as_ref().depth }
    }

    fn add_live(self, change: i32) {
        let live = self.live().wrapping_add_signed(change);
        // SAFETY: the segment is alive; only the lock holder reads or writes `live`, and no
        // reference to the header is held across this.
        unsafe { (*self.header().as_ptr()).live = live };
    }

    /// Bucket `index` of the segment whose buckets are at `address`.
    #[inline(always)]
    pub(super) fn bucket_at<'a>(address: NonNull<u8>, index: u32) -> &'a Bucket {
        // SAFETY: callers pass `index < buckets`, so the bucket lies within the allocation; buckets
        // are atomics and may be shared. The reference is used while the segment is alive: under
        // the stripe's lock or while the reader is pinned.
        unsafe { &*address.as_ptr().cast::<Bucket>().add(index as usize) }
    }

    #[inline(always)]
    pub(super) fn bucket<'a>(self, index: u32) -> &'a Bucket {
        debug_assert!(index < self.buckets());
        Segment::bucket_at(self.first.cast(), index)
    }

    /// Whether the segment should get one more entry without growing first.
    pub(super) fn has_room(self) -> bool {
        self.live() < self.limit()
    }

    /// How many entries it takes before it grows.
    pub(super) fn limit(self) -> u32 {
        limit(self.buckets)
    }

    /// Whether the entries of both would fill at most two thirds of one.
    pub(super) fn fits_together_with(self, other: Segment) -> bool {
        (self.live() + other.live()) * 3 <= self.buckets * SLOTS as u32 * 2
    }

    /// Whether it is the largest kind of segment.
    pub(super) fn is_full_size(self) -> bool {
        self.buckets() + 1 == u32::from(LINES[LINES.len() - 1])
    }

    /// Puts an entry at its home or at most `probes_max` buckets further. False: no room there.
    pub(super) fn place(self, place: u64, tag: u16, entry: NonNull<u8>, probes_max: u32) -> bool {
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
    pub(super) fn for_each(self, mut visit: impl FnMut(u16, NonNull<u8>)) {
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
    Layout::from_size_align((buckets as usize + 1) * LINE, ALIGN)
        .expect("a segment is at most 64 lines long")
}
