//! An archive as people read it: a line per change, as the command that would make it.

use trefoil_log::{Disk, DivergedName, DivergedReader};
use trefoil_store::record::{Cause, Effect};

use super::DivergedError;

/// Bytes of a value that are shown.
pub(super) const SHOWN_MAX: usize = 256;

/// The first changes of an archive.
pub fn show<D: Disk>(
    disk: &D,
    archive: &DivergedName,
    lines_max: usize,
) -> Result<Vec<String>, DivergedError> {
    let mut reader = DivergedReader::open(disk, archive)?;
    let mut lines = Vec::new();
    while let Some(run) = reader.next()? {
        for record in run.records() {
            let record = record?;
            let mut effects = record.effects;
            while !effects.is_empty() {
                if lines.len() == lines_max {
                    return Ok(lines);
                }
                let effect = Effect::decode(&mut effects)?;
                lines.push(format!("{} {} {}", record.lsn, record.hlc.millis(), line(&effect)));
            }
        }
    }
    Ok(lines)
}

pub(super) fn line(effect: &Effect<'_>) -> String {
    let at = |table: u8, command: String| format!("[{table}] {command}");
    match *effect {
        Effect::PutString { table, key, value, deadline, .. } => {
            let until = deadline.map_or(String::new(), |ms| format!(" PXAT {ms}"));
            at(table, format!("SET {} {}{until}", quoted(key), quoted(value)))
        }
        Effect::Delete { table, key, cause } => {
            let why = match cause {
                Cause::Command => "",
                Cause::Expired => " # it had expired",
                Cause::Evicted => " # it was evicted",
            };
            at(table, format!("DEL {}{why}", quoted(key)))
        }
        Effect::SetDeadline { table, key, deadline: Some(ms) } => {
            at(table, format!("PEXPIREAT {} {ms}", quoted(key)))
        }
        Effect::SetDeadline { table, key, deadline: None } => {
            at(table, format!("PERSIST {}", quoted(key)))
        }
        Effect::Append { table, key, suffix } => {
            at(table, format!("APPEND {} {}", quoted(key), quoted(suffix)))
        }
        Effect::SetRange { table, key, offset, bytes } => {
            at(table, format!("SETRANGE {} {offset} {}", quoted(key), quoted(bytes)))
        }
        Effect::Flush { table } => at(table, "FLUSHDB".to_string()),
        Effect::Swap { a, b } => format!("SWAPDB {a} {b}"),
    }
}

/// In double quotes, as redis-cli takes it; long ones are cut, which is said.
pub(super) fn quoted(bytes: &[u8]) -> String {
    quoted_part(bytes, bytes.len() as u64)
}

/// The same of the beginning of what is `len` bytes long.
pub(crate) fn quoted_part(bytes: &[u8], len: u64) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_MAX)];
    let mut text = String::from("\"");
    for &byte in shown {
        match byte {
            b'"' | b'\\' => text.extend(['\\', byte as char]),
            b' '..=b'~' => text.push(byte as char),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    if (shown.len() as u64) < len {
        text.push_str(&format!("...({len} bytes)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_as_the_commands_that_make_them() {
        let key = b"k".as_slice();
        let long = [b'v'; 300];
        for (effect, expected) in [
            (
                Effect::PutString { table: 2, key, value: b"a\"\n", deadline: Some(7), raw: false },
                r#"[2] SET "k" "a\"\x0a" PXAT 7"#.to_string(),
            ),
            (
                Effect::PutString { table: 0, key, value: &long, deadline: None, raw: true },
                format!("[0] SET \"k\" \"{}\"...(300 bytes)", "v".repeat(256)),
            ),
            (
                Effect::Delete { table: 0, key, cause: Cause::Expired },
                "[0] DEL \"k\" # it had expired".to_string(),
            ),
            (
                Effect::SetDeadline { table: 0, key, deadline: None },
                "[0] PERSIST \"k\"".to_string(),
            ),
            (
                Effect::SetRange { table: 0, key, offset: 3, bytes: b"x" },
                "[0] SETRANGE \"k\" 3 \"x\"".to_string(),
            ),
            (Effect::Swap { a: 1, b: 2 }, "SWAPDB 1 2".to_string()),
        ] {
            assert_eq!(line(&effect), expected);
        }
    }
}
