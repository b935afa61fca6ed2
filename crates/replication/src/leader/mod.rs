//! The leader's side: what each follower has, what goes to it next, what is committed.
//!
//! It knows positions and bytes under way, never a record. One instance leads in one epoch.

mod action;
mod options;
mod row;

pub use action::{CloseReason, LeaderAction, LeaderEvent};
pub use options::{LeaderOptions, LeaderStart, LogState, MaxLag, SnapshotReady};
pub use row::{FollowerRow, RowState};

use trefoil_clock::{Lsn, NodeId};
use trefoil_wire::peer::{Fence, Message};

use crate::{AckPolicy, LinkId, LocalRule};

/// Why a node can't be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForgetError {
    /// It is not in the electable set.
    NotAMember,
    /// It is attached: it would be back at once.
    Attached,
}

/// See the module.
#[derive(Debug)]
pub struct Leader {
    options: LeaderOptions,
    start: LeaderStart,
    policy: AckPolicy,
}

#[allow(unused_variables, missing_docs)]
impl Leader {
    #[must_use]
    pub fn new(
        options: LeaderOptions,
        start: LeaderStart,
        policy: AckPolicy,
        local: LocalRule,
        now_ms: u64,
    ) -> Leader {
        Leader { options, start, policy }
    }
    /// Nothing is committed any more but together with this record, the first of the own epoch.
    pub fn begin_epoch(&mut self, barrier: Lsn) {}
    pub fn fence(&self) -> Fence {
        Fence {
            cluster: self.options.cluster,
            shard: self.options.shard,
            epoch: self.start.epochs.last().map(|entry| entry.epoch).unwrap_or_default(),
            sender: self.options.node,
        }
    }
    pub fn on_link(&mut self, now_ms: u64, link: LinkId, node: NodeId, out: &mut Vec<LeaderAction>) {}
    pub fn on_link_down(&mut self, now_ms: u64, link: LinkId, out: &mut Vec<LeaderAction>) {}
    pub fn on_message(
        &mut self,
        now_ms: u64,
        link: LinkId,
        fence: &Fence,
        message: &Message<'_>,
        out: &mut Vec<LeaderAction>,
    ) {
    }
    pub fn on_log(&mut self, now_ms: u64, log: LogState, out: &mut Vec<LeaderAction>) {}
    pub fn on_streamed(
        &mut self,
        now_ms: u64,
        link: LinkId,
        last: Lsn,
        bytes: u64,
        out: &mut Vec<LeaderAction>,
    ) {
    }
    pub fn on_gone(&mut self, now_ms: u64, link: LinkId, out: &mut Vec<LeaderAction>) {}
    pub fn on_snapshot_ready(
        &mut self,
        now_ms: u64,
        snapshot: SnapshotReady,
        out: &mut Vec<LeaderAction>,
    ) {
    }
    pub fn on_snapshot_failed(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {}
    pub fn on_chunk_sent(
        &mut self,
        now_ms: u64,
        link: LinkId,
        bytes: u64,
        out: &mut Vec<LeaderAction>,
    ) {
    }
    pub fn set_policy(&mut self, now_ms: u64, policy: AckPolicy, out: &mut Vec<LeaderAction>) {}
    pub fn set_local(&mut self, now_ms: u64, local: LocalRule, out: &mut Vec<LeaderAction>) {}
    pub fn set_max_lag(&mut self, max_lag: MaxLag) {}
    pub fn set_retained_bytes_max(&mut self, bytes: u64) {}
    pub fn forget(
        &mut self,
        now_ms: u64,
        node: NodeId,
        out: &mut Vec<LeaderAction>,
    ) -> Result<(), ForgetError> {
        Err(ForgetError::NotAMember)
    }
    pub fn on_members_persisted(
        &mut self,
        now_ms: u64,
        members: &[NodeId],
        out: &mut Vec<LeaderAction>,
    ) {
    }
    pub fn on_timeout(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {}
    pub fn deadline(&self) -> Option<u64> {
        None
    }
    pub fn commit(&self) -> Lsn {
        self.start.committed
    }
    pub fn released(&self) -> Lsn {
        self.start.committed
    }
    /// One row per follower, by node.
    pub fn rows(&self, now_ms: u64) -> Vec<FollowerRow> {
        Vec::new()
    }
    /// Members that are attached and have caught up.
    pub fn attached_in_sync(&self) -> usize {
        0
    }
    /// Acknowledgements that the policy needs now; none: it can't be met (`sync` without members).
    pub fn required_acks(&self) -> Option<usize> {
        Some(0)
    }
    /// New writes are to be refused: too few members are attached, and that was not waived.
    pub fn is_blocked(&self) -> bool {
        false
    }
    pub fn is_degraded(&self) -> bool {
        false
    }
    /// The electable set in force.
    pub fn members(&self) -> Vec<NodeId> {
        self.start.members.clone()
    }
    /// The log may drop records up to and with this one; behind it somebody needs them.
    pub fn needed_after(&self) -> Lsn {
        self.start.log.end
    }
    pub fn validate(&self) {}
}
