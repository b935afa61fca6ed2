//! Archives of tails that were cut off: records that a node had, and that its leader's history has not.
//!
//! `diverged-<epoch of the last record>-<first LSN>-<last LSN>.log` in the format of a segment, number 0:
//! a frame for each run, then a CleanStop note that says where it ends. Nothing reads it but people who
//! want their writes back (`trefoil log diverged`).
//!
//! Invariants:
//! * An archive has its name only once it is whole and synced.
//! * An archive is never overwritten, except by the same records.

use std::io;

use thiserror::Error;
use trefoil_clock::{Epoch, Hlc, Lsn};

use crate::disk::{Disk, DiskFile, read_full_at, write_all_at};
use crate::error::{Fault, WriteError};
use crate::frame::{FrameBody, FrameHeader, FrameKind, FrameMix};
use crate::note::Note;
use crate::position::{FrameSeq, Identity, SegmentNo, Stream};
use crate::run::Run;
use crate::scan::SegmentScan;
use crate::segment::{SegmentHeader, digits_at_start};
use crate::writer::put_run_prefix;

const PART: &str = "diverged.part";
const BUFFER_BYTES: usize = 1 << 20;

/// An archive that was not written, or cannot be read. Nothing was changed.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The log could not be brought up to date before.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The disk refused.
    #[error("cannot read or write {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// What should be in a file is not.
    #[error("{file} is damaged at byte {offset}: {fault}")]
    Damaged {
        /// The file.
        file: String,
        /// Where in it, bytes.
        offset: u64,
        /// What is wrong there.
        fault: Fault,
    },
}

impl ArchiveError {
    pub(crate) fn io(file: &str, source: io::Error) -> ArchiveError {
        ArchiveError::Io { file: file.to_owned(), source }
    }
}

/// An archive's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DivergedName {
    /// The file's name.
    pub name: String,
    /// The epoch of its last record.
    pub epoch: Epoch,
    /// Its first record.
    pub first: Lsn,
    /// Its last record.
    pub last: Lsn,
}

impl DivergedName {
    /// Reads a file's name. None: it is no archive's.
    #[must_use]
    pub fn parse(name: &str) -> Option<DivergedName> {
        parse_name(name.to_owned())
    }
}

fn parse_name(name: String) -> Option<DivergedName> {
    let (epoch, rest) = digits_at_start(name.strip_prefix("diverged-")?)?;
    let (first, rest) = digits_at_start(rest.strip_prefix('-')?)?;
    let (last, rest) = digits_at_start(rest.strip_prefix('-')?)?;
    let copy = rest.strip_suffix(".log")?;
    let is_copy = |copy: &str| copy.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok());
    (copy.is_empty() || is_copy(copy)).then_some(DivergedName {
        name,
        epoch: Epoch(epoch),
        first: Lsn(first),
        last: Lsn(last),
    })
}

/// All archives of tails, by name.
pub fn list_diverged<D: Disk>(disk: &D) -> io::Result<Vec<DivergedName>> {
    Ok(disk.list()?.into_iter().filter_map(parse_name).collect())
}

/// Removes an archive for good.
pub fn remove_diverged<D: Disk>(disk: &D, archive: &DivergedName) -> io::Result<()> {
    disk.remove(&archive.name)?;
    disk.sync_dir()
}

/// An archive being written.
pub(crate) struct DivergedWriter<'a, D: Disk> {
    disk: &'a D,
    file: D::File,
    stream: Stream,
    mix: FrameMix,
    buffer: Vec<u8>,
    written_bytes: u64,
    last_seq: FrameSeq,
    /// First record, last record, epoch of the last.
    extent: Option<(Lsn, Lsn, Epoch)>,
}

impl<'a, D: Disk> DivergedWriter<'a, D> {
    pub(crate) fn create(disk: &'a D, identity: Identity, stream: Stream) -> io::Result<Self> {
        match disk.remove(PART) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = disk.create(PART)?;
        let (number, first_seq) = (SegmentNo::default(), FrameSeq(1));
        let header = SegmentHeader { identity, number, first_seq, created: Hlc::default() };
        let (buffer, mix) = (header.encode().to_vec(), header.mix());
        let (written_bytes, last_seq) = (0, FrameSeq::default());
        Ok(DivergedWriter {
            disk,
            file,
            stream,
            mix,
            buffer,
            written_bytes,
            last_seq,
            extent: None,
        })
    }

    /// Adds the next records.
    pub(crate) fn add(&mut self, run: &Run<'_>) -> io::Result<()> {
        let mut head = 1u32.to_le_bytes().to_vec();
        put_run_prefix(run, &mut head);
        self.put_frame(FrameKind::Runs, &[&head, run.payload])?;
        let first = self.extent.map_or(run.header.base_lsn, |(first, ..)| first);
        self.extent = Some((first, run.header.last_lsn(), run.header.epoch));
        Ok(())
    }

    fn put_frame(&mut self, kind: FrameKind, body: &[&[u8]]) -> io::Result<()> {
        let len = body.iter().map(|part| part.len()).sum::<usize>();
        let len = u32::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let header = FrameHeader { len, kind, seq: self.last_seq.next(), durable: self.last_seq };
        self.buffer.extend_from_slice(&header.seal(self.mix, body));
        for part in body {
            self.buffer.extend_from_slice(part);
        }
        self.last_seq = header.seq;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all_at(&self.file, &self.buffer, self.written_bytes)
            .map_err(|partial| partial.source)?;
        self.written_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Completes the archive; `None` if it would be empty.
    pub(crate) fn finish(mut self) -> io::Result<Option<DivergedName>> {
        let Some((first, last, epoch)) = self.extent else {
            self.disk.remove(PART)?;
            return Ok(None);
        };
        let mut end = Vec::new();
        Note::CleanStop { ends: [(self.stream, last)].into_iter().collect() }.encode(&mut end);
        self.put_frame(FrameKind::CleanStop, &[&end])?;
        self.flush()?;
        self.file.sync_data()?;
        let name = self.free_name(first, last, epoch)?;
        self.disk.rename(PART, &name)?;
        self.disk.sync_dir()?;
        Ok(Some(DivergedName { name, epoch, first, last }))
    }

    /// A name that is free, or that of an archive of the same bytes: a cut that was interrupted is done
    /// again.
    fn free_name(&self, first: Lsn, last: Lsn, epoch: Epoch) -> io::Result<String> {
        let stem = format!("diverged-{:020}-{:020}-{:020}", epoch.0, first.0, last.0);
        let (mut name, mut copy) = (format!("{stem}.log"), 2);
        loop {
            let taken = match self.disk.open(&name) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(name),
                opened => opened?,
            };
            if same_bytes(&taken, &self.file)? {
                return Ok(name);
            }
            name = format!("{stem}-{copy}.log");
            copy += 1;
        }
    }
}

fn same_bytes<F: DiskFile>(one: &F, other: &F) -> io::Result<bool> {
    let size = one.size()?;
    if size != other.size()? {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let mut offset = 0;
    while offset < size {
        let count = read_full_at(one, &mut left, offset)?;
        if count == 0 || read_full_at(other, &mut right, offset)? != count {
            return Ok(false);
        }
        if left[..count] != right[..count] {
            return Ok(false);
        }
        offset += count as u64;
    }
    Ok(true)
}

/// Reads an archive, run after run.
pub struct DivergedReader<F> {
    archive: DivergedName,
    scan: SegmentScan<F>,
    /// The last record read.
    last: Option<Lsn>,
    ended: bool,
}

impl<F: DiskFile> DivergedReader<F> {
    /// Opens an archive of this node or, in a directory that was copied, of another one.
    pub fn open<D: Disk<File = F>>(
        disk: &D,
        archive: &DivergedName,
    ) -> Result<DivergedReader<F>, ArchiveError> {
        let opened = disk.open(&archive.name).and_then(SegmentScan::open);
        let scan = opened.map_err(|source| ArchiveError::io(&archive.name, source))?;
        let scan = scan.map_err(|_| ArchiveError::Damaged {
            file: archive.name.clone(),
            offset: 0,
            fault: Fault::SegmentHeader,
        })?;
        Ok(DivergedReader { archive: archive.clone(), scan, last: None, ended: false })
    }

    /// Whose records these were.
    pub fn identity(&self) -> Identity {
        self.scan.identity()
    }

    /// The next run, until all records that the archive's name promises were read.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] also if records are missing.
    #[allow(clippy::should_implement_trait, reason = "the run borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Run<'_>>, ArchiveError> {
        if self.ended {
            return Ok(None);
        }
        let stepped = self.scan.advance();
        if let Err(fault) =
            stepped.map_err(|source| ArchiveError::io(&self.archive.name, source))?
        {
            return Err(self.damaged(fault));
        }
        let run = match self.scan.frame().map(|frame| frame.body) {
            Some(FrameBody::Runs(runs)) => runs.iter().next(),
            Some(FrameBody::Note(_)) => None,
            None => return Err(self.damaged(Fault::Body)),
        };
        let expected = self.last.map_or(self.archive.first, Lsn::next);
        match run {
            Some(run) if run.header.base_lsn == expected => {
                self.last = Some(run.header.last_lsn());
                Ok(Some(run))
            }
            None if self.last == Some(self.archive.last) => {
                self.ended = true;
                Ok(None)
            }
            _ => Err(self.damaged(Fault::Body)),
        }
    }

    fn damaged(&self, fault: Fault) -> ArchiveError {
        let (file, offset) = (self.archive.name.clone(), self.scan.offset());
        ArchiveError::Damaged { file, offset, fault }
    }
}
