//! How a node serves clients: the gate of the leader, the freshness of followers, forwarding.

use trefoil_clock::{Lsn, Position};
use trefoil_replication::{
    Consistency, Decision, Judgement, ReadView, SessionClock, decide, judge,
};

use super::agenda::{MS, Micros};
use super::client::{Answer, Ask, Reply, Request};
use super::process::{Role, Until, Waiting};
use super::record::Change;
use super::sabotage::Defect;
use super::world::{Event, World};

/// Writes that wait for the next leader are looked at again after this time.
const HELD_FOR: Micros = 5 * MS;

impl World {
    /// A client's request, or one that a follower passes on.
    pub(crate) fn on_request(&mut self, slot: usize, request: Request) {
        let op = request.operation;
        self.trace(format_args!("n{slot} o{op} c{} {:?}", request.client, request.ask));
        match &self.process(slot).role {
            Role::Leading(_) => self.serve_as_leader(slot, request),
            Role::Following(_) => self.serve_as_follower(slot, request),
            Role::Recovering { .. } | Role::Fenced => {
                self.answer(slot, request, Answer::Refused("refused: loading"));
            }
        }
    }

    fn serve_as_leader(&mut self, slot: usize, request: Request) {
        if self.nodes[slot].disk.identity.cluster != super::world::CLUSTER {
            return self.answer(slot, request, Answer::Refused("refused: another history"));
        }
        if let Some((_, position)) = request.token
            && !self.token_holds(slot, position)
        {
            return self.answer(slot, request, Answer::LostBranch);
        }
        match request.ask {
            Ask::Write(_) if self.holds_writes(slot) => {
                let later = self.now + HELD_FOR;
                self.agenda.put(later, Event::Request(slot, request));
            }
            Ask::Write(change) => self.serve_write(slot, request, change),
            Ask::Read(key, consistency) => {
                let process = self.process(slot);
                let Role::Leading(leading) = &process.role else { return };
                let held = process.store.keys[usize::from(key)];
                let newest = consistency == Consistency::Linearizable;
                let unsettled = newest && !leading.core.is_settled();
                let shows = if unsettled { process.end.lsn } else { held.lsn };
                let answer = Answer::Value { value: held.value, by: held.by };
                self.answer_when_released(slot, request, shows, answer);
            }
        }
    }

    /// Whether what a session saw is part of the leader's history.
    fn token_holds(&mut self, slot: usize, position: Position) -> bool {
        let process = self.process(slot);
        process.epochs.holds(position, process.end.lsn)
    }

    fn serve_write(&mut self, slot: usize, request: Request, change: Change) {
        let Role::Leading(leading) = &self.process(slot).role else { return };
        if leading.core.is_blocked() {
            return self.answer(slot, request, Answer::Refused("refused: too few followers"));
        }
        let before =
            change.keys().first().map(|key| self.process(slot).store.keys[usize::from(*key)]);
        let record = self.write(slot, change);
        self.judge.on_written(request.operation, record.id);
        let number = match (change, change.keys().first()) {
            (Change::Add(..), Some(key)) => {
                self.process(slot).store.keys[usize::from(*key)].value.unwrap_or(0)
            }
            (Change::Remove(_), _) => u64::from(before.is_some_and(|held| held.value.is_some())),
            _ => 0,
        };
        let answer = Answer::Written { record: record.id, number };
        self.answer_when_released(slot, request, record.lsn, answer);
    }

    fn answer_when_released(&mut self, slot: usize, request: Request, lsn: Lsn, answer: Answer) {
        let passes =
            self.defect == Defect::ReadPassesGate && matches!(answer, Answer::Value { .. });
        let process = self.process(slot);
        let Role::Leading(leading) = &process.role else { return };
        if (leading.released >= lsn || passes) && process.part.is_none() {
            return self.answer(slot, request, answer);
        }
        let since = self.now;
        let until = Until::Released { lsn, answer };
        self.process(slot).waiting.push(Waiting { request, since, until });
        self.let_go_soon(slot);
    }

    /// The leader's release rose: answers leave.
    pub(crate) fn release(&mut self, slot: usize) {
        if !self.passes_gate(slot) {
            return;
        }
        let process = self.process(slot);
        let Role::Leading(leading) = &process.role else { return };
        let released = leading.released;
        let (out, stay) = std::mem::take(&mut process.waiting)
            .into_iter()
            .partition(|w| matches!(w.until, Until::Released { lsn, .. } if lsn <= released));
        process.waiting = stay;
        let last = out.iter().filter_map(|w| match w.until {
            Until::Released { lsn, .. } => Some(lsn),
            _ => None,
        });
        if let Some(last) = last.max() {
            self.on_replies(slot, last);
        }
        let binds = |ask| matches!(ask, Ask::Write(_) | Ask::Read(_, Consistency::Linearizable));
        if out.iter().any(|waiting| binds(waiting.request.ask)) {
            self.check_barrier(slot);
        }
        for Waiting { request, until, .. } in out {
            if let Until::Released { answer, .. } = until {
                self.answer(slot, request, answer);
            }
        }
    }

    fn serve_as_follower(&mut self, slot: usize, request: Request) {
        if request.fresh && request.via.is_none() {
            self.resume(slot, &request);
        }
        if self.is_on_lost_branch(slot, request.session) {
            return self.answer(slot, request, Answer::LostBranch);
        }
        match request.ask {
            _ if request.via.is_some() => {
                self.answer(slot, request, Answer::Refused("refused: passed on to a follower"));
            }
            Ask::Write(_) => self.pass_on(slot, request),
            Ask::Read(..) => self.serve_read(slot, request, self.now),
        }
    }

    /// A connection begins: the session's clock is what its token says, or unknown.
    fn resume(&mut self, slot: usize, request: &Request) {
        let forgets = self.defect == Defect::SessionForgotten;
        let clock = match request.token {
            _ if forgets => SessionClock::At(Position::default()),
            Some((_, position)) => SessionClock::At(position),
            None => SessionClock::Unknown,
        };
        self.process(slot).sessions.insert(request.session, clock);
    }

    /// Whether a session saw what is not part of this node's history. Whatever is asked: an answer
    /// would let its clock go on as if nothing had happened.
    fn is_on_lost_branch(&mut self, slot: usize, session: u32) -> bool {
        let process = self.process(slot);
        let Some(SessionClock::At(position)) = process.sessions.get(&session) else { return false };
        let judgement = judge(*position, &process.epochs, process.store.applied);
        judgement == Judgement::Lost
    }

    fn serve_read(&mut self, slot: usize, request: Request, since: Micros) {
        let Ask::Read(key, consistency) = request.ask else { return };
        let now_ms = self.local_ms(slot);
        let Some(process) = &self.nodes[slot].process else { return };
        let Role::Following(following) = &process.role else { return };
        let clock = process.sessions.get(&request.session).copied();
        let view = ReadView {
            epochs: &process.epochs,
            applied: process.store.applied,
            ready: following.core.is_ready() || self.defect == Defect::ServesBeforeReady,
            attached: following.link.is_some(),
            fresh_at: following.core.fresh_at(),
        };
        let decision = decide(consistency, clock.unwrap_or(SessionClock::Unknown), &view, now_ms);
        self.trace(format_args!("n{slot} o{} {clock:?} {decision:?}", request.operation));
        match decision {
            Decision::Serve => self.serve_here(slot, request, key, consistency),
            Decision::Wait => {
                let until = Until::Applied;
                self.process(slot).waiting.push(Waiting { request, since, until });
            }
            Decision::Probe => self.probe_for(slot, request, since),
            Decision::Forward => self.pass_on(slot, request),
            Decision::LostBranch => self.answer(slot, request, Answer::LostBranch),
        }
    }

    fn serve_here(&mut self, slot: usize, request: Request, key: u8, consistency: Consistency) {
        let process = self.process(slot);
        let held = process.store.keys[usize::from(key)];
        let applied = process.store.applied;
        let led = process.epochs.last();
        if let Consistency::Bounded(bound_ms) = consistency {
            self.met.event("bounded reads on followers");
            let slack_ms = self.slack_ms(bound_ms);
            let bound = (bound_ms, slack_ms);
            self.judge.on_bounded(self.now, bound, led, applied, request.operation);
        }
        self.met.event("reads on followers");
        self.answer(slot, request, Answer::Value { value: held.value, by: held.by });
    }

    fn probe_for(&mut self, slot: usize, request: Request, since: Micros) {
        let mut probe = None;
        self.with_follower(slot, |core, now, out| probe = core.probe(now, out));
        match probe {
            Some(id) => {
                self.met.event("reads that probed");
                let until = Until::Probed { id, commit: None };
                self.process(slot).waiting.push(Waiting { request, since, until });
            }
            None => self.pass_on(slot, request),
        }
    }

    pub(crate) fn on_probe_answered(&mut self, slot: usize, id: u64, commit: Lsn) {
        for waiting in &mut self.process(slot).waiting {
            if let Until::Probed { id: own, commit: answered } = &mut waiting.until
                && *own == id
            {
                *answered = Some(commit);
            }
        }
        self.look_again(slot);
    }

    pub(crate) fn on_probe_lost(&mut self, slot: usize, id: u64) {
        let lost = |w: &Waiting| matches!(w.until, Until::Probed { id: own, .. } if own == id);
        let process = self.process(slot);
        let (out, stay) =
            std::mem::take(&mut process.waiting).into_iter().partition(|waiting| lost(waiting));
        process.waiting = stay;
        for waiting in out {
            self.pass_on(slot, waiting.request);
        }
    }

    /// A follower's store or readiness changed: who waits is looked at again.
    pub(crate) fn look_again(&mut self, slot: usize) {
        let process = self.process(slot);
        let applied = process.store.applied;
        for Waiting { request, since, until } in std::mem::take(&mut process.waiting) {
            match until {
                Until::Applied => self.serve_read(slot, request, since),
                _ if self.is_on_lost_branch(slot, request.session) => {
                    self.answer(slot, request, Answer::LostBranch);
                }
                Until::Probed { commit: Some(commit), .. } if commit <= applied => {
                    let position = self.history(slot).position(commit);
                    self.raise(slot, request.session, position);
                    self.serve_read(slot, request, since);
                }
                until => self.process(slot).waiting.push(Waiting { request, since, until }),
            }
        }
    }

    /// What a session saw or wrote is at least this.
    fn raise(&mut self, slot: usize, session: u32, position: Position) {
        let clock = self.process(slot).sessions.entry(session).or_insert(SessionClock::Unknown);
        let at = match *clock {
            SessionClock::At(earlier) => earlier.max(position),
            SessionClock::Unknown => position,
        };
        *clock = SessionClock::At(at);
    }

    /// Lets the leader answer.
    pub(crate) fn pass_on(&mut self, slot: usize, request: Request) {
        let life = self.nodes[slot].life;
        let Role::Following(following) = &self.process(slot).role else { return };
        let whom = following.whom;
        if following.link.is_none() || self.net.stuck_until[slot][whom] > self.now {
            return self.answer(slot, request, Answer::Refused("refused: the leader is away"));
        }
        self.met.event("requests passed on");
        let clock = self.process(slot).sessions.get(&request.session).copied();
        let cluster = self.nodes[slot].disk.identity.cluster;
        // The leader sees the session's clock, so that a lost branch is noticed there.
        let token = match clock {
            Some(SessionClock::At(position)) => Some((cluster, position)),
            _ => request.token,
        };
        let token = token.filter(|_| self.defect != Defect::SessionForgotten);
        let passed = Request { via: Some((slot, life)), token, ..request };
        let delay = 100 + self.dice.below(2 * MS);
        self.agenda.put(self.now + delay, Event::Request(whom, passed));
    }

    /// The leader's answer is back at the follower: its session moves on.
    pub(crate) fn on_relay(&mut self, reply: Reply) {
        let Some((slot, life)) = reply.request.via else { return };
        let node = &self.nodes[slot];
        if node.process.is_none() || node.life != life {
            return;
        }
        if node.paused_until > self.now {
            let at = node.paused_until;
            return self.agenda.put(at, Event::Relay(reply));
        }
        if self.is_on_lost_branch(slot, reply.request.session) {
            let reply = Reply { answer: Answer::LostBranch, token: None, ..reply };
            return self.send_reply(&reply);
        }
        if let Some((_, position)) = reply.token {
            self.raise(slot, reply.request.session, position);
        }
        self.send_reply(&reply);
    }
}
