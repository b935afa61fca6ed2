//! The raft leader's decisions, carried out.

use super::{Action, Control};
use crate::controller::{Controller, Decision, Purpose, Sight};
use crate::message::Message;
use crate::raft::ProgressRow;
use crate::state::Command;

impl Control {
    /// A controller is there while this node leads consensus and knows all that is agreed upon.
    pub(super) fn keep_controller(&mut self, now_ms: u64) {
        if !self.raft.is_ready() {
            self.controller = None;
        } else if self.controller.is_none() {
            self.controller = Some(Controller::new(
                self.options.controller,
                self.own.node,
                self.shard,
                self.options.lease_ms,
                now_ms,
                self.transferred_ms,
            ));
        }
    }

    /// Does nothing if this node does not lead consensus.
    pub(super) fn with_controller(
        &mut self,
        now_ms: u64,
        act: impl FnOnce(&mut Controller, &Sight<'_>, &mut Vec<Decision>),
    ) {
        let Some(mut controller) = self.controller.take() else { return };
        let mut decisions = std::mem::take(&mut self.decisions);
        let progress = self.raft.progress();
        act(&mut controller, &self.sight(now_ms, &progress), &mut decisions);
        self.decisions = decisions;
        self.controller = Some(controller);
    }

    fn sight<'a>(&'a self, now_ms: u64, progress: &'a [ProgressRow]) -> Sight<'a> {
        // A founder whose epoch or start is not agreed upon yet would be told the wrong one.
        let is_settled = !self.leading.is_advancing() && self.is_start_agreed();
        Sight {
            now_ms,
            state: &self.state,
            config: self.raft.config(),
            may_reconfigure: self.raft.is_ready()
                && self.raft.is_config_committed()
                && self.raft.transferring_to().is_none(),
            committed: self.raft.committed(),
            progress,
            damping: &self.damping,
            may_admit: self.state.is_managed() || is_settled,
        }
    }

    pub(super) fn carry_out_decisions(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        for decision in std::mem::take(&mut self.decisions) {
            match decision {
                Decision::Propose { command, purpose } => self.propose(now_ms, &command, purpose),
                Decision::Reconfigure { config, asker } => {
                    let changed = self.raft.change_config(now_ms, config, &mut self.wanted);
                    if let Some(controller) = &mut self.controller {
                        let changed = changed.map_err(Into::into);
                        controller.on_reconfigured(asker, changed, &mut self.decisions);
                    }
                }
                Decision::Transfer(to) => {
                    if self.raft.transfer(now_ms, to, &mut self.wanted).is_ok() {
                        self.transferred_ms = Some(now_ms);
                        if let Some(controller) = &mut self.controller {
                            controller.on_transferring(now_ms);
                        }
                    }
                }
                Decision::Tell { to, message } => self.tell(to, message, out),
                Decision::Answer { id, result } => {
                    self.send(id.node, Message::Answer { id, result }, out);
                }
                Decision::Event(event) => out.push(Action::Event(event)),
            }
        }
    }

    fn propose(&mut self, now_ms: u64, command: &Command, purpose: Purpose) {
        let proposed = self.raft.propose(now_ms, command.encode(), &mut self.wanted);
        if let Some(controller) = &mut self.controller {
            controller.on_proposed(purpose, proposed.ok());
        }
    }

    /// Whoever asked to be taken in is told so where it asked from.
    fn tell(&mut self, to: trefoil_clock::NodeId, message: Message, out: &mut Vec<Action>) {
        let is_of_joining = matches!(message, Message::Joined | Message::JoinRefused(_));
        match self.book.asking(to).filter(|_| is_of_joining) {
            Some(address) => self.send_to(address, message, out),
            None => self.send(to, message, out),
        }
    }
}
