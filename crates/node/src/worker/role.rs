//! Admission by role: what a node does with a command while it does not lead, or may not write.
//!
//! On a follower writes go to the leader, reads are answered here once they are fresh enough, and a
//! transaction is the leader's from WATCH or MULTI to its end, so that it means what it means there.
//!
//! Invariants: nothing that changes data runs here unless the node leads; replies keep the order of
//! the commands, so behind a command at the leader everything follows it there or waits.

mod kind;

use std::sync::atomic::Ordering::Relaxed;

use trefoil_commands::{Flags, parse_i64};
use trefoil_replication::Consistency;
use trefoil_store::slot::slot_of;
use trefoil_wire::Args;
use trefoil_wire::resp::{Reply, ReplyBuf};

use crate::freshness::{Errand, Transaction, Verdict};
use crate::handler::Flow;
use crate::replication::Role;
use crate::session::{Restrictions, Session};
use crate::settings::FollowerWrites;
use crate::table::Entry;

use super::{Ran, Worker};

use kind::{Kind, is_about_connection};

const NOREPLICAS: &str = "NOREPLICAS Not enough good replicas to write.";
const LOADING: &str = "LOADING Redis is loading the dataset in memory";
const RECOVERING: &str = "LOADING this node led and was not stopped cleanly: it asks its followers what \
                          they hold before it leads again";
const DEPOSED: &str = "MASTERDOWN this node led until another one began to: it serves nothing until \
                       REPLICAOF tells it whom to follow";
const NOT_LEADING: &str = "MASTERDOWN this node does not lead; nothing was done";
const NO_LEADER: &str = "MASTERDOWN this follower does not know its leader yet; nothing was done";
const STALE: &str =
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
const READONLY: &str = "READONLY You can't write against a read only replica.";
const LOST: &str = "LOSTBRANCH what this session has seen is no part of the data any more; SESSION \
                    RESUME, RESET or a new connection begins anew";
const SCAN_BEHIND: &str = "MASTERDOWN this follower is behind what the session has seen, and a SCAN \
                           can't go on at another node; nothing was done";
const LAPSED: &str = "MASTERDOWN this node has lost contact with the majority of the cluster, so it serves \
                      nothing; nothing was done";
const UNLED: &str = "MASTERDOWN nobody leads now; nothing was done";
const NOT_QUEUED: &str = "ERR on a follower this command is not allowed within MULTI: it is about the node or the connection";

/// Commands of one connection that may be at the leader at the same time.
const IN_FLIGHT_MAX: u32 = 1_024;
/// So long commands wait for somebody to lead, milliseconds: longer than a failover takes.
const UNLED_MS_MAX: u64 = 5_000;
/// Bytes of them that wait until the leader takes them, from which on the next ones wait themselves.
const UNSENT_BYTES_MAX: usize = 1 << 20;

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
        match replication.role() {
            Role::Leading => self.admit_leading(session, entry, out),
            Role::Following => self.admit_following(session, entry, args, out),
            Role::Loading if replication.leader().is_some() => {
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
        if needs_leader(entry) && self.may_wait_for_leader() {
            return Some(Ran::independent(Flow::Retry));
        }
        self.admit_idle(session, entry, text, out)
    }

    /// Whether a command may go on waiting for somebody to lead.
    fn may_wait_for_leader(&mut self) -> bool {
        if !self.node.agreement.is_managed() {
            return false;
        }
        let now_ms = self.writer.now_ms;
        let since_ms = *self.unled_since_ms.get_or_insert(now_ms);
        self.changes_seen.get_or_insert(self.node.replication.changes());
        now_ms.saturating_sub(since_ms) < UNLED_MS_MAX
    }

    /// If somebody leads again, the next time that nobody does begins anew.
    #[cold]
    pub(super) fn notice_leader(&mut self) {
        let led = match self.node.replication.role() {
            Role::Leading => self.node.agreement.lease.lapsed_ms().is_none(),
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
        if let Some(ran) = end_at_leader(session, entry, out) {
            return Some(ran);
        }
        if self.node.agreement.lease.lapsed_ms().is_some() && needs_leader(entry) {
            if self.may_wait_for_leader() {
                return Some(Ran::independent(Flow::Retry));
            }
            session.break_transaction();
            return Some(self.turn_down(session, entry, LAPSED, out));
        }
        if !self.node.replication.is_blocked() {
            return None;
        }
        if entry.spec.flags.has(Flags::WRITE) {
            return Some(self.turn_down(session, entry, NOREPLICAS, out));
        }
        if entry.spec.name == "exec"
            && session.queue().is_some_and(|queue| queue.flags().has(Flags::WRITE))
        {
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
        if let Some(ran) = end_at_leader(session, entry, out) {
            return Some(ran);
        }
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
        let begun_at = session.freshness.as_ref().and_then(|it| it.begun_at);
        let is_elsewhere = self.follower.leader.is_some_and(|leader| begun_at != Some(leader));
        if is_elsewhere
            && !session.restrictions.has(Restrictions::IN_FLIGHT)
            && let Some(ran) = end_at_leader(session, entry, out)
        {
            return Some(ran);
        }
        let state = session.freshness.as_ref().map_or(Transaction::None, |it| it.transaction);
        if state == Transaction::Multi {
            return self.queue_at_leader(session, entry, args, kind, out);
        }
        if session.restrictions.has(Restrictions::IN_FLIGHT) {
            return Some(self.follow(session, entry, kind, state, out));
        }
        if kind == Kind::Local {
            return None;
        }
        let is_local_queue = session.restrictions.has(Restrictions::IN_MULTI);
        if session.freshness.as_ref().is_some_and(|freshness| freshness.is_peer) {
            return Some(self.turn_down(session, entry, NOT_LEADING, out));
        }
        let writes = self.node.settings.freshness.follower_writes();
        if is_local_queue {
            return self.queue_here(session, entry, kind, writes, out);
        }
        let watches = state == Transaction::Watching;
        match kind {
            Kind::Write if writes != FollowerWrites::Forward => {
                Some(self.refuse_write(session, entry, args, writes, out))
            }
            Kind::Read | Kind::Scan if !watches => self.admit_read(session, entry, kind, out),
            Kind::End | Kind::Unwatch if !watches => {
                if kind == Kind::Unwatch && state == Transaction::Unwatched {
                    session.set_transaction(Transaction::None);
                }
                None
            }
            // Whatever was watched is not watched any more.
            Kind::Multi if state == Transaction::Unwatched || session.watched() > 0 => {
                Some(begin_doomed(session, out))
            }
            Kind::Watch if state == Transaction::Unwatched => {
                Reply::new(out, session.protocol).ok();
                Some(Ran::independent(Flow::Continue))
            }
            Kind::Watch | Kind::Multi if writes != FollowerWrites::Forward && !watches => None,
            _ => Some(self.forward(session, entry, kind, out)),
        }
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
        state: Transaction,
        out: &mut ReplyBuf,
    ) -> Ran {
        let writes = self.node.settings.freshness.follower_writes();
        let goes = match kind {
            Kind::Read | Kind::Asks => true,
            Kind::Write | Kind::Watch | Kind::Multi => {
                writes == FollowerWrites::Forward && state != Transaction::Unwatched
            }
            Kind::Unwatch => state == Transaction::Watching,
            Kind::Scan | Kind::End | Kind::Local => false,
        };
        if goes && self.follower.leader.is_some() {
            return self.forward(session, entry, kind, out);
        }
        Ran::independent(Flow::Retry)
    }

    /// Between MULTI and EXEC, both at the leader: everything is.
    fn queue_at_leader(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        args: Args<'_>,
        kind: Kind,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        let in_flight = session.restrictions.has(Restrictions::IN_FLIGHT);
        if is_about_connection(entry) {
            return match (in_flight, entry.spec.name) {
                (true, _) => Some(Ran::independent(Flow::Retry)),
                (false, "quit" | "reset") => None,
                (false, _) => {
                    session.abandon_leader();
                    Some(self.turn_down(session, entry, NOT_QUEUED, out))
                }
            };
        }
        let ran = self.forward(session, entry, kind, out);
        if ran.flow == Flow::Forward
            && entry.spec.name == "select"
            && let (Some(db @ 0..=15), Some(freshness)) =
                (parse_i64(args.get(1)), &mut session.freshness)
        {
            freshness.selects = Some(db as u8);
        }
        Some(ran)
    }

    /// Within a transaction that is queued on this node: it began when the node led, or it reads only.
    fn queue_here(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        kind: Kind,
        writes: FollowerWrites,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        if kind == Kind::Write && writes != FollowerWrites::Forward {
            return Some(self.turn_down(session, entry, READONLY, out));
        }
        if entry.spec.name != "exec" {
            return None;
        }
        let flags = session.queue().map_or(Flags::NONE, |queue| queue.flags());
        if writes == FollowerWrites::Forward || flags.has(Flags::WRITE) {
            session.break_transaction();
            return None;
        }
        match self.judge_read(session) {
            Verdict::Serve => None,
            Verdict::Wait => Some(Ran::independent(Flow::Retry)),
            Verdict::Lost | Verdict::Forward => {
                session.break_transaction();
                None
            }
        }
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
            return match kind {
                // Were it refused, what was sent behind it would be done command by command.
                Kind::Multi => begin_doomed(session, out),
                _ => self.turn_down(session, entry, NO_LEADER, out),
            };
        };
        let freshness = session.freshness.get_or_insert_default();
        if freshness.in_flight >= IN_FLIGHT_MAX || freshness.unsent_bytes >= UNSENT_BYTES_MAX {
            return Ran::independent(Flow::Retry);
        }
        let before = freshness.transaction;
        let is_exec = entry.spec.name == "exec";
        let after = match (kind, before) {
            (Kind::Watch, Transaction::None) => Transaction::Watching,
            (Kind::Multi, Transaction::None | Transaction::Watching) => Transaction::Multi,
            (Kind::End, Transaction::Multi) | (Kind::Unwatch, Transaction::Watching) => {
                Transaction::None
            }
            _ => before,
        };
        let selects = if after == Transaction::None { freshness.selects.take() } else { None };
        if before == Transaction::None {
            freshness.begun_at = Some(leader);
        }
        freshness.errand = Some(Errand {
            to: leader,
            begins: kind == Kind::Multi,
            heard: true,
            writes: is_exec || kind == Kind::Write && before != Transaction::Multi,
            patient: entry.spec.flags.has(Flags::BLOCKING),
            within: before == Transaction::Multi,
            seen: after != Transaction::Multi,
            selects: selects.filter(|_| is_exec),
        });
        if after != before {
            session.set_transaction(after);
        }
        Ran::independent(Flow::Forward)
    }

    fn refuse_write(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        args: Args<'_>,
        writes: FollowerWrites,
        out: &mut ReplyBuf,
    ) -> Ran {
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
        if session.freshness.as_ref().is_some_and(|it| it.transaction == Transaction::Multi) {
            session.abandon_leader();
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

/// Whether a command is about data, so that only who leads may run it.
fn needs_leader(entry: &Entry) -> bool {
    match Kind::of(entry) {
        Kind::Write | Kind::Read | Kind::Scan | Kind::Watch | Kind::Asks => true,
        Kind::End => entry.spec.name == "exec",
        Kind::Multi | Kind::Unwatch | Kind::Local => false,
    }
}

/// What a session has begun at a leader that is none any more is over.
fn end_at_leader(session: &mut Session, entry: &Entry, out: &mut ReplyBuf) -> Option<Ran> {
    if !session.restrictions.has(Restrictions::AT_LEADER) {
        return None;
    }
    session.abandon_leader();
    if !session.restrictions.has(Restrictions::AT_LEADER) {
        return None;
    }
    match Kind::of(entry) {
        // Nobody watches the keys any more.
        Kind::Multi => return Some(begin_doomed(session, out)),
        Kind::Unwatch => session.set_transaction(Transaction::None),
        _ => {}
    }
    None
}

/// MULTI, of a transaction that will not be executed.
fn begin_doomed(session: &mut Session, out: &mut ReplyBuf) -> Ran {
    session.set_transaction(Transaction::None);
    session.begin_transaction();
    session.break_transaction();
    Reply::new(out, session.protocol).ok();
    Ran::independent(Flow::Continue)
}

#[cfg(test)]
mod tests;
