//! Who serves clients, and where: what clients of Redis Cluster and of Sentinel are told, by any node.
//!
//! Of a node that belongs to a cluster it is what is agreed upon; of another one it is itself, and the
//! links that REPLICAOF made. Nothing here decides anything.
//!
//! Invariant: a witness is not in it, since it serves no clients.

mod announce;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use trefoil_clock::{Epoch, Lsn, NodeId};
use trefoil_cluster::control::ControlView;
use trefoil_cluster::gossip::MemberState;
use trefoil_cluster::state::{Granted, Member, MemberKind};

use crate::agreement::Seen;
use crate::families::is_master;
use crate::node::Node;
use crate::replication::FollowerRow;

/// A member that the raft leader has not heard for so long is taken for down, milliseconds.
const SILENT_MS: u64 = 2_000;

/// A node that serves clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seat {
    /// Who.
    pub(crate) node: NodeId,
    /// Where its clients connect.
    pub(crate) host: String,
    /// The port for that.
    pub(crate) port: u16,
    /// The port for other nodes; 0: not known.
    pub(crate) peer_port: u16,
    /// It does not answer, as far as this node knows.
    pub(crate) is_down: bool,
    /// When it was heard last, milliseconds ago; 0 if that is not known.
    pub(crate) silent_ms: u64,
    /// How far it is, as far as this node knows.
    pub(crate) offset: Lsn,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Topology {
    /// This node.
    pub(crate) own: NodeId,
    /// Who leads, or led last. None: not known.
    pub(crate) leader: Option<NodeId>,
    /// In which epoch.
    pub(crate) epoch: Epoch,
    /// It may lead: its epoch was not revoked.
    pub(crate) is_granted: bool,
    /// All of them, by their ids.
    pub(crate) seats: Vec<Seat>,
    /// How many of them vote on who leads.
    pub(crate) voters: usize,
}

impl Topology {
    /// As this node sees it. `local`: where the client that asks has connected to.
    pub(crate) fn of(node: &Node, local: SocketAddr) -> Topology {
        match node.agreement.view() {
            Some(view) if node.agreement.is_managed() => {
                agreed(node, &view, &node.agreement.membership.seen())
            }
            _ => by_hand(node, local),
        }
    }

    /// Who leads.
    pub(crate) fn leader(&self) -> Option<&Seat> {
        self.leader.and_then(|leader| self.seat(leader))
    }

    /// Where that node is.
    pub(crate) fn seat(&self, node: NodeId) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.node == node)
    }

    /// All but the leader.
    pub(crate) fn followers(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| Some(seat.node) != self.leader)
    }

    /// All but this node.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| seat.node != self.own)
    }

    /// So many voters have to agree.
    pub(crate) fn quorum(&self) -> usize {
        self.voters / 2 + 1
    }

    /// Whether commands are served, as far as this node knows.
    pub(crate) fn is_well(&self) -> bool {
        self.is_granted && self.leader().is_some_and(|leader| !leader.is_down)
    }
}

/// What is agreed upon.
fn agreed(node: &Node, view: &ControlView, seen: &[Seen]) -> Topology {
    let shard = view.state.shards.get(&view.shard);
    let rows = node.replication.followers();
    let serves = |it: &&Member| it.kind == MemberKind::Data && it.addresses.client_port != 0;
    let seat = |member: &Member| {
        let gossiped = seen.iter().find(|it| it.node == member.node);
        let silent_ms = view.silent_ms.get(&member.node).copied().unwrap_or_default();
        let is_lost =
            gossiped.is_some_and(|it| matches!(it.state, MemberState::Down | MemberState::Left));
        let is_own = member.node == view.own;
        Seat {
            node: member.node,
            host: member.addresses.client_host.clone(),
            port: member.addresses.client_port,
            peer_port: member.addresses.peers.port(),
            is_down: !is_own && (is_lost || silent_ms >= SILENT_MS),
            silent_ms: if is_own { 0 } else { silent_ms },
            offset: if is_own { applied(node) } else { told(member.node, &rows, gossiped) },
        }
    };
    Topology {
        own: view.own,
        leader: shard.map(|shard| shard.leader),
        epoch: shard.map_or(Epoch::default(), |shard| shard.epoch),
        is_granted: shard.is_some_and(|shard| shard.granted == Granted::Yes),
        seats: view.state.members.values().filter(serves).map(seat).collect(),
        voters: view.voters.len(),
    }
}

/// What REPLICAOF made: a leader knows its followers, a follower its leader.
fn by_hand(node: &Node, local: SocketAddr) -> Topology {
    let replication = &node.replication;
    let own = replication.identity().node;
    let seat = |node: NodeId, host: String, port: u16, offset: Lsn| Seat {
        node,
        host,
        port,
        peer_port: 0,
        is_down: false,
        silent_ms: 0,
        offset,
    };
    let itself = Seat {
        peer_port: replication.peer_port.load(std::sync::atomic::Ordering::Relaxed),
        ..seat(own, local.ip().to_canonical().to_string(), local.port(), applied(node))
    };
    let mut seats = vec![itself];
    let mut leader = Some(own);
    if is_master(replication) {
        let rows = replication.followers();
        let attached = rows.iter().filter(|row| row.state.is_attached());
        seats
            .extend(attached.filter_map(|row| {
                Some(seat(row.node, row.ip?.to_string(), row.port, row.applied))
            }));
    } else {
        let link = replication.leader();
        leader = link.map(|link| {
            // Whoever has not said yet who it is has no name.
            let node = link.node.unwrap_or(NodeId(0));
            seats.push(seat(node, link.host, link.port, link.end));
            node
        });
    }
    seats.sort_unstable_by_key(|seat| seat.node);
    let (epoch, is_granted) = (replication.epoch(), leader.is_some());
    Topology { own, leader, epoch, is_granted, seats, voters: 1 }
}

fn applied(node: &Node) -> Lsn {
    node.keyspace.sequencer().last_lsn()
}

fn told(node: NodeId, rows: &[FollowerRow], gossiped: Option<&Seen>) -> Lsn {
    let row = rows.iter().find(|row| row.node == node);
    let shards = gossiped.and_then(|it| it.record.as_ref()).map(|it| &it.metadata.shards);
    let said = shards.and_then(|shards| shards.first()).map(|shard| shard.lsn);
    row.map(|row| row.applied).or(said).unwrap_or_default()
}

/// A node's name where 40 hexadecimal digits are expected.
pub(crate) fn long_id(node: NodeId) -> String {
    format!("{node}00000000")
}

/// A node by its name, of 32 digits or of 40.
pub(crate) fn parse_id(text: &[u8]) -> Option<NodeId> {
    let digits = match text.len() {
        32 => text,
        40 => text.strip_suffix(b"00000000")?,
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().map(NodeId)
}

/// A member by its name, or by the address for clients or for nodes.
pub(crate) fn find_member(view: &ControlView, text: &[u8]) -> Option<NodeId> {
    let members = view.state.members.values();
    if let Some(node) = parse_id(text) {
        return view.state.members.contains_key(&node).then_some(node);
    }
    let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
    let is_at = |member: &&Member| {
        text == member.addresses.peers.to_string() || text == client_address(member)
    };
    let found: BTreeSet<NodeId> = members.filter(is_at).map(|member| member.node).collect();
    if found.len() == 1 { found.first().copied() } else { None }
}

/// Where a member's clients connect; empty: it has none.
pub(crate) fn client_address(member: &Member) -> String {
    let addresses = &member.addresses;
    match addresses.client_port {
        0 => String::new(),
        port if addresses.client_host.contains(':') => {
            format!("[{}]:{port}", addresses.client_host)
        }
        port => format!("{}:{port}", addresses.client_host),
    }
}

#[cfg(test)]
mod tests {
    use super::testing::view_of_three;
    use super::*;
    use crate::harness::TestNode;
    use crate::replication::testing::row;
    use crate::replication::{LeaderLink, LinkState, Role};

    fn local() -> SocketAddr {
        ([10, 0, 0, 9], 6_379).into()
    }

    #[test]
    fn a_node_that_is_alone_is_all_there_is() {
        let node = TestNode::new();
        let topology = Topology::of(&node.node, local());
        let leader = topology.leader().expect("it leads");
        assert_eq!((leader.host.as_str(), leader.port), ("10.0.0.9", 6_379));
        assert!(topology.is_well() && topology.followers().count() == 0);
    }

    #[test]
    fn links_that_were_made_by_hand_are_shown_from_both_ends() {
        let node = TestNode::new();
        node.node.replication.set_followers(vec![row(5)]);
        let topology = Topology::of(&node.node, local());
        let ports: Vec<u16> = topology.followers().map(|seat| seat.port).collect();
        assert_eq!(ports, [7_005]);
        node.node.replication.set_role(Role::Following);
        let (host, end) = ("db.example".to_string(), Lsn(9));
        let state = LinkState::Streaming;
        let link = LeaderLink { host, port: 7, state, node: None, end, heard_ms: 0, trouble: None };
        node.node.replication.set_leader(Some(link));
        let topology = Topology::of(&node.node, local());
        assert_eq!(topology.leader().map(|seat| seat.port), Some(7));
        assert_eq!(topology.followers().map(|seat| seat.port).collect::<Vec<_>>(), [6_379]);
        node.node.replication.set_leader(None);
        node.node.replication.set_role(Role::Deposed);
        assert!(Topology::of(&node.node, local()).leader().is_none());
    }

    #[test]
    fn members_of_a_cluster_stand_where_they_are_agreed_to() {
        let node = TestNode::new();
        node.node.agreement.set_managed(true);
        let mut view = view_of_three();
        view.silent_ms.insert(NodeId(2), SILENT_MS);
        node.node.agreement.set_view(view.into());
        let topology = Topology::of(&node.node, local());
        let leader = topology.leader().expect("the first one leads");
        assert_eq!((leader.node, leader.port, leader.is_down), (NodeId(1), 7_001, false));
        let down: Vec<NodeId> =
            topology.seats.iter().filter(|it| it.is_down).map(|it| it.node).collect();
        assert_eq!(down, [NodeId(2)]);
        assert_eq!((topology.seats.len(), topology.quorum()), (2, 2), "the third is a witness");
    }

    #[test]
    fn whom_gossip_has_lost_is_down() {
        let node = TestNode::new();
        let view = view_of_three();
        let seen = |state| [Seen { node: NodeId(2), state, since_ms: 0, record: None }];
        let is_down = |state| {
            let topology = agreed(&node.node, &view, &seen(state));
            topology.seat(NodeId(2)).is_some_and(|seat| seat.is_down)
        };
        assert!(is_down(MemberState::Down) && is_down(MemberState::Left));
        assert!(!is_down(MemberState::Alive) && !is_down(MemberState::Suspect));
    }

    #[test]
    fn members_are_named_by_their_ids_and_addresses() {
        let view = view_of_three();
        let id = NodeId(2).to_string();
        for name in [&id, &long_id(NodeId(2)), "127.0.0.1:7002", "127.0.0.1:9002"] {
            assert_eq!(find_member(&view, name.as_bytes()), Some(NodeId(2)), "{name}");
        }
        for stranger in ["", "127.0.0.1:7003", "127.0.0.1:1", &NodeId(9).to_string(), "2", "\u{e9}"]
        {
            assert_eq!(find_member(&view, stranger.as_bytes()), None, "{stranger}");
        }
        assert_eq!(parse_id(b"+0000000000000000000000000000001"), None);
    }
}
