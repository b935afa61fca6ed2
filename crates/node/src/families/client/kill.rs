//! CLIENT KILL: closes connections, of any worker.
//!
//! They leave the registry at once, so they are neither listed nor counted again; their workers
//! close them as soon as they read their mail. One's own is closed behind the reply.

use std::collections::BTreeMap;

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Spec, parse_i64};
use trefoil_wire::Args;

use super::{ADMIN, Kind, SUBCOMMAND};
use crate::auth;
use crate::clients::{ClientRecord, Mark};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::mail::{Address, Mail};

pub(super) const KILL: Command<NodeHandler> = Command::new(
    Spec {
        name: "kill",
        arity: -3,
        flags: ADMIN,
        since: "2.4.0",
        summary: "Closes connections.",
        complexity: "O(N) where N is the number of client connections",
        args: &[Arg::required(
            "filter",
            ArgKind::OneOf(&[
                Arg::required("old-format", ArgKind::String),
                Arg {
                    multiple: true,
                    ..Arg::required(
                        "new-format",
                        ArgKind::OneOf(&[
                            Arg::optional("client-id", "ID", ArgKind::Integer),
                            Arg::optional(
                                "client-type",
                                "TYPE",
                                ArgKind::OneOf(&[
                                    Arg::word("normal", "NORMAL"),
                                    Arg::word("master", "MASTER"),
                                    Arg::word("slave", "SLAVE"),
                                    Arg::word("replica", "REPLICA"),
                                    Arg::word("pubsub", "PUBSUB"),
                                ]),
                            ),
                            Arg::optional("username", "USER", ArgKind::String),
                            Arg::optional("addr", "ADDR", ArgKind::String),
                            Arg::optional("laddr", "LADDR", ArgKind::String),
                            Arg::optional(
                                "skipme",
                                "SKIPME",
                                ArgKind::OneOf(&[Arg::word("yes", "YES"), Arg::word("no", "NO")]),
                            ),
                            Arg::optional("maxage", "MAXAGE", ArgKind::Integer),
                        ]),
                    )
                },
            ]),
        )],
        ..SUBCOMMAND
    },
    kill,
);

/// Which connections; all that is set has to fit.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    peer: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    kind: Option<Kind>,
    max_age_s: Option<u64>,
    spare_own: bool,
}

impl<'a> Filter<'a> {
    /// Reads pairs of an option and its value.
    fn parse(options: Args<'a>) -> Result<Filter<'a>, CommandError> {
        if !options.len().is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        let mut filter = Filter { spare_own: true, ..Filter::default() };
        for at in (0..options.len()).step_by(2) {
            filter.add(options.get(at), options.get(at + 1))?;
        }
        Ok(filter)
    }

    fn add(&mut self, option: &[u8], value: &'a [u8]) -> Result<(), CommandError> {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if is("ID") => {
                let id = parse_i64(value)
                    .filter(|&id| id > 0)
                    .ok_or(CommandError::Other("ERR client-id should be greater than 0"))?;
                self.id = Some(id as u64);
            }
            () if is("MAXAGE") => {
                let seconds = parse_i64(value)
                    .ok_or(CommandError::Other("ERR maxage is not an integer or out of range"))?;
                if seconds <= 0 {
                    return Err(CommandError::Other("ERR maxage should be greater than 0"));
                }
                self.max_age_s = Some(seconds as u64);
            }
            () if is("TYPE") => self.kind = Some(Kind::parse(value)?),
            () if is("ADDR") => self.peer = Some(value),
            () if is("LADDR") => self.local = Some(value),
            () if is("USER") => {
                if value != auth::USER.as_bytes() {
                    let user = String::from_utf8_lossy(value);
                    return Err(CommandError::Detailed(format!("ERR No such user '{user}'")));
                }
            }
            () if is("SKIPME") && value.eq_ignore_ascii_case(b"YES") => self.spare_own = true,
            () if is("SKIPME") && value.eq_ignore_ascii_case(b"NO") => self.spare_own = false,
            () => return Err(CommandError::Syntax),
        }
        Ok(())
    }

    fn fits(&self, record: &ClientRecord, own: Address, now_ms: u64) -> bool {
        let is = |end: &std::net::SocketAddr, text: &[u8]| end.to_string().as_bytes() == text;
        self.id.is_none_or(|id| record.address.id == id)
            && self.peer.is_none_or(|text| is(&record.peer, text))
            && self.local.is_none_or(|text| is(&record.local, text))
            && self.kind.is_none_or(|kind| Kind::of(record) == kind)
            && self.max_age_s.is_none_or(|seconds| record.age_s(now_ms) >= seconds)
            && !(self.spare_own && record.address == own)
    }
}

fn kill(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if call.args.len() == 3 {
        let filter = Filter { peer: Some(call.args.get(2)), ..Filter::default() };
        let (killed, flow) = kill_those(call, &filter);
        if killed == 0 {
            return Err(CommandError::Other("ERR No such client"));
        }
        call.reply().ok();
        return Ok(flow);
    }
    let filter = Filter::parse(call.args.skip(2))?;
    let (killed, flow) = kill_those(call, &filter);
    call.reply().integer(killed);
    Ok(flow)
}

/// How many were killed, and what becomes of one's own.
fn kill_those(call: &mut NodeCall<'_>, filter: &Filter<'_>) -> (i64, Flow) {
    let (own, now_ms) = (call.session.address, call.worker.writer.now_ms);
    let node = &call.worker.node;
    let mut mail: BTreeMap<u32, Vec<Address>> = BTreeMap::new();
    let (mut killed, mut flow) = (0, Flow::Continue);
    for record in node.clients.all() {
        if !filter.fits(&record, own, now_ms) {
            continue;
        }
        if record.address == own {
            record.mark(Mark::CLOSING);
            flow = Flow::Close;
        } else if node.clients.remove(record.address.id).is_some() {
            mail.entry(record.address.worker).or_default().push(record.address);
        } else {
            // Somebody else was faster.
            continue;
        }
        killed += 1;
    }
    for (worker, addresses) in mail {
        node.post.post(worker, Mail::Kill(addresses));
    }
    (killed, flow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::TestNode;

    fn killed(node: &TestNode) -> Vec<(u32, Vec<u64>)> {
        let mail = node.mail().into_iter().map(|(worker, mail)| match mail {
            Mail::Kill(addresses) => (worker, addresses.iter().map(|to| to.id).collect()),
            _ => panic!("only kills were expected"),
        });
        mail.collect()
    }

    #[test]
    fn a_connection_is_killed_by_its_address() {
        let mut node = TestNode::with_workers(2);
        let mut here = node.client();
        let _there = node.client_on(1);
        node.check(
            &mut here,
            &[
                ("CLIENT KILL 127.0.0.1:40001", "+OK"),
                ("CLIENT KILL 127.0.0.1:40001", "-ERR No such client"),
            ],
        );
        assert_eq!(killed(&node), [(1, vec![2])]);
        node.check(&mut here, &[("CLIENT KILL 127.0.0.1:40000", "+OK")]);
        assert_eq!(here.flow, Flow::Close, "behind the reply");
        assert_eq!(killed(&node), []);
    }

    #[test]
    fn filters_must_all_fit_and_spare_the_caller() {
        let mut node = TestNode::with_workers(2);
        let _old = node.client_on(1);
        node.pass_ms(10_000);
        let mut caller = node.client();
        let (_a, _b) = (node.client(), node.client_on(1));
        node.check(
            &mut caller,
            &[
                ("CLIENT KILL ID 2", ":0"),
                ("CLIENT KILL ID 3 ADDR 127.0.0.1:1", ":0"),
                ("CLIENT KILL TYPE pubsub", ":0"),
                ("CLIENT KILL MAXAGE 10", ":1"),
                ("CLIENT KILL TYPE normal USER default LADDR 127.0.0.1:6379", ":2"),
            ],
        );
        assert_eq!(killed(&node), [(1, vec![1]), (0, vec![3]), (1, vec![4])]);
        node.check(&mut caller, &[("CLIENT KILL ID 2 SKIPME no", ":1")]);
        assert_eq!(caller.flow, Flow::Close);
    }

    #[test]
    fn filters_that_make_no_sense_are_refused() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("CLIENT KILL ID x", "-ERR client-id should be greater than 0"),
                ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
                ("CLIENT KILL MAXAGE x", "-ERR maxage is not an integer or out of range"),
                ("CLIENT KILL MAXAGE 0", "-ERR maxage should be greater than 0"),
                ("CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'"),
                ("CLIENT KILL USER foo", "-ERR No such user 'foo'"),
                ("CLIENT KILL SKIPME foo", "-ERR syntax error"),
                ("CLIENT KILL a b c", "-ERR syntax error"),
                ("CLIENT KILL foo bar", "-ERR syntax error"),
                ("CLIENT KILL ID", "-ERR No such client"),
            ],
        );
    }
}
