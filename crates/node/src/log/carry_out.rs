//! Carries out what the peers thread asks of the log thread, between two rounds of the driver.
//!
//! The log's writer, the data and the files change together here, and in an order that a crash at any
//! place leaves in a state from which a start goes on.

use trefoil_clock::{Epoch, Lsn};
use trefoil_log::{ArchiveError, Disk, OldData, Replacement, Reseed};

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
            Ok(replace(&with, driver, (node, disk), options))
        }
        Task::Adopt { identity } => {
            let old = OldData::Aside;
            let with = Replacement { part: None, identity, used_epoch: used_epoch(node), old };
            Ok(replace(&with, driver, (node, disk), options))
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
        return Ok(replace(&with, driver, (node, disk), options));
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
fn replace<D: Disk>(
    with: &Replacement,
    driver: &mut LogDriver<D>,
    (node, disk): (&Node, &D),
    options: &mut StartOptions,
) -> Outcome {
    let replaced = Reseed::begin(disk, with)
        .and_then(|reseed| reseed.finish(|identity| save_identity(disk, identity)));
    match replaced {
        Err(error) => Outcome::Failed(error.to_string()),
        Ok(_) => {
            options.identity = with.identity;
            reload(driver, (node, disk), options)
        }
    }
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
