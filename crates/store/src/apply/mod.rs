//! Applies records that were numbered elsewhere: at recovery, and on a follower.
//!
//! An effect is skipped when the entry already has its version: a snapshot's pieces are each as old
//! as the moment they were taken at, and replay begins where the snapshot began. A key that is not
//! there is no mistake before the snapshot's end is reached: a later record deletes it, or made it.
//!
//! [`apply`] and [`apply_alone`] are for whoever is alone; [`apply_live`] works beside readers and
//! knows its limits.
//!
//! Invariant: a record that can't be decoded to its end changes nothing.

mod live;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use trefoil_clock::{Hlc, Lsn};

use crate::keyspace::Keyspace;
use crate::record::codec::{Table, decode_version};
use crate::record::{DecodeError, Effect, Stamp};
use crate::txn::{NewString, Touch, Txn, Writer};

pub use live::{Progress, Stop, apply_live};

/// A record: when it was made, and what it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'r> {
    /// Its number and time.
    pub stamp: Stamp,
    /// Its effects, encoded.
    pub effects: &'r [u8],
}

/// Applies the effects of a record that the sequencer is told of later. Nothing is served yet.
pub fn apply(
    keyspace: &Keyspace,
    writer: &mut Writer,
    stamp: Stamp,
    mut effects: &[u8],
) -> Result<(), DecodeError> {
    // When a replayed key was last used, as far as anybody knows.
    writer.now_ms = stamp.hlc.millis();
    if effects.is_empty() {
        return Ok(());
    }
    let first = Effect::decode(&mut effects)?;
    if effects.is_empty() {
        let mut replay = Replay::of_one(Txn::replaying(keyspace, writer, stamp), stamp);
        replay.apply(&first);
    } else {
        let mut all = vec![first];
        while !effects.is_empty() {
            all.push(Effect::decode(&mut effects)?);
        }
        let mut replay = Replay::of_several(Txn::replaying(keyspace, writer, stamp), stamp);
        all.iter().for_each(|effect| replay.apply(effect));
    }
    Ok(())
}

/// Applies a record that [`apply_live`] left: the caller holds the exclusive gate.
pub fn apply_alone(
    keyspace: &Keyspace,
    writer: &mut Writer,
    Record { stamp, effects }: Record<'_>,
) -> Result<(), DecodeError> {
    apply(keyspace, writer, stamp, effects)?;
    keyspace.sequencer().resume(stamp.lsn, stamp.hlc);
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

/// A record on its way into the store.
struct Replay<'a, 'r> {
    txn: Txn<'a>,
    /// Keys that this very record has changed, if it has more than one effect.
    changed: Option<BTreeSet<(Table, &'r [u8])>>,
    /// The names of the databases are older than this record, which may swap several.
    swaps: bool,
}

impl<'a, 'r> Replay<'a, 'r> {
    fn of_one(txn: Txn<'a>, stamp: Stamp) -> Replay<'a, 'r> {
        let swaps = stamp.lsn.0 > txn.keyspace().names_version();
        Replay { txn, changed: None, swaps }
    }

    fn of_several(txn: Txn<'a>, stamp: Stamp) -> Replay<'a, 'r> {
        Replay { changed: Some(BTreeSet::new()), ..Replay::of_one(txn, stamp) }
    }

    fn apply(&mut self, effect: &Effect<'r>) {
        match (*effect, effect.key()) {
            (_, Some((table, bytes))) => {
                self.txn.select_table(table);
                let key = self.txn.key(bytes);
                let again = |changed: &BTreeSet<_>| changed.contains(&(table, bytes));
                let touch = match self.changed.as_ref().is_some_and(again) {
                    true => Touch::Again,
                    false => Touch::First,
                };
                if self.txn.replay(&key, effect, touch)
                    && let Some(changed) = &mut self.changed
                {
                    changed.insert((table, bytes));
                }
            }
            (Effect::Flush { table }, None) => self.flush(table),
            (Effect::Swap { a, b }, None) if self.swaps => self.txn.replay_swap(a, b),
            (_, None) => {}
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
}
