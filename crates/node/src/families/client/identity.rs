//! CLIENT ID, GETNAME, SETNAME and SETINFO: what a connection calls itself.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Spec};

use super::AT_ANY_TIME;
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::session::Session;

const TIPS: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

pub(super) const ID: Command<NodeHandler> = Command::new(
    Spec {
        name: "id",
        since: "5.0.0",
        summary: "Tells the number of the connection.",
        ..AT_ANY_TIME
    },
    |call| {
        let id = call.session.address.id as i64;
        call.reply().integer(id);
        Ok(Flow::Continue)
    },
);

pub(super) const GETNAME: Command<NodeHandler> = Command::new(
    Spec {
        name: "getname",
        since: "2.6.9",
        summary: "Tells the name of the connection.",
        ..AT_ANY_TIME
    },
    getname,
);

fn getname(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let name = call.session.record.labels().name;
    if name.is_empty() {
        call.reply().null();
    } else {
        call.reply().bulk(&name);
    }
    Ok(Flow::Continue)
}

pub(super) const SETNAME: Command<NodeHandler> = Command::new(
    Spec {
        name: "setname",
        arity: 3,
        since: "2.6.9",
        summary: "Names the connection.",
        args: &[Arg::required("connection-name", ArgKind::String)],
        tips: TIPS,
        ..AT_ANY_TIME
    },
    setname,
);

fn setname(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let name = call.args.get(2);
    check_label(name, "Client names")?;
    set_name(call.session, name);
    call.reply().ok();
    Ok(Flow::Continue)
}

/// Names a session; empty: takes its name away.
pub(in crate::families) fn set_name(session: &mut Session, name: &[u8]) {
    session.on_renamed();
    session.record.relabel(|labels| labels.name = name.into());
}

/// Names stand in the lines of CLIENT LIST, so they hold no blanks and no control characters.
pub(in crate::families) fn check_label(label: &[u8], what: &str) -> Result<(), CommandError> {
    if label.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(CommandError::Detailed(format!(
        "ERR {what} cannot contain spaces, newlines or special characters."
    )))
}

pub(super) const SETINFO: Command<NodeHandler> = Command::new(
    Spec {
        name: "setinfo",
        arity: 4,
        since: "7.2.0",
        summary: "Tells which client library the connection is from.",
        args: &[Arg::required(
            "attr",
            ArgKind::OneOf(&[
                Arg::behind("libname", "LIB-NAME", ArgKind::String),
                Arg::behind("libver", "LIB-VER", ArgKind::String),
            ]),
        )],
        tips: TIPS,
        ..AT_ANY_TIME
    },
    setinfo,
);

fn setinfo(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let (option, value) = (call.args.get(2), call.args.get(3));
    let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
    let shown = String::from_utf8_lossy(option);
    if !is("LIB-NAME") && !is("LIB-VER") {
        return Err(CommandError::Detailed(format!("ERR Unrecognized option '{shown}'")));
    }
    check_label(value, &shown)?;
    call.session.record.relabel(|labels| {
        let label = if is("LIB-NAME") { &mut labels.lib_name } else { &mut labels.lib_version };
        *label = value.into();
    });
    call.reply().ok();
    Ok(Flow::Continue)
}

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;

    #[test]
    fn a_connection_names_itself_without_blanks() {
        let mut node = TestNode::new();
        let mut client = node.client();
        let special = "cannot contain spaces, newlines or special characters.";
        node.check(
            &mut client,
            &[
                ("CLIENT ID", ":1"),
                ("CLIENT GETNAME", "$-1"),
                ("CLIENT SETNAME me", "+OK"),
                ("CLIENT GETNAME", "$2 me"),
                ("CLIENT SETNAME \"a b\"", &format!("-ERR Client names {special}")),
                ("CLIENT SETNAME \u{e9}", &format!("-ERR Client names {special}")),
                ("CLIENT GETNAME", "$2 me"),
                ("CLIENT SETNAME \"\"", "+OK"),
                ("CLIENT GETNAME", "$-1"),
                ("CLIENT SETINFO lib-name redis-py", "+OK"),
                ("CLIENT SETINFO LIB-VER 7.0", "+OK"),
                ("CLIENT SETINFO foo bar", "-ERR Unrecognized option 'foo'"),
                ("CLIENT SETINFO lib-ver \"1 2\"", &format!("-ERR lib-ver {special}")),
            ],
        );
        let info = node.run(&mut client, "CLIENT INFO");
        assert!(info.ends_with(" lib-name=redis-py lib-ver=7.0"), "{info}");
    }
}
