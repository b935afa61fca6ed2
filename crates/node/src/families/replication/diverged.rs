//! REPLICATION DIVERGED and RECEIPTS: tails that were cut off from this node's log.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Spec, parse_i64};
use trefoil_log::{DivergedName, FsDisk, list_diverged, remove_diverged};

use super::ABOUT;
use super::copy::{fetch, store};
use super::diff::diff;
use crate::diverged::{self, DivergedError, Reapply, Receipt};
use crate::families::fields::{Fields, write_all};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::log::LogHealth;
use crate::mail::Mail;
use crate::node::Node;

/// A command of two words has one level of subcommands, so the verb is an argument.
pub(super) const DIVERGED: Command<NodeHandler> = Command::new(
    Spec {
        name: "diverged",
        arity: -3,
        flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE).with(Flags::NO_MULTI),
        summary: "Lists, shows, writes again or drops tails that were cut off from the log.",
        complexity: "O(N) in the size of the archive",
        args: &[Arg::required(
            "verb",
            ArgKind::OneOf(&[
                Arg::word("list", "LIST"),
                Arg::behind("show", "SHOW", ArgKind::String),
                Arg::behind("diff", "DIFF", ArgKind::String),
                Arg::behind("apply", "APPLY", ArgKind::String),
                Arg::behind("drop", "DROP", ArgKind::String),
                Arg::behind("fetch", "FETCH", ArgKind::String),
                Arg::behind("store", "STORE", ArgKind::String),
            ]),
        )],
        ..ABOUT
    },
    diverged,
);

fn diverged(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let verb = call.args.get(2).to_ascii_lowercase();
    match (verb.as_slice(), call.args.len()) {
        (b"list", 3) => list(call),
        (b"show", 4 | 5) => show(call),
        (b"diff", 4 | 5) => diff(call),
        (b"apply", 4 | 5) => apply(call),
        (b"drop", 4) => remove(call),
        (b"fetch", 5) => fetch(call),
        (b"store", 6) => store(call),
        _ => Err(CommandError::Syntax),
    }
}

pub(super) fn failed(error: DivergedError) -> CommandError {
    CommandError::Detailed(format!("ERR {error}"))
}

pub(super) fn disk(call: &NodeCall<'_>) -> Result<FsDisk, CommandError> {
    diverged::disk(&call.worker.node.settings).map_err(failed)
}

/// The id that is the third argument.
pub(super) fn wanted(call: &NodeCall<'_>) -> String {
    String::from_utf8_lossy(call.args.get(3)).into_owned()
}

fn list(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let disk = disk(call)?;
    let archives = list_diverged(&disk).map_err(|error| failed(error.into()))?;
    let receipts = diverged::receipts(&disk).map_err(|error| failed(error.into()))?;
    let describe = |archive: &DivergedName| {
        let id = diverged::id(&archive.name);
        let receipt = receipts.iter().find(|receipt| receipt.id == id);
        let mut fields = Fields::default();
        fields.text("id", id);
        fields.number("epoch", archive.epoch.0);
        fields.number("first-lsn", archive.first.0);
        fields.number("last-lsn", archive.last.0);
        fields.number("records", archive.last.0 + 1 - archive.first.0);
        fields.perhaps("keys", receipt.map(|receipt| receipt.keys));
        fields.perhaps("bytes", receipt.map(|receipt| receipt.bytes));
        fields.perhaps("cut-at-ms", receipt.map(|receipt| receipt.cut_at_ms));
        fields.text("acks", receipt.map_or("", |receipt| &receipt.acks));
        fields.text("ack-level", receipt.map_or("", |receipt| &receipt.ack_level));
        fields.perhaps("acknowledged-records", receipt.map(|receipt| receipt.acknowledged));
        fields.text("file", archive.name.as_str());
        fields
    };
    let rows: Vec<Fields> = archives.iter().map(describe).collect();
    write_all(&mut call.reply(), &rows);
    Ok(Flow::Continue)
}

/// Lines that SHOW gives, and the most that it does.
const SHOWN: i64 = 100;
const SHOWN_MAX: i64 = 10_000;

fn show(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let count = match call.args.len() {
        5 => parse_i64(call.args.get(4)).ok_or(CommandError::NotInteger)?,
        _ => SHOWN,
    };
    if !(1..=SHOWN_MAX).contains(&count) {
        return Err(CommandError::OutOfRange);
    }
    let disk = disk(call)?;
    let archive = diverged::find(&disk, &wanted(call)).map_err(failed)?;
    let lines = diverged::show(&disk, &archive, count as usize).map_err(failed)?;
    let mut reply = call.reply();
    reply.array(lines.len());
    for line in lines {
        reply.bulk(line.as_bytes());
    }
    Ok(Flow::Continue)
}

fn remove(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let disk = disk(call)?;
    let archive = diverged::find(&disk, &wanted(call)).map_err(failed)?;
    let now_ms = call.worker.writer.now_ms;
    remove_diverged(&disk, &archive)
        .and_then(|()| diverged::mark_dropped(&disk, &archive, now_ms))
        .map_err(|error| failed(error.into()))?;
    call.reply().ok();
    Ok(Flow::Continue)
}

/// A run of the archive a turn, so that other connections are served in between.
fn apply(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if call.args.len() == 5 && !call.args.get(4).eq_ignore_ascii_case(b"IF-UNCHANGED") {
        return Err(CommandError::Syntax);
    }
    if let Some(reason) = refusal(&call.worker.node) {
        let done = call.session.reapply.take().map_or(0, |reapply| reapply.report.applied);
        let text = format!("ERR {reason}; {done} changes were applied before");
        return Err(CommandError::Detailed(text));
    }
    if call.session.reapply.is_none() {
        let disk = disk(call)?;
        let archive = diverged::find(&disk, &wanted(call)).map_err(failed)?;
        let reapply = Reapply::new(&disk, &archive).map_err(failed)?;
        call.session.reapply = Some(Box::new(reapply));
    }
    if !call.worker.may_touch_data() || call.worker.node.log.is_behind() {
        return Ok(Flow::Retry);
    }
    let mut reapply = call.session.reapply.take().expect("it was just there");
    let stepped = reapply.step(&call.worker.node.keyspace, &mut call.worker.writer);
    let report = reapply.report;
    let goes_on = stepped.map_err(|error| {
        let done = report.applied;
        CommandError::Detailed(format!("ERR {error}; {done} changes were applied before"))
    })?;
    if goes_on {
        call.session.reapply = Some(reapply);
        call.worker.node.post.post(call.session.address.worker, Mail::Wake);
        return Ok(Flow::Retry);
    }
    call.depends_on = report.depends_on;
    let mut fields = Fields::default();
    fields.number("records", report.records);
    fields.number("applied", report.applied);
    fields.number("skipped-changed", report.changed);
    fields.number("skipped-otherwise", report.ignored);
    fields.write(&mut call.reply());
    Ok(Flow::Continue)
}

/// Why nothing can be written now.
fn refusal(node: &Node) -> Option<&'static str> {
    if !node.replication.is_leading() {
        return Some(
            "only a leader writes: `trefoil diverged apply` copies the archive to it and applies it there",
        );
    }
    if node.replication.is_blocked() {
        return Some("too few followers are attached");
    }
    (node.log.health() != LogHealth::Writing).then_some("the log can't be written")
}

pub(super) const RECEIPTS: Command<NodeHandler> = Command::new(
    Spec {
        name: "receipts",
        arity: 2,
        summary: "Tells what was cut off from this node's log, dropped archives included.",
        complexity: "O(N) in the number of receipts",
        ..ABOUT
    },
    tell_receipts,
);

fn tell_receipts(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let receipts = diverged::receipts(&disk(call)?).map_err(|error| failed(error.into()))?;
    let rows: Vec<Fields> = receipts.into_iter().map(of_receipt).collect();
    write_all(&mut call.reply(), &rows);
    Ok(Flow::Continue)
}

fn of_receipt(receipt: Receipt) -> Fields {
    let mut fields = Fields::default();
    fields.text("id", receipt.id);
    fields.number("cut-at-ms", receipt.cut_at_ms);
    fields.text("acks", receipt.acks);
    fields.text("ack-level", receipt.ack_level);
    fields.number("records", receipt.records);
    fields.number("acknowledged-records", receipt.acknowledged);
    fields.number("keys", receipt.keys);
    fields.number("bytes", receipt.bytes);
    fields.list("keys-named", receipt.keys_named);
    fields.perhaps("dropped-at-ms", Some(receipt.dropped_at_ms).filter(|&at_ms| at_ms > 0));
    fields
}

#[cfg(test)]
mod tests {
    use trefoil_clock::Lsn;
    use trefoil_store::record::{Cause, Effect};

    use crate::diverged::testing::{answer, node_with_archive, put};
    use crate::diverged::{Cut, file_receipt};
    use crate::harness::START_MS;
    use crate::replication::Role;

    #[test]
    fn archives_are_listed_shown_and_dropped() {
        let (mut node, _dir, archive) = node_with_archive(5, &[&[put("a", "1")], &[put("b", "2")]]);
        let mut client = node.client();
        let listed = "$2 id $5 3-5-6 $5 epoch :3 $9 first-lsn :5 $8 last-lsn :6 $7 records :2";
        let answer = node.run(&mut client, "REPLICATION DIVERGED LIST");
        assert!(answer.contains(&format!("{listed} $4 keys $-1")), "{answer}");
        let disk = crate::diverged::disk(&node.node.settings).expect("a disk");
        let cut = Cut { at_ms: 7, policy: node.node.settings.policy(), acknowledged: Lsn(9) };
        file_receipt(&disk, &archive, cut).expect("a receipt");
        let answer = node.run(&mut client, "REPLICATION DIVERGED LIST");
        assert!(answer.contains("$4 keys :2"), "{answer}");
        assert!(answer.contains("$20 acknowledged-records :2"), "{answer}");
        let (first, at) = ("[0] SET \"a\" \"1\"", START_MS + 1_000);
        let first = format!("5 {at} {first}");
        node.check(
            &mut client,
            &[
                ("REPLICATION DIVERGED SHOW 3-5-6 1", &format!("*1 ${} {first}", first.len())),
                ("REPLICATION DIVERGED SHOW 3-5-6 0", "-ERR value is out of range"),
                ("REPLICATION DIVERGED SHOW 1-2-3", "-ERR there is no diverged archive '1-2-3'"),
                ("REPLICATION DIVERGED HIDE 3-5-6", "-ERR syntax error"),
                ("REPLICATION DIVERGED DROP 3-5-6", "+OK"),
                ("REPLICATION DIVERGED LIST", "*0"),
            ],
        );
        let answer = node.run(&mut client, "REPLICATION RECEIPTS");
        let rest = format!("$10 keys-named *2 $3 \"a\" $3 \"b\" $13 dropped-at-ms :{START_MS}");
        assert!(answer.contains(&rest), "{answer}");
    }

    #[test]
    fn what_is_written_again_is_what_nobody_has_changed_since() {
        let delete =
            |key: &'static str, cause| Effect::Delete { table: 0, key: key.as_bytes(), cause };
        let append =
            |key: &'static str| Effect::Append { table: 0, key: key.as_bytes(), suffix: b"+" };
        let gone = Effect::PutString {
            table: 0,
            key: b"gone",
            value: b"x",
            deadline: Some(START_MS),
            raw: false,
        };
        let (mut node, _dir, _archive) = node_with_archive(
            4,
            &[
                &[put("old", "lost"), append("old"), put("changed", "lost")],
                &[append("old"), append("changed"), append("absent")],
                &[delete("kept", Cause::Expired), delete("deleted", Cause::Command), gone],
                &[Effect::Flush { table: 0 }, put("created", "lost")],
            ],
        );
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("SET old v", "+OK"),
                ("MSET kept v deleted v", "+OK"),
                ("SET changed v", "+OK"),
                ("SET changed new", "+OK"),
            ],
        );
        let report =
            answer(&mut node, &mut client, "REPLICATION DIVERGED APPLY 3-4-7 IF-UNCHANGED");
        let expected =
            "*8 $7 records :4 $7 applied :5 $15 skipped-changed :3 $17 skipped-otherwise :3";
        assert_eq!(report, expected);
        node.check(
            &mut client,
            &[
                ("MGET old changed kept deleted created", "*5 $6 lost++ $3 new $1 v $-1 $4 lost"),
                ("EXISTS absent gone", ":0"),
            ],
        );
        assert!(client.session.reapply.is_none());
    }

    #[test]
    fn only_a_leader_writes_again() {
        let (mut node, _dir, _archive) = node_with_archive(1, &[&[put("a", "1")]]);
        let mut client = node.client();
        node.node.replication.set_role(Role::Following);
        let refused = answer(&mut node, &mut client, "REPLICATION DIVERGED APPLY 3-1-1");
        assert!(refused.starts_with("-ERR only a leader writes"), "{refused}");
        assert!(refused.ends_with("0 changes were applied before"), "{refused}");
    }
}
