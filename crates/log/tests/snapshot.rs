//! Snapshots: complete ones are read from several threads, everything else is refused.

mod fixture;

use fixture::identity;
use trefoil_clock::{Epoch, Hlc, Lsn, NodeId, ShardId};
use trefoil_log::{
    Disk, EpochEntry, FaultDisk, FaultPlan, PieceHead, SnapshotEnd, SnapshotHeader, SnapshotReader,
    SnapshotWriter, list_snapshots, newest_valid, remove_unfinished,
};

fn header(start: u64) -> SnapshotHeader {
    let entry =
        |epoch, first| EpochEntry { epoch: Epoch(epoch), leader: NodeId(7), first_lsn: Lsn(first) };
    SnapshotHeader {
        identity: identity(),
        shard: ShardId(0),
        start_lsn: Lsn(start),
        start_hlc: Hlc(start * 10),
        epochs: vec![entry(1, 1), entry(2, 5)],
    }
}

fn payload(piece: u64) -> Vec<u8> {
    vec![piece as u8; (piece * 300) as usize]
}

fn write(disk: &FaultDisk, start: u64, pieces: u64) -> std::io::Result<String> {
    let mut writer = SnapshotWriter::create(disk.clone(), &header(start))?;
    for i in 0..pieces {
        let bytes = payload(i);
        let raw_len = bytes.len() as u32;
        let (lo, hi, lsn) = (i * 100, (i + 1) * 100, Lsn(start + i));
        writer.piece(&PieceHead { table: 1, lo, hi, lsn, records: 3, raw_len }, &bytes)?;
    }
    writer.finish(SnapshotEnd { lsn: Lsn(start + pieces), hlc: Hlc(99) })
}

#[test]
fn pieces_are_read_in_any_order_by_several_threads() {
    let disk = FaultDisk::new();
    let name = write(&disk, 10, 20).expect("written");
    disk.crash(5);
    let reader = SnapshotReader::open(&disk, &name).expect("opened");
    assert_eq!(reader.header(), &header(10));
    assert_eq!((reader.footer().pieces, reader.footer().records), (20, 60));
    let index = reader.index().expect("indexed");
    let check = |part: &[trefoil_log::PieceRef]| {
        let mut buffer = Vec::new();
        for piece in part.iter().rev() {
            let bytes = reader.read_piece(piece, &mut buffer).expect("whole");
            assert_eq!(bytes, payload(piece.head.lo / 100));
        }
    };
    std::thread::scope(|scope| {
        for part in index.chunks(7) {
            scope.spawn(move || check(part));
        }
    });
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let disk = FaultDisk::new();
    let name = write(&disk, 10, 3).expect("written");
    let bytes = disk.contents(&name).expect("there");
    let is_valid =
        || SnapshotReader::open(&disk, &name).is_ok_and(|reader| reader.verify().is_ok());
    assert!(is_valid());
    for byte in 0..bytes.len() as u64 {
        disk.flip_bit(&name, byte, (byte % 8) as u8);
        assert!(!is_valid(), "byte {byte}");
        disk.flip_bit(&name, byte, (byte % 8) as u8);
    }
    for size in (0..bytes.len()).rev() {
        use trefoil_log::DiskFile;
        disk.open(&name).expect("opened").truncate(size as u64).expect("cut");
        assert!(!is_valid(), "size {size}");
    }
}

#[test]
fn a_crash_at_every_change_leaves_a_whole_snapshot_or_none() {
    for last_change in 0..12 {
        for seed in 0..8 {
            let disk = FaultDisk::new();
            write(&disk, 1, 5).expect("written");
            let power_off_after = Some(disk.changes_done() + last_change);
            disk.plan(FaultPlan { power_off_after, ..FaultPlan::default() });
            let finished = write(&disk, 50, 8).is_ok();
            disk.crash(seed);
            let up_to = Lsn(u64::MAX);
            let (found, rejected) =
                newest_valid(&disk, identity(), ShardId(0), up_to).expect("listed");
            let found = found.expect("the older one is there");
            found.verify().expect("whole");
            assert!(rejected.is_empty(), "a name is given only to a whole snapshot");
            assert!(!finished || found.footer().end.lsn == Lsn(58));
            remove_unfinished(&disk).expect("removed");
            assert!(disk.list().expect("listed").iter().all(|name| name.ends_with(".trefoil")));
        }
    }
}

#[test]
fn the_newest_valid_snapshot_within_the_log_is_chosen() {
    let disk = FaultDisk::new();
    for start in [10, 20, 30] {
        write(&disk, start, 4).expect("written");
    }
    let newest = |up_to| {
        let (found, rejected) =
            newest_valid(&disk, identity(), ShardId(0), Lsn(up_to)).expect("listed");
        (found.map(|reader| reader.footer().end.lsn.0), rejected.len())
    };
    assert_eq!(newest(100), (Some(34), 0));
    assert_eq!(newest(33), (Some(24), 0));
    let names = list_snapshots(&disk).expect("listed");
    let footer = disk.contents(&names[0].name).expect("there").len() as u64 - 1;
    disk.flip_bit(&names[0].name, footer, 0);
    assert_eq!(newest(100), (Some(24), 1));
    assert_eq!(newest(5), (None, 0));
}
