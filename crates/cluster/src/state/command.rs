//! What consensus orders.

use std::collections::BTreeSet;

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
        /// The set, the leader among them.
        electable: BTreeSet<NodeId>,
        /// The rule.
        acks: Acks,
    },
    /// The leader of this epoch leads no more.
    Revoke {
        /// Which shard.
        shard: ShardId,
        /// Its epoch.
        epoch: Epoch,
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
