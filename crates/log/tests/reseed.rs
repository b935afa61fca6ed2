//! A node's data is replaced by a snapshot of another node: wholly or not at all, whenever the power fails.

mod fixture;

use std::io;

use fixture::{append, files, identity, recover_all, reopen, segments};
use trefoil_clock::{Epoch, Hlc, Lsn, NodeId, ShardId};
use trefoil_log::{
    ClusterId, Disk, DiskFile, EpochEntry, FaultDisk, FaultPlan, Identity, OldData, PieceHead,
    Replacement, Reseed, ReseedError, SnapshotEnd, SnapshotError, SnapshotHeader, SnapshotReader,
    SnapshotWriter, forget_seeds, import_snapshot, list_aside, list_snapshots, newest_valid,
    remove_aside, resume_if_interrupted, seeded_until, used_epoch, write_all_at,
};

const SHARD: ShardId = ShardId(0);
const PART: &str = "incoming.part";

/// Who the node is as a follower.
fn adopted() -> Identity {
    Identity { cluster: ClusterId(0x3333), ..identity() }
}

fn leader() -> Identity {
    Identity { node: NodeId(0x4444), cluster: ClusterId(0x3333) }
}

fn write_snapshot(disk: &FaultDisk, identity: Identity, start: u64, end: u64) -> String {
    let entry = |i: u64| EpochEntry { epoch: Epoch(i), leader: NodeId(7), first_lsn: Lsn(i) };
    let header = SnapshotHeader {
        identity,
        shard: SHARD,
        start_lsn: Lsn(start),
        start_hlc: Hlc(start),
        // More than a sector, so that the header can be torn.
        epochs: (1..40).map(entry).collect(),
    };
    let mut writer = SnapshotWriter::create(disk.clone(), &header).expect("created");
    for i in 0..20u8 {
        let lsn = Lsn(start + u64::from(i) % (end - start + 1));
        let head = PieceHead { table: 0, lo: 0, hi: 1, lsn, records: 1, raw_len: 100 };
        writer.piece(&head, &[i; 100]).expect("written");
    }
    writer.finish(SnapshotEnd { lsn: Lsn(end), hlc: Hlc(end) }).expect("finished")
}

/// A node with a log and a snapshot, which has received the leader's snapshot of records 1000 to 1010.
fn node() -> FaultDisk {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    for _ in 0..20 {
        append(&mut writer, 5, 100).expect("appended");
    }
    writer.prepare().expect("room");
    writer.sync().expect("synced");
    write_snapshot(&disk, identity(), 40, 50);
    let sender = FaultDisk::new();
    let name = write_snapshot(&sender, leader(), 1000, 1010);
    let bytes = sender.contents(&name).expect("there");
    let part = disk.create(PART).expect("created");
    write_all_at(&part, &bytes, 0).expect("written");
    part.sync_data().expect("synced");
    disk.sync_dir().expect("synced");
    disk
}

fn replacement(old: OldData) -> Replacement {
    Replacement { part: Some(PART.into()), identity: adopted(), used_epoch: Epoch(6), old }
}

/// Keeps the identity in a file, as a node does.
fn adopt(disk: &FaultDisk, identity: Identity) -> io::Result<()> {
    if disk.list()?.iter().any(|name| name == "adopted") {
        disk.remove("adopted")?;
    }
    let file = disk.create("adopted")?;
    let bytes = identity.cluster.0.to_le_bytes();
    write_all_at(&file, &bytes, 0).map_err(|partial| partial.source)?;
    file.sync_data()?;
    disk.sync_dir()
}

fn replace(disk: &FaultDisk, with: &Replacement) -> Result<(), ReseedError> {
    Reseed::begin(disk, with)?.finish(|identity| adopt(disk, identity))?;
    Ok(())
}

fn resume(disk: &FaultDisk) -> Result<bool, ReseedError> {
    Ok(resume_if_interrupted(disk, |identity| adopt(disk, identity))?.is_some())
}

fn is_old(disk: &FaultDisk) -> bool {
    let snapshots = list_snapshots(disk).expect("a listing");
    if snapshots.iter().any(|one| one.end_lsn != Lsn(50)) || segments(disk).is_empty() {
        return false;
    }
    let (records, _) = recover_all(disk);
    assert_eq!((records.len(), snapshots.len()), (100, 1), "nothing of the old state is missing");
    assert_eq!(disk.contents("adopted"), None);
    assert_eq!(seeded_until(disk).expect("a listing"), None);
    true
}

fn check_new(disk: &FaultDisk, old: OldData) {
    assert_eq!(segments(disk), [""; 0]);
    let (reader, rejected) = newest_valid(disk, adopted(), SHARD, Lsn(u64::MAX)).expect("readable");
    let reader = reader.expect("the snapshot is there");
    reader.verify().expect("whole");
    assert!(rejected.is_empty());
    assert_eq!((reader.header().start_lsn, reader.header().epochs.len()), (Lsn(1000), 39));
    assert_eq!(list_snapshots(disk).expect("a listing").len(), 1);
    assert_eq!(seeded_until(disk).expect("a listing"), Some(Lsn(1010)));
    assert_eq!(used_epoch(disk).expect("a listing"), Epoch(6));
    assert_eq!(disk.contents("adopted"), Some(0x3333u128.to_le_bytes().to_vec()));
    for leftover in [files(disk, ".part"), files(disk, "reseed")] {
        assert_eq!(leftover, [""; 0]);
    }
    let aside = list_aside(disk).expect("a listing");
    assert_eq!(aside.len(), usize::from(old == OldData::Aside));
    for aside in aside {
        // What was put aside is the old state, once it has its names again.
        for name in &aside.names {
            disk.rename(name, &name["aside-".len() + 21..]).expect("there");
        }
        for snapshot in list_snapshots(disk).expect("a listing") {
            let reader = SnapshotReader::open(disk, &snapshot.name).expect("whole");
            if reader.header().identity == adopted() {
                disk.remove(&snapshot.name).expect("there");
            }
        }
        disk.remove("adopted").expect("there");
        forget_seeds(disk).expect("removed");
        assert!(is_old(disk));
    }
}

#[test]
fn the_old_data_is_replaced_and_put_aside_or_removed() {
    for old in [OldData::Aside, OldData::Remove] {
        let disk = node();
        assert!(is_old(&disk));
        replace(&disk, &replacement(old)).expect("replaced");
        assert!(!resume(&disk).expect("nothing was interrupted"));
        check_new(&disk, old);
    }
}

#[test]
fn the_power_may_fail_at_every_step() {
    let changes = {
        let disk = node();
        let before = disk.changes_done();
        replace(&disk, &replacement(OldData::Aside)).expect("replaced");
        disk.changes_done() - before
    };
    let (mut old_states, mut new_states) = (0, 0);
    for power in 0..=changes {
        for seed in 0..12 {
            let old = if seed % 2 == 0 { OldData::Aside } else { OldData::Remove };
            let disk = node();
            let off_after = |changes| {
                let power_off_after = Some(disk.changes_done() + changes);
                disk.plan(FaultPlan { power_off_after, ..FaultPlan::default() });
            };
            off_after(power);
            let _ = replace(&disk, &replacement(old));
            disk.crash(seed);
            // The start that goes on is interrupted as well.
            off_after(seed * 2);
            let _ = resume(&disk);
            disk.crash(seed + 1);
            let resumed = resume(&disk).expect("it goes on");
            if is_old(&disk) {
                assert!(!resumed);
                old_states += 1;
            } else {
                check_new(&disk, old);
                new_states += 1;
            }
        }
    }
    assert!(old_states > 20 && new_states > 20, "{old_states} {new_states}");
}

#[test]
fn a_damaged_file_replaces_nothing() {
    let bytes = node().contents(PART).expect("there").len() as u64;
    for byte in (0..bytes).step_by(7).chain([bytes - 1]) {
        let disk = node();
        disk.flip_bit(PART, byte, 5);
        let replaced = replace(&disk, &replacement(OldData::Remove));
        assert!(matches!(replaced, Err(ReseedError::Snapshot(_))), "byte {byte}: {replaced:?}");
        assert!(is_old(&disk) && !resume(&disk).expect("nothing has begun"));
    }
}

#[test]
fn a_node_without_data_adopts_a_history_without_a_snapshot() {
    let disk = node();
    let with = Replacement { part: None, ..replacement(OldData::Aside) };
    replace(&disk, &with).expect("replaced");
    assert!(segments(&disk).is_empty() && list_snapshots(&disk).expect("a listing").is_empty());
    assert_eq!(seeded_until(&disk).expect("a listing"), None);
    replace(&disk, &with).expect("replaced by nothing once more");
    assert_eq!(list_aside(&disk).expect("a listing").len(), 1);
    remove_aside(&disk, 1).expect("removed");
    assert_eq!(list_aside(&disk).expect("a listing"), []);
}

#[test]
fn the_highest_used_epoch_is_kept() {
    let disk = node();
    for (epoch, kept) in [(6, 6), (4, 6), (9, 9)] {
        let with =
            Replacement { part: None, used_epoch: Epoch(epoch), ..replacement(OldData::Remove) };
        replace(&disk, &with).expect("replaced");
        assert_eq!(used_epoch(&disk).expect("a listing"), Epoch(kept));
    }
    assert_eq!(
        disk.list().expect("a listing").iter().filter(|name| name.starts_with("used")).count(),
        1
    );
}

#[test]
fn an_imported_snapshot_is_ours_and_a_seed() {
    let disk = node();
    let name = import_snapshot(&disk, PART, adopted()).expect("imported");
    assert_eq!(name.end_lsn, Lsn(1010));
    let reader = SnapshotReader::open(&disk, &name.name).expect("whole");
    assert_eq!(reader.header().identity, adopted());
    assert_eq!(seeded_until(&disk).expect("a listing"), Some(Lsn(1010)));
    forget_seeds(&disk).expect("removed");
    assert_eq!(seeded_until(&disk).expect("a listing"), None);
    let again = import_snapshot(&disk, PART, adopted());
    assert!(matches!(again, Err(SnapshotError::Io(_))), "there is nothing to import any more");
}
