//! Questions to the leader, where it stands right now, and how fresh reads are by their answers.

use std::collections::VecDeque;

use trefoil_clock::Lsn;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Probes {
    last_id: u64,
    /// Sent and not answered: number, time; both rise.
    pending: VecDeque<(u64, u64)>,
    /// Answered and not applied so far: time of sending, commit; both rise.
    answered: VecDeque<(u64, Lsn)>,
    fresh_at_ms: Option<u64>,
}

impl Probes {
    /// A probe goes out; returns its number.
    pub(super) fn send(&mut self, now_ms: u64) -> u64 {
        self.last_id += 1;
        self.pending.push_back((self.last_id, now_ms));
        self.last_id
    }

    /// An answer came. It answers earlier probes as well, they were sent before; returns all of them.
    pub(super) fn on_answer(&mut self, id: u64, commit: Lsn) -> Vec<u64> {
        let mut ids = Vec::new();
        while let Some(&(pending, sent_at_ms)) = self.pending.front()
            && pending <= id
        {
            self.pending.pop_front();
            ids.push(pending);
            // A later probe is the better one if it asks for no more.
            while self.answered.back().is_some_and(|answered| answered.1 >= commit) {
                self.answered.pop_back();
            }
            self.answered.push_back((sent_at_ms, commit));
        }
        ids
    }

    /// Readers see records up to this one.
    pub(super) fn on_applied(&mut self, applied: Lsn) {
        while let Some(&(sent_at_ms, commit)) = self.answered.front()
            && commit <= applied
        {
            self.answered.pop_front();
            self.fresh_at_ms = self.fresh_at_ms.max(Some(sent_at_ms));
        }
    }

    /// The link is gone, and the answers with it; returns who waits for one.
    pub(super) fn lose_pending(&mut self) -> Vec<u64> {
        self.pending.drain(..).map(|probe| probe.0).collect()
    }

    /// What readers see is part of another history, or is loaded again.
    pub(super) fn forget(&mut self) {
        self.answered.clear();
        self.fresh_at_ms = None;
    }

    pub(super) fn fresh_at_ms(&self) -> Option<u64> {
        self.fresh_at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_as_fresh_as_the_newest_probe_whose_answer_is_applied() {
        let mut probes = Probes::default();
        let (first, second) = (probes.send(100), probes.send(200));
        assert_eq!(probes.on_answer(first, Lsn(5)), [first]);
        assert_eq!(probes.on_answer(second, Lsn(9)), [second]);
        probes.on_applied(Lsn(4));
        assert_eq!(probes.fresh_at_ms(), None);
        probes.on_applied(Lsn(7));
        assert_eq!(probes.fresh_at_ms(), Some(100));
        probes.on_applied(Lsn(9));
        assert_eq!(probes.fresh_at_ms(), Some(200));
    }

    #[test]
    fn an_answer_answers_earlier_probes_too() {
        let mut probes = Probes::default();
        let ids = [probes.send(100), probes.send(200), probes.send(300)];
        assert_eq!(probes.on_answer(ids[1], Lsn(5)), ids[..2]);
        probes.on_applied(Lsn(5));
        assert_eq!(probes.fresh_at_ms(), Some(200));
        assert_eq!(probes.lose_pending(), ids[2..]);
        assert_eq!(probes.on_answer(ids[2], Lsn(5)), [0; 0]);
    }
}
