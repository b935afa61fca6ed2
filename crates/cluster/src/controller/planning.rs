//! FAILOVER PLAN: the election as it would be now, without one.

use std::collections::BTreeMap;

use trefoil_clock::NodeId;

use super::choose::{Ballot, Choice, Terms, Wanted, choose, lacks};
use super::watch::policy;
use super::{Controller, Fitness, Lack, Outcome, Plan, PlanRow, Sight};
use crate::message::Report;
use crate::state::{Failover, Granted, MemberKind, Shard};

impl Controller {
    /// None: there is no shard.
    pub(super) fn plan(&self, sight: &Sight<'_>) -> Option<Plan> {
        let shard = sight.state.shards.get(&self.shard)?;
        let leader_end = self.leader_end(shard);
        let data = sight.state.members.values().filter(|it| it.kind == MemberKind::Data);
        let rows = data.map(|member| {
            let told = self.reports.get(&member.node);
            let end = told.map(|told| told.what.end);
            PlanRow {
                node: member.node,
                end,
                lacks: end.map(|end| lacks(leader_end, end)),
                silent_ms: told.map(|told| sight.now_ms.saturating_sub(told.at_ms)),
                fitness: self.fitness(sight, shard, member.node),
            }
        });
        Some(Plan {
            epoch: shard.epoch,
            leader: shard.leader,
            stage: self.stage,
            leader_end,
            reports_needed: shard.reports_needed(),
            rows: rows.collect(),
            outcome: self.outcome(sight, shard),
        })
    }

    /// Whether a member may be elected.
    pub(super) fn fitness(&self, sight: &Sight<'_>, shard: &Shard, node: NodeId) -> Fitness {
        let region = |node: NodeId| sight.state.members.get(&node).map(|it| &it.place.region);
        let told = self.reports.get(&node);
        if shard.leader == node && shard.granted == Granted::Yes {
            return Fitness::Leads;
        }
        if !shard.electable.contains(&node) {
            return Fitness::NotElectable;
        }
        let Some(told) = told
            .filter(|told| sight.now_ms.saturating_sub(told.at_ms) <= self.options.candidate_ms)
        else {
            return Fitness::Silent;
        };
        if !told.what.whole {
            Fitness::NotWhole
        } else if !told.what.intact {
            Fitness::Doubtful
        } else if region(node) != region(shard.leader) {
            Fitness::OtherRegion
        } else if !told.what.healthy {
            Fitness::Sick
        } else {
            Fitness::Fit
        }
    }

    /// What would happen if the leader were gone from now on.
    fn outcome(&self, sight: &Sight<'_>, shard: &Shard) -> Outcome {
        if policy(sight).failover == Failover::Manual {
            return Outcome::Nobody(Lack::Manual);
        }
        let gone = |node: NodeId| shard.granted == Granted::Yes && shard.leader == node;
        let ballot = |&node: &NodeId| {
            let told = self.reports.get(&node).filter(|_| !gone(node))?;
            let present = sight.now_ms.saturating_sub(told.at_ms) <= self.options.candidate_ms;
            let Report { end, whole, intact, healthy, .. } = told.what;
            present.then_some((node, Ballot { end, whole, intact, healthy, present }))
        };
        let ballots: BTreeMap<NodeId, Ballot> = shard.electable.iter().filter_map(ballot).collect();
        let terms = Terms {
            wanted: Wanted::Anybody,
            forced: false,
            excluded: None,
            final_end: None,
            leader_end: self.leader_end(shard),
            max_loss: policy(sight).max_loss,
            waited: true,
            controller: self.own,
        };
        match choose(sight.state, shard, &ballots, &terms) {
            Choice::Elect(node) => Outcome::Leads(node),
            Choice::ElectLacking(node) => Outcome::LeadsLacking(node),
            Choice::Nobody(lack) => Outcome::Nobody(lack),
        }
    }
}
