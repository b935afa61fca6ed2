//! Receipts: what was lost by a cut, and what had been promised about it. A receipt stays when its
//! archive is dropped.
//!
//! Beside the archive, by its name and `.receipt`: lines of a name and a value, for people as well.
//! Written to a file of another name, synced and renamed.

use std::collections::HashSet;
use std::io;

use trefoil_clock::Lsn;
use trefoil_log::{Disk, DiskFile, DivergedName, DivergedReader, read_full_at, write_all_at};
use trefoil_store::record::Effect;

use crate::node::Node;
use crate::replication::{AckPolicy, Acks};

use super::show::quoted;
use super::{DivergedError, id};

/// Keys that a receipt names.
pub const KEYS_NAMED_MAX: usize = 100;

/// What is known of a cut when it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// About when, Unix milliseconds: by the newest stamp that was seen.
    pub at_ms: u64,
    /// When writes were acknowledged.
    pub policy: AckPolicy,
    /// Clients have been told that records up to this one are kept.
    pub acknowledged: Lsn,
}

impl Cut {
    /// What a node knows when its log is cut. What it acknowledged while it led, on its own, it
    /// acknowledged all; of other records it knows what was committed.
    pub(crate) fn now(node: &Node, archive: &DivergedName) -> Cut {
        let (replication, policy) = (&node.replication, node.settings.policy());
        let led = replication.epochs().entry_of(archive.last).is_some_and(|entry| {
            entry.epoch == archive.epoch && entry.leader == replication.identity().node
        });
        let was_alone = policy.acks == Acks::Async || replication.is_degraded();
        let acknowledged = if led && was_alone { archive.last } else { replication.commit() };
        let at_ms = node.keyspace.sequencer().last().hlc.millis().max(replication.stream_ms());
        Cut { at_ms, policy, acknowledged }
    }
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
const PART: &str = "receipt.part";
/// A receipt is shorter: keys in it are cut.
const BYTES_MAX: u64 = 1 << 20;

/// Writes the receipt of an archive, of which the log has just told. Reads the whole archive.
pub fn file_receipt<D: Disk>(
    disk: &D,
    archive: &DivergedName,
    cut: Cut,
) -> Result<Receipt, DivergedError> {
    let acknowledged = cut.acknowledged.min(archive.last).0.saturating_sub(archive.first.0 - 1);
    let mut receipt = Receipt {
        id: id(&archive.name),
        cut_at_ms: cut.at_ms,
        acks: cut.policy.acks.to_string(),
        ack_level: cut.policy.level.name().to_string(),
        records: archive.last.0 + 1 - archive.first.0,
        acknowledged,
        ..Receipt::default()
    };
    sum_up(disk, archive, &mut receipt)?;
    write(disk, &archive.name, &receipt)?;
    Ok(receipt)
}

fn sum_up<D: Disk>(
    disk: &D,
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

fn write<D: Disk>(disk: &D, archive: &str, receipt: &Receipt) -> io::Result<()> {
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
    match disk.remove(PART) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(PART)?;
    write_all_at(&file, text.as_bytes(), 0).map_err(|partial| partial.source)?;
    file.sync_data()?;
    disk.rename(PART, &format!("{archive}{SUFFIX}"))?;
    disk.sync_dir()
}

fn read<D: Disk>(disk: &D, name: &str) -> io::Result<String> {
    let file = disk.open(name)?;
    let len = usize::try_from(file.size()?.min(BYTES_MAX)).unwrap_or(0);
    let mut bytes = vec![0; len];
    let filled = read_full_at(&file, &mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..filled]).into_owned())
}

/// Notes that the archive is gone. Nothing happens if there is no receipt.
pub fn mark_dropped<D: Disk>(disk: &D, archive: &DivergedName, now_ms: u64) -> io::Result<()> {
    let text = match read(disk, &format!("{}{SUFFIX}", archive.name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    let receipt = Receipt { dropped_at_ms: now_ms, ..parse(id(&archive.name), &text) };
    write(disk, &archive.name, &receipt)
}

/// All receipts, by the names of their archives.
pub fn receipts<D: Disk>(disk: &D) -> io::Result<Vec<Receipt>> {
    let mut found = Vec::new();
    for name in disk.list()? {
        if let Some(archive) =
            name.strip_suffix(SUFFIX).filter(|name| name.starts_with("diverged-"))
        {
            found.push(parse(id(archive), &read(disk, &name)?));
        }
    }
    Ok(found)
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
        let (node, _dir, archive) =
            node_with_archive(5, &[&[put("a", "1"), put("b c", "2")], &[], &[put("a", "3")]]);
        let disk = super::super::disk(&node.node.settings).expect("a disk");
        let policy = node.node.settings.policy();
        let cut = Cut { at_ms: 77, policy, acknowledged: Lsn(6) };
        let receipt = file_receipt(&disk, &archive, cut).expect("a receipt");
        assert_eq!(receipt.id, "3-5-7");
        assert_eq!((receipt.records, receipt.acknowledged, receipt.keys), (3, 2, 2));
        assert_eq!(receipt.keys_named, ["\"a\"", "\"b c\""]);
        assert_eq!(receipts(&disk).expect("readable"), std::slice::from_ref(&receipt));
        mark_dropped(&disk, &archive, 99).expect("written");
        let dropped = Receipt { dropped_at_ms: 99, ..receipt };
        assert_eq!(receipts(&disk).expect("readable"), [dropped]);
    }
}
