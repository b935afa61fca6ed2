//! Bytes of any quality never panic, and only what was written passes.

mod fixture;

use fixture::{effects, identity, recover_all, reopen, segments, stream};
use proptest::prelude::*;
use trefoil_clock::{Epoch, Hlc, Lsn};
use trefoil_log::{
    Disk, DiskFile, FRAME_HEADER_BYTES, FaultDisk, FrameBody, FrameHeader, Run, RunBuilder,
    SEGMENT_HEADER_BYTES, SegmentHeader, decode_piece, repair, verify, write_all_at,
};

/// Reads everything that the frame at the start of `bytes` could hold.
fn decode(bytes: &[u8]) -> usize {
    let Some(header) = FrameHeader::decode(bytes) else { return 0 };
    let end = bytes.len().min(FRAME_HEADER_BYTES + header.len as usize);
    match FrameBody::decode(header.kind, &bytes[FRAME_HEADER_BYTES..end]) {
        Some(FrameBody::Runs(runs)) => {
            runs.iter().flat_map(|run| run.records()).filter(|record| record.is_ok()).count()
        }
        _ => 0,
    }
}

fn small_log() -> Vec<u8> {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    for (count, bytes) in [(3, 10), (1, 0), (5, 200)] {
        fixture::append(&mut writer, count, bytes).expect("appended");
    }
    writer.sync().expect("synced");
    disk.contents(&segments(&disk)[0]).expect("there")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_any_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        decode(&bytes);
        let _ = SegmentHeader::decode(&bytes);
        let _ = decode_piece(&bytes);
    }

    #[test]
    fn decoding_a_mutated_frame_never_panics(
        at in 0usize..700, value in any::<u8>(), cut in 0usize..1500
    ) {
        let mut bytes = small_log()[SEGMENT_HEADER_BYTES..].to_vec();
        bytes[at] = value;
        bytes.truncate(bytes.len() - cut);
        decode(&bytes);
    }

    #[test]
    fn a_mutated_log_is_verified_repaired_and_recovered(
        changes in prop::collection::vec((0usize..1600, any::<u8>()), 1..5)
    ) {
        let mut bytes = small_log();
        for (at, value) in changes {
            bytes[at] = value;
        }
        let disk = FaultDisk::new();
        let file = disk.create("wal-00000000000000000001.log").expect("created");
        write_all_at(&file, &bytes, 0).expect("written");
        file.sync_data().expect("synced");
        if verify(&disk, Some(identity())).is_ok() && repair(&disk, Some(identity())).is_ok() {
            let (records, recovered) = recover_all(&disk);
            prop_assert!(records.len() <= 9);
            prop_assert_eq!(recovered.torn, None);
            for (lsn, found) in records {
                prop_assert_eq!(&found, &effects(lsn, found.len()));
            }
        }
    }

    #[test]
    fn runs_come_back_as_they_were_built(
        records in prop::collection::vec((0u64..1 << 40, prop::collection::vec(any::<u8>(), 0..300)), 1..20)
    ) {
        let mut builder = RunBuilder::new(stream(), Epoch(3), Lsn(17), Hlc(5));
        let mut hlc = 5;
        for (delta, effects) in &records {
            hlc += delta;
            builder.push(Hlc(hlc), effects);
        }
        let run = builder.run();
        let found: Vec<_> = run.records().map(|record| record.expect("whole")).collect();
        prop_assert_eq!(found.len(), records.len());
        prop_assert_eq!(found.last().expect("one").hlc, Hlc(hlc));
        for (i, (record, (_, effects))) in found.iter().zip(&records).enumerate() {
            prop_assert_eq!((record.lsn, record.effects), (Lsn(17 + i as u64), &effects[..]));
        }
        // One byte less or more is noticed, once.
        let cut = Run { payload: &run.payload[..run.payload.len() - 1], ..run };
        prop_assert_eq!(cut.records().filter(|record| record.is_err()).count(), 1);
        let longer = [run.payload, &[0]].concat();
        let longer = Run { payload: &longer, ..run };
        prop_assert_eq!(longer.records().filter(|record| record.is_err()).count(), 1);
    }
}
