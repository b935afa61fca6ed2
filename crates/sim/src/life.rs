//! One life of the node, from a start to a crash: workers, the log's driver, perhaps a snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use trefoil_clock::{Lsn, NodeId};
use trefoil_log::{ClusterId, FaultDisk, Identity, WriterOptions};
use trefoil_node::log::{Fsync, LogDriver, LogHealth, LogLost, LogQueue, Turn, stream};
use trefoil_node::mail::{Mail, Post};
use trefoil_node::node::Node;
use trefoil_node::recovery::{Report, StartError, StartOptions, start};
use trefoil_node::settings::Settings;
use trefoil_node::snapshot::{Snapshot, Step};
use trefoil_store::KeyHasher;
use trefoil_store::record::LogBatch;
use trefoil_store::txn::{Deadline, StripeId, Txn, Writer};
use trefoil_store::walk::scan;

use crate::dice::Dice;
use crate::model::{Change, DBS, State, Transaction};

const IDENTITY: Identity = Identity { node: NodeId(7), cluster: ClusterId(8) };
/// Workers; their records interleave in the log.
pub(crate) const WORKERS: usize = 2;
const KEYS: u64 = 24;
/// Deadlines lie beyond the end of every run: expiry is another simulation's subject.
const FAR_MS: u64 = 1 << 40;
const LARGE: usize = 17 << 10;

struct NoPost;

impl Post for NoPost {
    fn post(&self, _worker: u32, _mail: Mail) {}
}

/// See the module.
pub(crate) struct Life {
    pub(crate) node: Arc<Node>,
    disk: FaultDisk,
    driver: LogDriver<FaultDisk>,
    writers: Vec<Writer>,
    snapshot: Option<Snapshot<FaultDisk>>,
    /// The log can't be written any more: the process would have ended.
    lost: bool,
}

impl Life {
    /// Starts a node on what the disk holds.
    pub(crate) fn begin(
        disk: &FaultDisk,
        fsync: Fsync,
        now_ms: &Arc<AtomicU64>,
        dice: &mut Dice,
    ) -> Result<(Life, Report), StartError> {
        let log = WriterOptions {
            segment_bytes: 2_048 << dice.below(4),
            buffer_bytes: 1_024 << dice.below(6),
            ..WriterOptions::default()
        };
        let hasher = KeyHasher::new(dice.roll());
        let options = StartOptions { identity: IDENTITY, hasher, tallies: WORKERS + 1, log };
        let started = start(disk.clone(), options)?;
        let queue = Arc::new(LogQueue::new(fsync, started.writer.appended(stream())));
        let epoch = started.report.epoch;
        let (settings, post) = (Settings::default(), Arc::new(NoPost));
        let place = (IDENTITY, started.report.epochs.clone());
        let node = Node::new(started.keyspace, Arc::clone(&queue), place, WORKERS, settings, post);
        let clock = Arc::clone(now_ms);
        let driver = LogDriver::new(queue, started.writer, epoch, Box::new(|_| {}))
            .with_clock(Box::new(move || Duration::from_millis(clock.load(Relaxed))));
        let life = Life {
            node: Arc::new(node),
            disk: disk.clone(),
            driver,
            writers: (0..WORKERS).map(|worker| Writer::new(worker, 1 + worker as u32)).collect(),
            snapshot: None,
            lost: false,
        };
        Ok((life, started.report))
    }

    /// What the node holds.
    pub(crate) fn contents(&mut self) -> State {
        let mut state = State::default();
        for (db, held) in state.iter_mut().enumerate() {
            let keyspace = &self.node.keyspace;
            let mut keys = Vec::new();
            let mut cursor = 0;
            loop {
                cursor = scan(keyspace, &self.writers[0], db as u8, cursor, 100, |met| {
                    keys.push(met.key.to_vec());
                });
                if cursor == 0 {
                    break;
                }
            }
            for name in keys {
                let key = keyspace.key(&name);
                let mut txn = Txn::single(keyspace, &mut self.writers[0], db as u8, &key);
                let deadline = txn.peek(&key).and_then(|meta| meta.deadline);
                if let Ok(Some(view)) = txn.peek_string(&key) {
                    held.insert(name, (view.bytes().to_vec(), deadline));
                }
            }
        }
        state
    }

    /// The last record that was numbered.
    pub(crate) fn last_lsn(&self) -> u64 {
        self.node.keyspace.sequencer().last_lsn().0
    }

    /// Whether writes are refused.
    pub(crate) fn refuses(&self) -> bool {
        self.node.log.health() != LogHealth::Writing
    }

    /// Runs a random transaction on a random worker. None: it changed nothing.
    pub(crate) fn transact(&mut self, now_ms: u64, dice: &mut Dice) -> Option<Transaction> {
        let writer = &mut self.writers[dice.below(WORKERS as u64) as usize];
        writer.now_ms = now_ms;
        let db = dice.below(DBS as u64) as usize;
        let keyspace = &self.node.keyspace;
        let mut changes = Vec::new();
        let outcome = if dice.one_in(40) {
            let mut txn = Txn::exclusive(keyspace, writer, db as u8);
            if dice.one_in(2) {
                txn.flush(db as u8);
                changes.push(Change::Flush(db));
            } else {
                txn.swap(0, 1);
                changes.push(Change::Swap);
            }
            txn.commit()
        } else {
            let names: Vec<Vec<u8>> = (0..1 + dice.below(3))
                .map(|_| format!("key:{}", dice.below(KEYS)).into_bytes())
                .collect();
            let stripe = |name: &Vec<u8>| StripeId::of(keyspace, db as u8, &keyspace.key(name));
            let mut stripes = names.iter().map(stripe).collect();
            let mut txn = Txn::several(keyspace, writer, db as u8, &mut stripes);
            for name in names {
                changes.extend(change(&mut txn, db, name, dice));
            }
            txn.commit()
        };
        outcome.written.map(|lsn| Transaction { lsn: lsn.0, changes, published_ms: None })
    }

    /// A worker's turn ends: its records go to the log. Up to which LSN they go.
    pub(crate) fn publish(&mut self, worker: usize) -> Option<LogBatch> {
        let writer = &mut self.writers[worker];
        if writer.log.is_empty() {
            return None;
        }
        let batch = writer.log.take(LogBatch::default());
        let shown = LogBatch { runs: batch.runs.clone(), bytes: Vec::new() };
        self.node.log.push(batch);
        Some(shown)
    }

    /// A turn of the log thread.
    fn drive(&mut self) -> Result<Turn, LogLost> {
        self.driver.turn_without_waiting()
    }

    /// The same while serving.
    pub(crate) fn drive_or_note_the_loss(&mut self) {
        self.lost |= self.drive().is_err();
    }

    /// Whether the process would have ended by itself.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// A little work on a snapshot; begins one if there is none.
    pub(crate) fn work_on_snapshot(&mut self, steps: u64) {
        for _ in 0..steps {
            let Some(snapshot) = &mut self.snapshot else {
                let begun = Snapshot::begin(&self.node, self.disk.clone());
                self.snapshot = begun.ok().flatten();
                return;
            };
            match snapshot.step() {
                Ok(Step::Done(_)) => {
                    self.snapshot = None;
                    return;
                }
                Ok(_) => {}
                Err(_) => {
                    // The disk is full or off; what is left of the file is removed by the next start.
                    let _ = self.snapshot.take().map(Snapshot::abandon);
                    return;
                }
            }
        }
    }

    /// Stops as a signal stops it. Whether the stop could be marked as clean.
    pub(crate) fn stop(&mut self) -> bool {
        for worker in 0..WORKERS {
            self.publish(worker);
        }
        self.node.log.stop(trefoil_node::log::Stop::Clean);
        for _ in 0..10 {
            match self.drive() {
                Ok(Turn::Stopped) => return true,
                Ok(Turn::Continue | Turn::Asked(..)) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// What the log says of itself: (handed to the system, durable).
    pub(crate) fn progress(&self) -> (Lsn, Lsn) {
        (self.node.log.appended(), self.node.log.durable())
    }
}

/// One random change of a key within a transaction.
fn change(txn: &mut Txn<'_>, db: usize, name: Vec<u8>, dice: &mut Dice) -> Option<Change> {
    let key = txn.key(&name);
    let there = txn.peek(&key).is_some();
    let deadline = dice.one_in(4).then(|| FAR_MS + dice.below(1_000));
    match dice.below(8) {
        0 if there => {
            txn.delete(&key);
            Some(Change::Delete(db, name))
        }
        1 if there => {
            txn.set_deadline(&key, deadline);
            Some(Change::Deadline(db, name, deadline))
        }
        2 if there => {
            let suffix = vec![b'+'; 1 + dice.below(40) as usize];
            txn.append(&key, &suffix);
            Some(Change::Append(db, name, suffix))
        }
        _ => {
            let len = if dice.one_in(60) { LARGE } else { dice.below(200) as usize };
            let value = vec![b'a' + dice.below(26) as u8; len];
            let until = deadline.map_or(Deadline::None, Deadline::At);
            txn.put(&key, value.as_slice().into(), until);
            Some(Change::Put(db, name, (value, deadline)))
        }
    }
}
