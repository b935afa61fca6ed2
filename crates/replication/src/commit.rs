//! When a record is committed: the policy a person sets.

/// Whose acknowledgements a commit needs, besides the leader's own log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// Nobody's.
    Async,
    /// This many members'.
    SemiSync(u32),
    /// All members', and there must be one.
    Sync,
}

/// What a member's acknowledgement says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckLevel {
    /// Its operating system has the record.
    Received,
    /// The record survives a power loss there.
    Flushed,
    /// As flushed for the commit; the reply waits until the record is visible there as well.
    Applied,
}

/// What happens when too few members are attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnLost {
    /// Writes are refused until they come back.
    Block,
    /// After a while the own log is enough; flagged and counted.
    Degrade,
}

/// What an acknowledged write is to survive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

/// What the leader's own log must have done with a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LocalRule {
    /// Handed it to the operating system.
    Appended,
    /// Synced it (`fsync always`).
    Durable,
}
