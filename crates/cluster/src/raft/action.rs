//! What the core wants done, and what it refuses.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use trefoil_clock::NodeId;

use super::{Entry, HardState, Index, Message, Snapshot};

/// Names a write. They ascend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ticket(pub u64);

/// One write, all or nothing. Applied in the order of its fields ([`super::Start::apply`]).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Write {
    /// Term and vote; none: as before.
    pub hard: Option<HardState>,
    /// Takes the place of the one before and of all entries up to its index.
    pub snapshot: Option<Snapshot>,
    /// Entries from here on go.
    pub truncate_from: Option<Index>,
    /// Added at the end.
    pub entries: Vec<Entry>,
}

impl Write {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Write { hard, snapshot, truncate_from, entries } = self;
        hard.is_none() && snapshot.is_none() && truncate_from.is_none() && entries.is_empty()
    }
}

/// What a node is, as far as others need to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It follows, or waits for somebody to follow.
    Follower {
        /// Whom.
        leader: Option<NodeId>,
    },
    /// It asks whether it would be elected; its term has not begun.
    PreCandidate,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
}

/// What is to be done, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// A datagram to a node. It may be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Write and sync, in the order of the tickets; then [`super::Raft::on_persisted`].
    Persist {
        /// Its name.
        ticket: Ticket,
        /// What to write.
        write: Write,
    },
    /// These are agreed upon for ever. In order, each once in the life of a process; after a restart
    /// they come again, from the snapshot on.
    Commit(Vec<Entry>),
    /// The caller's state is replaced by this one; what is committed next comes after it.
    Install(Snapshot),
    /// The role or the term is another one now.
    Role(Role),
    /// A message had no effect, or none but a higher term. To be counted, not acted upon.
    Ignored {
        /// Its sender.
        from: NodeId,
        /// Why.
        why: Ignored,
    },
}

/// Why a message had no effect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ignored {
    /// It makes no sense.
    Malformed,
    /// It is of an older term.
    StaleTerm,
    /// It answers something that was asked again or is over.
    Stale,
    /// A leader was heard a moment ago; its followers are loyal.
    HearsLeader,
    /// Another node leads in this term.
    OtherLeader,
    /// The receiver does not lead.
    NotLeader,
    /// The receiver did not ask for votes.
    NotCandidate,
    /// The receiver may not vote, so it can't campaign.
    NotVoter,
    /// The sender is no member.
    NotMember,
    /// It would change what is committed.
    ConflictsWithCommitted,
    /// It claims more than the leader has.
    Beyond,
    /// A snapshot larger than allowed.
    TooLarge,
}

/// Why a command was not taken. Nothing happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ProposeRefused {
    /// Somebody else leads.
    #[error("this node does not lead the control plane")]
    NotLeader {
        /// Who, if known.
        leader: Option<NodeId>,
    },
    /// It hands over.
    #[error("leadership of the control plane is being handed over")]
    Transferring,
    /// The command does not fit a datagram.
    #[error("the command is too large")]
    TooLarge,
    /// Too much is not committed yet.
    #[error("too many commands are not committed yet")]
    Full,
}

/// Why a configuration was not taken. Nothing happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ConfigRefused {
    /// Somebody else leads.
    #[error("this node does not lead the control plane")]
    NotLeader {
        /// Who, if known.
        leader: Option<NodeId>,
    },
    /// It hands over.
    #[error("leadership of the control plane is being handed over")]
    Transferring,
    /// The change before is not committed yet.
    #[error("another change of members is under way")]
    Pending,
    /// Nothing of this leader's term is committed yet.
    #[error("the leader has just been elected and does not know yet what is committed")]
    NotReady,
    /// It is the one in force.
    #[error("this is the configuration in force")]
    Unchanged,
    /// Nobody votes, or somebody is voter and learner, or there are too many.
    #[error("the configuration makes no cluster")]
    BadConfig,
    /// More than one voter would come or go.
    #[error("voters come and go one at a time")]
    ManyVoters,
    /// The new voter is silent or lacks too much: it has to be a learner first.
    #[error("{node} has not caught up yet")]
    NotCaughtUp {
        /// Who.
        node: NodeId,
    },
    /// A majority of the new voters has not been heard of lately.
    #[error("the voters that are reachable would not be a majority any more")]
    NoQuorum,
}

/// Why leadership is not handed over. Nothing happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TransferRefused {
    /// Somebody else leads.
    #[error("this node does not lead the control plane")]
    NotLeader {
        /// Who, if known.
        leader: Option<NodeId>,
    },
    /// It is no other voter.
    #[error("leadership can go to another voter only")]
    NotVoter,
    /// It is being handed over already.
    #[error("leadership of the control plane is being handed over already")]
    Transferring,
}

/// Why entries were not replaced by a snapshot. Nothing happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum CompactRefused {
    /// A snapshot as new as this is there.
    #[error("a snapshot at least as new is there")]
    Stale,
    /// It is ahead of what is committed.
    #[error("a snapshot holds only what is committed")]
    NotCommitted,
    /// It could not be sent.
    #[error("the snapshot is too large")]
    TooLarge,
}
