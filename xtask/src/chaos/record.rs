//! What clients asked and were told, as it is judged and kept in `target/chaos/<seed>.jsonl`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use trefoil_check::Operation;

/// Which promise was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum View {
    /// At the leader: one order for all.
    Linear,
    /// Anywhere: the session's own order.
    Session,
    /// At a follower: no older than the bound.
    Bounded {
        /// The bound.
        ms: u64,
    },
    /// Several keys read at a follower: of one moment.
    Moment,
}

/// One operation of the history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) view: View,
    /// What EXEC did at once, by number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) transaction: Option<u64>,
    pub(super) operation: Operation,
}

/// Writes the history, one line per operation.
pub(super) fn save(path: &Path, entries: &[Entry]) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = BufWriter::new(file);
    for entry in entries {
        serde_json::to_writer(&mut out, entry)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
