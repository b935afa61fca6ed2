//! Sizes of entries: the allocator's classes, and lengths as varints.
//!
//! Only arithmetic and bytes; what lies behind the lengths is the entry's.

/// The allocator's good size for `len` bytes: steps of 16 up to 128, then four steps an octave, as
/// in mimalloc. An overwrite within one class needs no new allocation.
#[inline]
#[must_use]
pub fn size_class(len: usize) -> usize {
    if len <= 128 {
        return len.next_multiple_of(16);
    }
    let octave = (len - 1).ilog2();
    len.next_multiple_of(1 << (octave - 2))
}

pub(super) fn varint_len(value: usize) -> usize {
    if value < 0x80 { 1 } else { (value.ilog2() / 7 + 1) as usize }
}

/// # Safety
/// `at` has room for `varint_len(value)` bytes.
#[inline(always)]
pub(super) unsafe fn write_varint(at: *mut u8, mut value: usize) -> usize {
    let mut len = 0;
    while value >= 0x80 {
        // SAFETY: see the contract.
        unsafe { at.add(len).write(value as u8 | 0x80) };
        value >>= 7;
        len += 1;
    }
    // SAFETY: see the contract.
    unsafe { at.add(len).write(value as u8) };
    len + 1
}

/// # Safety
/// `at` points at what `write_varint` wrote.
#[inline(always)]
pub(super) unsafe fn read_varint(at: *const u8) -> (usize, usize) {
    // SAFETY: see the contract.
    let first = unsafe { at.read() };
    if first < 0x80 {
        return (first as usize, 1);
    }
    let (mut value, mut len) = ((first & 0x7f) as usize, 1);
    loop {
        // SAFETY: a byte with its high bit set is followed by another.
        let byte = unsafe { at.add(len).read() };
        value |= ((byte & 0x7f) as usize) << (7 * len);
        len += 1;
        if byte < 0x80 {
            return (value, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_allocators() {
        for (len, class) in [
            (1, 16),
            (93, 96),
            (97, 112),
            (129, 160),
            (160, 160),
            (161, 192),
            (257, 320),
            (1025, 1280),
        ] {
            assert_eq!(size_class(len), class, "{len}");
        }
    }
}
