//! What a node and the cluster's agreement tell each other: the control thread decides nothing about
//! data, and the peers thread nothing about who leads.
//!
//! Invariants: a wish that is replaced by a newer one of its kind was not needed any more; an answer
//! is kept until it is asked for, or too many others came.

mod failovers;
mod lease;
mod membership;
mod requests;
mod wishes;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use trefoil_clock::Epoch;
use trefoil_cluster::control::ControlView;

use crate::node::Node;

pub use failovers::{FailoverState, Failovers};
pub use lease::Lease;
pub use membership::{Membership, Seen};
pub use requests::{Answer, Asked, Requests};
pub use wishes::{Electable, Resigned, Standing, Wishes};

/// See the module.
pub struct Agreement {
    /// Replies of a leader leave under it.
    pub lease: Lease,
    /// What the peers thread wants agreed upon.
    pub wishes: Wishes,
    /// What people want.
    pub requests: Requests,
    /// The failover that this node's clients asked for.
    pub failovers: Failovers,
    /// What gossip shows.
    pub membership: Membership,
    managed: AtomicBool,
    view: Mutex<Option<Arc<ControlView>>>,
    /// The newest epoch that this node saw granted, and when it did, milliseconds of the lease's clock.
    reign: Mutex<Option<(Epoch, u64)>>,
}

impl Default for Agreement {
    fn default() -> Agreement {
        Agreement {
            lease: Lease::free(),
            wishes: Wishes::default(),
            requests: Requests::default(),
            failovers: Failovers::default(),
            membership: Membership::default(),
            managed: AtomicBool::new(false),
            view: Mutex::default(),
            reign: Mutex::default(),
        }
    }
}

impl Node {
    /// Told by the control thread: the lease is held until then. What waited for it goes on.
    pub fn renew_lease(&self, until_ms: u64) {
        if self.agreement.lease.renew(until_ms) {
            self.restrain(self.replication.is_blocked());
            self.replication.note_change();
            self.post.wake_waiting();
        }
    }

    /// Told by the control thread: somebody may have waited for an answer or for what is agreed upon.
    pub fn note_answer(&self) {
        self.replication.note_change();
        self.post.wake_waiting();
    }

    /// Asked by the control thread: if the lease has lapsed, nothing is served any more. Whether that is
    /// news.
    pub fn notice_lapse(&self) -> bool {
        let lapsed = self.agreement.lease.note_lapse();
        if lapsed {
            self.restrain(true);
        }
        lapsed
    }
}

impl Agreement {
    /// Whether the cluster decides who leads: epochs are granted, nobody begins one by itself.
    #[inline]
    #[must_use]
    pub fn is_managed(&self) -> bool {
        self.managed.load(Ordering::Acquire)
    }

    /// Told at the start, and by the control thread.
    pub fn set_managed(&self, managed: bool) {
        self.managed.store(managed, Ordering::Release);
    }

    /// What is agreed upon, as of the last change. None: not yet known.
    #[must_use]
    pub fn view(&self) -> Option<Arc<ControlView>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Told by the control thread.
    pub fn set_view(&self, view: Arc<ControlView>) {
        self.note_reign(&view);
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Some(view);
    }

    /// An epoch that was there when this node began is of unknown age.
    fn note_reign(&self, view: &ControlView) {
        let epoch = |view: &ControlView| view.state.shards.get(&view.shard).map(|it| it.epoch);
        let before = self.view().and_then(|before| epoch(&before));
        if let (Some(before), Some(epoch)) = (before, epoch(view))
            && before < epoch
        {
            let now_ms = self.lease.now_ms();
            *self.reign.lock().unwrap_or_else(PoisonError::into_inner) = Some((epoch, now_ms));
        }
    }

    /// For how long this node has known of this epoch, milliseconds. None: since before it began.
    pub(crate) fn reign_ms(&self, epoch: Epoch) -> Option<u64> {
        let reign = *self.reign.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, since_ms) = reign.filter(|(granted, _)| *granted == epoch)?;
        Some(self.lease.now_ms().saturating_sub(since_ms))
    }
}
