//! When a write is acknowledged: the options of a keyspace that say so.

/// How many followers acknowledge a write before its client hears of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// None: the leader's own log is enough.
    Async,
    /// So many of the members.
    SemiSync(u32),
    /// All members.
    Sync,
}

impl Acks {
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

impl std::fmt::Display for Acks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Acks::Async => f.write_str("async"),
            Acks::SemiSync(k) => write!(f, "semi-sync:{k}"),
            Acks::Sync => f.write_str("sync"),
        }
    }
}

/// What a follower acknowledges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum LostAcks {
    /// Writes are refused.
    Block = 0,
    /// After a while the leader's own log is enough; such acknowledgements are counted and shown.
    Degrade = 1,
}

impl LostAcks {
    /// The option's words, in the order of the values.
    pub const NAMES: &'static [&'static str] = &["block", "degrade"];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        LostAcks::NAMES[self as usize]
    }

    /// What has this index among the names.
    #[must_use]
    pub fn from_index(index: u8) -> LostAcks {
        if index == 0 { LostAcks::Block } else { LostAcks::Degrade }
    }
}

/// When a write is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// By how many.
    pub acks: Acks,
    /// Of what.
    pub level: AckLevel,
    /// While there are too few.
    pub on_lost: LostAcks,
    /// How long too few must have been attached before `Degrade` begins, milliseconds.
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
