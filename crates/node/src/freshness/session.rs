//! What one connection of a follower knows of its session, and what it has under way at the leader.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use trefoil_clock::{Lsn, NodeId, Position};
use trefoil_replication::Consistency;

use crate::node::Node;
use crate::session::{Restrictions, Session};
use crate::settings::Settings;

use super::put_off::PutOff;
use super::sessions::Key;
use super::{Clock, Errand, FollowerView, ProbeState, ProbeTicket, Probes};

/// See the module. Boxed: connections to a leader have none.
#[derive(Default)]
pub struct Freshness {
    /// CONSISTENCY; None: the default is in force.
    pub(crate) consistency: Option<Consistency>,
    clock: Option<Arc<Clock>>,
    /// The clock that it had under another name.
    former: Option<Arc<Clock>>,
    probe: Probe,
    /// How many of the node's floors its clock has been raised to.
    floors: u64,
    /// Since when the next read waits, Unix milliseconds.
    pub(super) waits_since_ms: Option<u64>,
    /// Whom its last command was sent to: there are those in flight, and the keys that it watches.
    pub(crate) at: Option<NodeId>,
    /// How the command that was just told to be forwarded goes.
    pub(crate) errand: Option<Errand>,
    /// Commands at the leader whose replies have not come.
    pub(crate) in_flight: u32,
    /// Bytes of commands that may have to be sent again.
    pub(crate) kept_bytes: usize,
    /// Commands that the leader did not carry out are tried again.
    put_off: Option<PutOff>,
    /// The connection to the leader is to be given up: what is watched over it does not matter any more.
    gives_up: bool,
    /// The other end is a node that forwards what its clients send, to the leader of this reign.
    pub(crate) peer_of_reign: Option<u64>,
}

/// Whether it is known where the leader stood after the connection was made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Probe {
    /// Nobody was asked.
    #[default]
    None,
    /// The leader is asked.
    Asked(ProbeTicket),
    /// It had acknowledged no more than this, which is not applied here yet.
    Behind(Lsn),
    /// What it had acknowledged then is applied here.
    Done,
}

impl Freshness {
    /// Whether the session's clock says all: the leader was asked after the connection was made, and
    /// what it had acknowledged by then is applied here. If a probe has to be sent for that: None.
    pub(super) fn is_probed(&mut self, probes: &Probes, applied: Lsn) -> Option<bool> {
        let ticket = match self.probe {
            Probe::None => probes.draw(),
            Probe::Asked(ticket) => ticket,
            Probe::Behind(acknowledged) if acknowledged <= applied => {
                self.probe = Probe::Done;
                return Some(true);
            }
            Probe::Behind(_) => return Some(false),
            Probe::Done => return Some(true),
        };
        self.probe = Probe::Asked(ticket);
        match probes.state(ticket) {
            ProbeState::Wanted => None,
            ProbeState::UnderWay => Some(false),
            ProbeState::Answered(acknowledged) => {
                let done = acknowledged <= applied;
                self.probe = if done { Probe::Done } else { Probe::Behind(acknowledged) };
                Some(done)
            }
        }
    }
}

impl Session {
    /// How fresh its reads are to be.
    pub(crate) fn consistency(&self, settings: &Settings) -> Consistency {
        let chosen = self.freshness.as_ref().and_then(|freshness| freshness.consistency);
        chosen.unwrap_or_else(|| settings.freshness.consistency())
    }

    /// What it wrote or saw through this node.
    pub(crate) fn seen(&mut self, node: &Node, view: &FollowerView) -> Position {
        let (id, floors) = (self.address.id, node.sessions.floors());
        let freshness = self.freshness.get_or_insert_default();
        let known = std::mem::replace(&mut freshness.floors, floors);
        if known == floors {
            return self.clock(node, view).seen();
        }
        let floor = node.sessions.floor();
        if known < floor.anew {
            (freshness.clock, freshness.former, freshness.probe) = (None, None, Probe::None);
        }
        let clock = self.clock(node, view);
        if id < floor.before_client {
            clock.raise(floor.seen);
        }
        clock.seen()
    }

    fn clock(&mut self, node: &Node, view: &FollowerView) -> Arc<Clock> {
        if let Some(clock) = self.freshness.as_ref().and_then(|freshness| freshness.clock.as_ref())
        {
            return Arc::clone(clock);
        }
        let clock = match self.key(&node.settings) {
            Some(key) => node.sessions.clock(key, |seen| view.has_lost(seen)),
            None => Arc::default(),
        };
        let freshness = self.freshness.get_or_insert_default();
        if let Some(former) = freshness.former.take() {
            clock.raise(former.seen());
        }
        Arc::clone(freshness.clock.insert(clock))
    }

    /// Whose session it is. None: nobody else's.
    fn key(&self, settings: &Settings) -> Option<Key> {
        if settings.freshness.is_scope_connection() {
            return None;
        }
        let name = self.record.labels().name;
        Some(if name.is_empty() { Key::Host(self.record.peer.ip()) } else { Key::Name(name) })
    }

    /// It has another name from now on: its session is joined with that of the name.
    pub(crate) fn on_renamed(&mut self) {
        if let Some(freshness) = &mut self.freshness
            && let Some(clock) = freshness.clock.take()
        {
            freshness.former = Some(clock);
        }
    }

    /// SESSION RESUME: it continues where another one was. A clock that is lost is given up.
    pub(crate) fn resume(&mut self, node: &Node, view: &FollowerView, at: Position) {
        let seen = self.seen(node, view);
        if view.has_lost(seen)
            && let Some(freshness) = &mut self.freshness
        {
            freshness.clock = None;
        }
        self.clock(node, view).raise(at);
        // The token says all that the session has seen.
        if let Some(freshness) = &mut self.freshness {
            freshness.probe = Probe::Done;
        }
    }

    /// The leader said where it stood behind what this session sent: the session has seen that much.
    pub fn on_leader_position(&mut self, node: &Node, at: Position) {
        let mut view = FollowerView::default();
        if self.freshness.as_ref().is_none_or(|freshness| freshness.clock.is_none()) {
            view.refresh(node);
        }
        self.clock(node, &view).raise(at);
        if let Some(freshness) = &mut self.freshness {
            freshness.probe = Probe::Done;
        }
    }

    /// How the command goes to the leader that [`crate::handler::Flow::Forward`] was said of.
    pub fn take_errand(&mut self) -> Option<Errand> {
        self.freshness.as_mut()?.errand.take()
    }

    /// Whether the connection to the leader is to be made anew; asked once.
    pub fn gives_leader_up(&mut self) -> bool {
        self.freshness.as_mut().is_some_and(|freshness| std::mem::take(&mut freshness.gives_up))
    }

    /// So many of its commands are at the leader or on their way; so many bytes may have to be sent again.
    pub fn set_in_flight(&mut self, commands: usize, kept_bytes: usize) {
        let freshness = self.freshness.get_or_insert_default();
        freshness.in_flight = u32::try_from(commands).unwrap_or(u32::MAX);
        freshness.kept_bytes = kept_bytes;
        match commands {
            0 => self.restrictions.clear(Restrictions::IN_FLIGHT),
            _ => self.restrictions.set(Restrictions::IN_FLIGHT),
        }
    }

    /// A leader did not carry out what it was sent. Whether that may be tried again: it is then put off
    /// for a moment, unless somebody else leads by now.
    pub fn put_off(&mut self, node: &Node, by: NodeId, now_ms: u64) -> bool {
        if !node.agreement.is_managed() {
            return false;
        }
        let patience_ms = node.settings.freshness.leader_wait_ms.load(Relaxed);
        let freshness = self.freshness.get_or_insert_default();
        freshness.put_off = PutOff::once_more(freshness.put_off, by, now_ms, patience_ms);
        freshness.put_off.is_some()
    }

    /// Whether this leader is not to be asked yet.
    pub(crate) fn is_put_off(&self, leader: NodeId, now_ms: u64) -> bool {
        let put_off = self.freshness.as_ref().and_then(|freshness| freshness.put_off);
        put_off.is_some_and(|it| it.holds(leader, now_ms))
    }

    /// A leader has carried out what it was sent.
    pub fn on_carried_out(&mut self) {
        if let Some(freshness) = &mut self.freshness {
            freshness.put_off = None;
        }
    }

    /// Whether it watches keys at the leader, so that the connection to it is needed.
    #[must_use]
    pub fn needs_leader(&self) -> bool {
        self.restrictions.has(Restrictions::AT_LEADER)
    }

    /// WATCH was given to the leader. What is read until EXEC is to be the leader's.
    pub(crate) fn begin_watching(&mut self) {
        self.restrictions.set(Restrictions::AT_LEADER);
    }

    /// Whatever was watched at the leader is not any more.
    pub(crate) fn end_watching(&mut self) {
        self.restrictions.clear(Restrictions::AT_LEADER);
    }

    /// The connection to the leader is gone, and with it what was watched there: the next EXEC comes to
    /// nothing.
    pub fn on_leader_lost(&mut self) {
        if self.needs_leader() {
            self.end_watching();
            self.lose_watch();
        }
    }

    /// What was begun at a leader is given up, since it does not lead any more, or because it is over.
    pub(crate) fn abandon_leader(&mut self) {
        if self.needs_leader() {
            self.on_leader_lost();
            self.freshness.get_or_insert_default().gives_up = true;
        }
    }

    /// Whether the other end is a node that forwards what its clients send.
    pub(crate) fn is_peer(&self) -> bool {
        self.freshness.as_ref().is_some_and(|freshness| freshness.peer_of_reign.is_some())
    }

    /// RESET: a new session. What it was is only remembered as far as it is still under way.
    pub(crate) fn reset_freshness(&mut self) {
        let Some(before) = self.freshness.take() else { return };
        let watched = self.needs_leader();
        self.end_watching();
        self.freshness.get_or_insert_default().gives_up = before.gives_up || watched;
    }
}
