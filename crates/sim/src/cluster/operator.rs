//! The person who sets the leader by hand: sees only what nodes tell that can be reached.
//!
//! Invariant: at most one promotion at a time. A careful person first stops followers from
//! acknowledging to the old leader, then asks where they stand, and promotes the highest position among
//! so many reports that each commit has a witness; a careless one does what comes to mind.

use trefoil_clock::{Epoch, Lsn, NodeId, Position};
use trefoil_replication::{AckLevel, AckPolicy, Acks, OnLost};

use super::agenda::{MS, Micros};
use super::disk::Duty;
use super::plan::Care;
use super::process::Role;
use super::world::{CLUSTER, Event, World};

/// See the module.
pub(crate) struct Operator {
    /// The node that is to lead.
    pub(crate) intended: usize,
    /// The policy that is to hold.
    pub(crate) policy: AckPolicy,
    /// The epoch in which the intended leader was last seen, and who that was.
    term: Epoch,
    leader: NodeId,
    /// The electable set that a leader last told.
    seen_members: Vec<NodeId>,
    /// Nodes say that two lead in one epoch.
    pub(crate) two_leaders: bool,
    /// Since when the intended leader is not seen leading.
    missing_since: Option<Micros>,
    next_whim: Micros,
}

impl Operator {
    pub(crate) fn new(policy: AckPolicy) -> Operator {
        Operator {
            intended: 0,
            policy,
            term: Epoch(0),
            leader: NodeId(1),
            seen_members: Vec::new(),
            two_leaders: false,
            missing_since: None,
            next_whim: 500 * MS,
        }
    }
}

impl World {
    pub(crate) fn on_operator(&mut self) {
        let again = if self.healed { 50 } else { 80 + self.dice.below(200) };
        self.agenda.put(self.now + again * MS, Event::Operator);
        self.put_right();
        let patience = if self.healed { 400 } else { 300 + self.dice.below(500) } * MS;
        if self.look_at_leader() {
            self.operator.missing_since = None;
            self.tend_leader();
            if !self.healed && self.now >= self.operator.next_whim {
                let gap = self.plan.whim_gap;
                self.operator.next_whim = self.now + gap / 2 + self.dice.below(gap);
                self.follow_a_whim();
            }
        } else {
            let since = *self.operator.missing_since.get_or_insert(self.now);
            if self.now - since > patience {
                self.fail_over();
            }
        }
    }

    /// Whether the person gets through to a node.
    fn reaches(&self, slot: usize) -> bool {
        self.takes_orders(slot) && self.nodes[slot].unseen_until <= self.now
    }

    /// Whether the intended leader is seen leading.
    fn look_at_leader(&mut self) -> bool {
        let slot = self.operator.intended;
        let foreign = self.nodes[slot].disk.identity.cluster != CLUSTER;
        if !self.reaches(slot) || foreign {
            return false;
        }
        let Role::Leading(leading) = &self.process(slot).role else { return false };
        let (members, term) = (leading.core.members(), leading.core.fence().epoch);
        (self.operator.seen_members, self.operator.term) = (members, term);
        self.operator.leader = self.nodes[slot].disk.identity.node;
        true
    }

    /// Points nodes that follow or lead what they should not.
    fn put_right(&mut self) {
        let intended = self.operator.intended;
        if !self.look_at_leader()
            || (self.plan.care == Care::Careless && !self.healed && self.dice.one_in(2))
        {
            return;
        }
        for slot in 0..self.nodes.len() {
            if slot == intended || !self.reaches(slot) {
                continue;
            }
            let disk = &self.nodes[slot].disk;
            let foreign = disk.identity.cluster != CLUSTER;
            let astray = foreign && !matches!(disk.duty, Duty::Follow { adopts: true, .. });
            let wrong = match &self.process(slot).role {
                Role::Following(following) => following.whom != intended || astray,
                Role::Leading(_) | Role::Recovering { .. } | Role::Fenced => true,
            };
            let stuck = self.healed && self.is_stuck(slot);
            if wrong || stuck {
                self.met.event("nodes pointed anew");
                self.point(slot, intended, foreign, !stuck);
            }
        }
    }

    /// A node that refuses to follow what lost its committed records: in the end a person decides.
    fn is_stuck(&mut self, slot: usize) -> bool {
        let gone_by = self.now.saturating_sub(self.plan.heals_at);
        let Role::Following(following) = &self.process(slot).role else { return false };
        gone_by > 3_000 * MS
            && following.link.is_none()
            && self.plan.care == Care::Careless
            && self.dice.one_in(20)
    }

    /// What a person does for a leader that leads: forgets members that will not come back.
    fn tend_leader(&mut self) {
        let slot = self.operator.intended;
        let alive: Vec<NodeId> = self.nodes.iter().map(|node| node.disk.identity.node).collect();
        let gone: Vec<NodeId> =
            self.operator.seen_members.iter().copied().filter(|m| !alive.contains(m)).collect();
        for node in gone {
            if self.healed || self.dice.one_in(5) {
                self.trace(format_args!("operator forgets {node} on n{slot}"));
                self.with_leader(slot, |core, now, out| {
                    // Refused while it is attached, or if it is no member any more: nothing to do then.
                    let _ = core.forget(now, node, out);
                });
            }
        }
        self.set_policy(slot);
        if std::mem::take(&mut self.operator.two_leaders) {
            // Who follows the other one believes only a newer epoch.
            self.met.event("epochs begun because of two leaders");
            self.begin_next_epoch(slot);
        }
    }

    fn set_policy(&mut self, slot: usize) {
        let policy = self.operator.policy;
        let Role::Leading(leading) = &mut self.process(slot).role else { return };
        if leading.policy != policy {
            leading.policy = policy;
            self.met.event("policies set");
            self.with_leader(slot, |core, now, out| core.set_policy(now, policy, out));
        }
    }

    fn follow_a_whim(&mut self) {
        match self.dice.below(8) {
            0..=2 => self.switch_over(),
            3 if !self.plan.steady => self.alter_policy(),
            4 if self.plan.care == Care::Careless => self.promote_anybody(),
            5 if self.plan.care == Care::Careless => self.point_anywhere(),
            6 => {
                let slot = self.dice.below(self.nodes.len() as u64) as usize;
                self.met.fault("clean restarts");
                self.stop_cleanly(slot);
            }
            _ => {}
        }
    }

    /// A planned change of the leader: the old one is demoted first.
    fn switch_over(&mut self) {
        let old = self.operator.intended;
        let new = self.dice.below(self.nodes.len() as u64) as usize;
        if new == old || !(0..self.nodes.len()).all(|slot| self.reaches(slot)) {
            return;
        }
        self.met.event("switch-overs");
        self.trace(format_args!("operator switches over from n{old}"));
        self.point(old, new, false, true);
        self.fail_over();
    }

    /// Another rule of acknowledgements, by the dice.
    pub(crate) fn another_policy(&mut self, before: AckPolicy) -> AckPolicy {
        let nodes = self.nodes.len() as u64;
        let acks = match self.dice.below(3) {
            0 => Acks::Async,
            1 => Acks::SemiSync(1 + self.dice.below(2).min(nodes - 2) as u32),
            _ => Acks::Sync,
        };
        let level =
            [AckLevel::Received, AckLevel::Flushed, AckLevel::Applied][self.dice.below(3) as usize];
        let on_lost = if self.dice.one_in(3) { OnLost::Degrade } else { OnLost::Block };
        AckPolicy { acks, level, on_lost, ..before }
    }

    fn alter_policy(&mut self) {
        let policy = self.another_policy(self.operator.policy);
        self.operator.policy = policy;
        self.trace(format_args!("operator sets {policy:?}"));
        self.set_policy(self.operator.intended);
    }

    fn promote_anybody(&mut self) {
        let slot = self.dice.below(self.nodes.len() as u64) as usize;
        if self.reaches(slot) && slot != self.operator.intended && self.promote(slot) {
            self.met.event("careless promotions");
            self.operator.intended = slot;
        }
    }

    fn point_anywhere(&mut self) {
        let nodes = self.nodes.len() as u64;
        let (slot, whom) = (self.dice.below(nodes) as usize, self.dice.below(nodes) as usize);
        if slot != whom && slot != self.operator.intended && self.reaches(slot) {
            self.point(slot, whom, false, true);
        }
    }

    /// How many of the other nodes may be silent.
    fn silent_max(&self) -> usize {
        match self.operator.policy.acks {
            _ if !self.plan.steady => 0,
            Acks::Async => usize::MAX,
            Acks::SemiSync(k) => (k as usize).saturating_sub(1),
            // One member is enough, but it must be one.
            Acks::Sync => usize::MAX,
        }
    }

    /// The intended leader is away: somebody else is to lead.
    fn fail_over(&mut self) {
        let old = self.operator.intended;
        let careful = self.plan.care == Care::Careful;
        let reached: Vec<usize> =
            (0..self.nodes.len()).filter(|slot| self.reaches(*slot)).collect();
        if careful || self.is_late() {
            self.stop_acknowledging(old, &reached);
        }
        let late = self.is_late();
        let mut reports: Vec<(Position, usize)> = Vec::new();
        for &slot in &reached {
            let Role::Following(following) = &self.process(slot).role else { continue };
            let stopped = following.whom != old || self.nodes[old].process.is_none();
            if self.may_lead(slot) && (stopped || !careful) {
                reports.push((self.process(slot).end, slot));
            }
        }
        reports.sort_unstable();
        if reports.is_empty() && late {
            // Whoever is left.
            let whole = |slot: &&usize| self.is_whole(**slot);
            reports.extend(reached.iter().filter(whole).map(|&slot| (self.end_of(slot), slot)));
            reports.sort_unstable();
        }
        if !careful && !self.is_late() {
            let at = self.dice.below(reports.len().max(1) as u64) as usize;
            if let Some(&(_, slot)) = reports.get(at) {
                self.promote_and_point(slot);
            }
            return;
        }
        let others = reports.iter().filter(|(_, slot)| *slot != old).count();
        let enough = self.nodes.len() - 1 - others <= self.silent_max();
        match reports.last() {
            Some(&(_, slot))
                if enough && self.members_report(&self.operator.seen_members, &reports) =>
            {
                // Without consensus people know the electable set only as they saw it last.
                let now = &self.nodes[old].disk.members;
                if !now.is_empty() && !self.members_report(now, &reports) {
                    self.met.event("promotions by an electable set that was over");
                    self.judge.promoted_against_the_rule();
                }
                self.promote_and_point(slot);
            }
            _ => self.back_to_the_old_one(old, &reached, &reports),
        }
    }

    /// Everything healed some time ago, and still nobody leads: what is missing will not come any more.
    fn is_late(&self) -> bool {
        self.healed && self.now > self.plan.heals_at + 4_000 * MS
    }

    /// From here on nobody that is reached acknowledges to the old leader.
    fn stop_acknowledging(&mut self, old: usize, reached: &[usize]) {
        let late = self.is_late();
        for &slot in reached {
            let elsewhere = reached.iter().copied().find(|other| *other != slot && *other != old);
            let to = elsewhere.unwrap_or(slot);
            let stays = match &self.process(slot).role {
                Role::Following(following) => following.whom != old,
                Role::Leading(_) => slot == old || !late,
                Role::Recovering { .. } => slot == old && !late,
                Role::Fenced => false,
            };
            if !stays {
                self.point(slot, to, false, true);
            }
        }
    }

    /// So many reports come from members that each commit has a witness among them (rule 9). A leader
    /// without members has committed nothing that others hold: it can't be replaced.
    fn members_report(&self, members: &[NodeId], reports: &[(Position, usize)]) -> bool {
        let old = self.operator.intended;
        let is_member = |slot: usize| members.contains(&self.nodes[slot].disk.identity.node);
        let reported = reports.iter().filter(|(_, slot)| *slot != old && is_member(*slot)).count();
        match self.operator.policy.acks {
            Acks::Async => true,
            Acks::Sync => reported >= 1,
            Acks::SemiSync(k) => {
                members.len() >= k as usize && reported + k as usize > members.len()
            }
        }
    }

    /// Whether a node's report counts: not that of a node without this history, or of one that lost
    /// its disk and is no member again.
    fn may_lead(&mut self, slot: usize) -> bool {
        let identity = self.nodes[slot].disk.identity;
        let again = self.operator.seen_members.contains(&identity.node);
        let known = self.nodes[slot].generation == 0 || again;
        let (term, leader) = (self.operator.term, self.operator.leader);
        let careful = self.plan.care == Care::Careful;
        let process = self.process(slot);
        // A node that led on alone, in an epoch that nobody gave it, is no witness.
        let newest = process.epochs.last();
        let alone = newest.is_some_and(|e| e.epoch > term && e.leader != leader);
        let astray = alone && careful;
        known && !astray && self.is_whole(slot)
    }

    /// Whether a node has this history, and all of what it shows.
    fn is_whole(&self, slot: usize) -> bool {
        let node = &self.nodes[slot];
        let reaches =
            |p: &super::process::Process| p.end.lsn >= p.whole_from && p.end.lsn > Lsn::ZERO;
        node.disk.identity.cluster == CLUSTER && node.process.as_ref().is_some_and(reaches)
    }

    fn end_of(&self, slot: usize) -> Position {
        self.nodes[slot].process.as_ref().map(|process| process.end).unwrap_or_default()
    }

    fn promote_and_point(&mut self, slot: usize) {
        self.trace(format_args!("operator promotes n{slot}"));
        if !self.promote(slot) {
            return;
        }
        self.operator.intended = slot;
        self.operator.seen_members.clear();
        self.look_at_leader();
        self.operator.missing_since = None;
        for other in 0..self.nodes.len() {
            let follows =
                self.reaches(other) && matches!(self.process(other).role, Role::Following(_));
            if other != slot && follows {
                self.point(other, slot, false, true);
            }
        }
    }

    /// Not enough reports: the old leader is waited for.
    fn back_to_the_old_one(
        &mut self,
        old: usize,
        reached: &[usize],
        reports: &[(Position, usize)],
    ) {
        self.met.event("failovers put off");
        for &slot in reached {
            if slot != old && matches!(self.process(slot).role, Role::Following(_)) {
                self.point(slot, old, false, true);
            }
        }
        if !self.is_late() {
            return;
        }
        // A person says that this is all there is.
        self.met.event("forced");
        self.judge.promoted_against_the_rule();
        let recovers = |p: &super::process::Process| matches!(p.role, Role::Recovering { .. });
        if self.nodes[old].process.as_ref().is_some_and(recovers) {
            self.with_recovering(old, |core, _, out| core.force(out));
        } else if let Some(&(_, slot)) = reports.last() {
            self.promote_and_point(slot);
        }
    }
}
