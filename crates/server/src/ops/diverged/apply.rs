//! Writes an archive again: on the node that leads, whoever has it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use trefoil_wire::resp::client::Value;

use super::super::connection::{AskError, Connection};
use super::super::record::{Record, text};
use super::super::reply_json::{json, lines};
use super::{OneOptions, nodes};

/// An archive is read from disk and written through the log.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

pub(super) fn apply(options: &OneOptions) -> Result<String> {
    let holder = options.find()?;
    let leader = leader(options)?;
    let mut there = options.connect(&leader)?;
    let is_copied = holder.address != leader;
    if is_copied {
        let mut here = options.connect(&holder.address)?;
        copy(&mut here, &mut there, &options.id, &holder.file)
            .map_err(|error| options.target().explain(error))
            .with_context(|| format!("the archive could not be copied to the leader, {leader}"))?;
    }
    let words = ["REPLICATION", "DIVERGED", "APPLY", &options.id, "IF-UNCHANGED"];
    let applied = there.ask_within(PATIENCE, &words);
    if is_copied {
        // The archive is where it was; of the copy nobody needs to know.
        let dropped = there.ask(&["REPLICATION", "DIVERGED", "DROP", &options.id]);
        if let Err(error) = dropped {
            eprintln!("trefoil: {:#}", options.target().explain(error).context("the copy stays"));
        }
    }
    let applied = applied.map_err(|error| options.target().explain(error))?;
    Ok(if options.ask.json { lines(&json(&applied)) } else { report(&applied, &options.id) })
}

/// Where the leader is, for clients.
fn leader(options: &OneOptions) -> Result<String> {
    for address in nodes(options.target())? {
        let Ok(mut connection) = options.connect(&address) else { continue };
        let role = connection.ask(&["ROLE"]).ok();
        let first = role.as_ref().and_then(|role| role.as_elements()?.first().and_then(text));
        if first.as_deref() == Some("master") {
            return Ok(address);
        }
    }
    bail!("no node that leads answers, and only a leader writes; `trefoil status` tells who leads")
}

/// Carries the archive over, piece by piece.
fn copy(from: &mut Connection, to: &mut Connection, id: &str, file: &str) -> Result<(), AskError> {
    let mut offset = 0_u64;
    loop {
        let at = offset.to_string();
        let piece = from.ask_within(PATIENCE, &["REPLICATION", "DIVERGED", "FETCH", id, &at])?;
        let Value::Bulk(piece) = piece else {
            return Err(AskError::Unreachable("what it gave is no piece of an archive".into()));
        };
        let last: &[u8] = if piece.is_empty() { b"END" } else { &piece };
        let words: [&[u8]; 6] =
            [b"REPLICATION", b"DIVERGED", b"STORE", file.as_bytes(), at.as_bytes(), last];
        to.ask_bytes(PATIENCE, &words)?;
        if piece.is_empty() {
            return Ok(());
        }
        offset += piece.len() as u64;
    }
}

fn report(reply: &Value, id: &str) -> String {
    let record = Record::new(reply);
    let number = |name: &str| record.number(name).unwrap_or(0);
    format!(
        "{} changes of {} records were written again\n\
         {} were not: their keys have been changed since\n\
         {} were not: they had expired, were evicted, or concern whole databases\n\
         The archive stays; `trefoil diverged drop {id}` deletes it.\n",
        number("applied"),
        number("records"),
        number("skipped-changed"),
        number("skipped-otherwise"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{map, number};

    #[test]
    fn what_was_done_and_what_not_is_told() {
        let reply = map([
            ("records", number(4)),
            ("applied", number(5)),
            ("skipped-changed", number(3)),
            ("skipped-otherwise", number(2)),
        ]);
        let text = report(&reply, "3-4-7");
        assert!(
            text.starts_with("5 changes of 4 records were written again\n3 were not"),
            "{text}"
        );
        assert!(text.ends_with("`trefoil diverged drop 3-4-7` deletes it.\n"), "{text}");
    }
}
