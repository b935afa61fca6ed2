//! The file `reseed`: what is to be done. It exists whole or not at all.

use std::io;

use trefoil_clock::{Epoch, Lsn, NodeId};

use super::ReseedError;
use crate::cursor::Cursor;
use crate::disk::{Disk, DiskFile, read_full_at, write_all_at};
use crate::frame::crc32c;
use crate::position::{ClusterId, Identity};

const NAME: &str = "reseed";
const PART: &str = "reseed.part";
const MAGIC: [u8; 8] = *b"TREFOILR";
const VERSION: u32 = 1;
const BYTES_MAX: usize = 1024;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Marker {
    pub(super) identity: Identity,
    pub(super) used_epoch: Epoch,
    /// The received file, and where its snapshot ends.
    pub(super) seed: Option<(String, Lsn)>,
    /// The number under which old data is put aside; `None`: it is removed.
    pub(super) aside: Option<u64>,
}

impl Marker {
    fn encode(&self) -> Vec<u8> {
        let (part, end) = self.seed.as_ref().map_or(("", Lsn::ZERO), |(part, end)| (part, *end));
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.identity.node.0.to_le_bytes());
        out.extend_from_slice(&self.identity.cluster.0.to_le_bytes());
        out.extend_from_slice(&self.used_epoch.0.to_le_bytes());
        out.extend_from_slice(&self.aside.unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&end.0.to_le_bytes());
        out.extend_from_slice(part.as_bytes());
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Marker> {
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        let mut cursor = Cursor::new(covered);
        let ours = cursor.take(MAGIC.len())? == MAGIC && cursor.u32()? == VERSION;
        if !ours || u32::from_le_bytes(*crc) != crc32c(covered) {
            return None;
        }
        let identity =
            Identity { node: NodeId(cursor.u128()?), cluster: ClusterId(cursor.u128()?) };
        let used_epoch = Epoch(cursor.u64()?);
        let aside = Some(cursor.u64()?).filter(|number| *number > 0);
        let end = Lsn(cursor.u64()?);
        let part = String::from_utf8(cursor.rest().to_vec()).ok()?;
        let seed = (!part.is_empty()).then_some((part, end));
        Some(Marker { identity, used_epoch, seed, aside })
    }

    /// Durable when it returns.
    pub(super) fn write<D: Disk>(&self, disk: &D) -> io::Result<()> {
        match disk.remove(PART) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = disk.create(PART)?;
        write_all_at(&file, &self.encode(), 0).map_err(|partial| partial.source)?;
        file.sync_data()?;
        disk.rename(PART, NAME)?;
        disk.sync_dir()
    }

    pub(super) fn read<D: Disk>(disk: &D) -> Result<Option<Marker>, ReseedError> {
        let file = match disk.open(NAME) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = vec![0; BYTES_MAX];
        let filled = read_full_at(&file, &mut bytes, 0)?;
        Marker::decode(&bytes[..filled]).map(Some).ok_or(ReseedError::Marker)
    }

    pub(super) fn is_there<D: Disk>(disk: &D) -> io::Result<bool> {
        Ok(disk.list()?.iter().any(|name| name == NAME))
    }

    /// Durable when it returns.
    pub(super) fn remove<D: Disk>(disk: &D) -> io::Result<()> {
        disk.remove(NAME)?;
        disk.sync_dir()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_comes_back_and_a_damaged_one_does_not() {
        let identity = Identity { node: NodeId(1), cluster: ClusterId(2) };
        let seed = Some(("incoming.part".to_owned(), Lsn(9)));
        for (seed, aside) in [(seed, Some(3)), (None, None)] {
            let marker = Marker { identity, used_epoch: Epoch(4), seed, aside };
            let mut bytes = marker.encode();
            assert_eq!(Marker::decode(&bytes), Some(marker));
            for at in 0..bytes.len() {
                assert_eq!(Marker::decode(&bytes[..at]), None);
                bytes[at] ^= 4;
                assert_eq!(Marker::decode(&bytes), None);
                bytes[at] ^= 4;
            }
        }
    }
}
