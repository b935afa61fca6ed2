//! What the log and the snapshots need of a disk: one flat directory of files.
//!
//! Not a file system: no paths, no permissions, no appends without an offset. Two implementations:
//! [`crate::FsDisk`] for real directories, [`crate::FaultDisk`] for tests and simulation.
//!
//! Invariants that an implementation keeps:
//! * Bytes are durable after [`DiskFile::sync_data`], names after [`Disk::sync_dir`]; nothing else
//!   promises anything about a power loss.
//! * A full disk is `io::ErrorKind::StorageFull`, a missing file `NotFound`.
//! * Bytes between the old and the new end of a grown file read as zeros.

use std::io;

/// A directory of files that one process owns. Clones are the same directory.
pub trait Disk: Clone + Send + Sync {
    /// An open file.
    type File: DiskFile;

    /// Creates a file that does not exist yet (`AlreadyExists` otherwise).
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Renames a file, replacing the target if there is one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals so far durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// Bytes that can still be allocated.
    fn available(&self) -> io::Result<u64>;
}

/// An open file. Offsets and lengths are bytes.
pub trait DiskFile: Send + Sync {
    /// Reads at most `buf.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes a prefix of `bytes` and returns its length; grows the file if need be.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// The file's length.
    fn size(&self) -> io::Result<u64>;

    /// Allocates blocks so that the file is at least `size` long and writes below it cannot run out of space.
    fn preallocate(&self, size: u64) -> io::Result<()>;

    /// Cuts the file to `size` bytes.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable.
    fn sync_data(&self) -> io::Result<()>;
}

/// How far a write came before it failed.
#[derive(Debug)]
pub struct PartialWrite {
    /// Bytes that did reach the file.
    pub written: usize,
    /// Why the rest did not.
    pub source: io::Error,
}

/// Writes all of `bytes`, continuing after short writes and interruptions.
pub fn write_all_at(file: &impl DiskFile, bytes: &[u8], offset: u64) -> Result<(), PartialWrite> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset + written as u64) {
            Ok(0) => return Err(PartialWrite { written, source: io::ErrorKind::WriteZero.into() }),
            Ok(count) => written += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(PartialWrite { written, source }),
        }
    }
    Ok(())
}

/// Fills as much of `buf` as the file has from `offset` on and returns how much that was.
pub fn read_full_at(file: &impl DiskFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
