//! A batch's records; then the same bytes as a whole control log, as the tail of a good one, and as changes to a
//! good one. What is opened once must open again and hold the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_clock::NodeId;
use trefoil_log::control::{
    CONTROL_LOG, ControlLog, ControlLogError, ControlLogOptions, ControlRecord, Recovered,
    decode_records, encode_records,
};
use trefoil_log::{Disk, DiskFile, FaultDisk, write_all_at};

const NODE: NodeId = NodeId(1);
const OPTIONS: ControlLogOptions = ControlLogOptions { rewrite_bytes: 512, preallocate_bytes: 256 };

fn open(disk: &FaultDisk) -> Result<(ControlLog<FaultDisk>, Recovered), ControlLogError> {
    ControlLog::open(disk, NODE, OPTIONS)
}

fn as_file(bytes: &[u8]) {
    let disk = FaultDisk::new();
    let file = disk.create(CONTROL_LOG).expect("created");
    write_all_at(&file, bytes, 0).expect("written");
    file.sync_data().expect("synced");
    let Ok((mut log, first)) = open(&disk) else { return };
    let again = open(&disk).expect("what opens opens again").1;
    assert_eq!(
        (&first.hard, &first.snapshot, &first.entries),
        (&again.hard, &again.snapshot, &again.entries)
    );
    assert_eq!(again.torn_bytes, 0);
    log.write(&[ControlRecord::Hard(b"vote".to_vec())]).expect("written");
    let last = open(&disk).expect("opened").1;
    assert_eq!((last.hard.as_deref(), last.entries), (Some(&b"vote"[..]), first.entries));
}

/// Applies records as far as they follow; whatever was taken is recovered.
fn as_records(bytes: &[u8]) {
    let Some(records) = decode_records(bytes) else { return };
    let mut again = Vec::new();
    encode_records(&records, &mut again);
    assert_eq!(again, bytes);
    let disk = FaultDisk::new();
    let mut log = open(&disk).expect("created").0;
    for record in &records {
        match log.write(std::slice::from_ref(record)) {
            Ok(()) | Err(ControlLogError::Disorder(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    open(&disk).expect("opened");
}

fn good() -> (Vec<u8>, usize) {
    let disk = FaultDisk::new();
    let mut log = open(&disk).expect("created").0;
    let entry = |index| ControlRecord::Entry { index, bytes: vec![7; 20] };
    log.write(&[ControlRecord::Hard(vec![1; 9]), entry(1), entry(2)]).expect("written");
    log.write(&[ControlRecord::Snapshot { index: 1, keep_from: 2, bytes: vec![2; 9] }])
        .expect("written");
    let used = log.used_bytes() as usize;
    (disk.contents(CONTROL_LOG).expect("there"), used)
}

fuzz_target!(|data: &[u8]| {
    as_records(data);
    as_file(data);
    let (mut bytes, used) = good();
    as_file(&[&bytes[..used], data].concat());
    for change in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
    }
    as_file(&bytes);
});
