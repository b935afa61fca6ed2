//! Walks over the keys of a table: SCAN, RANDOMKEY, samples, pieces of a snapshot.
//!
//! A cursor is a place in the order of (slot, hash), rounded down to 48 bits so that every client
//! language can carry it. What is there during a whole walk is met at least once, however the index
//! grows or shrinks meanwhile.

use std::ops::ControlFlow;

use crate::entry::{Entry, Kind, SharedBytes, Value};
use crate::key::STRIPES;
use crate::keyspace::Keyspace;
use crate::record::Effect;
use crate::record::codec::{Table, encode_version};
use crate::slot::{SLOTS, slot_of};
use crate::stripe::place_of;
use crate::txn::Writer;

const STRIPE_SHIFT: u32 = 38;
const PLACE_DROPPED_BITS: u32 = 64 - STRIPE_SHIFT;
const SLOTS_PER_STRIPE: u16 = SLOTS / STRIPES as u16;
const CURSOR_END: u64 = (STRIPES as u64) << STRIPE_SHIFT;

/// A key that a walk met.
#[derive(Clone, Copy, Debug)]
pub struct Met<'a> {
    /// Its name.
    pub key: &'a [u8],
    /// The type of its value.
    pub kind: Kind,
    /// When it expires, Unix milliseconds.
    pub deadline: Option<u64>,
    /// Changes whenever the key changes.
    pub version: u64,
    /// The access bits.
    pub access: u32,
}

/// One step of SCAN over a database: visits at least `count` keys, or to the end, a bucket at a
/// time, and returns the next cursor, 0 at the end. Expired keys are not shown.
pub fn scan(
    keyspace: &Keyspace,
    writer: &Writer,
    db: u8,
    cursor: u64,
    count: usize,
    visit: impl FnMut(Met<'_>),
) -> u64 {
    scan_table(keyspace, writer, keyspace.table_of(db), cursor, count, visit)
}

/// [`scan`] over a table, whatever database it is.
pub(crate) fn scan_table(
    keyspace: &Keyspace,
    writer: &Writer,
    table: Table,
    cursor: u64,
    count: usize,
    mut visit: impl FnMut(Met<'_>),
) -> u64 {
    if !keyspace.has_table(table) || cursor >= CURSOR_END {
        return 0;
    }
    let mut stripe = (cursor >> STRIPE_SHIFT) as u16;
    let mut place = cursor << PLACE_DROPPED_BITS;
    let mut met = 0;
    // Empty stripes cost little, but a sparse table must not turn one call into a thousand locks.
    let mut steps = count.saturating_mul(10).max(64);
    while usize::from(stripe) < STRIPES {
        let held = keyspace.hold(table, stripe);
        let mut next = Some(place);
        while let Some(place) = next {
            let reached = (u64::from(stripe) << STRIPE_SHIFT) | (place >> PLACE_DROPPED_BITS);
            // Rounded down, a place may fall into the bucket before it: then there is no progress
            // yet, and the same cursor would come back for ever.
            if (met >= count || steps == 0) && reached > cursor {
                return reached;
            }
            steps = steps.saturating_sub(1);
            next = held.state().index.visit_bucket(place, place_of(keyspace.hasher()), |pointer| {
                let entry = Entry::from_pointer(pointer);
                met += 1;
                if entry.deadline().is_none_or(|deadline| deadline > writer.data_ms()) {
                    visit(met_of(entry));
                }
            });
        }
        stripe += 1;
        place = 0;
    }
    0
}

/// Visits the live keys of a slot of a database, holding its stripe's lock, until `visit` has enough.
pub fn visit_slot(
    keyspace: &Keyspace,
    writer: &Writer,
    db: u8,
    slot: u16,
    mut visit: impl FnMut(&[u8]) -> ControlFlow<()>,
) {
    let table = keyspace.table_of(db);
    if !keyspace.has_table(table) || slot >= SLOTS {
        return;
    }
    let held = keyspace.hold(table, slot / SLOTS_PER_STRIPE);
    let shift = u64::BITS - SLOTS_PER_STRIPE.trailing_zeros();
    let nth = u64::from(slot % SLOTS_PER_STRIPE);
    let mut enough = false;
    let mut next = Some(nth << shift);
    while let Some(place) = next.filter(|place| place >> shift == nth && !enough) {
        next = held.state().index.visit_bucket(place, place_of(keyspace.hasher()), |pointer| {
            let entry = Entry::from_pointer(pointer);
            let is_live = entry.deadline().is_none_or(|deadline| deadline > writer.data_ms());
            // A bucket of a small index holds keys of its neighbours, too.
            if !enough && is_live && slot_of(entry.key()) == slot {
                enough = visit(entry.key()).is_break();
            }
        });
    }
}

/// A live key of a database, about uniformly. None: there is none, as far as can be seen.
pub fn random_key(keyspace: &Keyspace, writer: &mut Writer, db: u8) -> Option<Vec<u8>> {
    random_key_of_table(keyspace, writer, keyspace.table_of(db))
}

/// [`random_key`] of a table, whatever database it is.
pub(crate) fn random_key_of_table(
    keyspace: &Keyspace,
    writer: &mut Writer,
    table: Table,
) -> Option<Vec<u8>> {
    for _ in 0..100 {
        let mut picked = None;
        let mut candidates = 0;
        sample(keyspace, writer, table, Population::AllKeys, |met, random| {
            candidates += 1;
            if random % candidates == 0 {
                picked = Some((met.key.to_vec(), met.deadline));
            }
        });
        let now_ms = writer.data_ms();
        if let Some((key, _)) =
            picked.filter(|(_, deadline)| deadline.is_none_or(|deadline| deadline > now_ms))
        {
            return Some(key);
        }
        if keyspace.sum(|tally| tally.keys(table)) <= 0 {
            return None;
        }
    }
    None
}

/// Which keys a sample is drawn from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Population {
    /// All keys of the table.
    AllKeys,
    /// Those with a deadline.
    WithDeadline,
}

/// Visits the keys of one random bucket of a table, the first that is not empty from a random place
/// on, each with a random number. One stripe is locked at a time.
pub fn sample(
    keyspace: &Keyspace,
    writer: &mut Writer,
    table: Table,
    population: Population,
    mut visit: impl FnMut(Met<'_>, u32),
) {
    if !keyspace.has_table(table) {
        return;
    }
    let start = writer.random() as usize % STRIPES;
    let mut place = (u64::from(writer.random()) << 32) | u64::from(writer.random());
    for i in 0..STRIPES {
        let held = keyspace.hold(table, ((start + i) % STRIPES) as u16);
        let index = match population {
            Population::AllKeys => &held.state().index,
            Population::WithDeadline => &held.state().deadlines,
        };
        // From the place to the end of the stripe, then from its beginning to the place.
        for from in [place, 0] {
            let mut next = Some(from);
            while let Some(place) = next {
                let mut met = false;
                next = index.visit_bucket(place, place_of(keyspace.hasher()), |pointer| {
                    met = true;
                    visit(met_of(Entry::from_pointer(pointer)), writer.random());
                });
                if met {
                    return;
                }
            }
        }
        place = 0;
    }
}

/// A piece of a snapshot: the entries of one segment of the index, as versions and puts.
#[derive(Debug)]
pub struct Piece {
    /// Small entries in it, which are encoded.
    pub entries: u64,
    /// Entries with large values, which are shared, not copied while the lock is held.
    pub large: Vec<LargeEntry>,
    /// Where the next piece begins. None: the stripe is done.
    pub next_place: Option<u64>,
    /// The last LSN that was handed out when the piece was taken.
    pub lsn: trefoil_clock::Lsn,
}

/// An entry of a piece with a large value.
#[derive(Debug)]
pub struct LargeEntry {
    table: Table,
    version: u64,
    key: Box<[u8]>,
    value: SharedBytes,
    deadline: Option<u64>,
    raw: bool,
}

impl LargeEntry {
    /// Appends its version and its put.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let LargeEntry { table, deadline, raw, .. } = *self;
        encode_version(self.version, out);
        Effect::PutString { table, key: &self.key, value: &self.value, deadline, raw }.encode(out);
    }
}

/// Encodes the entries of the segment that covers `place` of a stripe, holding its lock. The caller
/// sees to it that no exclusive transaction runs meanwhile: those are not protected by the lock.
pub fn piece(
    keyspace: &Keyspace,
    table: Table,
    stripe: u16,
    place: u64,
    out: &mut Vec<u8>,
) -> Piece {
    let held = keyspace.hold(table, stripe);
    let (mut entries, mut large) = (0, Vec::new());
    let next_place = held.state().index.visit_segment(place, |pointer| {
        let entry = Entry::from_pointer(pointer);
        if let Value::Shared(shared) = entry.value() {
            large.push(LargeEntry {
                table,
                version: entry.version(),
                key: entry.key().into(),
                value: SharedBytes::clone(shared),
                deadline: entry.deadline(),
                raw: entry.is_raw(),
            });
            return;
        }
        entries += 1;
        encode_version(entry.version(), out);
        Effect::PutString {
            table,
            key: entry.key(),
            value: entry.value().bytes(),
            deadline: entry.deadline(),
            raw: entry.is_raw(),
        }
        .encode(out);
    });
    Piece { entries, large, next_place, lsn: keyspace.sequencer().last_lsn() }
}

fn met_of<'a>(entry: Entry) -> Met<'a> {
    Met {
        key: entry.key(),
        kind: entry.kind(),
        deadline: entry.deadline(),
        version: entry.version(),
        access: entry.access(),
    }
}
