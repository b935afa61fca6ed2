//! A member: a node that belongs to the cluster, whether it is reachable or not.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use trefoil_clock::NodeId;

/// What a node does for the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MemberKind {
    /// It holds data, and may vote.
    Data,
    /// It votes only: for sites with two data nodes (pitfall 31).
    Witness,
}

/// Where a node is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// Other nodes: links over TCP, agreement and gossip over UDP on the same number.
    pub peers: SocketAddr,
    /// The host that clients are told.
    pub client_host: String,
    /// The port that clients are told; 0: it serves none.
    pub client_port: u16,
}

/// Where a node stands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Place {
    /// Far apart: a leader is not looked for in another one unless a person says so.
    pub region: String,
    /// May fail together.
    pub zone: String,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its name, never used again for another.
    pub node: NodeId,
    /// Rises with each start of its process.
    pub generation: u64,
    /// What it does.
    pub kind: MemberKind,
    /// Where it is reached.
    pub addresses: Addresses,
    /// Where it stands.
    pub place: Place,
}
