//! The write-ahead log and the snapshot container.
//!
//! Knows files, frames and runs of records; does not know effects, keys or values: record bodies are
//! opaque here and belong to the store. Starts no thread and reads no clock: one log thread of the shell
//! drives it. All I/O goes through [`Disk`], so that the same code runs on a disk that loses and tears.
//!
//! Invariants:
//! * A frame is recovered whole or not at all, and frames form a prefix of what was written.
//! * What was synced is recovered or its loss is refused loudly; it is never
//!   cut as if it were a torn tail once a later frame says that it was synced.
//! * LSNs per stream are dense; a gap is damage.
//! * After a failed sync nothing is written any more.
//! * A segment number is used once, so a recycled file's old frames never come back.

mod cursor;
mod disk;
mod frame;
mod note;
mod position;
mod run;

pub use disk::{Disk, DiskFile, PartialWrite, read_full_at, write_all_at};
pub use frame::{
    FRAME_BODY_MAX, FRAME_HEADER_BYTES, Frame, FrameBody, FrameHeader, FrameKind, Runs,
    checksum_holds,
};
pub use note::{EpochCause, EpochEntry, Note};
pub use position::{ClusterId, FrameSeq, Identity, Positions, SegmentNo, Stream};
pub use run::{RecordView, Run, RunBuilder, RunError, RunHeader, RunReader, put_record};
