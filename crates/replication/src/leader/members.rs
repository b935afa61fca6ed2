//! How one rule of commit gives way to the next (rule 10).
//!
//! A change is wanted by a person (policy, forget) or by a follower that caught up. From then on both
//! rules apply; once the commit satisfies the new one, its members are written down, and only then it
//! applies alone. So a new member never satisfies a rule before it can be found in the file, and one
//! that leaves is out of the file before less is asked for.

use std::collections::BTreeSet;

use trefoil_clock::{Lsn, NodeId};

use crate::commit::{Acked, Rule};
use crate::{AckLevel, AckPolicy, Acks};

/// See the module.
#[derive(Debug)]
pub(super) struct Rules {
    in_force: Rule,
    /// Applies besides `in_force`; differs from it.
    next: Option<Change>,
    /// What `next` becomes as soon as it can.
    wanted: Rule,
}

#[derive(Debug)]
struct Change {
    rule: Rule,
    /// Its members are being written down; it can't be replaced.
    persisting: bool,
}

/// What has to be done so that a change goes on.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Nothing, for now.
    Wait,
    /// Members have to be written down.
    Persist(Vec<NodeId>),
    /// The rule in force is another one now: look again.
    Switched,
}

impl Rules {
    pub(super) fn new(policy: AckPolicy, members: &[NodeId]) -> Rules {
        let members = members.iter().copied().collect();
        let rule = Rule { acks: policy.acks, level: policy.level, members };
        Rules { in_force: rule.clone(), next: None, wanted: rule }
    }

    pub(super) fn in_force(&self) -> &Rule {
        &self.in_force
    }

    /// The rule in force and the one that applies besides it.
    fn applying(&self) -> impl Iterator<Item = &Rule> {
        std::iter::once(&self.in_force).chain(self.next.as_ref().map(|change| &change.rule))
    }

    /// See [`Rule::commit_reach`]; of all rules that apply.
    pub(super) fn commit_reach(&self, acked: impl Fn(NodeId) -> Acked) -> Lsn {
        let reaches = self.applying().map(|rule| rule.commit_reach(&acked));
        reaches.min().expect("one rule is in force")
    }

    /// See [`Rule::release_reach`]; of all rules that apply.
    pub(super) fn release_reach(&self, acked: impl Fn(NodeId) -> Acked) -> Lsn {
        let reaches = self.applying().map(|rule| rule.release_reach(&acked));
        reaches.min().expect("one rule is in force")
    }

    /// Whether so many of the members being there is enough, for all rules that apply.
    pub(super) fn is_met_by(&self, attached: impl Fn(&BTreeSet<NodeId>) -> usize) -> bool {
        self.applying()
            .all(|rule| rule.needed().is_some_and(|needed| attached(&rule.members) >= needed))
    }

    pub(super) fn want_policy(&mut self, acks: Acks, level: AckLevel) {
        self.wanted.acks = acks;
        self.wanted.level = level;
    }

    pub(super) fn want_member(&mut self, node: NodeId) {
        self.wanted.members.insert(node);
    }

    /// Returns whether it was one.
    pub(super) fn want_no_member(&mut self, node: NodeId) -> bool {
        self.wanted.members.remove(&node)
    }

    /// A node that is about to become a member went away: a change that waits must not wait for it.
    pub(super) fn on_detached(&mut self, node: NodeId) {
        let persisting = self.next.as_ref().is_some_and(|change| change.persisting);
        if !persisting && !self.in_force.members.contains(&node) {
            self.wanted.members.remove(&node);
            self.next.take_if(|change| change.rule.members.contains(&node));
        }
    }

    pub(super) fn is_member(&self, node: NodeId) -> bool {
        self.in_force.members.contains(&node)
    }

    /// Whether the rule that is wanted is the one in force.
    pub(super) fn is_settled(&self) -> bool {
        self.next.is_none() && self.wanted == self.in_force
    }

    /// Goes on with a change, as far as the commit allows. `commit`: up to there this leader or one
    /// before it may have committed.
    pub(super) fn step(&mut self, commit: Lsn, acked: impl Fn(NodeId) -> Acked) -> Step {
        if self.next.as_ref().is_some_and(|change| change.persisting) {
            return Step::Wait;
        }
        if self.wanted == self.in_force {
            self.next = None;
            return Step::Wait;
        }
        // Where nobody is electable nobody can be elected who lacks something, so nothing is awaited.
        let satisfied = self.wanted.members.is_empty() || self.wanted.commit_reach(acked) >= commit;
        let persisting = satisfied && self.wanted.members != self.in_force.members;
        if satisfied && !persisting {
            self.next = None;
            self.in_force = self.wanted.clone();
            return Step::Switched;
        }
        self.next = Some(Change { rule: self.wanted.clone(), persisting });
        if persisting {
            Step::Persist(self.wanted.members.iter().copied().collect())
        } else {
            Step::Wait
        }
    }

    /// The members were written down; returns those before if it is what was asked for.
    pub(super) fn on_persisted(&mut self, members: &[NodeId]) -> Option<BTreeSet<NodeId>> {
        let change = self
            .next
            .take_if(|change| change.persisting && change.rule.members.iter().eq(members.iter()))?;
        Some(std::mem::replace(&mut self.in_force, change.rule).members)
    }

    pub(super) fn validate(&self) {
        let change = self.next.as_ref();
        assert!(change.is_none_or(|next| next.rule != self.in_force), "a change changes something");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OnLost;

    fn rules(acks: Acks, members: &[u128]) -> Rules {
        let policy = AckPolicy {
            acks,
            level: AckLevel::Flushed,
            on_lost: OnLost::Block,
            degrade_after_ms: 0,
        };
        Rules::new(policy, &nodes(members))
    }

    fn nodes(ids: &[u128]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    /// Node n flushed 10n.
    fn acked(node: NodeId) -> Acked {
        let at = Lsn(10 * node.0 as u64);
        Acked { received: at, flushed: at, applied: at }
    }

    #[test]
    fn until_the_commit_satisfies_a_stricter_rule_both_apply() {
        let mut rules = rules(Acks::SemiSync(1), &[1, 2]);
        rules.want_policy(Acks::Sync, AckLevel::Flushed);
        assert_eq!(rules.step(Lsn(20), acked), Step::Wait);
        assert_eq!(rules.commit_reach(acked), Lsn(10));
        assert_eq!(rules.in_force().acks, Acks::SemiSync(1));
        assert_eq!(rules.step(Lsn(20), |_| acked(NodeId(2))), Step::Switched);
        assert_eq!(rules.in_force().acks, Acks::Sync);
        assert!(rules.is_settled());
    }

    #[test]
    fn a_new_member_counts_only_after_it_is_written_down() {
        let mut rules = rules(Acks::SemiSync(1), &[1]);
        rules.want_member(NodeId(2));
        assert_eq!(rules.step(Lsn(10), acked), Step::Persist(nodes(&[1, 2])));
        assert_eq!(rules.commit_reach(acked), Lsn(10));
        assert_eq!(rules.on_persisted(&nodes(&[1, 3])), None, "not what was asked for");
        assert!(rules.on_persisted(&nodes(&[1, 2])).is_some());
        assert_eq!(rules.commit_reach(acked), Lsn(20));
    }

    #[test]
    fn a_candidate_that_goes_away_is_not_waited_for() {
        let mut rules = rules(Acks::Sync, &[2]);
        rules.want_member(NodeId(1));
        assert_eq!(rules.step(Lsn(20), acked), Step::Wait);
        assert_eq!(rules.commit_reach(acked), Lsn(10));
        rules.on_detached(NodeId(1));
        assert_eq!(rules.commit_reach(acked), Lsn(20));
        assert_eq!(rules.step(Lsn(20), acked), Step::Wait);
        assert!(rules.is_settled());
    }

    #[test]
    fn the_last_member_can_be_forgotten_and_then_nothing_commits() {
        let mut rules = rules(Acks::Sync, &[1]);
        assert!(rules.want_no_member(NodeId(1)));
        assert_eq!(rules.step(Lsn(50), acked), Step::Persist(vec![]));
        assert!(rules.on_persisted(&[]).is_some());
        assert_eq!(rules.commit_reach(acked), Lsn::ZERO);
    }

    #[test]
    fn what_is_wanted_while_members_are_written_down_comes_after_it() {
        let mut rules = rules(Acks::SemiSync(1), &[2]);
        rules.want_member(NodeId(3));
        assert_eq!(rules.step(Lsn(20), acked), Step::Persist(nodes(&[2, 3])));
        rules.want_policy(Acks::Async, AckLevel::Flushed);
        assert_eq!(rules.step(Lsn(20), acked), Step::Wait);
        assert!(rules.on_persisted(&nodes(&[2, 3])).is_some());
        assert_eq!(rules.step(Lsn(20), acked), Step::Switched);
    }
}
