//! P5: what a failover loses is in the archive of the node that had acknowledged it, once that node's
//! disk is back. Pitfall 32. That it is a suffix of the leader's order follows from log matching: a
//! history that holds a record holds everything before it.

use trefoil_clock::{ClusterId, EpochTable, Lsn, NodeId};

use super::Judge;
use crate::cluster::CLUSTER;

/// What a node's archive holds.
pub(crate) struct Archive {
    pub(crate) node: NodeId,
    /// Records.
    pub(crate) records: Vec<u64>,
    /// Ends of what snapshots in it stand for.
    pub(crate) snapshots: Vec<(ClusterId, EpochTable, Lsn)>,
}

impl Judge {
    pub(super) fn check_archived(&mut self, survived: &[bool], archives: &[Archive]) {
        for archive in archives {
            let mut held = vec![false; self.known.len()];
            for &id in &archive.records {
                held[id as usize] = true;
            }
            for (cluster, epochs, lsn) in &archive.snapshots {
                let mut id = self.id_at(*cluster, epochs, *lsn);
                while id > 0 && !held[id as usize] {
                    held[id as usize] = true;
                    id = self.known[id as usize].parent;
                }
            }
            let missing = (1..self.known.len()).find(|id| {
                let known = &self.known[*id];
                known.leader == archive.node
                    && known.cluster == CLUSTER
                    && known.acknowledged
                    && !survived[*id]
                    && !held[*id]
                    && !self.lost_power.contains(&(*id as u64))
            });
            if let Some(id) = missing {
                let known = &self.known[id];
                let text = format!(
                    "record {id} ({:?}) was acknowledged by {} and is lost, and it is not archived there",
                    known.position, known.leader
                );
                self.broken("P5", text);
            }
        }
    }
}
