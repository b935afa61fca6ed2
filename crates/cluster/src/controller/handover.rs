//! A failover that a person asked for.
//!
//! A leader that is well hands over by itself: it lets writes wait, sees that the next one has
//! everything, gives its lease back. If it can't in time it leads on, unless the person forced it.

use trefoil_clock::{Epoch, NodeId};

use super::{Controller, Decision, Fitness, Lack, Sight, Stage};
use crate::control::{Done, Event, Force, RequestError, RequestId};
use crate::message::{Handover, Kept, Message};
use crate::state::{Granted, MemberKind, Shard};

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Order {
    id: RequestId,
    /// The epoch that is to end.
    epoch: Epoch,
    /// Who is to lead; none: whoever is fit.
    pub(super) to: Option<NodeId>,
    pub(super) force: Force,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The leader was told to hand over.
    Told { to: NodeId, until_ms: u64, next_ms: u64 },
    /// It could not.
    Kept { to: NodeId },
    /// It is not asked.
    Revoke,
}

impl Controller {
    /// A person asks for another leader. What can be answered at once is.
    pub(super) fn order_failover(
        &mut self,
        sight: &Sight<'_>,
        id: RequestId,
        to: Option<NodeId>,
        force: Force,
    ) -> Option<Result<Done, RequestError>> {
        let Some(shard) = sight.state.shards.get(&self.shard) else {
            return Some(Err(RequestError::Alone));
        };
        if !sight.state.is_managed() {
            return Some(Err(RequestError::Alone));
        }
        if self.order.is_some_and(|order| shard.granted == Granted::Yes || order.id == id) {
            return Some(Err(RequestError::Busy));
        }
        if let Some(error) = to.and_then(|to| self.cannot_lead(sight, shard, to)) {
            return Some(Err(error));
        }
        let phase = if shard.granted == Granted::Revoked || self.is_silent(sight, shard) {
            Phase::Revoke
        } else {
            let named = to.filter(|&to| force == Force::Yes || self.is_fit(sight, shard, to));
            let Some(target) = named.or_else(|| self.target(sight, shard).filter(|_| to.is_none()))
            else {
                return Some(Err(RequestError::NotFit(to.map_or(Lack::NoCandidate, Lack::Asked))));
            };
            let until_ms = sight.now_ms.saturating_add(self.options.handover_ms);
            Phase::Told { to: target, until_ms, next_ms: sight.now_ms }
        };
        self.order = Some(Order { id, epoch: shard.epoch, to, force, phase });
        None
    }

    /// Why that node can't lead, whatever a person says.
    fn cannot_lead(&self, sight: &Sight<'_>, shard: &Shard, to: NodeId) -> Option<RequestError> {
        let Some(member) = sight.state.members.get(&to) else {
            return Some(RequestError::NoMember(to));
        };
        if member.kind == MemberKind::Witness {
            return Some(RequestError::Witness(to));
        }
        if shard.granted == Granted::Yes && shard.leader == to {
            return Some(RequestError::LeadsAlready(to));
        }
        (!shard.electable.contains(&to)).then_some(RequestError::NotFit(Lack::Asked(to)))
    }

    fn is_fit(&self, sight: &Sight<'_>, shard: &Shard, node: NodeId) -> bool {
        let fitness = self.fitness(sight, shard, node);
        matches!(fitness, Fitness::Fit | Fitness::Sick | Fitness::OtherRegion)
    }

    /// Whom a leader that is well hands over to, if nobody was named.
    fn target(&self, sight: &Sight<'_>, shard: &Shard) -> Option<NodeId> {
        let caught_up = self.reports.get(&shard.leader).map(|told| &told.what.caught_up);
        let rank = |node: &NodeId| {
            let end = self.reports.get(node).map(|told| told.what.end);
            let is_close = caught_up.is_some_and(|nodes| nodes.contains(node));
            (is_close, end, *node != self.own, std::cmp::Reverse(*node))
        };
        let fit = |node: &NodeId| self.fitness(sight, shard, *node) == Fitness::Fit;
        shard.electable.iter().copied().filter(fit).max_by_key(rank)
    }

    /// The leader could not hand over.
    pub(crate) fn on_kept(&mut self, from: NodeId, kept: Kept, sight: &Sight<'_>) {
        let is_leaders =
            sight.state.shards.get(&self.shard).is_some_and(|shard| shard.leader == from);
        if let Some(order) = self.order.as_mut().filter(|order| order.id == kept.id)
            && let Phase::Told { to, .. } = order.phase
            && is_leaders
            && kept.shard == self.shard
        {
            order.phase = Phase::Kept { to };
        }
    }

    /// An order is over when somebody leads in a later epoch.
    pub(super) fn close_order(&mut self, shard: &Shard, out: &mut Vec<Decision>) {
        let over = |order: &mut Order| shard.granted == Granted::Yes && shard.epoch > order.epoch;
        if let Some(order) = self.order.take_if(over) {
            let done = Done::Leads { node: shard.leader, epoch: shard.epoch };
            self.desk.answer(order.id, Ok(done), out);
        }
    }

    /// Goes on with an order while the old leader leads. Whether it is to be revoked.
    pub(super) fn follow_order(
        &mut self,
        sight: &Sight<'_>,
        shard: &Shard,
        silent: bool,
        out: &mut Vec<Decision>,
    ) -> bool {
        let Some(mut order) = self.order else { return false };
        let (to, until_ms, next_ms) = match order.phase {
            Phase::Revoke => return true,
            Phase::Kept { to } => return self.end_handover(order, to, out),
            // Somebody wanted another leader, and now there is none.
            Phase::Told { .. } if silent => return true,
            Phase::Told { to, until_ms, next_ms } => (to, until_ms, next_ms),
        };
        if sight.now_ms >= until_ms.saturating_add(self.options.handover_slack_ms) {
            return self.end_handover(order, to, out);
        }
        self.stage = Stage::HandingOver { to };
        if sight.now_ms >= next_ms && sight.now_ms < until_ms {
            let next_ms = sight.now_ms.saturating_add(self.options.repeat_ms);
            order.phase = Phase::Told { to, until_ms, next_ms };
            let within_ms = until_ms - sight.now_ms;
            let (shard_id, epoch) = (self.shard, shard.epoch);
            let handover = Handover { shard: shard_id, epoch, id: order.id, to, within_ms };
            let message = Message::Handover(handover);
            out.push(Decision::Tell { to: shard.leader, message });
            self.wake(next_ms);
        }
        self.wake(next_ms.max(sight.now_ms + 1));
        self.order = Some(order);
        false
    }

    /// The leader did not hand over. Whether it is revoked all the same.
    fn end_handover(&mut self, order: Order, to: NodeId, out: &mut Vec<Decision>) -> bool {
        if order.force == Force::Yes {
            self.order = Some(Order { phase: Phase::Revoke, ..order });
            return true;
        }
        self.order = None;
        out.push(Decision::Event(Event::HandoverUndone { shard: self.shard, to }));
        self.desk.answer(order.id, Err(RequestError::HandoverUndone(to)), out);
        false
    }
}
