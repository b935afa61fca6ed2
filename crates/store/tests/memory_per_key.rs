//! What a key costs, as the operating system sees it, with the allocator that the server uses.

mod resident;

use resident::resident;
use trefoil_clock::{Hlc, Lsn};
use trefoil_store::record::LogBatch;
use trefoil_store::txn::{Deadline, Txn, Writer};
use trefoil_store::{KeyHasher, Keyspace, Sequencer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[test]
fn a_million_keys_of_16_bytes_with_values_of_64_take_at_most_112_bytes_each() {
    const KEYS: u64 = 1_000_000;
    let sequencer = Sequencer::starting_after(Lsn(0), Hlc(0));
    let keyspace = Keyspace::new(KeyHasher::new(7), sequencer, 1);
    let mut writer = Writer::new(0, 1);
    let (before, mut spare) = (resident(), LogBatch::default());
    for i in 0..KEYS {
        let bytes = format!("key:{i:012}");
        let key = keyspace.key(bytes.as_bytes());
        let mut txn = Txn::single(&keyspace, &mut writer, 0, &key);
        txn.put(&key, [b'x'; 64].as_slice().into(), Deadline::None);
        txn.commit();
        if i % 1_000 == 0 {
            spare = writer.log.take(spare);
        }
    }
    let each = (resident() - before) / KEYS;
    assert!(each <= 112, "{each} bytes a key");
    let counted = keyspace.memory() / KEYS;
    assert!((100..=each).contains(&counted), "counted {counted} bytes a key, resident are {each}");
}
