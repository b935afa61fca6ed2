//! Where things stand: in the sequence of frames, and per `(shard, origin)` in the sequence of records.

use std::collections::BTreeMap;
use std::fmt;

pub use trefoil_clock::{ClusterId, Identity};
use trefoil_clock::{Lsn, Origin, ShardId};

/// The number of a frame in a node's log. Dense, from 1; 0 means "before the first frame".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FrameSeq(pub u64);

impl FrameSeq {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> FrameSeq {
        FrameSeq(self.0 + 1)
    }
}

impl fmt::Display for FrameSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a segment. Allotted once per node and never again, so that frames which an earlier
/// life of a recycled file left behind never pass for frames of the present one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SegmentNo(pub u64);

impl SegmentNo {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> SegmentNo {
        SegmentNo(self.0 + 1)
    }
}

impl fmt::Display for SegmentNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One sequence of records: a shard's records of one origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stream {
    /// The shard.
    pub shard: ShardId,
    /// Who numbered the records.
    pub origin: Origin,
}

impl Stream {
    /// The stream of a single-leader shard.
    #[must_use]
    pub fn leader(shard: ShardId) -> Stream {
        Stream { shard, origin: Origin::LEADER }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} origin {}", self.shard.0, self.origin.0)
    }
}

/// The last LSN per stream. A stream that is not mentioned stands at [`Lsn::ZERO`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Positions {
    lsns: BTreeMap<Stream, Lsn>,
}

impl Positions {
    /// No record of any stream.
    #[must_use]
    pub fn new() -> Positions {
        Positions::default()
    }

    /// Where `stream` stands.
    #[must_use]
    pub fn get(&self, stream: Stream) -> Lsn {
        self.lsns.get(&stream).copied().unwrap_or(Lsn::ZERO)
    }

    /// Whether `stream` is mentioned at all.
    #[must_use]
    pub fn contains(&self, stream: Stream) -> bool {
        self.lsns.contains_key(&stream)
    }

    /// Sets where `stream` stands, also backwards.
    pub fn set(&mut self, stream: Stream, lsn: Lsn) {
        self.lsns.insert(stream, lsn);
    }

    /// All streams that are mentioned, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Stream, Lsn)> + '_ {
        self.lsns.iter().map(|(stream, lsn)| (*stream, *lsn))
    }

    /// How many streams are mentioned.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lsns.len()
    }

    /// Whether no stream is mentioned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lsns.is_empty()
    }
}

impl FromIterator<(Stream, Lsn)> for Positions {
    fn from_iter<I: IntoIterator<Item = (Stream, Lsn)>>(iter: I) -> Positions {
        Positions { lsns: iter.into_iter().collect() }
    }
}
