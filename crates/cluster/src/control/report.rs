//! Where this node stands, told to the raft leader: at once when it matters, and every now and then.

use trefoil_clock::Epoch;

use super::{Action, Control};
use crate::message::{Message, Report};
use crate::state::Granted;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    /// Rises with each report.
    seq: u64,
    next_ms: u64,
    told: Option<Standing>,
}

/// What the raft leader has to know at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Standing {
    led: Option<Epoch>,
    fenced: Option<Epoch>,
    whole: bool,
    intact: bool,
    healthy: bool,
}

impl Reporting {
    /// Somebody else leads consensus.
    pub(super) fn report_at_once(&mut self, now_ms: u64) {
        self.next_ms = now_ms;
    }
}

impl Control {
    fn may_report(&self) -> bool {
        self.state.is_managed() && self.raft.leader().is_some()
    }

    pub(super) fn reporting_ms(&self) -> Option<u64> {
        self.may_report().then_some(self.reporting.next_ms)
    }

    pub(super) fn tell_standing(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let Some(leader) = self.raft.leader().filter(|_| self.may_report()) else { return };
        let local = &self.local;
        let (led, fenced, whole, healthy) = (local.led, local.fenced, local.whole, local.healthy);
        let intact = local.intact;
        let standing = Some(Standing { led, fenced, whole, intact, healthy });
        if self.reporting.next_ms > now_ms && self.reporting.told == standing {
            return;
        }
        let is_revoked = self.own_shard().is_some_and(|it| it.granted == Granted::Revoked);
        let options = &self.options;
        let every_ms = if is_revoked { options.fenced_report_ms } else { options.report_ms };
        self.reporting.next_ms = now_ms.saturating_add(every_ms);
        self.reporting.told = standing;
        self.reporting.seq += 1;
        let report = Report {
            shard: self.shard,
            generation: self.own.generation,
            seq: self.reporting.seq,
            index: self.applied,
            led,
            fenced,
            end: local.end,
            applied: local.applied,
            whole,
            intact,
            healthy,
            caught_up: local.caught_up.clone(),
        };
        self.send(leader, Message::Report(report), out);
    }
}
