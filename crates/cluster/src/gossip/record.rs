//! What a node tells about itself, and in which version.
//!
//! Only the node itself makes records about it, so (generation, counter) orders them: the newest wins.
//! An encoded record has at most [`RECORD_BYTES_MAX`] bytes.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use trefoil_clock::{Epoch, Lsn, NodeId, ShardId};

use super::identity::{Generation, Identity};

/// Longest encoded record: it fits into a datagram beside the protocol's own header.
pub const RECORD_BYTES_MAX: usize = 900;

/// What a node is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum NodeKind {
    /// It holds data.
    #[default]
    Data,
    /// It votes and holds no data.
    Witness,
}

/// What a node thinks of its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum DiskHealth {
    /// Nothing to tell.
    #[default]
    Healthy,
    /// Syncs take long.
    Slow,
    /// No space.
    Full,
    /// It returns errors.
    Failing,
}

/// A node's part in a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Seat {
    /// It leads, or believes so.
    Leader,
    /// It follows.
    Follower,
}

/// How far a node has come with a shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ShardClock {
    /// The shard's keyspace.
    pub keyspace: String,
    /// The shard.
    pub shard: ShardId,
    /// The node's part in it.
    pub seat: Seat,
    /// The last record's epoch.
    pub epoch: Epoch,
    /// The last record.
    pub lsn: Lsn,
}

/// How busy a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Load {
    /// Commands per second.
    pub commands_per_second: u32,
    /// Clients connected.
    pub connections: u32,
    /// Memory in use, of what it may use.
    pub memory_percent: u8,
}

/// What a node says about itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// Where clients connect.
    pub client: Option<SocketAddr>,
    /// Where clients connect with TLS.
    pub client_tls: Option<SocketAddr>,
    /// Its region.
    pub region: String,
    /// Its zone.
    pub zone: String,
    /// The version of its program.
    pub version: String,
    /// What it is there for.
    pub kind: NodeKind,
    /// The shards it holds.
    pub shards: Vec<ShardClock>,
    /// How busy it is.
    pub load: Load,
    /// How its disk is.
    pub disk: DiskHealth,
    /// Who leads the consensus group, as far as it knows.
    pub raft_leader: Option<NodeId>,
}

impl Metadata {
    /// Whether two differ only in numbers that always move: LSNs and load. Those are told at leisure.
    pub(super) fn differs_in_numbers_only(&self, other: &Metadata) -> bool {
        let still = |metadata: &Metadata| {
            let mut still = metadata.clone();
            still.load = Load::default();
            still.shards.iter_mut().for_each(|shard| shard.lsn = Lsn::ZERO);
            still
        };
        still(self) == still(other)
    }
}

/// Whether a node means to stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Presence {
    /// It does.
    #[default]
    Here,
    /// It said farewell: its end is no failure.
    Leaving,
}

/// Which of two records is newer.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct RecordVersion {
    /// The node's life.
    pub generation: Generation,
    /// Counts records within it.
    pub counter: u64,
}

/// What is told about a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Who it is.
    pub identity: Identity,
    /// Counts records of this life; 0: none was published yet.
    pub counter: u64,
    /// Whether it means to stay.
    pub presence: Presence,
    /// What it says about itself.
    pub metadata: Metadata,
}

/// A record is longer than [`RECORD_BYTES_MAX`]. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "what this node tells about itself takes {bytes} bytes, at most {RECORD_BYTES_MAX} can be spread"
)]
pub struct RecordTooBig {
    /// Its length.
    pub bytes: usize,
}

impl NodeRecord {
    /// A record that was never published.
    #[must_use]
    pub fn new(identity: Identity, metadata: Metadata) -> NodeRecord {
        NodeRecord { identity, counter: 0, presence: Presence::Here, metadata }
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> RecordVersion {
        RecordVersion { generation: self.identity.generation, counter: self.counter }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, RecordTooBig> {
        let bytes = postcard::to_allocvec(self).expect("a record is plain data");
        match bytes.len() {
            len if len <= RECORD_BYTES_MAX => Ok(bytes),
            len => Err(RecordTooBig { bytes: len }),
        }
    }

    /// None: not a record, or too long.
    pub(super) fn decode(bytes: &[u8]) -> Option<NodeRecord> {
        if bytes.len() > RECORD_BYTES_MAX {
            return None;
        }
        match postcard::take_from_bytes(bytes) {
            Ok((record, [])) => Some(record),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> NodeRecord {
        let address = SocketAddr::from(([10, 0, 0, 1], 7379));
        let identity = Identity { id: NodeId(u128::MAX), generation: Generation(3), address };
        let shards = vec![ShardClock {
            keyspace: "default".into(),
            shard: ShardId(0),
            seat: Seat::Leader,
            epoch: Epoch(2),
            lsn: Lsn(77),
        }];
        let metadata = Metadata { region: "north".into(), shards, ..Metadata::default() };
        NodeRecord { counter: 4, ..NodeRecord::new(identity, metadata) }
    }

    #[test]
    fn a_record_survives_its_encoding() {
        let bytes = record().encode().expect("it is small");
        assert_eq!(NodeRecord::decode(&bytes), Some(record()));
        assert_eq!(NodeRecord::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(NodeRecord::decode(&[bytes.as_slice(), &[0]].concat()), None);
    }

    #[test]
    fn a_record_has_a_longest_length() {
        let mut record = record();
        let room = RECORD_BYTES_MAX - record.encode().expect("it is small").len();
        // Five letters are counted already; a length of 128 and more takes another byte.
        record.metadata.region = "n".repeat(room + 5 - 1);
        let longest = record.encode().expect("it just fits");
        assert_eq!(longest.len(), RECORD_BYTES_MAX);
        record.metadata.region.push('n');
        assert_eq!(record.encode(), Err(RecordTooBig { bytes: RECORD_BYTES_MAX + 1 }));
        assert_eq!(NodeRecord::decode(&postcard::to_allocvec(&record).expect("plain")), None);
    }

    #[test]
    fn moving_numbers_are_no_news() {
        let (before, mut after) = (record().metadata, record().metadata);
        after.shards[0].lsn = Lsn(90);
        after.load.commands_per_second = 10;
        assert!(before.differs_in_numbers_only(&after));
        after.shards[0].epoch = Epoch(3);
        assert!(!before.differs_in_numbers_only(&after));
    }

    #[test]
    fn a_later_life_is_newer_than_any_counter() {
        let version =
            |generation, counter| RecordVersion { generation: Generation(generation), counter };
        assert!(version(2, 0) > version(1, 99) && version(1, 2) > version(1, 1));
    }
}
