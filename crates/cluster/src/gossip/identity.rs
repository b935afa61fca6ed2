//! Who a member is to the protocol: the node, which of its lives, and where it listens.
//!
//! Of two identities of one node the one with the higher generation wins, at once and for good. A node
//! raises its generation at each start (the caller keeps the counter on disk), and when the others have
//! declared it down although it lives.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use trefoil_clock::NodeId;

/// Which life of a node: only increases.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Generation(pub u64);

/// A member as the protocol names it. Small, since every datagram carries many of them: what else
/// there is to know about a node stands in its [`super::NodeRecord`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// The node.
    pub id: NodeId,
    /// Its life.
    pub generation: Generation,
    /// Where it takes control and gossip datagrams.
    pub address: SocketAddr,
}

impl Identity {
    /// The same node in the life after `generation`. None: the counter is at its end.
    pub(super) fn after(&self, generation: Generation) -> Option<Identity> {
        let next = generation.max(self.generation).0.checked_add(1)?;
        Some(Identity { generation: Generation(next), ..*self })
    }
}

impl foca::Identity for Identity {
    /// What stays over all lives.
    type Addr = NodeId;

    fn addr(&self) -> NodeId {
        self.id
    }

    fn renew(&self) -> Option<Identity> {
        self.after(self.generation)
    }

    /// The address decides only between two nodes that claim to be the same one: all others must agree
    /// on either.
    fn win_addr_conflict(&self, adversary: &Identity) -> bool {
        (self.generation, self.address) > (adversary.generation, adversary.address)
    }
}

#[cfg(test)]
mod tests {
    use foca::Identity as _;

    use super::*;

    fn identity(generation: u64, port: u16) -> Identity {
        let address = SocketAddr::from(([10, 0, 0, 1], port));
        Identity { id: NodeId(7), generation: Generation(generation), address }
    }

    #[test]
    fn the_newer_life_wins_and_only_it() {
        assert!(identity(2, 1).win_addr_conflict(&identity(1, 9)));
        assert!(!identity(1, 9).win_addr_conflict(&identity(2, 1)));
        assert!(!identity(1, 1).win_addr_conflict(&identity(1, 1)));
        assert!(identity(1, 2).win_addr_conflict(&identity(1, 1)));
    }

    #[test]
    fn a_renewed_identity_wins_over_the_one_before() {
        let renewed = identity(3, 1).renew().expect("there are more numbers");
        assert!(renewed.win_addr_conflict(&identity(3, 1)));
        assert_eq!(renewed.addr(), identity(3, 1).addr());
        assert_eq!(identity(u64::MAX, 1).renew(), None);
    }
}
