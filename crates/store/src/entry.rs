//! An entry: one allocation with header, key and small value.
//!
//! ```text
//! 0   u64  version (low 48 bits of the LSN that last changed it) | kind (8) | flags (8)
//! 8   u24  access: seconds of last use (LRU), or minutes and a logarithmic counter (LFU)
//! 11  varint key length, varint payload length
//!     u64  deadline in Unix milliseconds, if HAS_DEADLINE
//!     key, payload (the value, or if SHARED, and then aligned, a reference to it)
//! ```
//! 13 bytes of header for small strings: a key of 16 and a value of 64 fit the allocator's class
//! of 96. It is not a value with behaviour: what a change means is decided in [`crate::txn`].
//!
//! Invariants: the allocation's size is `size_class` of its content; an entry of kind
//! [`Kind::String`] with SHARED owns one count of its `Arc`.

mod size;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::Arc;

pub use size::size_class;
use size::{read_varint, varint_len, write_varint};

/// A large value that the store, replies and snapshots share without copying.
pub type SharedBytes = Arc<Vec<u8>>;

/// Strings of this many bytes and more are kept as [`SharedBytes`].
pub const SHARED_LEN_MIN: usize = 16 * 1024;

/// The type of a key's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A string of bytes.
    String = 0,
}

const VERSION_BITS: u64 = (1 << 48) - 1;
const FLAGS_SHIFT: u32 = 56;
const HAS_DEADLINE: u8 = 1;
const SHARED: u8 = 2;
/// The string was changed in the middle or at the end: OBJECT ENCODING says `raw`.
const RAW: u8 = 4;

const SHARED_ALIGN: usize = align_of::<SharedBytes>();
const _: () = assert!(SHARED_ALIGN <= ALIGN);

const ALIGN: usize = 8;
const ACCESS_AT: usize = 8;
const LENGTHS_AT: usize = 11;

/// A handle to an entry. Copies alias; the holder of the stripe's lock decides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(NonNull<u8>);

/// What a new or rewritten entry shall hold.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) version: u64,
    pub(crate) access: u32,
    pub(crate) deadline: Option<u64>,
    pub(crate) raw: bool,
    pub(crate) key: &'a [u8],
    pub(crate) value: Value<'a>,
}

/// A string value, where it lies.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Within the entry, or anywhere outside the store.
    Inline(&'a [u8]),
    /// A large value that can be shared.
    Shared(&'a SharedBytes),
}

impl<'a> Value<'a> {
    /// The bytes of the value.
    #[inline]
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Value::Inline(bytes) => bytes,
            Value::Shared(shared) => shared,
        }
    }
}

struct Parts {
    deadline_at: usize,
    key_at: usize,
    key_len: usize,
    payload_at: usize,
    payload_len: usize,
}

impl Entry {
    #[inline(always)]
    pub(crate) fn from_pointer(pointer: NonNull<u8>) -> Entry {
        Entry(pointer)
    }

    #[inline(always)]
    pub(crate) fn pointer(self) -> NonNull<u8> {
        self.0
    }

    pub(crate) fn new(content: &Content<'_>) -> Entry {
        let layout = layout(content.size());
        // SAFETY: the layout is not of size zero.
        let memory = unsafe { alloc(layout) };
        let Some(pointer) = NonNull::new(memory) else { handle_alloc_error(layout) };
        let entry = Entry(pointer);
        // SAFETY: freshly allocated with the size class of the content.
        unsafe { entry.write(content) };
        entry
    }

    /// Replaces the content if neither is shared and it fits the same size class, so that the memory
    /// stays what it was; else says no and changes nothing.
    /// `content.value` must not lie within this entry.
    #[inline]
    pub(crate) fn rewrite(self, content: &Content<'_>) -> bool {
        let shared = self.flags() & SHARED != 0 || matches!(content.value, Value::Shared(_));
        if shared || size_class(content.size()) != self.class() {
            return false;
        }
        // SAFETY: the allocation has the size class of the new content, and the old content owns
        // nothing besides it.
        unsafe { self.write(content) };
        true
    }

    /// Frees the entry and its share of a shared value.
    ///
    /// # Safety
    /// The caller has taken the entry out of the index and holds the last handle.
    pub(crate) unsafe fn free(self) {
        let layout = layout(self.size());
        if let Value::Shared(shared) = self.value() {
            // SAFETY: the entry owns one count, made by `Arc::into_raw` in `write`.
            drop(unsafe { ptr::read(shared) });
        }
        // SAFETY: allocated with this layout; nobody uses it any more.
        unsafe { dealloc(self.0.as_ptr(), layout) };
    }

    /// # Safety
    /// The allocation has the size class of the content; old content owns nothing.
    #[inline]
    unsafe fn write(self, content: &Content<'_>) {
        let flags = if content.deadline.is_some() { HAS_DEADLINE } else { 0 }
            | if matches!(content.value, Value::Shared(_)) { SHARED } else { 0 }
            | if content.raw { RAW } else { 0 };
        let head = (content.version & VERSION_BITS) | (u64::from(flags) << FLAGS_SHIFT);
        // SAFETY: `content.size()` bytes are ours, see the contract; the sum of the writes below is
        // that size. A shared value is written at an address aligned for it.
        unsafe {
            let base = self.0.as_ptr();
            base.cast::<u64>().write(head);
            ptr::copy_nonoverlapping(content.access.to_le_bytes().as_ptr(), base.add(ACCESS_AT), 3);
            let mut at = LENGTHS_AT;
            at += write_varint(base.add(at), content.key.len());
            at += write_varint(base.add(at), content.payload_len());
            if let Some(deadline) = content.deadline {
                base.add(at).cast::<u64>().write_unaligned(deadline);
                at += 8;
            }
            ptr::copy_nonoverlapping(content.key.as_ptr(), base.add(at), content.key.len());
            at += content.key.len();
            match content.value {
                Value::Inline(bytes) => {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(at), bytes.len());
                }
                Value::Shared(shared) => {
                    let at = at.next_multiple_of(SHARED_ALIGN);
                    base.add(at).cast::<SharedBytes>().write(Arc::clone(shared));
                }
            }
        }
    }

    #[inline(always)]
    fn head(self) -> u64 {
        // SAFETY: an entry in hand is alive and starts with its head.
        unsafe { self.0.cast::<u64>().read() }
    }

    #[inline(always)]
    fn flags(self) -> u8 {
        (self.head() >> FLAGS_SHIFT) as u8
    }

    /// The low 48 bits of the LSN that last changed the entry.
    #[inline(always)]
    pub(crate) fn version(self) -> u64 {
        self.head() & VERSION_BITS
    }

    pub(crate) fn set_version(self, version: u64) {
        let head = (self.head() & !VERSION_BITS) | (version & VERSION_BITS);
        // SAFETY: the entry is alive, and the caller holds the stripe's lock.
        unsafe { self.0.cast::<u64>().write(head) };
    }

    pub(crate) fn set_raw(self) {
        let head = self.head() | (u64::from(RAW) << FLAGS_SHIFT);
        // SAFETY: the entry is alive, and the caller holds the stripe's lock.
        unsafe { self.0.cast::<u64>().write(head) };
    }

    pub(crate) fn kind(self) -> Kind {
        Kind::String
    }

    pub(crate) fn is_raw(self) -> bool {
        self.flags() & RAW != 0
    }

    /// The 24 access bits.
    #[inline]
    pub(crate) fn access(self) -> u32 {
        // SAFETY: the header is at least 12 bytes, so four bytes from 8 on are within it.
        let word = unsafe { self.0.as_ptr().add(ACCESS_AT).cast::<u32>().read_unaligned() };
        u32::from_le(word) & 0x00ff_ffff
    }

    #[inline]
    pub(crate) fn set_access(self, access: u32) {
        // SAFETY: three bytes within the header; the caller holds the stripe's lock.
        unsafe {
            ptr::copy_nonoverlapping(
                access.to_le_bytes().as_ptr(),
                self.0.as_ptr().add(ACCESS_AT),
                3,
            );
        }
    }

    #[inline(always)]
    fn parts(self) -> Parts {
        // SAFETY: the entry is alive; its lengths were written by `write`.
        let (key_len, a) = unsafe { read_varint(self.0.as_ptr().add(LENGTHS_AT)) };
        // SAFETY: as above, the second varint follows the first.
        let (payload_len, b) = unsafe { read_varint(self.0.as_ptr().add(LENGTHS_AT + a)) };
        let deadline_at = LENGTHS_AT + a + b;
        let key_at = deadline_at + if self.flags() & HAS_DEADLINE != 0 { 8 } else { 0 };
        let mut payload_at = key_at + key_len;
        if self.flags() & SHARED != 0 {
            payload_at = payload_at.next_multiple_of(SHARED_ALIGN);
        }
        Parts { deadline_at, key_at, key_len, payload_at, payload_len }
    }

    #[inline(always)]
    fn slice<'a>(self, at: usize, len: usize) -> &'a [u8] {
        // SAFETY: callers pass ranges of `parts`, which lie within the entry. The lifetime is the
        // caller's care: within the crate slices live as long as the borrow of the transaction.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }

    #[inline(always)]
    pub(crate) fn key<'a>(self) -> &'a [u8] {
        let parts = self.parts();
        self.slice(parts.key_at, parts.key_len)
    }

    #[inline(always)]
    pub(crate) fn value<'a>(self) -> Value<'a> {
        let parts = self.parts();
        if self.flags() & SHARED == 0 {
            return Value::Inline(self.slice(parts.payload_at, parts.payload_len));
        }
        // SAFETY: a SHARED payload is an Arc, written by `write` at this aligned address. It lives as
        // long as the entry, see `slice`.
        Value::Shared(unsafe { &*self.0.as_ptr().add(parts.payload_at).cast::<SharedBytes>() })
    }

    /// The shared value of an entry that has one, to be changed.
    ///
    /// # Safety
    /// The value is shared, and no other reference into this entry is alive.
    pub(crate) unsafe fn shared_mut<'a>(self) -> &'a mut SharedBytes {
        debug_assert!(self.flags() & SHARED != 0);
        let at = self.parts().payload_at;
        // SAFETY: the payload is an aligned Arc; the caller promises that it is not aliased.
        unsafe { &mut *self.0.as_ptr().add(at).cast::<SharedBytes>() }
    }

    /// When the entry expires, Unix milliseconds.
    #[inline(always)]
    pub(crate) fn deadline(self) -> Option<u64> {
        if self.flags() & HAS_DEADLINE == 0 {
            return None;
        }
        let at = self.parts().deadline_at;
        // SAFETY: with HAS_DEADLINE eight bytes lie at `deadline_at`.
        Some(unsafe { self.0.as_ptr().add(at).cast::<u64>().read_unaligned() })
    }

    fn size(self) -> usize {
        let parts = self.parts();
        parts.payload_at + parts.payload_len
    }

    fn class(self) -> usize {
        size_class(self.size())
    }

    /// Bytes of memory that the entry takes, a shared value included.
    #[inline]
    pub(crate) fn memory(self) -> usize {
        let own = self.class();
        match self.value() {
            Value::Inline(_) => own,
            Value::Shared(shared) => {
                own + size_class(shared.capacity()) + size_of::<Vec<u8>>() + 16
            }
        }
    }
}

impl Content<'_> {
    fn payload_len(&self) -> usize {
        match self.value {
            Value::Inline(bytes) => bytes.len(),
            Value::Shared(_) => size_of::<SharedBytes>(),
        }
    }

    #[inline]
    fn size(&self) -> usize {
        let payload_len = self.payload_len();
        let before = LENGTHS_AT
            + varint_len(self.key.len())
            + varint_len(payload_len)
            + if self.deadline.is_some() { 8 } else { 0 }
            + self.key.len();
        match self.value {
            Value::Inline(_) => before + payload_len,
            Value::Shared(_) => before.next_multiple_of(SHARED_ALIGN) + payload_len,
        }
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size_class(size), ALIGN)
        .expect("entries are smaller than the address space")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content<'a>(key: &'a [u8], value: &'a [u8]) -> Content<'a> {
        Content {
            version: 7,
            access: 9,
            deadline: None,
            raw: false,
            key,
            value: Value::Inline(value),
        }
    }

    fn free(entry: Entry) {
        // SAFETY: tests free each entry once and use it no more.
        unsafe { entry.free() }
    }

    #[test]
    fn a_key_of_16_and_a_value_of_64_bytes_take_96() {
        assert_eq!(size_class(content(&[0; 16], &[0; 64]).size()), 96);
    }

    #[test]
    fn what_is_written_is_read() {
        for (key_len, value_len) in [(0, 0), (1, 127), (127, 128), (128, 20_000), (300, 5)] {
            for deadline in [None, Some(u64::MAX)] {
                let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
                let entry = Entry::new(&Content { deadline, raw: true, ..content(&key, &value) });
                assert_eq!(entry.key(), key);
                assert_eq!(entry.value().bytes(), value);
                assert_eq!((entry.version(), entry.access(), entry.deadline()), (7, 9, deadline));
                assert!(entry.is_raw());
                free(entry);
            }
        }
    }

    #[test]
    fn a_rewrite_stays_within_its_class() {
        let entry = Entry::new(&content(b"key", &[1; 60]));
        assert!(entry.rewrite(&content(b"key", &[2; 59])));
        assert_eq!(entry.value().bytes(), [2; 59]);
        assert!(!entry.rewrite(&content(b"key", &[3; 600])));
        entry.set_access(0x0012_3456);
        entry.set_version(1 << 47);
        assert_eq!((entry.access(), entry.version()), (0x0012_3456, 1 << 47));
        assert_eq!(entry.key(), b"key");
        free(entry);
    }

    #[test]
    fn shared_values_are_counted_and_released() {
        let shared: SharedBytes = Arc::new(vec![5; 20_000]);
        for key in [&b"k"[..], b"longer", b"much longer key"] {
            let entry = Entry::new(&Content { value: Value::Shared(&shared), ..content(key, b"") });
            assert_eq!(entry.value().bytes().len(), 20_000);
            assert_eq!(Arc::strong_count(&shared), 2);
            assert!(!entry.rewrite(&content(key, b"small")));
            free(entry);
            assert_eq!(Arc::strong_count(&shared), 1);
        }
    }
}
