//! Messages between workers. How they travel, and how a sleeping worker is woken, is the shell's.

use crate::pubsub::Delivery;

/// What a worker is told by another thread.
pub enum Mail {
    /// Take a turn: a gate opened, or more of the log is durable.
    Wake,
    /// A message for subscribers among this worker's connections.
    Deliver(Delivery),
    /// These connections of this worker are to be closed.
    Kill(Vec<Address>),
}

/// Where a connection is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    /// The worker that it stays on.
    pub worker: u32,
    /// Its place in that worker's list; reused after it is closed.
    pub slot: u32,
    /// The session's id; never reused. Tells whether the place still holds the same connection.
    pub id: u64,
}

/// Carries mail.
pub trait Post: Send + Sync {
    /// Puts mail into a worker's mailbox and wakes it.
    fn post(&self, worker: u32, mail: Mail);

    /// Makes the peers thread look at its orders, the log and the applier again.
    fn wake_peers(&self) {}

    /// Makes workers take a turn whose clients wait for a record to be released or applied.
    fn wake_waiting(&self) {}

    /// Makes the control thread look at what the cluster is asked.
    fn wake_control(&self) {}

    /// Asks the process to stop cleanly, soon (SHUTDOWN).
    fn stop_process(&self) {}
}
