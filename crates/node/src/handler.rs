//! What a command about the connection or the node sees of a call.

use trefoil_clock::Lsn;
use trefoil_commands::CommandError;
use trefoil_wire::Args;
use trefoil_wire::resp::{Reply, ReplyBuf};

use crate::session::Session;
use crate::worker::Worker;

/// The code of a command about the connection or the node.
pub type NodeHandler = fn(&mut NodeCall<'_>) -> Result<Flow, CommandError>;

/// What the connection does after a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// The next command.
    Continue,
    /// It is closed once the replies are sent.
    Close,
    /// Nothing was done; the command is run again when the worker is woken.
    Retry,
    /// The leader is to do it: the shell sends it there, see
    /// [`crate::session::Session::take_errand`], and passes the reply on.
    Forward,
}

/// One call.
pub struct NodeCall<'c> {
    /// The worker that runs it.
    pub worker: &'c mut Worker,
    /// The session that it came from.
    pub session: &'c mut Session,
    /// The arguments, the command's name first.
    pub args: Args<'c>,
    /// Where the reply goes.
    pub out: &'c mut ReplyBuf,
    /// The reply may leave once this is durable; zero at first.
    pub depends_on: Lsn,
}

impl NodeCall<'_> {
    /// The reply, in the session's protocol.
    pub fn reply(&mut self) -> Reply<'_> {
        Reply::new(self.out, self.session.protocol)
    }
}
