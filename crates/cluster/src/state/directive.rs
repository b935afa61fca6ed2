//! What the agreed state asks of one node: derived, never remembered.

use std::collections::BTreeSet;

use trefoil_clock::{Epoch, NodeId, ShardId};
use trefoil_replication::Acks;

use super::{Addresses, ControlState, Granted, MemberKind};

/// What a node is to do for a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Directive {
    /// It is no member, or holds no data: nothing.
    Nothing,
    /// Lead in this epoch.
    Lead {
        /// The epoch.
        epoch: Epoch,
        /// Whose acknowledgements count: the electable set without this node.
        members: BTreeSet<NodeId>,
        /// The rule in force.
        acks: Acks,
    },
    /// Follow this node.
    Follow {
        /// The epoch that it leads in.
        epoch: Epoch,
        /// Who.
        leader: NodeId,
        /// Where.
        addresses: Addresses,
    },
    /// Take nothing of this epoch or an older one, and say where the log ends (rule 9).
    Fence {
        /// The epoch.
        epoch: Epoch,
    },
}

impl ControlState {
    /// What `node` is to do for `shard`.
    #[must_use]
    pub fn directive(&self, shard: ShardId, node: NodeId) -> Directive {
        let (Some(shard), Some(member)) = (self.shards.get(&shard), self.members.get(&node)) else {
            return Directive::Nothing;
        };
        if member.kind == MemberKind::Witness {
            return Directive::Nothing;
        }
        let epoch = shard.epoch;
        if shard.granted == Granted::Revoked {
            return Directive::Fence { epoch };
        }
        if shard.leader == node {
            let members = shard.electable.iter().copied().filter(|&other| other != node).collect();
            return Directive::Lead { epoch, members, acks: shard.acks };
        }
        match self.members.get(&shard.leader) {
            Some(leader) => Directive::Follow {
                epoch,
                leader: shard.leader,
                addresses: leader.addresses.clone(),
            },
            None => Directive::Fence { epoch },
        }
    }
}
