//! What nodes say to each other. Datagrams: lost, doubled and reordered as a matter of course.
//!
//! Nothing in a message is trusted to make sense: indexes may lie anywhere, terms be huge.

use serde::{Deserialize, Serialize};

use super::{Config, Entry, Index, LogPosition, Payload, Term};

/// One message. Its receiver knows from whom it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Message {
    /// The sender's term.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Body {
    /// Would I get a vote in term `next`? Changes nothing at its receiver (dissertation, 9.6).
    PreVote {
        /// The term that the sender would begin.
        next: Term,
        /// Where its log ends.
        last: LogPosition,
    },
    /// The answer to [`Body::PreVote`].
    PreVoteReply {
        /// The term that was asked about.
        next: Term,
        /// Whether the sender would vote so.
        granted: bool,
    },
    /// Vote for me in my term.
    Vote {
        /// Where the sender's log ends.
        last: LogPosition,
        /// Its leader told it to: whoever has a leader listens all the same.
        transfer: bool,
    },
    /// The answer to [`Body::Vote`].
    VoteReply {
        /// Whether the sender voted for the receiver.
        granted: bool,
    },
    /// Entries, or none: then it says that the leader lives and what is committed.
    Append(Append),
    /// The log agrees with the leader's up to `matched`, on disk.
    Accepted {
        /// Which message this answers.
        seq: u64,
        /// The last entry known to agree.
        matched: Index,
    },
    /// The entry before the ones that came is not there.
    Rejected {
        /// Which message this answers.
        seq: u64,
        /// Where the entry should have been.
        prev: Index,
        /// The last entry that may agree.
        hint: LogPosition,
    },
    /// A part of a snapshot.
    Chunk(Chunk),
    /// So many bytes of the snapshot are there, from its begin on.
    Received {
        /// Which message this answers.
        seq: u64,
        /// Bytes.
        offset: u64,
    },
    /// The receiver shall ask for votes at once: the leader hands over.
    TimeoutNow,
    /// What the receiver said is of an old term; the message's is newer.
    NewerTerm,
}

/// See [`Body::Append`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Append {
    /// Counts the leader's messages, so that an answer to an old one is known as such.
    pub seq: u64,
    /// What lies before the entries.
    pub prev: LogPosition,
    /// Up to here everything is committed.
    pub commit: Index,
    /// Dense, from `prev` on.
    pub entries: Vec<Entry>,
}

impl Append {
    /// Where the leader's log and the receiver's agree afterwards.
    pub(super) fn end(&self) -> Index {
        self.entries.last().map_or(self.prev.index, |entry| entry.index)
    }

    /// Whether a leader of that term can have sent it.
    pub(super) fn is_well_formed(&self, term: Term) -> bool {
        let mut last = self.prev;
        for entry in &self.entries {
            let config_bad =
                matches!(&entry.payload, Payload::Config(config) if !config.is_well_formed());
            if last.index >= Index::LIMIT || config_bad {
                return false;
            }
            if entry.index != last.index.next() || entry.term < last.term || entry.term > term {
                return false;
            }
            last = entry.position();
        }
        last.index < Index::LIMIT && last.term <= term
    }
}

/// See [`Body::Chunk`]. One is under way to a follower at a time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Chunk {
    /// Counts the leader's messages.
    pub seq: u64,
    /// Where the snapshot stands.
    pub at: LogPosition,
    /// The bytes of its data.
    pub total: u64,
    /// Where this part begins.
    pub offset: u64,
    /// Who takes part; with the first part only.
    pub config: Option<Config>,
    /// The part.
    pub bytes: Vec<u8>,
}
