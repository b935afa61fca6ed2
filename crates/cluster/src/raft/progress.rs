//! What a leader knows of one follower.
//!
//! Invariant: `matched < next`, and `next` is at most one behind the leader's last entry.

use std::sync::Arc;

use trefoil_clock::NodeId;

use super::{Index, LogPosition, Snapshot};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// The follower's disk agrees with the leader's log up to here.
    pub(super) matched: Index,
    /// The next entry that goes to it.
    pub(super) next: Index,
    /// The commit index that it was told last, whether or not it heard.
    pub(super) told_commit: Index,
    pub(super) flow: Flow,
    /// Something arrived there since the last heartbeat.
    pub(super) moved: bool,
    /// When it last said anything in this term.
    pub(super) heard_ms: Option<u64>,
    /// Since when this is kept.
    pub(super) since_ms: u64,
    /// It was removed; until then it is told so.
    pub(super) leaving_ms: Option<u64>,
}

/// How entries go to a follower.
#[derive(Clone, Debug)]
pub(super) enum Flow {
    /// Where its log agrees is not known: one append at a time, again at each heartbeat.
    Probing {
        /// The newest one.
        seq: u64,
    },
    /// Appends go ahead of their answers.
    Streaming {
        /// Those with entries that are under way.
        in_flight: u32,
    },
    /// It lacks what the log does not hold any more.
    Snapshot(Transit),
}

/// A snapshot on its way.
#[derive(Clone, Debug)]
pub(super) struct Transit {
    pub(super) snapshot: Arc<Snapshot>,
    /// Where the part that is under way begins.
    pub(super) offset: usize,
    /// The message that carries it.
    pub(super) seq: u64,
}

impl Progress {
    pub(super) fn new(next: Index, now_ms: u64) -> Progress {
        Progress {
            matched: Index::ZERO,
            next,
            told_commit: Index::ZERO,
            flow: Flow::Probing { seq: 0 },
            moved: false,
            heard_ms: None,
            since_ms: now_ms,
            leaving_ms: None,
        }
    }

    /// When there was contact, or would have to be counted from.
    pub(super) fn contact_ms(&self) -> u64 {
        self.heard_ms.unwrap_or(self.since_ms)
    }

    /// Whether another append may leave at once.
    pub(super) fn may_send(&self, last: Index, commit: Index, window: u32) -> bool {
        let Flow::Streaming { in_flight } = self.flow else { return false };
        in_flight < window && (self.next <= last || self.told_commit < commit)
    }

    /// An append left, with so many entries.
    pub(super) fn on_sent(&mut self, seq: u64, entries: u64, commit: Index) {
        self.told_commit = commit;
        match &mut self.flow {
            Flow::Probing { seq: newest } => *newest = seq,
            Flow::Streaming { in_flight } => {
                self.next = Index(self.next.0 + entries);
                *in_flight += u32::from(entries > 0);
            }
            Flow::Snapshot(_) => {}
        }
    }

    /// Its disk agrees up to here. `base` is the last index before what the leader's log holds.
    pub(super) fn on_accepted(&mut self, matched: Index, base: Index) {
        self.moved |= matched > self.matched;
        self.matched = self.matched.max(matched);
        let proven = self.matched.next() >= self.next;
        self.next = self.next.max(self.matched.next());
        let all_here = self.next == self.matched.next();
        match &mut self.flow {
            Flow::Probing { .. } if proven => self.flow = Flow::Streaming { in_flight: 0 },
            Flow::Streaming { in_flight } if all_here => *in_flight = 0,
            Flow::Streaming { in_flight } => *in_flight = in_flight.saturating_sub(1),
            // The log may have moved on meanwhile: then the next append turns into a newer snapshot.
            Flow::Snapshot(transit) if self.matched >= base.min(transit.snapshot.index) => {
                self.flow = Flow::Streaming { in_flight: 0 };
            }
            Flow::Probing { .. } | Flow::Snapshot(_) => {}
        }
    }

    /// Whether a rejection is of what is being asked now.
    pub(super) fn is_current(&self, seq: u64, prev: Index) -> bool {
        match self.flow {
            Flow::Probing { seq: newest } => seq == newest && prev > self.matched,
            Flow::Streaming { .. } => prev > self.matched,
            Flow::Snapshot(_) => false,
        }
    }

    /// Asks anew where the logs agree, from an entry on.
    pub(super) fn probe_from(&mut self, next: Index) {
        self.next = next.max(self.matched.next());
        self.flow = Flow::Probing { seq: 0 };
    }

    /// A heartbeat is due. Returns whether nothing arrived there since the one before: what is under
    /// way is taken for lost then.
    pub(super) fn on_beat(&mut self) -> bool {
        let stands_still = !std::mem::take(&mut self.moved);
        let waits = self.next > self.matched.next();
        if waits && stands_still && matches!(self.flow, Flow::Streaming { .. }) {
            self.probe_from(self.matched.next());
        }
        stands_still
    }
}

/// How a follower is supplied, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Supply {
    /// Where its log agrees is not known yet.
    Probing,
    /// Entries go to it as they come.
    Streaming,
    /// It gets a snapshot.
    Snapshot {
        /// Bytes that it has.
        sent: u64,
        /// Bytes of all.
        total: u64,
    },
}

/// What a leader knows of a member, for status and for decisions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgressRow {
    /// Who.
    pub node: NodeId,
    /// Whether it votes.
    pub is_voter: bool,
    /// Its disk has everything up to here.
    pub matched: Index,
    /// When it last said anything in this term.
    pub heard_ms: Option<u64>,
    /// How entries go to it.
    pub supply: Supply,
}

impl Progress {
    pub(super) fn row(&self, node: NodeId, is_voter: bool) -> ProgressRow {
        let supply = match &self.flow {
            Flow::Probing { .. } => Supply::Probing,
            Flow::Streaming { .. } => Supply::Streaming,
            Flow::Snapshot(transit) => Supply::Snapshot {
                sent: transit.offset as u64,
                total: transit.snapshot.data.len() as u64,
            },
        };
        ProgressRow { node, is_voter, matched: self.matched, heard_ms: self.heard_ms, supply }
    }

    pub(super) fn validate(&self, last: LogPosition) {
        assert!(self.matched < self.next, "what is sent next is not known to be there");
        assert!(self.next <= last.index.next(), "only what is in the log is sent");
    }
}
