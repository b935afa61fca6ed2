//! Sees everything, and says what is broken.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_clock::{Epoch, NodeId};

use super::machine::Machine;
use super::replica::Record;
use crate::raft::Term;

pub(super) const TWO_LEASES: &str = "hold a lease at the same time";
pub(super) const LACKS: &str = "lacks what was acknowledged";
pub(super) const REVOKED_THOUGH_HEARD: &str = "though a majority heard its leader";
pub(super) const AT_REST: &str = "when all came to rest";

/// What was said of a silence may be so old when it counts: its message was late, and stays fresh.
const STALE_MS: u64 = 900;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// A voter that answered within such a time heard its leader, by the fastest clock.
    silent_ms: u64,
    /// What was acknowledged to clients, by place, and by the leader of which epoch first.
    acknowledged: BTreeMap<usize, (Record, Epoch)>,
    raft_leaders: BTreeMap<Term, NodeId>,
    grants: BTreeMap<Epoch, NodeId>,
    /// When each voter last answered, and when its last long silence ended.
    voters: BTreeMap<NodeId, Hearing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Hearing {
    answered: (u64, u64),
    silence_ended_ms: Option<u64>,
}

impl Judge {
    /// Whoever is silent for `failover_ms` by some clock is to be revoked.
    pub(super) fn new(failover_ms: u64) -> Judge {
        Judge { silent_ms: failover_ms * 93 / 100, ..Judge::default() }
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// After each event.
    pub(super) fn look(
        &mut self,
        now_ms: u64,
        machines: &BTreeMap<NodeId, Machine>,
    ) -> Result<(), String> {
        let holders: Vec<NodeId> =
            machines.values().filter(|it| it.holds_lease(now_ms)).map(|it| it.node).collect();
        // Who waits to be taken in leads its own cluster of one.
        let of_cluster = |node: &&NodeId| {
            let control = machines[*node].control.as_ref().expect("it is up");
            control.state.cluster == trefoil_clock::ClusterId(1)
        };
        if holders.iter().filter(of_cluster).count() > 1 {
            return Err(format!("{holders:?} {TWO_LEASES}, at {now_ms}"));
        }
        for machine in machines.values() {
            let Some(control) = &machine.control else { continue };
            self.note_answers(now_ms, machine.node, control.voter.answered_ms());
            let is_ours = control.state.cluster == trefoil_clock::ClusterId(1);
            if is_ours && control.raft.is_leader() {
                let (term, node) = (control.raft.term(), machine.node);
                let known = *self.raft_leaders.entry(term).or_insert(node);
                if known != node {
                    return Err(format!("{known} and {node} lead in {term:?}"));
                }
            }
        }
        Ok(())
    }

    fn note_answers(&mut self, now_ms: u64, node: NodeId, answered_ms: u64) {
        let silent_ms = self.silent_ms;
        let hearing = self.voters.entry(node).or_default();
        let (known_ms, at_ms) = hearing.answered;
        if known_ms != answered_ms {
            if now_ms.saturating_sub(at_ms) >= silent_ms {
                hearing.silence_ended_ms = Some(now_ms);
            }
            hearing.answered = (answered_ms, now_ms);
        }
    }

    /// A reply to a client left a leader that holds its lease.
    pub(super) fn on_acknowledged(
        &mut self,
        place: usize,
        record: Record,
        epoch: Epoch,
    ) -> Result<(), String> {
        let (known, _) = *self.acknowledged.entry(place).or_insert((record, epoch));
        if known == record {
            return Ok(());
        }
        Err(format!("{record:?} was acknowledged at {place}, where {known:?} was before"))
    }

    /// A node begins to lead.
    pub(super) fn on_lead(
        &mut self,
        node: NodeId,
        epoch: Epoch,
        log: &[Record],
    ) -> Result<(), String> {
        let known = *self.grants.entry(epoch).or_insert(node);
        if known != node {
            return Err(format!("{known} and {node} were granted {epoch}"));
        }
        // It may learn of its grant when others have long gone on: that is no matter, it has no lease.
        let before = self.acknowledged.iter().filter(|(_, (_, by))| *by < epoch);
        for (&place, (record, _)) in before {
            if log.get(place - 1) != Some(record) {
                return Err(format!("{node} leads in {epoch} and {LACKS}: {record:?} at {place}"));
            }
        }
        Ok(())
    }

    /// Somebody proposes to revoke an epoch because its leader is silent.
    pub(super) fn on_silent(
        &self,
        now_ms: u64,
        epoch: Epoch,
        voters: &BTreeSet<NodeId>,
    ) -> Result<(), String> {
        let missed = |node: &&NodeId| {
            let Some(hearing) = self.voters.get(node) else { return true };
            let silent = now_ms.saturating_sub(hearing.answered.1) >= self.silent_ms;
            silent || hearing.silence_ended_ms.is_some_and(|at_ms| at_ms + STALE_MS >= now_ms)
        };
        if voters.iter().filter(missed).count() > voters.len() / 2 {
            return Ok(());
        }
        Err(format!("{epoch} is revoked {REVOKED_THOUGH_HEARD}, at {now_ms}: {:?}", self.voters))
    }
}
