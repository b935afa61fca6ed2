//! What a node has archived of tails that were cut off its log, and the receipts, as commands tell it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::ledger::Write;
use super::views::{ask, value};
use crate::chaos::resp::Reply;

/// So many changes of an archive are shown at most.
const SHOWN_MAX: usize = 10_000;

/// An archive and its receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Archive {
    pub(crate) id: String,
    pub(crate) epoch: u64,
    pub(crate) records: u64,
    pub(crate) receipt: Option<Receipt>,
    /// Writes of clients in it.
    pub(crate) writes: BTreeSet<Write>,
    /// It holds more changes than are shown.
    pub(crate) is_cut_short: bool,
}

/// What a receipt says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Receipt {
    pub(crate) acks: String,
    /// Records of which clients had been told that they are kept.
    pub(crate) acknowledged: u64,
    pub(crate) keys: u64,
}

/// All archives of a node.
pub(crate) fn of_node(address: SocketAddr) -> Result<Vec<Archive>> {
    let list = ask(address, &["REPLICATION", "DIVERGED", "LIST"])?;
    let receipts = ask(address, &["REPLICATION", "RECEIPTS"])?;
    let count = SHOWN_MAX.to_string();
    let mut archives = Vec::new();
    for row in list.elements() {
        let id = text(row, "id").context("an archive has no id")?;
        let shown = ask(address, &["REPLICATION", "DIVERGED", "SHOW", &id, &count])?;
        archives.push(Archive {
            epoch: number(row, "epoch"),
            records: number(row, "records"),
            receipt: receipt_of(&receipts, &id),
            writes: shown.elements().iter().filter_map(|line| written(line.text()?)).collect(),
            is_cut_short: shown.elements().len() >= SHOWN_MAX,
            id,
        });
    }
    Ok(archives)
}

fn text(row: &Reply, name: &str) -> Option<String> {
    value(row, name).and_then(Reply::text).map(str::to_owned)
}

/// What is not known counts as nothing.
fn number(row: &Reply, name: &str) -> u64 {
    let number = value(row, name).and_then(Reply::number);
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

fn receipt_of(receipts: &Reply, id: &str) -> Option<Receipt> {
    let row = receipts.elements().iter().find(|row| text(row, "id").as_deref() == Some(id))?;
    Some(Receipt {
        acks: text(row, "acks")?,
        acknowledged: number(row, "acknowledged-records"),
        keys: number(row, "keys"),
    })
}

/// The write that a line shows: `LSN TIME [TABLE] SET "key" "value"`. Another value than the key's own
/// is no write of our clients.
fn written(line: &str) -> Option<Write> {
    let (_, command) = line.split_once("] SET \"")?;
    let (key, rest) = command.split_once("\" \"")?;
    let write = Write::of_key(key)?;
    (rest.strip_suffix('"') == Some(&write.value())).then_some(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_read_out_of_an_archives_lines() {
        let write = Write { client: 2, number: 5 };
        assert_eq!(written(r#"17 1700000000000 [0] SET "w:2:5" "2#5""#), Some(write));
        for other in [
            r#"17 1700000000000 [0] SET "w:2:5" "2#6""#,
            r#"17 1700000000000 [0] SET "probe" "1""#,
            r#"17 1700000000000 [0] DEL "w:2:5""#,
        ] {
            assert_eq!(written(other), None, "{other}");
        }
    }

    #[test]
    fn a_receipt_is_found_by_its_archives_id() {
        let text = |text: &str| Reply::Text(Some(text.to_owned()));
        let row = [
            text("id"),
            text("3-5-6"),
            text("acks"),
            text("async"),
            text("acknowledged-records"),
            Reply::Number(2),
            text("keys"),
            Reply::Number(1),
        ];
        let receipts = Reply::Many(vec![Reply::Many(row.to_vec())]);
        let receipt = Receipt { acks: "async".to_owned(), acknowledged: 2, keys: 1 };
        assert_eq!(receipt_of(&receipts, "3-5-6"), Some(receipt));
        assert_eq!(receipt_of(&receipts, "3-5-7"), None);
    }
}
