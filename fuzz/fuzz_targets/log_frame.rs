//! A frame and everything in it; then the same bytes as a whole segment, which is verified, repaired and
//! recovered: what is left after a repair must be readable without complaint.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_clock::NodeId;
use trefoil_log::{
    ClusterId, Disk, FRAME_HEADER_BYTES, FaultDisk, FrameBody, FrameHeader, Identity, Positions,
    SegmentHeader, SegmentNo, recover, repair, verify, write_all_at,
};

const IDENTITY: Identity = Identity { node: NodeId(1), cluster: ClusterId(2) };

fn decode(bytes: &[u8]) {
    let Some(header) = FrameHeader::decode(bytes) else { return };
    if let Some(FrameBody::Runs(runs)) =
        FrameBody::decode(header.kind, &bytes[FRAME_HEADER_BYTES..])
    {
        for run in runs.iter() {
            let records = run.records().filter(Result::is_ok).count();
            assert!(records <= run.header.count as usize);
        }
    }
}

fn as_segment(bytes: &[u8]) {
    let first_seq = trefoil_log::FrameSeq(1);
    let created = trefoil_clock::Hlc(0);
    let header = SegmentHeader { identity: IDENTITY, number: SegmentNo(1), first_seq, created };
    let disk = FaultDisk::new();
    let file = disk.create(&trefoil_log::segment_name(first_seq)).expect("created");
    write_all_at(&file, &[&header.encode()[..], bytes].concat(), 0).expect("written");
    verify(&disk, Some(IDENTITY)).expect("readable");
    repair(&disk, Some(IDENTITY)).expect("readable");
    // Streams may start anywhere in what a fuzzer writes; nothing else may be wrong any more.
    match recover(&disk, IDENTITY, &Positions::new(), |_| Ok(())) {
        Ok(recovered) => assert_eq!(recovered.torn, None),
        Err(trefoil_log::RecoverError::Scan(trefoil_log::ScanError::Missing { .. })) => {}
        Err(other) => panic!("{other}"),
    }
}

fuzz_target!(|data: &[u8]| {
    decode(data);
    as_segment(data);
});
