//! A command on its way to the leader.

use trefoil_clock::NodeId;

/// How a command goes to the leader, and what is done with its reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errand {
    /// Who is to do it.
    pub to: NodeId,
    /// The reply is passed on. If not, the client does not want to hear it (CLIENT REPLY).
    pub heard: bool,
    /// It may change data: whether it did is unknown if the answer is lost.
    pub writes: bool,
    /// It may take as long as it likes (WAIT).
    pub patient: bool,
    /// It is queued by a transaction, or ends one: nothing of ours may come before it.
    pub within: bool,
    /// It is a MULTI.
    pub begins: bool,
    /// The reply is held back until the session's clock covers it.
    pub seen: bool,
    /// The database that is selected once this (EXEC) was carried out.
    pub selects: Option<u8>,
}

/// What a session has begun at the leader.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Transaction {
    /// Nothing.
    #[default]
    None,
    /// WATCH: what is read until EXEC must be the leader's.
    Watching,
    /// MULTI: commands are queued there.
    Multi,
    /// WATCH was given and the link is lost, so nobody watches: the next MULTI comes to nothing.
    Unwatched,
}
