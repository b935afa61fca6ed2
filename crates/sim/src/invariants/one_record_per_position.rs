//! P9: `(epoch, lsn)` names one record of a leader, and outside `async` and degraded times no LSN is
//! acknowledged in two epochs. Pitfall 11. Two leaders of one epoch, set by two hands, are told apart by
//! the leader's name; that the cores notice it is counted, not judged.

use trefoil_clock::{Identity, Position};

use super::{Committed, Judge};
use crate::cluster::{CLUSTER, Care};

impl Judge {
    pub(super) fn name(&mut self, identity: Identity, position: Position, id: u64) {
        let name = (identity.cluster, identity.node, position);
        if let Some(other) = self.names.insert(name, id) {
            let leader = identity.node;
            let text = format!("{position:?} of leader {leader} names records {other} and {id}");
            self.broken("P9", text);
        }
    }

    /// A client is told that its write is done.
    pub(super) fn on_acknowledged(&mut self, id: u64) {
        let known = &mut self.known[id as usize];
        known.acknowledged = true;
        let (position, strict) = (known.position, known.committed == Committed::Strictly);
        if !strict || self.care == Care::Careless || known.cluster != CLUSTER {
            return;
        }
        let first = *self.acknowledged.entry(position.lsn).or_insert((position.epoch, id));
        if first.0 != position.epoch {
            let text = format!(
                "LSN {} was acknowledged in {} and {}",
                position.lsn, first.0, position.epoch
            );
            self.broken("P9", text);
        }
    }
}
