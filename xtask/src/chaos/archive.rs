//! What nodes put into their archives of diverged tails, as far as it matters here.
//!
//! The files are not decoded: keys that are written once stand in them as they are, and tell their
//! values. Whether an archive can be read and applied is tested where archives are made.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::nodes::Nodes;
use super::workload::once_value;

/// Keys and values in all nodes' archives.
pub(super) fn read(nodes: &Nodes) -> Result<BTreeSet<(String, String)>> {
    let mut archived = BTreeSet::new();
    for node in 0..nodes.count() {
        read_dir(nodes.dir(node), false, &mut archived)?;
    }
    Ok(archived)
}

/// Reads files whose path below the node's folder speaks of divergence.
fn read_dir(dir: &Path, diverged: bool, archived: &mut BTreeSet<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        let named =
            path.file_name().is_some_and(|name| name.to_string_lossy().contains("diverged"));
        if path.is_dir() {
            read_dir(&path, diverged || named, archived)?;
        } else if diverged || named {
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            archived.extend(keys(&bytes).filter_map(|key| {
                let value = once_value(&key)?;
                Some((key, value))
            }));
        }
    }
    Ok(())
}

/// Keys of the kind `once:1:2` or `once:1:2:3` in a file of any format.
fn keys(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    const START: &[u8] = b"once:";
    let starts = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(START));
    starts.map(|at| {
        let rest = &bytes[at + START.len()..];
        let end = rest.iter().position(|b| !b.is_ascii_digit() && *b != b':').unwrap_or(rest.len());
        format!("once:{}", String::from_utf8_lossy(&rest[..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_among_other_bytes() {
        let found: Vec<String> = keys(b"\x08once:1:2\x03x#2\xffonce:10:20:2\x05once").collect();
        assert_eq!(found, ["once:1:2", "once:10:20:2"]);
    }
}
