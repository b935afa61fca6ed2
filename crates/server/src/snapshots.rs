//! The snapshot thread: takes snapshots when somebody asks or one is due, gently.
//!
//! It works in slices and rests as long as it worked, so that even on one core the workers have
//! most of it. It is niced only a little: it holds a stripe's lock while it encodes a piece, and a
//! worker that needs the stripe waits for it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trefoil_clock::Lsn;
use trefoil_log::FsDisk;
use trefoil_node::mail::Mail;
use trefoil_node::node::Node;
use trefoil_node::replication::Order;
use trefoil_node::snapshot::{Asked, Finished, Snapshot, Step, due};

/// How often it is looked whether a snapshot is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Work between two rests.
const SLICE: Duration = Duration::from_micros(300);
/// How long to wait for the gate, and for the log.
const GATE_WAIT: Duration = Duration::from_micros(200);
const LOG_WAIT: Duration = Duration::from_millis(10);
const NICE: i32 = 5;

/// What the thread needs.
pub(crate) struct Snapshots {
    pub(crate) node: Arc<Node>,
    pub(crate) disk: FsDisk,
    pub(crate) workers: usize,
}

impl Snapshots {
    /// Runs until the node stops. `covered`: up to where the snapshot goes that was loaded.
    pub(crate) fn run(self, covered: Lsn) {
        let status = &self.node.snapshots;
        status.on_start(now_ms(), covered);
        if let Err(error) = rustix::process::nice(NICE) {
            eprintln!("trefoil: snapshots run at normal priority: {error}");
        }
        loop {
            let take = match status.wait(LOOK_EVERY) {
                Asked::Stop => return,
                Asked::Take => true,
                Asked::Nothing => due(&self.node, now_ms()).is_some(),
            };
            if take {
                self.take();
            }
        }
    }

    fn take(&self) {
        let status = &self.node.snapshots;
        let log_bytes = self.node.log.bytes_logged();
        if !status.on_begun(now_ms()) {
            return;
        }
        let covered = match self.try_take() {
            Ok(Some(finished)) => Some((finished.start_lsn, log_bytes)),
            Ok(None) => None,
            Err(error) => {
                eprintln!("trefoil: the snapshot failed, nothing is lost by that: {error}");
                None
            }
        };
        status.on_finished(now_ms(), covered);
        self.node.replication.orders.put(Order::SnapshotEnded);
        self.node.post.wake_peers();
        for worker in 0..self.workers {
            self.node.post.post(worker as u32, Mail::Wake);
        }
    }

    /// None: the node stops.
    fn try_take(&self) -> io::Result<Option<Finished>> {
        let mut snapshot = loop {
            if self.node.snapshots.is_given_up() {
                return Ok(None);
            }
            let begun = Snapshot::begin(&self.node, self.disk.clone())?;
            match begun {
                Some(snapshot) => break snapshot,
                None => thread::sleep(GATE_WAIT),
            }
        };
        let mut slice = Instant::now();
        loop {
            let rest = match snapshot.step() {
                Ok(Step::Done(finished)) => return Ok(Some(finished)),
                Ok(Step::Working) if slice.elapsed() < SLICE => continue,
                Ok(Step::Working) => slice.elapsed(),
                Ok(Step::Blocked) => GATE_WAIT,
                Ok(Step::Syncing) => LOG_WAIT,
                Err(error) => {
                    snapshot.abandon()?;
                    return Err(error);
                }
            };
            if self.node.snapshots.is_given_up() {
                snapshot.abandon()?;
                return Ok(None);
            }
            thread::sleep(rest);
            slice = Instant::now();
        }
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{EpochTable, Hlc, NodeId};
    use trefoil_log::{ClusterId, Identity};
    use trefoil_node::exclusive::Pass;
    use trefoil_node::log::{Fsync, LogQueue};
    use trefoil_node::mail::Post;
    use trefoil_node::settings::Settings;
    use trefoil_store::{KeyHasher, Keyspace, Sequencer};

    use super::*;

    struct NoPost;

    impl Post for NoPost {
        fn post(&self, _: u32, _: Mail) {}
    }

    /// Fails, by never ending, if only a snapshot that has begun looks for the stop.
    #[test]
    fn a_stop_ends_the_wait_for_the_gate() {
        let dir = tempfile::tempdir().expect("a directory");
        let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
        let keyspace = Keyspace::new(KeyHasher::new(7), sequencer, 2);
        let log = Arc::new(LogQueue::new(Fsync::No, Lsn::ZERO));
        let identity = Identity { node: NodeId(1), cluster: ClusterId(2) };
        let place = (identity, EpochTable::default());
        let node = Node::new(keyspace, log, place, 1, Settings::default(), Arc::new(NoPost));
        let node = Arc::new(node);
        assert!(Pass::new(0).try_alone(&node.exclusive), "and it stays so");
        node.snapshots.stop();
        let snapshots =
            Snapshots { node, disk: FsDisk::open(dir.path()).expect("a directory"), workers: 1 };
        assert_eq!(snapshots.try_take().expect("nothing is written"), None);
    }
}
