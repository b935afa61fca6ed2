//! A key with what is computed from it once: its slot and its place in the index.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_micro_inline};

use crate::index::TAG_BITS;
use crate::slot::slot_of;

/// How many stripes a table has; a stripe is 16 slots under one lock.
pub const STRIPES: usize = 1_024;

const SLOTS_PER_STRIPE_BITS: u32 = 4;

/// A key as a handler sees it: the bytes, and where they live.
///
/// `place` orders the keys of a stripe by (slot, hash): the upper 4 bits are the slot within the
/// stripe, the other 60 the upper bits of the hash. `tag` is made of the hash's lowest bits.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    bytes: &'a [u8],
    hash: KeyHash,
}

/// What is computed from a key's bytes, without them: kept while a batch is prefetched.
#[derive(Clone, Copy, Debug)]
pub struct KeyHash {
    place: u64,
    slot: u16,
    tag: u16,
}

/// Hashes keys with a secret seed, so that nobody outside can choose colliding keys.
#[derive(Clone, Copy)]
pub struct KeyHasher {
    secrets: RapidSecrets,
}

impl KeyHasher {
    /// A hasher with this seed. The seed need not be kept: nothing on disk depends on it.
    #[must_use]
    pub fn new(seed: u64) -> KeyHasher {
        KeyHasher { secrets: RapidSecrets::seed(seed) }
    }

    /// The key of these bytes.
    #[inline]
    #[must_use]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        let hash = rapidhash_v3_micro_inline::<true, false>(bytes, &self.secrets);
        let slot = slot_of(bytes);
        let tag = hash as u16 & ((1 << TAG_BITS) - 1);
        let hash = KeyHash {
            place: (u64::from(slot) << (64 - SLOTS_PER_STRIPE_BITS))
                | (hash >> SLOTS_PER_STRIPE_BITS),
            slot,
            tag: if tag == 0 { 1 } else { tag },
        };
        Key { bytes, hash }
    }
}

impl<'a> Key<'a> {
    /// A key that was hashed before: `hash` is that of these bytes.
    #[inline]
    #[must_use]
    pub fn hashed(bytes: &'a [u8], hash: KeyHash) -> Key<'a> {
        Key { bytes, hash }
    }

    /// What was computed from the bytes.
    #[inline]
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        self.hash
    }

    /// The bytes of the key.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The slot of the key, `0..16384`.
    #[inline]
    #[must_use]
    pub fn slot(&self) -> u16 {
        self.hash.slot
    }

    /// The stripe of the key, `0..STRIPES`.
    #[inline]
    #[must_use]
    pub fn stripe(&self) -> usize {
        usize::from(self.hash.slot >> SLOTS_PER_STRIPE_BITS)
    }

    /// The place within the stripe, see the type.
    #[inline]
    pub(crate) fn place(&self) -> u64 {
        self.hash.place
    }

    /// Bits of hash that the index keeps beside the pointer. Never 0.
    #[inline]
    pub(crate) fn tag(&self) -> u16 {
        self.hash.tag
    }
}

impl KeyHash {
    /// The stripe of the key, `0..STRIPES`.
    #[inline]
    pub(crate) fn stripe(&self) -> usize {
        usize::from(self.slot >> SLOTS_PER_STRIPE_BITS)
    }

    #[inline]
    pub(crate) fn place(&self) -> u64 {
        self.place
    }

    #[inline]
    pub(crate) fn tag(&self) -> u16 {
        self.tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_slot_are_neighbours_in_place() {
        let hasher = KeyHasher::new(7);
        let a = hasher.key(b"{t}1");
        let b = hasher.key(b"{t}2");
        assert_eq!(a.stripe(), b.stripe());
        assert_eq!(a.place() >> 60, b.place() >> 60);
        assert_ne!(a.place(), b.place());
        assert_eq!(a.place() >> 60, u64::from(a.slot() & 15));
    }
}
