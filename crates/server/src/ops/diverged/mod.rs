//! `trefoil diverged list | show | apply | drop` and `trefoil receipts`: writes that were cut off from a
//! node's log, because the history that won does not have them.
//!
//! An archive lies on the node that cut it off, usually the leader of before; it is written again on the
//! one that leads now. Whoever asks need not know which is which: all members are asked.

mod apply;
mod page;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use trefoil_wire::resp::client::Value;

use super::connection::{AskError, Connection};
use super::paint::Look;
use super::print;
use super::record::{Record, rows};
use super::reply_json::{self, lines};
use super::target::{AskOptions, Target, split_address};
use crate::ops::status::nodes;

/// Archives of writes that were cut off.
#[derive(Args, Debug)]
pub(crate) struct DivergedOptions {
    #[command(subcommand)]
    command: DivergedCommand,
}

#[derive(Subcommand, Debug)]
enum DivergedCommand {
    /// List the archives of all members.
    #[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
    List(AskOptions),
    /// Show an archive: for each key what was lost, what is there now, and what `apply` would do.
    Show(ShowOptions),
    /// Write an archive again, on the leader, where nobody has changed the key since.
    ///
    /// A key that was written since the fork stays as it is; whole databases (FLUSHDB) are left alone.
    /// The archive stays until it is dropped.
    Apply(OneOptions),
    /// Delete an archive for good. Its receipt stays.
    Drop(OneOptions),
}

const EXAMPLES: &str = "\
After a failover with acks async the old leader may hold writes that the new one never had. When it comes
back it archives them, cuts them off, and follows. Nothing is lost without a receipt.

Examples:
  trefoil diverged list               is there anything?
  trefoil diverged show 3-120-140     what was lost, beside what is there now
  trefoil diverged apply 3-120-140    write again what nobody has changed since
  trefoil diverged drop 3-120-140     it is not wanted any more
  trefoil receipts                    what was ever cut off";

#[derive(Args, Debug)]
struct ShowOptions {
    #[command(flatten)]
    one: OneOptions,
    /// Keys at most, or with --commands lines.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// The changes one by one, as commands, in their order.
    #[arg(long)]
    commands: bool,
}

#[derive(Args, Debug)]
struct OneOptions {
    /// Its id, as `trefoil diverged list` shows it.
    #[arg(value_name = "ID")]
    id: String,
    /// The address of the node that has it, if several have one of this id.
    #[arg(long, value_name = "HOST:PORT")]
    on: Option<String>,
    #[command(flatten)]
    ask: AskOptions,
}

/// What was ever cut off.
#[derive(Args, Debug)]
pub(crate) struct ReceiptsOptions {
    #[command(flatten)]
    ask: AskOptions,
}

/// Runs a subcommand.
pub(crate) fn run(options: &DivergedOptions) -> Result<ExitCode> {
    let look = Look::of_stdout();
    let text = match &options.command {
        DivergedCommand::List(ask) => {
            told(ask, &["REPLICATION", "DIVERGED", "LIST"], |all| page::archives(all, look))?
        }
        DivergedCommand::Show(options) => show(options, look)?,
        DivergedCommand::Apply(options) => apply::apply(options)?,
        DivergedCommand::Drop(options) => drop_one(options)?,
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Tells what was ever cut off from the logs of all members.
pub(crate) fn run_receipts(options: &ReceiptsOptions) -> Result<ExitCode> {
    let look = Look::of_stdout();
    let text = told(&options.ask, &["REPLICATION", "RECEIPTS"], |all| page::receipts(all, look))?;
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What a member answers, by its address; or why it does not.
type Told = Vec<(String, Result<Value, AskError>)>;

/// Asks all members the same.
fn ask_members(target: &Target, words: &[&str]) -> Result<Told> {
    let door = target.door()?;
    let ask = |address: String| {
        let opened = match split_address(&address) {
            Some((host, port)) => door.open(host, port),
            None => Err(AskError::Unreachable("that is no address".into())),
        };
        let told = opened.and_then(|mut connection| connection.ask(words));
        (address, told)
    };
    Ok(nodes(target)?.into_iter().map(ask).collect())
}

fn told(ask: &AskOptions, words: &[&str], page: impl Fn(&Told) -> String) -> Result<String> {
    let all = ask_members(&ask.target, words)?;
    if !ask.json {
        return Ok(page(&all));
    }
    let of_node = |(address, told): &(String, Result<Value, AskError>)| match told {
        Ok(value) => json!({ "address": address, "answer": reply_json::json(value) }),
        Err(AskError::Unreachable(why) | AskError::Refused(why)) => {
            json!({ "address": address, "trouble": why })
        }
    };
    Ok(lines(&all.iter().map(of_node).collect()))
}

/// An archive, and who has it.
struct Holder {
    address: String,
    /// The archive's file there.
    file: String,
}

impl OneOptions {
    fn target(&self) -> &Target {
        &self.ask.target
    }

    fn find(&self) -> Result<Holder> {
        let all = ask_members(self.target(), &["REPLICATION", "DIVERGED", "LIST"])?;
        holder(&all, &self.id, self.on.as_deref())
    }

    fn connect(&self, address: &str) -> Result<Connection> {
        let Some((host, port)) = split_address(address) else { bail!("{address} is no address") };
        self.target().door()?.open(host, port).map_err(|error| self.target().explain(error))
    }
}

fn holder(all: &Told, id: &str, on: Option<&str>) -> Result<Holder> {
    let mut found = Vec::new();
    for (address, told) in all {
        let Ok(told) = told else { continue };
        let wanted = |row: &Record<'_>| row.text("id") == id && on.is_none_or(|on| on == address);
        let files = rows(told).into_iter().filter(wanted).map(|row| row.text("file"));
        found.extend(files.map(|file| Holder { address: address.clone(), file }));
    }
    let silent = all.iter().filter(|(_, told)| told.is_err()).count();
    match (found.pop(), found.last()) {
        (Some(one), None) => Ok(one),
        (Some(one), Some(other)) => bail!(
            "{} and {} both have an archive {id}: say which one with --on HOST:PORT",
            other.address,
            one.address
        ),
        (None, _) if silent > 0 => bail!(
            "no node that answers has an archive {id}, and {silent} do not answer; \
             `trefoil diverged list` shows who has what"
        ),
        (None, _) => bail!("there is no archive {id}; `trefoil diverged list` shows what there is"),
    }
}

fn show(options: &ShowOptions, look: Look) -> Result<String> {
    let one = &options.one;
    let holder = one.find()?;
    let verb = if options.commands { "SHOW" } else { "DIFF" };
    let limit = options.limit.to_string();
    let words = ["REPLICATION", "DIVERGED", verb, &one.id, &limit];
    let reply = one.connect(&holder.address)?.ask_within(apply::PATIENCE, &words);
    let reply = reply.map_err(|error| one.target().explain(error))?;
    Ok(match (one.ask.json, options.commands) {
        (true, _) => lines(&reply_json::json(&reply)),
        (false, true) => page::commands(&reply),
        (false, false) => page::diff(&reply, &one.id, &holder.address, look),
    })
}

fn drop_one(options: &OneOptions) -> Result<String> {
    let holder = options.find()?;
    let words = ["REPLICATION", "DIVERGED", "DROP", &options.id];
    let dropped = options.connect(&holder.address)?.ask(&words);
    dropped.map_err(|error| options.target().explain(error))?;
    Ok(format!("archive {} is gone from {}; its receipt stays\n", options.id, holder.address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{map, text};

    fn all() -> Told {
        let row = |id: &str| map([("id", text(id)), ("file", text(&format!("diverged-{id}.log")))]);
        vec![
            ("a:1".into(), Ok(Value::Array(vec![row("3-5-6"), row("4-1-1")]))),
            ("b:1".into(), Ok(Value::Array(vec![row("3-5-6")]))),
            ("c:1".into(), Err(AskError::Unreachable("nobody listens there".into()))),
        ]
    }

    #[test]
    fn an_archive_is_found_wherever_it_is() {
        let found = holder(&all(), "4-1-1", None).expect("one has it");
        assert_eq!((found.address.as_str(), found.file.as_str()), ("a:1", "diverged-4-1-1.log"));
        assert_eq!(holder(&all(), "3-5-6", Some("b:1")).expect("that one").address, "b:1");
        let two = holder(&all(), "3-5-6", None).err().expect("two have it").to_string();
        assert!(two.contains("--on"), "{two}");
        let none = holder(&all(), "9-9-9", None).err().expect("nobody").to_string();
        assert!(none.contains("1 do not answer"), "{none}");
    }
}
