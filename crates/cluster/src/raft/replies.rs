//! What followers answer to their leader.

use trefoil_clock::NodeId;

use super::{Action, Ignored, Index, LogPosition, Raft};

impl Raft {
    pub(super) fn on_accepted(
        &mut self,
        now_ms: u64,
        from: NodeId,
        matched: Index,
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        let (last, base) = (self.last().index, self.journal.base().index);
        let progress = self.heard_from(now_ms, from)?;
        if matched > last {
            return Err(Ignored::Beyond);
        }
        progress.on_accepted(matched, base);
        self.advance_commit(now_ms, out);
        self.urge_successor(out);
        self.pump(from, out);
        Ok(())
    }

    /// `prev`: what was not there; `hint`: what may agree instead.
    pub(super) fn on_rejected(
        &mut self,
        now_ms: u64,
        from: NodeId,
        seq: u64,
        (prev, hint): (Index, LogPosition),
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        let progress = self.heard_from(now_ms, from)?;
        if !progress.is_current(seq, prev) {
            return Err(Ignored::Stale);
        }
        let shared = self.journal.shared_with(hint.index.min(prev.prev()), hint.term);
        self.heard_from(now_ms, from)?.probe_from(shared.next());
        self.send_append(from, out);
        Ok(())
    }
}
