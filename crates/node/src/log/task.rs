//! What the log thread is asked to do besides writing, by the peers thread.
//!
//! A task is carried out behind everything that was handed over before it, while nothing else is
//! handed over: whoever gives one sees to that.

use std::sync::{Arc, Mutex, PoisonError};

use trefoil_clock::{EpochEntry, Identity, Lsn};
use trefoil_log::EpochCause;

use crate::recovery::Report;

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Task {
    /// An epoch of this node begins behind the last record: a note, synced.
    BeginEpoch {
        /// The epoch.
        entry: EpochEntry,
        /// Why it begins.
        cause: EpochCause,
    },
    /// Records behind `to` are void: they are archived, and the log says so.
    Cut {
        /// The last record that stays.
        to: Lsn,
        /// Some of them were applied: the data is loaded anew.
        rebuild: bool,
    },
    /// The data and the log of this node are replaced by a snapshot that was received.
    Install {
        /// Who this node is from then on.
        identity: Identity,
        /// What there was belongs to another history, and is put aside.
        archive: bool,
    },
    /// An empty log gets another identity.
    Adopt {
        /// Who this node is from then on.
        identity: Identity,
    },
}

/// What came of a task.
#[derive(Debug)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is done, and the data was loaded anew.
    Reloaded(Box<Report>),
    /// Nothing was done: what would be left could not be loaded, unless the data is loaded anew.
    NeedsRebuild,
    /// It could not be done; the node goes on as it was, or, if it had begun to change things, stops.
    Failed(String),
}

/// Where the outcome of a task will be.
#[derive(Clone, Default, Debug)]
pub struct Ticket(Arc<Mutex<Option<Outcome>>>);

impl Ticket {
    /// Takes the outcome, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Tells the outcome.
    pub fn tell(&self, outcome: Outcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}
