//! Which snapshots a directory holds.

use std::io;

use trefoil_clock::{Epoch, Lsn, ShardId};

use super::reader::{SnapshotError, SnapshotReader};
use crate::disk::Disk;
use crate::position::Identity;
use crate::segment::digits_between;

/// A completed snapshot's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotName {
    /// Where it ends, by its name.
    pub end_lsn: Lsn,
    /// The file's name.
    pub name: String,
}

pub(crate) fn snapshot_name(end_lsn: Lsn) -> String {
    format!("snap-{:020}.trefoil", end_lsn.0)
}

pub(super) fn part_name(start_lsn: Lsn) -> String {
    format!("snap-{:020}.part", start_lsn.0)
}

pub(crate) fn is_snapshot_name(name: &str) -> bool {
    digits_between(name, "snap-", ".trefoil").is_some()
}

pub(crate) fn is_unfinished_name(name: &str) -> bool {
    digits_between(name, "snap-", ".part").is_some()
}

/// All completed snapshots, the newest first. Nothing is opened.
pub fn list_snapshots<D: Disk>(disk: &D) -> io::Result<Vec<SnapshotName>> {
    let parse = |name: String| {
        let end_lsn = Lsn(digits_between(&name, "snap-", ".trefoil")?);
        Some(SnapshotName { end_lsn, name })
    };
    let mut found: Vec<SnapshotName> = disk.list()?.into_iter().filter_map(parse).collect();
    found.sort_unstable_by_key(|snapshot| std::cmp::Reverse(snapshot.end_lsn));
    Ok(found)
}

/// The newest snapshot of `shard` that ends at or before `up_to`, and what was wrong with newer ones.
///
/// Header, footer and piece heads are checked; payloads are checked when they are read. `up_to` is the last
/// record of the log that is known to be durable ([`Lsn`] `u64::MAX` if the caller checks later).
#[allow(clippy::type_complexity, reason = "a pair of the answer and the rejected candidates")]
pub fn newest_valid<D: Disk>(
    disk: &D,
    identity: Identity,
    shard: ShardId,
    up_to: Lsn,
) -> io::Result<(Option<SnapshotReader<D::File>>, Vec<(SnapshotName, SnapshotError)>)> {
    let mut rejected = Vec::new();
    for snapshot in list_snapshots(disk)? {
        if snapshot.end_lsn > up_to {
            continue;
        }
        match open_valid(disk, identity, &snapshot) {
            Ok(reader) if reader.header().shard == shard => return Ok((Some(reader), rejected)),
            Ok(_) => {}
            Err(error) => rejected.push((snapshot, error)),
        }
    }
    Ok((None, rejected))
}

fn open_valid<D: Disk>(
    disk: &D,
    identity: Identity,
    snapshot: &SnapshotName,
) -> Result<SnapshotReader<D::File>, SnapshotError> {
    let reader = SnapshotReader::open(disk, &snapshot.name)?;
    if reader.header().identity != identity {
        return Err(SnapshotError::Foreign(reader.header().identity));
    }
    if reader.footer().end.lsn != snapshot.end_lsn {
        return Err(SnapshotError::Footer);
    }
    reader.index()?;
    Ok(reader)
}

/// Renames the snapshots that end after `end` to `<name>.void`: what they hold of later records must never
/// be taken for records that get the same numbers. Durable when it returns. Returns the new names.
pub fn void_snapshots_after<D: Disk>(disk: &D, end: Lsn) -> io::Result<Vec<String>> {
    let names = disk.list()?;
    let mut voided = Vec::new();
    for snapshot in list_snapshots(disk)?.into_iter().filter(|snapshot| snapshot.end_lsn > end) {
        let (mut name, mut copy) = (format!("{}.void", snapshot.name), 2);
        while names.contains(&name) {
            name = format!("{}.void{copy}", snapshot.name);
            copy += 1;
        }
        disk.rename(&snapshot.name, &name)?;
        voided.push(name);
    }
    if !voided.is_empty() {
        disk.sync_dir()?;
    }
    Ok(voided)
}

/// The highest epoch that any snapshot's header tells of, void and unusable snapshots included: an epoch
/// that was ever used must not be used again for other records. Headers that cannot be read tell nothing.
pub fn highest_snapshot_epoch<D: Disk>(disk: &D) -> io::Result<Epoch> {
    let mut highest = Epoch::default();
    for name in disk.list()?.iter().filter(|name| name.starts_with("snap-")) {
        match SnapshotReader::read_header(&disk.open(name)?) {
            Ok((header, _)) => {
                let epochs = header.epochs.iter().map(|entry| entry.epoch);
                highest = epochs.fold(highest, Epoch::max);
            }
            Err(SnapshotError::Io(e)) => return Err(e),
            Err(_) => {}
        }
    }
    Ok(highest)
}

/// Removes what unfinished snapshots left behind and returns how many there were.
pub fn remove_unfinished<D: Disk>(disk: &D) -> io::Result<usize> {
    let names = disk.list()?;
    let parts = names.iter().filter(|name| is_unfinished_name(name));
    let mut removed = 0;
    for name in parts {
        disk.remove(name)?;
        removed += 1;
    }
    Ok(removed)
}
