//! The lease as those see it who serve clients: replies of a leader leave only while it is held, and it
//! is looked at after the work, in the moment in which they leave. A process may stand still in between.

use trefoil_clock::Lsn;
use trefoil_replication::LinkId;
use trefoil_wire::peer::Message;

use super::super::agenda::MS;
use super::super::process::{Role, Until};
use super::super::sabotage::Defect;
use super::super::task::Task;
use super::super::world::World;
use super::part::Gate;

/// How long a lease lasts, milliseconds.
pub(super) const LEASE_MS: u64 = 350;
/// As long as nobody else may vote.
const FOR_EVER: u64 = u64::MAX - 1;

impl World {
    /// The control thread shows workers what it knows.
    pub(super) fn look_at_lease(&mut self, slot: usize) {
        let until = self.part_of(slot).and_then(|part| part.lease_until_ms);
        if let Some(until_ms) = until {
            self.renew(slot, until_ms);
        }
    }

    /// The lease is held until then; it only rises as long as it is needed, but once from "for ever".
    pub(super) fn renew(&mut self, slot: usize, until_ms: u64) {
        let Some(part) = self.part(slot) else { return };
        let Gate::Until(before) = part.gate else { return };
        let until_ms = until_ms.min(FOR_EVER);
        let until_ms = if before == FOR_EVER { until_ms } else { before.max(until_ms) };
        part.gate = Gate::Until(until_ms);
        if until_ms > before && self.is_gate_open(slot) {
            self.on_gate_open(slot);
        }
    }

    fn on_gate_open(&mut self, slot: usize) {
        let now = self.now;
        let since = self.part(slot).map(|part| *part.gate_since.get_or_insert(now));
        if since == Some(now) {
            let until = self.part_of(slot).map(|part| part.gate);
            self.met.event("leases begun");
            self.trace(format_args!("n{slot} holds its lease {until:?}"));
        }
        self.check_one_gate(slot);
        self.let_go_soon(slot);
    }

    /// The node has just begun to lead: it serves nothing before it is known to hold a lease.
    pub(super) fn close_gate(&mut self, slot: usize) {
        let Some(part) = self.part(slot) else { return };
        part.gate = if part.managed { Gate::Until(0) } else { Gate::Free };
        part.gate_since = None;
    }

    /// Whether replies of this node, as a leader, could leave now.
    pub(super) fn is_gate_open(&self, slot: usize) -> bool {
        let Some(process) = &self.nodes[slot].process else { return false };
        let Some(part) = &process.part else { return false };
        let leads = matches!(process.role, Role::Leading(_));
        leads
            && match part.gate {
                Gate::Free => true,
                Gate::Until(until_ms) => self.local_ms(slot) < until_ms,
            }
    }

    /// At no moment two nodes could let replies go.
    fn check_one_gate(&mut self, slot: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != slot) {
            if self.is_gate_open(other) {
                let text = format!("n{slot} and n{other} hold a lease at the same time");
                self.judge.broken("P9: one lease", text);
            }
        }
    }

    /// Whether replies leave through the gate now; asked in the moment in which they do.
    pub(crate) fn passes_gate(&mut self, slot: usize) -> bool {
        if self.part_of(slot).is_none() || self.is_gate_open(slot) {
            return true;
        }
        self.defect == Defect::LeaseNotChecked
    }

    /// A follower asked what was acknowledged by now. Without its lease a leader doesn't know what others
    /// acknowledge.
    pub(crate) fn answer_probe(&mut self, slot: usize, link: LinkId, id: u64, commit: Lsn) {
        let passes = self.passes_gate(slot);
        let Role::Leading(leading) = &mut self.process(slot).role else { return };
        if passes {
            let fence = leading.core.fence();
            let message = Message::ProbeAnswer { id, commit };
            self.send_message(link.0 as usize, slot, &fence, &message);
        } else {
            leading.unanswered.insert(link, id);
            self.met.event("probes that waited for the lease");
        }
    }

    /// Answers what had to wait for the lease.
    pub(crate) fn answer_late_probes(&mut self, slot: usize) {
        let Role::Leading(leading) = &mut self.process(slot).role else { return };
        let commit = leading.core.commit();
        for (link, id) in std::mem::take(&mut leading.unanswered) {
            self.answer_probe(slot, link, id, commit);
        }
    }

    /// Replies of a leader left.
    pub(crate) fn on_replies(&mut self, slot: usize, last: Lsn) {
        let healed = self.healed;
        let Some(healing) = &mut self.healing else { return };
        healing.served |= healed;
        self.check_one_gate(slot);
        if let Some(epoch) = self.led_epoch(slot) {
            self.judge.note_answered(self.now, epoch, last);
        }
    }

    /// What a clock may be wrong by over a time.
    pub(crate) fn slack_ms(&self, over_ms: u64) -> u64 {
        self.healing.as_ref().map_or(4, |healing| healing.plan.slack_ms(over_ms))
    }

    /// Rule 7: a leader that was granted its epoch acknowledges nothing, and serves no linearizable read,
    /// before a record of it is committed.
    pub(crate) fn check_barrier(&mut self, slot: usize) {
        if !self.is_managed(slot) {
            return;
        }
        let process = self.process(slot);
        let Role::Leading(leading) = &process.role else { return };
        let (led, commit) = (leading.core.epoch(), process.epochs.position(leading.commit));
        if commit.epoch != led {
            let text = format!("n{slot} answers in {led} when {commit:?} is all that is committed");
            self.judge.broken("P9: barrier", text);
        }
    }

    /// Work is done whose reply depends on the lease.
    pub(crate) fn let_go_soon(&mut self, slot: usize) {
        let waits =
            self.process(slot).waiting.iter().any(|w| matches!(w.until, Until::Released { .. }));
        let Some(part) = self.part(slot) else { return };
        if waits && !std::mem::replace(&mut part.letting_go, true) {
            let after = self.dice.below(MS / 2);
            self.task(slot, after, Task::LetGo);
        }
    }

    pub(crate) fn on_let_go(&mut self, slot: usize) {
        if let Some(part) = self.part(slot) {
            part.letting_go = false;
        }
        self.release(slot);
    }
}
