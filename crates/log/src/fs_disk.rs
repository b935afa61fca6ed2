//! A real directory. The only file of this crate that touches the operating system.
//!
//! Invariants:
//! * While a [`FsDisk`] that was opened with [`FsDisk::open`] lives (or a clone of it), no other process
//!   opens the directory that way: the `LOCK` file is locked exclusively.
//! * `LOCK` and subdirectories are not files of the disk; they are never listed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use thiserror::Error;

use crate::disk::{Disk, DiskFile, write_all_at};

const LOCK_NAME: &str = "LOCK";

/// The data directory cannot be used.
#[derive(Debug, Error)]
pub enum DirError {
    /// Another process has it.
    #[error(
        "the data directory {dir} is in use by another process; stop that server (its process id is in \
         {dir}/trefoil.pid) or choose another directory with --data-dir"
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// It cannot be created, opened or locked.
    #[error("cannot open the data directory {dir}: {source}; check that it exists and is writable")]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A directory of a real file system. Clones share the directory and its lock.
#[derive(Clone, Debug)]
pub struct FsDisk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    handle: File,
    /// Held for its lock only; `None` for readers.
    _lock: Option<File>,
}

impl FsDisk {
    /// Creates the directory if need be and locks it for this process.
    pub fn open(dir: &Path) -> Result<FsDisk, DirError> {
        let unusable = |source| DirError::Unusable { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(LOCK_NAME))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DirError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        FsDisk::with_lock(dir, Some(lock)).map_err(unusable)
    }

    /// Opens an existing directory without locking it, for looking only.
    pub fn open_unlocked(dir: &Path) -> Result<FsDisk, DirError> {
        FsDisk::with_lock(dir, None)
            .map_err(|source| DirError::Unusable { dir: dir.to_owned(), source })
    }

    fn with_lock(dir: &Path, lock: Option<File>) -> io::Result<FsDisk> {
        let inner = Inner { dir: dir.to_owned(), handle: File::open(dir)?, _lock: lock };
        Ok(FsDisk { inner: Arc::new(inner) })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.dir.join(name)
    }
}

impl Disk for FsDisk {
    type File = FsFile;

    fn create(&self, name: &str) -> io::Result<FsFile> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(self.path(name))?;
        Ok(FsFile { file })
    }

    fn open(&self, name: &str) -> io::Result<FsFile> {
        let path = self.path(name);
        let read_write = OpenOptions::new().read(true).write(true).open(&path);
        let file = match read_write {
            // Somebody who may only look gets a handle that can only read.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => File::open(&path)?,
            other => other?,
        };
        Ok(FsFile { file })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.inner.dir)? {
            let entry = entry?;
            if !entry.file_type()?.is_file() {
                continue;
            }
            // Names that are not UTF-8 cannot be ours.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        names.retain(|name| name != LOCK_NAME);
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.inner.handle.sync_all()
    }

    fn available(&self) -> io::Result<u64> {
        let stat = fstatvfs(&self.inner.handle)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// An open file of an [`FsDisk`].
#[derive(Debug)]
pub struct FsFile {
    file: File,
}

impl DiskFile for FsFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn preallocate(&self, size: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                self.fill_with_zeros(size)
            }
            Err(e) => Err(e.into()),
        }
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl FsFile {
    /// Allocates on file systems that cannot do so without writing.
    fn fill_with_zeros(&self, size: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut at = self.size()?;
        while at < size {
            let count = (size - at).min(ZEROS.len() as u64);
            write_all_at(self, &ZEROS[..count as usize], at).map_err(|partial| partial.source)?;
            at += count;
        }
        Ok(())
    }
}
