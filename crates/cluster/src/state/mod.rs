//! What the cluster has agreed upon: members, keyspaces, shards with their epochs and leaders.
//!
//! A state machine under consensus: each node applies the same commands in the same order and comes to
//! the same state. No time, no addresses that were not agreed upon, no opinion about who is alive.
//!
//! Invariants ([`ControlState::validate`]):
//! * an epoch of a shard has one leader, and the number only rises (pitfall 10);
//! * a shard's electable set holds its leader, and members only;
//! * between a revocation and the next grant nobody leads.

mod apply;
mod command;
mod directive;
mod member;
mod policy;
mod shard;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trefoil_clock::{ClusterId, NodeId, ShardId};

pub use apply::Refusal;
pub use command::{Command, ResignReason, RevokeReason};
pub use directive::Directive;
pub use member::{Addresses, Member, MemberKind, Place};
pub use policy::{Failover, KeyspacePolicy, Origin};
pub use shard::{Granted, Reign, Shard};

/// The longest name of a keyspace, region or zone, bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Members of one cluster.
pub const MEMBERS_MAX: usize = 1_024;
/// Voters of a cluster, unless a person says otherwise.
pub const VOTERS_WANTED: u8 = 3;
/// What a person may say.
pub const VOTERS_ALLOWED: [u8; 4] = [1, 3, 5, 7];
/// The keyspace that is always there.
pub const DEFAULT_KEYSPACE: &str = "default";

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ControlState {
    /// The history that all members share.
    pub cluster: ClusterId,
    /// Who belongs to it.
    pub members: BTreeMap<NodeId, Member>,
    /// How each keyspace is replicated.
    pub keyspaces: BTreeMap<String, KeyspacePolicy>,
    /// Who leads each shard, and who may.
    pub shards: BTreeMap<ShardId, Shard>,
    /// How many voters there are to be, if there are so many nodes.
    pub voters: u8,
    /// Members that a person does not want to vote.
    pub barred: BTreeSet<NodeId>,
}

impl ControlState {
    /// The state before the first command.
    #[must_use]
    pub fn new(cluster: ClusterId) -> ControlState {
        ControlState {
            cluster,
            members: BTreeMap::new(),
            keyspaces: BTreeMap::new(),
            shards: BTreeMap::new(),
            voters: VOTERS_WANTED,
            barred: BTreeSet::new(),
        }
    }

    /// Whether epochs are granted by consensus only: somebody has joined the founder.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        self.members.len() > 1
    }

    /// Panics where an invariant of the module does not hold.
    pub fn validate(&self) {
        for shard in self.shards.values() {
            let known = |node: &NodeId| self.members.contains_key(node);
            assert!(shard.electable.iter().all(known), "the electable are members");
            assert!(shard.electable.contains(&shard.leader), "a leader is electable");
        }
        for (node, member) in &self.members {
            assert_eq!(*node, member.node, "a member stands under its own name");
        }
    }
}
