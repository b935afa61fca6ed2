//! Archives for tests: a node whose data directory holds one.

use tempfile::TempDir;
use trefoil_clock::{Epoch, Hlc, Lsn};
use trefoil_log::{DivergedName, FsDisk, Positions, RunBuilder, Writer, WriterOptions, recover};
use trefoil_store::record::Effect;

use crate::handler::Flow;
use crate::harness::{START_MS, TestClient, TestNode};
use crate::log::stream;

/// A node, and an archive in its directory with these records, the first of which is record `first`.
pub(crate) fn node_with_archive(
    first: u64,
    records: &[&[Effect<'_>]],
) -> (TestNode, TempDir, DivergedName) {
    let node = TestNode::new();
    let dir = tempfile::tempdir().expect("a directory");
    let identity = node.node.replication.identity();
    let disk = FsDisk::open(dir.path()).expect("a disk");
    let recovered = recover(&disk, identity, &Positions::default(), |_| Ok(())).expect("empty");
    let options = WriterOptions::default();
    let mut writer = Writer::open(disk, identity, recovered.end, options).expect("a log");
    let mut run = RunBuilder::new(stream(), Epoch(3), Lsn(1), Hlc::from_millis(START_MS));
    for _ in 1..first {
        run.push(Hlc::from_millis(START_MS), &[]);
    }
    for effects in records {
        let mut bytes = Vec::new();
        effects.iter().for_each(|effect| effect.encode(&mut bytes));
        run.push(Hlc::from_millis(START_MS + 1_000), &bytes);
    }
    writer.append_runs(&[run.run()]).expect("room");
    let archive = writer.archive_tail(stream(), Lsn(first - 1)).expect("an archive");
    let path = dir.path().to_string_lossy().into_owned().into_bytes();
    *node.node.settings.data_dir.write().expect("no panic") = path;
    (node, dir, archive.expect("records were cut"))
}

/// SET of a key of table 0.
pub(crate) fn put<'a>(key: &'a str, value: &'a str) -> Effect<'a> {
    let (key, value) = (key.as_bytes(), value.as_bytes());
    Effect::PutString { table: 0, key, value, deadline: None, raw: false }
}

/// Runs a command until it is answered.
pub(crate) fn answer(node: &mut TestNode, client: &mut TestClient, line: &str) -> String {
    loop {
        let reply = node.run(client, line);
        if client.flow != Flow::Retry {
            return reply;
        }
    }
}
