//! Looks at a whole log and changes nothing.

use crate::aftermath::{Verdict, judge};
use crate::disk::Disk;
use crate::error::ScanError;
use crate::position::Identity;
use crate::scan::{LogScan, Tally};
use crate::segment::parse_spare_name;

/// What is in a log.
#[derive(Clone, Debug)]
pub struct VerifyReport {
    /// Everything up to the end of the valid frames: counts, positions, epochs, segments and their ranges.
    pub tally: Tally,
    /// What stands there.
    pub verdict: Verdict,
    /// Files allocated ahead or waiting to be reused.
    pub spares: Vec<String>,
    /// What earlier repairs cut off.
    pub archives: Vec<String>,
}

/// Reads every segment, frame and record length of a log that nobody is writing. Whose it is its headers say;
/// `known` helps where none of them can be read.
pub fn verify<D: Disk>(disk: &D, known: Option<Identity>) -> Result<VerifyReport, ScanError> {
    let mut scan = LogScan::open(disk).map_err(|source| ScanError::read(".", source))?;
    let stop = scan.drain()?;
    let identity = scan.identity().or(known);
    let verdict = judge(disk, identity, scan.files(), &stop, &scan.tally().positions)?;
    let names = disk.list().map_err(|source| ScanError::read(".", source))?;
    let spares = names.iter().filter(|name| parse_spare_name(name).is_some()).cloned().collect();
    let archives = names.into_iter().filter(|name| name.ends_with(".cut")).collect();
    Ok(VerifyReport { tally: scan.into_tally(), verdict, spares, archives })
}
