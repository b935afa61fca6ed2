//! What happened, for people: to be logged, counted, published.

use std::fmt;

use trefoil_clock::{Epoch, NodeId, ShardId};

use crate::controller::Lack;
use crate::message::JoinRefused;
use crate::raft::Index;
use crate::state::RevokeReason;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A leader leads no more.
    Revoked {
        /// Of which shard.
        shard: ShardId,
        /// In which epoch it led.
        epoch: Epoch,
        /// Who.
        leader: NodeId,
        /// Why.
        reason: RevokeReason,
    },
    /// Another one leads, or the same one again, in a new epoch.
    Granted {
        /// Which shard.
        shard: ShardId,
        /// The new epoch.
        epoch: Epoch,
        /// Who led in the one before.
        from: NodeId,
        /// Who leads.
        to: NodeId,
    },
    /// Nobody can be elected yet. Said by the raft leader when the reason is another one than before.
    ElectionWaits {
        /// Of which shard.
        shard: ShardId,
        /// Why.
        lack: Lack,
    },
    /// A leader is elected that may lack what was acknowledged.
    MayLack {
        /// Of which shard.
        shard: ShardId,
        /// Who.
        node: NodeId,
        /// Records that the leader before it is known to have had and this one lacks.
        records: u64,
    },
    /// The leader is silent, but there were too many failovers lately.
    Damped {
        /// Of which shard.
        shard: ShardId,
        /// For how long it waits.
        hold_ms: u64,
    },
    /// A leader could not hand over in time, and leads on.
    HandoverUndone {
        /// Of which shard.
        shard: ShardId,
        /// Who was to lead.
        to: NodeId,
    },
    /// A node belongs to the cluster.
    MemberJoined(NodeId),
    /// A member has started again, or moved.
    MemberStarted {
        /// Who.
        node: NodeId,
        /// Its start.
        generation: u64,
    },
    /// A node belongs to the cluster no more.
    MemberLeft(NodeId),
    /// A node votes.
    VoterAdded(NodeId),
    /// A node votes no more.
    VoterRemoved(NodeId),
    /// This node leads the control plane.
    RaftLeader(NodeId),
    /// This node is not taken in.
    JoinRefused(JoinRefused),
    /// Another release agreed upon something that this one can't read: it takes part no more.
    Unreadable(Index),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Revoked { shard, epoch, leader, reason } => write!(
                f,
                "shard {}: node {leader} leads no more in epoch {epoch}: {reason}",
                shard.0
            ),
            Event::Granted { shard, epoch, from, to } => {
                write!(f, "shard {}: node {to} leads in epoch {epoch}, after node {from}", shard.0)
            }
            Event::ElectionWaits { shard, lack } => {
                write!(f, "shard {}: nobody is elected yet: {lack}", shard.0)
            }
            Event::MayLack { shard, node, records } => write!(
                f,
                "shard {}: node {node} is elected without proof that it has everything; it is known \
                 to lack {records} records",
                shard.0
            ),
            Event::Damped { shard, hold_ms } => write!(
                f,
                "shard {}: the leader is silent; after so many failovers the next one waits {hold_ms} ms",
                shard.0
            ),
            Event::HandoverUndone { shard, to } => {
                write!(f, "shard {}: node {to} could not take over in time", shard.0)
            }
            Event::MemberJoined(node) => write!(f, "node {node} joined"),
            Event::MemberStarted { node, generation } => {
                write!(f, "node {node} started again (generation {generation})")
            }
            Event::MemberLeft(node) => write!(f, "node {node} left"),
            Event::VoterAdded(node) => write!(f, "node {node} votes"),
            Event::VoterRemoved(node) => write!(f, "node {node} votes no more"),
            Event::RaftLeader(node) => write!(f, "node {node} leads the control plane"),
            Event::JoinRefused(why) => write!(f, "this node is not taken in: {why}"),
            Event::Unreadable(at) => write!(
                f,
                "what the cluster agreed upon at {} is of a newer release: this node takes part no more \
                 until it is of that release, too",
                at.0
            ),
        }
    }
}
