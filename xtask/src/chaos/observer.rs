//! Looks at all nodes all the time: which states the cluster was in, and who led in which epoch.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use trefoil_check::Findings;
use trefoil_check::epochs::{self, Record};

use super::nodes::Nodes;

/// Between two looks.
const PACE: Duration = Duration::from_millis(50);

/// What of INFO makes a state of a node; numbers that only grow do not.
const WORDS: [&str; 9] = [
    "trefoil_role",
    "master_link_status",
    "master_sync_in_progress",
    "connected_slaves",
    "replicas_waiting_psync",
    "members",
    "acks",
    "acks_blocked",
    "acks_degraded",
];

/// A thread that looks.
pub(super) struct Observer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

#[derive(Default)]
struct Seen {
    /// All nodes' words at one moment: roles, links, modes.
    states: HashSet<Vec<String>>,
    /// Each once.
    leaders: HashSet<(u64, usize)>,
}

impl Observer {
    pub(super) fn start(nodes: Arc<Nodes>) -> Result<Observer> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("observer".into()).spawn(move || {
            let mut seen = Seen::default();
            while !stopped.load(Ordering::SeqCst) {
                look(&nodes, &mut seen);
                thread::sleep(PACE);
            }
            seen
        })?;
        Ok(Observer { stop, thread })
    }

    /// Numbers of distinct states and epochs, and whether an epoch had two leaders.
    pub(super) fn end(self) -> ((usize, usize), Findings) {
        self.stop.store(true, Ordering::SeqCst);
        let seen = self.thread.join().unwrap_or_default();
        let record = |(epoch, node): &(u64, usize)| Record {
            epoch: *epoch,
            lsn: 0,
            leader: Some(format!("node {node}")),
            content: None,
            acknowledged: false,
            witness: format!("INFO of node {node}"),
        };
        let records: Vec<Record> = seen.leaders.iter().map(record).collect();
        let epochs: HashSet<u64> = records.iter().map(|record| record.epoch).collect();
        ((seen.states.len(), epochs.len()), epochs::check(&records))
    }
}

fn look(nodes: &Nodes, seen: &mut Seen) {
    let mut state = Vec::new();
    for node in 0..nodes.count() {
        // Who does not answer is in a state as well.
        let fields = nodes.info(node).unwrap_or_default();
        let value = |name: &str| {
            fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.trim().to_owned())
        };
        if value("trefoil_role").as_deref() == Some("leader")
            && let Some(epoch) = value("epoch").and_then(|epoch| epoch.parse().ok())
        {
            seen.leaders.insert((epoch, node));
        }
        let words = WORDS.iter().map(|name| value(name).unwrap_or_default());
        state.push(words.collect::<Vec<_>>().join(" "));
    }
    seen.states.insert(state);
}
