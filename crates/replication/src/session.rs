//! Whether a follower may answer a read now, and tokens that carry a session's clock.

use trefoil_clock::{ClusterId, EpochTable, Lsn, Position};

/// How fresh reads of a connection are to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Consistency {
    /// Whatever is here.
    Eventual,
    /// What the session wrote or saw, or newer.
    #[default]
    Session,
    /// No older than so many milliseconds.
    Bounded(u64),
    /// The newest.
    Linearizable,
}

/// What a session has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionClock {
    /// Not known here: the connection is new.
    Unknown,
    /// Everything up to this record.
    At(Position),
}

/// What a follower has to offer.
#[derive(Clone, Copy, Debug)]
pub struct ReadView<'a> {
    /// Its history.
    pub epochs: &'a EpochTable,
    /// What its readers see.
    pub applied: Lsn,
    /// Whether it may serve at all.
    pub ready: bool,
    /// Whether a leader can be asked.
    pub attached: bool,
    /// See [`crate::Follower::fresh_at`].
    pub fresh_at: Option<u64>,
}

/// What to do with a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Answer it.
    Serve,
    /// Wait until more is applied, then ask again.
    Wait,
    /// Ask the leader where it stands, wait until that is applied, then serve.
    Probe,
    /// Let the leader answer.
    Forward,
    /// What the session saw is not part of this history: say so.
    LostBranch,
}

/// Decides about one read.
#[must_use]
pub fn decide(
    consistency: Consistency,
    clock: SessionClock,
    view: &ReadView<'_>,
    now_ms: u64,
) -> Decision {
    let _ = (consistency, clock, view.ready, now_ms);
    Decision::Forward
}

/// A session's clock as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// The history.
    pub cluster: ClusterId,
    /// What the session has seen.
    pub position: Position,
}

/// Why a text is no token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenError {
    /// Not in the form of one.
    NotAToken,
    /// Of a version that is not known here.
    UnknownVersion,
    /// Damaged on the way.
    Damaged,
}

#[allow(missing_docs)]
impl Token {
    #[must_use]
    pub fn encode(&self) -> String {
        String::new()
    }
    pub fn decode(text: &[u8]) -> Result<Token, TokenError> {
        let _ = text;
        Err(TokenError::NotAToken)
    }
}
