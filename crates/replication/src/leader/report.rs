//! What others want to know of a leader: rows for people, the log that followers need, invariants.

use trefoil_clock::{Lsn, NodeId};

use super::progress::{Attached, Progress, Stage};
use super::{FollowerRow, Leader, LeaderAction, LeaderEvent, RowState};
use crate::{AckLevel, AckPolicy, Acks};

impl Leader {
    /// One row per follower, by node.
    #[must_use]
    pub fn rows(&self, now_ms: u64) -> Vec<FollowerRow> {
        self.followers.values().map(|progress| self.row(now_ms, progress)).collect()
    }

    fn row(&self, now_ms: u64, progress: &Progress) -> FollowerRow {
        let acked = progress.acked;
        let end = self.log.end;
        let patience_ms = 2 * self.options.heartbeat_ms;
        FollowerRow {
            node: progress.node,
            link: progress.attached().map(|attached| attached.link),
            member: self.rules.is_member(progress.node),
            state: row_state(progress),
            sent: progress.flow().map_or(acked.received, |flow| flow.sent()),
            received: acked.received,
            flushed: acked.flushed,
            applied: acked.applied,
            lag_records: end.0.saturating_sub(acked.applied.0),
            lag_bytes: self.meter.bytes_behind(acked.applied),
            lag_ms: self.beats.age_ms(
                now_ms,
                progress.answered_beat,
                acked.applied,
                end,
                patience_ms,
            ),
            alert: progress.alert,
            client_port: progress.client_port,
        }
    }

    /// Members that are attached and have caught up.
    #[must_use]
    pub fn attached_in_sync(&self) -> usize {
        let members = self.followers.values().filter(|it| self.rules.is_member(it.node));
        members.filter(|progress| progress.is_in_sync()).count()
    }

    /// Acknowledgements that the rule in force needs; none: it can't be met (`sync` without members).
    #[must_use]
    pub fn needed_acks(&self) -> Option<usize> {
        self.rules.in_force().needed()
    }

    /// Whether acknowledgements of synced records are what commits wait for: an Append then asks for it.
    #[must_use]
    pub fn wants_flush(&self) -> bool {
        self.policy.level != AckLevel::Received && self.policy.acks != Acks::Async
    }

    /// The policy that was set last.
    #[must_use]
    pub fn policy(&self) -> AckPolicy {
        self.policy
    }

    /// Whether the policy that was set last, and the members that are wanted, apply alone.
    #[must_use]
    pub fn is_policy_in_force(&self) -> bool {
        self.rules.is_settled()
    }

    /// The electable set in force, ascending.
    #[must_use]
    pub fn members(&self) -> Vec<NodeId> {
        self.rules.in_force().members.iter().copied().collect()
    }

    /// The record behind which somebody needs the log; up to and with this one it may go.
    #[must_use]
    pub fn needed_after(&self) -> Lsn {
        let seeds = self.followers.values().any(|progress| progress.wants_snapshot);
        let snapshot = self.snapshots.needs_after().filter(|_| seeds);
        let held = self.followers.values().filter_map(|progress| self.kept_after(progress));
        held.chain(snapshot).min().unwrap_or(self.log.end).min(self.log.end)
    }

    /// The record behind which the log is kept for a follower, apart from its snapshot. What it has
    /// received counts where what it has synced is too far back.
    fn kept_after(&self, progress: &Progress) -> Option<Lsn> {
        if progress.is_lost || progress.wants_snapshot {
            return None;
        }
        let flushed = progress.acked.flushed;
        let synced = flushed > Lsn::ZERO && self.is_retained(flushed);
        Some(if synced { flushed } else { progress.holds })
    }

    fn is_retained(&self, lsn: Lsn) -> bool {
        let behind = self.meter.bytes_behind(lsn);
        behind.is_some_and(|bytes| bytes <= self.options.retained_bytes_max)
    }

    /// Marks the followers for which the log is not kept any more, and those for which it is again.
    pub(super) fn find_lost(&mut self, out: &mut Vec<LeaderAction>) {
        let lost_now = |progress: &Progress| {
            let gone = progress.holds < self.log.floor;
            gone || (!progress.is_seeding && !self.is_retained(progress.holds))
        };
        let subject = |progress: &&Progress| !progress.wants_snapshot;
        let changed: Vec<(NodeId, bool)> = self
            .followers
            .values()
            .filter(subject)
            .map(|progress| (progress.node, lost_now(progress)))
            .collect();
        for (node, lost) in changed {
            let progress = self.followers.get_mut(&node).expect("it was just listed");
            if std::mem::replace(&mut progress.is_lost, lost) != lost && lost {
                out.push(LeaderAction::Event(LeaderEvent::Lost { node }));
            }
        }
    }

    /// Panics if an invariant does not hold; for tests and simulations.
    pub fn validate(&self) {
        self.marks.validate(self.log.end);
        self.rules.validate();
        assert!(self.log.durable <= self.log.end, "what is synced was appended");
        for (link, node) in &self.links {
            let attached = self.attached(*node).expect("a link is of a follower that is attached");
            assert_eq!(attached.link, *link, "a follower has one link");
        }
        let attached = self.followers.values().filter_map(Progress::attached).count();
        assert_eq!(attached, self.links.len(), "who is attached has a link");
        for progress in self.followers.values() {
            progress.validate();
            let sent = progress.flow().map_or(Lsn::ZERO, |flow| flow.sent());
            assert!(sent <= self.log.end, "only what is in the log is sent");
            if let Some(Attached { stage: Stage::Transfer(transfer), .. }) = progress.attached() {
                let start = transfer.ready.start.lsn;
                assert!(self.needed_after() <= start, "the log behind a snapshot is kept");
            }
        }
    }
}

fn row_state(progress: &Progress) -> RowState {
    let Some(attached) = progress.attached() else {
        return if progress.is_lost { RowState::Lost } else { RowState::Gone };
    };
    match &attached.stage {
        Stage::Connecting => RowState::Connecting,
        Stage::AwaitingSnapshot => RowState::Snapshot { sent: 0, bytes: 0 },
        Stage::Transfer(transfer) => {
            RowState::Snapshot { sent: transfer.sent(), bytes: transfer.ready.bytes }
        }
        Stage::CatchingUp { .. } => RowState::CatchingUp,
        Stage::Streaming { .. } => RowState::Streaming,
    }
}
