//! The directory of an index: which segment holds which range of places.
//!
//! `2^depth` words, each a segment's address with its number of buckets less one in the six low
//! bits (segments are aligned to 64) and its depth in the eight high ones (addresses of user memory
//! have at most 56 bits), so that a lookup touches no segment header. The address of the directory
//! itself carries `depth` in its low bits. Old directories and segments are freed when no hint leads
//! to them and no reader is pinned any more, because a prefetch reads them without the lock.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use crossbeam_epoch as epoch;

use super::segment::Segment;

const ALIGN: usize = 64;
const LOW_BITS: usize = ALIGN - 1;
const HIGH_SHIFT: u32 = usize::BITS - 8;
const ADDRESS_BITS: usize = (1 << HIGH_SHIFT) - 1 - LOW_BITS;

/// The directory's address and depth in one word. Null: the index is empty.
#[derive(Clone, Copy)]
pub(super) struct Directory(*mut u8);

// SAFETY: a directory is memory that any thread may read; it is changed under the stripe's lock.
unsafe impl Send for Directory {}

/// A segment as a directory names it.
#[derive(Clone, Copy)]
pub(super) struct SegmentRef {
    pub(super) address: NonNull<u8>,
    pub(super) buckets: u32,
    pub(super) depth: u32,
}

impl SegmentRef {
    #[inline(always)]
    pub(super) fn segment(self) -> Segment {
        Segment::from_parts(self.address, self.buckets)
    }
}

impl Directory {
    pub(super) const EMPTY: Directory = Directory(ptr::null_mut());

    pub(super) fn allocate(depth: u32) -> Directory {
        let layout = layout(depth);
        // SAFETY: the layout is not of size zero.
        let memory = unsafe { alloc(layout) };
        if memory.is_null() {
            handle_alloc_error(layout)
        }
        Directory(memory.map_addr(|address| address | depth as usize))
    }

    pub(super) fn from_word(word: *mut u8) -> Directory {
        Directory(word)
    }

    pub(super) fn word(self) -> *mut u8 {
        self.0
    }

    #[inline(always)]
    pub(super) fn is_empty(self) -> bool {
        self.0.is_null()
    }

    #[inline(always)]
    pub(super) fn depth(self) -> u32 {
        (self.0.addr() & LOW_BITS) as u32
    }

    #[inline(always)]
    fn entry<'a>(self, index: usize) -> &'a AtomicPtr<u8> {
        let base = self.0.map_addr(|address| address & !LOW_BITS);
        debug_assert!(index < 1 << self.depth());
        // SAFETY: `index < 2^depth` entries were allocated at `base`; they are atomics, so shared
        // use is sound while the directory is alive: under the lock or while the reader is pinned.
        unsafe { &*base.cast::<AtomicPtr<u8>>().add(index) }
    }

    /// The directory entry that covers `place`.
    #[inline(always)]
    pub(super) fn index_of(self, place: u64) -> usize {
        // A shift by 64 is undefined, so two shifts: the first is at most 63.
        ((place >> 1) >> (63 - self.depth())) as usize
    }

    #[inline(always)]
    pub(super) fn lookup(self, place: u64) -> SegmentRef {
        self.at(self.index_of(place))
    }

    #[inline(always)]
    pub(super) fn at(self, index: usize) -> SegmentRef {
        let word = self.entry(index).load(Ordering::Acquire);
        let address = word.map_addr(|address| address & ADDRESS_BITS);
        SegmentRef {
            // SAFETY: entries are written by `set`, from addresses that are not null.
            address: unsafe { NonNull::new_unchecked(address) },
            buckets: (word.addr() & LOW_BITS) as u32 + 1,
            depth: (word.addr() >> HIGH_SHIFT) as u32,
        }
    }

    pub(super) fn set(self, index: usize, segment: Segment) {
        self.entry(index).store(word_of(segment), Ordering::Release);
    }

    /// Makes every entry that covers `segment`'s range, of which `place` is one, point at it.
    pub(super) fn cover(self, place: u64, segment: Segment) {
        let run = 1usize << (self.depth() - segment.depth());
        let first = self.index_of(place) & !(run - 1);
        for index in first..first + run {
            self.set(index, segment);
        }
    }

    /// A directory twice as fine with the same segments.
    pub(super) fn doubled(self) -> Directory {
        let twice = Directory::allocate(self.depth() + 1);
        for index in 0..1usize << self.depth() {
            let word = self.entry(index).load(Ordering::Relaxed);
            for half in [2 * index, 2 * index + 1] {
                // SAFETY: within the `2^(depth + 1)` entries just allocated, not shared yet.
                unsafe {
                    let base = twice.0.map_addr(|address| address & !LOW_BITS);
                    base.cast::<AtomicPtr<u8>>().add(half).write(AtomicPtr::new(word));
                }
            }
        }
        twice
    }

    /// A directory of one entry for one segment.
    pub(super) fn of_one(segment: Segment) -> Directory {
        let directory = Directory::allocate(0);
        let word = word_of(segment);
        // SAFETY: one entry was allocated at the address, whose low bits are the depth, 0.
        unsafe { directory.0.cast::<AtomicPtr<u8>>().write(AtomicPtr::new(word)) };
        directory
    }

    /// # Safety
    /// Nobody may use this directory any more, not even to prefetch. Its segments live on.
    unsafe fn free(self) {
        let base = self.0.map_addr(|address| address & !LOW_BITS);
        // SAFETY: allocated by `allocate` with this layout; the caller promises that it is unused.
        unsafe { dealloc(base, layout(self.depth())) };
    }
}

/// Memory that the index does not use any more, but readers who follow an old hint may.
///
/// It must not be given to the epochs before the hint leads elsewhere: a reader that pins later and
/// still finds it by the hint would not hold it back.
#[derive(Default)]
pub(super) struct Retired(Option<Box<Link>>);

struct Link {
    memory: Memory,
    next: Option<Box<Link>>,
}

#[derive(Clone, Copy)]
enum Memory {
    Directory(Directory),
    Segment(Segment),
}

// SAFETY: the memory may be freed by any thread.
unsafe impl Send for Memory {}

impl Retired {
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn add_directory(&mut self, directory: Directory) {
        self.add(Memory::Directory(directory));
    }

    pub(super) fn add_segment(&mut self, segment: Segment) {
        self.add(Memory::Segment(segment));
    }

    fn add(&mut self, memory: Memory) {
        let next = self.0.take();
        self.0 = Some(Box::new(Link { memory, next }));
    }

    /// Frees all of it once no reader can look at it. No hint leads there any more.
    #[cold]
    pub(super) fn free(&mut self) {
        let pinned = epoch::pin();
        while let Some(link) = self.0.take() {
            let Link { memory, next } = *link;
            self.0 = next;
            // SAFETY: readers that pin from now on can't reach the memory; the closure runs when
            // those that were pinned before are gone.
            unsafe { pinned.defer_unchecked(move || memory.free()) };
        }
    }
}

impl Memory {
    /// # Safety
    /// Nobody may use this memory any more, not even to prefetch.
    unsafe fn free(self) {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe {
            match self {
                Memory::Directory(directory) => directory.free(),
                Memory::Segment(segment) => segment.free(),
            }
        }
    }
}

/// A segment's address with what a lookup needs to know of it.
fn word_of(segment: Segment) -> *mut u8 {
    let low = segment.buckets() as usize - 1;
    let high = (segment.depth() as usize) << HIGH_SHIFT;
    segment.address().as_ptr().map_addr(|address| {
        assert_eq!(address & !ADDRESS_BITS, 0, "an address has bits that the directory uses");
        address | low | high
    })
}

fn layout(depth: u32) -> Layout {
    Layout::from_size_align(size_of::<AtomicPtr<u8>>() << depth, ALIGN)
        .expect("a directory's depth is bounded by DEPTH_MAX")
}
