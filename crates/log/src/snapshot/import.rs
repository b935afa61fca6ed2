//! A snapshot that was received from another node becomes our own.
//!
//! Its state is the other node's: our log knows nothing of it. A file `seeded-<end LSN>` says so: the
//! records from the snapshot's start to its end are yet to come, from that node as well, and nothing is
//! served before they have (rule 13). Without that file a log which ends before a snapshot does has lost
//! records.
//!
//! Invariants: the mark is durable before the snapshot has its name; a file gets that name only if every
//! piece of it is whole.

use std::io;

use trefoil_clock::Lsn;

use super::catalog::{SnapshotName, snapshot_name};
use super::reader::{SnapshotError, SnapshotReader};
use crate::disk::{Disk, DiskFile, write_all_at};
use crate::position::Identity;
use crate::segment::digits_between;

const MARK: &str = "seeded-";

fn mark_name(end: Lsn) -> String {
    format!("{MARK}{:020}", end.0)
}

pub(crate) fn is_seed_mark(name: &str) -> bool {
    digits_between(name, MARK, "").is_some()
}

/// Checks a received file wholly, makes it ours, and puts it in its place as a seed. Doing it again does
/// no harm.
///
/// # Errors
/// The file is still there under its old name, and may have to be received again.
pub fn import_snapshot<D: Disk>(
    disk: &D,
    part: &str,
    identity: Identity,
) -> Result<SnapshotName, SnapshotError> {
    let snapshot = own(disk, part, identity)?;
    place(disk, part, &snapshot)?;
    Ok(snapshot)
}

/// Checks a received file wholly and writes our identity into it, durably.
pub(crate) fn own<D: Disk>(
    disk: &D,
    part: &str,
    identity: Identity,
) -> Result<SnapshotName, SnapshotError> {
    let reader = SnapshotReader::open(disk, part)?;
    reader.verify()?;
    let header = super::SnapshotHeader { identity, ..reader.header().clone() };
    let file = disk.open(part)?;
    // The identity has a fixed length, so nothing behind the header moves.
    write_all_at(&file, &header.encode(), 0).map_err(|partial| partial.source)?;
    file.sync_data()?;
    let end_lsn = reader.footer().end.lsn;
    Ok(SnapshotName { end_lsn, name: snapshot_name(end_lsn) })
}

/// Gives a file that is ours its name, as a seed.
pub(crate) fn place<D: Disk>(disk: &D, part: &str, snapshot: &SnapshotName) -> io::Result<()> {
    match disk.create(&mark_name(snapshot.end_lsn)) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => disk.sync_dir()?,
    }
    disk.rename(part, &snapshot.name)?;
    disk.sync_dir()
}

/// The end of the snapshot that was received last, if records up to there may still be missing.
pub fn seeded_until<D: Disk>(disk: &D) -> io::Result<Option<Lsn>> {
    let names = disk.list()?;
    Ok(names.iter().filter_map(|name| digits_between(name, MARK, "")).max().map(Lsn))
}

/// Forgets seeds: the log is durable up to their end.
pub fn forget_seeds<D: Disk>(disk: &D) -> io::Result<()> {
    let names = disk.list()?;
    let marks: Vec<_> = names.iter().filter(|name| is_seed_mark(name)).collect();
    for mark in &marks {
        disk.remove(mark)?;
    }
    if marks.is_empty() { Ok(()) } else { disk.sync_dir() }
}
