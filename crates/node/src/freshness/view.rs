//! What a worker of a follower knows of the node during a turn, so that each read need not ask.

use trefoil_clock::{EpochTable, Lsn, NodeId, Position};

use crate::node::Node;
use crate::replication::LinkState;

/// See the module. Of a node that leads it is not kept up to date.
#[derive(Default)]
pub(crate) struct FollowerView {
    /// Which state of [`crate::replication::Replication`] the rest is of.
    version: u64,
    pub(crate) epochs: EpochTable,
    /// Whom commands may be sent to. None: who leads is not known.
    pub(crate) leader: Option<NodeId>,
    /// Records come.
    pub(crate) is_linked: bool,
    /// The last record that the leader is known to have.
    pub(crate) leader_end: Lsn,
    /// What readers see.
    pub(crate) applied: Lsn,
    /// What is seen is known to be committed.
    pub(crate) is_ready: bool,
    /// When the newest probe was sent whose answer readers see, Unix milliseconds.
    pub(crate) fresh_at_ms: u64,
}

impl FollowerView {
    /// Brings it up to date, inside the exclusive gate: what is applied does not go back until the
    /// turn ends.
    pub(crate) fn refresh(&mut self, node: &Node) {
        let replication = &node.replication;
        let version = replication.version();
        if version != self.version {
            self.version = version;
            self.epochs = replication.epochs();
            let link = replication.leader();
            self.leader = link.as_ref().and_then(|link| link.node);
            self.leader_end = link.as_ref().map_or(Lsn::ZERO, |link| link.end);
            self.is_linked = link.is_some_and(|link| link.state == LinkState::Streaming);
        }
        self.is_ready = replication.is_ready();
        self.fresh_at_ms = replication.fresh_at_ms();
        self.applied = node.keyspace.sequencer().last_lsn();
    }

    /// Whether this history went another way before it came to a record. An epoch that is not known
    /// here yet may be one to come.
    pub(crate) fn has_lost(&self, seen: Position) -> bool {
        self.epochs.last().is_some_and(|last| seen.epoch <= last.epoch)
            && self.epochs.position(seen.lsn) != seen
    }

    /// Where readers stand.
    pub(crate) fn position(&self) -> Position {
        self.epochs.position(self.applied)
    }
}
