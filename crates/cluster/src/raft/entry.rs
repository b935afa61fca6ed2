//! What is agreed upon: entries, who takes part, and the state they add up to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use trefoil_clock::NodeId;

/// A position in the log. Dense, from 1; 0 means "before the first entry".
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Index(pub u64);

impl Index {
    /// The position before the first entry.
    pub const ZERO: Index = Index(0);

    /// Nothing honest is ever beyond this; a message that says so is not believed.
    pub(super) const LIMIT: Index = Index(1 << 62);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }

    /// The position before this one; of the first one it is [`Index::ZERO`].
    #[must_use]
    pub fn prev(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}

/// A time in which at most one node leads. Starts at 1; 0 means "none yet".
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Term(pub u64);

impl Term {
    /// Nothing honest is ever beyond this; a message that says so is not believed.
    pub(super) const LIMIT: Term = Term(1 << 62);

    /// The term after this one.
    #[must_use]
    pub fn next(self) -> Term {
        Term(self.0 + 1)
    }
}

/// Where a log stands. Ordered as elections compare logs: the later term wins, then the longer log.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct LogPosition {
    /// The term of the entry.
    pub term: Term,
    /// Its index.
    pub index: Index,
}

/// Who takes part. Voters decide; learners get everything and decide nothing.
///
/// Invariants: nobody is both; without voters there is no cluster (a node that waits to be taken in).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// Who elects the leader and whose logs count.
    pub voters: BTreeSet<NodeId>,
    /// Who only listens.
    pub learners: BTreeSet<NodeId>,
}

impl Config {
    /// A cluster of one.
    #[must_use]
    pub fn of_one(node: NodeId) -> Config {
        Config { voters: BTreeSet::from([node]), learners: BTreeSet::new() }
    }

    /// How many voters decide: more than half of them.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Whether a node votes.
    #[must_use]
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node)
    }

    /// Everybody, voters first.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().chain(&self.learners).copied()
    }

    /// How many voters come or go between two configurations; one at a time is safe.
    #[must_use]
    pub fn voters_changed(&self, other: &Config) -> usize {
        self.voters.symmetric_difference(&other.voters).count()
    }

    pub(super) fn is_alone(&self, node: NodeId) -> bool {
        self.is_voter(node) && self.voters.len() == 1
    }

    pub(super) fn is_well_formed(&self) -> bool {
        !self.voters.is_empty() && self.voters.is_disjoint(&self.learners)
    }

    /// The greatest value that a majority of voters has reached. None without voters.
    pub(super) fn reached<T: Ord + Copy>(&self, value: impl Fn(NodeId) -> T) -> Option<T> {
        let mut values: Vec<T> = self.voters.iter().map(|&node| value(node)).collect();
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.get(self.quorum() - 1).copied()
    }
}

/// What an entry holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: the first entry of every leader, which commits what lies before it.
    Blank,
    /// The caller's.
    Command(Vec<u8>),
    /// Who takes part from here on; in force as soon as it is in the log.
    Config(Config),
}

/// One entry of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its place.
    pub index: Index,
    /// When its leader appended it. Never falls along a log.
    pub term: Term,
    /// What it holds.
    pub payload: Payload,
}

impl Entry {
    /// Its place and term.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        LogPosition { term: self.term, index: self.index }
    }

    /// About so many bytes on the wire.
    pub(super) fn weight(&self) -> usize {
        const FRAME_BYTES: usize = 24;
        const NODE_BYTES: usize = 20;
        FRAME_BYTES
            + match &self.payload {
                Payload::Blank => 0,
                Payload::Command(bytes) => bytes.len(),
                Payload::Config(config) => NODE_BYTES * config.members().count(),
            }
    }
}

/// What all entries up to `index` add up to. It takes their place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last entry in it.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// Who takes part at that entry.
    pub config: Config,
    /// The caller's state, opaque.
    pub data: Vec<u8>,
}

impl Snapshot {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        LogPosition { term: self.term, index: self.index }
    }
}

/// What a node must not forget between two messages (the paper's currentTerm and votedFor).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HardState {
    /// The newest term it knows.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
}
