//! Prints what a million keys of 16 bytes with values of 64 cost, as the operating system sees it.

use trefoil_clock::{Hlc, Lsn};
use trefoil_store::record::LogBatch;
use trefoil_store::txn::{Deadline, Txn, Writer};
use trefoil_store::{KeyHasher, Keyspace, Sequencer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

fn main() {
    let keys: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let sequencer = Sequencer::starting_after(Lsn(0), Hlc(0));
    let keyspace = Keyspace::new(KeyHasher::new(7), sequencer, 1);
    let mut writer = Writer::new(0, 1);
    let (before, mut spare) = (resident(), LogBatch::default());
    for i in 0..keys {
        let bytes = format!("key:{i:012}");
        let key = keyspace.key(bytes.as_bytes());
        let mut txn = Txn::single(&keyspace, &mut writer, 0, &key);
        txn.put(&key, [b'x'; 64].as_slice().into(), Deadline::None);
        txn.commit();
        if i % 1000 == 0 {
            spare = writer.log.take(spare);
        }
    }
    let after = resident();
    println!("counted  {:>7} KiB", keyspace.memory() / 1024);
    println!(
        "resident {:>7} KiB, {:.1} bytes a key",
        after - before,
        (after - before) as f64 * 1024.0 / keys as f64
    );
}
