//! From the files of a log to its longest valid prefix, and to the place where writing goes on.
//!
//! Invariants:
//! * Damage changes nothing on disk.
//! * After success everything that was delivered is synced, and the files hold nothing else: a torn tail
//!   is cut, so that nothing of it can ever validate again. A crash on the way leads to the same result.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;

use trefoil_clock::{Epoch, Hlc, ShardId};

use crate::aftermath::{Torn, Verdict, judge};
use crate::disk::{Disk, DiskFile};
use crate::error::{RecoverError, ScanError};
use crate::frame::Frame;
use crate::note::EpochEntry;
use crate::position::{FrameSeq, Identity, Positions, SegmentNo};
use crate::scan::{LogScan, SegmentFile, Stop, Tally, is_needed, read_header};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentInfo, parse_spare_name};
use crate::voids::Voids;

/// Where writing goes on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogEnd {
    /// The last frame.
    pub last_seq: FrameSeq,
    /// The last LSN per stream, of the log or of the snapshot where the log has none.
    pub positions: Positions,
    /// The highest stamp of a record.
    pub last_hlc: Hlc,
    /// The segments that exist, oldest first.
    pub segments: Vec<SegmentInfo>,
    /// A segment number that was never used.
    pub next_segment: SegmentNo,
    /// The cuts of history that the log tells of: records that it holds and that do not count.
    pub voids: Voids,
}

/// What a recovery found.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Where writing goes on.
    pub end: LogEnd,
    /// Frames read.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of those frames.
    pub bytes: u64,
    /// Whether the log ends with a clean stop.
    pub clean_stop: bool,
    /// The tail that was cut off, if there was one.
    pub torn: Option<Torn>,
    /// Per shard the epochs whose start is in the log, ascending. Earlier ones stand in the snapshot.
    pub epochs: BTreeMap<ShardId, Vec<EpochEntry>>,
    /// The highest epoch of any record or note in the log, void ones included.
    pub highest_epoch: Epoch,
}

/// Reads the log of `identity`, hands every frame with records after `from` to `sink`, and cuts a torn tail.
///
/// `from` is per stream the last record that is *not* needed, for instance a snapshot's start; streams that
/// it does not mention are needed from their first record on. A frame is delivered whole if any of its runs
/// ends above `from`; notes are always delivered.
///
/// # Errors
/// [`RecoverError::Damaged`] if what was synced cannot be read; then nothing was changed, but frames before
/// the damage have been delivered.
pub fn recover<D: Disk>(
    disk: &D,
    identity: Identity,
    from: &Positions,
    sink: impl FnMut(&Frame<'_>) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> Result<Recovered, RecoverError> {
    recover_up_to(disk, identity, from, &Positions::new(), sink)
}

/// [`recover`] of a log that is known to have been durable up to `floor`: a snapshot that ends there
/// was completed.
///
/// # Errors
/// The same, and [`ScanError::Missing`] if the log ends below `floor`, or below what its own notes say
/// there was, whatever it looks like there.
/// Then nothing was changed.
pub fn recover_up_to<D: Disk>(
    disk: &D,
    identity: Identity,
    from: &Positions,
    floor: &Positions,
    mut sink: impl FnMut(&Frame<'_>) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> Result<Recovered, RecoverError> {
    let list_error = |source| ScanError::read(".", source);
    let mut scan = LogScan::open_after(disk, from).map_err(list_error)?;
    scan.expect_identity(identity);
    while let Some(frame) = scan.next()? {
        let (seq, offset) = (frame.header.seq, frame.offset);
        let taken = if is_needed(&frame, from) { sink(&frame) } else { Ok(()) };
        if let Err(source) = taken {
            let file = scan.file_name().to_owned();
            return Err(RecoverError::Sink { seq, file, offset, source });
        }
    }
    let stop = scan.stopped();
    let torn = match judge(disk, scan.identity(), scan.files(), &stop, &scan.tally().positions)? {
        Verdict::End => None,
        Verdict::Torn(torn) => Some(torn),
        Verdict::Damaged(damage) => return Err(RecoverError::Damaged(damage)),
    };
    for (stream, needed) in floor.iter().chain(scan.tally().claimed.iter()) {
        let positions = &scan.tally().positions;
        // A log that does not mention the stream may have none of its records left to hold.
        let mentions = if positions.contains(stream) { positions } else { from };
        let found = mentions.get(stream);
        if found < needed {
            return Err(ScanError::Missing { stream, needed: found.next(), found }.into());
        }
    }
    let next_segment = unused_number(disk, scan.files()).map_err(list_error)?;
    settle(disk, scan.files(), &stop, scan.tally())?;
    let mut tally = scan.into_tally();
    tally.segments.retain(|segment| segment.last_seq >= segment.first_seq);
    let positions = join(&tally.positions, from)?;
    let (last_seq, last_hlc) = (tally.last_seq(), tally.last_hlc);
    Ok(Recovered {
        end: LogEnd {
            last_seq,
            positions,
            last_hlc,
            segments: tally.segments,
            next_segment,
            voids: tally.voids,
        },
        frames: tally.frames,
        records: tally.records,
        bytes: tally.bytes,
        clean_stop: tally.clean_stop,
        torn,
        epochs: tally.epochs,
        highest_epoch: tally.highest_epoch,
    })
}

/// The log's positions, and `from` for streams that the log does not mention.
fn join(log: &Positions, from: &Positions) -> Result<Positions, ScanError> {
    let mut joined = log.clone();
    for (stream, needed) in from.iter() {
        let found = log.get(stream);
        if !log.contains(stream) {
            joined.set(stream, needed);
        } else if found < needed {
            return Err(ScanError::Missing { stream, needed: needed.next(), found });
        }
    }
    Ok(joined)
}

/// One more than every number in use, also by files that are about to be removed.
pub(crate) fn unused_number<D: Disk>(disk: &D, files: &[SegmentFile]) -> io::Result<SegmentNo> {
    let mut last = SegmentNo::default();
    for name in disk.list()? {
        last = last.max(parse_spare_name(&name).unwrap_or_default());
    }
    for file in files {
        if let Ok(header) = read_header(disk, &file.name)? {
            last = last.max(header.number);
        }
    }
    Ok(last.next())
}

/// Removes everything behind the stop and syncs everything before it.
///
/// Later segments go first, the latest first, each for certain before the next, so that a crash between two
/// steps leaves the beginning of the log and is judged the same way.
fn settle<D: Disk>(
    disk: &D,
    files: &[SegmentFile],
    stop: &Stop,
    tally: &Tally,
) -> Result<(), RecoverError> {
    let Some(at) = stop.file else { return Ok(()) };
    let empty = stop.offset <= SEGMENT_HEADER_BYTES as u64;
    let keep = if empty { at } else { at + 1 };
    for file in files[keep..].iter().rev() {
        disk.remove(&file.name).map_err(|source| cut_error(&file.name, source))?;
        disk.sync_dir().map_err(|source| cut_error(".", source))?;
    }
    // The names that stay may be as young as what the process wrote last.
    disk.sync_dir().map_err(|source| cut_error(".", source))?;
    if !empty {
        let name = &files[at].name;
        cut_file(disk, name, stop.offset).map_err(|source| cut_error(name, source))?;
    }
    // What the last durable mark does not cover may still be in the kernel's memory only: the process
    // died, not the machine. From now on it counts as durable, so it has to be.
    let unsynced = |segment: &&SegmentInfo| segment.last_seq > tally.durable;
    for segment in tally
        .segments
        .iter()
        .filter(|segment| segment.last_seq >= segment.first_seq)
        .filter(unsynced)
    {
        let name = segment.name();
        let synced = disk.open(&name).and_then(|file| file.sync_data());
        synced.map_err(|source| cut_error(&name, source))?;
    }
    Ok(())
}

fn cut_error(file: &str, source: io::Error) -> RecoverError {
    RecoverError::Cut { file: file.to_owned(), source }
}

/// Cuts a file and makes that durable.
pub(crate) fn cut_file<D: Disk>(disk: &D, name: &str, size: u64) -> io::Result<()> {
    let file = disk.open(name)?;
    if file.size()? > size {
        file.truncate(size)?;
        file.sync_data()?;
    }
    Ok(())
}
