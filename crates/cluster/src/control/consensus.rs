//! The core of consensus, driven: its writes get this control's tickets, what it commits is applied.

use super::{Action, Control, ControlWrite, Event, Ticket, snapshot};
use crate::message::Message;
use crate::raft;

/// Which tickets are whose: a node that gives up its cluster begins a new core, whose tickets begin anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tickets {
    /// Up to this one they are not of the present core.
    before: u64,
    last: u64,
}

impl Tickets {
    /// A write that is not of a core: no core wrote before it.
    pub(super) fn begin_anew(&mut self) -> Ticket {
        self.last += 1;
        self.before = self.last;
        Ticket(self.last)
    }

    fn of_control(&mut self, ticket: raft::Ticket) -> Ticket {
        self.last = self.before + ticket.0;
        Ticket(self.last)
    }

    /// The core's name of a write; none: it is not of the present one.
    pub(super) fn of_raft(self, ticket: Ticket) -> Option<raft::Ticket> {
        let ticket = ticket.0.min(self.last).checked_sub(self.before)?;
        (ticket > 0).then_some(raft::Ticket(ticket))
    }
}

impl Control {
    /// Does what the core wants.
    pub(super) fn carry_out_wanted(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        for action in std::mem::take(&mut self.wanted) {
            if self.mute {
                return;
            }
            match action {
                raft::Action::Send { to, message } => self.send(to, Message::Raft(message), out),
                raft::Action::Persist { ticket, write } => {
                    self.revocations.on_write(&write, self.applied);
                    let ticket = self.tickets.of_control(ticket);
                    out.push(Action::Persist { ticket, write: ControlWrite::Raft(write) });
                }
                raft::Action::Commit(entries) => self.on_commit(now_ms, &entries, out),
                raft::Action::Install(snapshot) => self.on_install(&snapshot, out),
                raft::Action::Role(role) => self.on_role(now_ms, role, out),
                raft::Action::Ignored { .. } => {}
            }
        }
    }

    fn on_role(&mut self, now_ms: u64, role: raft::Role, out: &mut Vec<Action>) {
        // A controller is of one term.
        self.controller = None;
        self.leading.forget_proposals();
        if let raft::Role::Follower { leader: Some(_) } | raft::Role::Leader = role {
            // Whoever leads now knows nothing of what was told to the one before.
            self.asks.ask_at_once(now_ms);
            self.reporting.report_at_once(now_ms);
            self.voting.tell_at_once(now_ms);
            self.leading.resign_at_once(now_ms);
        }
        if role == raft::Role::Leader && self.state.is_managed() {
            out.push(Action::Event(Event::RaftLeader(self.own.node)));
        }
    }

    /// Entries that are applied long since are replaced by what they came to.
    pub(super) fn compact(&mut self) {
        let kept = self.raft.snapshot().map_or(0, |snapshot| snapshot.index.0);
        if self.applied.0.saturating_sub(kept) >= self.options.compact_entries {
            let data = snapshot::encode(&self.state);
            // One that is refused now is made after the next entries.
            let _ = self.raft.compact(self.applied, data, &mut self.wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_of_a_core_that_was_given_up_is_told_to_nobody() {
        let mut tickets = Tickets::default();
        assert_eq!(tickets.begin_anew(), Ticket(1));
        assert_eq!(tickets.of_control(raft::Ticket(1)), Ticket(2));
        assert_eq!(tickets.of_control(raft::Ticket(2)), Ticket(3));
        assert_eq!(tickets.of_raft(Ticket(1)), None);
        assert_eq!(tickets.of_raft(Ticket(3)), Some(raft::Ticket(2)));
        assert_eq!(tickets.begin_anew(), Ticket(4));
        assert_eq!(tickets.of_raft(Ticket(3)), None);
        assert_eq!(tickets.of_control(raft::Ticket(1)), Ticket(5));
        assert_eq!(tickets.of_raft(Ticket(5)), Some(raft::Ticket(1)));
    }
}
