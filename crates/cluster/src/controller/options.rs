//! Settings of the raft leader's controller.

/// Times and bounds, milliseconds where nothing else is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControllerOptions {
    /// A leader that a majority of the voters has not heard for so long is revoked.
    pub failover_ms: u64,
    /// What two clocks may differ by over one lease.
    pub drift_ms: u64,
    /// An election waits so long for reports beyond those that are needed.
    pub settle_ms: u64,
    /// It waits so long for the node that is to lead.
    pub preferred_ms: u64,
    /// Without acknowledgements of followers: it waits so long, counted from the revocation, for all that may lead.
    pub async_ms: u64,
    /// Whoever was not heard for so long is not elected.
    pub candidate_ms: u64,
    /// A leader may take so long to hand over.
    pub handover_ms: u64,
    /// And the raft leader waits so much longer for its word.
    pub handover_slack_ms: u64,
    /// How soon an order that was not answered is given again.
    pub repeat_ms: u64,
    /// Leadership of the control plane is handed on at most this often.
    pub transfer_ms: u64,
    /// Voters are looked after this often.
    pub maintain_ms: u64,
    /// Whoever was heard within this time is alive.
    pub alive_ms: u64,
    /// A voter that was not heard for so long is replaced if there is somebody.
    pub dead_ms: u64,
    /// An even number of voters is kept for so long for want of another one.
    pub even_ms: u64,
    /// So many failovers within `flap_window_ms` are not held up.
    pub flaps_free: usize,
    /// See `flaps_free`.
    pub flap_window_ms: u64,
    /// How long the one after that waits; doubled each time.
    pub flap_hold_ms: u64,
    /// At most.
    pub flap_hold_max_ms: u64,
}

impl Default for ControllerOptions {
    fn default() -> ControllerOptions {
        ControllerOptions {
            failover_ms: 300,
            drift_ms: 25,
            settle_ms: 100,
            preferred_ms: 500,
            async_ms: 600,
            candidate_ms: 1_000,
            handover_ms: 5_000,
            handover_slack_ms: 500,
            repeat_ms: 50,
            transfer_ms: 5_000,
            maintain_ms: 500,
            alive_ms: 2_000,
            dead_ms: 30_000,
            even_ms: 5_000,
            flaps_free: 3,
            flap_window_ms: 60_000,
            flap_hold_ms: 5_000,
            flap_hold_max_ms: 60_000,
        }
    }
}
