//! Replaces all data of a node by a snapshot that it received, or by nothing.
//!
//! [`Reseed::begin`] checks the snapshot and writes down, in the file `reseed`, what is to be done. From
//! then on it will be done: a start that finds that file goes on ([`resume_if_interrupted`]) before it
//! looks at anything else. So the power may fail at any time: either all old data is there, or it is gone
//! and the snapshot is there.
//!
//! In order: the old log and snapshots are renamed to `aside-<number>-<old name>` or removed; the snapshot
//! gets its name, as a seed; the node adopts the identity of the new history; the file `reseed` goes.
//! Archives of earlier repairs and cuts stay.

mod aside;
mod marker;

use std::io;

use thiserror::Error;
use trefoil_clock::{Epoch, Lsn};

pub use self::aside::{Aside, list_aside, remove_aside};
use self::marker::Marker;
use crate::disk::Disk;
use crate::position::Identity;
use crate::segment::digits_between;
use crate::snapshot::{SnapshotError, SnapshotName, own, place};

const USED_EPOCH: &str = "used-epoch-";

/// What becomes of the old log and snapshots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OldData {
    /// They are put aside: they are of another history, which nobody else may have.
    Aside,
    /// They are removed: they are an earlier state of the same history.
    Remove,
}

/// By what a node's data is replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replacement {
    /// The file of a snapshot that was received whole and synced; `None`: by nothing.
    pub part: Option<String>,
    /// Who the node is from then on.
    pub identity: Identity,
    /// The highest epoch that the node knows to have been used: it will not use it again.
    pub used_epoch: Epoch,
    /// What becomes of what there was.
    pub old: OldData,
}

/// A replacement that did not begin, or was not completed.
#[derive(Debug, Error)]
pub enum ReseedError {
    /// The received snapshot cannot be used. Nothing was changed but perhaps its header.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The disk refused. If the replacement had begun, go on with it: [`resume_if_interrupted`].
    #[error("the data could not be replaced: {0}")]
    Io(#[from] io::Error),
    /// The file `reseed` is damaged.
    #[error(
        "the file `reseed` is damaged. It says how the data of this directory is being replaced. Restore \
         the directory from a copy, or start with an empty one"
    )]
    Marker,
}

/// A replacement that has begun.
#[must_use = "a replacement that has begun has to be finished"]
pub struct Reseed<D: Disk> {
    disk: D,
    marker: Marker,
}

impl<D: Disk> Reseed<D> {
    /// Checks everything and begins. The writer of the old log, and whoever takes snapshots, is gone.
    ///
    /// # Errors
    /// Nothing has begun, unless the disk failed at the very last step; then a start completes it.
    pub fn begin(disk: &D, with: &Replacement) -> Result<Reseed<D>, ReseedError> {
        let seed = match &with.part {
            Some(part) => Some((part.clone(), own(disk, part, with.identity)?.end_lsn)),
            None => None,
        };
        let aside = match with.old {
            OldData::Aside => Some(aside::unused_number(disk)?),
            OldData::Remove => None,
        };
        let Replacement { identity, used_epoch, .. } = *with;
        let marker = Marker { identity, used_epoch, seed, aside };
        marker.write(disk)?;
        Ok(Reseed { disk: disk.clone(), marker })
    }

    /// Does it. `adopt` makes the new identity durable; it may be called again with the same one.
    ///
    /// # Errors
    /// The old data may be gone: only [`resume_if_interrupted`] helps.
    pub fn finish(
        self,
        adopt: impl FnOnce(Identity) -> io::Result<()>,
    ) -> Result<Option<SnapshotName>, ReseedError> {
        let Reseed { disk, marker } = self;
        keep_used_epoch(&disk, marker.used_epoch)?;
        let snapshot = marker.seed.as_ref().map(|(_, end_lsn)| SnapshotName::ending_at(*end_lsn));
        match &marker.seed {
            // It has its name already, so the old data is gone for certain.
            Some((part, _)) if !disk.list()?.contains(part) => {
                let name = snapshot.as_ref().map_or("", |snapshot| &snapshot.name);
                disk.open(name)?;
            }
            seed => {
                aside::clear(&disk, marker.aside, seed.as_ref().map(|(part, _)| part.as_str()))?;
                if let (Some((part, _)), Some(snapshot)) = (seed, &snapshot) {
                    place(&disk, part, snapshot)?;
                }
            }
        }
        adopt(marker.identity)?;
        Marker::remove(&disk)?;
        Ok(snapshot)
    }
}

/// What a completed replacement left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reseeded {
    /// The snapshot that is the node's data now.
    pub snapshot: Option<SnapshotName>,
    /// Who the node is now.
    pub identity: Identity,
}

/// Whether a replacement was begun and is not complete.
pub fn is_reseeding<D: Disk>(disk: &D) -> io::Result<bool> {
    Marker::is_there(disk)
}

/// Completes a replacement that was begun: the first thing that a start does. `None`: there was none.
pub fn resume_if_interrupted<D: Disk>(
    disk: &D,
    adopt: impl FnOnce(Identity) -> io::Result<()>,
) -> Result<Option<Reseeded>, ReseedError> {
    let Some(marker) = Marker::read(disk)? else { return Ok(None) };
    let identity = marker.identity;
    let snapshot = Reseed { disk: disk.clone(), marker }.finish(adopt)?;
    Ok(Some(Reseeded { snapshot, identity }))
}

/// Notes that an epoch was used, for a time when nothing else tells of it.
pub fn keep_used_epoch<D: Disk>(disk: &D, epoch: Epoch) -> io::Result<()> {
    if used_epoch(disk)? >= epoch {
        return Ok(());
    }
    disk.create(&format!("{USED_EPOCH}{:020}", epoch.0))?;
    disk.sync_dir()?;
    for name in disk.list()? {
        if digits_between(&name, USED_EPOCH, "").is_some_and(|older| older < epoch.0) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

/// The highest epoch that was used by data which is not there any more.
pub fn used_epoch<D: Disk>(disk: &D) -> io::Result<Epoch> {
    let names = disk.list()?;
    let epochs = names.iter().filter_map(|name| digits_between(name, USED_EPOCH, ""));
    Ok(Epoch(epochs.max().unwrap_or_default()))
}

impl SnapshotName {
    fn ending_at(end_lsn: Lsn) -> SnapshotName {
        SnapshotName { end_lsn, name: crate::snapshot::snapshot_name(end_lsn) }
    }
}
