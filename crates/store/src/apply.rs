//! Applies records from the log: recovery today, followers tomorrow.
//!
//! An effect is skipped when the entry already has its version: a snapshot's pieces are each as old
//! as the moment they were taken at, and replay begins where the snapshot began. A key that is not
//! there is no mistake before the snapshot's end is reached: a later record deletes it, or made it.

use std::collections::BTreeSet;

use trefoil_clock::{Hlc, Lsn};

use crate::key::Key;
use crate::keyspace::Keyspace;
use crate::record::codec::{Table, decode_version};
use crate::record::{Cause, DecodeError, Effect, Stamp};
use crate::txn::{Deadline, NewString, Txn, Writer};

/// Applies the effects of one record.
pub fn apply(
    keyspace: &Keyspace,
    writer: &mut Writer,
    stamp: Stamp,
    mut effects: &[u8],
) -> Result<(), DecodeError> {
    // When a replayed key was last used, as far as anybody knows.
    writer.now_ms = stamp.hlc.millis();
    let swaps = stamp.lsn.0 > keyspace.names_version();
    let txn = Txn::replaying(keyspace, writer, stamp);
    let mut replay = Replay { txn, stamp, changed: None, swaps };
    while !effects.is_empty() {
        let effect = Effect::decode(&mut effects)?;
        if !effects.is_empty() && replay.changed.is_none() {
            replay.changed = Some(BTreeSet::new());
        }
        replay.apply(effect);
    }
    replay.txn.commit();
    Ok(())
}

/// Loads a piece of a snapshot: versions, each with a put. Returns how many entries it has.
///
/// Pieces may be loaded by several threads at once, each with counters of its own. An entry that was
/// met twice (an index may shrink while a snapshot is taken) is loaded as the newer piece has it.
pub fn load_piece(
    keyspace: &Keyspace,
    writer: &mut Writer,
    mut input: &[u8],
) -> Result<u64, DecodeError> {
    let mut txn = Txn::replaying(keyspace, writer, Stamp { lsn: Lsn::ZERO, hlc: Hlc(0) });
    let mut entries = 0;
    while !input.is_empty() {
        let version = decode_version(&mut input)?;
        let Effect::PutString { table, key, value, deadline, raw } = Effect::decode(&mut input)?
        else {
            return Err(DecodeError::NotAPut);
        };
        txn.select_table(table);
        let key = txn.key(key);
        txn.restore(&key, NewString { raw, ..value.into() }, deadline, version);
        entries += 1;
    }
    txn.commit();
    Ok(entries)
}

struct Replay<'a> {
    txn: Txn<'a>,
    stamp: Stamp,
    /// Keys that this very record has changed, if it has more than one effect: their version is the
    /// record's own, and its further effects belong to them all the same.
    changed: Option<BTreeSet<(Table, Box<[u8]>)>>,
    /// The names of the databases are older than this record, which may swap several.
    swaps: bool,
}

impl Replay<'_> {
    fn apply(&mut self, effect: Effect<'_>) {
        match effect {
            Effect::PutString { table, key, value, deadline, raw } => {
                let deadline = deadline.map_or(Deadline::None, Deadline::At);
                self.change(table, key, |txn, key| {
                    txn.put(key, NewString { raw, ..value.into() }, deadline);
                });
            }
            Effect::Delete { table, key, cause } => self.change(table, key, |txn, key| {
                match cause {
                    Cause::Evicted => txn.evict(key),
                    Cause::Command | Cause::Expired => txn.delete(key),
                };
            }),
            Effect::SetDeadline { table, key, deadline } => self.change(table, key, |txn, key| {
                txn.set_deadline(key, deadline);
            }),
            Effect::Append { table, key, suffix } => {
                self.change(table, key, |txn, key| txn.append(key, suffix));
            }
            Effect::SetRange { table, key, offset, bytes } => {
                self.change(table, key, |txn, key| txn.set_range(key, offset as usize, bytes));
            }
            Effect::Flush { table } => self.flush(table),
            Effect::Swap { a, b } if self.swaps => self.txn.swap(a, b),
            Effect::Swap { .. } => {}
        }
    }

    /// Empties a table, also of what this very record has put there before.
    fn flush(&mut self, table: Table) {
        self.txn.replay_flush(table);
        self.txn.select_table(table);
        for (_, bytes) in self.changed.iter().flatten().filter(|(of, _)| *of == table) {
            let key = self.txn.key(bytes);
            self.txn.delete(&key);
        }
    }

    /// Makes a change unless the key has it already.
    fn change(&mut self, table: Table, bytes: &[u8], change: impl FnOnce(&mut Txn<'_>, &Key<'_>)) {
        self.txn.select_table(table);
        let key = self.txn.key(bytes);
        let older = self.txn.peek(&key).is_none_or(|meta| meta.version < self.stamp.lsn.0);
        let own = |changed: &BTreeSet<_>| changed.contains(&(table, Box::from(bytes)));
        if older || self.changed.as_ref().is_some_and(own) {
            change(&mut self.txn, &key);
            if let Some(changed) = &mut self.changed {
                changed.insert((table, Box::from(bytes)));
            }
        }
    }
}
