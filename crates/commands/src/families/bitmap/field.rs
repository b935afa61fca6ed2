//! An integer somewhere in a row of bits.

/// What happens to a result that does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Overflow {
    /// The upper bits are dropped.
    Wrap,
    /// The nearest number that fits.
    Saturate,
    /// Nothing is changed.
    Fail,
}

/// A place and a type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// The first bit.
    pub(super) bit: u64,
    /// How many: 1 to 64, at most 63 if it has no sign.
    pub(super) width: u32,
    /// Whether the first bit is a sign.
    pub(super) signed: bool,
}

/// Bytes that a field can touch: 64 bits that begin within a byte.
const BYTES_MAX: usize = 9;

impl Field {
    /// Reads a type such as `i16` or `u8`: whether it has a sign, and its width.
    pub(super) fn parse_type(text: &[u8]) -> Option<(bool, u32)> {
        let (signed, width) = match text {
            [b'i', width @ ..] => (true, width),
            [b'u', width @ ..] => (false, width),
            _ => return None,
        };
        let width = crate::numbers::parse_i64(width)?;
        let width_max = if signed { 64 } else { 63 };
        (1..=width_max).contains(&width).then_some((signed, width as u32))
    }

    /// The first byte that the field touches, and how many it touches.
    fn bytes(self) -> (usize, usize) {
        let bits = (self.bit % 8) + u64::from(self.width);
        ((self.bit / 8) as usize, bits.div_ceil(8) as usize)
    }

    /// How long a string must be to hold the field.
    pub(super) fn end(self) -> usize {
        let (first, len) = self.bytes();
        first + len
    }

    /// The bytes that the field touches, as one number; those behind the end are zero.
    fn window(self, string: &[u8]) -> u128 {
        let (first, len) = self.bytes();
        (first..first + len)
            .fold(0, |window, at| window << 8 | u128::from(string.get(at).copied().unwrap_or(0)))
    }

    /// How far the field lies above the lowest bit of its window.
    fn shift(self) -> u32 {
        self.bytes().1 as u32 * 8 - (self.bit % 8) as u32 - self.width
    }

    fn mask(self) -> u128 {
        (1 << self.width) - 1
    }

    /// The number in the field.
    pub(super) fn read(self, string: &[u8]) -> i64 {
        self.truncated((self.window(string) >> self.shift()) as i128)
    }

    /// The field's bytes with another number in it, and where they begin.
    pub(super) fn written(self, string: &[u8], number: i64) -> (usize, Vec<u8>) {
        let (first, len) = self.bytes();
        let number = (number as u128 & self.mask()) << self.shift();
        let window = self.window(string) & !(self.mask() << self.shift()) | number;
        let bytes: [u8; 16] = window.to_be_bytes();
        debug_assert!(len <= BYTES_MAX);
        (first, bytes[16 - len..].to_vec())
    }

    /// The lower bits of a number, read as the field reads them.
    fn truncated(self, number: i128) -> i64 {
        let bits = number as u128 & self.mask();
        let negative = self.signed && bits >> (self.width - 1) == 1;
        if negative { (bits | !self.mask()) as i64 } else { bits as i64 }
    }

    /// What is stored for a result. None: it does not fit and shall fail.
    pub(super) fn fit(self, result: i128, overflow: Overflow) -> Option<i64> {
        let (low, high) = if self.signed {
            (-(1_i128 << (self.width - 1)), (1_i128 << (self.width - 1)) - 1)
        } else {
            (0, (1_i128 << self.width) - 1)
        };
        if (low..=high).contains(&result) {
            return Some(result as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.truncated(result)),
            Overflow::Saturate => Some(result.clamp(low, high) as i64),
            Overflow::Fail => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_changes() {
        for signed in [false, true] {
            for width in 1..=if signed { 64 } else { 63 } {
                for bit in 0..24 {
                    let field = Field { bit, width, signed };
                    for background in [0x00, 0xff] {
                        let mut string = vec![background; 16];
                        let number = field.truncated(0x5a5a_5a5a_5a5a_5a5a_1234);
                        let (at, bytes) = field.written(&string, number);
                        string[at..at + bytes.len()].copy_from_slice(&bytes);
                        assert_eq!(field.read(&string), number, "{field:?}");
                        let rest = field.read(&[background; 16]);
                        let (at, bytes) = field.written(&string, rest);
                        string[at..at + bytes.len()].copy_from_slice(&bytes);
                        assert_eq!(string, vec![background; 16], "{field:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn types_are_read_strictly() {
        for (text, expected) in [
            ("u63", Some((false, 63))),
            ("i64", Some((true, 64))),
            ("u1", Some((false, 1))),
            ("u64", None),
            ("i65", None),
            ("u0", None),
            ("u08", None),
            ("U8", None),
            ("x8", None),
            ("", None),
            ("i", None),
        ] {
            assert_eq!(Field::parse_type(text.as_bytes()), expected, "{text}");
        }
    }
}
