//! Carries out what the peers thread asks of the log thread, between two rounds of the driver.
//!
//! The log's writer, the data and the files change together here, and in an order that a crash at any
//! place leaves in a state from which a start goes on.

use std::io;

use trefoil_clock::{Epoch, Lsn};
use trefoil_log::{ArchiveError, Disk, OldData, Replacement, Reseed, WriteError, is_reseeding};

use super::driver::{LogDriver, LogLost, SHARD, stream};
use super::task::{Outcome, Task};
use crate::diverged::{Cut, file_receipt};
use crate::node::Node;
use crate::peers::{INCOMING, save_identity};
use crate::recovery::{StartOptions, load_into};

/// Carries out a task that [`super::Turn::Asked`] brought.
///
/// # Errors
/// The log can't be written any more: the process ends.
pub fn carry_out<D: Disk>(
    task: Task,
    driver: &mut LogDriver<D>,
    (node, disk): (&Node, &D),
    options: &mut StartOptions,
) -> Result<Outcome, LogLost> {
    match task {
        Task::BeginEpoch { entry, cause } => {
            driver.begin_epoch(entry, cause).map(|()| Outcome::Done)
        }
        Task::Cut { to, rebuild } => cut(to, rebuild, driver, (node, disk), options),
        Task::Install { identity, archive } => {
            let old = if archive { OldData::Aside } else { OldData::Remove };
            let part = Some(INCOMING.to_owned());
            let with = Replacement { part, identity, used_epoch: used_epoch(node), old };
            replace(&with, driver, (node, disk), options)
        }
        Task::Adopt { identity } => {
            let old = OldData::Aside;
            let with = Replacement { part: None, identity, used_epoch: used_epoch(node), old };
            replace(&with, driver, (node, disk), options)
        }
    }
}

fn cut<D: Disk>(
    to: Lsn,
    rebuild: bool,
    driver: &mut LogDriver<D>,
    (node, disk): (&Node, &D),
    options: &mut StartOptions,
) -> Result<Outcome, LogLost> {
    let leaves_something = match driver.writer_mut().can_truncate(SHARD, to) {
        Ok(leaves_something) => leaves_something,
        Err(error) => return Ok(Outcome::Failed(error.to_string())),
    };
    if !leaves_something && !rebuild {
        return Ok(Outcome::NeedsRebuild);
    }
    if let Err(error) = archive(to, driver, (node, disk)) {
        return Ok(Outcome::Failed(error.to_string()));
    }
    if !leaves_something {
        // All snapshots end later, and the log does not reach back to its beginning: what is left of
        // this history can't be loaded. It is put aside, and the leader sends all.
        let (identity, old) = (options.identity, OldData::Aside);
        let with = Replacement { part: None, identity, used_epoch: used_epoch(node), old };
        return replace(&with, driver, (node, disk), options);
    }
    if let Err(error) = driver.writer_mut().truncate_stream(SHARD, to) {
        return Err(driver.lost(error));
    }
    if rebuild {
        return Ok(reload(driver, (node, disk), options));
    }
    driver.continue_after(to);
    Ok(Outcome::Done)
}

/// Keeps the records behind `to`, which are about to be cut off.
fn archive<D: Disk>(
    to: Lsn,
    driver: &mut LogDriver<D>,
    (node, disk): (&Node, &D),
) -> Result<(), ArchiveError> {
    let Some(archive) = driver.writer_mut().archive_tail(stream(), to)? else { return Ok(()) };
    eprintln!(
        "trefoil: records {} to {} are kept in {}",
        archive.first, archive.last, archive.name
    );
    // The archive is what counts; without a receipt people still find it.
    if let Err(error) = file_receipt(disk, &archive, Cut::now(node, &archive)) {
        eprintln!("trefoil: no receipt for {}: {error}", archive.name);
    }
    Ok(())
}

/// The highest epoch that this node knows to have been used.
fn used_epoch(node: &Node) -> Epoch {
    node.replication.epoch()
}

/// Replaces everything that is on disk, then loads that.
///
/// # Errors
/// It was begun and could not be completed. The log's files may have other names by now, so nothing that
/// would be written could be relied on: the process ends, and its next start completes it.
fn replace<D: Disk>(
    with: &Replacement,
    driver: &mut LogDriver<D>,
    (node, disk): (&Node, &D),
    options: &mut StartOptions,
) -> Result<Outcome, LogLost> {
    let replaced = match Reseed::begin(disk, with) {
        Ok(reseed) => reseed.finish(|identity| save_identity(disk, identity)),
        // The disk may have failed at the very last step.
        Err(error) if is_reseeding(disk).unwrap_or(true) => Err(error),
        Err(error) => return Ok(Outcome::Failed(error.to_string())),
    };
    if let Err(error) = replaced {
        let (file, source) = ("reseed".to_owned(), io::Error::other(error));
        return Err(driver.lost(WriteError::Io { file, source }));
    }
    options.identity = with.identity;
    Ok(reload(driver, (node, disk), options))
}

/// Loads the data anew from what is on disk, and goes on with the log there.
fn reload<D: Disk>(
    driver: &mut LogDriver<D>,
    (node, disk): (&Node, &D),
    options: &StartOptions,
) -> Outcome {
    match load_into(&node.keyspace, disk.clone(), options) {
        Err(error) => Outcome::Failed(format!("what is on disk can't be loaded: {error}")),
        Ok(loaded) => {
            driver.continue_with(loaded.writer, loaded.report.epoch);
            Outcome::Reloaded(Box::new(loaded.report))
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::Arc;

    use trefoil_clock::{ClusterId, Identity, NodeId};
    use trefoil_log::{FaultDisk, FaultPlan, WriterOptions};
    use trefoil_store::KeyHasher;

    use super::*;
    use crate::harness::TestNode;
    use crate::recovery::start;

    #[test]
    fn a_replacement_that_has_begun_is_completed_or_ends_the_process() {
        let mut ended = 0;
        for fail in 1.. {
            let (disk, node) = (FaultDisk::new(), TestNode::new());
            let identity = Identity { node: NodeId(1), cluster: ClusterId(2) };
            let mut options = StartOptions {
                identity,
                hasher: KeyHasher::new(7),
                tallies: 2,
                log: WriterOptions { segment_bytes: 1 << 16, ..WriterOptions::default() },
            };
            let started = start(disk.clone(), options.clone()).expect("an empty disk");
            let (queue, epoch) = (Arc::clone(&node.node.log), started.report.epoch);
            let mut driver = LogDriver::new(queue, started.writer, epoch, Box::new(|_| {}));
            let fail_sync = Some(disk.syncs_done() + fail);
            disk.plan(FaultPlan { fail_sync, ..FaultPlan::default() });
            let task = Task::Adopt { identity: Identity { cluster: ClusterId(3), ..identity } };
            let place = (&*node.node, &disk);
            let outcome = carry_out(task, &mut driver, place, &mut options);
            let has_begun = is_reseeding(&disk).expect("a listing");
            assert!(!has_begun || outcome.is_err());
            match outcome {
                Ok(Outcome::Failed(_)) => {}
                Ok(Outcome::Reloaded(_)) => break,
                Ok(other) => panic!("{other:?}"),
                Err(_) => ended += u32::from(has_begun),
            }
        }
        assert!(ended > 0, "some syncs come when it has begun");
    }
}
