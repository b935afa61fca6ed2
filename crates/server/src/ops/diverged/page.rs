//! Archives, receipts and differences as people read them.

use trefoil_wire::resp::client::Value;

use super::super::connection::AskError;
use super::super::paint::{Look, Tone, usual};
use super::super::record::{Record, rows, text};
use super::super::units::{bytes, utc};
use super::Told;

/// Those who did not answer.
fn troubles(all: &Told, look: Look) -> String {
    let mut lines = String::new();
    for (address, told) in all {
        if let Err(AskError::Unreachable(why) | AskError::Refused(why)) = told {
            let line = format!("{address} does not answer: {why}");
            lines.push_str(&look.paint(Tone::Warning, &line));
            lines.push('\n');
        }
    }
    lines
}

fn answered(all: &Told) -> impl Iterator<Item = (&String, Record<'_>)> {
    all.iter().flat_map(|(address, told)| {
        let rows = told.as_ref().map(rows).unwrap_or_default();
        rows.into_iter().map(move |row| (address, row))
    })
}

fn counted(row: Record<'_>, name: &str) -> String {
    row.number(name).map_or("-".into(), |number| number.to_string())
}

fn when(row: Record<'_>, name: &str) -> String {
    row.number(name).filter(|&ms| ms > 0).map_or("-".into(), utc)
}

fn promised(row: Record<'_>) -> String {
    match (row.said("acks"), row.said("ack-level")) {
        (Some(acks), _) if acks == "async" => acks,
        (Some(acks), Some(level)) => format!("{acks} {level}"),
        _ => "-".into(),
    }
}

/// The archives that there are.
pub(super) fn archives(all: &Told, look: Look) -> String {
    let row = |(address, row): (&String, Record<'_>)| {
        [
            (Tone::Strong, row.text("id")),
            usual(address),
            usual(when(row, "cut-at-ms")),
            usual(counted(row, "epoch")),
            usual(counted(row, "records")),
            usual(counted(row, "acknowledged-records")),
            usual(counted(row, "keys")),
            usual(row.number("bytes").map_or("-".into(), bytes)),
            usual(promised(row)),
        ]
    };
    let rows: Vec<_> = answered(all).map(row).collect();
    let names =
        ["id", "on", "cut off", "epoch", "records", "acknowledged", "keys", "bytes", "acks"];
    let table = match rows.is_empty() {
        true => "nothing was cut off that is still kept\n".to_owned(),
        false => look.table(names, &rows),
    };
    table + &troubles(all, look)
}

/// The receipts, those of dropped archives included.
pub(super) fn receipts(all: &Told, look: Look) -> String {
    let row = |(address, row): (&String, Record<'_>)| {
        let named = row.texts("keys-named");
        let mut keys = named.iter().take(3).cloned().collect::<Vec<_>>().join(" ");
        if row.number("keys").unwrap_or(0) > 3 {
            keys.push_str(" ...");
        }
        [
            (Tone::Strong, row.text("id")),
            usual(address),
            usual(when(row, "cut-at-ms")),
            usual(counted(row, "records")),
            usual(counted(row, "acknowledged-records")),
            usual(promised(row)),
            usual(counted(row, "keys")),
            usual(keys),
            usual(when(row, "dropped-at-ms")),
        ]
    };
    let rows: Vec<_> = answered(all).map(row).collect();
    let names =
        ["id", "on", "cut off", "records", "acknowledged", "acks", "keys", "among them", "dropped"];
    let table = match rows.is_empty() {
        true => "nothing was ever cut off\n".to_owned(),
        false => look.table(names, &rows),
    };
    table + &troubles(all, look)
}

/// Lines of `SHOW`.
pub(super) fn commands(reply: &Value) -> String {
    let lines = reply.as_elements().unwrap_or_default().iter().filter_map(text);
    let line = |line: String| {
        let mut words = line.splitn(3, ' ');
        let (lsn, ms, rest) = (words.next(), words.next(), words.next());
        match (lsn, ms.and_then(|ms| ms.parse().ok()), rest) {
            (Some(lsn), Some(ms), Some(rest)) => format!("{lsn}  {}  {rest}\n", utc(ms)),
            _ => format!("{line}\n"),
        }
    };
    lines.map(line).collect()
}

/// Key by key: `-` is what is there now and would go, `+` what was lost and would come back.
pub(super) fn diff(reply: &Value, id: &str, address: &str, look: Look) -> String {
    let record = Record::new(reply);
    let keys = record.records("keys");
    let count = |verdict: &str| keys.iter().filter(|row| row.text("apply") == verdict).count();
    let mut out = format!(
        "archive {id} on {address}: {} keys; apply would write {}, {} were changed since, {} are the same\n",
        keys.len(),
        count("writes"),
        count("changed"),
        count("same"),
    );
    for row in &keys {
        out.push_str(&of_key(*row, look));
    }
    let (whole, left_off) = (record.number("whole-databases"), record.number("changes-left-off"));
    if let Some(whole) = whole.filter(|&count| count > 0) {
        out.push_str(&format!(
            "\n{whole} changes of whole databases (FLUSHDB, SWAPDB): never written again\n"
        ));
    }
    if let Some(left) = left_off.filter(|&count| count > 0) {
        out.push_str(&format!(
            "\n{left} changes of more keys are not shown: --limit N shows more\n"
        ));
    }
    out
}

fn of_key(row: Record<'_>, look: Look) -> String {
    let (tone, verdict) = match row.text("apply").as_str() {
        "writes" => (Tone::Good, "apply would write it"),
        "changed" => (Tone::Warning, "changed since: it stays as it is"),
        "same" => (Tone::Faint, "the same is there"),
        _ => (Tone::Faint, "it had expired, was evicted or is gone: nothing is done"),
    };
    let db = row.number("db").filter(|&db| db > 0).map_or(String::new(), |db| format!("db {db} "));
    let times = match row.number("changes") {
        Some(changes @ 2..) => format!("{changes} times, last "),
        _ => String::new(),
    };
    let head = format!("{db}{}", row.text("key"));
    let mut out = format!(
        "\n{}  {}  {}\n",
        look.paint(Tone::Strong, &head),
        look.paint(tone, verdict),
        look.paint(
            Tone::Faint,
            &format!("({times}in record {}, {})", counted(row, "last-lsn"), when(row, "last-ms"))
        ),
    );
    let parts = row.texts("lost-changes");
    let now = row.said("now");
    let lost = row.said("lost");
    if lost.is_some() && lost == now && row.text("apply") == "same" {
        out.push_str(&format!("    {}\n", lost.unwrap_or_default()));
        return out;
    }
    let now = now.unwrap_or_else(|| "(not there)".into());
    out.push_str(&format!("{}\n", look.paint(Tone::Bad, &format!("  - {now}"))));
    let lost = match (lost, parts.is_empty()) {
        (Some(lost), _) => vec![lost],
        (None, true) => vec!["(deleted)".to_owned()],
        (None, false) => parts,
    };
    for line in lost {
        out.push_str(&format!("{}\n", look.paint(Tone::Good, &format!("  + {line}"))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{map, number, texts};

    fn key(key: &str, lost: &str, now: &str, apply: &str) -> Value {
        map([
            ("db", number(0)),
            ("key", crate::ops::testing::text(key)),
            ("changes", number(2)),
            ("last-lsn", number(7)),
            ("last-ms", number(0)),
            ("lost", crate::ops::testing::text(lost)),
            ("lost-changes", texts([])),
            ("now", crate::ops::testing::text(now)),
            ("apply", crate::ops::testing::text(apply)),
        ])
    }

    #[test]
    fn a_difference_reads_like_one() {
        let reply = map([
            ("whole-databases", number(1)),
            ("changes-left-off", number(0)),
            (
                "keys",
                Value::Array(vec![
                    key("\"a\"", "\"1\"", "", "writes"),
                    key("\"b\"", "", "\"2\"", "changed"),
                    key("\"c\"", "\"3\"", "\"3\"", "same"),
                ]),
            ),
        ]);
        let text = diff(&reply, "3-5-7", "h:1", Look::Plain);
        let expected = "\
archive 3-5-7 on h:1: 3 keys; apply would write 1, 1 were changed since, 1 are the same

\"a\"  apply would write it  (2 times, last in record 7, -)
  - (not there)
  + \"1\"

\"b\"  changed since: it stays as it is  (2 times, last in record 7, -)
  - \"2\"
  + (deleted)

\"c\"  the same is there  (2 times, last in record 7, -)
    \"3\"

1 changes of whole databases (FLUSHDB, SWAPDB): never written again
";
        assert_eq!(text, expected);
    }

    #[test]
    fn nothing_is_said_as_such_and_silence_too() {
        let all: Told = vec![
            ("a:1".into(), Ok(Value::Array(vec![]))),
            ("b:1".into(), Err(AskError::Unreachable("nobody listens there".into()))),
        ];
        let expected =
            "nothing was cut off that is still kept\nb:1 does not answer: nobody listens there\n";
        assert_eq!(archives(&all, Look::Plain), expected);
        assert!(receipts(&all, Look::Plain).starts_with("nothing was ever cut off\n"));
    }

    #[test]
    fn a_receipt_tells_what_had_been_promised() {
        let row = map([
            ("id", crate::ops::testing::text("3-5-6")),
            ("cut-at-ms", number(1_000)),
            ("acks", crate::ops::testing::text("semi-sync:1")),
            ("ack-level", crate::ops::testing::text("flushed")),
            ("records", number(2)),
            ("acknowledged-records", number(1)),
            ("keys", number(4)),
            ("keys-named", texts(["\"a\"", "\"b\"", "\"c\"", "\"d\""])),
        ]);
        let text = receipts(&vec![("a:1".into(), Ok(Value::Array(vec![row])))], Look::Plain);
        assert!(text.contains("1970-01-01 00:00:01 UTC"), "{text}");
        assert!(
            text.contains("semi-sync:1 flushed") && text.contains("\"a\" \"b\" \"c\" ..."),
            "{text}"
        );
    }

    #[test]
    fn changes_are_dated() {
        let reply = texts(["5 1000 [0] SET \"a b\" \"1\"", "odd"]);
        assert_eq!(commands(&reply), "5  1970-01-01 00:00:01 UTC  [0] SET \"a b\" \"1\"\nodd\n");
    }
}
