//! When a record is committed: the arithmetic of acknowledgements.
//!
//! Not here: whose acknowledgements are believed (`leader/receive.rs`), and how one rule gives way to
//! the next (`leader/members.rs`).

use std::collections::BTreeSet;

use trefoil_clock::{Lsn, NodeId};

use crate::policy::{AckLevel, Acks};

/// No limit: more than any record.
pub(crate) const UNLIMITED: Lsn = Lsn(u64::MAX);

/// What the leader's own log must have done with a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LocalRule {
    /// Handed it to the operating system.
    Appended,
    /// Synced it (`fsync always`).
    Durable,
}

/// What a node acknowledged in the present epoch.
///
/// Invariant: `flushed` and `applied` are at most `received`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Acked {
    pub(crate) received: Lsn,
    pub(crate) flushed: Lsn,
    pub(crate) applied: Lsn,
}

/// What a commit needs: acknowledgements of a set of nodes at a level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub(crate) acks: Acks,
    pub(crate) level: AckLevel,
    pub(crate) members: BTreeSet<NodeId>,
}

impl Rule {
    /// Acknowledgements needed, see [`Acks::needed`].
    pub(crate) fn needed(&self) -> Option<usize> {
        self.acks.needed(self.members.len())
    }

    /// The last record that the members allow to commit.
    pub(crate) fn commit_reach(&self, acked: impl Fn(NodeId) -> Acked) -> Lsn {
        self.reach(|node| match self.level {
            AckLevel::Received => acked(node).received,
            AckLevel::Flushed | AckLevel::Applied => acked(node).flushed,
        })
    }

    /// The last record that the members allow to be answered, once it is committed.
    pub(crate) fn release_reach(&self, acked: impl Fn(NodeId) -> Acked) -> Lsn {
        match self.level {
            AckLevel::Received | AckLevel::Flushed => UNLIMITED,
            AckLevel::Applied => self.reach(|node| acked(node).applied),
        }
    }

    fn reach(&self, ack: impl Fn(NodeId) -> Lsn) -> Lsn {
        match self.needed() {
            None => Lsn::ZERO,
            Some(0) => UNLIMITED,
            Some(needed) => kth_highest(self.members.iter().map(|&node| ack(node)), needed),
        }
    }
}

/// The highest record that at least `k` of the acknowledgements cover.
fn kth_highest(acks: impl Iterator<Item = Lsn>, k: usize) -> Lsn {
    let mut acks: Vec<Lsn> = acks.collect();
    acks.sort_unstable_by(|a, b| b.cmp(a));
    acks.get(k - 1).copied().unwrap_or(Lsn::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(acks: Acks, level: AckLevel, members: u128) -> Rule {
        Rule { acks, level, members: (1..=members).map(NodeId).collect() }
    }

    /// Node n received 30n, flushed 20n, applied 10n.
    fn acked(node: NodeId) -> Acked {
        let at = |factor: u64| Lsn(factor * node.0 as u64);
        Acked { received: at(30), flushed: at(20), applied: at(10) }
    }

    #[test]
    fn quorum_sizes_are_these() {
        // Acks, members, needed to commit, reports needed to lead.
        let cases = [
            (Acks::Async, 0, Some(0), 0),
            (Acks::Async, 3, Some(0), 3),
            (Acks::SemiSync(1), 0, None, 0),
            (Acks::SemiSync(1), 1, Some(1), 1),
            (Acks::SemiSync(1), 2, Some(1), 2),
            (Acks::SemiSync(2), 2, Some(2), 1),
            (Acks::SemiSync(2), 3, Some(2), 2),
            (Acks::SemiSync(3), 2, None, 2),
            (Acks::Sync, 0, None, 0),
            (Acks::Sync, 1, Some(1), 1),
            (Acks::Sync, 3, Some(3), 1),
        ];
        for (acks, members, needed, reports) in cases {
            assert_eq!(acks.needed(members), needed, "{acks:?} of {members}");
            assert_eq!(acks.reports_needed(members), reports, "{acks:?} of {members}");
        }
    }

    #[test]
    fn every_set_that_reports_meets_every_set_that_acknowledged() {
        for members in 1..=5_usize {
            for k in 1..=members {
                let acks = Acks::SemiSync(u32::try_from(k).expect("five fits"));
                assert!(k + acks.reports_needed(members) > members);
            }
        }
    }

    #[test]
    fn a_commit_reaches_as_far_as_k_members_acknowledged() {
        let reach = |acks| rule(acks, AckLevel::Received, 3).commit_reach(acked);
        assert_eq!(reach(Acks::Async), UNLIMITED);
        assert_eq!(reach(Acks::SemiSync(1)), Lsn(90));
        assert_eq!(reach(Acks::SemiSync(2)), Lsn(60));
        assert_eq!(reach(Acks::Sync), Lsn(30));
        assert_eq!(reach(Acks::SemiSync(4)), Lsn::ZERO);
    }

    #[test]
    fn all_of_no_members_is_never_enough() {
        assert_eq!(rule(Acks::Sync, AckLevel::Received, 0).commit_reach(acked), Lsn::ZERO);
    }

    #[test]
    fn level_applied_commits_by_flushed_and_releases_by_applied() {
        let rule = rule(Acks::SemiSync(1), AckLevel::Applied, 2);
        assert_eq!((rule.commit_reach(acked), rule.release_reach(acked)), (Lsn(40), Lsn(20)));
    }
}
