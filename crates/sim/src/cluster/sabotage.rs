//! Defects that are built into the world around the cores, to see that the checkers find them.

/// A defect. The cores are never changed: messages, actions and answers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Defect {
    /// None.
    None,
    /// Followers say that they synced what they only received.
    AckBeforeFlush,
    /// Leaders answer reads without waiting until what they show is committed.
    ReadPassesGate,
    /// Old links stay open, and what comes over them is taken as if of the present epoch.
    OldEpochAccepted,
    /// The record before the first one of an Append is not compared.
    PreviousNotChecked,
    /// A dirty leader goes on in its old epoch.
    OldEpochContinued,
    /// A snapshot counts as valid, and frees the log, before the log is flushed to its end.
    SnapshotBeforeFlush,
    /// What a session saw is forgotten when it reconnects.
    SessionForgotten,
    /// Acknowledgements of followers count that are no members by what is written down.
    NonMemberCounts,
    /// Followers serve reads before they know that what they replayed is committed.
    ServesBeforeReady,
    /// Diverged tails are cut without being archived.
    CutWithoutArchive,
    /// Leaders do not look at their lease before replies leave.
    LeaseNotChecked,
    /// A node that can't lead in the epoch that it was granted begins the next one by itself.
    EpochMinted,
    /// A change of the electable set, or of the rule, counts before it is agreed upon.
    ElectableEarly,
    /// The next epoch is granted without waiting until the old lease is over.
    GrantWithoutWait,
    /// A new leader writes no record of its epoch, and commits without one.
    NoBarrier,
    /// What consensus must not forget counts as synced before it is.
    VoteNotSynced,
}

impl Defect {
    /// Those that show where nodes agree on the leader.
    pub const HEALING: [Defect; 6] = [
        Defect::LeaseNotChecked,
        Defect::EpochMinted,
        Defect::ElectableEarly,
        Defect::GrantWithoutWait,
        Defect::NoBarrier,
        Defect::VoteNotSynced,
    ];

    /// All but none of those that show where a person sets the leader.
    pub const ALL: [Defect; 10] = [
        Defect::AckBeforeFlush,
        Defect::ReadPassesGate,
        Defect::OldEpochAccepted,
        Defect::PreviousNotChecked,
        Defect::OldEpochContinued,
        Defect::SnapshotBeforeFlush,
        Defect::SessionForgotten,
        Defect::NonMemberCounts,
        Defect::ServesBeforeReady,
        Defect::CutWithoutArchive,
    ];
}
