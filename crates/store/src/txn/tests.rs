//! Transactions end to end: what a writer logs, replay rebuilds.

use std::sync::Arc;

use proptest::prelude::*;
use trefoil_clock::{Hlc, Lsn};

use super::*;
use crate::apply::{Progress, Record, Stop, apply, apply_alone, apply_live, load_piece};
use crate::record::{LogBatch, Stamp};
use crate::walk::{piece, scan};
use crate::{KeyHasher, SHARED_LEN_MIN, Sequencer, Value};

pub(crate) fn keyspace() -> Keyspace {
    Keyspace::new(KeyHasher::new(42), Sequencer::starting_after(Lsn(0), Hlc(0)), 1)
}

pub(crate) fn writer() -> Writer {
    let mut writer = Writer::new(0, 1);
    writer.now_ms = 1_000_000;
    writer
}

pub(crate) fn put(
    keyspace: &Keyspace,
    writer: &mut Writer,
    key: &[u8],
    value: &[u8],
    deadline: Deadline,
) {
    let key = keyspace.key(key);
    let mut txn = Txn::single(keyspace, writer, 0, &key);
    txn.put(&key, value.into(), deadline);
    txn.commit();
}

pub(crate) fn get(keyspace: &Keyspace, writer: &mut Writer, key: &[u8]) -> Option<Vec<u8>> {
    let key = keyspace.key(key);
    let mut txn = Txn::single(keyspace, writer, 0, &key);
    let value = txn.string(&key).expect("a string").map(|view| view.bytes().to_vec());
    txn.commit();
    value
}

/// Every record of a batch with its stamp.
pub(crate) fn records(batch: &LogBatch) -> Vec<(Stamp, Vec<u8>)> {
    let mut records = Vec::new();
    for run in &batch.runs {
        let mut input = &batch.bytes[run.start..run.start + run.len];
        let mut stamp = run.base;
        for i in 0..u64::from(run.count) {
            let len = crate::record::codec::decode_version(&mut input).expect("a length") as usize;
            let (mut body, rest) = input.split_at(len);
            let delta = crate::record::codec::decode_version(&mut body).expect("a delta");
            stamp = Stamp { lsn: Lsn(run.base.lsn.0 + i), hlc: Hlc(stamp.hlc.0 + delta) };
            records.push((stamp, body.to_vec()));
            input = rest;
        }
        assert!(input.is_empty());
    }
    records
}

/// Everything in a database: key, value, deadline.
pub(crate) fn contents(keyspace: &Keyspace, db: u8) -> Vec<(Vec<u8>, Vec<u8>, Option<u64>)> {
    let mut writer = writer();
    writer.now_ms = 0;
    let mut keys = Vec::new();
    scan(keyspace, &writer, db, 0, usize::MAX, |met| keys.push(met.key.to_vec()));
    keys.sort();
    keys.dedup();
    let mut found = Vec::new();
    for bytes in keys {
        let key = keyspace.key(&bytes);
        let mut txn = Txn::single(keyspace, &mut writer, db, &key);
        let view = txn.string(&key).expect("a string").expect("it was scanned");
        found.push((bytes.clone(), view.bytes().to_vec(), view.deadline));
    }
    found
}

#[test]
fn an_expired_key_is_deleted_by_its_first_reader_and_logged() {
    let (keyspace, mut writer) = (keyspace(), writer());
    put(&keyspace, &mut writer, b"k", b"v", Deadline::At(1_000_500));
    assert!(get(&keyspace, &mut writer, b"k").is_some());
    writer.now_ms = 1_000_500;
    assert!(get(&keyspace, &mut writer, b"k").is_none());
    assert_eq!((keyspace.len(0), keyspace.deadlines(0), keyspace.memory()), (0, 0, 0));
    let batch = writer.log.take(LogBatch::default());
    assert_eq!(records(&batch).len(), 2);
    assert_eq!(keyspace.sum(|tally| &tally.expired), 1);
}

#[test]
fn a_read_depends_on_what_it_saw() {
    let (keyspace, mut writer) = (keyspace(), writer());
    put(&keyspace, &mut writer, b"a", b"1", Deadline::None);
    put(&keyspace, &mut writer, b"b", b"1", Deadline::None);
    let key = keyspace.key(b"a");
    let mut txn = Txn::single(&keyspace, &mut writer, 0, &key);
    txn.string(&key).expect("a string");
    assert_eq!(txn.commit(), Outcome { written: None, depends_on: Lsn(1) });
    let mut txn = Txn::single(&keyspace, &mut writer, 0, &key);
    assert!(txn.delete(&key));
    assert_eq!(txn.commit().depends_on, Lsn(3));
    let mut txn = Txn::single(&keyspace, &mut writer, 0, &key);
    assert!(txn.string(&key).expect("nothing").is_none());
    assert_eq!(txn.commit().depends_on, Lsn(3), "a miss depends on the delete");
}

#[test]
fn large_values_are_shared_until_they_change() {
    let (keyspace, mut writer) = (keyspace(), writer());
    put(&keyspace, &mut writer, b"big", &vec![1; SHARED_LEN_MIN], Deadline::None);
    let key = keyspace.key(b"big");
    let mut txn = Txn::single(&keyspace, &mut writer, 0, &key);
    let kept = Arc::clone(
        txn.string(&key).expect("a string").expect("it is there").shared().expect("it is large"),
    );
    txn.append(&key, b"!");
    assert_eq!(
        txn.string(&key).expect("a string").expect("it is there").bytes().len(),
        SHARED_LEN_MIN + 1
    );
    txn.commit();
    assert_eq!(kept.len(), SHARED_LEN_MIN, "a reply that shares the value does not see the change");
    let mut txn = Txn::single(&keyspace, &mut writer, 0, &key);
    txn.put(&key, NewString { value: Value::Shared(&kept), raw: false }, Deadline::Keep);
    txn.delete(&key);
    txn.commit();
    assert_eq!((keyspace.memory(), Arc::strong_count(&kept)), (0, 1));
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, usize, Option<u64>),
    Append(u8, usize),
    SetRange(u8, usize),
    Delete(u8),
    SetDeadline(u8, Option<u64>),
    Flush,
    Swap,
    Both(u8, u8),
    Pieces(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let deadline = || prop::option::of(2_000_000u64..3_000_000);
    let len = || prop_oneof![8 => 0usize..200, 1 => SHARED_LEN_MIN..SHARED_LEN_MIN + 9];
    prop_oneof![
        6 => (any::<u8>(), len(), deadline()).prop_map(|(k, v, d)| Step::Put(k, v, d)),
        2 => (any::<u8>(), 0usize..300).prop_map(|(k, v)| Step::Append(k, v)),
        2 => (any::<u8>(), 0usize..300).prop_map(|(k, v)| Step::SetRange(k, v)),
        3 => any::<u8>().prop_map(Step::Delete),
        2 => (any::<u8>(), deadline()).prop_map(|(k, d)| Step::SetDeadline(k, d)),
        1 => Just(Step::Flush),
        1 => Just(Step::Swap),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::Both(a, b)),
        8 => (1u16..300).prop_map(Step::Pieces),
    ]
}

fn run(keyspace: &Keyspace, writer: &mut Writer, step: &Step) {
    let mut txn = Txn::exclusive(keyspace, writer, 0);
    let name = |k: u8| format!("key:{}", k % 40).into_bytes();
    let value = |len: usize| vec![b'a' + (len % 26) as u8; len];
    match *step {
        Step::Put(k, len, deadline) => {
            let (name, deadline) = (name(k), deadline.map_or(Deadline::None, Deadline::At));
            txn.put(&keyspace.key(&name), value(len).as_slice().into(), deadline);
        }
        Step::Append(k, len) => {
            let name = name(k);
            let key = keyspace.key(&name);
            if txn.peek(&key).is_some() {
                txn.append(&key, &value(len));
            }
        }
        Step::SetRange(k, len) => {
            let name = name(k);
            let key = keyspace.key(&name);
            if txn.peek(&key).is_some() {
                txn.set_range(&key, len, &value(3));
            }
        }
        Step::Delete(k) => {
            txn.delete(&keyspace.key(&name(k)));
        }
        Step::SetDeadline(k, deadline) => {
            txn.set_deadline(&keyspace.key(&name(k)), deadline);
        }
        Step::Flush => txn.flush(0),
        Step::Swap => txn.swap(0, 1),
        Step::Both(a, b) => {
            for (k, len) in [(a, 5), (b, 6)] {
                txn.put(&keyspace.key(&name(k)), value(len).as_slice().into(), Deadline::Keep);
                txn.append(&keyspace.key(&name(k)), b"+");
            }
            txn.delete(&keyspace.key(&name(a)));
        }
        Step::Pieces(_) => {}
    }
    txn.commit();
}

fn replay_alone(keyspace: &Keyspace, writer: &mut Writer, records: &[(Stamp, Vec<u8>)]) {
    for (stamp, effects) in records {
        apply(keyspace, writer, *stamp, effects).expect("whole records");
    }
}

/// As a follower applies.
pub(crate) fn replay_live(keyspace: &Keyspace, writer: &mut Writer, records: &[(Stamp, Vec<u8>)]) {
    let all = records.iter().map(|(stamp, effects)| Record { stamp: *stamp, effects });
    let all: Vec<_> = all.collect();
    let mut left = &all[..];
    while !left.is_empty() {
        let Progress { done, stop } = apply_live(keyspace, writer, left);
        left = &left[done..];
        if let Some(stop) = stop {
            assert_eq!(stop, Stop::NeedsAlone);
            apply_alone(keyspace, writer, left[0]).expect("a whole record");
            left = &left[1..];
        }
    }
    if let Some((last, _)) = records.last() {
        assert_eq!(keyspace.sequencer().last_lsn(), last.lsn);
    }
}

#[test]
fn replay_of_a_flush_deletes_what_its_own_record_had_written_before() {
    let (keyspace, mut writer) = (keyspace(), writer());
    let mut txn = Txn::exclusive(&keyspace, &mut writer, 0);
    for name in [&b"before"[..], b"both"] {
        txn.put(&keyspace.key(name), b"1"[..].into(), Deadline::None);
    }
    txn.flush(0);
    txn.put(&keyspace.key(b"both"), b"2"[..].into(), Deadline::None);
    txn.commit();
    let batch = writer.log.take(LogBatch::default());
    for replay in [replay_alone, replay_live] {
        let (rebuilt, mut replayer) = (self::keyspace(), self::writer());
        replay(&rebuilt, &mut replayer, &records(&batch));
        assert_eq!(contents(&rebuilt, 0), contents(&keyspace, 0));
        assert_eq!(rebuilt.len(0), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The heart of recovery: a snapshot whose pieces are taken at different moments, plus the log
    /// from where it began, is the state at the end.
    #[test]
    fn a_fuzzy_snapshot_and_the_log_since_rebuild_the_state(
        steps in prop::collection::vec(step(), 1..120),
        begin in 0usize..40,
    ) {
        let (keyspace, mut writer) = (keyspace(), writer());
        let begin = begin.min(steps.len());
        for step in &steps[..begin] {
            run(&keyspace, &mut writer, step);
        }
        let start_lsn = keyspace.sequencer().last_lsn();
        let (names, names_version) = keyspace.names();
        let (mut walk, mut pieces) = ((0u8, 0u16), Vec::new());
        let mut take = |keyspace: &Keyspace, stripes: u16| {
            for _ in 0..stripes {
                if walk.0 == 16 { break; }
                if !keyspace.has_table(walk.0) { walk = (walk.0 + 1, 0); continue; }
                let mut place = Some(0);
                while let Some(at) = place {
                    let piece = piece(keyspace, walk.0, walk.1, at, &mut pieces);
                    piece.large.iter().for_each(|large| large.encode(&mut pieces));
                    place = piece.next_place;
                }
                walk = if walk.1 == 1023 { (walk.0 + 1, 0) } else { (walk.0, walk.1 + 1) };
            }
        };
        for step in &steps[begin..] {
            run(&keyspace, &mut writer, step);
            if let Step::Pieces(stripes) = step {
                take(&keyspace, *stripes);
            }
        }
        take(&keyspace, u16::MAX);

        let batch = writer.log.take(LogBatch::default());
        let mut since = records(&batch);
        since.retain(|(stamp, _)| stamp.lsn > start_lsn);
        for replay in [replay_alone, replay_live] {
            let (rebuilt, mut replayer) = (self::keyspace(), self::writer());
            rebuilt.restore_names(names, names_version);
            load_piece(&rebuilt, &mut replayer, &pieces).expect("whole pieces");
            replay(&rebuilt, &mut replayer, &since);
            for db in 0..2 {
                prop_assert_eq!(contents(&rebuilt, db), contents(&keyspace, db));
                prop_assert_eq!(rebuilt.len(db), keyspace.len(db));
                prop_assert_eq!(rebuilt.deadlines(db), keyspace.deadlines(db));
            }
            // Large values have capacity to spare, which depends on how they grew.
            let large =
                |db| contents(&keyspace, db).iter().any(|(_, v, _)| v.len() >= SHARED_LEN_MIN);
            if !large(0) && !large(1) {
                prop_assert_eq!(rebuilt.memory(), keyspace.memory());
            }
        }
    }
}

#[test]
fn a_walk_in_small_steps_comes_to_its_end_though_cursors_are_rounded() {
    let (keyspace, mut writer) = (keyspace(), writer());
    // Many keys of one slot: their buckets are finer than a cursor.
    for i in 0..20_000 {
        put(&keyspace, &mut writer, format!("{{tag}}{i}").as_bytes(), b"v", Deadline::None);
    }
    let (mut seen, mut cursor, mut steps) = (std::collections::BTreeSet::new(), 0, 0);
    loop {
        cursor = scan(&keyspace, &writer, 0, cursor, 1, |met| {
            seen.insert(met.key.to_vec());
        });
        steps += 1;
        assert!(steps < 40_000, "the walk does not end");
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 20_000);
}

#[test]
fn a_transaction_may_swap_more_than_once() {
    let (original, mut writer) = (keyspace(), writer());
    put(&original, &mut writer, b"k", b"v", Deadline::None);
    let mut txn = Txn::exclusive(&original, &mut writer, 0);
    txn.swap(0, 1);
    txn.swap(1, 2);
    txn.commit();
    assert_eq!((original.len(0), original.len(1), original.len(2)), (0, 0, 1));
    let rebuilt = keyspace();
    for (stamp, effects) in records(&writer.log.take(LogBatch::default())) {
        apply(&rebuilt, &mut writer, stamp, &effects).expect("what was logged");
        apply(&rebuilt, &mut writer, stamp, &effects).expect("what was applied is skipped");
    }
    assert_eq!(rebuilt.names(), original.names());
    assert_eq!(rebuilt.len(2), 1);
}
