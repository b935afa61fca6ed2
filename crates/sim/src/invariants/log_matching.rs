//! Log matching: if two logs have a record in common, they have everything before it in common. It is
//! enough that each record is added right behind the one that its leader had made it behind.

use trefoil_clock::{ClusterId, EpochTable, Position};

use super::Judge;
use crate::cluster::Record;

impl Judge {
    /// A node adds records behind the end of its log.
    pub(crate) fn on_append(
        &mut self,
        slot: usize,
        cluster: ClusterId,
        epochs: &EpochTable,
        end: Position,
        records: &[Record],
    ) {
        let mut parent = self.id_at(cluster, epochs, end.lsn);
        for record in records {
            let known = &self.known[record.id as usize];
            let entry = epochs.entry_of(record.lsn);
            let named = known.cluster == cluster && known.position == record.position();
            let led = entry.is_some_and(|e| e.epoch == record.epoch && e.leader == known.leader);
            if known.parent != parent || !named || !led {
                let text = format!(
                    "n{slot} adds record {} ({:?} of {}) behind record {parent}, it was made behind {}; \
                     the epoch table has {entry:?}",
                    record.id, known.position, known.leader, known.parent
                );
                self.broken("log matching", text);
                return;
            }
            parent = record.id;
        }
    }
}
