//! What can be wrong with the store, and what then remains.

use std::io;

use thiserror::Error;
use trefoil_clock::NodeId;

use super::CONTROL_LOG;
use super::contents::Disorder;

/// How it is known that something synced is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ControlFault {
    /// The file had its header before it had its name.
    #[error("the file's header is damaged")]
    Header,
    /// The file had its first batch before it had its name.
    #[error("the file's first batch is damaged")]
    FirstBatch,
    /// A later frame is whole, and it was written after this one had been synced.
    #[error("batch {missing} is damaged, {found} behind it is whole")]
    Batch {
        /// The number that should be there.
        missing: u64,
        /// The number that is found behind it.
        found: u64,
    },
    /// The checksum matches, the content makes no sense.
    #[error("batch {seq} is malformed")]
    Malformed {
        /// Its number.
        seq: u64,
    },
}

/// Why the store could not be opened or written.
#[derive(Debug, Error)]
pub enum ControlLogError {
    /// What was synced is damaged. Nothing was changed.
    #[error(
        "{CONTROL_LOG} is damaged at byte {offset}: {fault}. Nothing was changed. The node may have forgotten \
         a vote, so it must not vote again under its name: remove it from its cluster, start it with another, \
         empty data directory, and let it join anew, under the new identity that it gets there"
    )]
    Damaged {
        /// Where, bytes.
        offset: u64,
        /// What is wrong there.
        fault: ControlFault,
    },
    /// The file is another node's. Nothing was changed.
    #[error(
        "{CONTROL_LOG} belongs to node {found}, not to node {expected}; data directories must not be mixed"
    )]
    Foreign {
        /// Whose it is.
        found: NodeId,
        /// Whose it should be.
        expected: NodeId,
    },
    /// The file is of a later format. Nothing was changed.
    #[error(
        "{CONTROL_LOG} has format version {version}, which this program cannot read; use the newer program"
    )]
    Version {
        /// Its version.
        version: u32,
    },
    /// The caller's records do not follow from what is there. Nothing was changed.
    #[error("the records were not written to {CONTROL_LOG}: {0}")]
    Disorder(#[from] Disorder),
    /// The batch's length would not fit its header. Nothing was changed.
    #[error("a batch of {bytes} bytes exceeds the limit of {max}")]
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The disk is full. Nothing was changed, and the batch can be tried again.
    #[error("the disk is full: {CONTROL_LOG} cannot grow; make space")]
    NoSpace,
    /// The disk refused for another reason. Nothing was changed, and the batch can be tried again.
    #[error("cannot read or write {CONTROL_LOG}: {source}")]
    Io {
        /// Why.
        source: io::Error,
    },
    /// A sync failed: the kernel may have dropped what it could not write. Stop the node and open again.
    #[error("syncing {CONTROL_LOG} failed: {source}; nothing more is written, restart the node")]
    SyncFailed {
        /// Why.
        source: io::Error,
    },
    /// An earlier sync failed.
    #[error("{CONTROL_LOG} is not written any more, because a sync failed; restart the node")]
    Stopped,
}

impl ControlLogError {
    /// Whether the store refuses everything from now on.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, ControlLogError::SyncFailed { .. } | ControlLogError::Stopped)
    }

    pub(super) fn io(source: io::Error) -> ControlLogError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ControlLogError::NoSpace,
            _ => ControlLogError::Io { source },
        }
    }

    pub(super) fn sync(source: io::Error) -> ControlLogError {
        ControlLogError::SyncFailed { source }
    }
}
