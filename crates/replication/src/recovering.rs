//! A leader that did not stop cleanly: it learns what its members hold before it leads again.

use trefoil_clock::{ClusterId, Epoch, EpochTable, Lsn, NodeId, Position, ShardId};
use trefoil_wire::peer::{Fence, Message};

use crate::{Acks, LinkId, RunHead};

/// What a recovering leader begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveringOptions {
    /// This node.
    pub node: NodeId,
    /// Its history.
    pub cluster: ClusterId,
    /// The shard.
    pub shard: ShardId,
    /// The electable set, as persisted.
    pub members: Vec<NodeId>,
    /// The acknowledgements that commits needed.
    pub acks: Acks,
    /// With `async`: how long to wait for all members.
    pub async_wait_ms: u64,
    /// A link from which nothing came for so long while records are pulled is closed.
    pub link_timeout_ms: u64,
}

/// Something for the shell to do, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecoveringAction {
    /// Put a message on the link, fenced by [`Recovering::fence`].
    Send {
        /// Where.
        link: LinkId,
        /// What.
        message: Message<'static>,
    },
    /// Take the runs of the message that is being handled into log and store.
    Append {
        /// Their last record.
        last: Lsn,
    },
    /// Close the link.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Members know a newer epoch: this node must not lead, somebody else does or did.
    StepDown {
        /// The newest one seen.
        epoch: Epoch,
    },
    /// Everything that can have been committed is in the log: lead in this epoch.
    Lead {
        /// Above all that were seen.
        epoch: Epoch,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Recovering {
    options: RecoveringOptions,
    epochs: EpochTable,
}

#[allow(unused_variables, missing_docs)]
impl Recovering {
    #[must_use]
    pub fn new(
        options: RecoveringOptions,
        end: Position,
        epochs: EpochTable,
        now_ms: u64,
        out: &mut Vec<RecoveringAction>,
    ) -> Recovering {
        Recovering { options, epochs }
    }
    pub fn fence(&self) -> Fence {
        Fence {
            cluster: self.options.cluster,
            shard: self.options.shard,
            epoch: self.epochs.last().map(|entry| entry.epoch).unwrap_or_default(),
            sender: self.options.node,
        }
    }
    pub fn on_link(&mut self, now_ms: u64, link: LinkId, node: NodeId, out: &mut Vec<RecoveringAction>) {}
    pub fn on_link_down(&mut self, now_ms: u64, link: LinkId, out: &mut Vec<RecoveringAction>) {}
    pub fn on_message(
        &mut self,
        now_ms: u64,
        link: LinkId,
        fence: &Fence,
        message: &Message<'_>,
        runs: &[RunHead],
        out: &mut Vec<RecoveringAction>,
    ) {
    }
    /// A person says: lead with what is here.
    pub fn force(&mut self, now_ms: u64, out: &mut Vec<RecoveringAction>) {}
    pub fn on_timeout(&mut self, now_ms: u64, out: &mut Vec<RecoveringAction>) {}
    pub fn deadline(&self) -> Option<u64> {
        None
    }
    /// Members that reported, and how many are needed.
    pub fn reports(&self) -> (usize, usize) {
        (0, 0)
    }
    pub fn validate(&self) {}
}
