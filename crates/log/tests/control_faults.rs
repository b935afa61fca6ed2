//! Single faults of the control log, one after another: what it says and what it keeps.

mod control_fixture;

use control_fixture::{
    NODE, contents, disk_with, entry, hard, indexes, open, options, small, snapshot, try_open,
};
use trefoil_clock::NodeId;
use trefoil_log::control::{
    CONTROL_LOG, ControlFault, ControlLog, ControlLogError, ControlRecord, Disorder,
};
use trefoil_log::{Disk, FaultDisk, FaultPlan, FsDisk};

const HEADER_BYTES: u64 = 48;
const FRAME_BYTES: u64 = 17;

#[test]
fn what_was_written_is_recovered() {
    let disk = FaultDisk::new();
    assert!(open(&disk).1.created);
    let mut log = small(&disk);
    log.write(&[ControlRecord::Truncate { from: 3 }, entry(3, 5), entry(4, 0)]).expect("written");
    log.write(&[]).expect("nothing to do");
    let (mut log, recovered) = open(&disk);
    assert_eq!(recovered.hard.as_deref(), Some(&b"term 1, vote 7"[..]));
    assert_eq!((indexes(&recovered), recovered.snapshot.clone()), (vec![1, 2, 3, 4], None));
    assert_eq!((recovered.entries[2].1.len(), recovered.created), (5, false));
    log.write(&[snapshot(3, 3), hard(b"term 2")]).expect("written");
    let (mut log, recovered) = open(&disk);
    assert_eq!(recovered.snapshot, Some((3, 3u64.to_le_bytes().to_vec())));
    assert_eq!(indexes(&recovered), [3, 4]);
    log.write(&[ControlRecord::Reset, entry(1, 1)]).expect("written");
    let recovered = open(&disk).1;
    assert_eq!((indexes(&recovered), recovered.snapshot, recovered.hard), (vec![1], None, None));
}

#[test]
fn records_that_do_not_follow_are_refused_as_a_whole() {
    let disk = FaultDisk::new();
    let mut log = small(&disk);
    let before = contents(&disk);
    let gap = Disorder::EntryGap { expected: 5, found: 6 };
    match log.write(&[entry(4, 1), entry(6, 1)]) {
        Err(ControlLogError::Disorder(disorder)) => assert_eq!(disorder, gap),
        other => panic!("{other:?}"),
    }
    assert_eq!(contents(&disk), before);
    log.write(&[entry(4, 1)]).expect("the store goes on");
}

#[test]
fn every_flipped_bit_in_a_synced_batch_is_refused_and_nothing_is_changed() {
    let disk = FaultDisk::new();
    // Not opened again before the bits flip: that would write the mark once more.
    let end = small(&disk).used_bytes();
    for byte in 0..end {
        for bit in 0..8 {
            disk.flip_bit(CONTROL_LOG, byte, bit);
            let before = contents(&disk);
            match try_open(&disk) {
                Err(ControlLogError::Damaged { offset, .. }) => assert!(offset <= byte),
                other => panic!("byte {byte} bit {bit}: {other:?}"),
            }
            assert_eq!(contents(&disk), before);
            disk.flip_bit(CONTROL_LOG, byte, bit);
        }
    }
    let whole = open(&disk).1;
    assert_eq!((indexes(&whole), whole.torn_bytes), (vec![1, 2, 3], 0));
}

#[test]
fn a_flipped_bit_behind_the_last_batch_does_no_harm() {
    let end = small(&FaultDisk::new()).used_bytes();
    for byte in end..end + FRAME_BYTES + 20 {
        let disk = FaultDisk::new();
        drop(small(&disk));
        disk.flip_bit(CONTROL_LOG, byte, (byte % 8) as u8);
        let (mut log, recovered) = open(&disk);
        assert_eq!((indexes(&recovered), recovered.torn_bytes > 0), (vec![1, 2, 3], true));
        log.write(&[entry(4, 9)]).expect("written");
        let recovered = open(&disk).1;
        assert_eq!((indexes(&recovered), recovered.torn_bytes), (vec![1, 2, 3, 4], 0));
    }
}

#[test]
fn damage_says_where_it_is_and_what_to_do() {
    let disk = FaultDisk::new();
    drop(small(&disk));
    let second = HEADER_BYTES + FRAME_BYTES;
    disk.flip_bit(CONTROL_LOG, second + FRAME_BYTES + 6, 0);
    let damage = try_open(&disk).expect_err("damaged");
    match &damage {
        ControlLogError::Damaged { offset, fault } => {
            assert_eq!((*offset, *fault), (second, ControlFault::Batch { missing: 2, found: 3 }));
        }
        other => panic!("{other:?}"),
    }
    let said = damage.to_string();
    assert!(said.contains("control.log is damaged at byte 65: batch 2 is damaged"), "{said}");
    assert!(said.contains("join anew, under the new identity"), "{said}");
}

#[test]
fn a_file_without_a_whole_first_batch_is_damaged() {
    let disk = FaultDisk::new();
    drop(open(&disk));
    let bytes = contents(&disk);
    for len in 0..(HEADER_BYTES + FRAME_BYTES) as usize {
        match try_open(&disk_with(&bytes[..len])) {
            Err(ControlLogError::Damaged { fault, .. }) => {
                let in_header = len < HEADER_BYTES as usize;
                let expected =
                    if in_header { ControlFault::Header } else { ControlFault::FirstBatch };
                assert_eq!(fault, expected, "{len} bytes");
            }
            other => panic!("{len} bytes: {other:?}"),
        }
    }
    open(&disk_with(&bytes[..(HEADER_BYTES + FRAME_BYTES) as usize]));
}

#[test]
fn the_file_of_another_node_is_refused() {
    let disk = FaultDisk::new();
    drop(small(&disk));
    match ControlLog::open(&disk, NodeId(2), options()) {
        Err(ControlLogError::Foreign { found, expected }) => {
            assert_eq!((found, expected), (NODE, NodeId(2)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_frames_of_another_file_are_not_taken_for_damage() {
    let disk = FaultDisk::new();
    drop(small(&disk));
    let other = FaultDisk::new();
    let mut log = ControlLog::open(&other, NodeId(2), options()).expect("opened").0;
    log.write(&[entry(1, 100)]).expect("written");
    log.write(&[entry(2, 100)]).expect("written");
    let used = log.used_bytes() as usize;
    let theirs = other.contents(CONTROL_LOG).expect("there")[HEADER_BYTES as usize..used].to_vec();
    let ours = contents(&disk);
    let end = open(&disk).0.used_bytes() as usize;
    let (_, recovered) = open(&disk_with(&[&ours[..end], &theirs].concat()));
    assert_eq!((indexes(&recovered), recovered.torn_bytes > 0), (vec![1, 2, 3], true));
}

#[test]
fn a_failed_write_changes_nothing_and_can_be_repeated() {
    for short_write_every in [None, Some(1)] {
        for nth in 1..=3 {
            let disk = FaultDisk::new();
            let mut log = small(&disk);
            let fail_write = Some(disk.writes_done() + nth);
            disk.plan(FaultPlan { fail_write, short_write_every, ..FaultPlan::default() });
            let first = log.write(&[hard(b"term 9"), entry(4, 100)]);
            disk.plan(FaultPlan::default());
            match first {
                // The second or third write was the mark's, which may fail.
                Ok(()) => assert!(nth > 1 && short_write_every.is_none()),
                Err(ControlLogError::Io { .. }) => {
                    let recovered = open(&disk).1;
                    assert_eq!(indexes(&recovered), [1, 2, 3]);
                    assert_eq!(recovered.torn_bytes, 0, "the tail was cut at once");
                    log.write(&[hard(b"term 9"), entry(4, 100)]).expect("repeated");
                }
                Err(other) => panic!("{other}"),
            }
            assert_eq!(indexes(&open(&disk).1), [1, 2, 3, 4]);
        }
    }
}

#[test]
fn on_a_full_disk_a_batch_is_refused_until_there_is_space() {
    let disk = FaultDisk::new();
    let mut log = small(&disk);
    for free in [0, 1, 200] {
        let capacity_bytes = Some(disk.used_bytes() + free);
        disk.plan(FaultPlan { capacity_bytes, ..FaultPlan::default() });
        let full = log.write(&[entry(4, 1500)]);
        assert!(matches!(full, Err(ControlLogError::NoSpace)), "{full:?}");
        assert_eq!(indexes(&open(&disk).1), [1, 2, 3]);
    }
    log.write(&[hard(b"small")]).expect("what is allocated can be used");
    disk.plan(FaultPlan::default());
    log.write(&[entry(4, 1500)]).expect("there is space again");
    let recovered = open(&disk).1;
    assert_eq!(indexes(&recovered), [1, 2, 3, 4]);
    assert_eq!(recovered.hard.as_deref(), Some(&b"small"[..]));
}

#[test]
fn a_failed_sync_is_final() {
    let disk = FaultDisk::new();
    let mut log = small(&disk);
    disk.plan(FaultPlan { fail_sync: Some(disk.syncs_done() + 1), ..FaultPlan::default() });
    let failed = log.write(&[entry(4, 10)]).expect_err("the sync fails");
    assert!(matches!(failed, ControlLogError::SyncFailed { .. }) && failed.is_final());
    disk.plan(FaultPlan::default());
    for _ in 0..2 {
        let refused = log.write(&[entry(4, 10)]);
        assert!(matches!(refused, Err(ControlLogError::Stopped)), "{refused:?}");
    }
    let recovered = open(&disk).1;
    disk.crash(1);
    assert_eq!(open(&disk).1.entries, recovered.entries, "what open returns is durable");
}

#[test]
fn a_failed_sync_while_opening_is_reported() {
    let disk = FaultDisk::new();
    drop(small(&disk));
    disk.plan(FaultPlan { fail_sync: Some(disk.syncs_done() + 1), ..FaultPlan::default() });
    assert!(matches!(try_open(&disk), Err(ControlLogError::SyncFailed { .. })));
    assert_eq!(indexes(&open(&disk).1), [1, 2, 3]);
}

/// Compacts until the file was rewritten; returns the index of the last entry.
fn fill_until_rewritten<D: Disk>(log: &mut ControlLog<D>, mut last: u64) -> u64 {
    for _ in 0..100 {
        let before = log.used_bytes();
        last += 1;
        log.write(&[entry(last, 100), snapshot(last, last)]).expect("written");
        if log.used_bytes() < before {
            return last;
        }
    }
    panic!("the file is never rewritten");
}

#[test]
fn a_long_file_with_little_in_it_is_rewritten() {
    let disk = FaultDisk::new();
    let mut log = small(&disk);
    let last = fill_until_rewritten(&mut log, 3);
    assert!(last > 10, "a short file is left alone");
    assert!(log.used_bytes() < 600, "{} bytes", log.used_bytes());
    let recovered = open(&disk).1;
    assert_eq!(recovered.hard.as_deref(), Some(&b"term 1, vote 7"[..]));
    assert_eq!(recovered.snapshot, Some((last, last.to_le_bytes().to_vec())));
    assert_eq!(indexes(&recovered), [last]);
    assert_eq!(disk.list().expect("listed"), [CONTROL_LOG]);
    fill_until_rewritten(&mut log, last);
}

#[test]
fn a_long_file_with_much_in_it_is_left_alone() {
    let disk = FaultDisk::new();
    let mut log = small(&disk);
    let mut before = 0;
    for index in 4..100 {
        log.write(&[entry(index, 100)]).expect("written");
        assert!(log.used_bytes() > before);
        before = log.used_bytes();
    }
}

/// A store whose next batch rewrites the file, and the index of its last entry.
fn due(disk: &FaultDisk) -> (ControlLog<FaultDisk>, u64) {
    let mut log = small(disk);
    let mut last = 3;
    while log.used_bytes() <= 2048 {
        last += 1;
        log.write(&[entry(last, 100), snapshot(last, last)]).expect("written");
    }
    (log, last)
}

#[test]
fn a_rewrite_that_finds_no_space_is_put_off() {
    let disk = FaultDisk::new();
    let (mut log, last) = due(&disk);
    let before = log.used_bytes();
    disk.plan(FaultPlan { capacity_bytes: Some(disk.used_bytes() + 10), ..FaultPlan::default() });
    log.write(&[hard(b"still")]).expect("the old file has room");
    assert!(log.used_bytes() > before);
    assert_eq!(disk.list().expect("listed"), [CONTROL_LOG], "no half file stays");
    disk.plan(FaultPlan::default());
    fill_until_rewritten(&mut log, last);
    assert_eq!(open(&disk).1.hard.as_deref(), Some(&b"still"[..]));
}

#[test]
fn a_rewrite_whose_sync_fails_is_final_and_loses_nothing() {
    for nth in 1..=2 {
        let disk = FaultDisk::new();
        let (mut log, last) = due(&disk);
        let fail_sync = Some(disk.syncs_done() + nth);
        disk.plan(FaultPlan { fail_sync, ..FaultPlan::default() });
        let failed = log.write(&[entry(last + 1, 1)]);
        assert!(matches!(failed, Err(ControlLogError::SyncFailed { .. })), "{failed:?}");
        let refused = log.write(&[entry(last + 1, 1)]);
        assert!(matches!(refused, Err(ControlLogError::Stopped)), "{refused:?}");
        disk.crash(nth);
        assert_eq!(indexes(&open(&disk).1), [last]);
    }
}

#[test]
fn a_rewrite_that_is_interrupted_at_any_step_keeps_everything() {
    for changes in 0..12 {
        for seed in 0..16 {
            let disk = FaultDisk::new();
            let (mut log, last) = due(&disk);
            let before = open(&disk).1;
            let power_off_after = Some(disk.changes_done() + changes);
            disk.plan(FaultPlan { power_off_after, ..FaultPlan::default() });
            let written = log.write(&[entry(last + 1, 40)]).is_ok();
            disk.crash(seed);
            let (mut log, after) = open(&disk);
            assert_eq!((&after.hard, &after.snapshot), (&before.hard, &before.snapshot));
            let kept = indexes(&after);
            let whole = kept == [last, last + 1];
            assert!(whole || (kept == [last] && !written), "after {changes} changes: {kept:?}");
            assert_eq!(disk.list().expect("listed"), [CONTROL_LOG], "no half file stays");
            log.write(&[snapshot(last, u64::MAX)]).expect("written");
        }
    }
}

#[test]
fn a_creation_that_is_interrupted_begins_anew() {
    for changes in 0..8 {
        for seed in 0..8 {
            let disk = FaultDisk::new();
            let power_off_after = Some(changes);
            disk.plan(FaultPlan { power_off_after, ..FaultPlan::default() });
            let opened = try_open(&disk).is_ok();
            disk.crash(seed);
            let (mut log, recovered) = open(&disk);
            assert!(!(opened && recovered.created), "a store that was open is still there");
            log.write(&[hard(b"vote")]).expect("written");
            assert_eq!(open(&disk).1.hard.as_deref(), Some(&b"vote"[..]));
        }
    }
}

#[test]
fn a_half_file_of_an_interrupted_creation_never_gets_the_name() {
    for (first, second) in (0..6).flat_map(|first| (0..8).map(move |second| (first, second))) {
        for seed in 0..24 {
            let disk = FaultDisk::new();
            for changes in [first, second] {
                let power_off_after = Some(disk.changes_done() + changes);
                disk.plan(FaultPlan { power_off_after, ..FaultPlan::default() });
                let _ = try_open(&disk);
                disk.crash(seed);
            }
            open(&disk);
        }
    }
}

#[test]
fn a_half_file_of_a_failed_rewrite_never_gets_the_name() {
    for (changes, seed) in (0..12).flat_map(|changes| (0..24).map(move |seed| (changes, seed))) {
        let disk = FaultDisk::new();
        let (mut log, mut last) = due(&disk);
        disk.plan(FaultPlan { capacity_bytes: Some(0), ..FaultPlan::default() });
        let failed_at = log.used_bytes();
        log.write(&[hard(b"vote")]).expect("the old file has room");
        disk.plan(FaultPlan::default());
        while log.used_bytes() <= failed_at + 2048 {
            last += 1;
            log.write(&[entry(last, 100), snapshot(last, last)]).expect("written");
        }
        let power_off_after = Some(disk.changes_done() + changes);
        disk.plan(FaultPlan { power_off_after, ..FaultPlan::default() });
        let _ = log.write(&[entry(last + 1, 100)]);
        disk.crash(seed);
        assert_eq!(open(&disk).1.hard.as_deref(), Some(&b"vote"[..]));
    }
}

#[test]
fn a_real_directory_keeps_a_store() {
    let dir = tempfile::tempdir().expect("created");
    let disk = FsDisk::open(dir.path()).expect("opened");
    let (mut log, recovered) = ControlLog::open(&disk, NODE, options()).expect("opened");
    assert!(recovered.created);
    let last = fill_until_rewritten(&mut log, 0);
    log.write(&[hard(b"vote"), entry(last + 1, 3000)]).expect("written");
    drop(log);
    let (mut log, recovered) = ControlLog::open(&disk, NODE, options()).expect("opened again");
    assert_eq!(recovered.hard.as_deref(), Some(&b"vote"[..]));
    assert_eq!((indexes(&recovered), recovered.torn_bytes), (vec![last, last + 1], 0));
    log.write(&[ControlRecord::Reset]).expect("written");
}
