//! A bucket of the index: one cache line of seven pointers and their tags.
//!
//! Byte `i` of `meta`, for `i < 7`, is the tag of slot `i`, 0 when the slot is empty. Byte 7 counts
//! the entries that belong here or before but had to go past this bucket: a search goes on to the
//! next bucket only while it is not 0. A count that reached 255 stays there until a rebuild.
//!
//! All words are atomics with relaxed order: only the holder of the stripe's lock writes them or
//! believes what they say; others read them to prefetch, which may be wrong but never undefined.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

/// Pointers in a bucket.
pub(super) const SLOTS: usize = 7;

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const LOW_SEVENS: u64 = 0x007f_7f7f_7f7f_7f7f;
const TAG_HIGHS: u64 = 0x0080_8080_8080_8080;
const PASSED_SHIFT: u32 = 56;
const PASSED_MAX: u64 = 255;

#[repr(C, align(64))]
pub(super) struct Bucket {
    meta: AtomicU64,
    pointers: [AtomicPtr<u8>; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// The slots of a bucket whose tag matched, lowest first.
pub(super) struct Matches(u64);

impl Iterator for Matches {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

impl Bucket {
    /// The slots that hold this tag (0: the empty slots). Exact: no false positives.
    #[inline(always)]
    pub(super) fn matches(&self, tag: u8) -> Matches {
        let differing = self.meta.load(Relaxed) ^ (u64::from(tag) * LOW_BITS);
        let nonzero = (differing & LOW_SEVENS).wrapping_add(LOW_SEVENS) | differing;
        Matches(!nonzero & TAG_HIGHS)
    }

    /// Whether a search has to look at the next bucket too.
    #[inline(always)]
    pub(super) fn was_passed(&self) -> bool {
        self.meta.load(Relaxed) >> PASSED_SHIFT != 0
    }

    /// An empty slot, if there is one.
    #[inline]
    pub(super) fn vacancy(&self) -> Option<usize> {
        self.matches(0).next()
    }

    /// What the slot points at, if it is occupied.
    #[inline(always)]
    pub(super) fn get(&self, slot: usize) -> Option<NonNull<u8>> {
        NonNull::new(self.pointers[slot].load(Relaxed))
    }

    /// What the slot holds, without a claim that it is current.
    #[inline(always)]
    pub(super) fn peek(&self, slot: usize) -> *mut u8 {
        self.pointers[slot].load(Relaxed)
    }

    /// The tag of the slot, 0 when it is empty.
    pub(super) fn tag(&self, slot: usize) -> u8 {
        self.meta.load(Relaxed).to_le_bytes()[slot]
    }

    pub(super) fn fill(&self, slot: usize, tag: u8, pointer: NonNull<u8>) {
        debug_assert!(tag != 0 && self.tag(slot) == 0);
        self.pointers[slot].store(pointer.as_ptr(), Relaxed);
        self.meta.store(self.meta.load(Relaxed) | (u64::from(tag) << (8 * slot)), Relaxed);
    }

    #[inline]
    pub(super) fn replace(&self, slot: usize, pointer: NonNull<u8>) {
        self.pointers[slot].store(pointer.as_ptr(), Relaxed);
    }

    pub(super) fn clear(&self, slot: usize) {
        self.pointers[slot].store(ptr::null_mut(), Relaxed);
        self.meta.store(self.meta.load(Relaxed) & !(0xff << (8 * slot)), Relaxed);
    }

    /// Counts one more entry that went past this bucket.
    pub(super) fn pass(&self) {
        let meta = self.meta.load(Relaxed);
        if meta >> PASSED_SHIFT < PASSED_MAX {
            self.meta.store(meta + (1 << PASSED_SHIFT), Relaxed);
        }
    }

    /// Takes back one [`Bucket::pass`].
    pub(super) fn unpass(&self) {
        let meta = self.meta.load(Relaxed);
        let passed = meta >> PASSED_SHIFT;
        debug_assert!(passed > 0, "an entry lies past a bucket that counts none");
        if passed < PASSED_MAX {
            self.meta.store(meta - (1 << PASSED_SHIFT), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Bucket {
        Bucket { meta: AtomicU64::new(0), pointers: Default::default() }
    }

    #[test]
    fn matches_are_exact_for_neighbouring_tags() {
        let bucket = empty();
        for (slot, tag) in [1u8, 2, 1, 128, 129, 255, 1].into_iter().enumerate() {
            bucket.fill(slot, tag, NonNull::dangling());
        }
        assert_eq!(bucket.matches(1).collect::<Vec<_>>(), [0, 2, 6]);
        assert_eq!(bucket.matches(128).collect::<Vec<_>>(), [3]);
        assert_eq!(bucket.matches(3).count(), 0);
        assert_eq!(bucket.vacancy(), None);
    }

    #[test]
    fn the_passed_count_does_not_look_like_a_tag() {
        let bucket = empty();
        for _ in 0..7 {
            bucket.pass();
        }
        assert_eq!(bucket.matches(7).count(), 0);
        assert_eq!(bucket.matches(0).count(), 7);
        for _ in 0..7 {
            bucket.unpass();
        }
        assert!(!bucket.was_passed());
    }

    #[test]
    fn a_saturated_count_sticks() {
        let bucket = empty();
        for _ in 0..300 {
            bucket.pass();
        }
        for _ in 0..300 {
            bucket.unpass();
        }
        assert!(bucket.was_passed());
    }
}
