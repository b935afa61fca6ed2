//! A snapshot's piece, and the same bytes as a whole snapshot file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_log::{Disk, FaultDisk, SnapshotReader, decode_piece, write_all_at};

fuzz_target!(|data: &[u8]| {
    if let Some((_, payload)) = decode_piece(data) {
        assert!(payload.len() < data.len());
    }
    let disk = FaultDisk::new();
    let file = disk.create("snapshot").expect("created");
    write_all_at(&file, data, 0).expect("written");
    if let Ok(reader) = SnapshotReader::open(&disk, "snapshot") {
        let _ = reader.verify();
    }
});
