//! Where the replication side of a node stands, as it tells the agreement.

use std::collections::BTreeSet;

use trefoil_clock::{Epoch, Lsn, NodeId, Position};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LocalReport {
    /// The epoch that it leads in.
    pub led: Option<Epoch>,
    /// It takes and gives no record of this epoch or an older one any more, and all that it took is in
    /// the log.
    pub fenced: Option<Epoch>,
    /// Where its log ends.
    pub end: Position,
    /// What its readers see.
    pub applied: Lsn,
    /// It holds every record up to `end`: no snapshot is being installed, nothing is damaged.
    pub whole: bool,
    /// It still has all that it ever acknowledged: since the power went, if it did, it has caught up.
    pub intact: bool,
    /// Its disk and its loop are well.
    pub healthy: bool,
    /// Of a leader: the electable followers that lack next to nothing.
    pub caught_up: BTreeSet<NodeId>,
}
