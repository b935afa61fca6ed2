//! A small control log to play with, and what every test of it needs.
#![allow(dead_code, unreachable_pub, reason = "every test uses another part of this module")]

use trefoil_clock::NodeId;
use trefoil_log::control::{
    CONTROL_LOG, ControlLog, ControlLogError, ControlLogOptions, ControlRecord, Recovered,
};
use trefoil_log::{Disk, DiskFile, FaultDisk, write_all_at};

pub const NODE: NodeId = NodeId(0x1111);

/// So small that a few batches need more space and a few more a rewrite.
pub fn options() -> ControlLogOptions {
    ControlLogOptions { rewrite_bytes: 2048, preallocate_bytes: 1024 }
}

pub fn try_open(disk: &FaultDisk) -> Result<(ControlLog<FaultDisk>, Recovered), ControlLogError> {
    ControlLog::open(disk, NODE, options())
}

pub fn open(disk: &FaultDisk) -> (ControlLog<FaultDisk>, Recovered) {
    try_open(disk).expect("the store opens")
}

pub fn hard(bytes: &[u8]) -> ControlRecord {
    ControlRecord::Hard(bytes.to_vec())
}

/// An entry whose content only it has.
pub fn entry(index: u64, bytes: usize) -> ControlRecord {
    let content = index.to_le_bytes().into_iter().cycle().take(bytes);
    ControlRecord::Entry { index, bytes: content.map(|byte| byte ^ 0x5a).collect() }
}

pub fn snapshot(index: u64, keep_from: u64) -> ControlRecord {
    ControlRecord::Snapshot { index, keep_from, bytes: index.to_le_bytes().to_vec() }
}

pub fn indexes(recovered: &Recovered) -> Vec<u64> {
    recovered.entries.iter().map(|(index, _)| *index).collect()
}

/// A store with a vote and three entries, one batch each.
pub fn small(disk: &FaultDisk) -> ControlLog<FaultDisk> {
    let mut log = open(disk).0;
    log.write(&[hard(b"term 1, vote 7")]).expect("written");
    for index in 1..=3 {
        log.write(&[entry(index, 30)]).expect("written");
    }
    log
}

pub fn contents(disk: &FaultDisk) -> Vec<u8> {
    disk.contents(CONTROL_LOG).expect("there is a file")
}

/// A disk that holds just this as a synced file.
pub fn disk_with(bytes: &[u8]) -> FaultDisk {
    let disk = FaultDisk::new();
    let file = disk.create(CONTROL_LOG).expect("created");
    write_all_at(&file, bytes, 0).expect("written");
    file.sync_data().expect("synced");
    disk.sync_dir().expect("synced");
    disk
}
