//! BITCOUNT and BITPOS.

use super::KEY;
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::READS;
use crate::spec::{Access, Arg, ArgKind, Command, Group, KeySpec, Spec};

const RANGE: Arg = Arg::optional(
    "range",
    "",
    ArgKind::Block(&[
        Arg::required("start", ArgKind::Integer),
        Arg::optional(
            "end-unit-block",
            "",
            ArgKind::Block(&[
                Arg::required("end", ArgKind::Integer),
                Arg::optional(
                    "unit",
                    "",
                    ArgKind::OneOf(&[Arg::word("byte", "BYTE"), Arg::word("bit", "BIT")]),
                ),
            ]),
        ),
    ]),
);

/// A range as it was given: in bytes or bits, from the start or, if negative, from the end.
struct Range {
    start: i64,
    end: Option<i64>,
    in_bits: bool,
}

impl Range {
    /// Reads the range whose start is argument `at`.
    fn parse(call: &Call<'_, '_>, at: usize) -> Result<Range, CommandError> {
        let mut range = Range { start: 0, end: None, in_bits: false };
        if call.len() > at + 3 {
            return Err(CommandError::Syntax);
        }
        if call.len() > at {
            range.start = call.integer(at)?;
        }
        if call.len() > at + 2 {
            range.in_bits = call.is(at + 2, "BIT");
            if !range.in_bits && !call.is(at + 2, "BYTE") {
                return Err(CommandError::Syntax);
            }
        }
        if call.len() > at + 1 {
            range.end = Some(call.integer(at + 1)?);
        }
        Ok(range)
    }

    /// The first and the last bit of the range within a string of `len` bytes; None if it is empty.
    fn bits(&self, len: usize) -> Option<(usize, usize)> {
        let units = if self.in_bits { len as i64 * 8 } else { len as i64 };
        let from_start = |at: i64| if at < 0 { at.saturating_add(units).max(0) } else { at };
        let start = from_start(self.start);
        let end = from_start(self.end.unwrap_or(-1)).min(units - 1);
        if start > end {
            return None;
        }
        let (start, end) = (start as usize, end as usize);
        Some(if self.in_bits { (start, end) } else { (start * 8, end * 8 + 7) })
    }

    /// Both ends count from the end of the string, and they cross.
    fn is_crossed(&self) -> bool {
        self.start < 0 && self.end.is_some_and(|end| end < 0 && self.start > end)
    }
}

pub(super) const BITCOUNT: Command<DataHandler> = Command::new(
    Spec {
        name: "bitcount",
        arity: -2,
        flags: READS,
        keys: &[KeySpec::one(1, Access::Read)],
        group: Group::Bitmap,
        since: "2.6.0",
        summary: "Counts the bits of a string that are set.",
        complexity: "O(N) in the length of the range",
        args: &[KEY, RANGE],
        ..Spec::BASE
    },
    bitcount,
);

fn bitcount(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let range = Range::parse(call, 2)?;
    let key = call.key(1);
    let bytes = call.txn.string(&key)?.map_or(&[][..], |view| view.bytes());
    let count = match range.bits(bytes.len()) {
        Some((first, last)) if !range.is_crossed() => count_bits(bytes, first, last),
        _ => 0,
    };
    call.out.integer(count as i64);
    Ok(())
}

/// Counts the set bits from `first` to `last`.
fn count_bits(bytes: &[u8], first: usize, last: usize) -> u64 {
    let within = &bytes[first / 8..=last / 8];
    let before = within[0] & !(0xff >> (first % 8));
    let after = within[within.len() - 1] & !head_mask(last);
    let (words, rest) = within.as_chunks::<8>();
    let all: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    let all = all + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
    all - u64::from(before.count_ones()) - u64::from(after.count_ones())
}

/// The bits of a byte up to the bit that is number `last` of the string.
fn head_mask(last: usize) -> u8 {
    !(0x7f_u8.checked_shr((last % 8) as u32).unwrap_or(0))
}

pub(super) const BITPOS: Command<DataHandler> = Command::new(
    Spec {
        name: "bitpos",
        arity: -3,
        flags: READS,
        keys: &[KeySpec::one(1, Access::Read)],
        group: Group::Bitmap,
        since: "2.8.7",
        summary: "Finds the first bit of a string that is set, or that is clear.",
        complexity: "O(N) in the length of the range",
        args: &[KEY, Arg::required("bit", ArgKind::Integer), RANGE],
        ..Spec::BASE
    },
    bitpos,
);

fn bitpos(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let wanted = match call.integer(2)? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::Other("ERR The bit argument must be 1 or 0.")),
    };
    let range = Range::parse(call, 3)?;
    let key = call.key(1);
    let position = match call.txn.string(&key)?.map(|view| view.bytes()) {
        // No string is an endless row of clear bits.
        None => {
            if wanted {
                -1
            } else {
                0
            }
        }
        Some(bytes) => match range.bits(bytes.len()) {
            None => -1,
            Some((first, last)) => match find_bit(bytes, wanted, first, last) {
                Some(position) => position as i64,
                // Behind the end all bits are clear, unless the caller said where to stop.
                None if !wanted && range.end.is_none() => bytes.len() as i64 * 8,
                None => -1,
            },
        },
    };
    call.out.integer(position);
    Ok(())
}

/// The first bit from `first` to `last` that is set, or clear.
fn find_bit(bytes: &[u8], set: bool, first: usize, last: usize) -> Option<usize> {
    let flip = if set { 0 } else { 0xff };
    let mut mask = 0xff >> (first % 8);
    for (at, byte) in bytes.iter().enumerate().take(last / 8 + 1).skip(first / 8) {
        let found = (byte ^ flip) & mask;
        mask = 0xff;
        if found != 0 {
            let position = at * 8 + found.leading_zeros() as usize;
            return (position <= last).then_some(position);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{count_bits, find_bit};
    use crate::testing::Server;

    #[test]
    fn counts_and_positions_are_those_of_a_bit_by_bit_walk() {
        let bytes: Vec<u8> = (0..21_u32).map(|i| (i * 73 + 11) as u8 & (i * 19) as u8).collect();
        let bit = |at: usize| bytes[at / 8] & (0x80 >> (at % 8)) != 0;
        for first in 0..bytes.len() * 8 {
            for last in first..bytes.len() * 8 {
                let count = (first..=last).filter(|&at| bit(at)).count();
                assert_eq!(count_bits(&bytes, first, last), count as u64, "{first}..={last}");
                for set in [false, true] {
                    let position = (first..=last).find(|&at| bit(at) == set);
                    assert_eq!(find_bit(&bytes, set, first, last), position);
                }
            }
        }
    }

    #[test]
    fn ranges_are_in_bytes_or_bits() {
        let mut server = Server::new();
        server.check(&[("SET b foobar", "+OK")]);
        for (range, count) in [
            ("", ":26"),
            ("0", ":26"),
            ("0 0", ":4"),
            ("1 1", ":6"),
            ("5 30 BIT", ":17"),
            ("5 30 BYTE", ":4"),
            ("-2 -1", ":7"),
            ("-1 -2", ":0"),
            ("-100 -99", ":4"),
            ("-100 -99 bit", ":0"),
            ("100 200", ":0"),
            ("-9223372036854775808 9223372036854775807 bit", ":26"),
            ("a", "-ERR value is not an integer or out of range"),
            ("0 a", "-ERR value is not an integer or out of range"),
            ("0 1 foo", "-ERR syntax error"),
            ("0 a foo", "-ERR syntax error"),
            ("a 0 foo", "-ERR value is not an integer or out of range"),
            ("0 1 BIT x", "-ERR syntax error"),
        ] {
            server.check(&[(&format!("BITCOUNT b {range}"), count)]);
        }
        server.check(&[
            ("BITCOUNT none", ":0"),
            ("BITCOUNT none 0 a", "-ERR value is not an integer or out of range"),
        ]);
    }

    #[test]
    fn clear_bits_go_on_behind_the_end_unless_it_was_given() {
        let mut server = Server::new();
        server.check(&[("SET b foobar", "+OK"), ("SET e \"\"", "+OK")]);
        server.run_words(&[b"SET", b"ff", &[0xff, 0xff]]);
        server.check(&[
            ("BITPOS none 0", ":0"),
            ("BITPOS none 0 5", ":0"),
            ("BITPOS none 1", ":-1"),
            ("BITPOS none 0 a", "-ERR value is not an integer or out of range"),
            ("BITPOS b 0", ":0"),
            ("BITPOS b 1 100", ":-1"),
            ("BITPOS b 0 100", ":-1"),
            ("BITPOS ff 0", ":16"),
            ("BITPOS ff 0 1", ":16"),
            ("BITPOS ff 0 5", ":-1"),
            ("BITPOS ff 0 0 -1", ":-1"),
            ("BITPOS ff 0 0 -1 bit", ":-1"),
            ("BITPOS ff 1 3 9 bit", ":3"),
            ("BITPOS ff 1 -3 -1 bit", ":13"),
            ("BITPOS b 1 2 1", ":-1"),
            ("BITPOS e 0", ":-1"),
            ("BITPOS e 1", ":-1"),
            ("BITPOS b 2", "-ERR The bit argument must be 1 or 0."),
            ("BITPOS b a", "-ERR value is not an integer or out of range"),
            ("BITPOS b 1 0 1 x", "-ERR syntax error"),
            ("BITPOS b 1 0 bit", "-ERR value is not an integer or out of range"),
            ("BITPOS b 1 0 1 bit x", "-ERR syntax error"),
        ]);
    }
}
