//! Commands that another node has forwarded: they are run only while this one leads, and if it does not,
//! the other hears that nothing was done, so that it can ask who leads by then.
//!
//! Invariant: behind a command of such a connection that was refused none is run: the connection ends.

use trefoil_clock::{Lsn, Position};
use trefoil_replication::Token;
use trefoil_wire::resp::{Reply, ReplyBuf};

use crate::handler::Flow;
use crate::session::Session;
use crate::worker::{Ran, Worker};

/// The error's code that says to a node that its command was not carried out, nor any behind it. A
/// session token may follow: all that was answered before is part of the history up to there.
pub const NOT_DONE: &str = "NOTDONE";

/// Without contact to a majority, forwarded commands wait here for so long, milliseconds. By then somebody
/// else may be about to lead.
const LAPSED_MS_MAX: u64 = 300;

impl Worker {
    /// Whether other nodes' commands are run here.
    pub(crate) fn serves_peers(&self) -> bool {
        let lapsed_ms = self.node.agreement.lease.lapsed_ms();
        self.node.replication.is_leading() && lapsed_ms.is_none_or(|ms| ms < LAPSED_MS_MAX)
    }

    /// What another node hears whose command is not carried out, since this one does not lead, or not in
    /// the reign any more in which it was asked to. None: it is carried out.
    #[cold]
    pub(in crate::worker) fn refuse_peer(
        &mut self,
        session: &mut Session,
        out: &mut ReplyBuf,
    ) -> Option<Ran> {
        let reign = session.freshness.as_ref().and_then(|freshness| freshness.peer_of_reign)?;
        let replication = &self.node.replication;
        if replication.reign() == reign && self.serves_peers() {
            return None;
        }
        session.break_transaction();
        self.dismiss_peer(session, out);
        Some(Ran::independent(Flow::Close))
    }

    /// Tells another node that none of its commands that are not answered will be. Whether the session is
    /// that of one; the connection then ends.
    pub fn dismiss_peer(&self, session: &Session, out: &mut ReplyBuf) -> bool {
        let Some(reign) = session.freshness.as_ref().and_then(|it| it.peer_of_reign) else {
            return false;
        };
        let replication = &self.node.replication;
        let text = match replication.parted_at(reign) {
            Lsn::ZERO => format!("{NOT_DONE} this node does not lead any more"),
            last => {
                let position: Position = replication.epochs().position(last);
                let token = Token { cluster: replication.cluster(), position };
                format!("{NOT_DONE} {}", token.encode())
            }
        };
        Reply::new(out, session.protocol).error(&text);
        true
    }
}
