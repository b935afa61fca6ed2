//! The raft leader asks this node, which leads the shard, to hand over: writes wait here until the next
//! leader has everything, or it is too late.

use trefoil_clock::NodeId;

use super::{Action, Control, RequestId};
use crate::message::{Handover, Kept, Message};
use crate::state::Granted;

/// See the module.
#[derive(Debug)]
pub(super) struct Handing {
    order: Handover,
    deadline_ms: u64,
    /// It could not hand over.
    kept: bool,
}

impl Handing {
    fn is_of(&self, id: RequestId) -> bool {
        self.order.id == id
    }
}

impl Control {
    pub(super) fn handing_ms(&self) -> Option<u64> {
        self.handing.as_ref().filter(|it| !it.kept).map(|handing| handing.deadline_ms)
    }

    pub(super) fn on_handover(
        &mut self,
        now_ms: u64,
        from: NodeId,
        order: Handover,
        out: &mut Vec<Action>,
    ) {
        let leads = self.own_shard().is_some_and(|shard| {
            (shard.epoch, shard.leader) == (order.epoch, self.own.node)
                && shard.granted == Granted::Yes
        });
        if order.shard != self.shard || !leads || self.holder.has_given_back(order.epoch) {
            return;
        }
        match &self.handing {
            Some(handing) if handing.is_of(order.id) => {
                if handing.kept {
                    self.say_kept(from, order, out);
                }
            }
            // Somebody else asks: the one before has to come to its end.
            Some(handing) if !handing.kept => {}
            _ => {
                let deadline_ms = now_ms.saturating_add(order.within_ms);
                self.handing = Some(Handing { order, deadline_ms, kept: false });
                out.push(Action::Pause { to: order.to, deadline_ms });
            }
        }
    }

    /// Too late: this node leads on.
    pub(super) fn give_handover_up(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        if self.handing_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            out.push(Action::Resume);
            self.keep(out);
        }
    }

    pub(super) fn keep(&mut self, out: &mut Vec<Action>) {
        let Some(handing) = self.handing.as_mut().filter(|it| !it.kept) else { return };
        handing.kept = true;
        let order = handing.order;
        if let Some(leader) = self.raft.leader() {
            self.say_kept(leader, order, out);
        }
    }

    fn say_kept(&mut self, to: NodeId, order: Handover, out: &mut Vec<Action>) {
        let Handover { shard, epoch, id, .. } = order;
        self.send(to, Message::Kept(Kept { shard, epoch, id }), out);
    }
}
