//! Single-leader replication as state machines: who follows whom, what is committed, who must cut.
//!
//! Nothing here reads a socket, a disk or a clock: messages and progress come in as calls, what is to
//! be done goes out as a list of actions, time is a number of milliseconds that only rises. Records
//! are known by position, epoch and count; their bytes never come here.
//!
//! Every core has the same shape: `on_<what happened>(now_ms, .., out)`, `on_timeout(now_ms, out)`
//! when [`Leader::deadline`] has come, `validate()` for tests and simulations. Actions are executed
//! in the order in which they were pushed.
//!
//! Invariants:
//! * What was committed stays committed: commit and released never go back in one core's life.
//! * A record is committed by members of the electable set only, fenced by cluster, shard and epoch.
//! * A follower's log is a prefix of its leader's history before anything is added to it.
//! * A follower never cuts below what it knows to be committed safely, unless a person said so.

mod commit;
mod follower;
mod fork;
mod leader;
mod policy;
mod recovering;
mod session;

pub use commit::LocalRule;
pub use follower::{
    AfterCut, Follower, FollowerAction, FollowerCloseReason, FollowerEvent, FollowerLog,
    FollowerOptions, FollowerState, Installed,
};
pub use leader::{
    CloseReason, FollowerRow, ForgetError, Leader, LeaderAction, LeaderEvent, LeaderOptions,
    LeaderStart, LogState, MaxLag, RowState, SnapshotReady,
};
pub use policy::{AckLevel, AckPolicy, Acks, OnLost};
pub use recovering::{Recovering, RecoveringAction, RecoveringOptions};
pub use session::{
    Consistency, Decision, Judgement, ReadView, SessionClock, Token, TokenError, decide, judge,
};

use trefoil_clock::{Epoch, Lsn};

/// A connection to another node, as the shell numbers them; never reused in a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// Records that stand in one frame: dense, of one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunHead {
    /// The epoch of all of them.
    pub epoch: Epoch,
    /// The first one.
    pub first: Lsn,
    /// How many; at least one.
    pub count: u32,
}

impl RunHead {
    /// The last record of the run.
    #[must_use]
    pub fn last(&self) -> Lsn {
        Lsn(self.first.0.saturating_add(u64::from(self.count)).saturating_sub(1))
    }
}
