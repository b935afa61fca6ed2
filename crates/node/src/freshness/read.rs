//! What is done with a read on a follower.

use std::sync::atomic::Ordering::Relaxed;

use trefoil_replication::{Consistency, Decision, ReadView, SessionClock, decide};

use crate::replication::Order;
use crate::session::Session;
use crate::worker::Worker;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is answered here.
    Serve,
    /// It is tried again when more is applied.
    Wait,
    /// The leader answers it.
    Forward,
    /// What the session saw is lost.
    Lost,
}

impl Worker {
    /// Decides about a read, within a turn.
    pub(crate) fn judge_read(&mut self, session: &mut Session) -> Verdict {
        let consistency = session.consistency(&self.node.settings);
        let verdict = match consistency {
            Consistency::Session => self.judge_session_read(session),
            Consistency::Bounded(bound_ms) => self.judge_bounded_read(bound_ms),
            other => self.verdict(self.decide(other, SessionClock::Unknown)),
        };
        match (verdict, &mut session.freshness) {
            (Verdict::Wait, _) => self.wait_or_forward(session),
            (verdict, Some(freshness)) => {
                freshness.waits_since_ms = None;
                verdict
            }
            (verdict, None) => verdict,
        }
    }

    fn judge_session_read(&mut self, session: &mut Session) -> Verdict {
        let seen = session.seen(&self.node, &self.follower);
        if self.follower.has_lost(seen) {
            return Verdict::Lost;
        }
        let freshness = session.freshness.get_or_insert_default();
        let probed = freshness.is_probed(&self.node.sessions.probes, self.follower.applied);
        let clock = match probed {
            Some(true) => SessionClock::At(seen),
            _ => SessionClock::Unknown,
        };
        let decision = self.decide(Consistency::Session, clock);
        if decision == Decision::Probe && probed.is_none() {
            self.ask_for_probe();
        }
        self.verdict(decision)
    }

    /// A follower that is not fresh enough finds out whether it is. One that lags more than the
    /// configuration allows does not answer.
    fn judge_bounded_read(&mut self, bound_ms: u64) -> Verdict {
        let limits = self.node.settings.replication.lag_limits();
        let behind = self.follower.leader_end.0.saturating_sub(self.follower.applied.0);
        if limits.records != 0 && behind > limits.records {
            return Verdict::Forward;
        }
        let bound_ms = if limits.millis == 0 { bound_ms } else { bound_ms.min(limits.millis) };
        let decision = self.decide(Consistency::Bounded(bound_ms), SessionClock::Unknown);
        if decision == Decision::Probe {
            self.ask_for_probe();
        }
        self.verdict(decision)
    }

    fn ask_for_probe(&self) {
        self.node.replication.orders.put(Order::Probe);
        self.node.post.wake_peers();
    }

    fn decide(&self, consistency: Consistency, clock: SessionClock) -> Decision {
        let follower = &self.follower;
        let view = ReadView {
            epochs: &follower.epochs,
            applied: follower.applied,
            ready: follower.is_ready,
            attached: follower.leader.is_some(),
            fresh_at: (follower.fresh_at_ms > 0).then_some(follower.fresh_at_ms),
        };
        decide(consistency, clock, &view, self.writer.now_ms)
    }

    fn verdict(&self, decision: Decision) -> Verdict {
        match decision {
            Decision::Serve => Verdict::Serve,
            Decision::Wait | Decision::Probe => Verdict::Wait,
            Decision::Forward => Verdict::Forward,
            Decision::LostBranch => Verdict::Lost,
        }
    }

    /// Waits until the time is up, then lets the leader answer.
    fn wait_or_forward(&self, session: &mut Session) -> Verdict {
        let patience_ms = self.node.settings.freshness.session_wait_ms.load(Relaxed);
        let freshness = session.freshness.get_or_insert_default();
        let since_ms = *freshness.waits_since_ms.get_or_insert(self.writer.now_ms);
        // A clock that was set back must not make anybody wait for longer.
        if self.writer.now_ms >= since_ms && self.writer.now_ms - since_ms < patience_ms {
            return Verdict::Wait;
        }
        freshness.waits_since_ms = None;
        Verdict::Forward
    }
}
