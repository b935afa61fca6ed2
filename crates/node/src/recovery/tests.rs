//! Starts after damage to snapshots: nothing that was lost is taken for nothing.

mod branches;

use std::sync::Arc;

use trefoil_clock::NodeId;
use trefoil_log::{ClusterId, DiskFile, FaultDisk, WriterOptions};
use trefoil_store::record::LogBatch;
use trefoil_store::txn::{Deadline, Txn, Writer as StoreWriter};

use super::*;
use crate::log::{Fsync, LogDriver, LogQueue, Turn};
use crate::mail::{Mail, Post};
use crate::node::Node;
use crate::settings::Settings;
use crate::snapshot::{Snapshot, Step};

/// When keys are written.
const NOW_MS: u64 = 1_700_000_000_000;

struct NoPost;

impl Post for NoPost {
    fn post(&self, _worker: u32, _mail: Mail) {}
}

fn options() -> StartOptions {
    StartOptions {
        identity: Identity { node: NodeId(1), cluster: ClusterId(2) },
        hasher: KeyHasher::new(7),
        tallies: 2,
        log: WriterOptions { segment_bytes: 1 << 12, recycled_max: 0, ..WriterOptions::default() },
    }
}

/// A node in one life.
struct Life {
    node: Arc<Node>,
    driver: LogDriver<FaultDisk>,
    disk: FaultDisk,
}

impl Life {
    fn begin(disk: &FaultDisk) -> Result<Life, StartError> {
        let Started { keyspace, writer, report } = start(disk.clone(), options())?;
        let queue = Arc::new(LogQueue::new(Fsync::No, writer.appended(stream())));
        let (log, post) = (Arc::clone(&queue), Arc::new(NoPost));
        let node = Arc::new(Node::new(
            keyspace,
            log,
            (options().identity, report.epochs),
            1,
            Settings::default(),
            post,
        ));
        let driver = LogDriver::new(queue, writer, report.epoch, Box::new(|_| {}));
        Ok(Life { node, driver, disk: disk.clone() })
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        let keyspace = &self.node.keyspace;
        let (mut writer, key) = (StoreWriter::new(0, 1), keyspace.key(key));
        writer.now_ms = NOW_MS;
        let mut txn = Txn::single(keyspace, &mut writer, 0, &key);
        txn.put(&key, value.into(), Deadline::None);
        txn.commit();
        self.node.log.push(writer.log.take(LogBatch::default()));
        self.turn();
    }

    fn turn(&mut self) -> Turn {
        self.driver.turn_without_waiting().expect("a healthy disk")
    }

    /// Takes a snapshot and returns its name.
    fn save(&mut self) -> String {
        let begun = Snapshot::begin(&self.node, self.disk.clone());
        let mut snapshot = begun.expect("a healthy disk").expect("nobody is alone");
        loop {
            if let Step::Done(finished) = snapshot.step().expect("a healthy disk") {
                self.turn();
                return finished.name;
            }
            self.turn();
        }
    }

    fn stop(mut self) {
        self.node.log.stop(crate::log::Stop::Clean);
        while !matches!(self.turn(), Turn::Stopped) {}
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let keyspace = &self.node.keyspace;
        let (mut writer, key) = (StoreWriter::new(0, 1), keyspace.key(key));
        let mut txn = Txn::single(keyspace, &mut writer, 0, &key);
        txn.peek_string(&key).expect("a string").map(|view| view.bytes().to_vec())
    }
}

/// A copy of the files that `keep` names.
fn copy(disk: &FaultDisk, keep: impl Fn(&str) -> bool) -> FaultDisk {
    let copied = FaultDisk::new();
    for name in disk.list().expect("a listing").iter().filter(|name| keep(name)) {
        let bytes = disk.contents(name).expect("a listed file");
        copied.create(name).expect("room").write_at(&bytes, 0).expect("room");
    }
    copied
}

#[test]
fn a_damaged_snapshot_without_a_log_is_not_taken_for_an_empty_node() {
    let disk = FaultDisk::new();
    let mut life = Life::begin(&disk).expect("an empty disk");
    life.put(b"k", b"v");
    life.stop();
    // All segments go: the log of this life is empty so far.
    let mut life = Life::begin(&disk).expect("a clean stop");
    let name = life.save();
    for with_mark in [false, true] {
        if with_mark {
            Life::begin(&disk).expect("a snapshot").stop();
        }
        let whole = Life::begin(&copy(&disk, |_| true)).expect("a snapshot");
        assert_eq!(whole.get(b"k"), Some(b"v".to_vec()));
        let damaged = copy(&disk, |_| true);
        let end = damaged.contents(&name).expect("the snapshot").len() as u64;
        damaged.flip_bit(&name, end - 1, 0);
        let error = Life::begin(&damaged).map(|_| ()).expect_err("the data is gone");
        assert!(matches!(error, StartError::NoSnapshot { .. }), "{error}");
    }
}

#[test]
fn a_snapshot_of_a_lost_branch_is_never_used_again() {
    let disk = FaultDisk::new();
    let mut life = Life::begin(&disk).expect("an empty disk");
    life.put(b"a", b"1");
    let older = life.save();
    let short = copy(&disk, |_| true);
    life.put(b"k", b"lost");
    life.put(b"k", b"lost, too");
    let newer = life.save();
    // The log is as it was at the older snapshot, and the newer one is there as well.
    let bytes = disk.contents(&newer).expect("the snapshot");
    short.create(&newer).expect("room").write_at(&bytes, 0).expect("room");
    let mut life = Life::begin(&short).expect("the older snapshot fits");
    assert!(life.get(b"k").is_none() && older != newer);
    life.put(b"k", b"new");
    for _ in 0..3 {
        life.put(b"b", b"2");
    }
    life.stop();
    let life = Life::begin(&short).expect("a clean stop");
    assert_eq!(life.get(b"k"), Some(b"new".to_vec()));
    assert_eq!(life.get(b"b"), Some(b"2".to_vec()));
}

#[test]
fn entries_of_a_snapshot_are_as_if_used_when_it_ended() {
    let disk = FaultDisk::new();
    let mut life = Life::begin(&disk).expect("an empty disk");
    life.put(b"k", b"v");
    life.save();
    life.stop();
    let life = Life::begin(&disk).expect("a snapshot");
    let keyspace = &life.node.keyspace;
    let (mut writer, key) = (StoreWriter::new(0, 1), keyspace.key(b"k"));
    let mut txn = Txn::single(keyspace, &mut writer, 0, &key);
    let access = txn.meta(&key).expect("it was loaded").access;
    assert_eq!(keyspace.access_mode().idle_ms(access, NOW_MS + 5_000), 5_000);
}
