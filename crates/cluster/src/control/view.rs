//! What a status command shows of the agreement, as one node sees it.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_clock::{NodeId, ShardId};

use crate::controller::Stage;
use crate::raft::{Index, Term};
use crate::state::ControlState;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlView {
    /// This node.
    pub own: NodeId,
    /// The shard whose leaders are agreed upon.
    pub shard: ShardId,
    /// What is agreed upon, as far as this node knows.
    pub state: ControlState,
    /// Who leads the control plane, if known.
    pub raft_leader: Option<NodeId>,
    /// Its term.
    pub term: Term,
    /// The entry up to which this node knows what is agreed upon.
    pub index: Index,
    /// Who votes.
    pub voters: BTreeSet<NodeId>,
    /// Who only listens.
    pub learners: BTreeSet<NodeId>,
    /// On the raft leader: for how long each other member was not heard, milliseconds.
    pub silent_ms: BTreeMap<NodeId, u64>,
    /// On the raft leader: what it is doing about the shard.
    pub stage: Option<Stage>,
    /// The next automatic failover waits until then, milliseconds of the clock that is passed in.
    pub damped_until_ms: Option<u64>,
    /// Of this node as the shard's leader: until when replies may leave.
    pub lease_until_ms: u64,
}
