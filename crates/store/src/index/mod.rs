//! The index: an extendible hash table of pointers to entries, ordered by place.
//!
//! Extendible hashing after Fagin, Nievergelt, Pippenger and Strong (TODS 1979); cache-line buckets
//! with tags as in many recent tables, overflow into the next bucket with a count of what went past.
//!
//! It is not a map: it knows neither keys nor entries, only pointers, their places and their tags;
//! the caller compares keys. It is not a lock: whoever changes it holds the stripe's lock, and the
//! borrow checker sees to that. Only [`Hint`] reads it from outside, to prefetch.
//!
//! Invariants: an entry is in the segment that covers its place; a segment of depth `d` covers
//! `2^(D-d)` consecutive words of a directory of depth `D`; a cursor is a place, so a walk that
//! goes on after the index grew or shrank misses nothing that was there all the time.

mod bucket;
mod directory;
mod segment;
#[cfg(test)]
mod tests;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

use bucket::SLOTS;
pub(crate) use bucket::TAG_BITS;
use directory::{Directory, Retired};
use segment::{Position, Segment, home_of};

/// The most leading bits of a place that a segment may be told apart by.
const DEPTH_MAX: u32 = 40;

/// How far from its home an entry may be placed before the segment is made larger.
const PROBES_MAX: u32 = 8;

/// The index of one stripe.
pub struct Index {
    directory: Directory,
    /// What changes replaced since the last [`Index::publish`]: a hint may still lead there.
    retired: Retired,
}

/// Where an entry was found. Valid until the index changes.
#[derive(Clone, Copy)]
pub struct Found {
    segment: Segment,
    position: Position,
    /// The entry.
    pub entry: NonNull<u8>,
}

/// What others may know of an index without its lock: enough to prefetch.
#[derive(Default)]
pub struct Hint(AtomicPtr<u8>);

impl Default for Index {
    fn default() -> Index {
        Index { directory: Directory::EMPTY, retired: Retired::default() }
    }
}

impl Index {
    /// Finds the entry at `place` with `tag` for which `is_it` holds.
    #[inline(always)]
    pub fn find(
        &self,
        place: u64,
        tag: u16,
        mut is_it: impl FnMut(NonNull<u8>) -> bool,
    ) -> Option<Found> {
        if self.directory.is_empty() {
            return None;
        }
        let covering = self.directory.lookup(place);
        let mut index = home_of(place, covering.depth, covering.buckets);
        for _ in 0..covering.buckets {
            let bucket = Segment::bucket_at(covering.address, index);
            for slot in bucket.matches(tag) {
                let entry = bucket.get(slot)?;
                if is_it(entry) {
                    let position = Position { bucket: index, slot: slot as u32 };
                    let segment = covering.segment();
                    return Some(Found { segment, position, entry });
                }
            }
            if !bucket.was_passed() {
                return None;
            }
            index = if index + 1 == covering.buckets { 0 } else { index + 1 };
        }
        None
    }

    /// Adds an entry that is not there yet. `place_of` tells the place of entries already there.
    pub fn insert(
        &mut self,
        place: u64,
        tag: u16,
        entry: NonNull<u8>,
        place_of: impl Fn(NonNull<u8>) -> u64,
    ) {
        if self.directory.is_empty() {
            self.directory = Directory::of_one(Segment::with_room_for(1, 0));
        }
        loop {
            let segment = self.segment(place);
            if segment.has_room() && segment.place(place, tag, entry, PROBES_MAX) {
                return;
            }
            self.make_room(place, segment, &place_of);
        }
    }

    /// Takes an entry out. `place` is its place.
    pub fn remove(&mut self, place: u64, found: Found, place_of: impl Fn(NonNull<u8>) -> u64) {
        let segment = found.segment;
        segment.take(place, found.position);
        if segment.live() == 0 && segment.depth() == 0 {
            self.clear();
        } else if segment.live() * 4 < segment.buckets() * SLOTS as u32 && segment.buckets() > 1 {
            self.shrink(place, segment, &place_of);
        }
    }

    /// Makes the slot of `found` point at another entry with the same place and tag.
    #[inline]
    pub fn replace(&mut self, found: Found, entry: NonNull<u8>) {
        found.segment.bucket(found.position.bucket).replace(found.position.slot as usize, entry);
    }

    /// Forgets all entries; the caller owns them.
    pub fn clear(&mut self) {
        let mut retired = std::mem::take(&mut self.retired);
        self.for_each_segment(|segment| retired.add_segment(segment));
        if !self.directory.is_empty() {
            retired.add_directory(self.directory);
            self.directory = Directory::EMPTY;
        }
        self.retired = retired;
    }

    /// Calls `visit` with every entry.
    pub fn for_each(&self, mut visit: impl FnMut(NonNull<u8>)) {
        self.for_each_segment(|segment| segment.for_each(|_, entry| visit(entry)));
    }

    /// Calls `visit` with the entries of the segment that covers `place`, and returns the first
    /// place after it. None: it was the last.
    pub fn visit_segment(&self, place: u64, mut visit: impl FnMut(NonNull<u8>)) -> Option<u64> {
        if self.directory.is_empty() {
            return None;
        }
        let segment = self.segment(place);
        segment.for_each(|_, entry| visit(entry));
        next_range(place, segment.depth())
    }

    /// Calls `visit` with the entries whose home is the bucket that covers `place`, and returns the
    /// first place after it. None: it was the last bucket.
    pub fn visit_bucket(
        &self,
        place: u64,
        place_of: impl Fn(NonNull<u8>) -> u64,
        mut visit: impl FnMut(NonNull<u8>),
    ) -> Option<u64> {
        if self.directory.is_empty() {
            return None;
        }
        let segment = self.segment(place);
        let (depth, buckets) = (segment.depth(), segment.buckets());
        let home = home_of(place, depth, buckets);
        let mut index = home;
        for _ in 0..buckets {
            let bucket = segment.bucket(index);
            for entry in (0..SLOTS).filter_map(|slot| bucket.get(slot)) {
                if home_of(place_of(entry), depth, buckets) == home {
                    visit(entry);
                }
            }
            if !bucket.was_passed() {
                break;
            }
            index = if index + 1 == buckets { 0 } else { index + 1 };
        }
        if home + 1 == buckets {
            return next_range(place, depth);
        }
        let fraction = (u64::from(home + 1) << 32).div_ceil(u64::from(buckets));
        let lower = if depth == 0 { 0 } else { place >> (64 - depth) << (64 - depth) };
        // Rounded up, so that the place belongs to the next bucket and not to this one.
        let offset =
            if depth == 0 { fraction << 32 } else { (fraction << 32).div_ceil(1 << depth) };
        Some(lower + offset)
    }

    /// Publishes where the index is to those who prefetch. To be called after a change of entries.
    #[inline]
    pub fn publish(&mut self, hint: &Hint) {
        if hint.0.load(Ordering::Relaxed) != self.directory.word() {
            hint.0.store(self.directory.word(), Ordering::Release);
        }
        self.release();
    }

    /// Lets go of what changes replaced. To be called instead of [`Index::publish`] if the index has
    /// no hint.
    #[inline]
    pub fn release(&mut self) {
        if !self.retired.is_empty() {
            self.retired.free();
        }
    }

    /// Bytes that segments and directory take, for reports; walks all segments.
    #[must_use]
    pub fn memory(&self) -> usize {
        let mut bytes = 0;
        self.for_each_segment(|segment| bytes += (segment.buckets() as usize + 1) * 64);
        if !self.directory.is_empty() {
            bytes += 8 << self.directory.depth();
        }
        bytes
    }

    fn segment(&self, place: u64) -> Segment {
        self.directory.lookup(place).segment()
    }

    /// Visits every segment once; `visit` may retire it.
    fn for_each_segment(&self, mut visit: impl FnMut(Segment)) {
        if self.directory.is_empty() {
            return;
        }
        let mut index = 0;
        while index < 1 << self.directory.depth() {
            let segment = self.directory.at(index).segment();
            index += 1 << (self.directory.depth() - segment.depth());
            visit(segment);
        }
    }

    /// Makes the only segment larger, or splits the one that covers `place` in two.
    fn make_room(&mut self, place: u64, segment: Segment, place_of: &impl Fn(NonNull<u8>) -> u64) {
        if segment.is_full_size() {
            let depth = segment.depth();
            assert!(depth < DEPTH_MAX, "keys agree in {DEPTH_MAX} bits of a seeded hash");
            self.split(place, segment, place_of);
        } else {
            let room = segment.live() as usize + 1;
            self.rebuild(place, segment, room.max(segment.limit() as usize + 1), place_of);
        }
    }

    /// Replaces the only segment by one with this much room.
    fn rebuild(
        &mut self,
        place: u64,
        segment: Segment,
        room: usize,
        place_of: &impl Fn(NonNull<u8>) -> u64,
    ) {
        let rebuilt = Segment::with_room_for(room, segment.depth());
        move_all(segment, place_of, |_| rebuilt);
        self.directory.cover(place, rebuilt);
        self.retired.add_segment(segment);
    }

    fn split(&mut self, place: u64, segment: Segment, place_of: &impl Fn(NonNull<u8>) -> u64) {
        let depth = segment.depth() + 1;
        if depth > self.directory.depth() {
            let doubled = self.directory.doubled();
            self.retired.add_directory(self.directory);
            self.directory = doubled;
        }
        let bit = 1u64 << (64 - depth);
        let (low, high) = (Segment::full_size(depth), Segment::full_size(depth));
        move_all(segment, place_of, |place| if place & bit == 0 { low } else { high });
        self.directory.cover(place & !bit, low);
        self.directory.cover(place | bit, high);
        self.retired.add_segment(segment);
    }

    /// Unites a sparse segment with its neighbour, or makes the only one smaller.
    fn shrink(&mut self, place: u64, segment: Segment, place_of: &impl Fn(NonNull<u8>) -> u64) {
        let depth = segment.depth();
        if depth == 0 {
            let live = segment.live() as usize;
            self.rebuild(place, segment, live + live / 2 + 1, place_of);
            return;
        }
        let other = self.segment(place ^ (1 << (64 - depth)));
        if other.depth() == depth && segment.fits_together_with(other) {
            let merged = Segment::full_size(depth - 1);
            move_all(segment, place_of, |_| merged);
            move_all(other, place_of, |_| merged);
            self.directory.cover(place, merged);
            self.retired.add_segment(segment);
            self.retired.add_segment(other);
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.clear();
        self.release();
    }
}

impl Hint {
    /// The bucket that `place` belongs to, to be prefetched. The caller is pinned
    /// ([`crossbeam_epoch::pin`]) until it has used the answer.
    #[inline(always)]
    pub fn bucket(&self, place: u64, _pinned: &crossbeam_epoch::Guard) -> Option<BucketHint> {
        let directory = Directory::from_word(self.0.load(Ordering::Acquire));
        if directory.is_empty() {
            return None;
        }
        let covering = directory.lookup(place);
        let home = home_of(place, covering.depth, covering.buckets);
        Some(BucketHint(Segment::bucket_at(covering.address, home)))
    }
}

/// A bucket that may be looked at while pinned, though what it says may be out of date.
#[derive(Clone, Copy)]
pub struct BucketHint(*const bucket::Bucket);

impl BucketHint {
    /// The address to prefetch.
    #[inline(always)]
    #[must_use]
    pub fn address(self) -> *const u8 {
        self.0.cast()
    }

    /// The first entry in the bucket whose tag matches: an address to prefetch, not to read.
    #[inline(always)]
    #[must_use]
    pub fn entry(self, tag: u16, _pinned: &crossbeam_epoch::Guard) -> Option<*const u8> {
        // SAFETY: the bucket was reachable when this thread had pinned, so it is not freed before
        // the thread unpins; it consists of atomics.
        let bucket = unsafe { &*self.0 };
        let slot = bucket.matches(tag).next()?;
        Some(bucket.peek(slot))
    }
}

/// Places all entries of `from` anew, each in the segment that `to` names for its place.
fn move_all(from: Segment, place_of: &impl Fn(NonNull<u8>) -> u64, to: impl Fn(u64) -> Segment) {
    from.for_each(|tag, entry| {
        let place = place_of(entry);
        let placed = to(place).place(place, tag, entry, u32::MAX);
        assert!(placed, "a segment is made with room for what moves there");
    });
}

/// The first place after the range that a segment of `depth` covers around `place`.
fn next_range(place: u64, depth: u32) -> Option<u64> {
    if depth == 0 {
        return None;
    }
    let shift = 64 - depth;
    (place >> shift).checked_add(1).filter(|&next| next >> depth == 0).map(|next| next << shift)
}
