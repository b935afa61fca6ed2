//! Looks at every node all the time: what role it had since when, and who led in which epoch.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use trefoil_check::Findings;
use trefoil_check::epochs::{self, Record};

use super::views::view;

/// Between two looks at a node.
const PACE: Duration = Duration::from_millis(50);
/// What a node that does not answer is called.
pub(crate) const SILENT: &str = "silent";

/// A node was seen in another role or epoch than before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub(crate) at_us: u64,
    pub(crate) node: usize,
    pub(crate) role: String,
    pub(crate) epoch: u64,
}

/// A thread per node that looks.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Change>>>,
}

impl Watch {
    /// `start` is the zero of the changes' times.
    pub(crate) fn start(addresses: &[SocketAddr], start: Instant) -> Result<Watch> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (node, address) in addresses.iter().copied().enumerate() {
            let stop = Arc::clone(&stop);
            let thread = thread::Builder::new().name(format!("watch-{node}"));
            threads.push(thread.spawn(move || look(node, address, start, &stop))?);
        }
        Ok(Watch { stop, threads })
    }

    /// All changes, in their order.
    pub(crate) fn end(self) -> Vec<Change> {
        self.stop.store(true, Ordering::SeqCst);
        let seen = self.threads.into_iter().map(|thread| thread.join().unwrap_or_default());
        let mut changes: Vec<Change> = seen.flatten().collect();
        changes.sort_by_key(|change| change.at_us);
        changes
    }
}

fn look(node: usize, address: SocketAddr, start: Instant, stop: &AtomicBool) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let epoch_before = changes.last().map_or(0, |change| change.epoch);
        let (role, epoch) = match view(address) {
            Ok(view) => (view.role, view.epoch),
            Err(_) => (SILENT.to_owned(), epoch_before),
        };
        let is_new = |last: &Change| last.role != role || last.epoch != epoch;
        if changes.last().is_none_or(is_new) {
            let at_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            changes.push(Change { at_us, node, role, epoch });
        }
        thread::sleep(PACE);
    }
    changes
}

/// Who led in which epoch.
pub(crate) fn leaders(changes: &[Change]) -> BTreeSet<(u64, usize)> {
    let led = changes.iter().filter(|change| change.role == "leader");
    led.map(|change| (change.epoch, change.node)).collect()
}

/// Whether an epoch had two leaders.
pub(crate) fn check(changes: &[Change]) -> Findings {
    let record = |(epoch, node)| Record {
        epoch,
        lsn: 0,
        leader: Some(format!("node {node}")),
        content: None,
        acknowledged: false,
        witness: format!("INFO of node {node}"),
    };
    let records: Vec<Record> = leaders(changes).into_iter().map(record).collect();
    epochs::check(&records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(node: usize, role: &str, epoch: u64) -> Change {
        Change { at_us: 0, node, role: role.to_owned(), epoch }
    }

    #[test]
    fn an_epoch_with_two_leaders_is_found() {
        let mut changes = vec![change(0, "leader", 1), change(1, "follower", 1)];
        changes.push(change(1, "leader", 2));
        assert_eq!(leaders(&changes), BTreeSet::from([(1, 0), (2, 1)]));
        assert!(check(&changes).holds());
        changes.push(change(2, "leader", 2));
        assert!(!check(&changes).holds());
    }
}
