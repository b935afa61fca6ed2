//! What gossip shows of the members, and what this node tells about itself.
//!
//! Nothing here decides anything: it is for people, and for choosing whom to ask.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use trefoil_clock::NodeId;
use trefoil_cluster::gossip::{
    DiskHealth, Load, MemberRow, MemberState, Metadata, NodeKind, NodeRecord, Seat, ShardClock,
};
use trefoil_cluster::state::{DEFAULT_KEYSPACE, Member, MemberKind};

use crate::log::{LogHealth, SHARD};
use crate::node::Node;
use crate::release::TREFOIL_VERSION;

/// A member, as gossip shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Who.
    pub node: NodeId,
    /// How it is.
    pub state: MemberState,
    /// Since when, milliseconds of the lease's clock.
    pub since_ms: u64,
    /// The newest that it said about itself.
    pub record: Option<NodeRecord>,
}

impl From<MemberRow<'_>> for Seen {
    fn from(row: MemberRow<'_>) -> Seen {
        let MemberRow { identity, state, since_ms, record } = row;
        Seen { node: identity.id, state, since_ms, record: record.cloned() }
    }
}

/// See the module.
#[derive(Default)]
pub struct Membership(Mutex<Vec<Seen>>);

impl Membership {
    /// The other members.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Told by the control thread.
    pub fn set_seen(&self, seen: Vec<Seen>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

impl Node {
    /// What this node, known to the others as `own`, tells about itself.
    #[must_use]
    pub fn about(&self, own: &Member, raft_leader: Option<NodeId>) -> Metadata {
        let standing = self.agreement.wishes.standing();
        let seat = if standing.led.is_some() { Seat::Leader } else { Seat::Follower };
        let shard = ShardClock {
            keyspace: DEFAULT_KEYSPACE.to_owned(),
            shard: SHARD,
            seat,
            epoch: standing.end.epoch,
            lsn: standing.end.lsn,
        };
        let host = own.addresses.client_host.parse().ok();
        let client = |port: u16| {
            let ip: std::net::IpAddr = host?;
            (port != 0).then(|| (ip, port).into())
        };
        Metadata {
            client: client(own.addresses.client_port),
            client_tls: u16::try_from(self.settings.tls_port.load(Relaxed)).ok().and_then(client),
            region: own.place.region.clone(),
            zone: own.place.zone.clone(),
            version: TREFOIL_VERSION.to_owned(),
            kind: match own.kind {
                MemberKind::Data => NodeKind::Data,
                MemberKind::Witness => NodeKind::Witness,
            },
            shards: if own.kind == MemberKind::Data { vec![shard] } else { Vec::new() },
            load: self.load(),
            disk: match self.log.health() {
                LogHealth::Writing => DiskHealth::Healthy,
                LogHealth::Refusing => DiskHealth::Failing,
            },
            raft_leader,
        }
    }

    fn load(&self) -> Load {
        let at_most = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let percent =
            (self.keyspace.memory() * 100).checked_div(self.settings.maxmemory.load(Relaxed));
        Load {
            commands_per_second: at_most(self.counters.rates().commands),
            connections: at_most(self.client_counts.open()),
            memory_percent: percent.map_or(0, |it| u8::try_from(it).unwrap_or(u8::MAX)),
        }
    }
}
