//! The snapshot container: pieces of state, each with the position in the log at which it was taken.
//!
//! Knows nothing of what is in a piece. Written as `snap-<start LSN>.part`, then renamed to
//! `snap-<end LSN>.trefoil`. See docs/formats/snapshot.md.
//!
//! Invariants:
//! * A `.trefoil` file is complete and synced: its footer is the last thing written before the rename.
//! * A piece is valid or refused; a damaged piece never passes for another one.
//! * Whether the log covers a snapshot's end LSN is for the caller to check.

mod catalog;
mod format;
mod import;
mod reader;
mod writer;

pub use self::catalog::{
    SnapshotName, highest_snapshot_epoch, list_snapshots, newest_valid, remove_unfinished,
    void_snapshots_after,
};
pub(crate) use self::catalog::{is_snapshot_name, is_unfinished_name, snapshot_name};
pub use self::format::{PieceHead, SnapshotEnd, SnapshotFooter, SnapshotHeader};
pub use self::import::{forget_seeds, import_snapshot, seeded_until};
pub(crate) use self::import::{is_seed_mark, own, place};
pub use self::reader::{PieceRef, SnapshotError, SnapshotReader, decode_piece};
pub use self::writer::SnapshotWriter;
