//! What others want to know of a follower, and its invariants.

use trefoil_clock::{ClusterId, EpochTable, Lsn, Position};

use super::{Follower, FollowerState, Stage, Work};

impl Follower {
    /// What it does.
    #[must_use]
    pub fn state(&self) -> FollowerState {
        match (&self.work, &self.link) {
            (Work::Cutting, _) => FollowerState::Cutting,
            (Work::Installing(_), _) => FollowerState::Installing,
            (Work::None, None) => FollowerState::Detached,
            (Work::None, Some(link)) => match &link.stage {
                Stage::Holding | Stage::Asking => FollowerState::Asking,
                Stage::Streaming => FollowerState::Streaming,
                Stage::Fetching(fetch) => {
                    FollowerState::Fetching { written: fetch.written, bytes: fetch.offer.bytes }
                }
                Stage::GivingTail => FollowerState::GivingTail,
            },
        }
    }

    /// Whether reads may be served: what is shown was committed, and is not from before a restart.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether all is here that any leader so far may have committed: the one that is followed has
    /// committed a record of its own epoch, and everything up to there is in the log.
    #[must_use]
    pub fn has_all_committed(&self) -> bool {
        let Some(led) = self.epochs.last() else { return false };
        let told = self.epochs.position(self.told_commit);
        // In the first epoch of all there is nothing from before it.
        let is_its_own = told.epoch == led.epoch || led.first_lsn <= Lsn(1);
        self.is_streaming() && self.received >= self.told_commit && is_its_own
    }

    /// When the newest probe was sent whose answer is applied: what is shown is no older.
    #[must_use]
    pub fn fresh_at(&self) -> Option<u64> {
        self.probes.fresh_at_ms()
    }

    /// The last record that was taken in.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// Its history.
    #[must_use]
    pub fn epochs(&self) -> &EpochTable {
        &self.epochs
    }

    /// The history's cluster, which is another one after an adoption.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.options.cluster
    }

    /// What may be applied.
    #[must_use]
    pub fn commit(&self) -> Lsn {
        self.commit
    }

    /// What must not be cut; worth writing down now and then.
    #[must_use]
    pub fn safe(&self) -> Lsn {
        self.safe
    }

    /// What readers see.
    #[must_use]
    pub fn applied(&self) -> Lsn {
        self.applied
    }

    /// Where the leader's log ended when it last said so.
    #[must_use]
    pub fn leader_end(&self) -> Lsn {
        self.leader_end.max(self.end.lsn)
    }

    /// Panics if an invariant does not hold; for tests and simulations.
    pub fn validate(&self) {
        let end = self.end.lsn;
        assert_eq!(self.epochs.position(end), self.end, "the end is of the history");
        assert!(self.commit <= end, "only what is in the log is committed");
        assert!(self.safe <= end, "only what is in the log is safe here");
        assert!(self.flushed <= self.received, "what is synced was written");
        assert!(self.received <= end, "what was written was taken in");
        assert!(!self.ready || self.welcomed, "who never had a leader is not ready");
        let busy = !matches!(self.work, Work::None);
        let streams = self.is_streaming();
        assert!(!(busy && streams), "nothing is taken in while log and store are replaced");
    }
}
