//! The write-ahead log and the snapshot container.
//!
//! Knows files, frames and runs of records; does not know effects, keys or values: record bodies are
//! opaque here and belong to the store. Starts no thread and reads no clock: one log thread of the shell
//! drives it. All I/O goes through [`Disk`], so that the same code runs on a disk that loses and tears.
//!
//! Invariants:
//! * A frame is recovered whole or not at all, and frames form a prefix of what was written.
//! * What was synced is recovered or its loss is refused loudly ([`RecoverError::Damaged`]); it is never
//!   cut as if it were a torn tail once a later frame says that it was synced.
//! * LSNs per stream are dense; a gap is damage.
//! * After a failed sync nothing is written any more.
//! * A segment number is used once, so a recycled file's old frames never come back.

mod aftermath;
mod cursor;
mod disk;
mod diverged;
mod error;
mod fault_disk;
mod frame;
mod fs_disk;
mod note;
mod position;
mod recover;
mod repair;
mod reseed;
mod run;
mod run_list;
mod scan;
mod segment;
mod snapshot;
mod tail;
mod verify;
mod voids;
mod writer;

pub use aftermath::{Torn, Verdict};
pub use disk::{Disk, DiskFile, PartialWrite, read_full_at, write_all_at};
pub use diverged::{ArchiveError, DivergedName, DivergedReader, list_diverged, remove_diverged};
pub use error::{Damage, Fault, Lost, RecoverError, ScanError, WriteError};
pub use fault_disk::{FaultDisk, FaultFile, FaultPlan};
pub use frame::{
    FRAME_BODY_MAX, FRAME_HEADER_BYTES, Frame, FrameBody, FrameHeader, FrameKind, FrameMix, Runs,
    checksum_holds,
};
pub use fs_disk::{DirError, FsDisk, FsFile};
pub use note::{EpochCause, EpochEntry, Note};
pub use position::{ClusterId, FrameSeq, Identity, Positions, SegmentNo, Stream};
pub use recover::{LogEnd, Recovered, recover, recover_up_to};
pub use repair::{RepairReport, repair};
pub use reseed::{
    Aside, OldData, Replacement, Reseed, ReseedError, Reseeded, is_reseeding, keep_used_epoch,
    list_aside, remove_aside, resume_if_interrupted, used_epoch,
};
pub use run::{RecordView, Run, RunBuilder, RunError, RunHeader, RunReader, put_record};
pub use run_list::{RunList, put_run};
pub use scan::{LogScan, Tally};
pub use segment::{
    HeaderError, LsnRange, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentInfo, parse_segment_name,
    segment_name,
};
pub use snapshot::{
    PieceHead, PieceRef, SnapshotEnd, SnapshotError, SnapshotFooter, SnapshotHeader, SnapshotName,
    SnapshotReader, SnapshotWriter, decode_piece, forget_seeds, highest_snapshot_epoch,
    import_snapshot, list_snapshots, newest_valid, remove_unfinished, seeded_until,
    void_snapshots_after,
};
pub use tail::{TailError, TailRead, TailReader};
pub use verify::{VerifyReport, verify};
pub use voids::{Void, Voids};
pub use writer::{
    Allocate, Prepared, Retained, StreamFloor, SyncDone, SyncTicket, Writer, WriterOptions,
    WrittenEnd,
};
