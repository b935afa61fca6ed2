//! What is being written, and the messages that wait for it.
//!
//! Invariants:
//! * A message leaves when the write that it depends on is synced, never before.
//! * What waits is of the current term, and bounded: it may be dropped as the network may lose it.

use std::mem::{self, discriminant};

use trefoil_clock::NodeId;

use super::{Action, Entry, HardState, Index, Message, Snapshot, Ticket, Write};

/// Messages that may wait for a slow disk.
const HELD_MAX: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// The last write that was given out.
    last: Ticket,
    /// All writes up to this one are synced.
    persisted: Ticket,
    /// The write that holds the current term and vote.
    hard: Ticket,
    /// Collected, to be given out when the event is over.
    collected: Write,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    after: Ticket,
    to: NodeId,
    message: Message,
}

impl Writing {
    /// The write that collects now.
    pub(super) fn next(&self) -> Ticket {
        Ticket(self.last.0 + 1)
    }

    pub(super) fn hard(&self) -> Ticket {
        self.hard
    }

    pub(super) fn is_hard_synced(&self) -> bool {
        self.hard <= self.persisted
    }

    pub(super) fn set_hard(&mut self, hard: HardState) {
        self.collected.hard = Some(hard);
        self.hard = self.next();
    }

    pub(super) fn set_snapshot(&mut self, snapshot: Snapshot) {
        assert!(self.collected.entries.is_empty(), "a snapshot comes before the entries after it");
        self.collected.snapshot = Some(snapshot);
    }

    pub(super) fn truncate(&mut self, from: Index) {
        assert!(self.collected.entries.is_empty(), "a log is cut before it is extended");
        self.collected.truncate_from = Some(from);
    }

    pub(super) fn append(&mut self, entry: Entry) {
        self.collected.entries.push(entry);
    }

    /// The write that is complete, if there is one.
    pub(super) fn take(&mut self) -> Option<(Ticket, Write)> {
        if self.collected.is_empty() {
            return None;
        }
        self.last = self.next();
        Some((self.last, mem::take(&mut self.collected)))
    }

    /// All writes up to this one are synced; what waited for them leaves.
    pub(super) fn on_persisted(&mut self, ticket: Ticket, out: &mut Vec<Action>) {
        assert!(ticket <= self.last, "only what was given out can be synced");
        self.persisted = self.persisted.max(ticket);
        let persisted = self.persisted;
        for held in self.held.extract_if(.., |held| held.after <= persisted) {
            out.push(Action::Send { to: held.to, message: held.message });
        }
    }

    /// Sends a message once a write is synced.
    pub(super) fn send(
        &mut self,
        after: Ticket,
        to: NodeId,
        message: Message,
        out: &mut Vec<Action>,
    ) {
        if after <= self.persisted {
            out.push(Action::Send { to, message });
            return;
        }
        let kind = discriminant(&message.body);
        let same = |held: &&mut Held| {
            held.after == after && held.to == to && discriminant(&held.message.body) == kind
        };
        if let Some(held) = self.held.iter_mut().find(same) {
            held.message = message;
        } else if self.held.len() < HELD_MAX {
            self.held.push(Held { after, to, message });
        }
    }

    /// A term is over, and what was to be said in it.
    pub(super) fn drop_held(&mut self) {
        self.held.clear();
    }

    pub(super) fn validate(&self, hard: HardState) {
        assert!(self.persisted <= self.last, "only what was given out is synced");
        assert!(self.collected.is_empty(), "an event ends with its write given out");
        assert!(self.held.len() <= HELD_MAX, "what waits is bounded");
        for held in &self.held {
            assert!(held.after > self.persisted, "nothing waits for what is synced");
            assert_eq!(held.message.term, hard.term, "what waits is of the current term");
        }
    }
}
