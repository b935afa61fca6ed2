//! The first bytes of the file: whose it is, and where its numbers begin.

use trefoil_clock::NodeId;

use super::error::{ControlFault, ControlLogError};
use crate::cursor::Cursor;
use crate::frame::crc32c;

/// Bytes of the header; the first batch starts here.
pub(super) const FILE_HEADER_BYTES: usize = 48;

const MAGIC: [u8; 8] = *b"TREFOILC";
const VERSION: u32 = 1;
const COVERED: usize = FILE_HEADER_BYTES - 4;

/// The file's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileHeader {
    pub(super) node: NodeId,
    /// The first batch's number, at least 1. Numbers go on when the file is rewritten.
    pub(super) first_seq: u64,
    /// The index of the first entry that a record of this file may bring.
    pub(super) first_index: u64,
}

impl FileHeader {
    pub(super) fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.node.0.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.first_index.to_le_bytes());
        let crc = crc32c(&bytes[..COVERED]);
        bytes[COVERED..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`.
    pub(super) fn decode(bytes: &[u8]) -> Result<FileHeader, ControlLogError> {
        let damaged = ControlLogError::Damaged { offset: 0, fault: ControlFault::Header };
        FileHeader::parse(bytes).unwrap_or(Err(damaged))
    }

    fn parse(bytes: &[u8]) -> Option<Result<FileHeader, ControlLogError>> {
        let crc = crc32c(bytes.get(..COVERED)?);
        let mut cursor = Cursor::new(bytes);
        if cursor.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let version = cursor.u32()?;
        let header = FileHeader {
            node: NodeId(cursor.u128()?),
            first_seq: cursor.u64()?,
            first_index: cursor.u64()?,
        };
        // A flipped bit is damage, not a newer format.
        if cursor.u32()? != crc {
            return None;
        }
        Some(if version == VERSION {
            Ok(header)
        } else {
            Err(ControlLogError::Version { version })
        })
    }
}
