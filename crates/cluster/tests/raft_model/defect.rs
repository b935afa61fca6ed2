//! Defects that are built into the world around the cores, to see that the judges find them. The cores
//! are never changed: what they are told, and what leaves them, is.

use trefoil_cluster::raft::{Body, Config, Entry, Index, Message, Payload, Raft, Term, Write};

/// A defect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Defect {
    /// The thing as it is.
    None,
    /// A term and vote count as synced when they are handed to the disk.
    VoteBeforeSync,
    /// Entries count as synced when they are handed to the disk.
    AcceptedBeforeSync,
    /// A leader takes an entry of an older term for committed because a majority has it.
    OldTermCounted,
    /// One change of the configuration holds two voters.
    TwoVotersAtOnce,
}

impl Defect {
    /// Whether the core is told that this is synced while it is not.
    pub(crate) fn lies_about(self, write: &Write) -> bool {
        match self {
            Defect::VoteBeforeSync => write.hard.is_some() && write.entries.is_empty(),
            Defect::AcceptedBeforeSync => !write.entries.is_empty(),
            Defect::None | Defect::OldTermCounted | Defect::TwoVotersAtOnce => false,
        }
    }

    /// Whether crashes are to follow the lie closely.
    pub(crate) fn is_of_the_disk(self) -> bool {
        matches!(self, Defect::VoteBeforeSync | Defect::AcceptedBeforeSync)
    }
}

/// The last entry that a majority has, of whatever term: what a careless leader would commit.
pub(crate) fn counted(raft: &Raft) -> Index {
    let voters = &raft.config().voters;
    let rows = raft.progress();
    let mut matched: Vec<Index> =
        rows.iter().filter(|row| row.is_voter).map(|row| row.matched).collect();
    if voters.contains(&raft.node()) {
        matched.push(raft.durable());
    }
    matched.sort_unstable_by(|a, b| b.cmp(a));
    let reached = matched.get(raft.config().quorum() - 1);
    reached.copied().unwrap_or_default().max(raft.committed())
}

/// A configuration entry that was made with one voter, and leaves its leader with two.
pub(crate) struct Forgery {
    pub(crate) index: Index,
    pub(crate) term: Term,
    pub(crate) config: Config,
}

impl Forgery {
    pub(crate) fn forge(&self, entries: &mut [Entry]) {
        let is_it = |entry: &&mut Entry| entry.index == self.index && entry.term == self.term;
        for entry in entries.iter_mut().filter(is_it) {
            entry.payload = Payload::Config(self.config.clone());
        }
    }

    pub(crate) fn forge_message(&self, message: &mut Message) {
        if let Body::Append(append) = &mut message.body {
            self.forge(&mut append.entries);
        }
    }
}
