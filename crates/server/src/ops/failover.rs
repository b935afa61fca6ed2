//! `trefoil failover`: another node leads, on purpose; or what would happen.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use trefoil_wire::resp::client::Value;

use super::connection::AskError;
use super::members::{View, view};
use super::names::{find, short, shortened};
use super::paint::{Look, Tone, usual};
use super::record::Record;
use super::reply_json::{json, lines};
use super::target::Target;
use super::units::span;
use super::{Reader, print};

/// A failover may wait for a lease, for reports and for the new leader's first record.
const PATIENCE: Duration = Duration::from_secs(60);

/// Another node leads.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct FailoverOptions {
    #[command(flatten)]
    target: Target,
    /// Who is to lead: the beginning of a node's name, its address, or its port. [default: whoever is fit]
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    /// Also if the leader can't hand over, if the node is in another region, or if acknowledged writes
    /// may be lost by it; these are archived once the old leader is back.
    #[arg(long)]
    force: bool,
    /// Change nothing: tell what a failover would do, and for each node what it lacks and whether it may
    /// be elected.
    #[arg(long, conflicts_with_all = ["to", "force"])]
    plan: bool,
    /// For programs: the answer as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
While leadership is handed over clients wait, they get no errors; nothing that was acknowledged is lost.
Without --force a failover that could lose something is refused, with the reason.

Examples:
  trefoil failover --plan              who could lead, and why others could not
  trefoil failover                     before this machine is shut down
  trefoil failover --to 6381           the node with that port for clients
  trefoil failover --to 3fa8 --force   though it may lack what was acknowledged last";

/// Does it, or tells what it would do.
pub(crate) fn run(options: &FailoverOptions) -> Result<ExitCode> {
    let target = &options.target;
    let mut connection = target.connect()?;
    let explain = |error: AskError| target.explain(error);
    if options.plan {
        let reply = connection.ask_within(PATIENCE, &["FAILOVER", "PLAN"]).map_err(explain)?;
        let look = Look::of_stdout();
        print(&if options.json { lines(&json(&reply)) } else { plan(&reply, look) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let before = view(&mut connection, target)?;
    if !before.managed {
        bail!(
            "the node at {} belongs to no cluster that decides who leads; nothing was done\n\
             Nodes that follow by hand are made leaders by hand: redis-cli -p PORT REPLICAOF NO ONE.\n\
             A node joins a cluster when it is started with --join HOST:PEERPORT.",
            target.address()
        );
    }
    let to = options.to.as_deref().map(|to| find(to, &before.names())).transpose()?;
    let mut words = vec!["FAILOVER", "NOW"];
    if let Some(to) = &to {
        words.extend(["NODE", to]);
    }
    if options.force {
        words.push("FORCE");
    }
    let begun = Instant::now();
    let reply = connection.ask_within(PATIENCE, &words).map_err(explain)?;
    let took_ms = begun.elapsed().as_millis() as u64;
    let text = match options.json {
        true => lines(&json(&reply)),
        false => done(&reply, &before, took_ms, Look::of_stdout()),
    };
    match print(&text)? {
        Reader::Reads | Reader::Gone => Ok(ExitCode::SUCCESS),
    }
}

fn done(reply: &Value, before: &View, took_ms: u64, look: Look) -> String {
    let record = Record::new(reply);
    let Some(node) = record.said("node") else { return "it is so already\n".into() };
    let took_ms = record.number("took-ms").unwrap_or(took_ms);
    let epoch = record.number("epoch").unwrap_or(0);
    let leads = format!("node {} leads in epoch {epoch}", short(&node));
    let before = match &before.leader {
        Some(leader) => format!(", after node {} in epoch {}", short(leader), before.epoch),
        None => String::new(),
    };
    format!("{}{before}; it took {}\n", look.paint(Tone::Good, &leads), span(took_ms))
}

/// A plan as people read it.
fn plan(reply: &Value, look: Look) -> String {
    let record = Record::new(reply);
    let row = |node: Record<'_>| {
        let leads = node.text("node") == record.text("leader");
        let tone = match node.flag("may-be-elected") {
            true => Tone::Good,
            false if leads => Tone::Strong,
            false => Tone::Warning,
        };
        [
            usual(short(&node.text("node"))),
            usual(node.said("address").unwrap_or("-".into())),
            usual(node.said("end").unwrap_or("-".into())),
            usual(node.number("lacks").map_or("-".into(), |lacks| lacks.to_string())),
            usual(node.number("silent-ms").map_or("-".into(), |ms| format!("{} ago", span(ms)))),
            (tone, node.text("fitness")),
        ]
    };
    let rows: Vec<_> = record.records("candidates").into_iter().map(row).collect();
    let tone = match (record.said("next"), record.flag("lossless")) {
        (Some(_), true) => Tone::Good,
        (Some(_), false) => Tone::Warning,
        (None, _) => Tone::Bad,
    };
    let outcome = format!("If the leader were gone: {}", shortened(&record.text("outcome")));
    let doing = match (record.said("stage-detail"), record.text("stage").as_str()) {
        (Some(detail), _) => format!("; {}", shortened(&detail)),
        (None, "watching") => String::new(),
        (None, stage) => format!("; {stage}"),
    };
    format!(
        "{}\nNow node {} leads in epoch {}; its log ended at {} when it was last heard{doing}.\n\
         {} of the electable nodes have to report before one is elected.\n\n{}",
        look.paint(tone, &outcome),
        short(&record.text("leader")),
        record.number("epoch").unwrap_or(0),
        record.text("leader-end"),
        record.number("reports-needed").unwrap_or(0),
        look.table(["node", "clients", "log ends at", "lacks", "heard", "verdict"], &rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{map, name, number, text};

    fn candidate(digits: &str, lacks: i64, fitness: &str) -> Value {
        map([
            ("node", text(&name(digits))),
            ("address", text("127.0.0.1:1")),
            ("end", text("4:10")),
            ("lacks", number(lacks)),
            ("silent-ms", number(12)),
            ("may-be-elected", number(i64::from(fitness == "may be elected"))),
            ("fitness", text(fitness)),
        ])
    }

    #[test]
    fn a_plan_tells_who_lacks_what_and_why_not() {
        let reply = map([
            ("leader", text(&name("a1"))),
            ("epoch", number(4)),
            ("leader-end", text("4:12")),
            ("stage", text("watching")),
            ("stage-detail", text("")),
            ("reports-needed", number(2)),
            ("next", text(&name("b2"))),
            ("lossless", number(1)),
            ("outcome", text(&format!("node {} would lead", name("b2")))),
            (
                "candidates",
                Value::Array(vec![
                    candidate("a1", 0, "leads"),
                    candidate("b2", 2, "may be elected"),
                    candidate("c3", 9, "not now: it is not heard"),
                ]),
            ),
        ]);
        let expected = "\
If the leader were gone: node b2000000 would lead
Now node a1000000 leads in epoch 4; its log ended at 4:12 when it was last heard.
2 of the electable nodes have to report before one is elected.

node      clients      log ends at  lacks  heard      verdict
a1000000  127.0.0.1:1  4:10         0      12 ms ago  leads
b2000000  127.0.0.1:1  4:10         2      12 ms ago  may be elected
c3000000  127.0.0.1:1  4:10         9      12 ms ago  not now: it is not heard
";
        assert_eq!(plan(&reply, Look::Plain), expected);
    }

    #[test]
    fn what_came_of_it_is_one_line() {
        let before = View::new(map([
            ("managed", number(1)),
            (
                "shards",
                Value::Array(vec![map([
                    ("epoch", number(4)),
                    ("granted", number(1)),
                    ("leader", text(&name("a1"))),
                ])]),
            ),
        ]));
        let reply =
            map([("node", text(&name("b2"))), ("epoch", number(5)), ("took-ms", number(83))]);
        let line =
            "node b2000000 leads in epoch 5, after node a1000000 in epoch 4; it took 83 ms\n";
        assert_eq!(done(&reply, &before, 99, Look::Plain), line);
        assert_eq!(done(&map([]), &before, 99, Look::Plain), "it is so already\n");
    }
}
