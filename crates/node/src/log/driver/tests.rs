//! What the log thread owes to those who wait for it.

use std::sync::atomic::{AtomicU64, Ordering};

use trefoil_clock::{Hlc, NodeId};
use trefoil_log::{ClusterId, FaultDisk, FaultPlan, Identity, WriterOptions};
use trefoil_store::KeyHasher;
use trefoil_store::record::{Run, Stamp};

use super::*;
use crate::recovery::{StartOptions, start};

fn driver(queue: &Arc<LogQueue>) -> LogDriver<FaultDisk> {
    driver_on(&FaultDisk::new(), queue)
}

fn driver_on(disk: &FaultDisk, queue: &Arc<LogQueue>) -> LogDriver<FaultDisk> {
    let options = StartOptions {
        identity: Identity { node: NodeId(1), cluster: ClusterId(2) },
        hasher: KeyHasher::new(7),
        tallies: 2,
        log: WriterOptions { segment_bytes: 1 << 16, ..WriterOptions::default() },
    };
    let started = start(disk.clone(), options).expect("an empty disk");
    LogDriver::new(Arc::clone(queue), started.writer, started.report.epoch, Box::new(|_| {}))
}

/// A batch with one record, whose effects nobody reads.
fn batch(lsn: u64) -> LogBatch {
    let base = Stamp { lsn: Lsn(lsn), hlc: Hlc(lsn) };
    LogBatch { runs: vec![Run { base, count: 1, start: 0, len: 3 }], bytes: vec![2, 0, 1] }
}

#[test]
fn a_sync_is_owed_to_records_that_wait_for_their_predecessors() {
    let queue = Arc::new(LogQueue::new(Fsync::No, Lsn::ZERO));
    let mut driver = driver(&queue);
    queue.push(batch(2));
    queue.want_sync();
    driver.turn_without_waiting().expect("a healthy disk");
    assert_eq!(queue.durable(), Lsn::ZERO);
    queue.push(batch(1));
    driver.turn_without_waiting().expect("a healthy disk");
    assert_eq!(queue.durable(), Lsn(2));
    queue.push(batch(3));
    driver.turn_without_waiting().expect("a healthy disk");
    assert_eq!((queue.appended(), queue.durable()), (Lsn(3), Lsn(2)), "nobody asked");
}

#[test]
fn a_record_that_no_frame_takes_ends_the_node() {
    let queue = Arc::new(LogQueue::new(Fsync::No, Lsn::ZERO));
    let mut driver = driver(&queue);
    let full = WriteError::NoSpace { file: String::new(), bytes: 1 };
    assert!(driver.failed(full, false).is_ok());
    let large = WriteError::TooLarge { bytes: 1 << 33, max: 1 << 32 };
    assert!(driver.failed(large, false).is_err());
}

#[test]
fn a_full_disk_is_asked_for_a_spare_ten_times_a_second() {
    let (disk, queue) = (FaultDisk::new(), Arc::new(LogQueue::new(Fsync::No, Lsn::ZERO)));
    let now_ms = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&now_ms);
    let mut driver = driver_on(&disk, &queue)
        .with_clock(Box::new(move || Duration::from_millis(clock.load(Ordering::Relaxed))));
    disk.plan(FaultPlan { capacity_bytes: Some(disk.used_bytes()), ..FaultPlan::default() });
    let mut tries = 0;
    for _ in 0..100 {
        let before = disk.changes_done();
        driver.turn_without_waiting().expect("a full disk ends nothing");
        tries += u64::from(disk.changes_done() > before);
        now_ms.fetch_add(10, Ordering::Relaxed);
    }
    assert!((1..=10).contains(&tries), "{tries}");
}
