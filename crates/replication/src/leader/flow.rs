//! What is under way to one follower: the window.
//!
//! Not congestion control, the transport has that: a bound on what a slow follower may owe.

use std::collections::VecDeque;

use trefoil_clock::Lsn;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// The last record put on the link, or that the follower had when it was welcomed.
    sent: Lsn,
    /// Pieces put on the link and not acknowledged: last record, bytes. Last records rise, up to `sent`.
    pieces: VecDeque<(Lsn, u64)>,
    /// Bytes of all pieces.
    in_flight_bytes: u64,
    /// The commit that a stream under way will tell; none: no stream is under way.
    streaming: Option<Lsn>,
    /// The last stream found nothing to send: not again before the log has grown or time has passed.
    dry: bool,
}

impl Flow {
    /// A follower that has everything up to a record.
    pub(super) fn starting_after(sent: Lsn) -> Flow {
        Flow { sent, ..Flow::default() }
    }

    pub(super) fn sent(&self) -> Lsn {
        self.sent
    }

    /// Bytes that the next stream may have; none: not now.
    pub(super) fn room(&self, end: Lsn, window_bytes: u64) -> Option<u64> {
        if self.streaming.is_some() || self.dry || self.sent >= end {
            return None;
        }
        window_bytes.checked_sub(self.in_flight_bytes).filter(|&room| room > 0)
    }

    /// A stream is under way, it tells this commit.
    pub(super) fn begin(&mut self, commit: Lsn) {
        self.streaming = Some(commit);
    }

    /// Records up to `last` are on the link. Returns the commit they told, if there were any.
    pub(super) fn on_streamed(&mut self, last: Lsn, bytes: u64) -> Option<Lsn> {
        let told = self.streaming.take()?;
        if last <= self.sent {
            self.dry = true;
            return None;
        }
        self.sent = last;
        self.pieces.push_back((last, bytes));
        self.in_flight_bytes += bytes;
        Some(told)
    }

    /// The follower has records up to this one.
    pub(super) fn on_received(&mut self, received: Lsn) {
        while let Some(&(last, bytes)) = self.pieces.front()
            && last <= received
        {
            self.pieces.pop_front();
            self.in_flight_bytes -= bytes;
        }
    }

    /// There may be something to stream again.
    pub(super) fn retry(&mut self) {
        self.dry = false;
    }

    /// Nothing is being put on the link and nothing waits to be.
    pub(super) fn is_idle(&self, end: Lsn) -> bool {
        self.streaming.is_none() && (self.sent >= end || self.dry)
    }

    pub(super) fn validate(&self) {
        let bytes: u64 = self.pieces.iter().map(|piece| piece.1).sum();
        assert_eq!(bytes, self.in_flight_bytes, "bytes in flight are those of the pieces");
        assert!(self.pieces.iter().is_sorted_by(|a, b| a.0 < b.0), "pieces rise");
        assert!(self.pieces.back().is_none_or(|last| last.0 <= self.sent), "pieces were sent");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_is_opened_by_what_is_received() {
        let mut flow = Flow::starting_after(Lsn(5));
        assert_eq!(flow.room(Lsn(5), 100), None, "nothing to send");
        assert_eq!(flow.room(Lsn(30), 100), Some(100));
        flow.begin(Lsn(3));
        assert_eq!(flow.room(Lsn(30), 100), None, "one at a time");
        assert_eq!(flow.on_streamed(Lsn(10), 70), Some(Lsn(3)));
        assert_eq!(flow.room(Lsn(30), 100), Some(30));
        flow.begin(Lsn(3));
        flow.on_streamed(Lsn(20), 40);
        assert_eq!(flow.room(Lsn(30), 100), None, "full");
        flow.on_received(Lsn(10));
        assert_eq!(flow.room(Lsn(30), 100), Some(60));
        flow.validate();
    }

    #[test]
    fn a_stream_that_found_nothing_is_not_repeated_at_once() {
        let mut flow = Flow::starting_after(Lsn(5));
        flow.begin(Lsn(0));
        assert_eq!(flow.on_streamed(Lsn(5), 0), None);
        assert_eq!(flow.room(Lsn(9), 100), None);
        flow.retry();
        assert_eq!(flow.room(Lsn(9), 100), Some(100));
    }
}
