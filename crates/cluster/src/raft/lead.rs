//! A leader: appends, sends, and counts who has what.
//!
//! Invariants: it only extends its log; it commits by counting only entries of its own term (paper, 5.4.2);
//! its own log counts as far as it is synced.

use std::collections::BTreeMap;

use trefoil_clock::NodeId;

use super::message::Append;
use super::progress::{Flow, Progress};
use super::transfer::Transfer;
use super::{Action, Body, Entry, Ignored, Index, Payload, Raft, State};

/// What a node keeps while it leads.
#[derive(Debug)]
pub(super) struct Leading {
    /// Of every other member, and for a while of those who were removed.
    pub(super) progress: BTreeMap<NodeId, Progress>,
    pub(super) next_beat_ms: u64,
    /// Counts messages to followers.
    pub(super) seq: u64,
    /// Its first entry.
    pub(super) first: Index,
    /// To whom it hands over.
    pub(super) transfer: Option<Transfer>,
}

impl Raft {
    /// A majority voted for this node.
    pub(super) fn become_leader(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        assert_eq!(self.hard.vote, Some(self.options.node), "a leader voted for itself");
        let first = self.last().index.next();
        self.incoming = None;
        self.state = State::Leader(Box::new(Leading {
            progress: BTreeMap::new(),
            next_beat_ms: now_ms.saturating_add(self.options.heartbeat_ms),
            seq: 0,
            first,
            transfer: None,
        }));
        self.keep_progress_of_members(now_ms, first);
        self.append_own(Payload::Blank);
        for node in self.followers() {
            self.send_append(node, out);
        }
    }

    /// Appends an entry of the own term.
    pub(super) fn append_own(&mut self, payload: Payload) -> Index {
        let entry = Entry { index: self.last().index.next(), term: self.hard.term, payload };
        let index = entry.index;
        self.writing.append(entry.clone());
        self.journal.append(entry);
        index
    }

    /// Everybody to whom something is sent.
    pub(super) fn followers(&self) -> Vec<NodeId> {
        let State::Leader(leading) = &self.state else { return Vec::new() };
        leading.progress.keys().copied().collect()
    }

    pub(super) fn pump_all(&mut self, out: &mut Vec<Action>) {
        for node in self.followers() {
            self.pump(node, out);
        }
    }

    /// Sends a follower what it can take now.
    pub(super) fn pump(&mut self, to: NodeId, out: &mut Vec<Action>) {
        let (last, commit, window) = (self.last().index, self.committed(), self.options.window);
        let may_send = |raft: &Raft| {
            let State::Leader(leading) = &raft.state else { return false };
            let progress = leading.progress.get(&to);
            progress.is_some_and(|progress| progress.may_send(last, commit, window))
        };
        while may_send(self) {
            self.send_append(to, out);
        }
    }

    /// Sends one append, with entries if there are any to send; or begins a snapshot.
    pub(super) fn send_append(&mut self, to: NodeId, out: &mut Vec<Action>) {
        let State::Leader(leading) = &mut self.state else { return };
        let Some(progress) = leading.progress.get_mut(&to) else { return };
        let Some(prev) = self.journal.position(progress.next.prev()) else {
            self.begin_snapshot(to, out);
            return;
        };
        let entries = self.journal.slice(progress.next, self.options.append_bytes_max);
        let commit = self.journal.commit();
        leading.seq += 1;
        let seq = leading.seq;
        progress.on_sent(seq, entries.len() as u64, commit);
        self.send(to, Body::Append(Append { seq, prev, commit, entries }), out);
    }

    /// A heartbeat is due: says that it leads, sends again what was lost, and makes sure it still does.
    pub(super) fn beat(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        if self.quorum_silent_ms(now_ms) >= self.options.election_max_ms {
            self.become_follower(now_ms, self.hard.term);
            return;
        }
        let State::Leader(leading) = &mut self.state else { return };
        leading.next_beat_ms = now_ms.saturating_add(self.options.heartbeat_ms);
        leading.transfer.take_if(|transfer| now_ms >= transfer.until_ms);
        leading
            .progress
            .retain(|_, progress| progress.leaving_ms.is_none_or(|until_ms| now_ms < until_ms));
        let mut due = Vec::new();
        for (&node, progress) in &mut leading.progress {
            let stands_still = progress.on_beat();
            due.push((node, stands_still, matches!(progress.flow, Flow::Snapshot(_))));
        }
        for (node, stands_still, gets_snapshot) in due {
            if !gets_snapshot {
                self.send_append(node, out);
            } else if stands_still {
                self.send_chunk(node, out);
            }
        }
        self.urge_successor(out);
    }

    /// A follower said something in this term.
    pub(super) fn heard_from(
        &mut self,
        now_ms: u64,
        from: NodeId,
    ) -> Result<&mut Progress, Ignored> {
        let State::Leader(leading) = &mut self.state else { return Err(Ignored::NotLeader) };
        let progress = leading.progress.get_mut(&from).ok_or(Ignored::NotMember)?;
        progress.heard_ms = Some(now_ms);
        Ok(progress)
    }

    /// Commits what a majority has on disk, and tells it.
    pub(super) fn advance_commit(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let State::Leader(leading) = &self.state else { return };
        let (me, durable) = (self.options.node, self.journal.durable());
        let matched = |node: NodeId| {
            let progress = || leading.progress.get(&node).map_or(Index::ZERO, |it| it.matched);
            if node == me { durable } else { progress() }
        };
        let Some(reached) = self.config().reached(matched) else { return };
        let of_own_term =
            self.journal.position(reached).is_some_and(|at| at.term == self.hard.term);
        if reached <= self.committed() || !of_own_term {
            return;
        }
        self.commit_to(reached, out);
        self.pump_all(out);
        if !self.config().is_voter(me) && self.journal.is_config_committed() {
            self.leave(now_ms, out);
        }
    }
}
