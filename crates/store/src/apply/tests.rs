//! Applying beside readers, and reading on a follower.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use trefoil_clock::{Hlc, Lsn};

use super::*;
use crate::expiry::{ExpiryCursor, expire_step};
use crate::record::{Cause, LogBatch};
use crate::txn::tests::{contents, get, keyspace, put, records, replay_live, writer};
use crate::txn::{Deadline, StripeId};
use crate::walk::{random_key, scan};

fn stamp(lsn: u64) -> Stamp {
    Stamp { lsn: Lsn(lsn), hlc: Hlc::from_millis(1_000_000 + lsn) }
}

fn encoded(effects: &[Effect<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    effects.iter().for_each(|effect| effect.encode(&mut bytes));
    bytes
}

fn puts<'a>(names: &'a [Vec<u8>], value: &'a [u8]) -> Vec<u8> {
    let put = |key| Effect::PutString { table: 0, key, value, deadline: None, raw: false };
    encoded(&names.iter().map(|name| put(&name[..])).collect::<Vec<_>>())
}

fn names(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| format!("key:{i}").into_bytes()).collect()
}

#[test]
fn a_damaged_record_stops_there_and_changes_nothing() {
    let (keyspace, mut writer) = (keyspace(), writer());
    let (one, three) = (puts(&names(1), b"1"), puts(&names(3), b"2"));
    for damaged in [&three[..three.len() - 1], &one[..3], &[99, 0], &[9, 16]] {
        keyspace.reset();
        let records = [&one[..], damaged].map(|effects| Record { stamp: stamp(1), effects });
        let records = [records[0], Record { stamp: stamp(2), ..records[1] }];
        let Progress { done: 1, stop: Some(Stop::Malformed(error)) } =
            apply_live(&keyspace, &mut writer, &records)
        else {
            panic!("{damaged:?} is taken for a record");
        };
        assert_eq!(apply_alone(&keyspace, &mut writer, records[1]), Err(error));
        assert_eq!(keyspace.sequencer().last_lsn(), Lsn(1));
        assert_eq!(contents(&keyspace, 0), [(b"key:0".to_vec(), b"1".to_vec(), None)]);
    }
}

#[test]
fn a_record_without_effects_counts_and_one_of_everything_is_left_for_who_is_alone() {
    let (keyspace, mut writer) = (keyspace(), writer());
    let alone = [
        encoded(&[Effect::Flush { table: 0 }]),
        encoded(&[Effect::Swap { a: 0, b: 1 }]),
        puts(&names(200), b"v"),
    ];
    let (barrier, single) = (Vec::new(), puts(&names(1), b"v"));
    let [flush, swap, many] = &alone;
    let sequence = [&barrier, &single, flush, &single, swap, many, &barrier];
    let records: Vec<_> =
        (1..).zip(sequence).map(|(lsn, effects)| (stamp(lsn), effects.clone())).collect();
    for (stamp, effects) in &records {
        let record = Record { stamp: *stamp, effects };
        let expected = match alone.contains(effects) {
            true => Progress { done: 0, stop: Some(Stop::NeedsAlone) },
            false => Progress { done: 1, stop: None },
        };
        let before = keyspace.sequencer().last_lsn();
        assert_eq!(apply_live(&keyspace, &mut writer, &[record]), expected);
        let after = if expected.done == 1 { stamp.lsn } else { before };
        assert_eq!(keyspace.sequencer().last_lsn(), after);
    }
    keyspace.reset();
    replay_live(&keyspace, &mut writer, &records);
    assert_eq!((keyspace.len(0), keyspace.len(1)), (0, 200), "databases changed their tables");
}

#[test]
fn what_an_entry_has_already_is_not_applied_again() {
    let (leader, mut leading) = (keyspace(), writer());
    put(&leader, &mut leading, b"k", b"v", Deadline::None);
    let mut txn = Txn::exclusive(&leader, &mut leading, 0);
    for _ in 0..2 {
        txn.append(&leader.key(b"k"), b"+");
    }
    txn.commit();
    let records = records(&leading.log.take(LogBatch::default()));
    let (follower, mut following) = (keyspace(), writer());
    replay_live(&follower, &mut following, &records);
    replay_live(&follower, &mut following, &records);
    assert_eq!(get(&follower, &mut following, b"k"), Some(b"v++".to_vec()));
    let key = follower.key(b"k");
    let mut txn = Txn::single(&follower, &mut following, 0, &key);
    assert_eq!(txn.peek(&key).map(|meta| meta.version), Some(2), "WATCH sees a change");
}

/// Whoever samples the last number and then looks sees every record up to it, and each whole.
#[test]
fn readers_see_all_of_a_record_or_nothing() {
    const RECORDS: u64 = 20_000;
    let keyspace = keyspace();
    let (names, stop) = (names(3), AtomicBool::new(false));
    let read = |seed| {
        let mut writer = Writer::new(0, seed);
        let keys: Vec<_> = names.iter().map(|name| keyspace.key(name)).collect();
        let stripes: Vec<_> = keys.iter().map(|key| StripeId::of(&keyspace, 0, key)).collect();
        while !stop.load(Relaxed) {
            let last = keyspace.sequencer().last_lsn();
            let mut txn = Txn::several(&keyspace, &mut writer, 0, &mut stripes.clone());
            let seen = [0, 1, 2].map(|i| {
                let view = txn.peek_string(&keys[i]).expect("a string");
                let bytes = view.map_or([0; 8], |view| view.bytes().try_into().expect("8 bytes"));
                u64::from_be_bytes(bytes)
            });
            assert!(seen.iter().all(|value| *value == seen[0]), "{seen:?}");
            assert!(seen[0] >= last.0, "{} is numbered, {} is seen", last.0, seen[0]);
        }
    };
    thread::scope(|scope| {
        let readers = [1, 2].map(|seed| scope.spawn(move || read(seed)));
        let mut writer = writer();
        let made: Vec<_> =
            (1..=RECORDS).map(|lsn| (stamp(lsn), puts(&names, &lsn.to_be_bytes()))).collect();
        replay_live(&keyspace, &mut writer, &made);
        stop.store(true, Relaxed);
        for reader in readers {
            reader.join().expect("what it saw was right");
        }
    });
}

/// A follower at this time of its leader, with a key that has expired by then and one that has not.
fn follower() -> (Keyspace, Writer) {
    let (keyspace, mut writer) = (keyspace(), writer());
    put(&keyspace, &mut writer, b"gone", b"v", Deadline::At(2_000_000));
    put(&keyspace, &mut writer, b"here", b"v", Deadline::At(2_000_001));
    writer.log.take(LogBatch::default());
    // Its own clock is ahead, which does not count.
    writer.now_ms = 9_000_000;
    writer.following_ms = Some(2_000_000);
    (keyspace, writer)
}

#[test]
fn a_follower_hides_what_has_expired_and_deletes_and_logs_nothing() {
    let (keyspace, mut writer) = follower();
    for (name, there) in [(&b"gone"[..], false), (b"here", true)] {
        let key = keyspace.key(name);
        let mut txn = Txn::single(&keyspace, &mut writer, 0, &key);
        assert_eq!(txn.now_ms(), 2_000_000);
        assert_eq!(txn.string(&key).expect("a string").is_some(), there);
        assert_eq!(txn.string_to_change(&key).expect("a string").is_some(), there);
        assert_eq!(txn.peek_string(&key).expect("a string").is_some(), there);
        assert_eq!((txn.meta(&key).is_some(), txn.peek(&key).is_some()), (there, there));
        assert_eq!((txn.touch_key(&key), txn.pick_up(&key).is_some()), (there, there));
        assert_eq!(txn.commit().written, None);
    }
    let mut met = Vec::new();
    scan(&keyspace, &writer, 0, 0, usize::MAX, |key| met.push(key.key.to_vec()));
    assert_eq!(met, [b"here"]);
    assert_eq!(random_key(&keyspace, &mut writer, 0), Some(b"here".to_vec()));
    let mut txn = Txn::exclusive(&keyspace, &mut writer, 0);
    assert_eq!(txn.count_keys(), 2, "as on the leader before it meets the key");
    txn.commit();
    let mut cursor = ExpiryCursor::default();
    let step = expire_step(&keyspace, &mut writer, &mut cursor, 0, 1);
    assert!(step.wrapped && step.deleted == 0);
    assert!(writer.log.is_empty());
    assert_eq!((keyspace.len(0), keyspace.sequencer().last_lsn()), (2, Lsn(2)));
    assert_eq!(keyspace.sum(|tally| &tally.expired), 0);
    assert_eq!(writer.stand_in().following_ms, Some(2_000_000));
}

#[test]
fn a_mutator_on_a_follower_panics_before_it_changes_anything() {
    type Mutate = fn(&mut Txn<'_>, &crate::Key<'_>) -> bool;
    let mutators: [Mutate; 8] = [
        |txn, key| txn.put(key, b"x"[..].into(), Deadline::None),
        |txn, key| {
            txn.append(key, b"x");
            true
        },
        |txn, key| {
            txn.set_range(key, 0, b"x");
            true
        },
        |txn, key| txn.delete(key),
        |txn, key| txn.evict(key),
        |txn, key| txn.set_deadline(key, None),
        |txn, _| {
            txn.flush(0);
            true
        },
        |txn, _| {
            txn.swap(0, 1);
            true
        },
    ];
    let (keyspace, mut writer) = follower();
    for mutate in mutators {
        let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut txn = Txn::exclusive(&keyspace, &mut writer, 0);
            mutate(&mut txn, &keyspace.key(b"here"));
        }));
        assert!(attempt.is_err());
    }
    assert!(writer.log.is_empty());
    assert_eq!(get(&keyspace, &mut writer, b"here"), Some(b"v".to_vec()));
    assert_eq!(keyspace.sequencer().last_lsn(), Lsn(2));
}

#[test]
fn a_leaders_write_over_an_expired_key_logs_its_end_first() {
    let (keyspace, mut writer) = (keyspace(), writer());
    put(&keyspace, &mut writer, b"k", b"old", Deadline::At(1_000_100));
    writer.log.take(LogBatch::default());
    writer.now_ms = 1_000_100;
    put(&keyspace, &mut writer, b"k", b"new", Deadline::Keep);
    let batch = writer.log.take(LogBatch::default());
    let [(_, effects)] = &records(&batch)[..] else { panic!("one record") };
    let (table, key) = (0, &b"k"[..]);
    let end = Effect::Delete { table, key, cause: Cause::Expired };
    let new = Effect::PutString { table, key, value: b"new", deadline: None, raw: false };
    assert_eq!(*effects, encoded(&[end, new]));
}
