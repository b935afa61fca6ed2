//! The members as we see them, and the newest that each said about itself.
//!
//! Invariants: this node is not in it; rows are exactly the other nodes that foca knows; at most
//! `limit` rows and as many records. Records of nodes without a row are dropped at the next sweep.

use std::collections::BTreeMap;

use foca::{Member, State};
use trefoil_clock::NodeId;

use super::action::{Event, MemberRow, MemberState};
use super::identity::Identity;
use super::record::{NodeRecord, Presence, RecordVersion};
use super::wire::Run;

struct Row {
    identity: Identity,
    state: MemberState,
    since_ms: u64,
}

impl Row {
    fn is_gone(&self) -> bool {
        matches!(self.state, MemberState::Down | MemberState::Left)
    }
}

pub(super) struct Roster {
    limit: usize,
    rows: BTreeMap<NodeId, Row>,
    records: BTreeMap<NodeId, NodeRecord>,
}

impl Roster {
    pub(super) fn new(limit: usize) -> Roster {
        Roster { limit, rows: BTreeMap::new(), records: BTreeMap::new() }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = MemberRow<'_>> {
        self.rows.iter().map(|(id, row)| MemberRow {
            identity: row.identity,
            state: row.state,
            since_ms: row.since_ms,
            record: self.records.get(id),
        })
    }

    pub(super) fn row(&self, id: NodeId) -> Option<MemberRow<'_>> {
        let row = self.rows.get(&id)?;
        let (identity, state, since_ms) = (row.identity, row.state, row.since_ms);
        Some(MemberRow { identity, state, since_ms, record: self.records.get(&id) })
    }

    /// Whether this life of a node is among the living.
    pub(super) fn is_active(&self, identity: &Identity) -> bool {
        self.rows.get(&identity.id).is_some_and(|row| row.identity == *identity && !row.is_gone())
    }

    /// Members that are not gone.
    pub(super) fn active(&self) -> impl Iterator<Item = Identity> {
        self.rows.values().filter(|row| !row.is_gone()).map(|row| row.identity)
    }

    /// Takes over what foca thinks of a member, and says what is new about that.
    pub(super) fn observe(&mut self, now_ms: u64, member: &Member<Identity>) -> Option<Event> {
        let identity = *member.id();
        let left = self.said_farewell(&identity);
        let state = match member.state() {
            State::Alive => MemberState::Alive,
            State::Suspect => MemberState::Suspect,
            State::Down if left => MemberState::Left,
            State::Down => MemberState::Down,
        };
        let row = Row { identity, state, since_ms: now_ms };
        let is_gone = row.is_gone();
        match self.rows.get_mut(&identity.id) {
            Some(old) if old.identity == identity && old.state == state => return None,
            Some(old) => {
                let was_gone = old.is_gone();
                *old = row;
                if was_gone && is_gone && state != MemberState::Left {
                    return None;
                }
            }
            None => {
                self.rows.insert(identity.id, row);
                if is_gone {
                    return None;
                }
            }
        }
        Some(match state {
            MemberState::Alive => Event::MemberUp(identity),
            MemberState::Suspect => Event::MemberSuspect(identity),
            MemberState::Down => Event::MemberDown(identity),
            MemberState::Left => Event::MemberLeft(identity),
        })
    }

    fn said_farewell(&self, identity: &Identity) -> bool {
        self.records.get(&identity.id).is_some_and(|record| {
            record.presence == Presence::Leaving && record.identity == *identity
        })
    }

    /// Keeps a record if it is news. A farewell that comes after the death explains it.
    pub(super) fn keep(&mut self, now_ms: u64, record: NodeRecord) -> Option<Event> {
        let identity = record.identity;
        let held = self.records.get(&identity.id).map(NodeRecord::version);
        let is_news = held.map_or(self.records.len() < self.limit, |held| held < record.version());
        if !is_news {
            return None;
        }
        let leaving = record.presence == Presence::Leaving;
        self.records.insert(identity.id, record);
        match self.rows.get_mut(&identity.id) {
            Some(row) if leaving && row.identity == identity && row.state == MemberState::Down => {
                row.state = MemberState::Left;
                row.since_ms = now_ms;
                Some(Event::MemberLeft(identity))
            }
            _ => Some(Event::MemberUpdated(identity)),
        }
    }

    /// The version of a node's record held here; the default is before all.
    pub(super) fn version(&self, id: NodeId) -> RecordVersion {
        self.records.get(&id).map(NodeRecord::version).unwrap_or_default()
    }

    /// Records in a run of ids of members that are not gone, ascending.
    pub(super) fn active_records(&self, run: Run) -> impl Iterator<Item = &NodeRecord> {
        let range = (run.first <= run.last).then(|| self.records.range(run.first..=run.last));
        range
            .into_iter()
            .flatten()
            .map(|(_, record)| record)
            .filter(|record| self.rows.get(&record.identity.id).is_some_and(|row| !row.is_gone()))
    }

    /// Whether a node has a row.
    pub(super) fn knows(&self, id: NodeId) -> bool {
        self.rows.contains_key(&id)
    }

    /// How many rows there may still be.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.rows.len())
    }

    /// The member that is gone for longest.
    pub(super) fn longest_gone(&self) -> Option<Identity> {
        let gone = self.rows.values().filter(|row| row.is_gone());
        gone.min_by_key(|row| (row.since_ms, row.identity.id)).map(|row| row.identity)
    }

    /// Members that are gone since then or longer.
    pub(super) fn gone_since(&self, ms: u64) -> Vec<Identity> {
        let gone = self.rows.values().filter(|row| row.is_gone() && row.since_ms <= ms);
        gone.map(|row| row.identity).collect()
    }

    /// Forgets a member.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.rows.remove(&id);
        self.records.remove(&id);
    }

    /// Drops records of nodes that are no members.
    pub(super) fn sweep(&mut self) {
        let rows = &self.rows;
        self.records.retain(|id, _| rows.contains_key(id));
    }
}
