//! How a keyspace is replicated, as a person wants it. What is in force for elections stands at the
//! shard and follows when it is safe (rule 10).

use serde::{Deserialize, Serialize};
use trefoil_replication::{AckLevel, AckPolicy, Acks, OnLost};

/// Who decides that another node leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Failover {
    /// The cluster.
    Automatic,
    /// A person, with FAILOVER.
    Manual,
}

impl Failover {
    /// The option's words, in the order of the values.
    pub const NAMES: [&str; 2] = ["automatic", "manual"];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Failover::Automatic => "automatic",
            Failover::Manual => "manual",
        }
    }

    /// Reads a word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Failover> {
        [Failover::Automatic, Failover::Manual]
            .into_iter()
            .find(|value| value.name().eq_ignore_ascii_case(text))
    }
}

/// Whether a person has chosen a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Origin {
    /// Nobody has: it follows the size of the cluster.
    Default,
    /// It stays as it is.
    Chosen,
}

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyspacePolicy {
    /// Whose wish it is.
    pub origin: Origin,
    /// When a write is acknowledged.
    pub acks: AckPolicy,
    /// Who decides on failovers.
    pub failover: Failover,
    /// Records that an automatic failover may lose at most where no acknowledgement of a follower was
    /// waited for. None: any number; what is lost is archived, with a receipt.
    pub max_loss: Option<u64>,
}

impl KeyspacePolicy {
    /// What a node that founds a cluster begins with.
    #[must_use]
    pub fn alone() -> KeyspacePolicy {
        KeyspacePolicy {
            origin: Origin::Default,
            acks: AckPolicy {
                acks: Acks::Async,
                level: AckLevel::Received,
                on_lost: OnLost::Block,
                degrade_after_ms: 2_000,
            },
            failover: Failover::Automatic,
            max_loss: None,
        }
    }

    /// So many members hold data now. If nobody chose otherwise, a write is on two nodes from the third
    /// member on before it is acknowledged; it stays so if some leave.
    pub(super) fn on_members(&mut self, data: usize) {
        if self.origin == Origin::Default && data >= 3 && self.acks.acks == Acks::Async {
            self.acks.acks = Acks::SemiSync(1);
        }
    }
}
