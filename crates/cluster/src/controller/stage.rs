//! What the controller is doing, and why it does not go on: for people.

use std::fmt;

use serde::{Deserialize, Serialize};
use trefoil_clock::NodeId;

/// What the raft leader is doing about a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Stage {
    /// It has just begun to lead, and does not know yet what was agreed upon before.
    Learning,
    /// The leader is well.
    Watching,
    /// The leader is silent; a person decides.
    Manual,
    /// The leader is silent; there were too many failovers lately.
    Damped {
        /// It waits until then.
        until_ms: u64,
    },
    /// The leader is handing over.
    HandingOver {
        /// To whom.
        to: NodeId,
    },
    /// The leader is being revoked.
    Revoking,
    /// The lease of the one that was revoked may still run.
    LeaseRuns {
        /// Until then at most.
        until_ms: u64,
    },
    /// Reports are gathered.
    Electing(Lack),
    /// Somebody was elected, and is told so.
    Granting {
        /// Who.
        to: NodeId,
    },
}

/// Why nobody is elected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Lack {
    /// Others may still report; that is awaited for a moment.
    Settling,
    /// Too few of the electable nodes have said where their logs end.
    Reports {
        /// Have.
        have: usize,
        /// Are needed.
        need: usize,
    },
    /// Enough have, but for too few it is certain that they still have what they acknowledged: the power
    /// of the others went. If all of them report, the best one leads; otherwise a person decides.
    Doubtful {
        /// Are certain.
        have: usize,
        /// Are needed.
        need: usize,
    },
    /// Nobody who may be elected is heard.
    NoCandidate,
    /// The one that was asked for is not fit.
    Asked(NodeId),
    /// Only nodes in other regions have everything.
    OtherRegion,
    /// Nobody has all that the others have that may be elected.
    Behind,
    /// The best one lacks more than may be lost.
    MaxLoss {
        /// Records.
        lacks: u64,
        /// Are allowed.
        allowed: u64,
    },
    /// A person decides who leads here.
    Manual,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Settling => f.write_str("more reports are awaited for a moment"),
            Lack::Reports { have, need } => write!(
                f,
                "{have} of the electable nodes have reported where their logs end, {need} are needed"
            ),
            Lack::Doubtful { have, need } => write!(
                f,
                "{have} of the electable nodes are certain to have what they acknowledged, {need} are \
                 needed: the power of others went; all of them have to report, or a person can force it"
            ),
            Lack::NoCandidate => f.write_str("no node that may be elected is heard"),
            Lack::Asked(node) => write!(f, "node {node}, which was asked for, is not fit to lead"),
            Lack::OtherRegion => {
                f.write_str("only nodes of another region are fit; a person can force it")
            }
            Lack::Behind => {
                f.write_str("nobody is proved to have everything that was acknowledged")
            }
            Lack::MaxLoss { lacks, allowed } => {
                write!(f, "the best node lacks {lacks} records, max-loss allows {allowed}")
            }
            Lack::Manual => f.write_str("failover is manual here: a person decides"),
        }
    }
}
