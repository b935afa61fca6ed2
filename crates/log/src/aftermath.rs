//! What lies behind the place where valid frames end, and what that makes of it: a torn tail or damage.
//!
//! A bad frame is damage if a later frame says that it had been synced; without such a witness it is a
//! tail that never reached the disk as a whole. A frame whose checksum holds but whose content does not
//! follow is always damage.

use std::collections::BTreeMap;
use std::io;

use trefoil_clock::{Epoch, Lsn};

use crate::disk::{Disk, DiskFile, read_full_at};
use crate::error::{Damage, Fault, Lost, ScanError};
use crate::frame::{FRAME_HEADER_BYTES, FrameBody, FrameHeader, FrameMix, checksum_holds};
use crate::note::Note;
use crate::position::{FrameSeq, Identity, Positions, SegmentNo, Stream};
use crate::scan::{SegmentFile, Stop, find_frames, find_mix, find_number, read_header};
use crate::segment::SEGMENT_HEADER_BYTES;

/// A tail that was never synced as a whole, and is cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torn {
    /// The segment's file.
    pub file: String,
    /// Where the good part ends, bytes.
    pub offset: u64,
    /// What is there.
    pub fault: Fault,
    /// The last frame that stays.
    pub last_good: FrameSeq,
    /// Bytes of frames that are cut off, as far as they can be told from unused space.
    pub bytes_cut: u64,
    /// Whole frames among them.
    pub frames_cut: u64,
}

/// What stands at the end of the valid frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing is there: the log simply ends.
    End,
    /// A frame that was being written; recovery cuts it.
    Torn(Torn),
    /// Something that had been synced; recovery refuses it.
    Damaged(Box<Damage>),
}

/// What was found behind the stop.
#[derive(Default)]
struct Aftermath {
    frames: u64,
    bytes: u64,
    synced: FrameSeq,
    last_lsns: BTreeMap<Stream, Lsn>,
    highest_epoch: Epoch,
}

impl Aftermath {
    fn witness(&mut self, header: &FrameHeader, body: &[u8]) {
        self.frames += 1;
        self.synced = self.synced.max(header.durable);
        match FrameBody::decode(header.kind, body) {
            Some(FrameBody::Runs(runs)) => {
                for run in runs.iter() {
                    let last = self.last_lsns.entry(run.header.stream()).or_default();
                    *last = run.header.last_lsn().max(*last);
                    self.highest_epoch = self.highest_epoch.max(run.header.epoch);
                }
            }
            Some(FrameBody::Note(Note::EpochStart { entry, .. })) => {
                self.highest_epoch = self.highest_epoch.max(entry.epoch);
            }
            _ => {}
        }
    }

    fn lost(&self, positions: &Positions) -> Vec<Lost> {
        let lost = |(stream, to): (&Stream, &Lsn)| {
            let from = positions.get(*stream).next();
            (*to >= from).then_some(Lost { stream: *stream, from, to: *to })
        };
        self.last_lsns.iter().filter_map(lost).collect()
    }
}

/// Looks behind `stop` and judges. `identity`: whose log it is, if that is known.
pub(crate) fn judge<D: Disk>(
    disk: &D,
    identity: Option<Identity>,
    files: &[SegmentFile],
    stop: &Stop,
    positions: &Positions,
) -> Result<Verdict, ScanError> {
    let Some(at) = stop.file else { return Ok(Verdict::End) };
    let mut after = Aftermath::default();
    let mut before = number_before(disk, files, at)?;
    let mut header_decayed = false;
    for (index, file) in files.iter().enumerate().skip(at) {
        let from = if index == at { stop.offset } else { 0 };
        let Some(known) = mix_of(disk, identity, file, before, stop.expected)? else {
            continue;
        };
        search(disk, file, known.mix, from, stop.expected, &mut after)?;
        // The first frame shares a sector with the header: they reach the disk together, so a header that
        // is bad in front of a frame that is good went bad later.
        header_decayed |= index == at && known.by_frame_at == Some(SEGMENT_HEADER_BYTES as u64);
        before = known.number.or(before);
    }
    let file = files[at].name.clone();
    let last_good = FrameSeq(stop.expected.0 - 1);
    let inconsistent = matches!(stop.fault, Fault::Body | Fault::LsnGap { .. });
    if inconsistent || header_decayed || after.synced >= stop.expected {
        return Ok(Verdict::Damaged(Box::new(Damage {
            file,
            offset: stop.offset,
            fault: stop.fault,
            last_good,
            synced: after.synced.max(last_good),
            frames_behind: after.frames,
            lost: after.lost(positions),
            highest_epoch: after.highest_epoch,
        })));
    }
    let bytes_cut = after.bytes.max(started_bytes(disk, &files[at], stop)?);
    if bytes_cut == 0 {
        return Ok(Verdict::End);
    }
    let (offset, fault, frames_cut) = (stop.offset, stop.fault, after.frames);
    Ok(Verdict::Torn(Torn { file, offset, fault, last_good, bytes_cut, frames_cut }))
}

fn search<D: Disk>(
    disk: &D,
    file: &SegmentFile,
    mix: FrameMix,
    from: u64,
    expected: FrameSeq,
    after: &mut Aftermath,
) -> Result<(), ScanError> {
    let read_error = |source| ScanError::read(&file.name, source);
    let handle = disk.open(&file.name).map_err(read_error)?;
    let end = find_frames(handle, mix, from, expected, |header, body| after.witness(header, body));
    after.bytes += end.map_err(read_error)?.map_or(0, |end| end - from);
    Ok(())
}

/// Bytes of the frame that was begun at the stop: its header is there, the rest is not or not whole.
fn started_bytes<D: Disk>(disk: &D, file: &SegmentFile, stop: &Stop) -> Result<u64, ScanError> {
    let read = || -> io::Result<u64> {
        let handle = disk.open(&file.name)?;
        let mut bytes = [0; FRAME_HEADER_BYTES];
        read_full_at(&handle, &mut bytes, stop.offset)?;
        let left = handle.size()?.saturating_sub(stop.offset);
        let frame_bytes = match stop.fault {
            Fault::Length | Fault::Checksum => {
                FrameHeader::decode(&bytes).map_or(0, |header| header.frame_bytes())
            }
            Fault::Absent if FrameHeader::numbered(&bytes) == Some(stop.expected) => {
                FRAME_HEADER_BYTES as u64
            }
            Fault::Absent => {
                let mix = read_header(disk, &file.name)?.ok().map(|header| header.mix());
                let frame = FrameHeader::renumbered(&bytes, stop.expected)
                    .filter(|(header, _)| header.frame_bytes() <= left);
                match (mix, frame) {
                    (Some(mix), Some((header, bytes))) => {
                        let mut frame = vec![0; header.frame_bytes() as usize];
                        read_full_at(&handle, &mut frame, stop.offset)?;
                        frame[..FRAME_HEADER_BYTES].copy_from_slice(&bytes);
                        if checksum_holds(&frame, mix) { header.frame_bytes() } else { 0 }
                    }
                    _ => 0,
                }
            }
            _ => 0,
        };
        Ok(frame_bytes.min(left))
    };
    read().map_err(|source| ScanError::read(&file.name, source))
}

fn number_before<D: Disk>(
    disk: &D,
    files: &[SegmentFile],
    at: usize,
) -> Result<Option<SegmentNo>, ScanError> {
    let Some(file) = at.checked_sub(1).and_then(|index| files.get(index)) else { return Ok(None) };
    let header =
        read_header(disk, &file.name).map_err(|source| ScanError::read(&file.name, source))?;
    Ok(header.ok().map(|header| header.number))
}

/// What is known of a segment's frames.
struct Known {
    mix: FrameMix,
    number: Option<SegmentNo>,
    /// Where the frame starts that told so; `None`: the header did.
    by_frame_at: Option<u64>,
}

/// A segment's mix by its header or, if that is damaged, by the checksums of frames.
fn mix_of<D: Disk>(
    disk: &D,
    identity: Option<Identity>,
    file: &SegmentFile,
    before: Option<SegmentNo>,
    expected: FrameSeq,
) -> Result<Option<Known>, ScanError> {
    let read_error = |source| ScanError::read(&file.name, source);
    if let Ok(header) = read_header(disk, &file.name).map_err(read_error)? {
        let (mix, number) = (header.mix(), Some(header.number));
        return Ok(Some(Known { mix, number, by_frame_at: None }));
    }
    let handle = disk.open(&file.name).map_err(read_error)?;
    let Some(identity) = identity else {
        let found = find_mix(handle, expected).map_err(read_error)?;
        let known = |(mix, at)| Known { mix, number: None, by_frame_at: Some(at) };
        return Ok(found.map(known));
    };
    let lowest = before.unwrap_or_default().next();
    let found = find_number(handle, identity, lowest, expected).map_err(read_error)?;
    Ok(found.map(|(number, at)| Known {
        mix: FrameMix::new(identity, number),
        number: Some(number),
        by_frame_at: Some(at),
    }))
}
