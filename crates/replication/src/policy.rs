//! When a write is acknowledged: what a person sets, and how it is said.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose acknowledgements a commit needs, besides the leader's own log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Acks {
    /// Nobody's.
    Async,
    /// This many members'.
    SemiSync(u32),
    /// All members', and there must be one.
    Sync,
}

impl Acks {
    /// How many of so many members must acknowledge. None: they can't, nothing commits. Members count,
    /// attached or not: "all of none" is never enough (pitfall 5).
    #[must_use]
    pub fn needed(self, members: usize) -> Option<usize> {
        match self {
            Acks::Async => Some(0),
            Acks::SemiSync(count) => Some(count as usize).filter(|&needed| needed <= members),
            Acks::Sync => (members > 0).then_some(members),
        }
    }

    /// How many of so many members must report before a leader can be chosen, so that one of them
    /// holds every committed record (rule 9). Without acknowledgements all have to, and even then a
    /// suffix may be missing.
    #[must_use]
    pub fn reports_needed(self, members: usize) -> usize {
        match self.needed(members) {
            Some(0) => members,
            Some(needed) => members - needed + 1,
            // Nothing was ever committed under such a rule; the one before it asked for fewer.
            None => members,
        }
    }

    /// The one of two rules after which more of so many members have to be heard.
    #[must_use]
    pub fn more_careful(self, other: Acks, members: usize) -> Acks {
        let is_more = self.reports_needed(members) > other.reports_needed(members);
        if is_more { self } else { other }
    }

    /// Reads `async`, `semi-sync:k` (k from 1 to 64), `sync`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Acks> {
        match text.to_ascii_lowercase().as_str() {
            "async" => Some(Acks::Async),
            "sync" => Some(Acks::Sync),
            "semi-sync" => Some(Acks::SemiSync(1)),
            text => {
                let k = text.strip_prefix("semi-sync:")?.parse().ok()?;
                (1..=64).contains(&k).then_some(Acks::SemiSync(k))
            }
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Acks::Async => f.write_str("async"),
            Acks::SemiSync(k) => write!(f, "semi-sync:{k}"),
            Acks::Sync => f.write_str("sync"),
        }
    }
}

/// What a follower acknowledges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum AckLevel {
    /// Its operating system has the record: it survives a crash of the follower's process.
    Received = 0,
    /// It is synced: it survives the follower's power loss.
    Flushed = 1,
    /// It is synced, and its readers see it. Delays the reply, not the commit.
    Applied = 2,
}

impl AckLevel {
    /// The option's words, in the order of the values.
    pub const NAMES: &'static [&'static str] = &["received", "flushed", "applied"];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        AckLevel::NAMES[self as usize]
    }

    /// The level with this index among the names.
    #[must_use]
    pub fn from_index(index: u8) -> AckLevel {
        match index {
            0 => AckLevel::Received,
            1 => AckLevel::Flushed,
            _ => AckLevel::Applied,
        }
    }
}

/// What happens while too few followers are attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum OnLost {
    /// Writes are refused.
    Block = 0,
    /// After a while the leader's own log is enough; such acknowledgements are counted and shown.
    Degrade = 1,
}

impl OnLost {
    /// The option's words, in the order of the values.
    pub const NAMES: &'static [&'static str] = &["block", "degrade"];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        OnLost::NAMES[self as usize]
    }

    /// What has this index among the names.
    #[must_use]
    pub fn from_index(index: u8) -> OnLost {
        if index == 0 { OnLost::Block } else { OnLost::Degrade }
    }
}

/// What an acknowledged write is to survive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AckPolicy {
    /// Whose acknowledgements.
    pub acks: Acks,
    /// Of what.
    pub level: AckLevel,
    /// If there are too few.
    pub on_lost: OnLost,
    /// How long too few are attached before the own log is enough.
    pub degrade_after_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        for acks in [Acks::Async, Acks::SemiSync(1), Acks::SemiSync(64), Acks::Sync] {
            assert_eq!(Acks::parse(&acks.to_string()), Some(acks));
        }
        assert_eq!(Acks::parse("SEMI-SYNC"), Some(Acks::SemiSync(1)));
        for wrong in ["", "semi-sync:0", "semi-sync:65", "semi-sync:x", "all"] {
            assert_eq!(Acks::parse(wrong), None);
        }
    }
}
