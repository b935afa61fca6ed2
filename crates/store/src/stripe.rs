//! A stripe: 16 slots of one table under one lock.

use std::ptr::NonNull;

use crate::entry::Entry;
use crate::index::{Hint, Index};
use crate::key::KeyHasher;
use crate::sync::{Mutex, MutexGuard, lock};

/// One of a table's stripes. A cache line of its own.
#[repr(align(64))]
#[derive(Default)]
pub(crate) struct Stripe {
    /// For prefetching without the lock.
    pub(crate) hint: Hint,
    state: Mutex<StripeState>,
}

const _: () = assert!(size_of::<Stripe>() == 64);

/// What the lock protects.
#[derive(Default)]
pub(crate) struct StripeState {
    /// All entries.
    pub(crate) index: Index,
    /// The entries with a deadline, at the same places.
    pub(crate) deadlines: Index,
    /// Version of the last delete: what a read that found nothing has seen.
    pub(crate) last_delete: u64,
}

// SAFETY: entries are plain memory owned by the index they are in; no thread-local state.
unsafe impl Send for StripeState {}

/// A locked stripe. Publishes the index's hint when it is released.
pub(crate) struct Held<'a> {
    pub(crate) table: u8,
    pub(crate) number: u16,
    stripe: &'a Stripe,
    guard: MutexGuard<'a, StripeState>,
}

impl Stripe {
    #[inline]
    pub(crate) fn hold(&self, table: u8, number: u16) -> Held<'_> {
        Held { table, number, stripe: self, guard: lock(&self.state) }
    }
}

impl Held<'_> {
    #[inline(always)]
    pub(crate) fn state(&self) -> &StripeState {
        &self.guard
    }

    #[inline(always)]
    pub(crate) fn state_mut(&mut self) -> &mut StripeState {
        &mut self.guard
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        let state = &mut *self.guard;
        state.index.publish(&self.stripe.hint);
        state.deadlines.release();
    }
}

/// The place of an entry that is already in an index, computed from its key.
#[inline]
pub(crate) fn place_of(hasher: &KeyHasher) -> impl Fn(NonNull<u8>) -> u64 + '_ {
    |pointer| hasher.key(Entry::from_pointer(pointer).key()).place()
}
