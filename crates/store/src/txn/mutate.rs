//! Mutators: each changes a value and encodes its effect, and cannot fail.

use std::sync::Arc;

use crate::entry::{Content, Entry, SHARED_LEN_MIN, Value};
use crate::index::Found;
use crate::key::Key;
use crate::keyspace::Keyspace;
use crate::record::{Cause, Effect, Stamp};
use crate::stripe::{StripeState, place_of};
use crate::tally::Tally;

use super::{Mode, Txn};

/// Bytes that a key costs in the index, counted for `maxmemory`: a slot of a bucket at its usual
/// fill. A key with a deadline costs it twice.
const INDEX_BYTES: i64 = 12;

/// What becomes of a key's deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    /// The key lives for ever.
    None,
    /// It stays as it was.
    Keep,
    /// Unix milliseconds.
    At(u64),
}

/// A value to be stored.
#[derive(Clone, Copy)]
pub struct NewString<'v> {
    /// The bytes. They are not part of the store's memory, or else shared.
    pub value: Value<'v>,
    /// Whether OBJECT ENCODING shall say `raw` whatever the length.
    pub raw: bool,
}

impl<'v> From<&'v [u8]> for NewString<'v> {
    fn from(bytes: &'v [u8]) -> NewString<'v> {
        NewString { value: Value::Inline(bytes), raw: false }
    }
}

/// Aborts the process if a mutator panics: value and log may differ, and recovery knows the truth.
struct Indivisible;

impl Drop for Indivisible {
    fn drop(&mut self) {
        // `mutation` forgets it when the mutation is done, so this runs only when unwinding.
        std::process::abort();
    }
}

#[inline(always)]
pub(super) fn mutation<T>(change: impl FnOnce() -> T) -> T {
    let guard = Indivisible;
    let result = change();
    std::mem::forget(guard);
    result
}

impl<'a> Txn<'a> {
    /// A handler must not come so far on a follower: that is refused before.
    #[inline(always)]
    pub(super) fn assert_may_change(&self) {
        assert!(self.writer.following_ms.is_none(), "a follower changes nothing by itself");
    }

    /// The stamp of this transaction's record; the first mutation takes it.
    #[inline]
    pub(super) fn begin(&mut self, size_hint: usize) -> Stamp {
        if let Some(stamp) = self.stamp {
            return stamp;
        }
        let stamp = self.keyspace.sequencer().next(self.writer.now_ms);
        self.writer.log.begin(stamp, size_hint);
        self.tally.records.add(1);
        self.stamp = Some(stamp);
        stamp
    }

    #[inline]
    pub(super) fn encode(&mut self, effect: &Effect<'_>) {
        if matches!(self.mode, Mode::Serving) {
            effect.encode(self.writer.log.effects());
        }
    }

    /// Makes the key hold this string. Whether it held something before.
    #[inline]
    pub fn put(&mut self, key: &Key<'_>, new: NewString<'_>, deadline: Deadline) -> bool {
        self.assert_may_change();
        mutation(|| {
            let found = self.find(key);
            let deadline = match (deadline, found) {
                (Deadline::None, _) | (Deadline::Keep, None) => None,
                (Deadline::At(ms), _) => Some(ms),
                (Deadline::Keep, Some((_, entry))) => entry.deadline(),
            };
            let bytes = new.value.bytes();
            let stamp = self.begin(key.bytes().len() + bytes.len() + 24);
            let (table, key_bytes, raw) = (self.table, key.bytes(), new.raw);
            self.encode(&Effect::PutString { table, key: key_bytes, value: bytes, deadline, raw });
            self.store(key, found, new.value, deadline, raw, stamp);
            found.is_some()
        })
    }

    /// Appends to the string of a key that has one. `find` has shown it.
    pub fn append(&mut self, key: &Key<'_>, suffix: &[u8]) {
        self.assert_may_change();
        mutation(|| {
            let stamp = self.begin(key.bytes().len() + suffix.len() + 24);
            self.encode(&Effect::Append { table: self.table, key: key.bytes(), suffix });
            if let Some(found) = self.find(key) {
                self.edit(key, found, stamp, |value| value.extend_from_slice(suffix));
            }
        });
    }

    /// Writes `bytes` from `offset` on into the string of a key that has one, padding with zeros.
    pub fn set_range(&mut self, key: &Key<'_>, offset: usize, bytes: &[u8]) {
        self.assert_may_change();
        mutation(|| {
            let stamp = self.begin(key.bytes().len() + bytes.len() + 24);
            let (table, at) = (self.table, offset as u64);
            self.encode(&Effect::SetRange { table, key: key.bytes(), offset: at, bytes });
            if let Some(found) = self.find(key) {
                self.edit(key, found, stamp, |value| write_range(value, offset, bytes));
            }
        });
    }

    /// Deletes a key. Whether it was there.
    #[inline]
    pub fn delete(&mut self, key: &Key<'_>) -> bool {
        self.assert_may_change();
        let found = self.find(key);
        if let Some((found, _)) = found {
            self.delete_found(key, found, Cause::Command);
        }
        found.is_some()
    }

    /// Deletes a key because memory is needed. Whether it was there.
    pub fn evict(&mut self, key: &Key<'_>) -> bool {
        self.assert_may_change();
        let found = self.find(key);
        if let Some((found, _)) = found {
            self.delete_found(key, found, Cause::Evicted);
        }
        found.is_some()
    }

    /// Gives a key a deadline, or none. Whether the key is there.
    pub fn set_deadline(&mut self, key: &Key<'_>, deadline: Option<u64>) -> bool {
        self.assert_may_change();
        let Some(found) = self.find(key) else { return false };
        mutation(|| {
            let stamp = self.begin(key.bytes().len() + 16);
            self.encode(&Effect::SetDeadline { table: self.table, key: key.bytes(), deadline });
            self.change_deadline(key, found, deadline, stamp);
        });
        true
    }

    pub(super) fn delete_found(&mut self, key: &Key<'_>, found: Found, cause: Cause) {
        mutation(|| {
            let stamp = self.begin(key.bytes().len() + 16);
            self.encode(&Effect::Delete { table: self.table, key: key.bytes(), cause });
            self.remove(key, found);
            let state = self.held(key.stripe() as u16).state_mut();
            state.last_delete = stamp.lsn.0;
        });
        match cause {
            Cause::Command => {}
            Cause::Expired => self.tally.expired.add(1),
            Cause::Evicted => self.tally.evicted.add(1),
        }
    }

    fn remove(&mut self, key: &Key<'_>, found: Found) {
        let keyspace = self.keyspace;
        let state = self.held(key.stripe() as u16).state_mut();
        let entry = Entry::from_pointer(found.entry);
        if entry.deadline().is_some() {
            forget_deadline(state, keyspace, key, entry);
        }
        state.index.remove(key.place(), found, place_of(keyspace.hasher()));
        uncount(self.tally, self.table, entry);
        // SAFETY: out of both indexes, so this is the last handle; the stripe is locked.
        unsafe { entry.free() };
    }

    /// Puts a value in place of what `found` names, or adds the key.
    #[inline]
    pub(super) fn store(
        &mut self,
        key: &Key<'_>,
        found: Option<(Found, Entry)>,
        value: Value<'_>,
        deadline: Option<u64>,
        raw: bool,
        stamp: Stamp,
    ) {
        let access = match found {
            Some((_, entry)) if self.keyspace.access_mode().is_lfu() => self.used(entry),
            _ => self.keyspace.access_mode().fresh(self.writer.now_ms),
        };
        let promoted;
        let value = match value {
            Value::Inline(bytes) if bytes.len() >= SHARED_LEN_MIN => {
                promoted = Arc::new(bytes.to_vec());
                Value::Shared(&promoted)
            }
            other => other,
        };
        let version = stamp.lsn.0;
        let content = Content { version, access, deadline, raw, key: key.bytes(), value };
        match found {
            Some((found, entry)) => self.overwrite(key, found, entry, &content),
            None => self.add(key, &content),
        }
    }

    #[inline]
    fn add(&mut self, key: &Key<'_>, content: &Content<'_>) {
        let entry = Entry::new(content);
        let keyspace = self.keyspace;
        let state = self.held(key.stripe() as u16).state_mut();
        let place_of = place_of(keyspace.hasher());
        state.index.insert(key.place(), key.tag(), entry.pointer(), &place_of);
        if content.deadline.is_some() {
            state.deadlines.insert(key.place(), key.tag(), entry.pointer(), &place_of);
            self.tally.deadlines(self.table).add(1);
            self.tally.bytes.add(INDEX_BYTES);
        }
        self.tally.keys(self.table).add(1);
        self.tally.bytes.add(entry.memory() as i64 + INDEX_BYTES);
    }

    #[inline]
    fn overwrite(&mut self, key: &Key<'_>, found: Found, entry: Entry, content: &Content<'_>) {
        let had_deadline = entry.deadline().is_some();
        if had_deadline == content.deadline.is_some() && entry.rewrite(content) {
            return;
        }
        let keyspace = self.keyspace;
        let replacement = Entry::new(content);
        let change = replacement.memory() as i64 - entry.memory() as i64;
        let state = self.held(key.stripe() as u16).state_mut();
        match (had_deadline, content.deadline.is_some()) {
            (false, false) => {}
            (true, true) => {
                let found = deadline_of(state, key, entry);
                state.deadlines.replace(found, replacement.pointer());
            }
            (true, false) => forget_deadline(state, keyspace, key, entry),
            (false, true) => {
                let place_of = place_of(keyspace.hasher());
                state.deadlines.insert(key.place(), key.tag(), replacement.pointer(), place_of);
            }
        }
        state.index.replace(found, replacement.pointer());
        // SAFETY: replaced in both indexes, so this is the last handle; the stripe is locked.
        unsafe { entry.free() };
        let deadlines = i64::from(content.deadline.is_some()) - i64::from(had_deadline);
        self.tally.deadlines(self.table).add(deadlines);
        self.tally.bytes.add(change + deadlines * INDEX_BYTES);
    }

    /// Gives what `found` names another deadline.
    pub(super) fn change_deadline(
        &mut self,
        key: &Key<'_>,
        (found, entry): (Found, Entry),
        deadline: Option<u64>,
        stamp: Stamp,
    ) {
        let old = entry.value();
        let copied;
        let value = match old {
            Value::Shared(_) => old,
            Value::Inline(bytes) => {
                copied = bytes.to_vec();
                Value::Inline(&copied)
            }
        };
        self.store(key, Some((found, entry)), value, deadline, entry.is_raw(), stamp);
    }

    /// Changes the bytes of a string in place where it is large and nobody shares it.
    pub(super) fn edit(
        &mut self,
        key: &Key<'_>,
        (found, entry): (Found, Entry),
        stamp: Stamp,
        change: impl FnOnce(&mut Vec<u8>),
    ) {
        let (deadline, before) = (entry.deadline(), entry.memory() as i64);
        if matches!(entry.value(), Value::Shared(_)) {
            // SAFETY: the stripe is locked and no other reference into the entry lives; other
            // owners of the value are seen by `make_mut`, which then copies.
            let shared = unsafe { entry.shared_mut() };
            change(Arc::make_mut(shared));
            entry.set_version(stamp.lsn.0);
            entry.set_access(self.used(entry));
            entry.set_raw();
            self.tally.bytes.add(entry.memory() as i64 - before);
            return;
        }
        let mut value = entry.value().bytes().to_vec();
        change(&mut value);
        self.store(key, Some((found, entry)), Value::Inline(&value), deadline, true, stamp);
    }
}

/// Writes into a string that is made longer, with zeros, if need be.
pub(super) fn write_range(value: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if value.len() < end {
        value.resize(end, 0);
    }
    value[offset..end].copy_from_slice(bytes);
}

/// The position of an entry in the index of deadlines.
fn deadline_of(state: &StripeState, key: &Key<'_>, entry: Entry) -> Found {
    state
        .deadlines
        .find(key.place(), key.tag(), |pointer| pointer == entry.pointer())
        .expect("an entry with a deadline is in the index of deadlines")
}

pub(super) fn forget_deadline(
    state: &mut StripeState,
    keyspace: &Keyspace,
    key: &Key<'_>,
    entry: Entry,
) {
    let found = deadline_of(state, key, entry);
    state.deadlines.remove(key.place(), found, place_of(keyspace.hasher()));
}

/// Takes an entry that is about to be freed out of the counters.
pub(super) fn uncount(tally: &Tally, table: u8, entry: Entry) {
    let deadlines = i64::from(entry.deadline().is_some());
    tally.keys(table).add(-1);
    tally.deadlines(table).add(-deadlines);
    tally.bytes.add(-(entry.memory() as i64) - INDEX_BYTES * (1 + deadlines));
}
