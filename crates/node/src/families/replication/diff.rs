//! REPLICATION DIVERGED DIFF: key by key what was lost, what is here now, and what APPLY would do.

use trefoil_commands::{CommandError, parse_i64};

use super::diverged::{disk, failed, wanted};
use crate::diverged::{self, Diff, KeyDiff, Lost, quoted_part};
use crate::families::fields::Fields;
use crate::handler::{Flow, NodeCall};
use crate::mail::Mail;

/// Keys that it tells of, and the most that it does.
const KEYS: i64 = 100;
const KEYS_MAX: i64 = 10_000;

/// A run of the archive a turn, as APPLY.
pub(super) fn diff(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if call.session.diff.is_none() {
        let count = match call.args.len() {
            5 => parse_i64(call.args.get(4)).ok_or(CommandError::NotInteger)?,
            _ => KEYS,
        };
        if !(1..=KEYS_MAX).contains(&count) {
            return Err(CommandError::OutOfRange);
        }
        let disk = disk(call)?;
        let archive = diverged::find(&disk, &wanted(call)).map_err(failed)?;
        let diff = Diff::new(&disk, &archive, count as usize).map_err(failed)?;
        call.session.diff = Some(Box::new(diff));
    }
    if !call.worker.may_touch_data() {
        return Ok(Flow::Retry);
    }
    let mut diff = call.session.diff.take().expect("it was just there");
    if diff.step(&call.worker.node.keyspace, &mut call.worker.writer).map_err(failed)? {
        call.session.diff = Some(diff);
        call.worker.node.post.post(call.session.address.worker, Mail::Wake);
        return Ok(Flow::Retry);
    }
    let mut fields = Fields::default();
    fields.number("whole-databases", diff.whole);
    fields.number("changes-left-off", diff.left_off);
    fields.maps("keys", diff.keys.iter().map(|((db, key), row)| of_key(*db, key, row)).collect());
    fields.write(&mut call.reply());
    Ok(Flow::Continue)
}

fn of_key(db: u8, key: &[u8], row: &KeyDiff) -> Fields {
    let mut fields = Fields::default();
    fields.number("db", db.into());
    fields.text("key", quoted_part(key, key.len() as u64));
    fields.number("changes", row.changes);
    fields.number("last-lsn", row.last.0);
    fields.number("last-ms", row.last_ms);
    let (lost, parts) = match &row.lost {
        Lost::Value(value) => (quoted_part(&value.head, value.len), Vec::new()),
        Lost::Deleted => (String::new(), Vec::new()),
        Lost::Parts(parts) => (String::new(), parts.clone()),
    };
    fields.text("lost", lost);
    fields.list("lost-changes", parts);
    let now = row.now.as_ref().map(|value| quoted_part(&value.head, value.len));
    fields.text("now", now.unwrap_or_default());
    fields.text("apply", if row.is_same() { "same" } else { row.verdict.name() });
    fields
}

#[cfg(test)]
mod tests {
    use trefoil_store::record::{Cause, Effect};

    use crate::diverged::testing::{answer, node_with_archive, put};
    use crate::replication::Role;

    /// The row of a key, by what follows its name.
    fn row<'a>(diff: &'a str, key: &str) -> &'a str {
        let begin = diff.find(&format!("\"{key}\"")).expect("it has a row");
        let rest = &diff[begin..];
        rest.find("$2 db").map_or(rest, |end| &rest[..end])
    }

    #[test]
    fn what_apply_would_do_is_told_and_then_done() {
        let append =
            |key: &'static str| Effect::Append { table: 0, key: key.as_bytes(), suffix: b"+" };
        let delete = Effect::Delete { table: 0, key: b"deleted", cause: Cause::Command };
        let (mut node, _dir, _archive) = node_with_archive(
            5,
            &[
                &[append("old"), put("changed", "lost"), append("part")],
                &[delete, put("created", "lost"), put("same", "v"), Effect::Flush { table: 0 }],
                &[append("old"), append("absent")],
            ],
        );
        let mut client = node.client();
        for line in ["SET old v", "SET deleted v", "SET x x", "SET x y"] {
            node.run(&mut client, line);
        }
        node.check(&mut client, &[("MSET changed new part new same v", "+OK")]);
        let diff = answer(&mut node, &mut client, "REPLICATION DIVERGED DIFF 3-5-7");
        assert!(diff.starts_with("*6 $15 whole-databases :1 $16 changes-left-off :0"), "{diff}");
        for (key, parts) in [
            (
                "old",
                ["$7 changes :2", "$4 lost $5 \"v++\"", "$3 now $3 \"v\"", "$5 apply $6 writes"],
            ),
            (
                "changed",
                ["$7 changes :1", "$4 lost $6 \"lost\"", "$3 now $5 \"new\"", "$7 changed"],
            ),
            ("part", ["$7 changes :1", "APPEND \"part\" \"+\"", "$3 now $5 \"new\"", "$7 changed"]),
            ("deleted", ["$7 changes :1", "$4 lost $0", "$3 now $3 \"v\"", "$5 apply $6 writes"]),
            (
                "created",
                ["$7 changes :1", "$4 lost $6 \"lost\"", "$3 now $0", "$5 apply $6 writes"],
            ),
            ("same", ["$7 changes :1", "$4 lost $3 \"v\"", "$3 now $3 \"v\"", "$5 apply $4 same"]),
            ("absent", ["$7 changes :1", "APPEND \"absent\"", "$3 now $0", "$5 apply $7 changed"]),
        ] {
            let row = row(&diff, key);
            for part in parts {
                assert!(row.contains(part), "{key}: {part:?} in {row}");
            }
        }
        answer(&mut node, &mut client, "REPLICATION DIVERGED APPLY 3-5-7");
        node.check(
            &mut client,
            &[("MGET old changed part deleted created", "*5 $3 v++ $3 new $3 new $-1 $4 lost")],
        );
    }

    #[test]
    fn a_follower_tells_it_too_and_only_of_so_many_keys() {
        let (mut node, _dir, _archive) = node_with_archive(1, &[&[put("a", "1"), put("b", "2")]]);
        let mut client = node.client();
        node.node.replication.set_role(Role::Following);
        let diff = answer(&mut node, &mut client, "REPLICATION DIVERGED DIFF 3-1-1 1");
        assert!(diff.contains("changes-left-off :1") && !diff.contains("\"b\""), "{diff}");
        node.check(
            &mut client,
            &[
                ("REPLICATION DIVERGED DIFF 3-1-1 0", "-ERR value is out of range"),
                ("REPLICATION DIVERGED DIFF 9-9-9", "-ERR there is no diverged archive '9-9-9'"),
            ],
        );
    }
}
