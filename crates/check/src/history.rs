//! Operations as a client saw them: asked when, answered when, with what.
//!
//! Times are microseconds of one clock that all clients of a history share. What has no answer may
//! have happened at any time after it was asked, or never.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One operation on one key.
///
/// Commands on several keys are recorded as one operation each, or, where they are to be seen as a
/// whole, as one operation on a key that stands for all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Operation {
    /// Who asked: one connection, or several that share a session.
    pub client: u32,
    /// The node that was asked.
    pub node: u32,
    /// What it is about.
    pub key: String,
    /// What was asked.
    pub action: Action,
    /// When the request left.
    pub invoked_us: u64,
    /// What came back.
    pub end: End,
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Set to a value. Checkers find a value's writer by it, so no value is written twice.
    Set(String),
    /// Read.
    Get,
    /// Remove.
    Delete,
    /// Add to a number; an absent key is 0.
    Add(i64),
    /// Put at the value's end; an absent key is empty.
    Append(String),
}

/// How an operation ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum End {
    /// An answer came.
    Returned {
        /// When it came; never before the request left.
        at_us: u64,
        /// What it said.
        reply: Reply,
    },
    /// Refused for certain: nothing was done and nothing will be.
    Refused,
    /// No answer, or one that leaves it open.
    Unknown,
}

/// What an answer said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// The value, if there was one.
    Value(Option<String>),
    /// The number of keys removed, the sum, or the new length.
    Number(i64),
}

impl Operation {
    /// When the answer came.
    #[must_use]
    pub fn returned_us(&self) -> Option<u64> {
        match self.end {
            End::Returned { at_us, .. } => Some(at_us),
            End::Refused | End::Unknown => None,
        }
    }

    /// The answer.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match &self.end {
            End::Returned { reply, .. } => Some(reply),
            End::Refused | End::Unknown => None,
        }
    }

    /// Whether it changes its key, if it happened.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.action != Action::Get
    }

    /// Whether it was a write that was acknowledged.
    #[must_use]
    pub fn is_acknowledged_write(&self) -> bool {
        self.is_write() && self.reply().is_some()
    }

    /// The number that a write gave to its key or a read found there; an absent key is 0. None: there
    /// is no number in it, or no answer that tells.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match (&self.action, self.reply()) {
            (Action::Set(value), _) => number_of(value),
            (Action::Get, Some(Reply::Value(None))) => Some(0),
            (Action::Get, Some(Reply::Value(Some(value)))) => number_of(value),
            (Action::Add(_), Some(Reply::Number(sum))) => u64::try_from(*sum).ok(),
            _ => None,
        }
    }
}

/// The sequence number that a value carries: what stands behind its last `#`, or all of it.
#[must_use]
pub fn number_of(value: &str) -> Option<u64> {
    value.rsplit('#').next()?.parse().ok()
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Seconds(self.invoked_us))?;
        match self.returned_us() {
            Some(at_us) => write!(f, " .. {}", Seconds(at_us))?,
            None => write!(f, " .. {:>11}", "")?,
        }
        write!(f, "  client {:<3} node {}  ", self.client, self.node)?;
        match &self.action {
            Action::Set(value) => write!(f, "SET {} {value}", self.key)?,
            Action::Get => write!(f, "GET {}", self.key)?,
            Action::Delete => write!(f, "DEL {}", self.key)?,
            Action::Add(amount) => write!(f, "INCRBY {} {amount}", self.key)?,
            Action::Append(value) => write!(f, "APPEND {} {value}", self.key)?,
        }
        match &self.end {
            End::Returned { reply, .. } => write!(f, "  -> {reply}"),
            End::Refused => write!(f, "  -> refused"),
            End::Unknown => write!(f, "  -> unknown"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Done => write!(f, "OK"),
            Reply::Value(None) => write!(f, "nil"),
            Reply::Value(Some(value)) => write!(f, "{value}"),
            Reply::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Microseconds, shown as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An operation of client 1 on node 0 that was answered.
    pub(crate) fn answered(key: &str, action: Action, span: (u64, u64), reply: Reply) -> Operation {
        let end = End::Returned { at_us: span.1, reply };
        Operation { client: 1, node: 0, key: key.into(), action, invoked_us: span.0, end }
    }

    pub(crate) fn set(key: &str, value: &str, span: (u64, u64)) -> Operation {
        answered(key, Action::Set(value.into()), span, Reply::Done)
    }

    pub(crate) fn get(key: &str, value: Option<&str>, span: (u64, u64)) -> Operation {
        answered(key, Action::Get, span, Reply::Value(value.map(str::to_owned)))
    }

    /// The same operation without an answer.
    pub(crate) fn unknown(operation: Operation) -> Operation {
        Operation { end: End::Unknown, ..operation }
    }

    /// The same operation by somebody else.
    pub(crate) fn by(client: u32, operation: Operation) -> Operation {
        Operation { client, ..operation }
    }

    #[test]
    fn a_value_s_number_stands_behind_its_last_hash() {
        assert_eq!(number_of("s3#17"), Some(17));
        assert_eq!(number_of("17"), Some(17));
        assert_eq!(number_of("s3#"), None);
        assert_eq!(get("a", None, (1, 2)).number(), Some(0));
        assert_eq!(answered("a", Action::Add(2), (1, 2), Reply::Number(9)).number(), Some(9));
    }

    #[test]
    fn an_operation_survives_a_journey_through_json() {
        for operation in
            [set("a", "1", (1, 2)), get("a", None, (3, 4)), unknown(set("b", "2", (5, 6)))]
        {
            let text = serde_json::to_string(&operation).expect("plain data");
            let back: Operation = serde_json::from_str(&text).expect("what we wrote");
            assert_eq!(back, operation);
        }
    }

    #[test]
    fn an_operation_reads_like_a_line_of_a_log() {
        let line = set("a", "c1#2", (1_500_000, 1_500_200)).to_string();
        assert_eq!(line, "   1.500000 ..    1.500200  client 1   node 0  SET a c1#2  -> OK");
    }
}
