//! Carries out what the peers thread asks of the log thread, between two rounds of the driver.
//!
//! The log's writer, the data and the files change together here, and in an order that a crash at any
//! place leaves in a state from which a start goes on.

use trefoil_clock::Lsn;
use trefoil_log::{Disk, OldData, Replacement, Reseed};

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
            let with = Replacement { part, identity, used_epoch: node.replication.epoch(), old };
            Ok(replace(&with, driver, (node, disk), options))
        }
        Task::Adopt { identity } => {
            let (old, used_epoch) = (OldData::Aside, node.replication.epoch());
            let with = Replacement { part: None, identity, used_epoch, old };
            Ok(replace(&with, driver, (node, disk), options))
        }
    }
}

fn cut<D: Disk>(
    to: Lsn,
    rebuild: bool,
    driver: &mut LogDriver<D>,
    (node, disk): (&Node, &D),
    options: &StartOptions,
) -> Result<Outcome, LogLost> {
    match driver.writer_mut().can_truncate(SHARD, to) {
        Ok(true) => {}
        Ok(false) => return Ok(Outcome::Failed(nothing_left(to))),
        Err(error) => return Ok(Outcome::Failed(error.to_string())),
    }
    match driver.writer_mut().archive_tail(stream(), to) {
        Ok(None) => {}
        Ok(Some(archive)) => {
            eprintln!(
                "trefoil: records {} to {} are kept in {}",
                archive.first, archive.last, archive.name
            );
            // The archive is what counts; without a receipt people still find it.
            if let Err(error) = file_receipt(disk, &archive, Cut::now(node, &archive)) {
                eprintln!("trefoil: no receipt for {}: {error}", archive.name);
            }
        }
        Err(error) => return Ok(Outcome::Failed(error.to_string())),
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

fn nothing_left(to: Lsn) -> String {
    format!(
        "history can't be cut behind record {to}: all snapshots end later and the log does not reach back to \
         its beginning, so nothing would be left to load; the data has to be replaced by the leader's"
    )
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
