//! Followers whose records are gone from the log: one snapshot at a time, shared by who needs it.
//!
//! It ends: a transfer that stands still is given up, and a snapshot that comes too late is replaced a
//! bounded number of times. While it goes on the log is kept from its start (`report.rs`).

use trefoil_clock::Lsn;
use trefoil_wire::peer::{Message, Offer, SnapshotId};

use super::progress::{Attached, Progress, Stage};
use super::transfer::Transfer;
use super::{CloseReason, Leader, LeaderAction, LeaderEvent, SnapshotReady};
use crate::LinkId;

/// Chunks of a snapshot that may be under way to one follower.
const CHUNKS_UNDER_WAY: u64 = 4;

/// The snapshot for followers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// There is none.
    None,
    /// It is being made, and starts at this record or later.
    Taking { start_min: Lsn },
    /// It is there.
    Ready(SnapshotReady),
}

impl Source {
    /// The record behind which the log is needed.
    pub(super) fn needs_after(&self) -> Option<Lsn> {
        match self {
            Source::None => None,
            Source::Taking { start_min } => Some(*start_min),
            Source::Ready(ready) => Some(ready.start.lsn),
        }
    }
}

impl Leader {
    /// A follower needs a snapshot: it gets the one that is there, or waits.
    pub(super) fn begin_snapshot(
        &mut self,
        now_ms: u64,
        link: LinkId,
        out: &mut Vec<LeaderAction>,
    ) {
        let Some(progress) = self.progress_by(link) else { return };
        let node = progress.node;
        let catching_up = progress.flow().is_some();
        let in_vain = progress.is_seeding && (progress.has_whole_snapshot || catching_up);
        if !std::mem::replace(&mut progress.is_lost, true) {
            out.push(LeaderAction::Event(LeaderEvent::Lost { node }));
        }
        progress.is_seeding = true;
        progress.wants_snapshot = true;
        progress.has_whole_snapshot = false;
        if let Some(attached) = progress.attached_mut() {
            attached.stage = Stage::AwaitingSnapshot;
        }
        if in_vain {
            self.count_in_vain(now_ms, link, out);
        }
        self.provide_snapshot(now_ms, out);
    }

    /// Has a snapshot for who waits for one: made if need be, offered if it is there.
    fn provide_snapshot(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {
        let floor = self.log.floor;
        if let Source::Ready(ready) = self.snapshots {
            if ready.start.lsn >= floor {
                return self.offer(now_ms, ready, out);
            }
            self.discard_snapshot(now_ms, ready, out);
        }
        if self.snapshots == Source::None && !self.awaiting().is_empty() {
            self.snapshots = Source::Taking { start_min: floor };
            out.push(LeaderAction::TakeSnapshot { start_min: floor });
        }
    }

    /// A snapshot came too late: who was getting it waits for the next one.
    fn discard_snapshot(&mut self, now_ms: u64, ready: SnapshotReady, out: &mut Vec<LeaderAction>) {
        self.snapshots = Source::None;
        out.push(LeaderAction::ReleaseSnapshot { snapshot: ready.snapshot });
        let mut in_vain = Vec::new();
        for attached in self.followers.values_mut().filter_map(Progress::attached_mut) {
            if matches!(attached.stage, Stage::Transfer(_)) {
                attached.stage = Stage::AwaitingSnapshot;
                in_vain.push(attached.link);
            }
        }
        for link in in_vain {
            self.count_in_vain(now_ms, link, out);
        }
    }

    fn offer(&mut self, now_ms: u64, ready: SnapshotReady, out: &mut Vec<LeaderAction>) {
        for attached in self.followers.values_mut().filter_map(Progress::attached_mut) {
            if !matches!(attached.stage, Stage::AwaitingSnapshot) {
                continue;
            }
            attached.stage = Stage::Transfer(Transfer::new(ready, now_ms));
            let offer = Offer {
                snapshot: ready.snapshot,
                start: ready.start,
                end: ready.end,
                bytes: ready.bytes,
                epochs: self.epochs.entries().to_vec(),
            };
            out.push(LeaderAction::Send { link: attached.link, message: Message::Offer(offer) });
        }
    }

    /// A snapshot that was asked for is complete.
    pub fn on_snapshot_ready(
        &mut self,
        now_ms: u64,
        ready: SnapshotReady,
        out: &mut Vec<LeaderAction>,
    ) {
        self.snapshots = Source::Ready(ready);
        let in_time =
            ready.start.lsn >= self.log.floor && self.epochs.holds(ready.start, self.log.end);
        if !in_time {
            out.push(LeaderAction::ReleaseSnapshot { snapshot: ready.snapshot });
            self.snapshots = Source::None;
            for link in self.awaiting() {
                self.count_in_vain(now_ms, link, out);
            }
        }
        self.provide_snapshot(now_ms, out);
        self.release_unused_snapshot(out);
    }

    fn count_in_vain(&mut self, now_ms: u64, link: LinkId, out: &mut Vec<LeaderAction>) {
        let limit = self.options.snapshot_retries_max;
        let hold_until_ms = now_ms + self.options.transfer_timeout_ms;
        let Some(progress) = self.progress_by(link) else { return };
        progress.snapshots_in_vain += 1;
        if progress.snapshots_in_vain > limit {
            progress.flaps.hold_until(hold_until_ms);
            self.give_up(now_ms, link, CloseReason::SnapshotsInVain, out);
        }
    }

    /// A snapshot that was asked for could not be made.
    pub fn on_snapshot_failed(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {
        self.snapshots = Source::None;
        for link in self.awaiting() {
            self.give_up(now_ms, link, CloseReason::NoSnapshot, out);
        }
    }

    /// A chunk with so many bytes is on the link; what [`LeaderAction::SendChunk`] asked for.
    pub fn on_chunk_sent(
        &mut self,
        _now_ms: u64,
        link: LinkId,
        bytes: u64,
        out: &mut Vec<LeaderAction>,
    ) {
        if let Some(Attached { stage: Stage::Transfer(transfer), .. }) = self.attached_by(link) {
            transfer.on_sent(bytes);
        }
        self.pump_chunks(link, out);
    }

    pub(super) fn on_fetch(
        &mut self,
        now_ms: u64,
        link: LinkId,
        snapshot: SnapshotId,
        offset: u64,
        out: &mut Vec<LeaderAction>,
    ) {
        let Some(attached) = self.attached_by(link) else { return };
        let Stage::Transfer(transfer) = &mut attached.stage else {
            // It fetches what was offered before it asked again.
            return;
        };
        if transfer.ready.snapshot != snapshot {
            return;
        }
        if !transfer.on_fetch(now_ms, offset) {
            return self.close(now_ms, link, CloseReason::Malformed, out);
        }
        let whole = transfer.is_complete();
        if let Some(progress) = self.progress_by(link) {
            progress.has_whole_snapshot = whole;
        }
        self.pump_chunks(link, out);
    }

    fn pump_chunks(&mut self, link: LinkId, out: &mut Vec<LeaderAction>) {
        let chunk_max = self.options.chunk_bytes_max;
        // Little at a time: what is sent in one go keeps the core from clients.
        let window = self.options.window_bytes.min(CHUNKS_UNDER_WAY * chunk_max);
        let Some(attached) = self.attached_by(link) else { return };
        let Stage::Transfer(transfer) = &mut attached.stage else { return };
        let snapshot = transfer.ready.snapshot;
        if let Some(part) = transfer.next_part(window, chunk_max) {
            let (offset, bytes_max) = (part.offset, part.bytes_max);
            out.push(LeaderAction::SendChunk { link, snapshot, offset, bytes_max });
        }
    }

    /// Ends what a follower does with snapshots, and its link.
    pub(super) fn give_up(
        &mut self,
        now_ms: u64,
        link: LinkId,
        reason: CloseReason,
        out: &mut Vec<LeaderAction>,
    ) {
        let node = self.links.get(&link).copied();
        self.close(now_ms, link, reason, out);
        if let Some(progress) = node.and_then(|node| self.followers.get_mut(&node)) {
            progress.end_seeding();
        }
        self.release_unused_snapshot(out);
    }

    /// Lets the snapshot go if nobody gets it or may come back for it.
    pub(super) fn release_unused_snapshot(&mut self, out: &mut Vec<LeaderAction>) {
        let Source::Ready(ready) = self.snapshots else { return };
        if !self.followers.values().any(|progress| progress.wants_snapshot) {
            self.snapshots = Source::None;
            out.push(LeaderAction::ReleaseSnapshot { snapshot: ready.snapshot });
        }
    }

    /// Links that wait for a snapshot.
    fn awaiting(&self) -> Vec<LinkId> {
        let attached = self.followers.values().filter_map(Progress::attached);
        attached
            .filter(|attached| matches!(attached.stage, Stage::AwaitingSnapshot))
            .map(|attached| attached.link)
            .collect()
    }
}
