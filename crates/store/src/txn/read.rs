//! Read views: what a handler may know of a key. Expired keys are not there.

use crate::entry::{Entry, Kind, SharedBytes, Value};
use crate::index::Found;
use crate::key::Key;
use crate::record::Cause;

use super::{Mode, Txn};

/// The key holds another type of value than the command works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongType;

/// A string in the store. Valid until the transaction changes something.
#[derive(Clone, Copy)]
pub struct StringView<'t> {
    value: Value<'t>,
    /// When the key expires, Unix milliseconds.
    pub deadline: Option<u64>,
    /// Whether OBJECT ENCODING says `raw` whatever the length.
    pub raw: bool,
}

impl<'t> StringView<'t> {
    /// Its bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'t [u8] {
        self.value.bytes()
    }

    /// The value as the store shares it, if it is large.
    #[inline]
    #[must_use]
    pub fn shared(&self) -> Option<&'t SharedBytes> {
        match self.value {
            Value::Inline(_) => None,
            Value::Shared(shared) => Some(shared),
        }
    }
}

/// What is known of a key besides its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    /// The type of its value.
    pub kind: Kind,
    /// When it expires, Unix milliseconds.
    pub deadline: Option<u64>,
    /// Changes whenever the key changes.
    pub version: u64,
    /// The access bits, see [`crate::access`].
    pub access: u32,
    /// Bytes of memory.
    pub memory: usize,
}

impl<'a> Txn<'a> {
    /// Finds the live entry of a key, deleting it first if its deadline has passed. A follower only
    /// hides it.
    #[inline(always)]
    pub(super) fn find(&mut self, key: &Key<'_>) -> Option<(Found, Entry)> {
        self.find_or_hide::<false>(key)
    }

    /// The same; with `HIDES` an expired key may be left where it is: only for those that change
    /// nothing on the ground that it is not there.
    #[inline(always)]
    fn find_or_hide<const HIDES: bool>(&mut self, key: &Key<'_>) -> Option<(Found, Entry)> {
        let held = self.held(key.stripe() as u16);
        let state = held.state();
        let found = state.index.find(key.place(), key.tag(), |pointer| {
            Entry::from_pointer(pointer).key() == key.bytes()
        });
        let Some(found) = found else {
            let version = state.last_delete;
            self.saw(version);
            return None;
        };
        let entry = Entry::from_pointer(found.entry);
        if entry.deadline().is_some_and(|deadline| self.has_passed(deadline)) {
            if (HIDES && self.writer.hides_expired) || self.writer.following_ms.is_some() {
                self.saw(entry.version());
            } else {
                self.delete_found(key, found, Cause::Expired);
            }
            return None;
        }
        self.saw(entry.version());
        Some((found, entry))
    }

    /// Whether a deadline lies in the past. While replaying only the log decides.
    fn has_passed(&self, deadline: u64) -> bool {
        match self.mode {
            Mode::Serving => deadline <= self.writer.data_ms(),
            Mode::Replaying => false,
        }
    }

    #[inline]
    fn find_counting(&mut self, key: &Key<'_>) -> Option<Entry> {
        let found = self.find_or_hide::<true>(key).map(|(_, entry)| entry);
        if found.is_some() {
            self.tally.hits.add(1);
        } else {
            self.tally.misses.add(1);
        }
        found
    }

    /// The string that a key holds, for a command that reads it: counts as a hit or a miss and as a
    /// use of the key.
    #[inline]
    pub fn string(&mut self, key: &Key<'_>) -> Result<Option<StringView<'_>>, WrongType> {
        let Some(entry) = self.find_counting(key) else { return Ok(None) };
        self.touch(entry);
        view(entry).map(Some)
    }

    /// The string that a key holds, for a command that goes on to change it: neither hit nor miss.
    #[inline]
    pub fn string_to_change(&mut self, key: &Key<'_>) -> Result<Option<StringView<'_>>, WrongType> {
        match self.find(key) {
            Some((_, entry)) => view(entry).map(Some),
            None => Ok(None),
        }
    }

    /// What is known of a key, for a command that asks about it: a hit or a miss, but not a use.
    pub fn meta(&mut self, key: &Key<'_>) -> Option<Meta> {
        self.find_counting(key).map(meta_of)
    }

    /// The same without counting, for WATCH and for tools.
    pub fn peek(&mut self, key: &Key<'_>) -> Option<Meta> {
        self.find_or_hide::<true>(key).map(|(_, entry)| meta_of(entry))
    }

    /// The string of a key without counting a hit or a use, for tools.
    pub fn peek_string(&mut self, key: &Key<'_>) -> Result<Option<StringView<'_>>, WrongType> {
        match self.find_or_hide::<true>(key) {
            Some((_, entry)) => view(entry).map(Some),
            None => Ok(None),
        }
    }

    /// Counts a use of a key (TOUCH). Whether the key is there.
    pub fn touch_key(&mut self, key: &Key<'_>) -> bool {
        let found = self.find_counting(key);
        if let Some(entry) = found {
            self.touch(entry);
        }
        found.is_some()
    }

    #[inline]
    fn touch(&mut self, entry: Entry) {
        let used = self.used(entry);
        if used != entry.access() {
            entry.set_access(used);
        }
    }

    /// The access bits of an entry after this use of it.
    #[inline]
    pub(super) fn used(&mut self, entry: Entry) -> u32 {
        if self.writer.no_touch {
            return entry.access();
        }
        let now_ms = self.writer.data_ms();
        self.keyspace.access_mode().touched(entry.access(), now_ms, || self.writer.random())
    }
}

fn meta_of(entry: Entry) -> Meta {
    Meta {
        kind: entry.kind(),
        deadline: entry.deadline(),
        version: entry.version(),
        access: entry.access(),
        memory: entry.memory(),
    }
}

#[inline]
fn view<'t>(entry: Entry) -> Result<StringView<'t>, WrongType> {
    match entry.kind() {
        Kind::String => {
            Ok(StringView { value: entry.value(), deadline: entry.deadline(), raw: entry.is_raw() })
        }
    }
}
