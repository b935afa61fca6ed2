//! Cuts a log at its first damage. What is cut off is kept in `wal-<first frame>-at-<offset>.cut` files:
//! nothing is discarded.
//!
//! Invariants:
//! * The archive is durable before the log loses the same bytes, so a crash on the way leaves both, and
//!   repairing again completes the work.
//! * An archive is never overwritten.

use std::io;

use crate::aftermath::{Verdict, judge};
use crate::disk::{Disk, DiskFile, read_full_at, write_all_at};
use crate::error::ScanError;
use crate::position::{FrameSeq, Identity};
use crate::recover::cut_file;
use crate::reseed::keep_used_epoch;
use crate::scan::{LogScan, SegmentFile};
use crate::segment::SEGMENT_HEADER_BYTES;

const COPY_BYTES: usize = 1 << 20;

/// What a repair did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RepairReport {
    /// Why there was something to cut; [`Verdict::End`] if there was nothing.
    pub verdict: Verdict,
    /// The last frame that stays.
    pub last_good: FrameSeq,
    /// The files that hold what was cut off.
    pub archives: Vec<String>,
    /// Their bytes, unused space included.
    pub bytes_archived: u64,
}

/// Cuts the log at the first place that is not a valid frame, and archives what is behind it. Whose log it is
/// its headers say; `known` helps where none of them can be read.
pub fn repair<D: Disk>(disk: &D, known: Option<Identity>) -> Result<RepairReport, ScanError> {
    let mut scan = LogScan::open(disk).map_err(|source| ScanError::read(".", source))?;
    let stop = scan.drain()?;
    let identity = scan.identity().or(known);
    let verdict = judge(disk, identity, scan.files(), &stop, &scan.tally().positions)?;
    let last_good = scan.tally().last_seq();
    let mut report = RepairReport { verdict, last_good, archives: Vec::new(), bytes_archived: 0 };
    if let Verdict::Damaged(damage) = &report.verdict {
        // What is cut off was somebody's history: its epochs are not used for another one.
        keep_used_epoch(disk, damage.highest_epoch)
            .map_err(|source| ScanError::read(".", source))?;
    }
    if let (Some(at), false) = (stop.file, report.verdict == Verdict::End) {
        let cut = Cut { disk, report: &mut report };
        cut.run(&scan.files()[at..], stop.offset).map_err(|(file, e)| ScanError::read(&file, e))?;
    }
    Ok(report)
}

struct Cut<'a, D: Disk> {
    disk: &'a D,
    report: &'a mut RepairReport,
}

type NamedError = (String, io::Error);

impl<D: Disk> Cut<'_, D> {
    /// Archives `files`, of the first one only what is behind `offset`.
    fn run(mut self, files: &[SegmentFile], offset: u64) -> Result<(), NamedError> {
        let Some((first, later)) = files.split_first() else { return Ok(()) };
        let named = |name: &str| {
            let name = name.to_owned();
            move |e| (name.clone(), e)
        };
        let partial = offset > SEGMENT_HEADER_BYTES as u64;
        if partial {
            self.copy_tail(first, offset).map_err(named(&first.name))?;
        }
        for file in later.iter().rev() {
            self.move_whole(file).map_err(named(&file.name))?;
        }
        if !partial {
            self.move_whole(first).map_err(named(&first.name))?;
        }
        if partial {
            cut_file(self.disk, &first.name, offset).map_err(named(&first.name))?;
        }
        Ok(())
    }

    fn copy_tail(&mut self, file: &SegmentFile, offset: u64) -> io::Result<()> {
        let archive = self.free_name(file, offset)?;
        let part = format!("{archive}.part");
        if self.disk.list()?.contains(&part) {
            self.disk.remove(&part)?;
        }
        let (source, target) = (self.disk.open(&file.name)?, self.disk.create(&part)?);
        let mut buffer = vec![0; COPY_BYTES];
        let mut copied = 0;
        loop {
            let count = read_full_at(&source, &mut buffer, offset + copied)?;
            if count == 0 {
                break;
            }
            write_all_at(&target, &buffer[..count], copied).map_err(|partial| partial.source)?;
            copied += count as u64;
        }
        target.sync_data()?;
        self.disk.rename(&part, &archive)?;
        self.disk.sync_dir()?;
        self.note(archive, copied);
        Ok(())
    }

    fn move_whole(&mut self, file: &SegmentFile) -> io::Result<()> {
        let archive = self.free_name(file, 0)?;
        let bytes = self.disk.open(&file.name)?.size()?;
        self.disk.rename(&file.name, &archive)?;
        // For certain before an earlier segment goes: what remains has to be the beginning of the log.
        self.disk.sync_dir()?;
        self.note(archive, bytes);
        Ok(())
    }

    fn note(&mut self, archive: String, bytes: u64) {
        self.report.archives.push(archive);
        self.report.bytes_archived += bytes;
    }

    /// Frame numbers are used again after a cut, so an archive of that name may exist already.
    fn free_name(&self, file: &SegmentFile, offset: u64) -> io::Result<String> {
        let names = self.disk.list()?;
        let stem = format!("wal-{:020}-at-{offset}", file.first_seq.0);
        let mut name = format!("{stem}.cut");
        let mut copy = 2;
        while names.contains(&name) {
            name = format!("{stem}-{copy}.cut");
            copy += 1;
        }
        Ok(name)
    }
}
