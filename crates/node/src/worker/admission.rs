//! Whether a command may run now: the checks that plain sessions on a quiet node never pay for.
//!
//! Called only when the session is restricted in some way or the node is special (see
//! [`crate::session::Restrictions`], [`crate::node::Node::special`]).

use trefoil_commands::Flags;
use trefoil_wire::Args;
use trefoil_wire::resp::{Protocol, Reply, ReplyBuf};

use crate::auth;
use crate::clients::Mark;
use crate::handler::Flow;
use crate::pause::Held;
use crate::session::{Restrictions, Session, Silence};
use crate::table::Entry;

use super::{Prepared, Ran, Worker};

const NOAUTH: &str = "NOAUTH Authentication required.";

impl Worker {
    /// What came of the command already, if it is not to be run the plain way.
    #[cold]
    pub(super) fn admit(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        prepared: &Prepared,
        args: Args<'_>,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        let restrictions = session.restrictions;
        if restrictions.has(Restrictions::SILENT) || restrictions.has(Restrictions::NO_TOUCH) {
            return Some(self.run_aside(session, entry, prepared, args, out));
        }
        if restrictions.has(Restrictions::UNAUTHENTICATED) {
            if !auth::is_required(&self.node.settings) {
                session.restrictions.clear(Restrictions::UNAUTHENTICATED);
            } else if !entry.spec.flags.has(Flags::NO_AUTH) {
                return Some(self.reject(session, NOAUTH, out));
            }
        }
        if session.is_peer()
            && let Some(ran) = self.refuse_peer(session, out)
        {
            return Some(ran);
        }
        if let Some(held) = self.node.held(self.writer.now_ms)
            && held.holds(entry)
        {
            return Some(Ran::independent(Flow::Retry));
        }
        if restrictions.has(Restrictions::SUBSCRIBED)
            && session.protocol == Protocol::Resp2
            && !is_for_subscribers(entry)
        {
            return Some(self.reject(session, &not_for_subscribers(entry), out));
        }
        if let Some(ran) = self.admit_by_role(session, entry, args, out) {
            return Some(ran);
        }
        if session.restrictions.has(Restrictions::IN_MULTI)
            && !entry.spec.flags.has(Flags::NOT_QUEUED)
        {
            return Some(self.queue(session, entry, args, out));
        }
        None
    }

    /// Begins a pause. False: a command that began before it may still be running on another worker;
    /// to be tried again when woken.
    pub(crate) fn pause(&mut self, held: Held, until_ms: u64) -> bool {
        self.node.pause(held, until_ms);
        let alone = self.pass.try_alone(&self.node.exclusive);
        if alone {
            self.writer.hides_expired = true;
            self.leave_alone();
        }
        alone
    }

    /// Refuses what is no command, or has too few or too many arguments.
    #[cold]
    pub(super) fn reject(&mut self, session: &mut Session, text: &str, out: &mut ReplyBuf) -> Ran {
        self.node.counters.on_error(text);
        session.break_transaction();
        match session.silence {
            Silence::Always => {}
            Silence::Next => {
                session.silence = Silence::None;
                session.restrictions.clear(Restrictions::SILENT);
            }
            Silence::None | Silence::This => Reply::new(out, session.protocol).error(text),
        }
        Ran::independent(Flow::Continue)
    }

    /// Runs a command of a session that drops its replies, or whose reads are no uses. The command
    /// may end or begin either.
    fn run_aside(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        prepared: &Prepared,
        args: Args<'_>,
        out: &mut ReplyBuf,
    ) -> Ran {
        let (start, before) = (out.position(), session.silence);
        if before == Silence::Next {
            session.silence = Silence::This;
        }
        // TOUCH is a use on purpose.
        let touches = entry.spec.name == "touch";
        self.writer.no_touch = session.restrictions.has(Restrictions::NO_TOUCH) && !touches;
        session.restrictions.clear(Restrictions::SILENT);
        session.restrictions.clear(Restrictions::NO_TOUCH);
        let ran = self.run(session, args, prepared, out);
        self.writer.no_touch = false;
        if ran.flow == Flow::Retry {
            session.silence = before;
        }
        if ran.flow == Flow::Forward
            && matches!(session.silence, Silence::Always | Silence::This)
            && let Some(errand) =
                session.freshness.as_mut().and_then(|freshness| freshness.errand.as_mut())
        {
            errand.heard = false;
        }
        match session.silence {
            Silence::None | Silence::Next => {}
            Silence::Always => out.truncate_to(start),
            Silence::This => {
                out.truncate_to(start);
                session.silence = Silence::None;
            }
        }
        if session.silence != Silence::None {
            session.restrictions.set(Restrictions::SILENT);
        }
        if session.record.is_marked(Mark::NO_TOUCH) {
            session.restrictions.set(Restrictions::NO_TOUCH);
        }
        ran
    }
}

/// What a RESP2 session may do while it is subscribed: it could not tell other replies from messages.
fn is_for_subscribers(entry: &Entry) -> bool {
    const ALLOWED: [&str; 9] = [
        "subscribe",
        "unsubscribe",
        "psubscribe",
        "punsubscribe",
        "ssubscribe",
        "sunsubscribe",
        "ping",
        "quit",
        "reset",
    ];
    ALLOWED.contains(&entry.full_name.as_str())
}

fn not_for_subscribers(entry: &Entry) -> String {
    format!(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
         allowed in this context",
        entry.full_name
    )
}
