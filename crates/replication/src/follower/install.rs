//! A snapshot instead of records that the leader's log does not hold any more.
//!
//! The old log and store stay in use until the file is complete, unless they show what the leader's
//! history does not contain. A transfer that breaks off goes on at its offset.

use trefoil_clock::{EpochTable, Lsn};
use trefoil_wire::peer::{Chunk, Fence, Message, Offer};

use super::action::{FollowerAction, FollowerCloseReason, FollowerEvent};
use super::{Follower, Installed, Stage, Work};
use crate::fork::fork;

/// A file that is being fetched.
///
/// Invariant: `written <= expected <= offer.bytes`.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) offer: Offer,
    /// Bytes that were taken in.
    expected: u64,
    /// Bytes that are in the file.
    pub(super) written: u64,
}

impl Follower {
    pub(super) fn on_offer(
        &mut self,
        now_ms: u64,
        fence: &Fence,
        offer: &Offer,
        out: &mut Vec<FollowerAction>,
    ) {
        let waits = self.link.as_ref().is_some_and(|link| {
            matches!(link.stage, Stage::Asking | Stage::Streaming | Stage::Fetching(_))
        });
        if !waits || !matches!(self.work, Work::None) {
            // The answer to a question that was put again since.
            return;
        }
        let Some(theirs) = self.history_of(now_ms, fence, &offer.epochs, out) else { return };
        if theirs.position(offer.start.lsn) != offer.start || offer.end < offer.start.lsn {
            return self.close(now_ms, FollowerCloseReason::Malformed, out);
        }
        if !self.accept_history(now_ms, fence, &theirs, out) {
            return;
        }
        let (snapshot, bytes) = (offer.snapshot, offer.bytes);
        let partial = self.partial.filter(|part| part.0 == snapshot && part.1 <= bytes);
        let from = partial.map_or(0, |part| part.1);
        self.partial = Some((snapshot, from));
        let fetch = Fetch { offer: offer.clone(), expected: from, written: from };
        out.push(FollowerAction::Event(FollowerEvent::Reseeding { bytes, from }));
        out.push(FollowerAction::BeginInstall { offer: offer.clone(), from });
        out.push(FollowerAction::Send { message: Message::Fetch { snapshot, offset: from } });
        if let Some(link) = &mut self.link {
            link.stage = Stage::Fetching(fetch);
        }
        self.finish_if_complete(out);
    }

    /// Whether the leader's history may take the place of the own one. If what readers see is not part
    /// of it they see nothing from here on.
    fn accept_history(
        &mut self,
        now_ms: u64,
        fence: &Fence,
        theirs: &EpochTable,
        out: &mut Vec<FollowerAction>,
    ) -> bool {
        if fence.cluster != self.options.cluster {
            self.become_of(fence.cluster, out);
            self.unready();
            return true;
        }
        // The leader's log reaches at least as far as it is in common: it would not offer else.
        let fork = fork(&self.epochs, self.end.lsn, theirs, Lsn(u64::MAX)).at.lsn;
        if self.would_lose_committed(now_ms, fork, out) {
            return false;
        }
        if fork < self.applied {
            self.unready();
        }
        true
    }

    pub(super) fn on_chunk(
        &mut self,
        now_ms: u64,
        chunk: &Chunk<'_>,
        out: &mut Vec<FollowerAction>,
    ) {
        let Some(link) = &mut self.link else { return };
        let Stage::Fetching(fetch) = &mut link.stage else {
            // Of a transfer that is over.
            return;
        };
        if chunk.snapshot != fetch.offer.snapshot {
            return;
        }
        let bytes = chunk.bytes.len() as u64;
        let fits = chunk.offset.checked_add(bytes).is_some_and(|end| end <= fetch.offer.bytes);
        if bytes == 0 || !fits {
            return self.close(now_ms, FollowerCloseReason::Malformed, out);
        }
        if chunk.offset < fetch.expected {
            // A duplicate.
            return;
        }
        if chunk.offset > fetch.expected {
            // A gap: begin again where the file ends.
            fetch.expected = fetch.written;
            let (snapshot, offset) = (fetch.offer.snapshot, fetch.written);
            out.push(FollowerAction::Send { message: Message::Fetch { snapshot, offset } });
            return;
        }
        out.push(FollowerAction::WriteChunk { offset: fetch.expected, bytes });
        fetch.expected += bytes;
    }

    /// The snapshot's file holds this many bytes.
    pub fn on_chunk_written(&mut self, _now_ms: u64, written: u64, out: &mut Vec<FollowerAction>) {
        if let Some(partial) = &mut self.partial {
            partial.1 = partial.1.max(written);
        }
        let Some(link) = &mut self.link else { return };
        let Stage::Fetching(fetch) = &mut link.stage else { return };
        if written <= fetch.written || written > fetch.expected {
            return;
        }
        fetch.written = written;
        let snapshot = fetch.offer.snapshot;
        let message = Message::Fetch { snapshot, offset: written };
        out.push(FollowerAction::Send { message });
        self.finish_if_complete(out);
    }

    fn finish_if_complete(&mut self, out: &mut Vec<FollowerAction>) {
        let Some(link) = &mut self.link else { return };
        let Stage::Fetching(fetch) = &link.stage else { return };
        if fetch.written < fetch.offer.bytes {
            return;
        }
        let offer = fetch.offer.clone();
        link.stage = Stage::Holding;
        self.work = Work::Installing(offer.clone());
        self.unready();
        out.push(FollowerAction::FinishInstall { offer });
    }

    /// The snapshot is in place of log and store.
    pub fn on_installed(
        &mut self,
        _now_ms: u64,
        installed: Installed,
        out: &mut Vec<FollowerAction>,
    ) {
        let Work::Installing(offer) = std::mem::replace(&mut self.work, Work::None) else {
            return;
        };
        self.partial = None;
        self.restart_from(installed.end, installed.epochs, installed.applied);
        // What the snapshot shows need not be committed: a leader whose members are all gone must be
        // able to seed new ones. So nothing is served before its end is committed.
        self.ready_at = offer.end;
        let epochs = EpochTable::from_entries(offer.epochs).unwrap_or_default();
        self.whole = epochs.entry_of(offer.end).map(|entry| (offer.end, entry));
        self.ask(out);
    }

    /// The file was not what it should be, or could not be put in place; log and store are as before.
    pub fn on_install_failed(&mut self, now_ms: u64, out: &mut Vec<FollowerAction>) {
        self.work = Work::None;
        self.partial = None;
        if self.link.is_some() {
            self.close(now_ms, FollowerCloseReason::InstallFailed, out);
        }
    }
}
