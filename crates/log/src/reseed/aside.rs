//! Old data makes room: it is put aside under a number, for people who want it back, or removed.

use std::collections::BTreeMap;
use std::io;

use crate::disk::{Disk, DiskFile};
use crate::segment::{digits_at_start, parse_segment_name, parse_spare_name};
use crate::snapshot::{is_seed_mark, is_snapshot_name, is_unfinished_name};

const PREFIX: &str = "aside-";

/// A log and snapshots that were put aside. Renaming its files back, in an empty directory with the old
/// `node.id`, makes them a node's data again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aside {
    /// Its number, from 1.
    pub number: u64,
    /// Its files' present names.
    pub names: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
}

fn parse(name: &str) -> Option<u64> {
    let (number, rest) = digits_at_start(name.strip_prefix(PREFIX)?)?;
    rest.starts_with('-').then_some(number)
}

/// Everything that was put aside, oldest first.
pub fn list_aside<D: Disk>(disk: &D) -> io::Result<Vec<Aside>> {
    let mut found = BTreeMap::<u64, Aside>::new();
    for name in disk.list()? {
        let Some(number) = parse(&name) else { continue };
        let empty = || Aside { number, names: Vec::new(), bytes: 0 };
        let aside = found.entry(number).or_insert_with(empty);
        aside.bytes += disk.open(&name)?.size()?;
        aside.names.push(name);
    }
    Ok(found.into_values().collect())
}

/// Removes what was put aside under a number for good.
pub fn remove_aside<D: Disk>(disk: &D, number: u64) -> io::Result<()> {
    for name in disk.list()?.iter().filter(|name| parse(name) == Some(number)) {
        disk.remove(name)?;
    }
    disk.sync_dir()
}

pub(super) fn unused_number<D: Disk>(disk: &D) -> io::Result<u64> {
    Ok(disk.list()?.iter().filter_map(|name| parse(name)).max().unwrap_or_default() + 1)
}

/// Puts the log and the snapshots aside under a number, or removes them; what is of use only to a process
/// that writes them goes in any case. Durable when it returns.
pub(super) fn clear<D: Disk>(
    disk: &D,
    number: Option<u64>,
    spared: Option<&str>,
) -> io::Result<()> {
    for name in disk.list()?.iter().filter(|name| Some(name.as_str()) != spared) {
        let is_data = parse_segment_name(name).is_some() || is_snapshot_name(name);
        let is_scratch =
            parse_spare_name(name).is_some() || is_unfinished_name(name) || is_seed_mark(name);
        match number {
            Some(number) if is_data => {
                disk.rename(name, &format!("{PREFIX}{number:020}-{name}"))?;
            }
            _ if is_data || is_scratch => disk.remove(name)?,
            _ => {}
        }
    }
    disk.sync_dir()
}
