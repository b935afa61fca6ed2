//! What a command is to a node that does not lead.

use trefoil_commands::{Flags, Group};

use crate::table::{Entry, Run};

/// What a command is to a follower.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Write,
    Read,
    /// SCAN: its cursor means something to this node only.
    Scan,
    /// WATCH.
    Watch,
    /// MULTI.
    Multi,
    /// EXEC, DISCARD.
    End,
    /// UNWATCH.
    Unwatch,
    /// Asks what only the leader can tell (WAIT, WAITAOF, SESSION ROUTE).
    Asks,
    /// About this connection or this node.
    Local,
}

impl Kind {
    pub(super) fn of(entry: &Entry) -> Kind {
        match entry.run {
            Run::Data(..) if entry.spec.flags.has(Flags::WRITE) => Kind::Write,
            Run::Data(..) if entry.spec.name == "scan" => Kind::Scan,
            Run::Data(..) => Kind::Read,
            Run::Node(_) => match entry.full_name.as_str() {
                "watch" => Kind::Watch,
                "multi" => Kind::Multi,
                "exec" | "discard" => Kind::End,
                "unwatch" => Kind::Unwatch,
                "wait" | "waitaof" | "session|route" => Kind::Asks,
                _ => Kind::Local,
            },
        }
    }
}

/// Whether a command is about this node, or would change the connection to the leader instead of the
/// client's if it were queued there.
pub(super) fn is_about_connection(entry: &Entry) -> bool {
    let (flags, group) = (entry.spec.flags, entry.spec.group);
    if flags.has(Flags::ADMIN) {
        return true;
    }
    match group {
        Group::Connection => flags.has(Flags::NOSCRIPT),
        Group::Pubsub => !flags.has(Flags::MAY_REPLICATE) && !entry.full_name.contains('|'),
        _ => entry.full_name.starts_with("session|") || entry.spec.name == "consistency",
    }
}
