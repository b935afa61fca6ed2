//! What a node asks of the raft leader, and what comes of it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use trefoil_clock::{Epoch, NodeId};
use trefoil_replication::Acks;

use crate::controller::{Lack, Plan};
use crate::raft::ConfigRefused;
use crate::state::{KeyspacePolicy, Refusal};

/// Names a request over the whole cluster, so that asking again does not do it again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RequestId {
    /// Who asks.
    pub node: NodeId,
    /// Which start of its process.
    pub generation: u64,
    /// Which of its requests.
    pub seq: u64,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Another node is to lead.
    Failover {
        /// Who; none: whoever is fit.
        to: Option<NodeId>,
        /// Whether also if the leader can't hand over, or records may be lost.
        force: Force,
    },
    /// What would a failover do?
    Plan,
    /// How a keyspace is to be replicated.
    SetPolicy {
        /// Its name.
        keyspace: String,
        /// All of it.
        policy: KeyspacePolicy,
    },
    /// A member is to vote.
    AddVoter(NodeId),
    /// A member is not to vote.
    RemoveVoter(NodeId),
    /// A node is not to be a member.
    RemoveMember(NodeId),
    /// How many voters there are to be: 1, 3, 5 or 7.
    SetVoters(u8),
    /// Asked by [`super::Control::propose_electable`].
    Electable {
        /// The epoch that the asker leads in.
        epoch: Epoch,
        /// Counts the changes in that epoch.
        version: u64,
        /// The set.
        electable: BTreeSet<NodeId>,
        /// The rule.
        acks: Acks,
    },
}

/// Whether a person takes the loss of records upon them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Force {
    /// No.
    No,
    /// Yes.
    Yes,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Done {
    /// It is agreed upon.
    Agreed,
    /// It was so already.
    Unchanged,
    /// This node leads.
    Leads {
        /// Who.
        node: NodeId,
        /// In which epoch.
        epoch: Epoch,
    },
    /// The answer to [`Request::Plan`].
    Plan(Box<Plan>),
}

/// Why nothing came of it.
#[derive(Clone, PartialEq, Eq, Debug, Error, Serialize, Deserialize)]
pub enum RequestError {
    /// The raft leader did not answer in time: it may be done or not.
    #[error("the control plane did not answer in time; it may still happen")]
    Unanswered,
    /// It does not fit what is agreed upon.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The members can't be changed so.
    #[error("{0}")]
    Members(String),
    /// Not a member.
    #[error("node {0} is no member")]
    NoMember(NodeId),
    /// It does not hold data.
    #[error("node {0} holds no data")]
    Witness(NodeId),
    /// It leads.
    #[error("node {0} leads already")]
    LeadsAlready(NodeId),
    /// Who leads must be asked to stop first.
    #[error("node {0} is electable or leads: it can't be removed before it is not")]
    Needed(NodeId),
    /// The majority that is left would be too small.
    #[error("without node {0} the voters that are reachable are no majority")]
    Quorum(NodeId),
    /// Another one is under way.
    #[error("another failover is under way")]
    Busy,
    /// Nobody is fit.
    #[error("no failover: {0}")]
    NotFit(Lack),
    /// The leader leads on.
    #[error("node {0} could not take over in time: the leader leads on")]
    HandoverUndone(NodeId),
    /// The node is alone.
    #[error("this node is alone in its cluster")]
    Alone,
}

impl From<ConfigRefused> for RequestError {
    fn from(refused: ConfigRefused) -> RequestError {
        RequestError::Members(refused.to_string())
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Done::Agreed => f.write_str("done"),
            Done::Unchanged => f.write_str("it is so already"),
            Done::Leads { node, epoch } => write!(f, "node {node} leads in epoch {epoch}"),
            Done::Plan(plan) => plan.fmt(f),
        }
    }
}
