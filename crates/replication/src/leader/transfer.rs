//! A snapshot on its way to one follower: chunks within a window, resumable by offset.

use super::SnapshotReady;

/// See the module.
///
/// Invariant: `fetched <= sent <= ready.bytes`.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) ready: SnapshotReady,
    /// Bytes put on the link, or that were there when it asked.
    sent: u64,
    /// Bytes that it has written.
    fetched: u64,
    /// It said where to begin.
    asked: bool,
    /// A chunk is being put on the link.
    sending: bool,
    /// When it last got further.
    moved_at_ms: u64,
}

/// A part of the file to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) bytes_max: u64,
}

impl Transfer {
    pub(super) fn new(ready: SnapshotReady, now_ms: u64) -> Transfer {
        Transfer { ready, sent: 0, fetched: 0, asked: false, sending: false, moved_at_ms: now_ms }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn is_complete(&self) -> bool {
        self.asked && self.fetched == self.ready.bytes
    }

    /// The follower has so many bytes and wants those behind. False: there are not so many.
    pub(super) fn on_fetch(&mut self, now_ms: u64, offset: u64) -> bool {
        if offset > self.ready.bytes {
            return false;
        }
        let goes_on = self.asked && offset >= self.fetched && offset <= self.sent;
        if !goes_on {
            self.sent = offset;
            self.sending = false;
        }
        if offset > self.fetched || !self.asked {
            self.moved_at_ms = now_ms;
        }
        self.fetched = offset;
        self.asked = true;
        true
    }

    /// The next part, if there is room for one.
    pub(super) fn next_part(&mut self, window_bytes: u64, chunk_bytes_max: u64) -> Option<Part> {
        let rest = self.ready.bytes - self.sent;
        let room = window_bytes.saturating_sub(self.sent - self.fetched);
        let bytes_max = rest.min(room).min(chunk_bytes_max);
        if !self.asked || self.sending || bytes_max == 0 {
            return None;
        }
        self.sending = true;
        Some(Part { offset: self.sent, bytes_max })
    }

    /// So many bytes were put on the link.
    pub(super) fn on_sent(&mut self, bytes: u64) {
        if self.sending {
            self.sending = false;
            self.sent = (self.sent + bytes).min(self.ready.bytes);
        }
    }

    /// Since when nothing has moved.
    pub(super) fn moved_at_ms(&self) -> u64 {
        self.moved_at_ms
    }

    pub(super) fn validate(&self) {
        assert!(self.fetched <= self.sent, "only what was sent is fetched");
        assert!(self.sent <= self.ready.bytes, "no more is sent than there is");
    }
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{Lsn, Position};
    use trefoil_wire::peer::SnapshotId;

    use super::*;

    fn transfer(bytes: u64) -> Transfer {
        let (snapshot, start, end) = (SnapshotId(1), Position::default(), Lsn(9));
        Transfer::new(SnapshotReady { snapshot, start, end, bytes }, 0)
    }

    #[test]
    fn chunks_go_out_one_at_a_time_within_the_window() {
        let mut transfer = transfer(100);
        assert_eq!(transfer.next_part(50, 30), None, "nobody asked yet");
        assert!(transfer.on_fetch(1, 0));
        assert_eq!(transfer.next_part(50, 30), Some(Part { offset: 0, bytes_max: 30 }));
        assert_eq!(transfer.next_part(50, 30), None, "one at a time");
        transfer.on_sent(30);
        assert_eq!(transfer.next_part(50, 30), Some(Part { offset: 30, bytes_max: 20 }));
        transfer.on_sent(20);
        assert_eq!(transfer.next_part(50, 30), None, "the window is full");
        assert!(transfer.on_fetch(2, 30));
        assert_eq!(transfer.next_part(50, 30), Some(Part { offset: 50, bytes_max: 30 }));
        transfer.validate();
    }

    #[test]
    fn a_transfer_goes_on_where_it_broke_off() {
        let mut transfer = transfer(100);
        assert!(transfer.on_fetch(1, 70));
        assert_eq!(transfer.next_part(50, 50), Some(Part { offset: 70, bytes_max: 30 }));
        transfer.on_sent(30);
        assert!(!transfer.is_complete());
        assert!(transfer.on_fetch(2, 100));
        assert!(transfer.is_complete());
        assert!(!transfer.on_fetch(3, 101), "the file is not so long");
    }

    #[test]
    fn a_fetch_that_does_not_get_further_is_no_progress() {
        let mut transfer = transfer(100);
        assert!(transfer.on_fetch(1, 10));
        assert!(transfer.on_fetch(5, 10));
        assert_eq!(transfer.moved_at_ms(), 1);
    }
}
