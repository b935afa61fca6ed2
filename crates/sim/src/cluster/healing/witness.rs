//! What a run of this family is judged by besides the promises on data: what was agreed upon is the same
//! everywhere, epochs are granted, nobody is revoked rashly, elections meet acknowledgements.

use std::sync::Arc;

use trefoil_clock::{Epoch, NodeId};
use trefoil_cluster::control::{ControlView, ControlWrite};
use trefoil_cluster::raft::Payload;
use trefoil_cluster::state::{Command, RevokeReason, Shard};
use trefoil_replication::Acks;

use super::super::SHARD;
use super::super::agenda::{MS, Micros};
use super::super::process::Role;
use super::super::world::{CLUSTER, World};

/// A leader that could be heard by a majority for so long is not silent, whatever was lost or is old:
/// time-out, age of what voters said, their pace, a margin.
const WELL: Micros = 1_000 * MS;

impl World {
    /// Something was wrong with a node until then.
    pub(super) fn unwell(&mut self, slot: usize, for_us: Micros) {
        let until = self.now + for_us;
        if let Some(healing) = &mut self.healing {
            let at = &mut healing.unwell_until[slot];
            *at = (*at).max(until);
        }
    }

    /// Nothing certain got through between two nodes until then.
    pub(super) fn trouble(&mut self, from: usize, to: usize, until: Micros) {
        if let Some(healing) = &mut self.healing {
            let (low, high) = (from.min(to), from.max(to));
            let at = &mut healing.troubled_until[low][high];
            *at = (*at).max(until);
        }
    }

    /// What a node is about to write down shows what is proposed.
    pub(super) fn witness_write(&mut self, slot: usize, write: &ControlWrite) {
        let ControlWrite::Raft(write) = write else { return };
        for entry in &write.entries {
            match &entry.payload {
                Payload::Blank => {}
                Payload::Config(_) => {
                    if let Some(healing) = &mut self.healing {
                        healing.voters_changed_at = self.now;
                    }
                }
                Payload::Command(bytes) => match Command::decode(bytes) {
                    Ok(Command::Revoke { epoch, reason, .. }) => {
                        self.witness_revocation(slot, epoch, reason);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        self.judge.broken("agreement", format!("a command is not read: {error}"));
                    }
                },
            }
        }
    }

    /// No leader is revoked for silence while a majority of the voters hears it.
    fn witness_revocation(&mut self, slot: usize, epoch: Epoch, reason: RevokeReason) {
        let first = self.healing.as_mut().is_some_and(|healing| healing.revocations.insert(epoch));
        if !first {
            return;
        }
        self.trace(format_args!("n{slot} proposes to revoke {epoch}: {reason}"));
        self.met.event(match reason {
            RevokeReason::Silent => "revocations of the silent",
            RevokeReason::Resigned(_) => "revocations of those who resigned",
            RevokeReason::Forced => "revocations that people forced",
        });
        let Some(healing) = &self.healing else { return };
        let Some(view) = self.part_of(slot).and_then(|part| part.view.clone()) else { return };
        let Some(leader) = view.state.shards.get(&SHARD).map(|shard| shard.leader) else { return };
        let restless = healing.voters_changed_at + WELL > self.now;
        if reason != RevokeReason::Silent || restless {
            return;
        }
        let Some(led) = self.slot_of(leader).filter(|&led| self.leads_well(led, epoch)) else {
            return;
        };
        let hears =
            |voter: &&NodeId| self.slot_of(**voter).is_some_and(|voter| self.hears(voter, led));
        let hearing = view.voters.iter().filter(hears).count();
        if hearing > view.voters.len() / 2 {
            let text = format!(
                "n{slot} revokes n{led} in {epoch} as silent, and {hearing} of {} voters hear it",
                view.voters.len()
            );
            self.judge.broken("rash revocation", text);
        }
    }

    /// Which machine a node is now.
    pub(super) fn slot_of(&self, node: NodeId) -> Option<usize> {
        self.nodes.iter().position(|it| it.disk.identity.node == node)
    }

    fn is_well(&self, slot: usize) -> bool {
        let Some(healing) = &self.healing else { return false };
        let since = healing.unwell_until[slot].max(self.nodes[slot].paused_until);
        self.nodes[slot].process.is_some() && since + WELL <= self.now
    }

    fn leads_well(&self, slot: usize, epoch: Epoch) -> bool {
        let since = self.part_of(slot).and_then(|part| part.gate_since);
        self.is_well(slot)
            && self.led_epoch(slot) == Some(epoch)
            && since.is_some_and(|since| since + WELL <= self.now)
    }

    fn hears(&self, voter: usize, leader: usize) -> bool {
        let Some(healing) = &self.healing else { return false };
        let (low, high) = (voter.min(leader), voter.max(leader));
        voter == leader
            || self.is_well(voter) && healing.troubled_until[low][high] + WELL <= self.now
    }

    /// What a node knows of the agreement.
    pub(super) fn witness_view(&mut self, slot: usize, view: &Arc<ControlView>) {
        if view.state.cluster != CLUSTER || !view.state.is_managed() {
            return;
        }
        self.judge.on_agreed(slot, view);
        let Some(healing) = &mut self.healing else { return };
        if healing.newest.as_ref().is_none_or(|newest| newest.index < view.index) {
            healing.newest = Some(Arc::clone(view));
        }
    }

    /// Two nodes lead in one epoch. People may do that by hand; nodes that agree may not.
    pub(crate) fn judge_two_leaders(&mut self, slot: usize, epoch: Epoch) {
        if self.healing.is_some() {
            self.judge.broken("P9: epoch", format!("n{slot} is the second leader in {epoch}"));
        }
    }

    /// A node begins an epoch.
    pub(super) fn check_granted(&mut self, slot: usize, epoch: Epoch) {
        let node = self.nodes[slot].disk.identity.node;
        if self.is_managed(slot) && !self.judge.is_granted(epoch, node) {
            let text = format!("n{slot} begins {epoch}, which nobody granted it");
            self.judge.broken("P9: epoch", text);
        }
    }

    /// Rule 10: by what is agreed upon, an election could not miss what this leader commits by now.
    pub(crate) fn check_rule(&mut self, slot: usize) {
        if !self.is_managed(slot) {
            return;
        }
        let Some(agreed) = self.agreed_shard() else { return };
        let own = self.nodes[slot].disk.identity.node;
        let Role::Leading(leading) = &self.process(slot).role else { return };
        let core = &leading.core;
        let settled = core.is_policy_in_force() && !core.is_degrading();
        if agreed.epoch != core.epoch() || !settled || core.policy().acks == Acks::Async {
            return;
        }
        let Some(needed) = core.needed_acks() else { return };
        let members = core.members();
        let outside = members.iter().filter(|node| !agreed.electable.contains(node)).count();
        // Whose word on a record is certain to be asked: the leader's, and those of the others that are
        // electable, if all that are not have acknowledged it.
        let holders = usize::from(agreed.electable.contains(&own)) + needed.saturating_sub(outside);
        let electable = agreed.electable.len();
        if electable.saturating_sub(holders) >= agreed.reports_needed() {
            let text = format!(
                "n{slot} commits by {needed} of {members:?}, and {} of {:?} ({}) may elect",
                agreed.reports_needed(),
                agreed.electable,
                agreed.acks
            );
            self.judge.broken("P3/P4: rule 10", text);
        }
    }

    fn agreed_shard(&self) -> Option<Shard> {
        let newest = self.healing.as_ref()?.newest.as_ref()?;
        newest.state.shards.get(&SHARD).cloned()
    }
}
