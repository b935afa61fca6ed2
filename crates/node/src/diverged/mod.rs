//! Tails that were cut off from this node's log: what they hold, who had been told that it was kept, and
//! how a person gets it back.
//!
//! The log writes the archives and checks them; here they are named, summed up, shown as commands and
//! written again.

mod diff;
mod reapply;
mod receipt;
mod show;

use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;

use trefoil_log::{ArchiveError, DirError, DivergedName, FsDisk, RunError, list_diverged};
use trefoil_store::record::DecodeError;

use crate::settings::Settings;

pub use diff::{Diff, Glimpse, KeyDiff, Lost, Verdict};
pub use reapply::{Reapplied, Reapply};
pub use receipt::{Cut, KEYS_NAMED_MAX, Receipt, file_receipt, mark_dropped, receipts};
pub(crate) use show::quoted_part;
pub use show::show;

/// Why an archive is not read.
#[derive(Debug, thiserror::Error)]
pub enum DivergedError {
    /// There is no archive with this id.
    #[error("there is no diverged archive '{0}'")]
    Unknown(String),
    /// The data directory can't be looked at.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// A file can't be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The archive is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Its checksums hold, and its records make no sense.
    #[error("a record of the archive can't be read: {0}")]
    Run(#[from] RunError),
    /// The same of an effect.
    #[error("a record of the archive can't be read: {0}")]
    Effect(#[from] DecodeError),
}

/// The node's data directory, to look at archives.
pub(crate) fn disk(settings: &Settings) -> Result<FsDisk, DivergedError> {
    let bytes = settings.data_dir.read().unwrap_or_else(PoisonError::into_inner);
    let dir = PathBuf::from(String::from_utf8_lossy(&bytes).into_owned());
    Ok(FsDisk::open_unlocked(&dir)?)
}

/// What people call an archive of this name: epoch, first and last record.
#[must_use]
pub fn id(archive: &str) -> String {
    let numbers = archive.trim_start_matches("diverged-").trim_end_matches(".log");
    let short = |digits: &str| match digits.trim_start_matches('0') {
        "" => "0".to_string(),
        digits => digits.to_string(),
    };
    numbers.split('-').map(short).collect::<Vec<_>>().join("-")
}

/// The archive that goes by this id.
pub fn find(disk: &FsDisk, wanted: &str) -> Result<DivergedName, DivergedError> {
    let mut archives = list_diverged(disk)?.into_iter();
    archives
        .find(|archive| id(&archive.name) == wanted)
        .ok_or_else(|| DivergedError::Unknown(wanted.chars().take(80).collect()))
}

#[cfg(test)]
pub(crate) mod testing;
