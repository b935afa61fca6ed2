//! Who leads next: one pure function of the reports.
//!
//! A record is committed by the leader and `k` others of the electable set E, so at most `|E| - k - 1`
//! of E lack it. Whoever ends no earlier than `|E| - k` reporters of E (itself among them) therefore
//! holds every committed record: ends are ordered, and a history that ends later holds what an earlier
//! one holds of the common branch. Reports count only if the reporter takes nothing of the revoked
//! epoch any more, and still has all that it acknowledged, which it may not if its power went before it had
//! synced it. Such a one may be elected, if others prove that it lacks nothing. If all of E have reported
//! and it is still not proved, nothing more can come: the one that ends last is taken. Whoever is loading a
//! snapshot can't be elected, and is a witness all the same: a snapshot begins no earlier than its log ended.
//!
//! A leader that has given its lease back, or that reports with a log that lost nothing, said where its
//! log ends: whoever ends no earlier holds everything, however many have reported.
//!
//! Without acknowledgements (`async`, or degraded) only all of E prove anything. Then the best of those
//! that are heard is taken: when all but the old leader have reported, or after a while at least half of
//! them. That half is no safety, it only keeps the loss small. With `max-loss` all but the old leader
//! have to report: the leader stops acknowledging when its *best* follower lacks so much (rule 8), and
//! who is the best of them is known only then. What the leader last said of its end is a second check.

use std::collections::BTreeMap;

use trefoil_clock::{NodeId, Position};

use super::Lack;
use crate::state::{ControlState, MemberKind, Place, Shard};

/// Where an electable node stands, after the revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ballot {
    /// Where its log ends.
    pub(super) end: Position,
    /// It holds everything up to there.
    pub(super) whole: bool,
    /// It still has all that it acknowledged.
    pub(super) intact: bool,
    /// Its disk and loop are well.
    pub(super) healthy: bool,
    /// It was heard a moment ago.
    pub(super) present: bool,
}

/// Who is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// Whoever is fit.
    Anybody,
    /// This one, if it is as good as any.
    Rather(NodeId),
    /// This one and nobody else; it may be in another region.
    Only(NodeId),
}

/// What an election goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    pub(super) wanted: Wanted,
    /// A person takes a loss, and another region, upon them.
    pub(super) forced: bool,
    /// Not this one: it has just resigned because it can't lead.
    pub(super) excluded: Option<NodeId>,
    /// Where the old leader's log ended when it gave its lease back.
    pub(super) final_end: Option<Position>,
    /// The furthest end that it was heard to have.
    pub(super) leader_end: Position,
    pub(super) max_loss: Option<u64>,
    /// Others were awaited long enough.
    pub(super) waited: bool,
    /// Who decides here: it is better if that one does not lead.
    pub(super) controller: NodeId,
}

/// What comes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// It holds all that was acknowledged.
    Elect(NodeId),
    /// It may lack some.
    ElectLacking(NodeId),
    /// Nobody.
    Nobody(Lack),
}

/// See the module.
pub(super) fn choose(
    state: &ControlState,
    shard: &Shard,
    ballots: &BTreeMap<NodeId, Ballot>,
    terms: &Terms,
) -> Choice {
    let election = Election { state, shard, ballots, terms };
    let mut fit: Vec<NodeId> = election.reporters().filter(|&node| election.is_fit(node)).collect();
    fit.sort_by_key(|&node| std::cmp::Reverse(election.rank(node)));
    if let Some(&node) = fit.iter().find(|&&node| election.holds_all(node)) {
        return Choice::Elect(node);
    }
    match fit.first() {
        Some(&best) if terms.forced => Choice::ElectLacking(best),
        Some(&best) => election.settle_for(best),
        None => Choice::Nobody(election.nobody()),
    }
}

/// Records that a log lacks of one that ended there.
pub(super) fn lacks(leader_end: Position, end: Position) -> u64 {
    if end >= leader_end { 0 } else { leader_end.lsn.0.saturating_sub(end.lsn.0) }
}

struct Election<'a> {
    state: &'a ControlState,
    shard: &'a Shard,
    ballots: &'a BTreeMap<NodeId, Ballot>,
    terms: &'a Terms,
}

impl Election<'_> {
    /// Those whose data is whole.
    fn reporters(&self) -> impl Iterator<Item = NodeId> + '_ {
        let counts = |node: &&NodeId| self.ballots.get(node).is_some_and(|ballot| ballot.whole);
        self.shard.electable.iter().filter(counts).copied()
    }

    fn is_fit(&self, node: NodeId) -> bool {
        let is_data = |kind| kind == MemberKind::Data;
        self.ballots[&node].present
            && self.terms.excluded != Some(node)
            && self.state.members.get(&node).is_some_and(|member| is_data(member.kind))
            && (self.is_near(node) || self.is_asked(node) || self.terms.forced)
            && !matches!(self.terms.wanted, Wanted::Only(only) if only != node)
    }

    fn is_asked(&self, node: NodeId) -> bool {
        matches!(self.terms.wanted, Wanted::Only(asked) | Wanted::Rather(asked) if asked == node)
    }

    fn place(&self, node: NodeId) -> Option<&Place> {
        self.state.members.get(&node).map(|member| &member.place)
    }

    fn is_near(&self, node: NodeId) -> bool {
        let region = |node| self.place(node).map(|place| &place.region);
        region(node) == region(self.shard.leader)
    }

    /// The greater the better.
    fn rank(&self, node: NodeId) -> impl Ord {
        let ballot = self.ballots[&node];
        (
            ballot.end,
            self.is_asked(node),
            self.is_near(node),
            ballot.healthy,
            node != self.shard.leader,
            node != self.terms.controller,
            self.place(node) == self.place(self.shard.leader),
            std::cmp::Reverse(node),
        )
    }

    /// Whether it is proved to hold all that was acknowledged.
    fn holds_all(&self, node: NodeId) -> bool {
        let end = self.ballots[&node].end;
        let behind = self.witnesses().filter(|other| self.ballots[other].end <= end).count();
        let all = self.terms.final_end.into_iter().chain(self.old_leader_end()).min();
        behind >= self.shard.reports_needed() || all.is_some_and(|all| all <= end)
    }

    /// Those who still have all that they acknowledged.
    fn witnesses(&self) -> impl Iterator<Item = NodeId> + '_ {
        let counts = |node: &&NodeId| self.ballots.get(node).is_some_and(|ballot| ballot.intact);
        self.shard.electable.iter().filter(counts).copied()
    }

    /// Those who have reported at all.
    fn heard(&self) -> impl Iterator<Item = NodeId> + '_ {
        let heard = |node: &&NodeId| self.ballots.contains_key(node);
        self.shard.electable.iter().filter(heard).copied()
    }

    /// Where the old leader ends, if it says so itself and has lost nothing: it committed no record that
    /// it did not have. One that did not begin its epoch says nothing about it.
    fn old_leader_end(&self) -> Option<Position> {
        let old = self.witnesses().find(|&node| node == self.shard.leader)?;
        Some(self.ballots[&old].end).filter(|end| end.epoch == self.shard.epoch)
    }

    /// Whether all have reported, and nobody ends later.
    fn is_last_of_all(&self, node: NodeId) -> bool {
        let end = self.ballots[&node].end;
        self.heard().count() == self.shard.electable.len()
            && self.heard().all(|other| self.ballots[&other].end <= end)
    }

    fn is_unacknowledged(&self) -> bool {
        let followers = self.shard.electable.len().saturating_sub(1);
        self.shard.acks.needed(followers) == Some(0)
    }

    /// Nobody is proved to hold everything; `best` has most.
    fn settle_for(&self, best: NodeId) -> Choice {
        let (have, need) = (self.heard().count(), self.shard.reports_needed());
        if !self.is_unacknowledged() {
            let certain = self.witnesses().count();
            return match (have >= need, certain >= need) {
                (false, _) => Choice::Nobody(Lack::Reports { have, need }),
                (true, true) => Choice::Nobody(Lack::Behind),
                (true, false) if self.is_last_of_all(best) => Choice::ElectLacking(best),
                (true, false) => Choice::Nobody(Lack::Doubtful { have: certain, need }),
            };
        }
        let others = || self.shard.electable.iter().filter(|&&node| node != self.shard.leader);
        let heard = others().filter(|node| self.ballots.contains_key(node)).count();
        let all = others().count();
        let enough = heard == all
            || (self.terms.max_loss.is_none() && self.terms.waited && 2 * heard >= all);
        if !enough || (heard == 0 && all > 0) {
            let need = if self.terms.max_loss.is_some() { all } else { all.div_ceil(2) };
            return Choice::Nobody(Lack::Reports { have: heard, need });
        }
        let lacks = lacks(self.terms.leader_end, self.ballots[&best].end);
        match self.terms.max_loss {
            Some(allowed) if lacks > allowed => Choice::Nobody(Lack::MaxLoss { lacks, allowed }),
            _ => Choice::ElectLacking(best),
        }
    }

    /// Why nobody is fit.
    fn nobody(&self) -> Lack {
        let (have, need) = (self.reporters().count(), self.shard.reports_needed());
        if let Wanted::Only(asked) = self.terms.wanted {
            return Lack::Asked(asked);
        }
        let far = |node: NodeId| self.ballots[&node].present && !self.is_near(node);
        if have < need && !self.is_unacknowledged() {
            Lack::Reports { have, need }
        } else if self.reporters().any(far) {
            Lack::OtherRegion
        } else {
            Lack::NoCandidate
        }
    }
}

#[cfg(test)]
mod tests;
