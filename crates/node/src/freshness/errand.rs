//! A command on its way to the leader.

use trefoil_clock::NodeId;

use crate::transaction::Queue;

/// How a command goes to the leader, and what is done with its reply.
pub struct Errand {
    /// Who is to do it.
    pub to: NodeId,
    /// The reply is passed on. If not, the client does not want to hear it (CLIENT REPLY).
    pub heard: bool,
    /// It may change data: whether it did is unknown if the answer is lost.
    pub writes: bool,
    /// It may take as long as it likes (WAIT).
    pub patient: bool,
    /// EXEC: the commands that were queued here, to be queued there first.
    pub queue: Option<Box<Queue>>,
    /// EXEC: it depends on keys that are watched over the connection that there is.
    pub watched: bool,
    /// The database that is selected once this (EXEC) was carried out.
    pub selects: Option<u8>,
}
