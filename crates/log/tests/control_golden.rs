//! A control log of a released format is read for ever, and written byte for byte as before.
//!
//! A format change is a new version and a new golden file; the old ones stay.

mod control_fixture;

use std::path::PathBuf;

use control_fixture::{NODE, contents, disk_with, entry, hard, indexes, snapshot};
use trefoil_log::FaultDisk;
use trefoil_log::control::{ControlLog, ControlLogOptions, ControlRecord};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/control-v1.log")
}

fn options() -> ControlLogOptions {
    ControlLogOptions { rewrite_bytes: 512, preallocate_bytes: 512 }
}

/// A file that was rewritten, with every record once, a mark, and unused space.
fn write() -> Vec<u8> {
    let disk = FaultDisk::new();
    let mut log = ControlLog::open(&disk, NODE, options()).expect("opened").0;
    log.write(&[hard(b"term 1"), entry(1, 300), entry(2, 200), entry(3, 6)]).expect("written");
    let before = log.used_bytes();
    log.write(&[snapshot(2, 3)]).expect("written");
    log.write(&[entry(4, 0), entry(5, 1), ControlRecord::Truncate { from: 5 }]).expect("written");
    log.write(&[snapshot(3, 3), entry(5, 2), hard(b"term 2")]).expect("written");
    log.write(&[snapshot(4, 4)]).expect("written");
    assert!(log.used_bytes() < before, "the file was rewritten on the way");
    contents(&disk)
}

#[test]
fn the_file_is_written_as_in_version_1() {
    assert!(write() == std::fs::read(path()).expect("the golden file"));
}

#[test]
fn a_file_of_version_1_is_read() {
    let bytes = std::fs::read(path()).expect("the golden file");
    let (mut log, recovered) =
        ControlLog::open(&disk_with(&bytes), NODE, options()).expect("opened");
    assert_eq!(recovered.hard.as_deref(), Some(&b"term 2"[..]));
    assert_eq!(recovered.snapshot, Some((4, 4u64.to_le_bytes().to_vec())));
    assert_eq!(indexes(&recovered), [4, 5]);
    assert_eq!((recovered.created, recovered.torn_bytes), (false, 0));
    log.write(&[ControlRecord::Reset]).expect("writing goes on");
}

#[test]
fn a_later_version_is_refused_and_called_so() {
    let mut bytes = std::fs::read(path()).expect("the golden file");
    // The header of version 2 with its own checksum.
    bytes[8] = 2;
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[..44]) as u32;
    bytes[44..48].copy_from_slice(&crc.to_le_bytes());
    let refused = ControlLog::open(&disk_with(&bytes), NODE, options()).expect_err("refused");
    assert!(refused.to_string().contains("format version 2"), "{refused}");
}

#[test]
#[ignore = "writes the golden file; only for a new format version"]
fn write_golden_file() {
    std::fs::write(path(), write()).expect("written");
}
