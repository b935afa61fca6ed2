//! What a batch says, and its bytes.

use crate::cursor::Cursor;

/// One change of the store. The bytes are the caller's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlRecord {
    /// Replaces the hard state.
    Hard(Vec<u8>),
    /// Entries from this index on are void.
    Truncate {
        /// The first void index.
        from: u64,
    },
    /// The next entry.
    Entry {
        /// One more than the last entry's; with none, one more than the snapshot's, or 1.
        index: u64,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Replaces the snapshot. Entries that end below its index are dropped whole, since none could follow them.
    Snapshot {
        /// The last entry that the snapshot stands for; never goes back.
        index: u64,
        /// Entries below this index are dropped, also those behind the snapshot. Those that stay begin at most
        /// one behind `index`; `u64::MAX` keeps none.
        keep_from: u64,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Everything before is void: the node joins another cluster.
    Reset,
}

const HARD: u8 = 1;
const TRUNCATE: u8 = 2;
const ENTRY: u8 = 3;
const SNAPSHOT: u8 = 4;
const RESET: u8 = 5;

/// Appends a batch's body.
pub fn encode_records(records: &[ControlRecord], out: &mut Vec<u8>) {
    for record in records {
        match record {
            ControlRecord::Hard(bytes) => put_hard(out, bytes),
            ControlRecord::Truncate { from } => {
                out.push(TRUNCATE);
                out.extend_from_slice(&from.to_le_bytes());
            }
            ControlRecord::Entry { index, bytes } => put_entry(out, *index, bytes),
            ControlRecord::Snapshot { index, keep_from, bytes } => {
                put_snapshot(out, *index, *keep_from, bytes);
            }
            ControlRecord::Reset => out.push(RESET),
        }
    }
}

/// The records of a batch's body. `None`: it is not one.
#[must_use]
pub fn decode_records(body: &[u8]) -> Option<Vec<ControlRecord>> {
    let mut cursor = Cursor::new(body);
    let mut records = Vec::new();
    while !cursor.is_empty() {
        records.push(decode_record(&mut cursor)?);
    }
    Some(records)
}

fn decode_record(cursor: &mut Cursor<'_>) -> Option<ControlRecord> {
    Some(match cursor.u8()? {
        HARD => ControlRecord::Hard(take_bytes(cursor)?),
        TRUNCATE => ControlRecord::Truncate { from: cursor.u64()? },
        ENTRY => ControlRecord::Entry { index: cursor.u64()?, bytes: take_bytes(cursor)? },
        SNAPSHOT => ControlRecord::Snapshot {
            index: cursor.u64()?,
            keep_from: cursor.u64()?,
            bytes: take_bytes(cursor)?,
        },
        RESET => ControlRecord::Reset,
        _ => return None,
    })
}

pub(super) fn put_hard(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(HARD);
    put_bytes(out, bytes);
}

pub(super) fn put_entry(out: &mut Vec<u8>, index: u64, bytes: &[u8]) {
    out.push(ENTRY);
    out.extend_from_slice(&index.to_le_bytes());
    put_bytes(out, bytes);
}

pub(super) fn put_snapshot(out: &mut Vec<u8>, index: u64, keep_from: u64, bytes: &[u8]) {
    out.push(SNAPSHOT);
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(&keep_from.to_le_bytes());
    put_bytes(out, bytes);
}

/// A length that does not fit makes a body that does not fit, and that is refused before it is written.
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take_bytes(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    let len = cursor.u32()?;
    cursor.take(len as usize).map(<[u8]>::to_vec)
}
