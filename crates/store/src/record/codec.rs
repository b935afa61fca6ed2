//! Effects and their bytes, the only code that knows them. Documented in docs/formats/record.md.
//!
//! An effect is a deterministic change of one key (or of a whole table) with everything in it:
//! deadlines are absolute, results are included, no effect reads another key. A new release may add
//! opcodes, it never changes what one means.

use thiserror::Error;

use super::varint;

/// One of the sixteen tables of a keyspace. `SWAPDB` swaps names, tables stay.
pub type Table = u8;

/// Why a key was deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A command deleted it.
    Command,
    /// Its deadline passed.
    Expired,
    /// Memory was needed.
    Evicted,
}

/// A deterministic change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect<'a> {
    /// The key holds this string from now on, and nothing else.
    PutString {
        /// Where.
        table: Table,
        /// The key.
        key: &'a [u8],
        /// The whole value.
        value: &'a [u8],
        /// Unix milliseconds.
        deadline: Option<u64>,
        /// Whether OBJECT ENCODING says `raw` whatever the length.
        raw: bool,
    },
    /// The key is gone.
    Delete {
        /// Where.
        table: Table,
        /// The key.
        key: &'a [u8],
        /// Why.
        cause: Cause,
    },
    /// The key lives until this deadline, or for ever.
    SetDeadline {
        /// Where.
        table: Table,
        /// The key.
        key: &'a [u8],
        /// Unix milliseconds.
        deadline: Option<u64>,
    },
    /// The string grew at its end.
    Append {
        /// Where.
        table: Table,
        /// The key.
        key: &'a [u8],
        /// What was appended.
        suffix: &'a [u8],
    },
    /// The string holds `bytes` from `offset` on; it was padded with zero bytes if it was shorter.
    SetRange {
        /// Where.
        table: Table,
        /// The key.
        key: &'a [u8],
        /// Bytes from the start.
        offset: u64,
        /// What was written.
        bytes: &'a [u8],
    },
    /// The table is empty.
    Flush {
        /// Which.
        table: Table,
    },
    /// Two databases changed their tables: their numbers.
    Swap {
        /// A database.
        a: u8,
        /// Another.
        b: u8,
    },
}

/// Why bytes are not effects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DecodeError {
    /// The bytes end in the middle of an effect.
    #[error("the record ends in the middle of an effect")]
    Truncated,
    /// An integer is longer than it may be.
    #[error("the record holds an overlong integer")]
    Overlong,
    /// A newer release, or damage that the checksum missed.
    #[error("the record holds an unknown effect (opcode {0}); was it written by a newer release?")]
    UnknownOpcode(u8),
    /// A table or database number out of range.
    #[error("the record names database {0}, but there are only 16")]
    UnknownTable(u64),
    /// A snapshot holds values, not changes.
    #[error("the snapshot holds an effect that is not a value")]
    NotAPut,
}

const PUT_STRING: u8 = 1;
const DELETE: u8 = 2;
const DELETE_EXPIRED: u8 = 3;
const DELETE_EVICTED: u8 = 4;
const SET_DEADLINE: u8 = 5;
const CLEAR_DEADLINE: u8 = 6;
const APPEND: u8 = 7;
const SET_RANGE: u8 = 8;
const FLUSH: u8 = 9;
const SWAP: u8 = 10;
const PUT_STRING_FLAGGED: u8 = 11;

const FLAG_DEADLINE: u8 = 1;
const FLAG_RAW: u8 = 2;

/// No string is longer; a part that begins further on is damage.
const OFFSET_MAX: u64 = 1 << 40;

/// How many tables, and databases, a keyspace has.
pub const TABLES: u8 = 16;

impl<'a> Effect<'a> {
    /// The key that it changes, and its table. None: it is about whole tables.
    #[inline]
    #[must_use]
    pub fn key(&self) -> Option<(Table, &'a [u8])> {
        match *self {
            Effect::PutString { table, key, .. }
            | Effect::Delete { table, key, .. }
            | Effect::SetDeadline { table, key, .. }
            | Effect::Append { table, key, .. }
            | Effect::SetRange { table, key, .. } => Some((table, key)),
            Effect::Flush { .. } | Effect::Swap { .. } => None,
        }
    }

    /// Appends the bytes of this effect.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Effect::PutString { table, key, value, deadline: None, raw: false } => {
                out.extend_from_slice(&[PUT_STRING, table]);
                put_bytes(out, key);
                put_bytes(out, value);
            }
            Effect::PutString { table, key, value, deadline, raw } => {
                let flags = if deadline.is_some() { FLAG_DEADLINE } else { 0 }
                    | if raw { FLAG_RAW } else { 0 };
                out.extend_from_slice(&[PUT_STRING_FLAGGED, table, flags]);
                if let Some(deadline) = deadline {
                    varint::put(out, deadline);
                }
                put_bytes(out, key);
                put_bytes(out, value);
            }
            Effect::Delete { table, key, cause } => {
                let opcode = match cause {
                    Cause::Command => DELETE,
                    Cause::Expired => DELETE_EXPIRED,
                    Cause::Evicted => DELETE_EVICTED,
                };
                out.extend_from_slice(&[opcode, table]);
                put_bytes(out, key);
            }
            Effect::SetDeadline { table, key, deadline } => {
                let opcode = if deadline.is_some() { SET_DEADLINE } else { CLEAR_DEADLINE };
                out.extend_from_slice(&[opcode, table]);
                if let Some(deadline) = deadline {
                    varint::put(out, deadline);
                }
                put_bytes(out, key);
            }
            Effect::Append { table, key, suffix } => {
                out.extend_from_slice(&[APPEND, table]);
                put_bytes(out, key);
                put_bytes(out, suffix);
            }
            Effect::SetRange { table, key, offset, bytes } => {
                out.extend_from_slice(&[SET_RANGE, table]);
                varint::put(out, offset);
                put_bytes(out, key);
                put_bytes(out, bytes);
            }
            Effect::Flush { table } => out.extend_from_slice(&[FLUSH, table]),
            Effect::Swap { a, b } => out.extend_from_slice(&[SWAP, a, b]),
        }
    }

    /// Takes one effect off the front of `input`.
    pub fn decode(input: &mut &'a [u8]) -> Result<Effect<'a>, DecodeError> {
        let opcode = take_byte(input)?;
        let table = take_table(input)?;
        Ok(match opcode {
            PUT_STRING => {
                let (key, value) = (take_bytes(input)?, take_bytes(input)?);
                Effect::PutString { table, key, value, deadline: None, raw: false }
            }
            PUT_STRING_FLAGGED => {
                let flags = take_byte(input)?;
                let deadline =
                    if flags & FLAG_DEADLINE != 0 { Some(varint::take(input)?) } else { None };
                let (key, value) = (take_bytes(input)?, take_bytes(input)?);
                Effect::PutString { table, key, value, deadline, raw: flags & FLAG_RAW != 0 }
            }
            DELETE => Effect::Delete { table, key: take_bytes(input)?, cause: Cause::Command },
            DELETE_EXPIRED => {
                Effect::Delete { table, key: take_bytes(input)?, cause: Cause::Expired }
            }
            DELETE_EVICTED => {
                Effect::Delete { table, key: take_bytes(input)?, cause: Cause::Evicted }
            }
            SET_DEADLINE => {
                let deadline = Some(varint::take(input)?);
                Effect::SetDeadline { table, key: take_bytes(input)?, deadline }
            }
            CLEAR_DEADLINE => {
                Effect::SetDeadline { table, key: take_bytes(input)?, deadline: None }
            }
            APPEND => Effect::Append { table, key: take_bytes(input)?, suffix: take_bytes(input)? },
            SET_RANGE => {
                let offset = varint::take(input)?;
                let (key, bytes) = (take_bytes(input)?, take_bytes(input)?);
                if offset > OFFSET_MAX {
                    return Err(DecodeError::Overlong);
                }
                Effect::SetRange { table, key, offset, bytes }
            }
            FLUSH => Effect::Flush { table },
            SWAP => Effect::Swap { a: table, b: take_table(input)? },
            unknown => return Err(DecodeError::UnknownOpcode(unknown)),
        })
    }
}

/// Appends a version, as snapshots put it before the effect that rebuilds an entry.
pub fn encode_version(version: u64, out: &mut Vec<u8>) {
    varint::put(out, version);
}

/// Takes a version off the front of `input`.
pub fn decode_version(input: &mut &[u8]) -> Result<u64, DecodeError> {
    varint::take(input)
}

#[inline]
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_byte(input: &mut &[u8]) -> Result<u8, DecodeError> {
    let (&byte, rest) = input.split_first().ok_or(DecodeError::Truncated)?;
    *input = rest;
    Ok(byte)
}

fn take_table(input: &mut &[u8]) -> Result<Table, DecodeError> {
    let table = take_byte(input)?;
    if table < TABLES { Ok(table) } else { Err(DecodeError::UnknownTable(u64::from(table))) }
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let len = varint::take(input)?;
    let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
    let (bytes, rest) = input.split_at_checked(len).ok_or(DecodeError::Truncated)?;
    *input = rest;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(effect: Effect<'_>) {
        let mut bytes = Vec::new();
        effect.encode(&mut bytes);
        let mut input = &bytes[..];
        assert_eq!(Effect::decode(&mut input), Ok(effect));
        assert!(input.is_empty());
        for len in 0..bytes.len() {
            assert!(Effect::decode(&mut &bytes[..len]).is_err(), "a part is not an effect");
        }
    }

    #[test]
    fn every_effect_survives_a_round_trip() {
        let (key, table) = (&b"key"[..], 3);
        for deadline in [None, Some(0), Some(u64::MAX)] {
            for raw in [false, true] {
                round_trip(Effect::PutString { table, key, value: &[7; 300], deadline, raw });
            }
            round_trip(Effect::SetDeadline { table, key, deadline });
        }
        for cause in [Cause::Command, Cause::Expired, Cause::Evicted] {
            round_trip(Effect::Delete { table, key, cause });
        }
        round_trip(Effect::Append { table, key, suffix: b"" });
        round_trip(Effect::SetRange { table, key, offset: OFFSET_MAX, bytes: b"x" });
        round_trip(Effect::Flush { table: 15 });
        round_trip(Effect::Swap { a: 0, b: 15 });
    }

    #[test]
    fn the_bytes_of_each_opcode_stay_what_they_are() {
        let mut bytes = Vec::new();
        let (key, table) = (&b"k"[..], 1);
        Effect::PutString { table, key, value: b"v", deadline: None, raw: false }
            .encode(&mut bytes);
        Effect::PutString { table, key, value: b"v", deadline: Some(300), raw: true }
            .encode(&mut bytes);
        Effect::Delete { table, key, cause: Cause::Evicted }.encode(&mut bytes);
        Effect::SetDeadline { table, key, deadline: Some(1) }.encode(&mut bytes);
        Effect::SetDeadline { table, key, deadline: None }.encode(&mut bytes);
        Effect::Append { table, key, suffix: b"s" }.encode(&mut bytes);
        Effect::SetRange { table, key, offset: 2, bytes: b"r" }.encode(&mut bytes);
        Effect::Flush { table }.encode(&mut bytes);
        Effect::Swap { a: 1, b: 2 }.encode(&mut bytes);
        let golden: &[u8] = &[
            1, 1, 1, b'k', 1, b'v', //
            11, 1, 3, 0xac, 2, 1, b'k', 1, b'v', //
            4, 1, 1, b'k', //
            5, 1, 1, 1, b'k', //
            6, 1, 1, b'k', //
            7, 1, 1, b'k', 1, b's', //
            8, 1, 2, 1, b'k', 1, b'r', //
            9, 1, //
            10, 1, 2,
        ];
        assert_eq!(bytes, golden);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut input = &bytes[..];
            while !input.is_empty() && Effect::decode(&mut input).is_ok() {}
        }
    }
}
