//! A bucket of the index: one cache line of eight pointers, each with a tag in its upper bits.
//!
//! A word is `passed (1 bit), tag (15 bits), address (48 bits)`; tag 0 means that the slot is empty.
//! The eight `passed` bits together, slot 0 lowest, count the entries that belong here or before but
//! had to go past this bucket: a search goes on to the next bucket only while the count is not 0. A
//! count that reached 255 stays there until a rebuild.
//!
//! All words are atomics with relaxed order: only the holder of the stripe's lock writes them or
//! believes what they say; others read them to prefetch, which may be wrong but never undefined.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// Pointers in a bucket.
pub(super) const SLOTS: usize = 8;

/// Bits of a tag.
pub(crate) const TAG_BITS: u32 = 15;

const TAG_SHIFT: u32 = 48;
const TAG_MASK: usize = (1 << TAG_BITS) - 1;
const ADDRESS: usize = (1 << TAG_SHIFT) - 1;
const PASSED: usize = 1 << 63;
const PASSED_MAX: u8 = 255;

#[repr(C, align(64))]
pub(super) struct Bucket {
    words: [AtomicPtr<u8>; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// The slots of a bucket whose tag matched, lowest first.
pub(super) struct Matches(u32);

impl Iterator for Matches {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

impl Bucket {
    #[inline(always)]
    fn word(&self, slot: usize) -> usize {
        self.words[slot].load(Relaxed).addr()
    }

    /// The slots that hold this tag (0: the empty slots).
    #[inline(always)]
    pub(super) fn matches(&self, tag: u16) -> Matches {
        let mut matches = 0;
        for slot in 0..SLOTS {
            let same = (self.word(slot) >> TAG_SHIFT) & TAG_MASK == usize::from(tag);
            matches |= u32::from(same) << slot;
        }
        Matches(matches)
    }

    /// Whether a search has to look at the next bucket too.
    #[inline(always)]
    pub(super) fn was_passed(&self) -> bool {
        (0..SLOTS).fold(0, |all, slot| all | self.word(slot)) & PASSED != 0
    }

    /// An empty slot, if there is one.
    #[inline]
    pub(super) fn vacancy(&self) -> Option<usize> {
        self.matches(0).next()
    }

    /// What the slot points at, if it is occupied.
    #[inline(always)]
    pub(super) fn get(&self, slot: usize) -> Option<NonNull<u8>> {
        NonNull::new(self.peek(slot))
    }

    /// What the slot points at, without a claim that it is current.
    #[inline(always)]
    pub(super) fn peek(&self, slot: usize) -> *mut u8 {
        self.words[slot].load(Relaxed).map_addr(|word| word & ADDRESS)
    }

    /// The tag of the slot, 0 when it is empty.
    pub(super) fn tag(&self, slot: usize) -> u16 {
        ((self.word(slot) >> TAG_SHIFT) & TAG_MASK) as u16
    }

    pub(super) fn fill(&self, slot: usize, tag: u16, pointer: NonNull<u8>) {
        debug_assert!(tag != 0 && self.tag(slot) == 0, "a slot is filled once");
        self.set(slot, usize::from(tag) << TAG_SHIFT, pointer.as_ptr());
    }

    #[inline]
    pub(super) fn replace(&self, slot: usize, pointer: NonNull<u8>) {
        self.set(slot, self.word(slot) & (TAG_MASK << TAG_SHIFT), pointer.as_ptr());
    }

    pub(super) fn clear(&self, slot: usize) {
        self.set(slot, 0, std::ptr::null_mut());
    }

    /// Writes tag and pointer of a slot; its passed bit stays.
    #[inline]
    fn set(&self, slot: usize, tag: usize, pointer: *mut u8) {
        let passed = self.word(slot) & PASSED;
        let word = pointer.map_addr(|address| {
            assert!(address <= ADDRESS, "addresses of user memory have at most 48 bits");
            passed | tag | address
        });
        self.words[slot].store(word, Relaxed);
    }

    fn passed(&self) -> u8 {
        (0..SLOTS).fold(0, |count, slot| count | u8::from(self.word(slot) & PASSED != 0) << slot)
    }

    fn set_passed(&self, count: u8) {
        for slot in 0..SLOTS {
            let bit = if count >> slot & 1 == 1 { PASSED } else { 0 };
            let word = self.words[slot].load(Relaxed);
            self.words[slot].store(word.map_addr(|word| word & !PASSED | bit), Relaxed);
        }
    }

    /// Counts one more entry that went past this bucket.
    pub(super) fn pass(&self) {
        self.set_passed(self.passed().saturating_add(1));
    }

    /// Takes back one [`Bucket::pass`].
    pub(super) fn unpass(&self) {
        let passed = self.passed();
        debug_assert!(passed > 0, "an entry lies past a bucket that counts none");
        if passed < PASSED_MAX {
            self.set_passed(passed - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Bucket {
        Bucket { words: Default::default() }
    }

    #[test]
    fn matches_are_exact_for_neighbouring_tags() {
        let bucket = empty();
        for (slot, tag) in [1u16, 2, 1, 128, 129, 0x7fff, 1, 3].into_iter().enumerate() {
            bucket.fill(slot, tag, NonNull::dangling());
        }
        assert_eq!(bucket.matches(1).collect::<Vec<_>>(), [0, 2, 6]);
        assert_eq!(bucket.matches(0x7fff).collect::<Vec<_>>(), [5]);
        assert_eq!(bucket.matches(4).count(), 0);
        assert_eq!(bucket.vacancy(), None);
    }

    #[test]
    fn the_passed_count_does_not_look_like_a_tag_or_an_address() {
        let bucket = empty();
        for _ in 0..7 {
            bucket.pass();
        }
        assert_eq!(bucket.matches(0).count(), SLOTS);
        bucket.fill(0, 9, NonNull::dangling());
        assert_eq!(bucket.get(0), Some(NonNull::dangling()));
        assert_eq!((bucket.get(1), bucket.passed()), (None, 7));
        bucket.clear(0);
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
