//! Admission by role: what a node does with a command while it does not lead, or may not write.
//!
//! On a follower writes go to the leader, reads are answered here once they are fresh enough, and a
//! transaction is executed by the leader. While nobody leads, what is about data waits for that, for a
//! while: it is run here then, or goes to whoever leads.
//!
//! Invariants: nothing that changes data runs here unless the node leads; replies keep the order of
//! the commands, so behind a command at the leader everything follows it there or waits.

mod kind;
mod peer;
mod transaction;

use std::sync::atomic::Ordering::Relaxed;

use trefoil_commands::Flags;
use trefoil_replication::Consistency;
use trefoil_store::slot::slot_of;
use trefoil_wire::Args;
use trefoil_wire::resp::ReplyBuf;

use crate::freshness::{Errand, Verdict};
use crate::handler::Flow;
use crate::replication::Role;
use crate::session::{Restrictions, Session};
use crate::settings::FollowerWrites;
use crate::table::Entry;

use super::{Ran, Worker};

use kind::Kind;
pub use peer::NOT_DONE;

const NOREPLICAS: &str = "NOREPLICAS Not enough good replicas to write.";
const LOADING: &str = "LOADING Redis is loading the dataset in memory";
const RECOVERING: &str = "LOADING this node led and was not stopped cleanly: it asks its followers what \
                          they hold before it leads again";
const DEPOSED: &str = "MASTERDOWN this node led until another one began to: it serves nothing until \
                       REPLICAOF tells it whom to follow";
const NO_LEADER: &str = "MASTERDOWN this follower does not know its leader yet; nothing was done";
const STALE: &str =
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
const READONLY: &str = "READONLY You can't write against a read only replica.";
/// For sessions that have seen what is no part of the history.
pub(crate) const LOST: &str = "LOSTBRANCH what this session has seen is no part of the data any more; SESSION \
                    RESUME, RESET or a new connection begins anew";
const SCAN_BEHIND: &str = "MASTERDOWN this follower is behind what the session has seen, and a SCAN \
                           can't go on at another node; nothing was done";
const LAPSED: &str = "MASTERDOWN this node has lost contact with the majority of the cluster, so it serves \
                      nothing; nothing was done";
const WITNESS: &str = "ERR this node is a witness: it votes and holds no data; connect to a member that does \
                       (CLUSTER NODES lists them)";
const UNLED: &str = "MASTERDOWN nobody leads now; nothing was done";
/// For those that wait when the role changes.
pub(crate) const UNBLOCKED: &str = "UNBLOCKED force unblock from blocking operation, instance state changed \
                                    (master -> replica?)";
const NOT_EXECUTED: &str = "EXECABORT Transaction discarded because of: MASTERDOWN nobody is known to lead; nothing was done";
const NOT_QUEUED: &str = "ERR on a follower this command is not allowed within MULTI: it is about the node or the connection";

/// Commands of one connection that may be at the leader at the same time.
const IN_FLIGHT_MAX: u32 = 1_024;
/// Bytes of them that are kept until they are answered, from which on the next ones wait.
const KEPT_BYTES_MAX: usize = 1 << 20;

impl Worker {
    /// What came of the command already, if its session or the node's role does not let it run the
    /// plain way.
    pub(super) fn admit_by_role(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        args: Args<'_>,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        let replication = &self.node.replication;
        if self.node.settings.replication.is_witness() {
            return self.admit_idle(session, entry, WITNESS, out);
        }
        let role = replication.role();
        if role != Role::Leading
            && let Some(ran) = self.unblock(session, entry, out)
        {
            return Some(ran);
        }
        match role {
            Role::Leading => self.admit_leading(session, entry, out),
            Role::Following => self.admit_following(session, entry, args, out),
            Role::Loading if self.node.replication.leader().is_some() => {
                self.admit_following(session, entry, args, out)
            }
            Role::Loading => self.admit_idle(session, entry, LOADING, out),
            Role::Recovering => self.admit_idle(session, entry, RECOVERING, out),
            Role::Deposed if self.node.agreement.is_managed() => {
                self.admit_unled(session, entry, UNLED, out)
            }
            Role::Deposed => self.admit_idle(session, entry, DEPOSED, out),
        }
    }

    /// WAIT, WAITAOF: the role has changed. What they wait for is not known here any more, unless it is
    /// certain to be part of what the next leader has: then that one is asked.
    fn unblock(&mut self, session: &mut Session, entry: &Entry, out: &mut ReplyBuf) -> Option<Ran> {
        if session.waiting.is_none() || Kind::of(entry) != Kind::Asks {
            return None;
        }
        let waiting = session.waiting.take()?;
        if waiting.target <= self.node.replication.parted_at(waiting.reign) {
            return None;
        }
        Some(self.turn_down(session, entry, UNBLOCKED, out))
    }

    /// The cluster is about to agree on who leads: what is about data waits for that, for a while.
    fn admit_unled(
        &mut self,
        session: &mut Session,
        entry: &Entry,
        text: &str,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        if session.restrictions.has(Restrictions::IN_FLIGHT) {
            return Some(Ran::independent(Flow::Retry));
        }
        session.abandon_leader();
        if !needs_leader(session, entry) {
            return None;
        }
        if self.may_wait_for_leader() {
            return Some(Ran::independent(Flow::Retry));
        }
        self.refuse_unled(session, entry, text, out)
    }

    /// It has waited for long enough.
    fn refuse_unled(
        &mut self,
        session: &mut Session,
        entry: &Entry,
        text: &str,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        if entry.spec.name != "exec" {
            return Some(self.turn_down(session, entry, text, out));
        }
        session.abandon_leader();
        session.reset_transaction();
        Some(self.turn_down(session, entry, NOT_EXECUTED, out))
    }

    /// Whether a command may go on waiting for somebody to lead, or for a leader's followers.
    fn may_wait_for_leader(&mut self) -> bool {
        if !self.node.agreement.is_managed() {
            return false;
        }
        let now_ms = self.writer.now_ms;
        let since_ms = *self.unled_since_ms.get_or_insert(now_ms);
        self.expect_change();
        let wait_ms = self.node.settings.freshness.leader_wait_ms.load(Relaxed);
        now_ms.saturating_sub(since_ms) < wait_ms
    }

    /// What changes behind this wakes us again.
    fn expect_change(&mut self) {
        self.changes_seen.get_or_insert(self.node.replication.changes());
    }

    /// If somebody leads again, the next time that nobody does begins anew.
    #[cold]
    pub(super) fn notice_leader(&mut self) {
        let led = match self.node.replication.role() {
            Role::Leading => {
                let has_lapsed = self.node.agreement.lease.lapsed_ms().is_some();
                !has_lapsed && !self.node.replication.is_blocked()
            }
            Role::Following => self.follower.leader.is_some(),
            Role::Recovering | Role::Loading | Role::Deposed => false,
        };
        if led {
            self.unled_since_ms = None;
        }
    }

    fn admit_leading(
        &mut self,
        session: &mut Session,
        entry: &Entry,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        if session.restrictions.has(Restrictions::IN_FLIGHT) {
            return Some(Ran::independent(Flow::Retry));
        }
        session.abandon_leader();
        if self.node.agreement.lease.lapsed_ms().is_some() && needs_leader(session, entry) {
            if self.may_wait_for_leader() {
                return Some(Ran::independent(Flow::Retry));
            }
            return self.refuse_unled(session, entry, LAPSED, out);
        }
        if !self.node.replication.is_blocked() {
            return None;
        }
        let executes = entry.spec.name == "exec"
            && session.queue().is_some_and(|queue| queue.flags().has(Flags::WRITE));
        let writes = entry.spec.flags.has(Flags::WRITE);
        // Of one that has just begun to lead the followers are about to attach.
        if (writes || executes) && self.may_wait_for_leader() {
            return Some(Ran::independent(Flow::Retry));
        }
        if writes {
            return Some(self.turn_down(session, entry, NOREPLICAS, out));
        }
        if executes {
            session.reset_transaction();
            let text = format!("EXECABORT Transaction discarded because of: {NOREPLICAS}");
            return Some(self.turn_down(session, entry, &text, out));
        }
        None
    }

    /// Nothing is served, but for what is about the connection or the node.
    fn admit_idle(
        &mut self,
        session: &mut Session,
        entry: &Entry,
        text: &str,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        if session.restrictions.has(Restrictions::IN_FLIGHT) {
            return Some(Ran::independent(Flow::Retry));
        }
        session.abandon_leader();
        session.break_transaction();
        match Kind::of(entry) {
            Kind::Local | Kind::Multi | Kind::End | Kind::Unwatch => None,
            _ => Some(self.turn_down(session, entry, text, out)),
        }
    }

    fn admit_following(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        args: Args<'_>,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        let kind = Kind::of(entry);
        if session.restrictions.has(Restrictions::IN_FLIGHT) {
            return Some(self.follow(session, entry, kind, out));
        }
        let at = session.freshness.as_ref().and_then(|freshness| freshness.at);
        if self.follower.leader.is_some_and(|leader| at != Some(leader)) {
            session.abandon_leader();
        }
        if session.restrictions.has(Restrictions::IN_MULTI) {
            return self.queue_here(session, entry, kind, out);
        }
        let forwards = self.node.settings.freshness.follower_writes() == FollowerWrites::Forward;
        let watches = session.needs_leader();
        match kind {
            Kind::Local | Kind::Multi | Kind::End => None,
            Kind::Write if !forwards => Some(self.refuse_write(session, entry, args, out)),
            Kind::Read | Kind::Scan if !watches => self.admit_read(session, entry, kind, out),
            Kind::Unwatch if !watches => None,
            Kind::Watch if !forwards && !watches => None,
            Kind::Asks if entry.spec.name != "session" && self.has_lost_branch(session) => {
                Some(self.turn_down(session, entry, LOST, out))
            }
            _ => Some(self.forward(session, entry, kind, out)),
        }
    }

    /// Whether what the session has seen is no part of the history: to count who has it means nothing.
    fn has_lost_branch(&mut self, session: &mut Session) -> bool {
        let seen = session.seen(&self.node, &self.follower);
        self.follower.has_lost(seen)
    }

    /// A read is answered here if it can be.
    fn admit_read(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        kind: Kind,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        let settings = &self.node.settings.replication;
        if !self.follower.is_linked && !settings.serve_stale_data.load(Relaxed) {
            return Some(self.turn_down(session, entry, STALE, out));
        }
        match self.judge_read(session) {
            Verdict::Serve => None,
            Verdict::Wait => Some(Ran::independent(Flow::Retry)),
            Verdict::Lost => Some(self.turn_down(session, entry, LOST, out)),
            Verdict::Forward if kind == Kind::Scan && !self.asks_leader_always(session) => {
                Some(self.turn_down(session, entry, SCAN_BEHIND, out))
            }
            Verdict::Forward => Some(self.forward(session, entry, kind, out)),
        }
    }

    fn asks_leader_always(&self, session: &Session) -> bool {
        session.consistency(&self.node.settings) == Consistency::Linearizable
    }

    /// Behind commands that are at the leader: goes after them, or waits until they are answered.
    fn follow(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        kind: Kind,
        out: &mut ReplyBuf,
    ) -> Ran {
        let writes = self.node.settings.freshness.follower_writes();
        let goes = match kind {
            Kind::Read | Kind::Asks => true,
            Kind::Write | Kind::Watch => writes == FollowerWrites::Forward,
            Kind::Unwatch => session.needs_leader(),
            Kind::Multi | Kind::Scan | Kind::End | Kind::Local => false,
        };
        if goes && self.follower.leader.is_some() {
            return self.forward(session, entry, kind, out);
        }
        Ran::independent(Flow::Retry)
    }

    /// The leader is to do it.
    fn forward(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        kind: Kind,
        out: &mut ReplyBuf,
    ) -> Ran {
        let Some(leader) = self.follower.leader else {
            if self.may_wait_for_leader() {
                return Ran::independent(Flow::Retry);
            }
            let text = if kind == Kind::End { NOT_EXECUTED } else { NO_LEADER };
            if kind == Kind::End {
                session.abandon_leader();
                session.reset_transaction();
            }
            return self.turn_down(session, entry, text, out);
        };
        if session.is_put_off(leader, self.writer.now_ms) {
            self.expect_change();
            return Ran::independent(Flow::Retry);
        }
        let freshness = session.freshness.get_or_insert_default();
        // What is at another leader is answered first, or comes back.
        let waits = freshness.in_flight > 0 && freshness.at != Some(leader);
        if waits || freshness.in_flight >= IN_FLIGHT_MAX || freshness.kept_bytes >= KEPT_BYTES_MAX {
            return Ran::independent(Flow::Retry);
        }
        freshness.at = Some(leader);
        let watched = session.needs_leader();
        let queue = if kind == Kind::End { session.take_queue() } else { None };
        let selects = queue.as_ref().map(|queue| queue.db()).filter(|&db| db != session.db);
        let errand = Errand {
            to: leader,
            heard: true,
            writes: matches!(kind, Kind::Write | Kind::End),
            patient: entry.spec.flags.has(Flags::BLOCKING),
            queue,
            watched: watched && kind == Kind::End,
            selects,
        };
        match kind {
            Kind::Watch => session.begin_watching(),
            Kind::End | Kind::Unwatch => session.end_watching(),
            _ => {}
        }
        session.freshness.get_or_insert_default().errand = Some(errand);
        Ran::independent(Flow::Forward)
    }

    fn refuse_write(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        args: Args<'_>,
        out: &mut ReplyBuf,
    ) -> Ran {
        let writes = self.node.settings.freshness.follower_writes();
        let link = self.node.replication.leader();
        match link {
            Some(link) if writes == FollowerWrites::Moved => {
                let key = entry.key_indexes(args.len()).next();
                let slot = key.map_or(0, |at| slot_of(args.get(at)));
                let text = format!("MOVED {slot} {}:{}", link.host, link.port);
                self.turn_down(session, entry, &text, out)
            }
            _ => self.turn_down(session, entry, READONLY, out),
        }
    }

    /// Refuses what is no command, or has too few or too many arguments, in its turn.
    #[cold]
    pub(super) fn refuse_mistake(
        &mut self,
        session: &mut Session,
        text: &str,
        out: &mut ReplyBuf,
    ) -> Ran {
        if session.restrictions.has(Restrictions::IN_FLIGHT) {
            return Ran::independent(Flow::Retry);
        }
        self.reject(session, text, out)
    }

    /// The command is not run, and a transaction that is being queued will not be either.
    fn turn_down(
        &mut self,
        session: &mut Session,
        entry: &Entry,
        text: &str,
        out: &mut ReplyBuf,
    ) -> Ran {
        self.calls[usize::from(entry.id)].rejected.add(1);
        self.reject(session, text, out)
    }
}

/// Whether a command is about data, so that only who leads may run it. What is only queued is not.
fn needs_leader(session: &Session, entry: &Entry) -> bool {
    let is_queued = session.restrictions.has(Restrictions::IN_MULTI)
        && !entry.spec.flags.has(Flags::NOT_QUEUED);
    match Kind::of(entry) {
        Kind::Write | Kind::Read | Kind::Scan | Kind::Watch | Kind::Asks => !is_queued,
        Kind::End if entry.spec.name == "exec" => {
            session.queue().is_some_and(|queue| !queue.is_broken())
        }
        Kind::End | Kind::Multi | Kind::Unwatch | Kind::Local => false,
    }
}

#[cfg(test)]
mod tests;
