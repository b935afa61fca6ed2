//! Frames of one segment: in order from the start, or searched for behind a bad place.

use std::io;
use std::ops::Range;

use crate::disk::{DiskFile, read_full_at};
use crate::error::Fault;
use crate::frame::{FRAME_HEADER_BYTES, Frame, FrameBody, FrameHeader, FrameMix, checksum_holds};
use crate::position::{FrameSeq, Identity, SegmentNo};
use crate::segment::{HeaderError, SEGMENT_HEADER_BYTES, SegmentHeader};

const WINDOW_BYTES: usize = 1 << 20;

/// Enough for the header and the first frames of most segments.
const GLANCE_BYTES: usize = 4 << 10;

/// A part of a file in memory.
struct Window<F> {
    file: F,
    /// Nothing is read from here on: the file's length when it was opened, or where its writer is.
    end: u64,
    /// Bytes that are read at once.
    ahead_bytes: usize,
    bytes: Vec<u8>,
    /// Where in the file `bytes` starts.
    start: u64,
}

impl<F: DiskFile> Window<F> {
    fn open(file: F) -> io::Result<Window<F>> {
        let end = file.size()?;
        Ok(Window { file, end, ahead_bytes: WINDOW_BYTES, bytes: Vec::new(), start: 0 })
    }

    /// The range in `bytes` of `count` bytes at `offset`, read if need be; `None` beyond the end.
    fn load(&mut self, offset: u64, count: usize) -> io::Result<Option<Range<usize>>> {
        if offset.checked_add(count as u64).is_none_or(|end| end > self.end) {
            return Ok(None);
        }
        let buffered = self.start..self.start + self.bytes.len() as u64;
        if offset < buffered.start || offset + count as u64 > buffered.end {
            let wanted = (self.ahead_bytes.max(count) as u64).min(self.end - offset) as usize;
            // A frame of hundreds of megabytes should not keep its memory for the rest of the scan.
            if self.bytes.capacity() > 2 * WINDOW_BYTES.max(wanted) {
                self.bytes = Vec::new();
            }
            self.bytes.resize(wanted, 0);
            let filled = read_full_at(&self.file, &mut self.bytes, offset)?;
            self.bytes.truncate(filled);
            self.start = offset;
            if filled < count {
                return Ok(None);
            }
        }
        let at = (offset - self.start) as usize;
        Ok(Some(at..at + count))
    }
}

/// Reads one segment's frames in order.
pub(crate) struct SegmentScan<F> {
    window: Window<F>,
    header: SegmentHeader,
    mix: FrameMix,
    /// Where the current frame starts, or where the next one is expected.
    offset: u64,
    expected: FrameSeq,
    /// The frame that the scan stands on.
    found: Option<(FrameHeader, Range<usize>)>,
}

impl<F: DiskFile> SegmentScan<F> {
    pub(crate) fn open(file: F) -> io::Result<Result<SegmentScan<F>, HeaderError>> {
        SegmentScan::start(Window::open(file)?)
    }

    /// A scan of a segment that is being written, or of which not much may be wanted: reads little at
    /// once and nothing from `end` on, until [`SegmentScan::read_to`].
    pub(crate) fn glance(file: F, end: u64) -> io::Result<Result<SegmentScan<F>, HeaderError>> {
        SegmentScan::start(Window {
            file,
            end,
            ahead_bytes: GLANCE_BYTES,
            bytes: Vec::new(),
            start: 0,
        })
    }

    fn start(mut window: Window<F>) -> io::Result<Result<SegmentScan<F>, HeaderError>> {
        let Some(range) = window.load(0, SEGMENT_HEADER_BYTES)? else {
            return Ok(Err(HeaderError::Damaged));
        };
        Ok(SegmentHeader::decode(&window.bytes[range]).map(|header| SegmentScan {
            window,
            header,
            mix: header.mix(),
            offset: SEGMENT_HEADER_BYTES as u64,
            expected: header.first_seq,
            found: None,
        }))
    }

    /// From now on reads much at once, up to `end`; what was read before lies below the old end.
    pub(crate) fn read_to(&mut self, end: u64) {
        self.window.end = end;
        self.window.ahead_bytes = WINDOW_BYTES;
    }

    /// [`SegmentScan::read_to`] the end of the file: its writer is done with it.
    pub(crate) fn read_to_file_end(&mut self) -> io::Result<()> {
        self.read_to(self.window.file.size()?);
        Ok(())
    }

    /// Goes on at a place where a frame is known to start.
    pub(crate) fn skip_to(&mut self, offset: u64, expected: FrameSeq) {
        (self.offset, self.expected, self.found) = (offset, expected, None);
    }

    pub(crate) fn number(&self) -> SegmentNo {
        self.header.number
    }

    pub(crate) fn first_seq(&self) -> FrameSeq {
        self.header.first_seq
    }

    pub(crate) fn identity(&self) -> Identity {
        self.header.identity
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Steps onto the next frame, or says why there is none.
    pub(crate) fn advance(&mut self) -> io::Result<Result<(), Fault>> {
        if let Some((header, _)) = self.found.take() {
            self.offset += header.frame_bytes();
            self.expected = self.expected.next();
        }
        let Some(range) = self.window.load(self.offset, FRAME_HEADER_BYTES)? else {
            return Ok(Err(Fault::Absent));
        };
        let header = match FrameHeader::decode(&self.window.bytes[range]) {
            Some(header) if header.seq == self.expected => header,
            _ => return Ok(Err(Fault::Absent)),
        };
        let frame_bytes = FRAME_HEADER_BYTES + header.len as usize;
        let Some(range) = self.window.load(self.offset, frame_bytes)? else {
            return Ok(Err(Fault::Length));
        };
        if !checksum_holds(&self.window.bytes[range.clone()], self.mix) {
            return Ok(Err(Fault::Checksum));
        }
        self.found = Some((header, range));
        Ok(Ok(()))
    }

    /// The frame that the scan stands on; `None` if its body cannot be decoded.
    pub(crate) fn frame(&self) -> Option<Frame<'_>> {
        let (header, range) = self.found.as_ref()?;
        let body = self.window.bytes.get(range.start + FRAME_HEADER_BYTES..range.end)?;
        let body = FrameBody::decode(header.kind, body)?;
        Some(Frame { header: *header, segment: self.header.number, offset: self.offset, body })
    }
}

/// Calls `found` with every whole frame of a segment with that mix from `offset` on, wherever it starts, whose
/// sequence number is at least `from_seq`. Returns where the last of them ended.
pub(crate) fn find_frames<F: DiskFile>(
    file: F,
    mix: FrameMix,
    mut offset: u64,
    from_seq: FrameSeq,
    mut found: impl FnMut(&FrameHeader, &[u8]),
) -> io::Result<Option<u64>> {
    let mut window = Window::open(file)?;
    let mut last_end = None;
    while let Some((at, header, range)) = window.find_candidate(offset, from_seq)? {
        let frame = &window.bytes[range];
        if checksum_holds(frame, mix) {
            found(&header, &frame[FRAME_HEADER_BYTES..]);
            offset = at + header.frame_bytes();
            last_end = Some(offset);
        } else {
            offset = at + 1;
        }
    }
    Ok(last_end)
}

/// The number of a segment of `identity` whose header is damaged: the one, starting at `lowest`, under which
/// the checksum of some frame holds; and where that frame starts.
pub(crate) fn find_number<F: DiskFile>(
    file: F,
    identity: Identity,
    lowest: SegmentNo,
    from_seq: FrameSeq,
) -> io::Result<Option<(SegmentNo, u64)>> {
    /// Numbers are skipped when a spare is dropped, but never many in a row.
    const NUMBERS_TRIED: u32 = 1024;
    let mut window = Window::open(file)?;
    let mut offset = SEGMENT_HEADER_BYTES as u64;
    while let Some((at, _, range)) = window.find_candidate(offset, from_seq)? {
        let low = FrameMix::of_frame(&window.bytes[range]).map(|mix| mix.segment(identity));
        let above = low.map(|low| low.wrapping_sub(lowest.0 as u32));
        if let Some(above) = above.filter(|above| *above < NUMBERS_TRIED) {
            return Ok(Some((SegmentNo(lowest.0 + u64::from(above)), at)));
        }
        offset = at + 1;
    }
    Ok(None)
}

/// The mix of a segment of whoever, whose header is damaged: the one under which the checksums of two frames
/// hold that follow each other; and where the first of them starts.
pub(crate) fn find_mix<F: DiskFile>(
    file: F,
    from_seq: FrameSeq,
) -> io::Result<Option<(FrameMix, u64)>> {
    let mut window = Window::open(file)?;
    let mut offset = SEGMENT_HEADER_BYTES as u64;
    while let Some((at, header, range)) = window.find_candidate(offset, from_seq)? {
        let mix = FrameMix::of_frame(&window.bytes[range]);
        let next = window.frame_at(at + header.frame_bytes(), header.seq.next())?;
        if let (Some(mix), Some(range)) = (mix, next)
            && checksum_holds(&window.bytes[range], mix)
        {
            return Ok(Some((mix, at)));
        }
        offset = at + 1;
    }
    Ok(None)
}

impl<F: DiskFile> Window<F> {
    /// The bytes of what looks like frame `seq` at a place.
    fn frame_at(&mut self, offset: u64, seq: FrameSeq) -> io::Result<Option<Range<usize>>> {
        let Some(range) = self.load(offset, FRAME_HEADER_BYTES)? else { return Ok(None) };
        match FrameHeader::decode(&self.bytes[range]) {
            Some(header) if header.seq == seq => {
                self.load(offset, FRAME_HEADER_BYTES + header.len as usize)
            }
            _ => Ok(None),
        }
    }

    /// The first place from `offset` on that looks like a whole frame not below `from_seq`: where it is,
    /// its header, and its bytes. Its checksum is not looked at.
    fn find_candidate(
        &mut self,
        mut offset: u64,
        from_seq: FrameSeq,
    ) -> io::Result<Option<(u64, FrameHeader, Range<usize>)>> {
        while let Some(range) = self.load(offset, FRAME_HEADER_BYTES)? {
            let ahead = &self.bytes[range.start..];
            let Some((skip, header)) = plausible(ahead, from_seq) else {
                offset += (ahead.len() - FRAME_HEADER_BYTES + 1) as u64;
                continue;
            };
            offset += skip as u64;
            if let Some(range) = self.load(offset, FRAME_HEADER_BYTES + header.len as usize)? {
                return Ok(Some((offset, header, range)));
            }
            offset += 1;
        }
        Ok(None)
    }
}

/// The first place in `bytes` that looks like the header of a frame not below `from_seq`.
fn plausible(bytes: &[u8], from_seq: FrameSeq) -> Option<(usize, FrameHeader)> {
    const KIND_AT: usize = 8;
    /// No log gets that far ahead of itself.
    const SEQ_AHEAD_MAX: u64 = 1 << 40;
    let last_start = bytes.len().checked_sub(FRAME_HEADER_BYTES)?;
    (0..=last_start).filter(|&start| bytes[start + KIND_AT] != 0).find_map(|start| {
        let header = FrameHeader::decode(&bytes[start..])?;
        let ahead = header.seq.0.checked_sub(from_seq.0)?;
        (ahead < SEQ_AHEAD_MAX).then_some((start, header))
    })
}
