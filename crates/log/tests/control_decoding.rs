//! Bytes of any quality never panic a control log, and what it accepts it accepts for good.

mod control_fixture;

use control_fixture::{contents, disk_with, entry, hard, open, small, snapshot, try_open};
use proptest::prelude::*;
use trefoil_log::FaultDisk;
use trefoil_log::control::{ControlLogError, ControlRecord, decode_records, encode_records};

fn record() -> impl Strategy<Value = ControlRecord> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        bytes().prop_map(ControlRecord::Hard),
        any::<u64>().prop_map(|from| ControlRecord::Truncate { from }),
        (any::<u64>(), bytes()).prop_map(|(index, bytes)| ControlRecord::Entry { index, bytes }),
        (any::<u64>(), any::<u64>(), bytes()).prop_map(|(index, keep_from, bytes)| {
            ControlRecord::Snapshot { index, keep_from, bytes }
        }),
        Just(ControlRecord::Reset),
    ]
}

/// Opens a file with these bytes. If that works, it works again, with the same outcome.
fn open_twice(bytes: &[u8]) {
    let disk = disk_with(bytes);
    match try_open(&disk) {
        Ok((_, first)) => {
            let second = open(&disk).1;
            assert_eq!(
                (first.hard, first.snapshot, first.entries),
                (second.hard, second.snapshot, second.entries)
            );
            assert_eq!(second.torn_bytes, 0);
        }
        Err(
            ControlLogError::Damaged { .. }
            | ControlLogError::Foreign { .. }
            | ControlLogError::Version { .. },
        ) => {
            assert_eq!(contents(&disk), bytes, "nothing was changed");
        }
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back(records in prop::collection::vec(record(), 0..8)) {
        let mut body = Vec::new();
        encode_records(&records, &mut body);
        prop_assert_eq!(decode_records(&body), Some(records));
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(body in prop::collection::vec(0u8..7, 0..60)) {
        if let Some(records) = decode_records(&body) {
            let mut again = Vec::new();
            encode_records(&records, &mut again);
            prop_assert_eq!(again, body);
        }
    }

    #[test]
    fn records_in_any_order_never_panic(records in prop::collection::vec(record(), 1..8)) {
        let disk = FaultDisk::new();
        let mut log = small(&disk);
        for record in &records {
            let _ = log.write(std::slice::from_ref(record));
        }
        let _ = log.write(&records);
        open(&disk);
    }

    #[test]
    fn a_mutated_file_is_opened_or_refused(
        changes in prop::collection::vec((0usize..400, any::<u8>()), 1..5), cut in 0usize..1100
    ) {
        let disk = FaultDisk::new();
        let mut log = small(&disk);
        log.write(&[entry(4, 9), snapshot(3, 3), hard(b"x")]).expect("written");
        let mut bytes = contents(&disk);
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        open_twice(&bytes);
    }
}
