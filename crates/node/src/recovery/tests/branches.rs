//! Histories that were cut, and data that came from another node.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trefoil_clock::EpochEntry;
use trefoil_log::{
    FaultPlan, Note, OldData, Replacement, Reseed, TailReader, WrittenEnd, list_diverged,
    list_snapshots, resume_if_interrupted, seeded_until,
};

use super::*;
use crate::log::{SHARD, Stop};

const INCOMING: &str = "incoming.part";

fn load(
    disk: &FaultDisk,
    options: &StartOptions,
) -> Result<(Keyspace, Loaded<FaultDisk>), StartError> {
    let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
    let keyspace = Keyspace::new(options.hasher, sequencer, options.tallies);
    let loaded = load_into(&keyspace, disk.clone(), options)?;
    Ok((keyspace, loaded))
}

/// Puts a file back that is gone.
fn restore(disk: &FaultDisk, copy: &FaultDisk, name: &str) {
    let bytes = copy.contents(name).expect("it was copied");
    disk.create(name).expect("it is gone").write_at(&bytes, 0).expect("room");
}

fn peek(keyspace: &Keyspace, key: &[u8]) -> Option<Vec<u8>> {
    let (mut writer, key) = (StoreWriter::new(0, 1), keyspace.key(key));
    let mut txn = Txn::single(keyspace, &mut writer, 0, &key);
    txn.peek_string(&key).expect("a string").map(|view| view.bytes().to_vec())
}

/// Cuts the history behind a record, between two lives.
fn cut(disk: &FaultDisk, to: u64) {
    let (_, mut loaded) = load(disk, &options()).expect("a healthy disk");
    assert!(loaded.writer.can_truncate(SHARD, Lsn(to)).expect("a listing"));
    loaded.writer.archive_tail(stream(), Lsn(to)).expect("a healthy disk");
    loaded.writer.truncate_stream(SHARD, Lsn(to)).expect("a healthy disk");
}

#[test]
fn what_was_cut_off_is_not_applied_again() {
    let disk = FaultDisk::new();
    let mut life = Life::begin(&disk).expect("an empty disk");
    for (key, value) in [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"c", b"4")] {
        life.put(key, value);
    }
    life.stop();
    cut(&disk, 1);
    let mut life = Life::begin(&disk).expect("a cut log");
    assert_eq!((life.get(b"a"), life.get(b"b")), (Some(b"1".to_vec()), None));
    life.put(b"b", b"new");
    life.save();
    life.put(b"d", b"new");
    // The void records 3 and 4 stand behind the start of a snapshot of the new branch.
    let life = Life::begin(&disk).expect("a snapshot and a cut log");
    assert_eq!((life.get(b"a"), life.get(b"b")), (Some(b"1".to_vec()), Some(b"new".to_vec())));
    assert_eq!((life.get(b"c"), life.get(b"d")), (None, Some(b"new".to_vec())));
    let archives = list_diverged(&disk).expect("a listing");
    assert_eq!((archives[0].first, archives[0].last), (Lsn(2), Lsn(4)));
}

#[test]
fn a_cut_goes_back_to_an_older_snapshot() {
    let disk = FaultDisk::new();
    let mut life = Life::begin(&disk).expect("an empty disk");
    life.put(b"a", b"1");
    let older = life.save();
    let with_older = copy(&disk, |_| true);
    life.put(b"a", b"2");
    life.put(b"a", b"3");
    life.save();
    life.stop();
    restore(&disk, &with_older, &older);
    cut(&disk, 2);
    assert_eq!(list_snapshots(&disk).expect("a listing").len(), 1);
    let life = Life::begin(&disk).expect("the older snapshot");
    assert_eq!(life.get(b"a"), Some(b"2".to_vec()));
}

#[test]
fn an_epoch_that_anything_tells_of_is_not_used_again() {
    let disk = FaultDisk::new();
    let mut life = Life::begin(&disk).expect("an empty disk");
    life.put(b"a", b"1");
    life.put(b"a", b"2");
    life.stop();
    let (_, mut loaded) = load(&disk, &options()).expect("a clean stop");
    assert_eq!(loaded.report.cause, EpochCause::CleanRestart);
    let entry = EpochEntry { epoch: Epoch(8), leader: NodeId(5), first_lsn: Lsn(3) };
    let note = Note::EpochStart { shard: SHARD, entry, cause: EpochCause::Grant };
    loaded.writer.append_note(&note).expect("a healthy disk");
    loaded.writer.sync().expect("a healthy disk");
    let (_, mut loaded) = load(&disk, &options()).expect("a dirty stop");
    assert_eq!((loaded.report.epoch, loaded.report.cause), (Epoch(8), EpochCause::Grant));
    loaded.writer.truncate_stream(SHARD, Lsn(1)).expect("a healthy disk");
    let (_, mut loaded) = load(&disk, &options()).expect("a cut log");
    assert_eq!(loaded.report.epoch, Epoch(1), "the void epoch is not of this history");
    loaded.lead().expect("a healthy disk");
    assert_eq!((loaded.report.epoch, loaded.end()), (Epoch(9), Lsn(1)));
}

#[test]
fn a_clean_stop_does_not_count_any_more_once_its_epoch_goes_on() {
    for seed in 0..8 {
        let disk = FaultDisk::new();
        let mut life = Life::begin(&disk).expect("an empty disk");
        life.put(b"a", b"1");
        life.stop();
        // From now on followers may have records that this disk loses.
        drop(Life::begin(&disk).expect("a clean stop"));
        disk.crash(seed);
        let (_, mut loaded) = load(&disk, &options()).expect("a dirty stop");
        assert_eq!(loaded.report.cause, EpochCause::DirtyRestart);
        assert_eq!(loaded.report.epochs.entries().len(), 1, "the epoch went on");
        loaded.lead().expect("a healthy disk");
        assert_eq!((loaded.report.epoch, loaded.report.epochs.entries().len()), (Epoch(2), 2));
    }
}

#[test]
fn who_stops_without_having_asked_its_followers_has_to_ask_at_the_next_start() {
    for how in [Stop::Unproven, Stop::Clean] {
        let disk = FaultDisk::new();
        let mut life = Life::begin(&disk).expect("an empty disk");
        life.put(b"a", b"1");
        drop(life);
        let (_, loaded) = load(&disk, &options()).expect("a dirty stop");
        assert_eq!(loaded.report.cause, EpochCause::DirtyRestart);
        let queue = Arc::new(LogQueue::new(Fsync::No, loaded.end()));
        queue.stop(how);
        let epoch = loaded.report.epoch;
        let mut driver = LogDriver::new(queue, loaded.writer, epoch, Box::new(|_| {}));
        assert!(matches!(driver.turn(), Ok(Turn::Stopped)));
        let (_, loaded) = load(&disk, &options()).expect("it was stopped");
        let clean = loaded.report.cause == EpochCause::CleanRestart;
        assert_eq!(clean, how == Stop::Clean);
    }
}

#[test]
fn an_older_snapshot_is_never_a_clean_restart() {
    let disk = FaultDisk::new();
    let mut life = Life::begin(&disk).expect("an empty disk");
    life.put(b"a", b"1");
    let older = life.save();
    let with_older = copy(&disk, |_| true);
    life.put(b"a", b"2");
    let newer = life.save();
    life.stop();
    let clean = load(&copy(&disk, |_| true), &options()).expect("a clean stop").1;
    assert_eq!(clean.report.cause, EpochCause::CleanRestart);
    restore(&disk, &with_older, &older);
    disk.flip_bit(&newer, 2, 0);
    let (keyspace, loaded) = load(&disk, &options()).expect("the older snapshot");
    assert_eq!(loaded.report.snapshot_name.as_ref(), Some(&older));
    assert_eq!(loaded.report.cause, EpochCause::DirtyRestart);
    assert_eq!(peek(&keyspace, b"a"), Some(b"2".to_vec()));
}

/// A leader with a snapshot that took a while: records 3 to 5 came meanwhile; and the follower that got it.
fn seeded() -> (Life, FaultDisk, StartOptions) {
    let leader = FaultDisk::new();
    let mut life = Life::begin(&leader).expect("an empty disk");
    life.put(b"a", b"1");
    life.put(b"b", b"2");
    let begun = Snapshot::begin(&life.node, leader.clone());
    let mut snapshot = begun.expect("a healthy disk").expect("nobody is alone");
    for value in [b"3", b"4", b"5"] {
        life.put(b"c", value);
    }
    let name = loop {
        if let Step::Done(finished) = snapshot.step().expect("a healthy disk") {
            break finished.name;
        }
        life.turn();
    };
    let follower = FaultDisk::new();
    let mut own = Life::begin(&follower).expect("an empty disk");
    own.put(b"own", b"old");
    own.stop();
    let bytes = leader.contents(&name).expect("the snapshot");
    let part = follower.create(INCOMING).expect("room");
    part.write_at(&bytes, 0).expect("room");
    part.sync_data().expect("a healthy disk");
    let identity = Identity { node: NodeId(9), ..options().identity };
    let with = Replacement {
        part: Some(INCOMING.into()),
        identity,
        used_epoch: Epoch(4),
        old: OldData::Aside,
    };
    Reseed::begin(&follower, &with)
        .and_then(|reseed| reseed.finish(|_| Ok(())))
        .expect("a healthy disk");
    (life, follower, StartOptions { identity, ..options() })
}

#[test]
fn a_seed_serves_nothing_and_leads_nowhere_before_its_end_has_come() {
    let (mut life, disk, options) = seeded();
    assert!(resume_if_interrupted(&disk, |_| Ok(())).expect("readable").is_none());
    for _ in 0..2 {
        let (_, mut loaded) = load(&disk, &options).expect("a seed");
        assert_eq!((loaded.end(), loaded.report.ready_after), (Lsn(2), Lsn(5)));
        assert_eq!(loaded.report.next_epoch, Epoch(5), "epochs of the data before are remembered");
        assert!(matches!(loaded.lead(), Err(StartError::Hole(Lsn(3), Lsn(5)))));
        assert_eq!(seeded_until(&disk).expect("a listing"), Some(Lsn(5)));
    }
    // The records of the snapshot's time come from the leader's log.
    let (_, mut loaded) = load(&disk, &options).expect("a seed");
    let written = ends(&mut life);
    let mut tail = TailReader::new(life.disk.clone(), super::options().identity, stream());
    tail.seek(&written, Lsn(2)).expect("it is there");
    let mut take = |run: trefoil_log::Run<'_>| {
        loaded.writer.append_runs(&[run]).expect("a healthy disk");
    };
    tail.read(&written, Lsn(u64::MAX), u64::MAX, &mut take).expect("readable");
    loaded.writer.sync().expect("a healthy disk");
    let (keyspace, mut loaded) = load(&disk, &options).expect("a whole state");
    assert_eq!((loaded.end(), loaded.report.ready_after), (Lsn(5), Lsn(5)));
    assert_eq!(seeded_until(&disk).expect("a listing"), None);
    for (key, value) in [(b"a", b"1"), (b"b", b"2"), (b"c", b"5")] {
        assert_eq!(peek(&keyspace, key), Some(value.to_vec()));
    }
    assert_eq!(peek(&keyspace, b"own"), None);
    loaded.lead().expect("all is there");
}

/// How far a life's log is written.
fn ends(life: &mut Life) -> WrittenEnd {
    life.driver.writer_mut().written_end(stream())
}

#[test]
fn a_running_node_loads_anew_what_is_on_disk() {
    let (_, disk, options) = seeded();
    let own = FaultDisk::new();
    let mut life = Life::begin(&own).expect("an empty disk");
    life.put(b"x", b"1");
    let loaded = load_into(&life.node.keyspace, disk, &options).expect("a seed");
    assert_eq!((life.get(b"x"), life.get(b"a")), (None, Some(b"1".to_vec())));
    assert_eq!(life.node.keyspace.sequencer().last().lsn, loaded.end());
}

/// A life, then a cut between it and the next.
#[derive(Clone, Debug)]
struct Branch {
    puts: Vec<(u8, u8)>,
    /// Behind this one of them a snapshot is taken.
    save_after: Option<usize>,
    stop: bool,
    crash_seed: u64,
    /// How many records are cut off, and when the power fails meanwhile.
    cut: Option<(u64, u64)>,
}

fn branch() -> impl Strategy<Value = Branch> {
    let puts = prop::collection::vec((0u8..6, any::<u8>()), 0..12);
    let save_after = prop::option::of(0usize..12);
    let cut = prop::option::of((0u64..10, 0u64..40));
    (puts, save_after, any::<bool>(), any::<u64>(), cut).prop_map(
        |(puts, save_after, stop, crash_seed, cut)| Branch {
            puts,
            save_after,
            stop,
            crash_seed,
            cut,
        },
    )
}

type History = Vec<(u8, u8)>;

fn check(keyspace: &Keyspace, history: &History) {
    let state: BTreeMap<u8, u8> = history.iter().copied().collect();
    for key in 0..6 {
        let found = peek(keyspace, &[key]).map(|value| value[0]);
        assert_eq!(found, state.get(&key).copied(), "key {key} after {history:?}");
    }
}

/// Returns how far the history is durable.
fn live(disk: &FaultDisk, history: &mut History, branch: &Branch) -> u64 {
    let mut life = Life::begin(disk).expect("a healthy disk");
    check(&life.node.keyspace, history);
    for (at, (key, value)) in branch.puts.iter().enumerate() {
        life.put(&[*key], &[*value]);
        history.push((*key, *value));
        if branch.save_after == Some(at) {
            life.save();
        }
    }
    let durable = life.driver.writer_mut().durable(stream()).0;
    if branch.stop {
        life.stop();
        return history.len() as u64;
    }
    durable
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_start_finds_the_branch_before_a_cut_or_behind_it(branches in prop::collection::vec(branch(), 1..7)) {
        let disk = FaultDisk::new();
        let mut history = History::new();
        let mut highest = Epoch::default();
        for branch in &branches {
            let durable = live(&disk, &mut history, branch);
            disk.crash(branch.crash_seed);
            let (keyspace, mut loaded) = load(&disk, &options()).expect("a crash is not damage");
            prop_assert!(loaded.end().0 >= durable);
            history.truncate(loaded.end().0 as usize);
            check(&keyspace, &history);
            prop_assert!(loaded.report.next_epoch > highest.max(loaded.report.epoch));
            highest = highest.max(loaded.report.epoch);
            let Some((back, power)) = branch.cut else { continue };
            let to = (history.len() as u64).saturating_sub(back);
            if !loaded.writer.can_truncate(SHARD, Lsn(to)).expect("a listing") {
                continue;
            }
            let power_off_after = Some(disk.changes_done() + power);
            disk.plan(FaultPlan { power_off_after, ..FaultPlan::default() });
            let archived = loaded.writer.archive_tail(stream(), Lsn(to)).is_ok();
            let was_cut = archived && loaded.writer.truncate_stream(SHARD, Lsn(to)).is_ok();
            disk.crash(branch.crash_seed ^ 1);
            let (keyspace, loaded) = load(&disk, &options()).expect("a crash is not damage");
            let end = loaded.end().0 as usize;
            prop_assert!(end == history.len() && !was_cut || end as u64 == to, "{end} {to}");
            history.truncate(end);
            check(&keyspace, &history);
        }
    }
}
