//! Records as a leader has sent them: for the log and for the applier, in one copy.

use std::ops::Range;

use trefoil_clock::{Epoch, Lsn};
use trefoil_store::record::Stamp;

/// Runs of one message, dense, in order.
#[derive(Debug)]
pub struct Received {
    /// The runs; at least one.
    pub runs: Vec<ReceivedRun>,
    /// What they are ranges of.
    pub bytes: Vec<u8>,
}

/// Records with consecutive LSNs of one epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivedRun {
    /// The epoch in which they were made.
    pub epoch: Epoch,
    /// The stamp of the first record.
    pub base: Stamp,
    /// Records, at least 1.
    pub count: u32,
    /// Their bytes, as the log has them.
    pub range: Range<usize>,
}

impl Received {
    /// The last record in it.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.runs.last().map_or(Lsn::ZERO, |run| Lsn(run.base.lsn.0 + u64::from(run.count) - 1))
    }
}
