//! Recovering: a leader that did not stop cleanly asks its members what they hold, before it leads on
//! in a new epoch.

use std::sync::Arc;

use trefoil_clock::{Lsn, NodeId};
use trefoil_log::Disk;
use trefoil_replication::{LinkId, Recovering, RecoveringAction, RecoveringOptions};
use trefoil_wire::peer::{Fence, Message};

use super::following::{heads, received};
use super::{Part, Peers};
use crate::log::SHARD;
use crate::replication::Role;

/// With `async`: how long all members are waited for.
const ASYNC_WAIT_MS: u64 = 3_000;

/// See the module.
pub(super) struct Gathering {
    core: Recovering,
}

impl Gathering {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.core.deadline()
    }

    /// Where the log will end when all that was pulled is written.
    pub(super) fn end(&self) -> Lsn {
        self.core.end().lsn
    }
}

impl<D: Disk> Peers<D> {
    pub(super) fn begin_recovering(&mut self) {
        let identity = self.node.replication.identity();
        let epochs = self.node.replication.epochs();
        let end = epochs.position(self.log_end());
        let leader = super::leading::leader_options(&self.node, identity);
        let options = RecoveringOptions {
            node: identity.node,
            cluster: identity.cluster,
            shard: SHARD,
            members: self.members.nodes.clone(),
            acks: self.members.acks,
            async_wait_ms: ASYNC_WAIT_MS,
            heartbeat_ms: leader.heartbeat_ms,
            link_timeout_ms: leader.link_timeout_ms,
        };
        eprintln!(
            "trefoil: the last stop was not clean: {} members are asked what they hold before this \
             node leads again (REPLICAOF NO ONE leads at once, with what is here)",
            self.members.nodes.len()
        );
        // What is here may be cut off, and what is missing may have been acknowledged.
        self.node.replication.set_ready(false);
        Peers::<D>::publish_role(&self.node, Role::Recovering);
        self.node.log.set_needed_after(Some(self.log_state().floor));
        self.node.log.set_epochs(epochs.clone());
        self.node.log.set_urgent(true);
        self.node.replication.set_members(self.members.nodes.clone());
        self.node.applier.resume();
        let mut out = Vec::new();
        let core = Recovering::new(options, end, epochs, self.now_ms, &mut out);
        self.part = Part::Recovering(Gathering { core });
        self.gather(None, |_, _, actions| actions.append(&mut out));
    }

    pub(super) fn gather(
        &mut self,
        current: Option<&Message<'_>>,
        tell: impl FnOnce(&mut Recovering, u64, &mut Vec<RecoveringAction>),
    ) {
        let mut actions = Vec::new();
        let Part::Recovering(gathering) = &mut self.part else { return };
        tell(&mut gathering.core, self.now_ms, &mut actions);
        for action in actions {
            match action {
                RecoveringAction::Send { link, message } => {
                    let Part::Recovering(gathering) = &self.part else { return };
                    let fence = gathering.core.fence();
                    if let Some(out) = self.outbound.get_mut(&link) {
                        out.put(&fence, &message);
                    }
                }
                RecoveringAction::Append { last } => {
                    if let Some(Message::Append(append)) = current {
                        let received = Arc::new(received(append.runs));
                        self.node.log.push_received(Arc::clone(&received));
                        self.node.applier.push(received);
                        self.node.applier.set_commit(last);
                    }
                }
                RecoveringAction::Close { link } => {
                    if let Some(out) = self.outbound.get_mut(&link) {
                        out.close();
                    }
                }
                RecoveringAction::StepDown { epoch } => {
                    eprintln!(
                        "trefoil: members of this node know epoch {epoch}, in which another node \
                         leads: say whom this node is to follow (REPLICAOF host port)"
                    );
                    self.depose(epoch);
                }
                RecoveringAction::Lead { epoch } => self.begin_lead(epoch),
            }
        }
    }

    pub(super) fn on_reporter_link(&mut self, link: LinkId, peer: NodeId) {
        self.gather(None, |core, now_ms, out| core.on_link(now_ms, link, peer, out));
    }

    pub(super) fn on_reporter_message(
        &mut self,
        link: LinkId,
        fence: &Fence,
        message: &Message<'_>,
    ) {
        let runs = match message {
            Message::Append(append) => heads(append.runs),
            _ => Some(Vec::new()),
        };
        let Some(runs) = runs else {
            if let Some(out) = self.outbound.get_mut(&link) {
                out.close();
            }
            return;
        };
        self.gather(Some(message), |core, now_ms, out| {
            core.on_message(now_ms, link, fence, message, &runs, out);
        });
    }

    pub(super) fn on_reporter_gone(&mut self, link: LinkId) {
        self.gather(None, |core, now_ms, out| core.on_link_down(now_ms, link, out));
    }

    pub(super) fn on_recovering_timeout(&mut self) {
        let Part::Recovering(gathering) = &self.part else { return };
        if gathering.core.deadline().is_some_and(|deadline| deadline <= self.now_ms) {
            self.gather(None, |core, now_ms, out| core.on_timeout(now_ms, out));
        }
    }

    /// What is pulled is written by itself; the core counts what it was given.
    pub(super) fn tell_recovering_progress(&mut self) {}
}
