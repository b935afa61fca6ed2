//! Files of released formats are read for ever, and written byte for byte as before.
//!
//! A format change is a new version and a new golden file; the old ones stay.

mod fixture;

use std::path::PathBuf;

use fixture::{files, identity, options, records_of, recover_all, segments, stream};
use trefoil_clock::{Epoch, Hlc, Lsn, NodeId, ShardId};
use trefoil_log::{
    Disk, DiskFile, EpochCause, EpochEntry, FaultDisk, FrameBody, LogScan, Note, PieceHead,
    RunBuilder, SnapshotEnd, SnapshotHeader, SnapshotReader, SnapshotWriter, write_all_at,
};

const LOG: &str = "wal-v1.log";
const SNAPSHOT: &str = "snapshot-v1.trefoil";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn epoch_start() -> Note {
    let entry = EpochEntry { epoch: Epoch(1), leader: NodeId(7), first_lsn: Lsn(1) };
    Note::EpochStart { shard: ShardId(0), entry, cause: EpochCause::FirstStart }
}

/// Every kind of frame once, and a frame of two runs.
fn write_log() -> Vec<u8> {
    let disk = FaultDisk::new();
    let (_, recovered) = recover_all(&disk);
    let mut writer = trefoil_log::Writer::open(disk.clone(), identity(), recovered.end, options())
        .expect("opened");
    writer.append_note(&epoch_start()).expect("appended");
    let mut first = RunBuilder::new(stream(), Epoch(1), Lsn(1), Hlc(1 << 16));
    first.push(Hlc(1 << 16), b"one");
    first.push(Hlc((1 << 16) + 300), b"");
    let other = trefoil_log::Stream { shard: ShardId(2), origin: trefoil_clock::Origin(9) };
    let mut second = RunBuilder::new(other, Epoch(4), Lsn(1), Hlc(7));
    second.push(Hlc(8), &[0xee; 130]);
    writer.append_runs(&[first.run(), second.run()]).expect("appended");
    writer.sync().expect("synced");
    let (start_lsn, end_lsn) = (Lsn(1), Lsn(2));
    writer
        .append_note(&Note::SnapshotMark { shard: ShardId(0), start_lsn, end_lsn })
        .expect("appended");
    writer.append_note(&Note::Truncate { shard: ShardId(0), lsn: Lsn(1) }).expect("appended");
    writer.clean_stop().expect("stopped");
    recover_all(&disk);
    disk.contents(&segments(&disk)[0]).expect("there")
}

fn write_snapshot() -> Vec<u8> {
    let disk = FaultDisk::new();
    let header = SnapshotHeader {
        identity: identity(),
        shard: ShardId(0),
        start_lsn: Lsn(10),
        start_hlc: Hlc(1 << 16),
        epochs: vec![EpochEntry { epoch: Epoch(1), leader: NodeId(7), first_lsn: Lsn(1) }],
    };
    let mut writer = SnapshotWriter::create(disk.clone(), &header).expect("created");
    let head = PieceHead { table: 1, lo: 0, hi: 1 << 40, lsn: Lsn(11), records: 2, raw_len: 6 };
    writer.piece(&head, b"pieces").expect("written");
    writer.finish(SnapshotEnd { lsn: Lsn(12), hlc: Hlc(2 << 16) }).expect("finished");
    disk.contents(&files(&disk, ".trefoil")[0]).expect("there")
}

fn disk_with(name: &str, bytes: &[u8]) -> FaultDisk {
    let disk = FaultDisk::new();
    let file = disk.create(name).expect("created");
    write_all_at(&file, bytes, 0).expect("written");
    file.sync_data().expect("synced");
    disk
}

#[test]
fn the_log_is_written_as_in_version_1() {
    assert!(write_log() == std::fs::read(path(LOG)).expect("the golden file"));
}

#[test]
fn a_log_of_version_1_is_read() {
    let bytes = std::fs::read(path(LOG)).expect("the golden file");
    let disk = disk_with("wal-00000000000000000001.log", &bytes);
    let mut scan = LogScan::open(&disk).expect("opened");
    let mut notes = Vec::new();
    let mut records = Vec::new();
    while let Some(frame) = scan.next().expect("readable") {
        records.extend(records_of(&frame));
        if let FrameBody::Note(note) = frame.body {
            notes.push(note);
        }
    }
    assert!(scan.tally().clean_stop);
    assert_eq!(scan.tally().positions.get(stream()), Lsn(1));
    assert_eq!((notes.len(), &notes[0]), (4, &epoch_start()));
    let expected = [(Lsn(1), b"one".to_vec()), (Lsn(2), vec![]), (Lsn(1), vec![0xee; 130])];
    assert_eq!(records, expected);
}

#[test]
fn the_snapshot_is_written_as_in_version_1() {
    assert!(write_snapshot() == std::fs::read(path(SNAPSHOT)).expect("the golden file"));
}

#[test]
fn a_snapshot_of_version_1_is_read() {
    let bytes = std::fs::read(path(SNAPSHOT)).expect("the golden file");
    let disk = disk_with("snap", &bytes);
    let reader = SnapshotReader::open(&disk, "snap").expect("opened");
    assert_eq!((reader.header().start_lsn, reader.footer().end.lsn), (Lsn(10), Lsn(12)));
    let index = reader.index().expect("indexed");
    assert_eq!(reader.read_piece(&index[0], &mut Vec::new()).expect("whole"), b"pieces");
}

#[test]
#[ignore = "writes the golden files; only for a new format version"]
fn write_golden_files() {
    std::fs::write(path(LOG), write_log()).expect("written");
    std::fs::write(path(SNAPSHOT), write_snapshot()).expect("written");
}
