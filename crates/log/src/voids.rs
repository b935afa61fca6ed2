//! Which records of the log a later Truncate note voids.
//!
//! A cut of history leaves the records that it cuts off where they are and says behind them that they
//! are void. So whoever reads the log from its start meets them first and the note later.
//!
//! Invariant: ascending by the note's frame.

use trefoil_clock::Lsn;

use crate::position::{FrameSeq, Stream};

/// One Truncate note.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Void {
    /// Whose records.
    pub stream: Stream,
    /// The note's frame: records in earlier frames are void...
    pub seq: FrameSeq,
    /// ...if they are above this one.
    pub lsn: Lsn,
}

/// All Truncate notes of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Voids {
    list: Vec<Void>,
}

impl Voids {
    /// Whether history was never cut.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The notes, ascending by frame.
    pub fn iter(&self) -> impl Iterator<Item = &Void> {
        self.list.iter()
    }

    /// The last record of `stream` that is not void among those in frame `seq`; `u64::MAX` if all count.
    #[must_use]
    pub fn end_of(&self, stream: Stream, seq: FrameSeq) -> Lsn {
        let later = self.list.iter().filter(|void| void.stream == stream && void.seq > seq);
        later.map(|void| void.lsn).min().unwrap_or(Lsn(u64::MAX))
    }

    /// The note about `stream` that was written last.
    #[must_use]
    pub fn newest(&self, stream: Stream) -> Option<Void> {
        self.list.iter().rev().find(|void| void.stream == stream).copied()
    }

    pub(crate) fn push(&mut self, void: Void) {
        debug_assert!(self.list.last().is_none_or(|last| last.seq < void.seq));
        self.list.push(void);
    }

    /// Forgets the notes that are gone with their segments, and all that they voided with them.
    pub(crate) fn forget_before(&mut self, first_seq: FrameSeq) {
        self.list.retain(|void| void.seq >= first_seq);
    }
}

#[cfg(test)]
mod tests {
    use trefoil_clock::ShardId;

    use super::*;

    #[test]
    fn a_record_is_void_if_any_later_note_is_about_it() {
        let (stream, other) = (Stream::leader(ShardId(0)), Stream::leader(ShardId(1)));
        let mut voids = Voids::default();
        for (stream, seq, lsn) in [(stream, 10, 80), (other, 11, 5), (stream, 20, 90)] {
            voids.push(Void { stream, seq: FrameSeq(seq), lsn: Lsn(lsn) });
        }
        assert_eq!(voids.end_of(stream, FrameSeq(9)), Lsn(80));
        assert_eq!(voids.end_of(stream, FrameSeq(10)), Lsn(90));
        assert_eq!(voids.end_of(stream, FrameSeq(20)), Lsn(u64::MAX));
        assert_eq!(voids.end_of(other, FrameSeq(1)), Lsn(5));
        voids.forget_before(FrameSeq(11));
        assert_eq!(voids.end_of(stream, FrameSeq(9)), Lsn(90));
        assert_eq!(voids.newest(stream).map(|void| void.lsn), Some(Lsn(90)));
    }
}
