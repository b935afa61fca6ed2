//! One follower, as the leader sees it.

use trefoil_clock::{Lsn, NodeId};

use super::flow::Flow;
use super::transfer::Transfer;
use crate::LinkId;
use crate::commit::Acked;

/// See the module.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) node: NodeId,
    /// Where its clients connect, as it said.
    pub(super) client_port: u16,
    /// What it acknowledged since it last asked to follow; 0 before its first acknowledgement.
    pub(super) acked: Acked,
    /// The last record that it surely has, synced or about to be; what is behind is kept for it.
    pub(super) holds: Lsn,
    pub(super) place: Place,
    /// The log does not keep what it needs any more.
    pub(super) is_lost: bool,
    /// It waits for a snapshot, gets one, or may come back for the rest of one.
    pub(super) wants_snapshot: bool,
    /// It wants a snapshot, or got one and has not caught up since: what it needs is kept however much.
    pub(super) is_seeding: bool,
    /// It wrote a whole snapshot and has not been heard of with its content.
    pub(super) has_whole_snapshot: bool,
    /// Snapshots in a row that came too late.
    pub(super) snapshots_in_vain: u32,
    pub(super) flaps: Flaps,
    /// Whether it is further behind than allowed.
    pub(super) alert: bool,
    /// The last heartbeat that it answered; 0: none.
    pub(super) answered_beat: u64,
}

/// Whether it is there.
#[derive(Debug)]
pub(super) enum Place {
    /// It has no link.
    Away {
        /// Since when.
        since_ms: u64,
    },
    /// It has one.
    Attached(Attached),
}

/// A link, and what goes over it.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) link: LinkId,
    pub(super) up_at_ms: u64,
    /// When something last came from it.
    pub(super) heard_at_ms: u64,
    /// The last commit it was told.
    pub(super) told_commit: Lsn,
    /// The highest probe that is to be answered once the commit is settled.
    pub(super) probe: Option<u64>,
    pub(super) stage: Stage,
}

/// How far a link has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// It has not asked to follow yet.
    Connecting,
    /// A snapshot is being made for it.
    AwaitingSnapshot,
    /// It gets a snapshot.
    Transfer(Transfer),
    /// It gets what was missing when the round began.
    CatchingUp {
        flow: Flow,
        /// The round ends at this record.
        target: Lsn,
        /// When it began.
        since_ms: u64,
    },
    /// It gets records as they come.
    Streaming { flow: Flow },
}

impl Stage {
    pub(super) fn flow(&self) -> Option<&Flow> {
        match self {
            Stage::CatchingUp { flow, .. } | Stage::Streaming { flow } => Some(flow),
            Stage::Connecting | Stage::AwaitingSnapshot | Stage::Transfer(_) => None,
        }
    }

    pub(super) fn flow_mut(&mut self) -> Option<&mut Flow> {
        match self {
            Stage::CatchingUp { flow, .. } | Stage::Streaming { flow } => Some(flow),
            Stage::Connecting | Stage::AwaitingSnapshot | Stage::Transfer(_) => None,
        }
    }
}

impl Progress {
    /// A node that is not attached and of which is known that it holds everything up to a record.
    pub(super) fn away(node: NodeId, holds: Lsn, since_ms: u64) -> Progress {
        Progress {
            node,
            client_port: 0,
            acked: Acked::default(),
            holds,
            place: Place::Away { since_ms },
            is_lost: false,
            wants_snapshot: false,
            is_seeding: false,
            has_whole_snapshot: false,
            snapshots_in_vain: 0,
            flaps: Flaps::default(),
            alert: false,
            answered_beat: 0,
        }
    }

    pub(super) fn attached(&self) -> Option<&Attached> {
        match &self.place {
            Place::Attached(attached) => Some(attached),
            Place::Away { .. } => None,
        }
    }

    pub(super) fn attached_mut(&mut self) -> Option<&mut Attached> {
        match &mut self.place {
            Place::Attached(attached) => Some(attached),
            Place::Away { .. } => None,
        }
    }

    pub(super) fn flow(&self) -> Option<&Flow> {
        self.attached().and_then(|attached| attached.stage.flow())
    }

    /// It is attached and has caught up.
    pub(super) fn is_in_sync(&self) -> bool {
        self.attached().is_some_and(|attached| matches!(attached.stage, Stage::Streaming { .. }))
    }

    /// It is not waited for any more, with what was kept for it.
    pub(super) fn end_seeding(&mut self) {
        self.wants_snapshot = false;
        self.is_seeding = false;
        self.has_whole_snapshot = false;
        self.snapshots_in_vain = 0;
    }

    pub(super) fn validate(&self) {
        let Acked { received, flushed, applied } = self.acked;
        assert!(flushed <= received && applied <= received, "nothing is acknowledged unreceived");
        assert!(self.is_seeding || !self.wants_snapshot, "who wants a snapshot is being seeded");
        if let Some(flow) = self.flow() {
            assert!(!self.wants_snapshot, "who gets records needs no snapshot");
            assert!(received <= flow.sent(), "nothing is acknowledged that was not sent");
            flow.validate();
        }
        if let Some(Attached { stage: Stage::Transfer(transfer), .. }) = self.attached() {
            transfer.validate();
        }
    }
}

/// Links of one node that came and went quickly.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Flaps {
    in_a_row: u32,
    held_until_ms: u64,
}

/// Flaps that are forgiven.
const FLAPS_FREE: u32 = 3;

/// The wait after the first flap that is not; doubles with each.
const FLAP_HOLD_MS: u64 = 100;

impl Flaps {
    /// A link ended that lived so long.
    pub(super) fn on_link_down(&mut self, now_ms: u64, lived_ms: u64, flap_ms: u64, max_ms: u64) {
        if lived_ms >= flap_ms {
            self.in_a_row = 0;
            return;
        }
        self.in_a_row += 1;
        if let Some(doublings) = self.in_a_row.checked_sub(FLAPS_FREE) {
            let hold_ms = FLAP_HOLD_MS << doublings.min(16);
            self.hold_until(now_ms + hold_ms.min(max_ms));
        }
    }

    /// The node has to wait for another reason.
    pub(super) fn hold_until(&mut self, at_ms: u64) {
        self.held_until_ms = self.held_until_ms.max(at_ms);
    }

    pub(super) fn is_held(&self, now_ms: u64) -> bool {
        now_ms < self.held_until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_comes_and_goes_waits_longer_each_time_up_to_a_limit() {
        let mut flaps = Flaps::default();
        for _ in 0..2 {
            flaps.on_link_down(1_000, 10, 1_000, 5_000);
            assert!(!flaps.is_held(1_000));
        }
        flaps.on_link_down(1_000, 10, 1_000, 5_000);
        assert!(flaps.is_held(1_099) && !flaps.is_held(1_100));
        for _ in 0..50 {
            flaps.on_link_down(1_000, 10, 1_000, 5_000);
        }
        assert!(flaps.is_held(5_999) && !flaps.is_held(6_000));
        flaps.on_link_down(7_000, 1_000, 1_000, 5_000);
        assert!(!flaps.is_held(7_000), "a link that lived long forgives");
    }
}
