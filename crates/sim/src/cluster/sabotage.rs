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
}

impl Defect {
    /// All but none.
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
