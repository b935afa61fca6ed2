//! What a node finds on its disk when it starts.

use thiserror::Error;
use trefoil_clock::NodeId;

use super::{Config, Entry, HardState, Index, Payload, Snapshot, Term, Write};

/// The sum of all writes. A node that waits to be taken into a cluster starts with nothing
/// ([`Start::default`]); who founds one with [`Start::founding`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Start {
    /// Term and vote.
    pub hard: HardState,
    /// The newest snapshot.
    pub snapshot: Option<Snapshot>,
    /// What comes after it, dense.
    pub entries: Vec<Entry>,
}

/// Why a node can't start from what it found. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum StartError {
    /// An entry is missing.
    #[error("entry {} of the control log is missing", .0.0)]
    Missing(Index),
    /// An entry's term is lower than the one's before it.
    #[error("entry {} of the control log is of an earlier term than the one before it", .0.0)]
    TermFalls(Index),
    /// An entry is of a term that the node never heard of.
    #[error("the control log goes beyond term {}, the newest that was written down", .0.0)]
    TermUnknown(Term),
    /// Nobody votes, or somebody is voter and learner.
    #[error("the configuration at {} of the control log makes no cluster", .0.0)]
    BadConfig(Index),
    /// What was agreed upon is of another release.
    #[error("what was agreed upon up to {} of the control log can't be read by this release", .0.0)]
    Unreadable(Index),
    /// A founder's host, region or zone has too long a name.
    #[error("the name of this node's host, region or zone is too long")]
    LongName,
}

impl Start {
    /// A cluster of one, with the state that it starts with. [`Start::write`] has to be on disk first.
    #[must_use]
    pub fn founding(node: NodeId, data: Vec<u8>) -> Start {
        let config = Config::of_one(node);
        let snapshot = Snapshot { index: Index(1), term: Term(1), config, data };
        Start {
            hard: HardState { term: Term(1), vote: None },
            snapshot: Some(snapshot),
            entries: Vec::new(),
        }
    }

    /// All of it as one write: for the first start, or to begin a new file.
    #[must_use]
    pub fn write(&self) -> Write {
        Write {
            hard: Some(self.hard),
            snapshot: self.snapshot.clone(),
            truncate_from: None,
            entries: self.entries.clone(),
        }
    }

    /// Adds a write, in the order in which they were made. For those who replay a file of writes.
    pub fn apply(&mut self, write: Write) {
        if let Some(hard) = write.hard {
            self.hard = hard;
        }
        if let Some(snapshot) = write.snapshot {
            self.entries.retain(|entry| entry.index > snapshot.index);
            self.snapshot = Some(snapshot);
        }
        if let Some(from) = write.truncate_from {
            self.entries.retain(|entry| entry.index < from);
        }
        self.entries.extend(write.entries);
    }

    /// Whether a node can start from it.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn check(&self) -> Result<(), StartError> {
        let mut last = self.snapshot.as_ref().map(Snapshot::position).unwrap_or_default();
        let kept = last.index;
        if self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.config.is_well_formed()) {
            return Err(StartError::BadConfig(kept));
        }
        for entry in self.entries.iter().filter(|entry| entry.index > kept) {
            if entry.index != last.index.next() {
                return Err(StartError::Missing(last.index.next()));
            }
            if entry.term < last.term {
                return Err(StartError::TermFalls(entry.index));
            }
            if matches!(&entry.payload, Payload::Config(config) if !config.is_well_formed()) {
                return Err(StartError::BadConfig(entry.index));
            }
            last = entry.position();
        }
        if last.term > self.hard.term {
            return Err(StartError::TermUnknown(self.hard.term));
        }
        Ok(())
    }
}
