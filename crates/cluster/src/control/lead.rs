//! This node as the shard's leader: it asks for its lease, and gives it back.
//!
//! Invariant: what was given back is not taken again in this process, and a leader that has given back
//! says so until its epoch is revoked.

use trefoil_clock::{Epoch, NodeId, Position};

use super::{Action, Control};
use crate::message::{Message, Renewed, Resign};
use crate::raft::Index;
use crate::state::{Command, Granted, ResignReason};

/// So long after a grant the replication side may still be on its way to lead.
const BEGIN_MS: u64 = 2_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Leading {
    /// The epoch that was granted to this node last, and when it learned of it.
    granted: Option<(Epoch, u64)>,
    /// What it says until the epoch is revoked, and when next.
    parting: Option<Parting>,
    /// Of a node that is alone: the epoch that it begins, until that is agreed upon.
    advance: Option<Epoch>,
    advancing: Option<Index>,
}

#[derive(Debug)]
struct Parting {
    resign: Resign,
    next_ms: u64,
}

impl Leading {
    pub(super) fn advance_to(&mut self, epoch: Epoch) {
        self.advance = self.advance.max(Some(epoch));
    }

    pub(super) fn is_advancing(&self) -> bool {
        self.advance.is_some()
    }

    /// Proposals of another term may be lost.
    pub(super) fn forget_proposals(&mut self) {
        self.advancing = None;
    }

    pub(super) fn resign_at_once(&mut self, now_ms: u64) {
        self.parting.iter_mut().for_each(|parting| parting.next_ms = now_ms);
    }

    pub(super) fn parting_ms(&self) -> Option<u64> {
        self.parting.as_ref().map(|parting| parting.next_ms)
    }
}

impl Control {
    /// The epoch in which this node is to lead.
    fn granted_epoch(&self) -> Option<Epoch> {
        let shard = self.own_shard()?;
        let is_ours = shard.granted == Granted::Yes && shard.leader == self.own.node;
        is_ours.then_some(shard.epoch)
    }

    /// The replication side leads, or was told to a moment ago. Alone it need not say so.
    fn may_lead(&self, now_ms: u64, epoch: Epoch) -> bool {
        !self.state.is_managed()
            || self.local.led == Some(epoch)
            || self.begin_until_ms(epoch).is_some_and(|until_ms| now_ms < until_ms)
    }

    fn begin_until_ms(&self, epoch: Epoch) -> Option<u64> {
        let (_, since_ms) = self.leading.granted.filter(|(granted, _)| *granted == epoch)?;
        Some(since_ms.saturating_add(BEGIN_MS))
    }

    /// When a leader that has not begun to lead gives up, and when it asks for its lease again.
    pub(super) fn leading_ms(&self) -> Option<u64> {
        let epoch = self.granted_epoch().filter(|&epoch| !self.holder.has_given_back(epoch));
        let waits = epoch.filter(|_| self.state.is_managed() && self.local.led != epoch);
        let begin_ms = waits.and_then(|epoch| self.begin_until_ms(epoch));
        [begin_ms, self.holder.deadline(), self.leading.parting_ms()].into_iter().flatten().min()
    }

    /// Asks for the lease where this node leads.
    pub(super) fn lead(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let granted = self.granted_epoch();
        if !self.state.is_managed() {
            self.leading.granted = None;
        } else if self.leading.granted.map(|(epoch, _)| epoch) != granted && self.informed {
            self.leading.granted = granted.map(|epoch| (epoch, now_ms));
        }
        let is_known = || {
            let known = self.state.members.get(&self.own.node);
            known.is_some_and(|known| known.generation == self.own.generation)
        };
        let leads = granted.filter(|&epoch| is_known() && self.may_lead(now_ms, epoch));
        self.holder.lead(now_ms, leads, &self.raft.config().voters);
        self.give_up_if_unled(now_ms, granted);
        if let Some(renew) = self.holder.due(now_ms, self.local.end) {
            for node in renew.voters.clone() {
                self.send(node, Message::Renew(renew.clone()), out);
            }
        }
        self.say_parting(now_ms, granted, out);
    }

    /// It was told to lead, and does not: its process has started again and can't go on, or it is stuck.
    fn give_up_if_unled(&mut self, now_ms: u64, granted: Option<Epoch>) {
        if let Some(epoch) = granted
            && !self.holder.has_given_back(epoch)
            && self.begin_until_ms(epoch).is_some_and(|until_ms| until_ms <= now_ms)
            && self.local.led != Some(epoch)
        {
            self.give_back(now_ms, epoch, self.local.end, None, ResignReason::Unclean);
        }
    }

    pub(super) fn give_back(
        &mut self,
        now_ms: u64,
        epoch: Epoch,
        end: Position,
        to: Option<NodeId>,
        reason: ResignReason,
    ) {
        self.holder.give_back(epoch);
        self.handing = None;
        let (shard, generation) = (self.shard, self.own.generation);
        let resign = Resign { shard, epoch, generation, end, to, reason };
        self.leading.parting = Some(Parting { resign, next_ms: now_ms });
    }

    fn say_parting(&mut self, now_ms: u64, granted: Option<Epoch>, out: &mut Vec<Action>) {
        let repeat_ms = self.options.controller.repeat_ms;
        let Some(parting) = &mut self.leading.parting else { return };
        if self.informed && granted != Some(parting.resign.epoch) {
            self.leading.parting = None;
            return;
        }
        if parting.next_ms > now_ms {
            return;
        }
        parting.next_ms = now_ms.saturating_add(repeat_ms);
        let message = Message::Resign(parting.resign);
        if let Some(leader) = self.raft.leader() {
            self.send(leader, message, out);
        }
    }

    /// A voter lets this node go on.
    pub(super) fn on_renewed(&mut self, now_ms: u64, from: NodeId, renewed: &Renewed) {
        self.holder.on_renewed(now_ms, from, renewed);
    }

    /// A node that is alone begins epochs by itself; that is agreed upon before anybody may join it.
    pub(super) fn say_advance(&mut self, now_ms: u64) {
        let Some(epoch) = self.leading.advance else { return };
        let is_done = self
            .own_shard()
            .is_some_and(|it| it.epoch > epoch || it.epoch == epoch && it.granted == Granted::Yes);
        if self.state.is_managed() || is_done {
            (self.leading.advance, self.leading.advancing) = (None, None);
        } else if self.controller.is_some()
            && self.leading.advancing.is_none_or(|index| index <= self.applied)
        {
            let command = Command::Advance { shard: self.shard, epoch }.encode();
            self.leading.advancing = self.raft.propose(now_ms, command, &mut self.wanted).ok();
        }
    }
}
