//! The log in memory: entries, the snapshot before them, the configuration in force, what is committed
//! and what is on disk.
//!
//! Invariants:
//! * Entries are dense from `base` on, their terms never fall.
//! * `base <= snapshot <= commit <= last`, `durable <= last`; nothing up to `commit` ever changes.
//! * `config` is the one of the last configuration entry, committed or not.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Config, Entry, Ignored, Index, LogPosition, Payload, Snapshot, Start, Term, Ticket};

/// See the module.
#[derive(Debug)]
pub(super) struct Journal {
    /// The position before the first entry that is held.
    base: LogPosition,
    entries: VecDeque<Entry>,
    snapshot: Option<Arc<Snapshot>>,
    config: Config,
    config_index: Index,
    commit: Index,
    /// Synced up to here.
    durable: Index,
    /// What each write makes durable, ascending by ticket.
    writing: VecDeque<(Ticket, Index)>,
}

/// What a leader's entries change in a follower's log.
pub(super) struct Merge {
    pub(super) truncate_from: Option<Index>,
    pub(super) fresh: Vec<Entry>,
}

impl Journal {
    pub(super) fn new(start: Start) -> Journal {
        let Start { snapshot, entries, .. } = start;
        let snapshot = snapshot.map(Arc::new);
        let base = snapshot.as_ref().map(|snapshot| snapshot.position()).unwrap_or_default();
        let entries: VecDeque<Entry> =
            entries.into_iter().filter(|entry| entry.index > base.index).collect();
        let durable = entries.back().map_or(base.index, |entry| entry.index);
        let mut journal = Journal {
            base,
            entries,
            snapshot,
            config: Config::default(),
            config_index: Index::ZERO,
            commit: base.index,
            durable,
            writing: VecDeque::new(),
        };
        journal.find_config();
        journal
    }

    pub(super) fn base(&self) -> LogPosition {
        self.base
    }

    pub(super) fn last(&self) -> LogPosition {
        self.entries.back().map_or(self.base, Entry::position)
    }

    pub(super) fn commit(&self) -> Index {
        self.commit
    }

    pub(super) fn durable(&self) -> Index {
        self.durable
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration before the last one, as long as that one is not known to be committed.
    pub(super) fn config_before(&self) -> Option<Config> {
        (!self.is_config_committed()).then(|| self.config_at(self.config_index.prev()).1)
    }

    pub(super) fn is_config_committed(&self) -> bool {
        self.config_index <= self.commit
    }

    pub(super) fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// The position at an index; none beyond the end, and before what is held.
    pub(super) fn position(&self, index: Index) -> Option<LogPosition> {
        if index == self.base.index {
            return Some(self.base);
        }
        self.offset(index).and_then(|at| self.entries.get(at)).map(Entry::position)
    }

    /// Whether a position agrees with this log. What is committed and not held any more does.
    pub(super) fn agrees(&self, at: LogPosition) -> bool {
        at.index < self.base.index || self.position(at.index) == Some(at)
    }

    /// The last position up to `index` whose term is at most `term`: what both logs may share. It may
    /// lie before what is held.
    pub(super) fn shared_with(&self, index: Index, term: Term) -> Index {
        let mut at = index.min(self.last().index);
        while self.position(at).is_some_and(|position| position.term > term) {
            if at == self.base.index {
                return at.prev();
            }
            at = at.prev();
        }
        at
    }

    /// Entries from an index on: at most so many bytes, but at least one if there is one.
    pub(super) fn slice(&self, from: Index, bytes_max: usize) -> Vec<Entry> {
        let mut room = bytes_max;
        let Some(start) = self.offset(from) else { return Vec::new() };
        let mut taken = Vec::new();
        for entry in self.entries.iter().skip(start) {
            if !taken.is_empty() && entry.weight() > room {
                break;
            }
            room = room.saturating_sub(entry.weight());
            taken.push(entry.clone());
        }
        taken
    }

    /// What a leader's entries would change. They follow a position that [`Journal::agrees`].
    pub(super) fn merge(&self, entries: Vec<Entry>) -> Result<Merge, Ignored> {
        let mut truncate_from = None;
        let mut fresh = entries.into_iter().peekable();
        while let Some(entry) = fresh.peek() {
            let held = self.position(entry.index);
            if entry.index > self.commit && held != Some(entry.position()) {
                truncate_from = held.map(|_| entry.index);
                break;
            }
            // Before what is held everything is committed, and nobody can tell any more.
            if held.is_some_and(|held| held != entry.position()) {
                return Err(Ignored::ConflictsWithCommitted);
            }
            fresh.next();
        }
        let fresh: Vec<Entry> = fresh.collect();
        let term_falls = fresh.first().is_some_and(|first| {
            self.position(first.index.prev()).is_none_or(|before| first.term < before.term)
        });
        if term_falls { Err(Ignored::Malformed) } else { Ok(Merge { truncate_from, fresh }) }
    }

    pub(super) fn truncate(&mut self, from: Index) {
        assert!(from > self.commit, "what is committed is never cut");
        let keep = self.offset(from).expect("a cut lies behind the base");
        self.entries.truncate(keep);
        self.durable = self.durable.min(from.prev());
        for (_, index) in &mut self.writing {
            *index = (*index).min(from.prev());
        }
        if self.config_index >= from {
            self.find_config();
        }
    }

    pub(super) fn append(&mut self, entry: Entry) {
        let last = self.last();
        assert_eq!(entry.index, last.index.next(), "the log is dense");
        assert!(entry.term >= last.term, "terms never fall along the log");
        if let Payload::Config(config) = &entry.payload {
            self.config = config.clone();
            self.config_index = entry.index;
        }
        self.entries.push_back(entry);
    }

    /// All that was appended so far is durable once the write is.
    pub(super) fn on_writing(&mut self, ticket: Ticket) {
        self.writing.push_back((ticket, self.last().index));
    }

    pub(super) fn on_persisted(&mut self, ticket: Ticket) {
        while let Some((_, index)) = self.writing.pop_front_if(|(of, _)| *of <= ticket) {
            self.durable = index;
        }
    }

    /// The write after which the log is durable up to an index.
    pub(super) fn durable_after(&self, index: Index, next: Ticket) -> Ticket {
        if index <= self.durable {
            return Ticket::default();
        }
        let covers = self.writing.iter().find(|(_, reached)| *reached >= index);
        covers.map_or(next, |(ticket, _)| *ticket)
    }

    /// Commits up to an index, which is here; what is new of it.
    pub(super) fn commit_to(&mut self, index: Index) -> Vec<Entry> {
        assert!(index <= self.last().index, "only what is in the log is committed");
        let from = self.offset(self.commit.next());
        let count = index.0.saturating_sub(self.commit.0);
        self.commit = self.commit.max(index);
        let count = usize::try_from(count).expect("entries fit memory");
        from.map_or(Vec::new(), |from| {
            self.entries.iter().skip(from).take(count).cloned().collect()
        })
    }

    /// The snapshot that replaces all up to a committed index, made of the caller's data.
    pub(super) fn snapshot_at(&self, index: Index, data: Vec<u8>) -> Snapshot {
        let at = self.position(index).expect("what is committed after the snapshot is held");
        Snapshot { index, term: at.term, config: self.config_at(index).1, data }
    }

    /// Entries up to the snapshot go, but for a tail.
    pub(super) fn compact(&mut self, snapshot: Snapshot, tail: u64) {
        let keep_after = Index(snapshot.index.0.saturating_sub(tail)).max(self.base.index);
        self.base = self.position(keep_after).expect("the base lies in what is held");
        while self.entries.front().is_some_and(|entry| entry.index <= keep_after) {
            self.entries.pop_front();
        }
        self.snapshot = Some(Arc::new(snapshot));
        self.find_config();
    }

    /// Another node's snapshot takes the place of what is here. What comes after it stays only if this
    /// log holds the snapshot's last entry; returns where it was cut otherwise.
    pub(super) fn install(&mut self, snapshot: Snapshot) -> Option<Index> {
        let (at, last) = (snapshot.position(), self.last().index);
        assert!(at.index > self.commit, "a snapshot that is installed brings news");
        let goes_on = self.position(at.index) == Some(at);
        if goes_on {
            self.entries.retain(|entry| entry.index > at.index);
        } else {
            self.entries.clear();
            // Nothing of what was being written counts any more; the snapshot's own write does.
            self.durable = Index::ZERO;
            self.writing.iter_mut().for_each(|(_, index)| *index = Index::ZERO);
        }
        self.base = at;
        self.commit = at.index;
        self.snapshot = Some(Arc::new(snapshot));
        self.find_config();
        (!goes_on && last > at.index).then_some(at.index.next())
    }

    fn find_config(&mut self) {
        (self.config_index, self.config) = self.config_at(self.last().index);
    }

    /// The configuration that is in force at an index, and where it stands.
    fn config_at(&self, index: Index) -> (Index, Config) {
        let snapshot = self.snapshot.as_ref();
        let oldest = snapshot.map_or(Index::ZERO, |snapshot| snapshot.index);
        let recent = |entry: &&Entry| entry.index <= index && entry.index > oldest;
        let found = self.entries.iter().rev().filter(recent).find_map(|entry| {
            let Payload::Config(config) = &entry.payload else { return None };
            Some((entry.index, config.clone()))
        });
        let of_snapshot =
            || (oldest, snapshot.map_or(Config::default(), |snapshot| snapshot.config.clone()));
        found.unwrap_or_else(of_snapshot)
    }

    /// Where the entry of an index would be among those held.
    fn offset(&self, index: Index) -> Option<usize> {
        let behind = index.0.checked_sub(self.base.index.0)?.checked_sub(1)?;
        usize::try_from(behind).ok()
    }

    pub(super) fn validate(&self, term: Term) {
        let mut last = self.base;
        for entry in &self.entries {
            assert_eq!(entry.index, last.index.next(), "the log is dense");
            assert!(entry.term >= last.term, "terms never fall along the log");
            last = entry.position();
        }
        let kept = self.snapshot.as_ref().map(|snapshot| snapshot.position()).unwrap_or_default();
        assert!(self.base <= kept, "entries go only when a snapshot holds them");
        assert!(kept.index <= self.commit, "a snapshot holds only what is committed");
        assert!(self.commit <= last.index, "what is committed is in the log");
        assert!(self.durable <= last.index, "what is durable is in the log");
        assert!(last.term <= term, "no entry is of a term to come");
        assert_eq!(
            self.config_at(last.index),
            (self.config_index, self.config.clone()),
            "the last configuration is in force"
        );
        let founded = last.index > Index::ZERO && !self.config.voters.is_empty();
        assert!(!founded || self.config.is_well_formed(), "nobody is voter and learner");
        let ascending = self.writing.iter().zip(self.writing.iter().skip(1));
        assert!(ascending.into_iter().all(|(a, b)| a.0 < b.0), "writes come back in order");
    }
}
