//! What consensus orders.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use trefoil_clock::{Epoch, NodeId, ShardId};
use trefoil_replication::Acks;

use super::{KeyspacePolicy, Member};

/// A change of the state. Each carries what it was decided upon, so that one that comes late is refused
/// instead of undoing what came before it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// The first one: this node leads, in the epoch that it had reached alone.
    Found {
        /// The founder.
        member: Member,
        /// Which shard.
        shard: ShardId,
        /// Its epoch.
        epoch: Epoch,
        /// The keyspace `default`.
        policy: KeyspacePolicy,
    },
    /// A founder that is still alone begins epochs by itself; this is where it stands.
    Advance {
        /// Which shard.
        shard: ShardId,
        /// The epoch that it leads in.
        epoch: Epoch,
    },
    /// A node becomes a member, or a member has started again or moved.
    Join(Member),
    /// A member that is not electable anywhere belongs to the cluster no more.
    Leave(NodeId),
    /// What a person wants of a keyspace.
    SetPolicy {
        /// Its name.
        keyspace: String,
        /// All of it.
        policy: KeyspacePolicy,
    },
    /// From the leader: who may be elected, and by which rule. In force for elections at once, for
    /// acknowledgements when the leader knows that this is committed (rule 10).
    Electable {
        /// Which shard.
        shard: ShardId,
        /// The epoch that it leads in.
        epoch: Epoch,
        /// The start of the leader's process that asks. One that came before the present one asks in vain.
        generation: u64,
        /// One more than the shard's: what was asked for before, and comes again, changes nothing.
        version: u64,
        /// The set, the leader among them.
        electable: BTreeSet<NodeId>,
        /// The rule.
        acks: Acks,
    },
    /// How many voters the cluster is to have, if there are so many nodes.
    SetVoters(u8),
    /// This member is not to vote.
    Bar(NodeId),
    /// It may vote again.
    Unbar(NodeId),
    /// The leader of this epoch leads no more.
    Revoke {
        /// Which shard.
        shard: ShardId,
        /// Its epoch.
        epoch: Epoch,
        /// Why, for people.
        reason: RevokeReason,
    },
    /// An electable node leads, in the next epoch.
    Grant {
        /// Which shard.
        shard: ShardId,
        /// The new epoch: one above the revoked one.
        epoch: Epoch,
        /// Who leads.
        leader: NodeId,
    },
}

/// Why a leader leads no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RevokeReason {
    /// A majority of the voters had not heard of it for too long.
    Silent,
    /// It gave its lease back.
    Resigned(ResignReason),
    /// A person said so.
    Forced,
}

/// Why a leader gives its lease back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ResignReason {
    /// Another node is to lead, and has everything.
    Asked,
    /// Its process ends.
    Stopping,
    /// Its disk is slow or fails.
    SickDisk,
    /// Its loop stood still.
    StalledLoop,
    /// It has started again, and may lack what it acknowledged before.
    Unclean,
}

impl fmt::Display for RevokeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RevokeReason::Silent => "it was not heard",
            RevokeReason::Resigned(ResignReason::Asked) => "another node was asked for",
            RevokeReason::Resigned(ResignReason::Stopping) => "it stops",
            RevokeReason::Resigned(ResignReason::SickDisk) => "its disk is sick",
            RevokeReason::Resigned(ResignReason::StalledLoop) => "its loop stood still",
            RevokeReason::Resigned(ResignReason::Unclean) => "it had not stopped cleanly",
            RevokeReason::Forced => "a person forced it",
        })
    }
}

impl Command {
    /// For a log entry.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a command has nothing that cannot be encoded")
    }

    /// From a log entry.
    ///
    /// # Errors
    /// The bytes are of no command that this version knows.
    pub fn decode(bytes: &[u8]) -> Result<Command, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}
