//! Questions to the leader where it stands, shared by all sessions that wait for one that is sent after
//! they came.
//!
//! Invariant: a ticket is answered only by a probe that was sent after the ticket was drawn.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use trefoil_clock::Lsn;

/// See the module.
#[derive(Default)]
pub struct Probes {
    /// How many were sent.
    sent: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Probes under way: how the link calls them, and how many had been sent with them.
    under_way: VecDeque<(u64, u64)>,
    /// The newest one that was answered, and with what.
    answered: (u64, Lsn),
}

/// Drawn when somebody needs a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeTicket(u64);

/// What came of a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeState {
    /// A probe has to be sent.
    Wanted,
    /// It is under way.
    UnderWay,
    /// The leader had acknowledged no more than this.
    Answered(Lsn),
}

impl Probes {
    /// The next probe is needed.
    #[must_use]
    pub fn draw(&self) -> ProbeTicket {
        ProbeTicket(self.sent.load(Ordering::SeqCst) + 1)
    }

    /// How a ticket stands.
    #[must_use]
    pub fn state(&self, ticket: ProbeTicket) -> ProbeState {
        let state = self.lock();
        match (state.answered, state.under_way.back()) {
            ((number, acknowledged), _) if number >= ticket.0 => ProbeState::Answered(acknowledged),
            (_, Some(&(_, number))) if number >= ticket.0 => ProbeState::UnderWay,
            _ => ProbeState::Wanted,
        }
    }

    /// A probe of this name is about to be sent.
    pub fn on_sent(&self, id: u64) {
        let mut state = self.lock();
        let number = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        state.under_way.push_back((id, number));
    }

    /// It was answered, and with it those before it.
    pub fn on_answered(&self, id: u64, acknowledged: Lsn) {
        let mut state = self.lock();
        if let Some(at) = state.under_way.iter().position(|probe| probe.0 == id) {
            let (_, number) = state.under_way[at];
            state.under_way.drain(..=at);
            state.answered = (number, acknowledged);
        }
    }

    /// No answer will come to what is under way: the link is gone.
    pub fn on_lost(&self, id: u64) {
        self.lock().under_way.retain(|probe| probe.0 != id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_answers_those_who_came_before_it_was_sent() {
        let probes = Probes::default();
        let early = probes.draw();
        assert_eq!(probes.state(early), ProbeState::Wanted);
        probes.on_sent(70);
        let late = probes.draw();
        assert_eq!(probes.state(early), ProbeState::UnderWay);
        assert_eq!(probes.state(late), ProbeState::Wanted);
        probes.on_answered(70, Lsn(5));
        assert_eq!(probes.state(early), ProbeState::Answered(Lsn(5)));
        assert_eq!(probes.state(late), ProbeState::Wanted);
        probes.on_sent(71);
        probes.on_lost(71);
        assert_eq!(probes.state(late), ProbeState::Wanted);
        // Another link begins to count anew.
        probes.on_sent(1);
        probes.on_answered(1, Lsn(9));
        assert_eq!(probes.state(late), ProbeState::Answered(Lsn(9)));
        assert_eq!(probes.state(early), ProbeState::Answered(Lsn(9)));
    }
}
