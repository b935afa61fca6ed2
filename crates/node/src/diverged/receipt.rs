//! Receipts: what was lost by a cut, and what had been promised about it. A receipt stays when its
//! archive is dropped.
//!
//! Beside the archive, by its name and `.receipt`: lines of a name and a value, for people as well.
//! Written to a file of another name, synced and renamed.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use trefoil_clock::Lsn;
use trefoil_log::{DivergedName, DivergedReader, FsDisk};
use trefoil_store::record::Effect;

use crate::replication::Policy;

use super::show::quoted;
use super::{DivergedError, id};

/// Keys that a receipt names.
pub const KEYS_NAMED_MAX: usize = 100;

/// What is known of a cut when it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// When writes were acknowledged.
    pub policy: Policy,
    /// Clients have been told that records up to this one are kept.
    pub acknowledged: Lsn,
}

/// What was lost.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Receipt {
    /// The archive's id.
    pub id: String,
    /// When it was cut off, Unix milliseconds.
    pub cut_at_ms: u64,
    /// The policy then.
    pub acks: String,
    /// The same.
    pub ack_level: String,
    /// Records, those without a change included.
    pub records: u64,
    /// How many of them clients had been told are kept.
    pub acknowledged: u64,
    /// Keys that they changed.
    pub keys: u64,
    /// Bytes of their changes.
    pub bytes: u64,
    /// The first of those keys, in quotes.
    pub keys_named: Vec<String>,
    /// When the archive was dropped; 0: it was not.
    pub dropped_at_ms: u64,
}

const SUFFIX: &str = ".receipt";

/// Writes the receipt of an archive, of which the log has just told. Reads the whole archive.
pub fn file_receipt(
    disk: &FsDisk,
    archive: &DivergedName,
    cut: Cut,
) -> Result<Receipt, DivergedError> {
    let acknowledged = cut.acknowledged.min(archive.last).0.saturating_sub(archive.first.0 - 1);
    let mut receipt = Receipt {
        id: id(archive),
        cut_at_ms: cut.at_ms,
        acks: cut.policy.acks.to_string(),
        ack_level: cut.policy.level.name().to_string(),
        records: archive.last.0 + 1 - archive.first.0,
        acknowledged,
        ..Receipt::default()
    };
    sum_up(disk, archive, &mut receipt)?;
    write(disk.dir(), &archive.name, &receipt)?;
    Ok(receipt)
}

fn sum_up(
    disk: &FsDisk,
    archive: &DivergedName,
    receipt: &mut Receipt,
) -> Result<(), DivergedError> {
    let mut reader = DivergedReader::open(disk, archive)?;
    let mut keys: HashSet<(u8, Vec<u8>)> = HashSet::new();
    while let Some(run) = reader.next()? {
        for record in run.records() {
            let mut effects = record?.effects;
            receipt.bytes += effects.len() as u64;
            while !effects.is_empty() {
                let Some((table, key)) = Effect::decode(&mut effects)?.key() else { continue };
                if keys.insert((table, key.to_vec())) && receipt.keys_named.len() < KEYS_NAMED_MAX {
                    receipt.keys_named.push(quoted(key));
                }
            }
        }
    }
    receipt.keys = keys.len() as u64;
    Ok(())
}

fn write(dir: &Path, archive: &str, receipt: &Receipt) -> io::Result<()> {
    let mut text = format!(
        "cut-at-ms {}\nacks {}\nack-level {}\nrecords {}\nacknowledged {}\nkeys {}\nbytes {}\n\
         dropped-at-ms {}\n",
        receipt.cut_at_ms,
        receipt.acks,
        receipt.ack_level,
        receipt.records,
        receipt.acknowledged,
        receipt.keys,
        receipt.bytes,
        receipt.dropped_at_ms
    );
    for key in &receipt.keys_named {
        text.push_str(&format!("key {key}\n"));
    }
    let path = dir.join(format!("{archive}{SUFFIX}"));
    let unfinished = dir.join(format!("{archive}{SUFFIX}.part"));
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    fs::File::open(dir)?.sync_all()
}

/// Notes that the archive is gone. Nothing happens if there is no receipt.
pub fn mark_dropped(dir: &Path, archive: &DivergedName, now_ms: u64) -> io::Result<()> {
    let path = dir.join(format!("{}{SUFFIX}", archive.name));
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    let receipt = Receipt { dropped_at_ms: now_ms, ..parse(id(archive), &text) };
    write(dir, &archive.name, &receipt)
}

/// All receipts, by the names of their archives.
pub fn receipts(dir: &Path) -> io::Result<Vec<Receipt>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("diverged-") && name.ends_with(SUFFIX) {
            found.push(name);
        }
    }
    found.sort_unstable();
    let read = |name: String| {
        let text = fs::read_to_string(dir.join(&name))?;
        let name = name.trim_end_matches(SUFFIX).to_string();
        let of_name =
            DivergedName { name, epoch: Default::default(), first: Lsn::ZERO, last: Lsn::ZERO };
        Ok(parse(id(&of_name), &text))
    };
    found.into_iter().map(read).collect()
}

/// A line that is not known is passed over: a newer release may have written it.
fn parse(id: String, text: &str) -> Receipt {
    let mut receipt = Receipt { id, ..Receipt::default() };
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        let number = || value.parse().unwrap_or(0);
        match name {
            "cut-at-ms" => receipt.cut_at_ms = number(),
            "acks" => receipt.acks = value.to_string(),
            "ack-level" => receipt.ack_level = value.to_string(),
            "records" => receipt.records = number(),
            "acknowledged" => receipt.acknowledged = number(),
            "keys" => receipt.keys = number(),
            "bytes" => receipt.bytes = number(),
            "dropped-at-ms" => receipt.dropped_at_ms = number(),
            "key" => receipt.keys_named.push(value.to_string()),
            _ => {}
        }
    }
    receipt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diverged::testing::{node_with_archive, put};

    #[test]
    fn a_receipt_tells_what_was_lost_and_outlives_its_archive() {
        let (node, dir, archive) =
            node_with_archive(5, &[&[put("a", "1"), put("b c", "2")], &[], &[put("a", "3")]]);
        let disk = super::super::disk(&node.node.settings).expect("a disk");
        let policy = node.node.settings.policy();
        let cut = Cut { at_ms: 77, policy, acknowledged: Lsn(6) };
        let receipt = file_receipt(&disk, &archive, cut).expect("a receipt");
        assert_eq!(receipt.id, "3-5-7");
        assert_eq!((receipt.records, receipt.acknowledged, receipt.keys), (3, 2, 2));
        assert_eq!(receipt.keys_named, ["\"a\"", "\"b c\""]);
        assert_eq!(receipts(dir.path()).expect("readable"), [receipt.clone()]);
        mark_dropped(dir.path(), &archive, 99).expect("written");
        let dropped = Receipt { dropped_at_ms: 99, ..receipt };
        assert_eq!(receipts(dir.path()).expect("readable"), [dropped]);
    }
}
