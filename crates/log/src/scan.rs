//! Reads frames in order, segment after segment, in bounded memory: what recovery, verification, repair
//! and `log show` have in common.
//!
//! A scan stops at the first place where no valid frame with the expected number follows. It does not
//! judge that place (see `aftermath.rs`) and changes nothing.
//!
//! Invariants:
//! * The frames that a scan yields are dense in sequence number, and their records dense per stream.
//! * At most one frame or one window (1 MiB) is in memory, whichever is larger.

mod segment_scan;
mod tally;

use std::io;

pub(crate) use self::segment_scan::{SegmentScan, find_frames, find_mix, find_number};
pub use self::tally::Tally;
use crate::disk::{Disk, read_full_at};
use crate::error::{Fault, ScanError};
use crate::frame::{Frame, FrameBody};
use crate::position::{FrameSeq, Identity, Positions};
use crate::segment::{
    HeaderError, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentInfo, parse_segment_name,
};

/// A segment's file as listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) name: String,
    pub(crate) first_seq: FrameSeq,
}

/// Where a scan stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stop {
    /// Index into the scan's files; `None` if there is no file.
    pub(crate) file: Option<usize>,
    /// Where in that file, bytes.
    pub(crate) offset: u64,
    /// The number of the frame that is missing there.
    pub(crate) expected: FrameSeq,
    /// What is there instead.
    pub(crate) fault: Fault,
}

/// Iterates the frames of a log. Lends each frame until the next call.
pub struct LogScan<D: Disk> {
    disk: D,
    files: Vec<SegmentFile>,
    current: Option<SegmentScan<D::File>>,
    /// Index of the current segment; meaningless before the first.
    index: usize,
    identity: Option<Identity>,
    tally: Tally,
    stop: Option<Stop>,
}

impl<D: Disk> LogScan<D> {
    /// A scan from the first frame on, of whichever node's log is there.
    pub fn open(disk: &D) -> io::Result<LogScan<D>> {
        LogScan::start(disk, Tally::starting_anywhere())
    }

    /// A scan that insists on every record after `from`.
    pub(crate) fn open_after(disk: &D, from: &Positions) -> io::Result<LogScan<D>> {
        LogScan::start(disk, Tally::starting_after(from))
    }

    fn start(disk: &D, tally: Tally) -> io::Result<LogScan<D>> {
        let files = list_segments(disk)?;
        let disk = disk.clone();
        Ok(LogScan { disk, files, current: None, index: 0, identity: None, tally, stop: None })
    }

    /// The next frame, or `None` where valid frames end.
    #[allow(clippy::should_implement_trait, reason = "the frame borrows from the scan")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, ScanError> {
        if self.stop.is_some() {
            return Ok(None);
        }
        loop {
            let Some(current) = &mut self.current else {
                if !self.enter(0)? {
                    return Ok(None);
                }
                continue;
            };
            let name = &self.files[self.index].name;
            match current.advance().map_err(|source| ScanError::read(name, source))? {
                Ok(()) => break,
                Err(fault) => {
                    let offset = current.offset();
                    if !self.follow(offset, fault)? {
                        return Ok(None);
                    }
                }
            }
        }
        self.take_frame()
    }

    /// Where nothing more could be read in this segment: goes on to the next one if that continues.
    fn follow(&mut self, offset: u64, fault: Fault) -> Result<bool, ScanError> {
        let next = self.index + 1;
        let continues =
            self.files.get(next).is_some_and(|file| file.first_seq == self.tally.last_seq().next());
        if continues {
            return self.enter(next);
        }
        self.halt(Some(self.index), offset, fault);
        Ok(false)
    }

    /// Opens segment `index`; `false` if there is none or its header cannot be read.
    fn enter(&mut self, index: usize) -> Result<bool, ScanError> {
        let Some(file) = self.files.get(index).cloned() else {
            self.halt(None, 0, Fault::Absent);
            return Ok(false);
        };
        if index == 0 {
            self.tally.start_at(file.first_seq);
        }
        self.index = index;
        let opened = self.disk.open(&file.name).and_then(SegmentScan::open);
        let opened = opened.map_err(|source| ScanError::read(&file.name, source))?;
        match opened.and_then(|scan| {
            if scan.first_seq() == file.first_seq { Ok(scan) } else { Err(HeaderError::Damaged) }
        }) {
            Ok(scan) => {
                self.check_identity(&file.name, scan.identity())?;
                self.tally.enter(SegmentInfo::empty(scan.number(), file.first_seq));
                self.current = Some(scan);
                Ok(true)
            }
            Err(HeaderError::Damaged) => {
                self.halt(Some(index), 0, Fault::SegmentHeader);
                Ok(false)
            }
            Err(HeaderError::Version { version }) => {
                Err(ScanError::Version { file: file.name, version })
            }
        }
    }

    fn check_identity(&mut self, file: &str, found: Identity) -> Result<(), ScanError> {
        match self.identity {
            Some(identity) if identity != found => {
                Err(ScanError::Foreign { file: file.to_owned(), found, expected: identity })
            }
            _ => {
                self.identity = Some(found);
                Ok(())
            }
        }
    }

    /// Decodes and counts the frame that the segment's scan stands on.
    fn take_frame(&mut self) -> Result<Option<Frame<'_>>, ScanError> {
        let current = self.current.as_ref().expect("a frame was found in an open segment");
        let offset = current.offset();
        let frame = current.frame();
        let counted = match &frame {
            Some(frame) => self.tally.count(frame)?,
            None => Err(Fault::Body),
        };
        if let Err(fault) = counted {
            let expected = self.tally.last_seq().next();
            self.stop = Some(Stop { file: Some(self.index), offset, expected, fault });
            return Ok(None);
        }
        Ok(frame)
    }

    fn halt(&mut self, file: Option<usize>, offset: u64, fault: Fault) {
        let expected = self.tally.last_seq().next();
        self.stop = Some(Stop { file, offset, expected, fault });
    }

    /// Insists that the log is this node's; to be called before the first frame.
    pub(crate) fn expect_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    /// Whose log it is, as far as that is known.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// What has been read so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn files(&self) -> &[SegmentFile] {
        &self.files
    }

    /// Reads to the end and says where that is.
    pub(crate) fn drain(&mut self) -> Result<Stop, ScanError> {
        while self.next()?.is_some() {}
        Ok(self.stopped())
    }

    pub(crate) fn stopped(&self) -> Stop {
        self.stop.clone().expect("a scan is asked for its end after it ended")
    }

    /// The file that the scan is in.
    pub(crate) fn file_name(&self) -> &str {
        self.files.get(self.index).map_or(".", |file| &file.name)
    }

    pub(crate) fn into_tally(self) -> Tally {
        self.tally
    }
}

/// Whether any run of the frame ends above `from`; notes always count.
pub(crate) fn is_needed(frame: &Frame<'_>, from: &Positions) -> bool {
    match &frame.body {
        FrameBody::Note(_) => true,
        FrameBody::Runs(runs) => {
            runs.iter().any(|run| run.header.last_lsn() > from.get(run.header.stream()))
        }
    }
}

/// All segments, by first frame.
pub(crate) fn list_segments<D: Disk>(disk: &D) -> io::Result<Vec<SegmentFile>> {
    let names = disk.list()?;
    let parse =
        |name: String| parse_segment_name(&name).map(|first_seq| SegmentFile { name, first_seq });
    let mut files: Vec<SegmentFile> = names.into_iter().filter_map(parse).collect();
    files.sort_unstable_by_key(|file| file.first_seq);
    Ok(files)
}

/// Reads a segment's header.
pub(crate) fn read_header<D: Disk>(
    disk: &D,
    name: &str,
) -> io::Result<Result<SegmentHeader, HeaderError>> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let count = read_full_at(&disk.open(name)?, &mut bytes, 0)?;
    Ok(SegmentHeader::decode(&bytes[..count]))
}
