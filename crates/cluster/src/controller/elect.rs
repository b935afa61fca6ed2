//! While nobody leads: wait until the old lease is over, gather reports, choose, grant.

use std::collections::BTreeMap;

use trefoil_clock::{Epoch, NodeId, Position};

use super::choose::{Ballot, Choice, Terms, Wanted, choose, lacks};
use super::watch::policy;
use super::{Controller, Decision, Lack, Sight, Stage};
use crate::control::{Event, Force};
use crate::state::{Command, Failover, ResignReason, Shard};

/// A revocation that this controller knows to be agreed upon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fence {
    epoch: Epoch,
    /// When it learned that. The wait counts from here, whoever waited before (rule 11).
    learned_ms: u64,
    /// The old leader gave its lease back before: there is nothing to wait for.
    given_back: bool,
}

impl Controller {
    pub(super) fn elect(&mut self, sight: &Sight<'_>, shard: &Shard, out: &mut Vec<Decision>) {
        if self.proposed.is_some() {
            return;
        }
        let fence = self.fence(sight, shard);
        let ballots = self.ballots(sight, shard);
        // Who takes nothing of an epoch any more acknowledges nothing in it either, so the old leader's
        // own report is as good as the end of its lease.
        let is_over = fence.given_back || ballots.contains_key(&shard.leader);
        let until_ms = fence.learned_ms.saturating_add(self.wait_ms);
        if !is_over && sight.now_ms < until_ms {
            self.stage = Stage::LeaseRuns { until_ms };
            self.wake(until_ms);
            return;
        }
        let async_ms = fence.learned_ms.saturating_add(self.options.async_ms);
        let terms = self.terms(sight, shard, sight.now_ms >= async_ms);
        let choice = choose(sight.state, shard, &ballots, &terms);
        let (node, lacking) = match choice {
            Choice::Nobody(lack) => {
                self.stage = Stage::Electing(lack);
                if sight.now_ms < async_ms {
                    self.wake(async_ms);
                }
                return;
            }
            Choice::Elect(node) => (node, false),
            Choice::ElectLacking(node) => (node, true),
        };
        let settled_ms = self.settled_ms(fence, shard, &ballots, node, terms.wanted);
        if sight.now_ms < settled_ms {
            self.stage = Stage::Electing(Lack::Settling);
            self.wake(settled_ms);
            return;
        }
        if lacking {
            let records = lacks(terms.leader_end, ballots[&node].end);
            out.push(Decision::Event(Event::MayLack { shard: self.shard, node, records }));
        }
        self.stage = Stage::Granting { to: node };
        let epoch = shard.epoch.next();
        self.propose_failover(Command::Grant { shard: self.shard, epoch, leader: node }, out);
    }

    /// The revocation, from when it was first seen here.
    fn fence(&mut self, sight: &Sight<'_>, shard: &Shard) -> Fence {
        if let Some(fence) = self.fence.filter(|fence| fence.epoch == shard.epoch) {
            return fence;
        }
        // A process renews its lease only after its start was agreed upon. So if the start that gave
        // the lease back is the newest one known at the revocation, no later one has a lease.
        let generation = sight.state.members.get(&shard.leader).map_or(0, |it| it.generation);
        let given_back =
            self.resigned(shard.epoch).is_some_and(|resign| resign.generation >= generation);
        let fence = Fence { epoch: shard.epoch, learned_ms: sight.now_ms, given_back };
        *self.fence.insert(fence)
    }

    /// What the electable nodes said of their ends since they stopped taking records of the epoch.
    fn ballots(&self, sight: &Sight<'_>, shard: &Shard) -> BTreeMap<NodeId, Ballot> {
        let fenced = |node: &NodeId| {
            let told = self.reports.get(node)?;
            // An earlier start may have reported what this one does not hold to.
            let generation = sight.state.members.get(node).map_or(0, |it| it.generation);
            if told.what.generation < generation {
                return None;
            }
            let is_fenced = told.what.fenced.is_some_and(|fenced| fenced >= shard.epoch);
            is_fenced.then(|| Ballot {
                end: told.what.end,
                whole: told.what.whole,
                intact: told.what.intact,
                healthy: told.what.healthy,
                present: sight.now_ms.saturating_sub(told.at_ms) <= self.options.candidate_ms,
            })
        };
        shard.electable.iter().filter_map(|&node| Some((node, fenced(&node)?))).collect()
    }

    fn terms(&self, sight: &Sight<'_>, shard: &Shard, waited: bool) -> Terms {
        let resign = self.resigned(shard.epoch);
        let asked = resign.and_then(|resign| resign.to);
        let policy = policy(sight);
        let order = self.order.as_ref();
        let forced = order.is_some_and(|order| order.force == Force::Yes);
        let wanted = match (order.and_then(|order| order.to).or(asked), forced) {
            (Some(to), true) => Wanted::Only(to),
            (Some(to), false) => Wanted::Rather(to),
            (None, _) if order.is_some() => Wanted::Anybody,
            // The old leader wants to go on; that another one leads would be a person's decision.
            (None, _) if policy.failover == Failover::Manual => Wanted::Only(shard.leader),
            (None, _) => Wanted::Anybody,
        };
        Terms {
            wanted,
            forced,
            excluded: resign
                .filter(|resign| self.is_unfit(shard.leader, resign.reason, resign.generation))
                .map(|_| shard.leader),
            final_end: resign
                .filter(|resign| resign.reason != ResignReason::Unclean)
                .filter(|_| self.fence.is_some_and(|fence| fence.given_back))
                .map(|resign| resign.end),
            leader_end: self.leader_end(shard),
            max_loss: policy.max_loss,
            waited,
            controller: self.own,
        }
    }

    /// Whether a leader that resigned is not to be elected at once: its process ends, or it is not well.
    fn is_unfit(&self, leader: NodeId, reason: ResignReason, generation: u64) -> bool {
        let Some(told) = self.reports.get(&leader) else { return false };
        match reason {
            ResignReason::Stopping => told.what.generation <= generation,
            ResignReason::SickDisk | ResignReason::StalledLoop => !told.what.healthy,
            ResignReason::Asked | ResignReason::Unclean => false,
        }
    }

    /// The furthest end that the old leader is known to have had.
    pub(super) fn leader_end(&self, shard: &Shard) -> Position {
        let heard = self.heard.values().map(|told| told.what.leader_end);
        let report = self.reports.get(&shard.leader).map(|told| told.what.end);
        let resigned = self.resigned(shard.epoch).map(|resign| resign.end);
        heard.chain(report).chain(resigned).max().unwrap_or_default()
    }

    /// Until when reports beyond those that suffice are awaited.
    fn settled_ms(
        &self,
        fence: Fence,
        shard: &Shard,
        ballots: &BTreeMap<NodeId, Ballot>,
        chosen: NodeId,
        wanted: Wanted,
    ) -> u64 {
        match wanted {
            Wanted::Rather(asked) | Wanted::Only(asked) if asked == chosen => fence.learned_ms,
            _ if ballots.len() == shard.electable.len() => fence.learned_ms,
            Wanted::Rather(_) => fence.learned_ms.saturating_add(self.options.preferred_ms),
            Wanted::Only(_) | Wanted::Anybody => {
                fence.learned_ms.saturating_add(self.options.settle_ms)
            }
        }
    }
}
