//! What can be wrong with a log, and what then remains.

use std::error::Error;
use std::fmt;
use std::io;

use thiserror::Error;
use trefoil_clock::{Epoch, Lsn};

use crate::position::{FrameSeq, Identity, Stream};

/// Why no frame could be read at some place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    /// Zeros, an older file's bytes, or the end of the file.
    #[error("no frame header is there")]
    Absent,
    /// The header claims more bytes than the file has.
    #[error("the frame is longer than its file")]
    Length,
    /// The checksum does not match.
    #[error("the frame's checksum does not match")]
    Checksum,
    /// The checksum matches, the content makes no sense.
    #[error("the frame's content is malformed")]
    Body,
    /// The segment's own header is damaged.
    #[error("the segment's header is damaged")]
    SegmentHeader,
    /// Records are missing between two whole frames.
    #[error("{stream}: record {expected} should follow, {found} does")]
    LsnGap {
        /// The stream.
        stream: Stream,
        /// The LSN that should follow.
        expected: Lsn,
        /// The LSN that does.
        found: Lsn,
    },
}

/// Records of one stream that cannot be recovered in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    /// The stream.
    pub stream: Stream,
    /// The first record lost.
    pub from: Lsn,
    /// The last record seen behind the damage; there may have been more.
    pub to: Lsn,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records {} to {}", self.stream, self.from, self.to)
    }
}

/// Damage to what was once synced. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The segment's file.
    pub file: String,
    /// Where in it, bytes.
    pub offset: u64,
    /// What is wrong there.
    pub fault: Fault,
    /// The last frame before the damage.
    pub last_good: FrameSeq,
    /// The last frame that is known to have been synced.
    pub synced: FrameSeq,
    /// Whole frames behind the damage.
    pub frames_behind: u64,
    /// What a repair would cut off, as far as it can be seen.
    pub lost: Vec<Lost>,
    /// The highest epoch that anything behind the damage tells of.
    pub highest_epoch: Epoch,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the log is damaged in {} at byte {}: {}; frames up to {} are good, frames up to {} had been \
             synced, {} whole frames follow the damage",
            self.file, self.offset, self.fault, self.last_good, self.synced, self.frames_behind
        )?;
        for lost in &self.lost {
            write!(f, "; unreachable: {lost}")?;
        }
        write!(
            f,
            ". Nothing was changed. Restore the file from a copy, or run \
             `trefoil log repair --data-dir D` to keep the good part and archive the rest"
        )
    }
}

/// A log that cannot be read.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The disk refused.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The file, or `.` for the directory.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A segment of another node or cluster.
    #[error(
        "{file} belongs to node {} of cluster {}, not to node {} of cluster {}; data directories must not be \
         mixed",
        found.node, found.cluster, expected.node, expected.cluster
    )]
    Foreign {
        /// The file.
        file: String,
        /// Whose it is.
        found: Identity,
        /// Whose it should be.
        expected: Identity,
    },
    /// A segment of a later format.
    #[error(
        "{file} has format version {version}, which this program cannot read; use the newer program"
    )]
    Version {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
    },
    /// The log does not reach back, or not forward, to where the snapshot needs it.
    #[error(
        "{stream}: records from {needed} on are needed, the log has {found}; a segment or a newer snapshot \
         is missing from the data directory"
    )]
    Missing {
        /// The stream.
        stream: Stream,
        /// The first record needed.
        needed: Lsn,
        /// The record found instead: the first one, or the last one if the log ends too early.
        found: Lsn,
    },
}

impl ScanError {
    pub(crate) fn read(file: &str, source: io::Error) -> ScanError {
        ScanError::Io { file: file.to_owned(), source }
    }
}

/// A log that could not be recovered.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// What was synced is damaged; nothing was changed.
    #[error("{0}")]
    Damaged(Box<Damage>),
    /// The log cannot be read; nothing was changed.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The torn tail could not be cut; recover again.
    #[error("cannot cut the torn tail of {file}: {source}")]
    Cut {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The receiver of the frames failed.
    #[error("frame {seq} in {file} at byte {offset} cannot be applied: {source}")]
    Sink {
        /// The frame.
        seq: FrameSeq,
        /// The segment's file.
        file: String,
        /// Where in it, bytes.
        offset: u64,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// A write that did not happen. Except after [`WriteError::SyncFailed`] nothing that was accepted is lost,
/// and the call can be repeated.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The disk is full. The frame was not taken; earlier frames wait in memory or are written.
    #[error(
        "the disk is full: {file} needs {bytes} more bytes; writes go on when there is space again"
    )]
    NoSpace {
        /// The file.
        file: String,
        /// Bytes that were to be written or allocated.
        bytes: u64,
    },
    /// The disk refused for another reason. The frame was not taken.
    #[error("cannot write {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A frame's length would not fit its header.
    #[error("a transaction of {bytes} bytes exceeds the limit of {max}")]
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// A sync failed: the kernel may have dropped what it could not write. Stop the node and recover.
    #[error(
        "syncing the log failed: {source}; nothing more is written, restart the node to recover"
    )]
    SyncFailed {
        /// Why.
        source: io::Error,
    },
    /// The writer was stopped, cleanly or by a failed sync.
    #[error("the log is stopped")]
    Stopped,
}

impl WriteError {
    pub(crate) fn new(file: &str, bytes: u64, source: io::Error) -> WriteError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                WriteError::NoSpace { file: file.to_owned(), bytes }
            }
            _ => WriteError::Io { file: file.to_owned(), source },
        }
    }
}
