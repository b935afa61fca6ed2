//! Memory under churn: what one thread frees and another allocates is used again.

mod resident;

use std::sync::Barrier;

use resident::resident;
use trefoil_clock::{Hlc, Lsn};
use trefoil_store::record::LogBatch;
use trefoil_store::txn::{Deadline, Txn, Writer};
use trefoil_store::{KeyHasher, Keyspace, Sequencer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORKERS: usize = 4;
const KEYS: u32 = 50_000;

/// One worker's round: every key gets a value of another length, or is deleted now and then.
fn churn(keyspace: &Keyspace, writer: &mut Writer, round: u32) {
    let mut spare = LogBatch::default();
    for i in 0..KEYS {
        let random = writer.random();
        let bytes = format!("key:{:08}", random % KEYS);
        let key = keyspace.key(bytes.as_bytes());
        let mut txn = Txn::single(keyspace, writer, 0, &key);
        if random >> 28 == 0 {
            txn.delete(&key);
        } else {
            let value = vec![b'x'; (random as usize >> 8) % 400 + round as usize % 3];
            txn.put(&key, value.as_slice().into(), Deadline::None);
        }
        txn.commit();
        if i % 100 == 0 {
            spare = writer.log.take(spare);
        }
    }
    writer.log.take(spare);
}

/// All workers' rounds, in threads that live as long as the server's: for all of them.
fn churn_together(keyspace: &Keyspace, phases: &[u32], mut after: impl FnMut()) {
    let barrier = Barrier::new(WORKERS + 1);
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let barrier = &barrier;
            scope.spawn(move || {
                let mut writer = Writer::new(worker, 77 + worker as u32);
                for &rounds in phases {
                    for round in 0..rounds {
                        churn(keyspace, &mut writer, round);
                    }
                    barrier.wait();
                    barrier.wait();
                }
            });
        }
        for _ in phases {
            barrier.wait();
            after();
            barrier.wait();
        }
    });
}

#[test]
fn resident_memory_stops_growing_while_four_workers_overwrite_each_others_keys() {
    let sequencer = Sequencer::starting_after(Lsn(0), Hlc(0));
    let keyspace = Keyspace::new(KeyHasher::new(7), sequencer, WORKERS);
    let mut seen = Vec::new();
    churn_together(&keyspace, &[6, 18], || seen.push(resident()));
    assert!(keyspace.len(0) > u64::from(KEYS) / 2);
    // The later rounds allocate and free some 700 MB. The allocator may keep pages half full in each
    // thread's heap, which comes to as much as the data; memory that is not used again would come to
    // many times that.
    let (data, grown) = (keyspace.memory(), seen[1].saturating_sub(seen[0]));
    assert!(grown < data, "{data} bytes of data, resident after 6 and 24 rounds: {seen:?}");
}
