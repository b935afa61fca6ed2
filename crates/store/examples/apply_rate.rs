//! How many records a second one core applies beside readers: SETs of random keys among a million.
//!
//! `cargo run --release -p trefoil-store --example apply_rate [records]`
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures time")]

use std::time::Instant;

use trefoil_clock::{Hlc, Lsn};
use trefoil_store::apply::{Record, apply, apply_live};
use trefoil_store::record::{Effect, Stamp};
use trefoil_store::txn::Writer;
use trefoil_store::{KeyHasher, Keyspace, Sequencer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
const BATCH: usize = 128;

/// Encoded records one after another, and where each begins.
struct Stream {
    bytes: Vec<u8>,
    bounds: Vec<usize>,
    first_lsn: u64,
}

impl Stream {
    fn new(first_lsn: u64, keys: impl Iterator<Item = u64>) -> Stream {
        let mut stream = Stream { bytes: Vec::new(), bounds: vec![0], first_lsn };
        for key in keys {
            let key = format!("key:{key:012}");
            let put = Effect::PutString {
                table: 0,
                key: key.as_bytes(),
                value: &[b'v'; 64],
                deadline: None,
                raw: false,
            };
            put.encode(&mut stream.bytes);
            stream.bounds.push(stream.bytes.len());
        }
        stream
    }

    fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    fn record(&self, index: usize) -> Record<'_> {
        let lsn = self.first_lsn + index as u64;
        let stamp = Stamp { lsn: Lsn(lsn), hlc: Hlc::from_millis(1_700_000_000_000 + lsn / 1_000) };
        Record { stamp, effects: &self.bytes[self.bounds[index]..self.bounds[index + 1]] }
    }
}

fn live(keyspace: &Keyspace, writer: &mut Writer, stream: &Stream) {
    let mut batch = Vec::with_capacity(BATCH);
    for index in 0..stream.len() {
        batch.push(stream.record(index));
        if batch.len() == BATCH || index + 1 == stream.len() {
            let progress = apply_live(keyspace, writer, &batch);
            assert_eq!((progress.done, progress.stop), (batch.len(), None));
            batch.clear();
        }
    }
}

fn alone(keyspace: &Keyspace, writer: &mut Writer, stream: &Stream) {
    for index in 0..stream.len() {
        let Record { stamp, effects } = stream.record(index);
        apply(keyspace, writer, stamp, effects).expect("a whole record");
    }
}

fn report(what: &str, stream: &Stream, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    let seconds = start.elapsed().as_secs_f64();
    let rate = stream.len() as f64 / seconds / 1e6;
    let each = seconds / stream.len() as f64 * 1e9;
    println!("{what}: {rate:.2} M records/s, {each:.0} ns each");
}

fn main() {
    let records =
        std::env::args().nth(1).and_then(|words| words.parse().ok()).unwrap_or(5_000_000u64);
    let sequencer = Sequencer::starting_after(Lsn(0), Hlc(0));
    let keyspace = Keyspace::new(KeyHasher::new(7), sequencer, 1);
    let mut writer = Writer::new(0, 1);
    let first = Stream::new(1, 0..KEYS);
    report("new keys, live", &first, || live(&keyspace, &mut writer, &first));
    let mut random = Writer::new(0, 99);
    for round in 0..3 {
        let begin = KEYS + 1 + 2 * round * records;
        let mut keys: Vec<u64> =
            (0..2 * records).map(|_| u64::from(random.random()) % KEYS).collect();
        let stream = Stream::new(begin, keys.drain(..records as usize));
        report("random keys, live", &stream, || live(&keyspace, &mut writer, &stream));
        let stream = Stream::new(begin + records, keys.into_iter());
        report("random keys, one by one", &stream, || alone(&keyspace, &mut writer, &stream));
    }
}
