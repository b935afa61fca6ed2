//! Single faults, one after another: what the log says and what it keeps.

mod fixture;

use fixture::{
    SEGMENT_BYTES, append, append_to, files, identity, open, options, recover_all, reopen,
    segments, stream,
};
use trefoil_clock::{Epoch, Lsn, NodeId, Origin, ShardId};
use trefoil_log::{
    Disk, DiskFile, EpochCause, EpochEntry, Fault, FaultDisk, FaultPlan, Identity, Note, Positions,
    Prepared, RecoverError, SEGMENT_HEADER_BYTES, ScanError, Stream, Verdict, WriteError, Writer,
    recover, repair, used_epoch, verify, write_all_at,
};

/// Three synced frames of ten records in one segment; the last one's mark says that the second was synced.
fn three_synced_frames(disk: &FaultDisk) -> Writer<FaultDisk> {
    let mut writer = reopen(disk);
    for _ in 0..3 {
        append(&mut writer, 10, 20).expect("appended");
        writer.sync().expect("synced");
    }
    writer
}

fn damage_of(disk: &FaultDisk) -> Box<trefoil_log::Damage> {
    match recover(disk, identity(), &Positions::new(), |_| Ok(())) {
        Err(RecoverError::Damaged(damage)) => damage,
        other => panic!("damage was expected, not {other:?}"),
    }
}

#[test]
fn damage_to_synced_frames_is_refused_and_names_what_is_lost() {
    let disk = FaultDisk::new();
    drop(three_synced_frames(&disk));
    let name = &segments(&disk)[0];
    disk.flip_bit(name, SEGMENT_HEADER_BYTES as u64 + 100, 3);
    let before = disk.contents(name);
    let damage = damage_of(&disk);
    assert_eq!(damage.fault, Fault::Checksum);
    assert_eq!(damage.offset, SEGMENT_HEADER_BYTES as u64);
    assert_eq!((damage.lost[0].from, damage.lost[0].to), (Lsn(1), Lsn(30)));
    assert!(damage.to_string().contains("trefoil log repair --data-dir"), "{damage}");
    assert_eq!(disk.contents(name), before, "nothing was changed");
}

#[test]
fn every_flipped_bit_in_synced_frames_is_noticed() {
    let disk = FaultDisk::new();
    drop(three_synced_frames(&disk));
    let name = &segments(&disk)[0];
    let tally = verify(&disk, Some(identity())).expect("readable").tally;
    // The last frame has no witness; every byte before it has.
    let last_frame = tally.segments[0].bytes - tally.bytes / 3;
    for byte in 0..last_frame {
        let bit = (byte % 8) as u8;
        disk.flip_bit(name, byte, bit);
        match recover(&disk, identity(), &Positions::new(), |_| Ok(())) {
            Err(RecoverError::Damaged(_)) => {}
            other => panic!("byte {byte}: {other:?}"),
        }
        disk.flip_bit(name, byte, bit);
    }
    assert_eq!(recover_all(&disk).0.len(), 30);
}

#[test]
fn repair_keeps_the_good_part_and_archives_the_rest() {
    let disk = FaultDisk::new();
    let mut writer = three_synced_frames(&disk);
    for _ in 0..20 {
        append(&mut writer, 10, 60).expect("appended");
        writer.sync().expect("synced");
    }
    drop(writer);
    let names = segments(&disk);
    assert!(names.len() > 2, "the damage is to have segments behind it");
    let second_frame = SEGMENT_HEADER_BYTES as u64
        + verify(&disk, Some(identity())).expect("readable").tally.bytes / 40;
    disk.flip_bit(&names[0], second_frame + 200, 0);
    let damage = damage_of(&disk);
    let cut_off = disk.contents(&names[0]).expect("there")[damage.offset as usize..].to_vec();
    let later = disk.contents(&names[1]);
    let report = repair(&disk, Some(identity())).expect("repaired");
    assert!(matches!(report.verdict, Verdict::Damaged(_)));
    assert_eq!(report.archives.len(), names.len());
    assert_eq!(disk.contents(&report.archives[0]), Some(cut_off), "the tail is kept");
    assert_eq!(
        disk.contents(report.archives.last().expect("some")),
        later,
        "later segments are kept"
    );
    let (records, recovered) = recover_all(&disk);
    assert_eq!(recovered.end.last_seq, damage.last_good);
    assert_eq!(records.len() as u64, recovered.end.positions.get(stream()).0);
    assert_eq!(repair(&disk, Some(identity())).expect("readable").verdict, Verdict::End);
    append(&mut open(&disk, recovered), 1, 1).expect("writing goes on");
}

#[test]
fn a_repair_remembers_the_epochs_that_it_cuts_off() {
    let disk = FaultDisk::new();
    let mut writer = three_synced_frames(&disk);
    let entry = EpochEntry { epoch: Epoch(6), leader: NodeId(1), first_lsn: Lsn(31) };
    let note = Note::EpochStart { shard: ShardId(0), entry, cause: EpochCause::Grant };
    writer.append_note(&note).expect("appended");
    writer.sync().expect("synced");
    drop(writer);
    disk.flip_bit(&segments(&disk)[0], SEGMENT_HEADER_BYTES as u64 + 400, 0);
    repair(&disk, Some(identity())).expect("repaired");
    assert!(recover_all(&disk).1.highest_epoch < Epoch(6));
    assert_eq!(used_epoch(&disk).expect("a listing"), Epoch(6));
}

#[test]
fn a_repair_that_is_cut_short_loses_nothing() {
    for changes in 0..12 {
        let disk = FaultDisk::new();
        let mut writer = three_synced_frames(&disk);
        for _ in 0..8 {
            append(&mut writer, 10, 60).expect("appended");
            writer.sync().expect("synced");
        }
        drop(writer);
        let name = segments(&disk)[0].clone();
        disk.flip_bit(&name, SEGMENT_HEADER_BYTES as u64 + 400, 0);
        let offset = damage_of(&disk).offset as usize;
        let cut_off = disk.contents(&name).expect("there")[offset..].to_vec();
        let power_off_after = Some(disk.changes_done() + changes);
        disk.plan(FaultPlan { power_off_after, ..FaultPlan::default() });
        let _ = repair(&disk, Some(identity()));
        disk.crash(changes);
        repair(&disk, Some(identity())).expect("repaired");
        let archives = files(&disk, ".cut");
        assert!(archives.iter().any(|name| disk.contents(name).as_ref() == Some(&cut_off)));
        recover_all(&disk);
    }
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let disk = FaultDisk::new();
    let mut writer = three_synced_frames(&disk);
    append(&mut writer, 5, 100).expect("appended");
    writer.write().expect("written");
    drop(writer);
    let name = &segments(&disk)[0];
    let end = verify(&disk, Some(identity())).expect("readable").tally.segments[0].bytes;
    disk.flip_bit(name, end - 1, 7);
    let (records, recovered) = recover_all(&disk);
    let torn = recovered.torn.clone().expect("a torn tail");
    assert_eq!((records.len(), torn.frames_cut), (30, 0));
    assert_eq!(torn.offset + torn.bytes_cut, end);
    assert!(!recovered.clean_stop);
    assert_eq!(disk.contents(name).expect("there").len() as u64, torn.offset);
    assert_eq!(recover_all(&disk).1.torn, None, "cut once and for all");
}

#[test]
fn a_full_disk_refuses_frames_and_takes_them_later() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    append(&mut writer, 1, 10).expect("appended");
    let capacity_bytes = Some(SEGMENT_BYTES + 100);
    disk.plan(FaultPlan { capacity_bytes, ..FaultPlan::default() });
    let mut refused = 0;
    for _ in 0..100 {
        match append(&mut writer, 3, 100) {
            Ok(()) => assert_eq!(refused, 0, "there is no room for it"),
            Err(WriteError::NoSpace { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 80);
    assert!(matches!(writer.prepare(), Err(WriteError::NoSpace { .. })));
    writer.sync().expect("what was accepted can be synced");
    let accepted = writer.appended(stream());
    disk.plan(FaultPlan::default());
    while writer.prepare().expect("prepared") == Prepared::More {}
    append(&mut writer, 3, 100).expect("there is room again");
    writer.sync().expect("synced");
    let (records, _) = recover_all(&disk);
    assert_eq!(records.len() as u64, accepted.0 + 3);
}

#[test]
fn short_and_failing_writes_leave_no_gap() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    for round in 0..50 {
        let fail_write = Some(disk.writes_done() + 1 + round % 3);
        disk.plan(FaultPlan { short_write_every: Some(2), fail_write, ..FaultPlan::default() });
        while append(&mut writer, 3, 50).is_err() {}
        while writer.write().is_err() {}
    }
    writer.sync().expect("synced");
    disk.crash(1);
    assert_eq!(recover_all(&disk).0.len(), 150);
}

#[test]
fn large_frames_are_written_from_where_they_lie_and_survive_failures() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    append(&mut writer, 1, 10).expect("appended");
    for round in 0..3 {
        let fail_write = Some(disk.writes_done() + 2 + round);
        disk.plan(FaultPlan { short_write_every: Some(3), fail_write, ..FaultPlan::default() });
        while append(&mut writer, 1, 700_000).is_err() {}
        append(&mut writer, 1, 10).expect("appended");
    }
    writer.sync().expect("synced");
    disk.crash(1);
    let (records, _) = recover_all(&disk);
    let sizes: Vec<usize> = records.iter().map(|(_, effects)| effects.len()).collect();
    assert_eq!(sizes, [10, 700_000, 10, 700_000, 10, 700_000, 10]);
}

#[test]
fn a_failed_sync_is_final() {
    let disk = FaultDisk::new();
    let mut writer = three_synced_frames(&disk);
    append(&mut writer, 1, 10).expect("appended");
    let fail_sync = Some(disk.syncs_done() + 1);
    disk.plan(FaultPlan { fail_sync, ..FaultPlan::default() });
    assert!(matches!(writer.sync(), Err(WriteError::SyncFailed { .. })));
    assert_eq!(writer.durable(stream()), Lsn(30));
    assert!(matches!(writer.sync(), Err(WriteError::Stopped)));
    assert!(matches!(append(&mut writer, 1, 1), Err(WriteError::Stopped)));
    assert!(matches!(writer.retain(&Positions::new()), Err(WriteError::Stopped)));
}

#[test]
fn old_frames_of_recycled_segments_never_come_back() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    let mut recycled = 0;
    for _ in 0..63 {
        append(&mut writer, 5, 100).expect("appended");
        writer.sync().expect("synced");
        let needed_after = [(stream(), writer.durable(stream()))].into_iter().collect();
        recycled += writer.retain(&needed_after).expect("retained").recycled;
    }
    assert!(recycled > 3, "segments were reused");
    let durable = writer.durable(stream());
    drop(writer);
    let current = segments(&disk).pop().expect("one is there");
    let used = verify(&disk, Some(identity()))
        .expect("readable")
        .tally
        .segments
        .last()
        .expect("one")
        .bytes as usize;
    let bytes = disk.contents(&current).expect("there");
    assert!(bytes[used..].iter().any(|byte| *byte != 0), "old frames lie behind the end");
    let from = [(stream(), Lsn(durable.0 - 1))].into_iter().collect();
    let recovered = recover(&disk, identity(), &from, |_| Ok(())).expect("recovered");
    assert_eq!(recovered.end.positions.get(stream()), durable);
    assert_eq!(recovered.torn, None);
}

#[test]
fn segments_go_only_when_no_stream_needs_them() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    let quiet = Stream { shard: ShardId(7), origin: Origin(3) };
    append_to(&mut writer, quiet, 1, 10).expect("appended");
    for _ in 0..20 {
        append(&mut writer, 5, 100).expect("appended");
    }
    writer.sync().expect("synced");
    let mut needed_after: Positions = [(stream(), writer.durable(stream()))].into_iter().collect();
    assert_eq!(writer.retain(&needed_after).expect("retained"), Default::default());
    needed_after.set(quiet, Lsn(1));
    let retained = writer.retain(&needed_after).expect("retained");
    assert_eq!(retained.recycled, 2);
    assert!(retained.removed > 0);
    assert_eq!(writer.segments().count(), 1);
}

#[test]
fn records_that_the_snapshot_does_not_cover_are_missed() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    for _ in 0..20 {
        append(&mut writer, 5, 100).expect("appended");
    }
    writer.sync().expect("synced");
    writer.retain(&[(stream(), Lsn(60))].into_iter().collect()).expect("retained");
    drop(writer);
    for (from, fits) in [(0, false), (10, false), (60, true), (100, true), (101, false)] {
        let from = [(stream(), Lsn(from))].into_iter().collect();
        let recovered = recover(&disk, identity(), &from, |_| Ok(()));
        match recovered {
            Ok(_) => assert!(fits),
            Err(RecoverError::Scan(ScanError::Missing { .. })) => assert!(!fits),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_log_of_notes_alone_tells_which_records_are_missed() {
    let shard = stream().shard;
    for clean in [true, false] {
        let disk = FaultDisk::new();
        let mut writer = three_synced_frames(&disk);
        if clean {
            writer.clean_stop().expect("stopped");
        }
        drop(writer);
        let mut writer = open(&disk, recover_all(&disk).1);
        if !clean {
            let entry = EpochEntry { epoch: Epoch(2), leader: NodeId(7), first_lsn: Lsn(31) };
            let start = Note::EpochStart { shard, entry, cause: EpochCause::DirtyRestart };
            writer.append_note(&start).expect("appended");
            writer.write().expect("written");
        } else {
            writer.clean_stop().expect("stopped");
        }
        drop(writer);
        let names = segments(&disk);
        assert_eq!(names.len(), 2);
        disk.remove(&names[0]).expect("removed");
        for (from, fits) in [(0, false), (29, false), (30, true)] {
            let from = [(stream(), Lsn(from))].into_iter().collect();
            let recovered = recover(&disk, identity(), &from, |_| Ok(()));
            let missing = matches!(recovered, Err(RecoverError::Scan(ScanError::Missing { .. })));
            assert!(missing != fits && recovered.is_ok() == fits, "{clean} {from:?}");
        }
    }
}

#[test]
fn another_nodes_log_and_newer_formats_are_refused() {
    let disk = FaultDisk::new();
    drop(three_synced_frames(&disk));
    let mut stranger = identity();
    stranger.node.0 += 1;
    let refused = recover(&disk, stranger, &Positions::new(), |_| Ok(()));
    assert!(matches!(refused, Err(RecoverError::Scan(ScanError::Foreign { .. }))));
    let name = &segments(&disk)[0];
    let mut header = disk.contents(name).expect("there")[..SEGMENT_HEADER_BYTES].to_vec();
    header[8] = 2;
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &header[..68]) as u32;
    header[68..].copy_from_slice(&crc.to_le_bytes());
    write_all_at(&disk.open(name).expect("opened"), &header, 0).expect("written");
    let refused = recover(&disk, identity(), &Positions::new(), |_| Ok(()));
    assert!(matches!(refused, Err(RecoverError::Scan(ScanError::Version { version: 2, .. }))));
    assert!(repair(&disk, Some(identity())).is_err(), "a newer format is not damage");
}

#[test]
fn only_a_clean_stop_at_the_very_end_counts() {
    let disk = FaultDisk::new();
    let mut writer = three_synced_frames(&disk);
    writer.clean_stop().expect("stopped");
    assert!(matches!(append(&mut writer, 1, 1), Err(WriteError::Stopped)));
    assert!(recover_all(&disk).1.clean_stop);
    let (_, recovered) = recover_all(&disk);
    assert!(recovered.clean_stop, "recovering twice changes nothing");
    let mut writer = open(&disk, recovered);
    append(&mut writer, 1, 1).expect("appended");
    writer.sync().expect("synced");
    assert!(!recover_all(&disk).1.clean_stop);
}

#[test]
fn epochs_and_truncations_are_replayed() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    let shard = stream().shard;
    let start = |epoch, first_lsn, cause| Note::EpochStart {
        shard,
        entry: EpochEntry { epoch: Epoch(epoch), leader: NodeId(7), first_lsn: Lsn(first_lsn) },
        cause,
    };
    writer.append_note(&start(1, 1, EpochCause::FirstStart)).expect("appended");
    append(&mut writer, 10, 5).expect("appended");
    writer.append_note(&start(2, 11, EpochCause::DirtyRestart)).expect("appended");
    append(&mut writer, 10, 5).expect("appended");
    writer.append_note(&Note::Truncate { shard, lsn: Lsn(8) }).expect("appended");
    writer.append_note(&start(3, 9, EpochCause::Grant)).expect("appended");
    append(&mut writer, 2, 5).expect("appended");
    writer.sync().expect("synced");
    assert_eq!(writer.durable(stream()), Lsn(10));
    let (_, recovered) = recover_all(&disk);
    assert_eq!(recovered.end.positions.get(stream()), Lsn(10));
    let epochs: Vec<_> =
        recovered.epochs[&shard].iter().map(|e| (e.epoch.0, e.first_lsn.0)).collect();
    assert_eq!(epochs, [(1, 1), (3, 9)]);
}

#[test]
fn a_sync_on_the_side_covers_what_was_written_before_it_began() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    append(&mut writer, 10, 100).expect("appended");
    let ticket = writer.start_sync().expect("begun");
    for _ in 0..10 {
        append(&mut writer, 10, 100).expect("appended");
    }
    writer.write().expect("written");
    writer.finish_sync(ticket.run()).expect("synced");
    assert_eq!(writer.durable(stream()), Lsn(10));
    writer.sync().expect("synced");
    assert_eq!(writer.durable(stream()), Lsn(110));
    disk.crash(3);
    assert_eq!(recover_all(&disk).0.len(), 110);
}

#[test]
fn a_segment_whose_renaming_was_interrupted_is_no_segment() {
    let disk = FaultDisk::new();
    drop(three_synced_frames(&disk));
    // The name is there, the header never was.
    let next = "wal-00000000000000000004.log";
    let file = disk.create(next).expect("created");
    file.preallocate(options().segment_bytes).expect("allocated");
    let (records, recovered) = recover_all(&disk);
    assert_eq!((records.len(), recovered.torn), (30, None));
    assert!(!segments(&disk).contains(&next.to_owned()));
    // Half a header was.
    let file = disk.create(next).expect("created");
    write_all_at(&file, b"TREFOILW\x01\0\0\0", 0).expect("written");
    assert_eq!(recover_all(&disk).0.len(), 30);
}

#[test]
fn a_missing_segment_is_damage() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    for _ in 0..30 {
        append(&mut writer, 5, 100).expect("appended");
        writer.sync().expect("synced");
    }
    drop(writer);
    let names = segments(&disk);
    disk.remove(&names[1]).expect("removed");
    assert_eq!(damage_of(&disk).file, names[0]);
}

/// A frame as that node writes it: the third of its first segment, which says that the second is synced.
fn third_frame(of: Identity) -> Vec<u8> {
    let disk = FaultDisk::new();
    let end = recover(&disk, of, &Positions::new(), |_| Ok(())).expect("empty").end;
    let mut writer = Writer::open(disk.clone(), of, end, options()).expect("opened");
    let mut ends = Vec::new();
    for _ in 0..3 {
        append(&mut writer, 1, 10).expect("appended");
        writer.sync().expect("synced");
        ends.push(writer.written_end(stream()).bytes as usize);
    }
    disk.contents(&segments(&disk)[0]).expect("there")[ends[1]..ends[2]].to_vec()
}

#[test]
fn a_value_that_holds_another_nodes_frame_does_not_speak_for_the_log() {
    let stranger = Identity { node: NodeId(9), ..identity() };
    for (of, is_believed) in [(identity(), true), (stranger, false)] {
        let disk = FaultDisk::new();
        let mut writer = reopen(&disk);
        append(&mut writer, 1, 10).expect("appended");
        writer.sync().expect("synced");
        let start = writer.written_end(stream()).bytes;
        let mut run =
            trefoil_log::RunBuilder::new(stream(), Epoch(1), Lsn(2), trefoil_clock::Hlc(20));
        run.push(trefoil_clock::Hlc(20), &third_frame(of));
        writer.append_runs(&[run.run()]).expect("appended");
        writer.write().expect("written");
        drop(writer);
        // The frame with the value is torn.
        disk.flip_bit(&segments(&disk)[0], start, 0);
        match recover(&disk, identity(), &Positions::new(), |_| Ok(())) {
            Err(RecoverError::Damaged(_)) => assert!(is_believed),
            Ok(recovered) => assert!(!is_believed && recovered.torn.is_some()),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_decayed_header_is_noticed_by_who_does_not_know_the_node() {
    let disk = FaultDisk::new();
    drop(three_synced_frames(&disk));
    disk.flip_bit(&segments(&disk)[0], 20, 3);
    let Verdict::Damaged(damage) = verify(&disk, None).expect("readable").verdict else {
        panic!("a good frame stands behind the header");
    };
    assert_eq!((damage.fault, damage.frames_behind), (Fault::SegmentHeader, 3));
    assert_eq!(damage_of(&disk).frames_behind, 3, "by who knows it as well");
}
