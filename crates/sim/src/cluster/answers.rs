//! Answers to clients: when they leave a node, with which token, and what is told to who waits in vain.

use trefoil_clock::{ClusterId, Position};
use trefoil_replication::SessionClock;

use super::agenda::{MS, Micros};
use super::client::{Answer, Reply, Request, Served};
use super::process::{Role, Until, Waiting};
use super::world::{Event, World};

/// What waits for the leader's release longer than this is unknown.
const ACK_TIMEOUT: Micros = 500 * MS;
/// A read waits for the follower to catch up no longer than this, then the leader answers it.
const SESSION_WAIT: Micros = 60 * MS;

impl World {
    /// An answer leaves a node.
    pub(crate) fn answer(&mut self, slot: usize, request: Request, answer: Answer) {
        let served = Served { deposed: self.is_deposed(slot) };
        let token = self.token_for(slot, &request, answer);
        self.judge.on_served(slot, request.ask, answer);
        let reply = Reply { request, answer, token, served };
        if request.via.is_some() {
            let delay = 100 + self.dice.below(2 * MS);
            self.agenda.put(self.now + delay, Event::Relay(reply));
        } else {
            self.send_reply(&reply);
        }
    }

    pub(crate) fn send_reply(&mut self, reply: &Reply) {
        if !self.dice.one_in(300) {
            let delay = 50 + self.dice.below(2 * MS);
            self.agenda.put(self.now + delay, Event::Reply(*reply));
        }
    }

    /// SESSION TOKEN behind an answer.
    fn token_for(
        &mut self,
        slot: usize,
        request: &Request,
        answer: Answer,
    ) -> Option<(ClusterId, Position)> {
        if !matches!(answer, Answer::Written { .. } | Answer::Value { .. }) {
            return None;
        }
        let cluster = self.nodes[slot].disk.identity.cluster;
        let process = self.process(slot);
        let shown = process.epochs.position(process.store.applied);
        let position = match &process.role {
            // Not its end, if it can be helped: what is not committed was shown to nobody, and may be
            // lost. What is committed but not released may have been shown by a follower.
            Role::Leading(leading) if leading.core.is_settled() => {
                process.epochs.position(leading.commit)
            }
            Role::Leading(_) => process.end,
            // What the session saw elsewhere stays in its clock.
            _ => match process.sessions.get(&request.session) {
                Some(SessionClock::At(earlier)) => shown.max(*earlier),
                _ => shown,
            },
        };
        Some((cluster, position))
    }

    /// Whether somebody leads in a newer epoch than this node knows, or a leader that it follows. A
    /// leader under a lease is not forgiven that.
    fn is_deposed(&self, slot: usize) -> bool {
        if self.is_managed(slot) && self.led_epoch(slot).is_some() {
            return false;
        }
        let known = self.nodes[slot].process.as_ref().and_then(|process| process.epochs.last());
        known.map(|entry| (entry.epoch, entry.leader)) != self.judge.newest_leader()
    }

    /// Answers what has waited too long.
    pub(crate) fn answer_late(&mut self, slot: usize) {
        let now = self.now;
        let process = self.process(slot);
        let late = |waiting: &Waiting| match waiting.until {
            Until::Released { .. } => waiting.since + ACK_TIMEOUT <= now,
            Until::Applied | Until::Probed { .. } => waiting.since + SESSION_WAIT <= now,
        };
        let (out, stay) =
            std::mem::take(&mut process.waiting).into_iter().partition(|waiting| late(waiting));
        process.waiting = stay;
        for Waiting { request, until, .. } in out {
            match until {
                Until::Released { .. } => {
                    self.answer(
                        slot,
                        request,
                        Answer::Unknown("unknown: acknowledgements are late"),
                    );
                }
                Until::Applied | Until::Probed { .. } => self.pass_on(slot, request),
            }
        }
    }

    /// Answers everything that waits: what it waits for does not come any more.
    pub(crate) fn answer_all(&mut self, slot: usize, why: &'static str) {
        for waiting in std::mem::take(&mut self.process(slot).waiting) {
            let answer = match waiting.until {
                Until::Released { .. } => Answer::Unknown(why),
                Until::Applied | Until::Probed { .. } => Answer::Refused("refused: role changed"),
            };
            self.answer(slot, waiting.request, answer);
        }
    }

    /// The connections of clients to a process break.
    pub(crate) fn break_clients(&mut self, slot: usize) {
        for client in 0..self.clients.len() {
            let held = &mut self.clients[client];
            held.connection += u32::from(held.node == slot);
            held.fresh |= held.node == slot;
            if let Some(open) = held.open.filter(|_| held.node == slot) {
                let delay = self.dice.below(5 * MS);
                self.agenda.put(self.now + delay, Event::GiveUp(client, open));
            } else if held.node == slot {
                self.reconnect(client);
            }
        }
    }
}
