//! `trefoil keyspace list | show | alter`: how data is kept and replicated.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use trefoil_wire::resp::client::Value;

use super::connection::{AskError, Connection};
use super::paint::{Look, Tone, usual};
use super::print;
use super::record::{Record, text};
use super::reply_json::{json, lines};
use super::target::{AskOptions, Target};

/// A change waits until it is in force.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is shown of each keyspace in a list.
const COLUMNS: [&str; 7] = ["name", "acks", "ack-level", "on-lost-acks", "fsync", "keys", "epoch"];

/// Keyspaces and their policies.
#[derive(Args, Debug)]
pub(crate) struct KeyspaceOptions {
    #[command(subcommand)]
    command: KeyspaceCommand,
}

#[derive(Subcommand, Debug)]
enum KeyspaceCommand {
    /// List the keyspaces with their policies.
    List(AskOptions),
    /// Show all policies and sizes of a keyspace.
    Show(ShowOptions),
    /// Change policies: all that are given, or none.
    #[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
    Alter(AlterOptions),
}

const EXAMPLES: &str = "\
Policies:
  fsync          always (each write is on disk before its answer), everysec, no
  acks           async (nobody is waited for), semi-sync:K (K followers), sync (all in-sync followers)
  ack-level      received, flushed (on their disks), applied (their readers see it)
  on-lost-acks   block (refuse writes while too few followers are there) or degrade
  degrade-after  milliseconds until that
  failover       automatic, or manual: a person decides who leads next
  max-loss       records that an automatic failover may lose with acks async; none: any number

Examples:
  trefoil keyspace alter default acks=semi-sync:1 ack-level=flushed
  trefoil keyspace alter default fsync=always
  trefoil keyspace alter default failover=manual --host db-2";

#[derive(Args, Debug)]
struct ShowOptions {
    /// Its name.
    #[arg(value_name = "KEYSPACE", default_value = "default")]
    name: String,
    #[command(flatten)]
    ask: AskOptions,
}

#[derive(Args, Debug)]
struct AlterOptions {
    /// Its name.
    #[arg(value_name = "KEYSPACE")]
    name: String,
    /// Policies and their values.
    #[arg(value_name = "POLICY=VALUE", required = true)]
    policies: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Runs a subcommand.
pub(crate) fn run(options: &KeyspaceOptions) -> Result<ExitCode> {
    let text = match &options.command {
        KeyspaceCommand::List(options) => list(options)?,
        KeyspaceCommand::Show(options) => {
            let mut connection = options.ask.target.connect()?;
            let reply = info(&mut connection, &options.ask.target, &options.name)?;
            if options.ask.json { lines(&json(&reply)) } else { shown(&reply) }
        }
        KeyspaceCommand::Alter(options) => alter(options)?,
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn info(connection: &mut Connection, target: &Target, name: &str) -> Result<Value> {
    connection.ask(&["KEYSPACE", "INFO", name]).map_err(|error| target.explain(error))
}

fn list(options: &AskOptions) -> Result<String> {
    let target = &options.target;
    let mut connection = target.connect()?;
    let names = connection.ask(&["KEYSPACE", "LIST"]).map_err(|error| target.explain(error))?;
    let names = names.as_elements().unwrap_or_default().iter().filter_map(text);
    let all: Result<Vec<Value>> = names.map(|name| info(&mut connection, target, &name)).collect();
    let all = Value::Array(all?);
    if options.json {
        return Ok(lines(&json(&all)));
    }
    let row = |info: Record<'_>| COLUMNS.map(|name| usual(info.text(name)));
    let rows: Vec<_> = super::record::rows(&all).into_iter().map(row).collect();
    Ok(Look::of_stdout().table(COLUMNS, &rows))
}

fn shown(reply: &Value) -> String {
    let fields = Record::new(reply).fields();
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(String, &Value)| {
        format!("{name:<width$}  {}\n", text(value).unwrap_or_else(|| "none".into()))
    };
    fields.iter().map(line).collect()
}

fn alter(options: &AlterOptions) -> Result<String> {
    let (name, target) = (options.name.as_str(), &options.target);
    let policies = policies(&options.policies)?;
    let mut connection = target.connect()?;
    let before = info(&mut connection, target, name)?;
    let mut words = vec!["KEYSPACE", "ALTER", name];
    words.extend(policies.iter().flat_map(|(policy, value)| [*policy, *value]));
    connection.ask_within(PATIENCE, &words).map_err(|error: AskError| target.explain(error))?;
    let after = info(&mut connection, target, name)?;
    Ok(difference(&before, &after, Look::of_stdout()))
}

/// `NAME=VALUE`, each.
fn policies(words: &[String]) -> Result<Vec<(&str, &str)>> {
    let mut pairs = Vec::new();
    for word in words {
        match word.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty()) {
            Some(found) => pairs.push(found),
            None => bail!(
                "'{word}' is no POLICY=VALUE, for example acks=semi-sync:1; nothing was changed"
            ),
        }
    }
    Ok(pairs)
}

/// What is another value than before.
fn difference(before: &Value, after: &Value, look: Look) -> String {
    const SIZES: [&str; 4] = ["keys", "memory", "lsn", "epoch"];
    let old = Record::new(before);
    let mut text = String::new();
    for (name, value) in Record::new(after).fields() {
        let value = super::record::text(value).unwrap_or_else(|| "none".into());
        let was = old.get(&name).and_then(super::record::text).unwrap_or_else(|| "none".into());
        if value != was && !SIZES.contains(&name.as_str()) {
            text.push_str(&format!("{name}: {was} -> {}\n", look.paint(Tone::Strong, &value)));
        }
    }
    if text.is_empty() { "it was so already\n".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info_of(acks: &str, keys: i64) -> Value {
        Value::Map(vec![
            (Value::bulk("name"), Value::bulk("default")),
            (Value::bulk("acks"), Value::bulk(acks)),
            (Value::bulk("keys"), Value::Integer(keys)),
            (Value::bulk("max-loss"), Value::Null),
        ])
    }

    #[test]
    fn what_was_changed_is_shown_and_sizes_are_not() {
        let (before, after) = (info_of("async", 1), info_of("sync", 2));
        assert_eq!(difference(&before, &after, Look::Plain), "acks: async -> sync\n");
        assert_eq!(difference(&after, &after, Look::Plain), "it was so already\n");
        assert_eq!(
            shown(&before),
            "name      default\nacks      async\nkeys      1\nmax-loss  none\n"
        );
    }

    #[test]
    fn policies_are_written_with_an_equal_sign() {
        let words = ["acks=sync".to_owned(), "max-loss=10".to_owned()];
        assert_eq!(policies(&words).expect("good"), [("acks", "sync"), ("max-loss", "10")]);
        for bad in ["acks", "=x", "acks="] {
            assert!(policies(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
