//! P1: with `fsync always` an acknowledged write survives the power loss of its node.

use trefoil_clock::NodeId;
use trefoil_replication::LocalRule;

use super::Judge;
use crate::cluster::Record;

impl Judge {
    /// A power loss took records from a node.
    pub(crate) fn on_power_loss(&mut self, node: NodeId, local: LocalRule, lost: &[Record]) {
        for record in lost {
            let known = &self.known[record.id as usize];
            if known.leader != node {
                continue;
            }
            self.lost_power.insert(record.id);
            if local == LocalRule::Durable && known.by_maker {
                let text = format!(
                    "record {} ({:?}) was committed and not synced",
                    record.id, known.position
                );
                self.broken("P1", text);
            }
        }
    }
}
