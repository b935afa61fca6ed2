//! Applies records beside readers: what a follower does all day.
//!
//! Readers see all of a record or nothing of it: its stripes are locked together, in ascending order,
//! and it is numbered ([`Sequencer::resume`]) under these locks before anything changes. So whoever
//! samples the last number and then looks into stripes sees every record up to it whole. A record
//! that would hold too much, or everything, is left for a caller that is alone.
//!
//! What is slow is memory: the buckets and entries of the next records are asked for while the
//! earlier ones are applied.
//!
//! [`Sequencer::resume`]: crate::Sequencer::resume

use crossbeam_epoch::Guard;

use crate::key::{Key, KeyHash};
use crate::keyspace::Keyspace;
use crate::record::{DecodeError, Effect};
use crate::txn::{StripeId, Touch, Txn, Writer};

use super::{Record, Replay};

/// A record of more stripes than this is applied alone.
const STRIPES_MAX: usize = 64;

/// Records that are looked at before the first of them is applied.
const AHEAD: usize = 32;

/// How far [`apply_live`] came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Records that were applied, from the first on.
    pub done: usize,
    /// Why the next one was not. None: they all were.
    pub stop: Option<Stop>,
}

/// Why a record was not applied. Nothing of it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It empties or exchanges tables, or holds too many stripes: to be given to [`apply_alone`]
    /// behind the exclusive gate.
    ///
    /// [`apply_alone`]: super::apply_alone
    NeedsAlone,
    /// It is damaged, or a newer release wrote it.
    Malformed(DecodeError),
}

/// Applies records in order, each at once for whoever holds a stripe of it. The caller is inside the
/// shared side of the exclusive gate, and the only one who applies; `records` have ascending numbers
/// above all that were applied or are in the snapshot that was loaded, or are those again.
pub fn apply_live(keyspace: &Keyspace, writer: &mut Writer, records: &[Record<'_>]) -> Progress {
    let mut stripes = Vec::new();
    let mut done = 0;
    for records in records.chunks(AHEAD) {
        let mut ahead = [const { Ahead::Unknown }; AHEAD];
        look_ahead(keyspace, records, &mut ahead);
        for (record, ahead) in records.iter().zip(&ahead) {
            let applied = match ahead {
                Ahead::Single(effect, hash) => {
                    apply_single(keyspace, writer, record, effect, *hash);
                    Ok(())
                }
                Ahead::Unknown => apply_any(keyspace, writer, record, &mut stripes),
            };
            if let Err(stop) = applied {
                return Progress { done, stop: Some(stop) };
            }
            done += 1;
        }
    }
    Progress { done, stop: None }
}

/// What is known of a record before its turn comes.
enum Ahead<'r> {
    /// It changes one key.
    Single(Effect<'r>, KeyHash),
    /// It is not looked at before.
    Unknown,
}

/// Decodes records of one effect and asks for the memory they will need, all buckets first: by the
/// time the last one is asked for, the first has come and leads to its entry.
#[inline]
fn look_ahead<'r>(keyspace: &Keyspace, records: &[Record<'r>], ahead: &mut [Ahead<'r>; AHEAD]) {
    let pinned = crossbeam_epoch::pin();
    let mut buckets = [None; AHEAD];
    for ((record, ahead), bucket) in records.iter().zip(&mut *ahead).zip(&mut buckets) {
        let mut rest = record.effects;
        if rest.is_empty() {
            continue;
        }
        if let Ok(effect) = Effect::decode(&mut rest)
            && let Some((table, bytes)) = effect.key()
            && rest.is_empty()
        {
            let hash = keyspace.key(bytes).hash();
            *bucket = keyspace.prefetch_bucket_in_table(table, hash, &pinned);
            *ahead = Ahead::Single(effect, hash);
        }
    }
    for (ahead, bucket) in ahead.iter().zip(buckets) {
        if let (Ahead::Single(_, hash), Some(bucket)) = (ahead, bucket) {
            keyspace.prefetch_entry(bucket, *hash, &pinned);
        }
    }
}

#[inline]
fn apply_single(
    keyspace: &Keyspace,
    writer: &mut Writer,
    &Record { stamp, .. }: &Record<'_>,
    effect: &Effect<'_>,
    hash: KeyHash,
) {
    let (table, bytes) = effect.key().expect("a record of one key has one");
    let key = Key::hashed(bytes, hash);
    writer.now_ms = stamp.hlc.millis();
    let stripe = StripeId::new(table, key.stripe() as u16);
    let mut txn = Txn::replaying_single(keyspace, writer, stamp, stripe);
    keyspace.sequencer().resume(stamp.lsn, stamp.hlc);
    txn.replay(&key, effect, Touch::First);
}

/// A record of several effects, or of none, or one that can't be applied here.
fn apply_any(
    keyspace: &Keyspace,
    writer: &mut Writer,
    &Record { stamp, mut effects }: &Record<'_>,
    stripes: &mut Vec<StripeId>,
) -> Result<(), Stop> {
    let mut decoded = Vec::new();
    stripes.clear();
    while !effects.is_empty() {
        let effect = Effect::decode(&mut effects).map_err(Stop::Malformed)?;
        decoded.push((effect, effect.key().map(|(_, bytes)| keyspace.key(bytes).hash())));
    }
    for (effect, hash) in &decoded {
        let (Some((table, _)), Some(hash)) = (effect.key(), hash) else {
            return Err(Stop::NeedsAlone);
        };
        stripes.push(StripeId::new(table, hash.stripe() as u16));
    }
    stripes.sort_unstable();
    stripes.dedup();
    if stripes.len() > STRIPES_MAX {
        return Err(Stop::NeedsAlone);
    }
    decoded.chunks(AHEAD).for_each(|effects| prefetch(keyspace, effects, &crossbeam_epoch::pin()));
    writer.now_ms = stamp.hlc.millis();
    let txn = Txn::replaying_several(keyspace, writer, stamp, stripes);
    keyspace.sequencer().resume(stamp.lsn, stamp.hlc);
    let mut replay = Replay::of_several(txn, stamp);
    decoded.iter().for_each(|(effect, _)| replay.apply(effect));
    Ok(())
}

/// Asks for the memory that effects of one record will need.
fn prefetch(keyspace: &Keyspace, effects: &[(Effect<'_>, Option<KeyHash>)], pinned: &Guard) {
    let mut buckets = [None; AHEAD];
    for ((effect, hash), bucket) in effects.iter().zip(&mut buckets) {
        if let (Some((table, _)), Some(hash)) = (effect.key(), *hash) {
            *bucket = keyspace.prefetch_bucket_in_table(table, hash, pinned);
        }
    }
    for ((_, hash), bucket) in effects.iter().zip(buckets) {
        if let (Some(hash), Some(bucket)) = (*hash, bucket) {
            keyspace.prefetch_entry(bucket, hash, pinned);
        }
    }
}
