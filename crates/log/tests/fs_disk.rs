//! The same log on a real directory.

mod fixture;

use fixture::{effects, identity, records_of, stream};
use trefoil_clock::{Epoch, Hlc, Lsn};
use trefoil_log::{
    Allocate, DirError, Disk, DiskFile, FsDisk, Positions, Prepared, RunBuilder, Writer,
    WriterOptions, recover, verify,
};

#[test]
fn a_directory_is_opened_by_one_process_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("data");
    let disk = FsDisk::open(&path).expect("opened");
    let refused = FsDisk::open(&path);
    assert!(matches!(&refused, Err(DirError::InUse { .. })), "{refused:?}");
    FsDisk::open_unlocked(&path).expect("looking is allowed");
    let clone = disk.clone();
    drop(disk);
    assert!(FsDisk::open(&path).is_err(), "a clone holds the lock");
    drop(clone);
    FsDisk::open(&path).expect("free again");
}

#[test]
fn files_do_what_the_log_expects_of_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = FsDisk::open(dir.path()).expect("opened");
    let file = disk.create("a").expect("created");
    assert!(disk.create("a").is_err());
    file.preallocate(10_000).expect("allocated");
    assert_eq!(file.size().expect("sized"), 10_000);
    assert_eq!(file.write_at(b"abc", 9_999).expect("written"), 3);
    let mut bytes = [7; 4];
    assert_eq!(file.read_at(&mut bytes, 9_998).expect("read"), 4);
    assert_eq!(&bytes, b"\0abc");
    file.truncate(9_998).expect("cut");
    file.sync_data().expect("synced");
    disk.rename("a", "b").expect("renamed");
    disk.sync_dir().expect("synced");
    std::fs::create_dir(dir.path().join("c")).expect("made");
    assert_eq!(disk.list().expect("listed"), ["b"]);
    assert!(disk.available().expect("known") > 0);
    disk.remove("b").expect("removed");
    assert!(disk.open("b").is_err());
}

#[test]
fn a_log_on_a_real_directory_is_recovered() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut expected = Vec::new();
    for allocate in [Allocate::Fallocate, Allocate::ZeroFill, Allocate::Fallocate] {
        let disk = FsDisk::open(dir.path()).expect("opened");
        let mut records = Vec::new();
        let recovered = recover(&disk, identity(), &Positions::new(), |frame| {
            records.extend(records_of(frame));
            Ok(())
        });
        let recovered = recovered.expect("recovered");
        assert!(records == expected);
        let options =
            WriterOptions { segment_bytes: 64 << 10, allocate, ..WriterOptions::default() };
        let mut writer =
            Writer::open(disk.clone(), identity(), recovered.end, options).expect("opened");
        for bytes in [100, 5_000, 60_000, 600_000, 30] {
            while writer.prepare().expect("prepared") == Prepared::More {}
            let lsn = writer.appended(stream()).next();
            let mut builder = RunBuilder::new(stream(), Epoch(1), lsn, Hlc(lsn.0));
            builder.push(Hlc(lsn.0), &effects(lsn, bytes));
            writer.append_runs(&[builder.run()]).expect("appended");
            writer.sync().expect("synced");
            expected.push((lsn, effects(lsn, bytes)));
        }
        writer.clean_stop().expect("stopped");
        let report = verify(&disk, Some(identity())).expect("readable");
        assert!(report.tally.clean_stop);
        assert_eq!(report.tally.positions.get(stream()), Lsn(expected.len() as u64));
    }
}
