//! The failover that a client of this node asked for and does not wait for: what became of it.
//!
//! Invariant: one at a time, so that its answer is found again.

use std::sync::{Mutex, PoisonError};

use trefoil_clock::Epoch;
use trefoil_cluster::control::ControlView;
use trefoil_cluster::controller::Stage;
use trefoil_cluster::state::Granted;

use super::{Answer, Requests};

/// How far a failover is, in Redis's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailoverState {
    /// There is none.
    None,
    /// The next leader is to have everything first.
    WaitingForSync,
    /// The old leader leads no more, the next one not yet.
    InProgress,
}

impl FailoverState {
    /// As INFO says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FailoverState::None => "no-failover",
            FailoverState::WaitingForSync => "waiting-for-sync",
            FailoverState::InProgress => "failover-in-progress",
        }
    }

    /// What is agreed upon says of it.
    #[must_use]
    pub fn seen_in(view: &ControlView) -> FailoverState {
        let revoked =
            view.state.shards.get(&view.shard).is_some_and(|it| it.granted == Granted::Revoked);
        match view.stage {
            _ if revoked => FailoverState::InProgress,
            Some(Stage::HandingOver { .. }) => FailoverState::WaitingForSync,
            _ => FailoverState::None,
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Failovers(Mutex<All>);

#[derive(Default)]
struct All {
    /// The request, and the epoch that is to end.
    asked: Option<(u64, Epoch)>,
    last: Option<Answer>,
}

impl Failovers {
    /// One was asked for.
    pub fn begin(&self, request: u64, epoch: Epoch) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all = All { asked: Some((request, epoch)), last: None };
    }

    /// Whether one is under way; `present` is the epoch now. Looks for its answer, which may come after
    /// the next leader has begun.
    pub fn is_under_way(&self, requests: &Requests, present: Epoch) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((request, asked_in)) = all.asked else { return false };
        match requests.fetch(request) {
            Some(answer) => {
                *all = All { asked: None, last: Some(answer) };
                false
            }
            None => asked_in == present,
        }
    }

    /// What came of the last one.
    pub fn last(&self) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }
}
