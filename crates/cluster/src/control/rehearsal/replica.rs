//! The replicated log under the agreement, as small as it can be: whole logs are sent, followers
//! acknowledge their length, a leader commits by the rule in force (rules 5, 7, 10).

use std::collections::{BTreeMap, BTreeSet};

use trefoil_clock::{Epoch, Lsn, NodeId, Position};
use trefoil_replication::Acks;

/// What is replicated: the epoch, and something to tell records apart.
pub(super) type Record = (Epoch, u64);

/// Under which acknowledgements count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    pub(super) members: BTreeSet<NodeId>,
    pub(super) acks: Acks,
}

impl Rule {
    fn commits(&self, acked: &BTreeMap<NodeId, usize>) -> usize {
        let Some(needed) = self.acks.needed(self.members.len()) else { return 0 };
        let mut ends: Vec<usize> =
            self.members.iter().map(|node| acked.get(node).copied().unwrap_or(0)).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        needed.checked_sub(1).map_or(usize::MAX, |at| ends[at])
    }
}

/// A leader's work in one epoch.
#[derive(Clone, Debug)]
pub(super) struct Reign {
    pub(super) epoch: Epoch,
    /// Its first record: what is before it is committed with it.
    barrier: usize,
    pub(super) rule: Rule,
    /// Proposed, and not known to be agreed upon: both count (rule 10).
    pub(super) next: Option<Rule>,
    pub(super) acked: BTreeMap<NodeId, usize>,
    pub(super) committed: usize,
    /// To whom it hands over, and until when (its own clock).
    pub(super) pause: Option<(NodeId, u64)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Replica {
    pub(super) log: Vec<Record>,
    /// Of a leader: records up to here survive a crash. A follower's all do.
    pub(super) flushed: usize,
    /// The newest epoch that was led by this disk.
    pub(super) led_before: Option<Epoch>,
    pub(super) reign: Option<Reign>,
    pub(super) fenced: Option<Epoch>,
    pub(super) following: Option<(NodeId, Epoch)>,
    /// The longest log that was taken of the leader that is followed.
    taken: usize,
}

impl Replica {
    pub(super) fn end(&self) -> Position {
        let epoch = self.log.last().map_or(Epoch::default(), |(epoch, _)| *epoch);
        Position { epoch, lsn: Lsn(self.log.len() as u64) }
    }

    pub(super) fn led(&self) -> Option<Epoch> {
        self.reign.as_ref().map(|reign| reign.epoch)
    }

    pub(super) fn lead(&mut self, epoch: Epoch, rule: Rule, value: u64) {
        (self.fenced, self.following, self.taken) = (None, None, 0);
        self.led_before = Some(epoch);
        let barrier = self.log.len() + 1;
        self.log.push((epoch, value));
        self.reign = Some(Reign {
            epoch,
            barrier,
            rule,
            next: None,
            acked: BTreeMap::new(),
            committed: 0,
            pause: None,
        });
    }

    pub(super) fn follow(&mut self, leader: NodeId, epoch: Epoch) {
        if self.following != Some((leader, epoch)) {
            (self.reign, self.fenced, self.taken) = (None, None, 0);
            self.following = Some((leader, epoch));
        }
    }

    pub(super) fn fence(&mut self, epoch: Epoch) {
        (self.reign, self.following) = (None, None);
        self.fenced = self.fenced.max(Some(epoch));
        self.flushed = self.log.len();
    }

    /// A leader's log came. What is here of it then; none: it is not taken.
    pub(super) fn take(&mut self, from: NodeId, epoch: Epoch, log: &[Record]) -> Option<usize> {
        if self.following != Some((from, epoch)) {
            return None;
        }
        if log.len() >= self.taken {
            self.taken = log.len();
            self.log = log.to_vec();
            self.flushed = log.len();
        }
        Some(self.taken)
    }

    pub(super) fn on_acked(&mut self, from: NodeId, epoch: Epoch, end: usize) {
        if let Some(reign) = self.reign.as_mut().filter(|reign| reign.epoch == epoch) {
            let acked = reign.acked.entry(from).or_default();
            *acked = end.max(*acked);
        }
    }

    pub(super) fn flush(&mut self) {
        self.flushed = self.log.len();
    }

    /// Commits what the rules in force allow.
    pub(super) fn commit(&mut self) {
        let (flushed, own) = (self.flushed, self.log.len());
        let Some(reign) = &mut self.reign else { return };
        let next = reign.next.as_ref().map_or(usize::MAX, |next| next.commits(&reign.acked));
        let reached = reign.rule.commits(&reign.acked).min(next).min(flushed).min(own);
        if reached >= reign.barrier {
            reign.committed = reign.committed.max(reached);
        }
    }

    /// The set that a leader had better have: members that keep up are in it.
    pub(super) fn better_rule(&self, reachable: &BTreeSet<NodeId>) -> Option<Rule> {
        let reign = self.reign.as_ref().filter(|reign| reign.next.is_none())?;
        let keeps_up = |node: &&NodeId| {
            let acked = reign.acked.get(node).copied().unwrap_or(0);
            reachable.contains(node) && acked >= reign.committed.max(reign.barrier)
        };
        let members: BTreeSet<NodeId> = reachable.iter().filter(keeps_up).copied().collect();
        let rule = Rule { members, acks: reign.rule.acks };
        let commits_all = rule.commits(&reign.acked) >= reign.committed;
        (rule != reign.rule && !rule.members.is_empty() && commits_all).then_some(rule)
    }

    /// The process ends at once.
    pub(super) fn crash(&mut self) {
        if self.reign.take().is_some() {
            self.log.truncate(self.flushed);
        }
        (self.fenced, self.following, self.taken) = (None, None, 0);
    }
}
