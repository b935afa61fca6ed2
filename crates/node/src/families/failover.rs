//! FAILOVER: another node is to lead. Redis's command, and what we add: a plan, and a failover that is
//! waited for.
//!
//! Any member of the cluster may be asked. The leader lets writes wait, sees that the next one has
//! everything, and gives its lease back: clients wait, they get no errors.

mod begin;
mod now;
mod plan;

use trefoil_clock::NodeId;
use trefoil_cluster::control::{ControlView, Force};
use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec, parse_i64};

use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::topology::find_member;

use super::asked;

pub(super) use begin::begin;
pub(super) use plan::said;

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[Command::new(
    Spec {
        name: "failover",
        arity: -1,
        flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE),
        group: Group::Server,
        since: "6.2.0",
        summary: "Makes another node lead; PLAN tells what would happen, NOW waits for the outcome.",
        args: &[
            Arg::optional(
                "target",
                "TO",
                ArgKind::Block(&[
                    Arg::required("host", ArgKind::String),
                    Arg::required("port", ArgKind::Integer),
                    Arg::optional("force", "FORCE", ArgKind::PureToken),
                ]),
            ),
            Arg::optional("abort", "ABORT", ArgKind::PureToken),
            Arg::optional("milliseconds", "TIMEOUT", ArgKind::Integer),
            Arg::optional("keyspace", "PLAN", ArgKind::String),
            Arg::optional(
                "now",
                "NOW",
                ArgKind::Block(&[
                    Arg::optional("node", "NODE", ArgKind::String),
                    Arg::optional("force", "FORCE", ArgKind::PureToken),
                ]),
            ),
        ],
        ..Spec::BASE
    },
    failover,
)];

fn failover(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    match call.args.len() {
        1 => {}
        _ if is(call, 1, "PLAN") => return plan::plan(call),
        _ if is(call, 1, "NOW") => return now::now(call),
        _ => {}
    }
    let words = Words::read(call)?;
    if call.session.waiting.is_none() {
        words.check()?;
    }
    if words.aborts {
        return begin::abort(call);
    }
    let to = match words.to {
        Some((host, port)) => {
            let view = asked::view_of_cluster(call)?;
            Some(by_address(&view, host, port)?)
        }
        None => None,
    };
    begin(call, to, words.force)
}

fn is(call: &NodeCall<'_>, at: usize, word: &str) -> bool {
    at < call.args.len() && call.args.get(at).eq_ignore_ascii_case(word.as_bytes())
}

/// What Redis's form of the command says.
struct Words<'c> {
    to: Option<(&'c [u8], u16)>,
    force: Force,
    aborts: bool,
    has_timeout: bool,
}

impl<'c> Words<'c> {
    fn read(call: &NodeCall<'c>) -> Result<Words<'c>, CommandError> {
        let mut words = Words { to: None, force: Force::No, aborts: false, has_timeout: false };
        let (len, mut at) = (call.args.len(), 1);
        while at < len {
            if is(call, at, "TIMEOUT") && at + 1 < len && !words.has_timeout {
                let timeout = parse_i64(call.args.get(at + 1)).ok_or(CommandError::NotInteger)?;
                if timeout <= 0 {
                    return Err(CommandError::Other("ERR FAILOVER timeout must be greater than 0"));
                }
                words.has_timeout = true;
                at += 2;
            } else if is(call, at, "ABORT") && !words.aborts {
                words.aborts = true;
                at += 1;
            } else if is(call, at, "TO") && at + 2 < len && words.to.is_none() {
                let port = parse_i64(call.args.get(at + 2)).ok_or(CommandError::NotInteger)?;
                words.to = Some((call.args.get(at + 1), u16::try_from(port).unwrap_or_default()));
                at += 3;
            } else if is(call, at, "FORCE") && words.force == Force::No {
                words.force = Force::Yes;
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(words)
    }

    /// What goes together, in Redis's words.
    fn check(&self) -> Result<(), CommandError> {
        if self.aborts && (self.to.is_some() || self.force == Force::Yes || self.has_timeout) {
            return Err(CommandError::Other("ERR FAILOVER with abort option can't be combined"));
        }
        if self.force == Force::Yes && (self.to.is_none() || !self.has_timeout) {
            return Err(CommandError::Other(
                "ERR FAILOVER with force option requires both a timeout and target HOST and PORT.",
            ));
        }
        Ok(())
    }
}

fn by_address(view: &ControlView, host: &[u8], port: u16) -> Result<NodeId, CommandError> {
    let member = view.state.members.values().find(|member| {
        let addresses = &member.addresses;
        addresses.client_port == port && host == addresses.client_host.as_bytes()
    });
    member
        .map(|member| member.node)
        .ok_or(CommandError::Other("ERR FAILOVER target HOST and PORT is not a replica."))
}

/// A member by its name or an address of it.
pub(super) fn member(view: &ControlView, text: &[u8]) -> Result<NodeId, CommandError> {
    find_member(view, text).ok_or_else(|| {
        let text = String::from_utf8_lossy(&text[..text.len().min(128)]);
        CommandError::Detailed(format!("ERR Unknown node {text}"))
    })
}

#[cfg(test)]
mod tests;
