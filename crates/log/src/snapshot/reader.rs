//! Reads a snapshot, its pieces in any order and from several threads.

use std::io;

use thiserror::Error;
use trefoil_clock::Lsn;

use super::format::{
    FOOTER_BYTES, HEADER_FIXED_BYTES, PIECE_HEAD_BYTES, PieceHead, SnapshotFooter, SnapshotHeader,
};
use crate::disk::{Disk, DiskFile, read_full_at};
use crate::position::Identity;

/// A snapshot that cannot be used. Older ones may be.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The disk refused.
    #[error("cannot read the snapshot: {0}")]
    Io(#[from] io::Error),
    /// The header is damaged or not a snapshot's.
    #[error("the snapshot's header is damaged")]
    Header,
    /// Written by a later version.
    #[error("the snapshot's format version is {0}, which this program cannot read")]
    Version(u32),
    /// The footer is missing: the file was not completed, or was cut.
    #[error("the snapshot's footer is missing or damaged")]
    Footer,
    /// A piece is damaged.
    #[error("the snapshot's piece at byte {offset} is damaged")]
    Piece {
        /// Where it starts, bytes.
        offset: u64,
    },
    /// Pieces and footer disagree.
    #[error("the snapshot's pieces do not add up to what its footer says")]
    Count,
    /// It belongs to another node or cluster.
    #[error("the snapshot belongs to node {} of cluster {}", .0.node, .0.cluster)]
    Foreign(Identity),
}

/// Where a piece is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PieceRef {
    /// Where its head starts, bytes.
    pub offset: u64,
    /// Bytes of its payload.
    pub len: u32,
    /// Its head.
    pub head: PieceHead,
}

/// An open snapshot with a valid header and footer.
#[derive(Debug)]
pub struct SnapshotReader<F> {
    file: F,
    header: SnapshotHeader,
    footer: SnapshotFooter,
    /// Where the first piece starts, bytes.
    pieces_start: u64,
    /// Where the footer starts, bytes.
    pieces_end: u64,
}

impl<F: DiskFile> SnapshotReader<F> {
    /// Opens a snapshot and checks its header and footer, not its pieces.
    pub fn open<D: Disk<File = F>>(
        disk: &D,
        name: &str,
    ) -> Result<SnapshotReader<F>, SnapshotError> {
        let file = disk.open(name)?;
        let (header, pieces_start) = SnapshotReader::read_header(&file)?;
        let size = file.size()?;
        let pieces_end = size.checked_sub(FOOTER_BYTES as u64).filter(|end| *end >= pieces_start);
        let pieces_end = pieces_end.ok_or(SnapshotError::Footer)?;
        let footer = read_exactly(&file, pieces_end, FOOTER_BYTES)?;
        let footer =
            footer.as_deref().and_then(SnapshotFooter::decode).ok_or(SnapshotError::Footer)?;
        Ok(SnapshotReader { file, header, footer, pieces_start, pieces_end })
    }

    /// A file's header and its bytes.
    pub(super) fn read_header(file: &F) -> Result<(SnapshotHeader, u64), SnapshotError> {
        let fixed = read_exactly(file, 0, HEADER_FIXED_BYTES)?.ok_or(SnapshotError::Header)?;
        let rest = SnapshotHeader::rest_len(&fixed).ok_or(SnapshotError::Header)?;
        let header_bytes = HEADER_FIXED_BYTES + rest.map_err(SnapshotError::Version)?;
        let header = read_exactly(file, 0, header_bytes)?;
        let header = header.as_deref().and_then(SnapshotHeader::decode);
        Ok((header.ok_or(SnapshotError::Header)?, header_bytes as u64))
    }

    /// What it says about itself at its start.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// What it says about itself at its end.
    pub fn footer(&self) -> &SnapshotFooter {
        &self.footer
    }

    /// Bytes of all pieces together, to show progress.
    pub fn pieces_bytes(&self) -> u64 {
        self.pieces_end - self.pieces_start
    }

    /// Where all pieces are, in the order in which they were written. Reads their heads only.
    pub fn index(&self) -> Result<Vec<PieceRef>, SnapshotError> {
        let mut index = Vec::new();
        let (mut offset, mut records) = (self.pieces_start, 0);
        let mut bytes = [0; PIECE_HEAD_BYTES];
        while offset < self.pieces_end {
            let damaged = SnapshotError::Piece { offset };
            read_full_at(&self.file, &mut bytes, offset)?;
            let Some((head, len)) = PieceHead::decode(&bytes) else { return Err(damaged) };
            let end = offset + PIECE_HEAD_BYTES as u64 + u64::from(len);
            if end > self.pieces_end || !self.covers(head.lsn) {
                return Err(damaged);
            }
            index.push(PieceRef { offset, len, head });
            records += u64::from(head.records);
            offset = end;
        }
        let adds_up = index.len() as u64 == self.footer.pieces && records == self.footer.records;
        if adds_up { Ok(index) } else { Err(SnapshotError::Count) }
    }

    fn covers(&self, lsn: Lsn) -> bool {
        (self.header.start_lsn..=self.footer.end.lsn).contains(&lsn)
    }

    /// Reads one piece into `buffer`, checks it, and returns its payload.
    pub fn read_piece<'b>(
        &self,
        piece: &PieceRef,
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], SnapshotError> {
        let damaged = SnapshotError::Piece { offset: piece.offset };
        let bytes = PIECE_HEAD_BYTES as u64 + u64::from(piece.len);
        if piece.offset.checked_add(bytes).is_none_or(|end| end > self.pieces_end) {
            return Err(damaged);
        }
        buffer.resize(bytes as usize, 0);
        let filled = read_full_at(&self.file, buffer, piece.offset)?;
        match decode_piece(&buffer[..filled]) {
            Some((head, payload)) if head == piece.head => Ok(payload),
            _ => Err(damaged),
        }
    }

    /// Reads and checks every piece.
    pub fn verify(&self) -> Result<(), SnapshotError> {
        let mut buffer = Vec::new();
        for piece in self.index()? {
            self.read_piece(&piece, &mut buffer)?;
        }
        Ok(())
    }
}

/// A piece in exactly its bytes; `None` if it is damaged.
#[must_use]
pub fn decode_piece(bytes: &[u8]) -> Option<(PieceHead, &[u8])> {
    let (head, len) = PieceHead::decode(bytes)?;
    let payload = bytes.get(PIECE_HEAD_BYTES..)?;
    (payload.len() == len as usize && PieceHead::checksum_holds(bytes)).then_some((head, payload))
}

fn read_exactly(file: &impl DiskFile, offset: u64, count: usize) -> io::Result<Option<Vec<u8>>> {
    if file.size()? < count as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; count];
    let filled = read_full_at(file, &mut bytes, offset)?;
    Ok((filled == count).then_some(bytes))
}
