//! Defects that the judges have to find: each is a rule that somebody breaks.

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Defect {
    None,
    /// The raft leader grants as soon as it knows that the epoch before is revoked.
    GrantWithoutWait,
    /// A leader counts its lease from when the answer came.
    LeaseFromAnswer,
    /// What one voter says of the leader counts as said by all.
    OneVotersView,
    /// A leader commits by a smaller set before it is agreed upon.
    ElectableUnagreed,
    /// Reports count as of fenced nodes though they are not.
    ReportUnfenced,
}
