//! What the controls of two nodes say to each other: one datagram, one message.
//!
//! Loss, doubling and reordering are normal: whoever needs an answer asks again. Sealing is the shell's
//! part, so a datagram comes from a member or from somebody who wants to be one; it may still be of an
//! old start, of another cluster, or nonsense, and is judged by its receiver.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use trefoil_clock::{ClusterId, Epoch, Lsn, NodeId, Position, ShardId};

use crate::control::{Done, Request, RequestError, RequestId};
use crate::raft;
use crate::state::{Member, ResignReason};

/// The first byte of a datagram; another one is of another release.
const VERSION: u8 = 1;
/// The longest datagram, bytes.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 60_000;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Datagram {
    /// The sender's cluster. Of a node that wants to join: the one that it gives up.
    pub(crate) cluster: ClusterId,
    /// The sender.
    pub(crate) from: NodeId,
    /// What it says.
    pub(crate) message: Message,
}

/// What is said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Between the cores of consensus.
    Raft(raft::Message),
    /// A leader to the voters: may I go on?
    Renew(Renew),
    /// A voter to a leader: yes.
    Renewed(Renewed),
    /// A voter to the raft leader: how long it has not answered a leader.
    Heard(Heard),
    /// A member to the raft leader: where it stands.
    Report(Report),
    /// A leader to the raft leader: its lease is given back.
    Resign(Resign),
    /// The raft leader to a leader: hand over.
    Handover(Handover),
    /// A leader to the raft leader: it could not hand over, and leads on.
    Kept(Kept),
    /// A node to a member: take me in, or: I have started again.
    Join(Join),
    /// The raft leader to a node: you are a member.
    Joined,
    /// A member to a node that asked for the raft leader: it is there.
    Redirect(SocketAddr),
    /// The raft leader to a node: not as you are.
    JoinRefused(JoinRefused),
    /// A member to the raft leader: somebody wants this.
    Ask {
        /// Who asked, and which of its questions it is.
        id: RequestId,
        /// The epoch that the asker knew of: what has happened since is not done again.
        epoch: Epoch,
        /// What.
        request: Request,
    },
    /// The raft leader to a member.
    Answer {
        /// Which question.
        id: RequestId,
        /// What came of it.
        result: Result<Done, RequestError>,
    },
}

/// See [`Message::Renew`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Renew {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    /// The start of the leader's process.
    pub(crate) generation: u64,
    /// Rises with each.
    pub(crate) id: u64,
    /// The leader's clock when it was sent; said back as it is.
    pub(crate) sent_ms: u64,
    /// The voters as the leader knows them: whoever knows others does not answer.
    pub(crate) voters: BTreeSet<NodeId>,
    /// Where the leader's log ends.
    pub(crate) end: Position,
}

/// See [`Message::Renewed`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Renewed {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    pub(crate) generation: u64,
    pub(crate) id: u64,
    pub(crate) sent_ms: u64,
}

/// See [`Message::Heard`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Heard {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    pub(crate) silent_ms: u64,
    /// The furthest end of its log that the leader told this voter.
    pub(crate) leader_end: Position,
}

/// See [`Message::Report`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) shard: ShardId,
    /// The start of the member's process.
    pub(crate) generation: u64,
    /// Rises with each report of that start.
    pub(crate) seq: u64,
    /// The entry of the control log up to which the member knows.
    pub(crate) index: raft::Index,
    pub(crate) led: Option<Epoch>,
    /// It takes nothing of this epoch or an older one.
    pub(crate) fenced: Option<Epoch>,
    pub(crate) end: Position,
    pub(crate) applied: Lsn,
    /// It holds every record up to `end`.
    pub(crate) whole: bool,
    /// It still has all that it ever acknowledged: since the power went, if it did, it has caught up.
    pub(crate) intact: bool,
    /// Its disk and its loop are well.
    pub(crate) healthy: bool,
    /// Of a leader: the electable ones that lack next to nothing.
    pub(crate) caught_up: BTreeSet<NodeId>,
}

/// See [`Message::Resign`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Resign {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    pub(crate) generation: u64,
    /// Nothing of this epoch was acknowledged behind it, except where the start was unclean.
    pub(crate) end: Position,
    /// Who is to lead next, if somebody was asked for.
    pub(crate) to: Option<NodeId>,
    pub(crate) reason: ResignReason,
}

/// See [`Message::Handover`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Handover {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    /// The request behind it: the same each time that it is said again.
    pub(crate) id: RequestId,
    pub(crate) to: NodeId,
    pub(crate) within_ms: u64,
}

/// See [`Message::Kept`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    pub(crate) id: RequestId,
}

/// See [`Message::Join`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Join {
    pub(crate) member: Member,
    pub(crate) admission: Admission,
}

/// Whether a node is known already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Admission {
    /// It gives up what it was and knows nothing.
    New,
    /// It is a member that has started again.
    Known,
}

/// Why a node is not taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error, Serialize, Deserialize)]
pub enum JoinRefused {
    /// It votes: if it forgets what it voted for, two may lead.
    #[error("the cluster counts this node as a voter: remove it there before it begins anew")]
    Voter,
    /// A person removed it.
    #[error("this node was removed from the cluster")]
    Removed,
    /// A newer start of it is known.
    #[error("a newer start of this node is known to the cluster")]
    OldGeneration,
    /// There are as many as there can be.
    #[error("the cluster has as many members as it can have")]
    Full,
}

/// Why a datagram is not understood. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum DecodeError {
    /// Longer than any that is sent.
    #[error("a datagram of {0} bytes is longer than any that is sent")]
    TooLong(usize),
    /// Of another release.
    #[error("the datagram is of version {0}")]
    Version(u8),
    /// Nothing that this release sends.
    #[error("the datagram makes no sense")]
    Malformed,
}

impl Datagram {
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION])
            .expect("a message has nothing that cannot be encoded")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Datagram, DecodeError> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(DecodeError::TooLong(bytes.len()));
        }
        let (&version, rest) = bytes.split_first().ok_or(DecodeError::Malformed)?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        match postcard::take_from_bytes(rest) {
            Ok((datagram, [])) => Ok(datagram),
            _ => Err(DecodeError::Malformed),
        }
    }
}
