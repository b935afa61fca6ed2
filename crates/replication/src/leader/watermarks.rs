//! What is committed, what is released, and what happens when too few members are there.

use trefoil_clock::{Lsn, NodeId};
use trefoil_wire::peer::Message;

use super::members::Step;
use super::progress::Progress;
use super::{Leader, LeaderAction, LeaderEvent};
use crate::commit::{Acked, UNLIMITED};
use crate::{LocalRule, OnLost};

/// See the module.
///
/// Invariant: `safe <= commit`, `released <= commit`; none goes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watermarks {
    commit: Lsn,
    released: Lsn,
    /// What of `commit` members acknowledged under a rule that asks for members.
    safe: Lsn,
    /// The first record of this leader's epoch, while it is not committed: those before it are
    /// committed together with it only (rule 7).
    barrier: Option<Lsn>,
    /// Up to here a predecessor, or this leader before it was restarted, may have committed.
    unsettled_to: Lsn,
    /// Since when too few members are attached.
    short_since_ms: Option<u64>,
    waiver: Waiver,
}

/// Whether the own log is enough, because too few were attached for too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiver {
    None,
    /// It is being written down; until then nothing is acknowledged by it.
    Asked,
    Given,
}

impl Watermarks {
    pub(super) fn new(committed: Lsn, end: Lsn) -> Watermarks {
        assert!(committed <= end, "what is committed is in the log");
        Watermarks {
            commit: committed,
            released: committed,
            safe: Lsn::ZERO,
            barrier: None,
            unsettled_to: end,
            short_since_ms: None,
            waiver: Waiver::None,
        }
    }

    pub(super) fn commit(&self) -> Lsn {
        self.commit
    }

    pub(super) fn safe(&self) -> Lsn {
        self.safe
    }

    pub(super) fn is_settled(&self) -> bool {
        self.commit >= self.unsettled_to
    }

    /// Up to here records may have been committed, whether or not this leader knows: what a change of
    /// members or policy must not lose sight of.
    fn owed_up_to(&self) -> Lsn {
        self.commit.max(self.unsettled_to)
    }

    /// When too few members have been attached for `after_ms`, if the own log is not enough already.
    pub(super) fn degrades_at_ms(&self, after_ms: u64) -> Option<u64> {
        self.short_since_ms
            .filter(|_| self.waiver == Waiver::None)
            .map(|since| since.saturating_add(after_ms))
    }

    pub(super) fn validate(&self, end: Lsn) {
        assert!(self.released <= self.commit, "only what is committed is released");
        assert!(self.safe <= self.commit, "only what is committed is safe");
        assert!(self.commit <= end, "only what is in the log is committed");
        assert!(self.barrier.is_none_or(|barrier| self.commit < barrier), "barriers end");
    }
}

impl Leader {
    /// Says that `barrier` is the first record of this leader's epoch: nothing more is committed but
    /// together with it. To be called before anything else.
    ///
    /// # Panics
    /// If it is not of this epoch, or committed already.
    pub fn begin_epoch(&mut self, barrier: Lsn) {
        assert_eq!(self.epochs.position(barrier).epoch, self.epoch(), "a barrier is of its epoch");
        assert!(self.marks.commit < barrier, "a barrier is not committed before it is there");
        self.marks.barrier = Some(barrier);
        self.marks.unsettled_to = self.marks.unsettled_to.max(barrier);
    }

    /// What is committed: it survives what the policy says it survives.
    #[must_use]
    pub fn commit(&self) -> Lsn {
        self.marks.commit
    }

    /// What may be answered and read. At most [`Leader::commit`].
    #[must_use]
    pub fn released(&self) -> Lsn {
        self.marks.released
    }

    /// What of the commit members acknowledged: not what an `async` or degraded leader did alone.
    #[must_use]
    pub fn safe(&self) -> Lsn {
        self.marks.safe
    }

    /// Whether everything that a predecessor may have committed is committed here as well; before that
    /// no read is linearizable, and no probe is answered.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.marks.is_settled()
    }

    /// New writes are to be refused: too few members are attached, and `block` is set. Or this leader
    /// leads no more.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        let short = self.marks.short_since_ms.is_some();
        self.deposed_by.is_some() || (short && self.policy.on_lost == OnLost::Block)
    }

    /// The own log is enough at present, because too few members were attached for too long.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.marks.waiver == Waiver::Given
    }

    /// The same, or it is about to be: elections have to reckon with it.
    #[must_use]
    pub fn is_degrading(&self) -> bool {
        self.marks.waiver != Waiver::None
    }

    /// That the own log is enough was written down where elections look.
    pub fn on_waived(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {
        if self.marks.waiver == Waiver::Asked {
            self.marks.waiver = Waiver::Given;
            out.push(LeaderAction::Event(LeaderEvent::Degraded));
            self.advance(now_ms, out);
        }
    }

    /// Looks again at everything that depends on acknowledgements.
    pub(super) fn advance(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {
        if self.deposed_by.is_some() {
            return;
        }
        self.judge_attendance(now_ms, out);
        let before = (self.marks.commit, self.marks.released);
        loop {
            self.raise_marks();
            let acked = acked_by(&self.followers);
            match self.rules.step(self.marks.owed_up_to(), acked) {
                Step::Wait => break,
                Step::Switched => self.judge_attendance(now_ms, out),
                Step::Persist(members) => {
                    out.push(LeaderAction::PersistMembers { members });
                    break;
                }
            }
        }
        let (commit, released) = (self.marks.commit, self.marks.released);
        if (commit, released) != before {
            out.push(LeaderAction::Watermarks { commit, released });
            self.answer_probes(out);
            self.pump_all(out);
        }
    }

    fn raise_marks(&mut self) {
        let acked = acked_by(&self.followers);
        let by_members = self.rules.commit_reach(&acked);
        let shown_by_members = self.rules.release_reach(&acked);
        let by_log = match self.local {
            LocalRule::Appended => self.log.end,
            LocalRule::Durable => self.log.durable,
        };
        let degraded = self.is_degraded();
        let marks = &mut self.marks;
        let reach = if degraded { by_log } else { by_log.min(by_members) };
        if marks.barrier.is_none_or(|barrier| reach >= barrier) {
            marks.barrier = None;
            marks.commit = marks.commit.max(reach);
        }
        if by_members < UNLIMITED {
            marks.safe = marks.safe.max(marks.commit.min(by_members));
        }
        let shown = if degraded { UNLIMITED } else { shown_by_members };
        marks.released = marks.released.max(marks.commit.min(shown));
    }

    /// Counts who is there, and draws the consequences of too few.
    fn judge_attendance(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {
        let in_sync = |members: &std::collections::BTreeSet<NodeId>| {
            let known = members.iter().filter_map(|node| self.followers.get(node));
            known.filter(|progress| progress.is_in_sync()).count()
        };
        let enough = self.rules.is_met_by(in_sync);
        let covered = self.rules.commit_reach(acked_by(&self.followers)) >= self.marks.commit;
        let degrades = self.policy.on_lost == OnLost::Degrade;
        let marks = &mut self.marks;
        if enough && marks.short_since_ms.take().is_some() {
            out.push(LeaderAction::Event(LeaderEvent::Unblocked));
        }
        if !enough && marks.short_since_ms.is_none() {
            marks.short_since_ms = Some(now_ms);
            out.push(LeaderAction::Event(LeaderEvent::Blocked));
        }
        let ends = !degrades || (enough && covered);
        if ends && std::mem::replace(&mut marks.waiver, Waiver::None) == Waiver::Given {
            out.push(LeaderAction::Event(LeaderEvent::Restored));
        }
        let due = marks.degrades_at_ms(self.policy.degrade_after_ms);
        if degrades && due.is_some_and(|due| now_ms >= due) {
            marks.waiver = Waiver::Asked;
            out.push(LeaderAction::Waive);
        }
    }

    /// Answers the probes that waited until the commit was settled.
    fn answer_probes(&mut self, out: &mut Vec<LeaderAction>) {
        if !self.marks.is_settled() {
            return;
        }
        let commit = self.marks.commit;
        for attached in self.followers.values_mut().filter_map(Progress::attached_mut) {
            if let Some(id) = attached.probe.take() {
                let message = Message::ProbeAnswer { id, commit };
                out.push(LeaderAction::Send { link: attached.link, message });
            }
        }
    }
}

/// What each node acknowledged.
fn acked_by(followers: &std::collections::BTreeMap<NodeId, Progress>) -> impl Fn(NodeId) -> Acked {
    |node| followers.get(&node).map(|progress| progress.acked).unwrap_or_default()
}
