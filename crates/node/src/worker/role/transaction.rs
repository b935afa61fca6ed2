//! Transactions on a follower: they are queued here and go to the leader as a whole, with EXEC.
//!
//! Until then nothing of them is anywhere else, so that a change of the leader costs them nothing. Only
//! what is watched is watched at the leader, over the session's connection to it; if that is lost, EXEC
//! comes to nothing, as if a key had changed.

use trefoil_commands::Flags;
use trefoil_wire::resp::{Reply, ReplyBuf};

use crate::freshness::Verdict;
use crate::handler::Flow;
use crate::session::Session;
use crate::settings::FollowerWrites;
use crate::table::Entry;
use crate::worker::{Ran, Worker};

use super::kind::{Kind, is_about_connection};
use super::{NOT_QUEUED, READONLY};

impl Worker {
    /// Within a transaction that is queued on this node.
    pub(super) fn queue_here(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        kind: Kind,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        let writes = self.node.settings.freshness.follower_writes();
        match entry.spec.name {
            "exec" => self.execute(session, entry, writes, out),
            "quit" | "reset" => None,
            "discard" => {
                session.abandon_leader();
                None
            }
            _ if kind == Kind::Write && writes != FollowerWrites::Forward => {
                Some(self.turn_down(session, entry, READONLY, out))
            }
            _ if is_about_connection(entry) && writes == FollowerWrites::Forward => {
                Some(self.turn_down(session, entry, NOT_QUEUED, out))
            }
            _ => None,
        }
    }

    /// EXEC. None: it is executed here, or it fails here.
    fn execute(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        writes: FollowerWrites,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        let queue = session.queue()?;
        let (is_broken, flags) = (queue.is_broken(), queue.flags());
        if is_broken {
            session.abandon_leader();
            return None;
        }
        let reign = self.node.replication.reign();
        let forwards = writes == FollowerWrites::Forward;
        if session.has_lost_watch(reign) || (forwards && session.watched() > 0) {
            session.abandon_leader();
            session.reset_transaction();
            Reply::new(out, session.protocol).null_array();
            return Some(Ran::independent(Flow::Continue));
        }
        if forwards || session.needs_leader() {
            let is_ours = queue_is_ours(session);
            if is_ours {
                session.abandon_leader();
                session.break_transaction();
                return None;
            }
            return Some(self.forward(session, entry, Kind::End, out));
        }
        if flags.has(Flags::WRITE) {
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
}

/// Whether a command was queued, while this node led, that is about this node or this connection.
fn queue_is_ours(session: &Session) -> bool {
    session.queue().is_some_and(|queue| queue.calls().any(|call| is_about_connection(call.entry)))
}
