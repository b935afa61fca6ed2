//! `trefoil cluster members`, `promote-voter`, `demote-voter`, `remove`: who belongs to the cluster, and
//! who votes.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use trefoil_wire::resp::client::Value;

use super::connection::{AskError, Connection};
use super::names::{find, short, shortened};
use super::paint::{Look, Tone, usual};
use super::print;
use super::record::{Record, rows};
use super::reply_json::{json, lines};
use super::target::{Target, split_address};
use super::units::span;

/// A change of members waits for a majority of the voters.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Subcommand, Debug)]
pub(crate) enum MembersCommand {
    /// List the members of a running cluster, and who votes.
    #[command(after_help = ADDING, after_long_help = ADDING)]
    Members(ListOptions),
    /// Let a member vote; one change at a time.
    ///
    /// Up to three members vote by themselves. A fourth voter makes nothing safer, five survive the loss
    /// of two.
    PromoteVoter(OneOptions),
    /// Let a member vote no more; it stays a member, with its data.
    DemoteVoter(OneOptions),
    /// Take a node out of the cluster that is gone for good, or will be.
    ///
    /// Stop it first; if it leads, let another one lead before that (`trefoil failover`). Refused, with the
    /// reason, if the voters that are left would be no majority.
    Remove(OneOptions),
}

const ADDING: &str = "\
A node becomes a member when it is started with the address of another one for nodes:
  trefoil server --join HOST:PEERPORT
It loads the data and follows by itself. One that only votes: trefoil witness --help";

/// A question.
#[derive(Args, Debug)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    target: Target,
    /// For programs: the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// A change of one member.
#[derive(Args, Debug)]
pub(crate) struct OneOptions {
    /// The beginning of the node's name, its address for clients, or that address's port.
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    target: Target,
}

/// What a node knows of its cluster.
pub(super) struct View {
    reply: Value,
    pub(super) managed: bool,
    pub(super) leader: Option<String>,
    pub(super) epoch: u64,
    electable: Vec<String>,
}

impl View {
    pub(super) fn new(reply: Value) -> View {
        let record = Record::new(&reply);
        let shards = record.records("shards");
        let shard = shards.first();
        let (managed, epoch) =
            (record.flag("managed"), shard.and_then(|shard| shard.number("epoch")));
        let leader =
            shard.filter(|shard| shard.flag("granted")).and_then(|shard| shard.said("leader"));
        let electable = shard.map(|shard| shard.texts("electable")).unwrap_or_default();
        View { managed, epoch: epoch.unwrap_or(0), leader, electable, reply }
    }

    /// Names and addresses for clients.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let members = Record::new(&self.reply).records("members");
        members.into_iter().map(|member| (member.text("node"), member.text("address"))).collect()
    }
}

/// Asks for it.
pub(super) fn view(connection: &mut Connection, target: &Target) -> Result<View> {
    let reply = connection.ask(&["CLUSTER", "VIEW"]).map_err(|error| target.explain(error))?;
    Ok(View::new(reply))
}

/// Runs a subcommand.
pub(crate) fn run(command: &MembersCommand) -> Result<ExitCode> {
    match command {
        MembersCommand::Members(options) => list(options)?,
        MembersCommand::PromoteVoter(options) => {
            change(options, "PROMOTE-VOTER", "votes from now on")?;
        }
        MembersCommand::DemoteVoter(options) => change(options, "DEMOTE-VOTER", "votes no more")?,
        MembersCommand::Remove(options) => remove(options)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(options: &ListOptions) -> Result<()> {
    let target = &options.target;
    let mut connection = target.connect()?;
    let members = connection.ask(&["CLUSTER", "MEMBERS"]).map_err(|error| target.explain(error))?;
    let text = match options.json {
        true => lines(&json(&members)),
        false => listed(&view(&mut connection, target)?, &members, Look::of_stdout()),
    };
    print(&text)?;
    Ok(())
}

fn listed(view: &View, members: &Value, look: Look) -> String {
    let record = Record::new(&view.reply);
    let (leader, barred) = (record.text("raft-leader"), record.texts("barred"));
    let row = |member: Record<'_>| {
        let node = member.text("node");
        let mut vote = member.said("vote").unwrap_or("-".into());
        if node == leader {
            vote.push_str(", leads the control plane");
        } else if barred.contains(&node) {
            vote.push_str(", is not to vote");
        }
        let place = [member.text("region"), member.text("zone")].join("/");
        let leads = view.leader.as_ref() == Some(&node);
        [
            (if leads { Tone::Strong } else { Tone::Usual }, node),
            usual(if leads { "leader".into() } else { member.text("kind") }),
            usual(vote),
            usual(member.said("address").unwrap_or("-".into())),
            usual(member.text("peers")),
            usual(if place == "/" { "-" } else { place.trim_matches('/') }),
            usual(member.number("generation").map_or("-".into(), |it| it.to_string())),
            state(member),
        ]
    };
    let all: Vec<_> = rows(members).into_iter().map(row).collect();
    look.table(["node", "kind", "vote", "clients", "peers", "place", "starts", "state"], &all)
}

/// As gossip has it, and for how long the leader of the control plane has not heard it.
fn state(member: Record<'_>) -> (Tone, String) {
    let state = member.said("state").unwrap_or("-".into());
    let tone = match state.as_str() {
        "alive" => Tone::Good,
        "suspect" => Tone::Warning,
        "down" | "left" => Tone::Bad,
        _ => Tone::Usual,
    };
    let heard = member.number("silent-ms").map(|ms| format!(", heard {} ago", span(ms)));
    (tone, state + &heard.unwrap_or_default())
}

/// The node that is meant, and a connection to whoever is asked.
fn found(options: &OneOptions) -> Result<(Connection, View, String)> {
    let mut connection = options.target.connect()?;
    let view = view(&mut connection, &options.target)?;
    let node = find(&options.node, &view.names())?;
    Ok((connection, view, node))
}

impl OneOptions {
    fn explain(&self, error: AskError) -> anyhow::Error {
        anyhow!(shortened(&format!("{:#}", self.target.explain(error))))
    }
}

fn change(options: &OneOptions, verb: &str, done: &str) -> Result<()> {
    let (mut connection, _, node) = found(options)?;
    let reply = connection.ask_within(PATIENCE, &["CLUSTER", verb, &node]);
    reply.map_err(|error| options.explain(error))?;
    print(&format!("node {} {done}\n", short(&node)))?;
    Ok(())
}

/// A follower whose acknowledgements count has to count no more before it is removed.
fn remove(options: &OneOptions) -> Result<()> {
    let (mut connection, view, node) = found(options)?;
    if view.leader.as_ref() == Some(&node) {
        bail!(
            "node {} leads: let another one lead first (trefoil failover), stop this one, then remove it",
            short(&node)
        );
    }
    if view.electable.contains(&node) {
        let address = view.names().into_iter().find(|(name, _)| Some(name) == view.leader.as_ref());
        let address = address.map(|(_, address)| address).unwrap_or_default();
        let Some((host, port)) = split_address(&address) else {
            bail!(
                "nobody leads now: a node is removed once somebody does; `trefoil status` tells why"
            )
        };
        let door = options.target.door()?;
        let forgotten = door
            .open(host, port)
            .and_then(|mut leader| leader.ask_within(PATIENCE, &["REPLICATION", "FORGET", &node]));
        forgotten.map_err(|error| options.explain(error))?;
    }
    let reply = connection.ask_within(PATIENCE, &["CLUSTER", "FORGET", &node]);
    reply.map_err(|error| options.explain(error))?;
    print(&format!("node {} is no member any more\n", short(&node)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{map, name, number, text, texts};

    #[test]
    fn members_are_listed_with_what_they_do() {
        let member = |digits: &str, kind: &str, state: &str| {
            map([
                ("node", text(&name(digits))),
                ("kind", text(kind)),
                ("vote", text("voter")),
                ("address", text("h:1")),
                ("peers", text("h:2")),
                ("region", text("eu")),
                ("zone", text("")),
                ("generation", number(3)),
                ("state", text(state)),
                ("silent-ms", number(1_500)),
            ])
        };
        let shard =
            map([("epoch", number(4)), ("granted", number(1)), ("leader", text(&name("a1")))]);
        let view = View::new(map([
            ("managed", number(1)),
            ("raft-leader", text(&name("b2"))),
            ("barred", texts([])),
            ("shards", Value::Array(vec![shard])),
        ]));
        assert_eq!((view.epoch, view.leader.clone()), (4, Some(name("a1"))));
        let members =
            Value::Array(vec![member("a1", "data", "alive"), member("b2", "witness", "down")]);
        let text = listed(&view, &members, Look::Plain);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].contains("leader") && lines[1].ends_with("alive, heard 1.5 s ago"),
            "{text}"
        );
        assert!(lines[2].contains("witness  voter, leads the control plane"), "{text}");
    }
}
