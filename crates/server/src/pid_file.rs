//! `trefoil.pid` in the data directory: who serves it. Removed at a clean stop; after a crash it is
//! left over and the next start writes its own over it. The lock of the directory is what counts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Removed when dropped.
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes this process's id into the directory, whose lock the caller holds.
    pub(crate) fn write(dir: &Path) -> Result<PidFile> {
        let path = dir.join("trefoil.pid");
        fs::write(&path, format!("{}\n", std::process::id()))
            .with_context(|| format!("can't write {}", path.display()))?;
        Ok(PidFile(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Left over it is as harmless as after a crash.
        let _ = fs::remove_file(&self.0);
    }
}
