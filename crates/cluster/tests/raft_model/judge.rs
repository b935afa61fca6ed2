//! What must be true of all nodes together (paper, figure 3), judged from outside the cores.

use std::collections::BTreeMap;

use trefoil_clock::NodeId;
use trefoil_cluster::raft::{Body, Entry, Index, LogPosition, Message, Snapshot, Start, Term};

use crate::machine::{Applied, last, position};

/// Everything that ever happened, seen by somebody who sees all.
#[derive(Default)]
pub(crate) struct Judge {
    leaders: BTreeMap<Term, NodeId>,
    /// Every entry that was ever in a log, with the term before it.
    written: BTreeMap<LogPosition, (Entry, Term)>,
    /// What is committed, and in which term it became so.
    committed: BTreeMap<Index, (Entry, Term)>,
    /// The state after each committed entry.
    states: BTreeMap<Index, Applied>,
}

impl Judge {
    /// The state that the cluster begins with.
    pub(crate) fn found(&mut self, state: Applied) {
        self.states.insert(state.index, state);
    }

    pub(crate) fn committed_up_to(&self) -> Index {
        self.states.last_key_value().map_or(Index::ZERO, |(&index, _)| index)
    }

    pub(crate) fn elections(&self) -> u64 {
        u64::try_from(self.leaders.len()).expect("few")
    }

    /// Election safety and leader completeness.
    pub(crate) fn on_leader(
        &mut self,
        node: NodeId,
        term: Term,
        log: &Start,
    ) -> Result<(), String> {
        let leader = *self.leaders.entry(term).or_insert(node);
        if leader != node {
            return Err(format!("{leader:?} and {node:?} both lead in {term:?}"));
        }
        let kept = log.snapshot.as_ref().map_or(Index::ZERO, |snapshot| snapshot.index);
        for (&index, (entry, since)) in self.committed.range(kept.next()..) {
            if *since < term && position(log, index) != Some(entry.position()) {
                let holds = position(log, index);
                return Err(format!("the leader of {term:?} lacks {entry:?}, it has {holds:?}"));
            }
        }
        Ok(())
    }

    /// Log matching: an entry's index and term say what it holds, and what came before it.
    pub(crate) fn on_written(&mut self, log: &Start, entries: &[Entry]) -> Result<(), String> {
        for entry in entries {
            let before = position(log, entry.index.prev()).map(|at| at.term);
            let Some(before) = before else { return Err(format!("nothing before {entry:?}")) };
            let known =
                self.written.entry(entry.position()).or_insert_with(|| (entry.clone(), before));
            if *known != (entry.clone(), before) {
                return Err(format!("{entry:?} after {before:?} was {known:?} elsewhere"));
            }
        }
        Ok(())
    }

    /// State machine safety.
    pub(crate) fn on_commit(&mut self, term: Term, entry: &Entry) -> Result<(), String> {
        let (known, _) = self.committed.entry(entry.index).or_insert_with(|| (entry.clone(), term));
        if known != entry {
            return Err(format!("{known:?} was committed, now {entry:?} is"));
        }
        let before = self.states.get(&entry.index.prev());
        let Some(before) = before.copied() else {
            return Err(format!("{entry:?} was committed before what precedes it"));
        };
        self.states.entry(entry.index).or_insert_with(|| before.after(entry));
        Ok(())
    }

    /// A state is the one of its index, however it came about.
    pub(crate) fn on_state(&self, state: Applied) -> Result<(), String> {
        let expected = self.states.get(&state.index);
        if expected == Some(&state) {
            return Ok(());
        }
        Err(format!("a node has {state:?}, it should be {expected:?}"))
    }

    pub(crate) fn on_install(&self, snapshot: &Snapshot) -> Result<Applied, String> {
        let state = Applied::load(snapshot);
        self.on_state(state)?;
        Ok(state)
    }

    /// What a message says of its sender's disk is on that disk.
    pub(crate) fn on_send(
        &self,
        (to, message): (NodeId, &Message),
        disk: &Start,
    ) -> Result<(), String> {
        let hard = disk.hard;
        if message.term > hard.term {
            return Err(format!("{message:?} speaks of a term that is not on disk"));
        }
        let is_backed = match &message.body {
            Body::Vote { .. } => hard.term > message.term || hard.vote.is_some(),
            Body::VoteReply { granted: true } => hard.term > message.term || hard.vote == Some(to),
            Body::Accepted { matched, .. } => *matched <= last(disk),
            _ => true,
        };
        if is_backed { Ok(()) } else { Err(format!("{message:?} is not backed by the disk")) }
    }
}
