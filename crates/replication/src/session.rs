//! Whether a follower may answer a read now.
//!
//! A session's clock is the last record that it wrote or saw. Whether that record is part of the
//! follower's history is decided by the epoch table, never by comparing LSNs alone (rule 3).

mod token;

pub use token::{Token, TokenError};

use trefoil_clock::{EpochTable, Lsn, Position};

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
    /// Not known here: the connection is new, and nobody asked the leader since it came.
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
    /// Wait until more is applied, then ask again; forward it if that takes too long.
    Wait,
    /// Ask the leader where it stands, then ask again.
    Probe,
    /// Let the leader answer.
    Forward,
    /// What the session saw is not part of this history: say so.
    LostBranch,
}

/// Where a record stands relative to a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// It is part of the history, and shown.
    Shown,
    /// It may become part of it: the history has not come so far.
    Ahead,
    /// Another record has its place.
    Lost,
}

/// Decides about one read.
#[must_use]
pub fn decide(
    consistency: Consistency,
    clock: SessionClock,
    view: &ReadView<'_>,
    now_ms: u64,
) -> Decision {
    if !view.ready {
        return Decision::Forward;
    }
    match consistency {
        Consistency::Eventual => Decision::Serve,
        Consistency::Linearizable => Decision::Forward,
        Consistency::Session => decide_session(clock, view),
        Consistency::Bounded(bound_ms) => decide_bounded(bound_ms, view, now_ms),
    }
}

fn decide_session(clock: SessionClock, view: &ReadView<'_>) -> Decision {
    match clock {
        SessionClock::Unknown if view.attached => Decision::Probe,
        SessionClock::Unknown => Decision::Forward,
        SessionClock::At(position) => match judge(position, view.epochs, view.applied) {
            Judgement::Shown => Decision::Serve,
            Judgement::Ahead => Decision::Wait,
            Judgement::Lost => Decision::LostBranch,
        },
    }
}

fn decide_bounded(bound_ms: u64, view: &ReadView<'_>, now_ms: u64) -> Decision {
    let fresh = view.fresh_at.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) <= bound_ms);
    match (fresh, view.attached) {
        (true, _) => Decision::Serve,
        (false, true) => Decision::Probe,
        (false, false) => Decision::Forward,
    }
}

/// Where a record stands relative to a history that is shown up to `applied`.
#[must_use]
pub fn judge(position: Position, epochs: &EpochTable, applied: Lsn) -> Judgement {
    let here = epochs.position(position.lsn);
    let newest = epochs.last().map(|entry| entry.epoch).unwrap_or_default();
    if position.epoch > newest {
        // Of an epoch that is not known here yet.
        return Judgement::Ahead;
    }
    match (here == position, position.lsn <= applied) {
        (false, _) => Judgement::Lost,
        (true, true) => Judgement::Shown,
        (true, false) => Judgement::Ahead,
    }
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{Epoch, EpochEntry, NodeId};

    use super::*;

    /// Epoch 1 from record 1, epoch 3 from record 10.
    fn table() -> EpochTable {
        let leader = NodeId(1);
        EpochTable::from_entries(vec![
            EpochEntry { epoch: Epoch(1), leader, first_lsn: Lsn(1) },
            EpochEntry { epoch: Epoch(3), leader, first_lsn: Lsn(10) },
        ])
        .expect("they ascend")
    }

    fn at(epoch: u64, lsn: u64) -> SessionClock {
        SessionClock::At(Position { epoch: Epoch(epoch), lsn: Lsn(lsn) })
    }

    fn decide_with(
        consistency: Consistency,
        clock: SessionClock,
        change: impl Fn(&mut ReadView<'_>),
    ) -> Decision {
        let epochs = table();
        let mut view = ReadView {
            epochs: &epochs,
            applied: Lsn(20),
            ready: true,
            attached: true,
            fresh_at: Some(900),
        };
        change(&mut view);
        decide(consistency, clock, &view, 1_000)
    }

    #[test]
    fn a_session_read_waits_for_what_the_session_saw() {
        let decide = |clock| decide_with(Consistency::Session, clock, |_| {});
        assert_eq!(decide(at(3, 20)), Decision::Serve);
        assert_eq!(decide(at(1, 9)), Decision::Serve);
        assert_eq!(decide(at(3, 21)), Decision::Wait);
        assert_eq!(decide(SessionClock::At(Position::default())), Decision::Serve);
    }

    #[test]
    fn a_session_of_a_lost_branch_is_told_so() {
        let decide = |clock| decide_with(Consistency::Session, clock, |_| {});
        assert_eq!(decide(at(1, 12)), Decision::LostBranch, "epoch 1 ended at 9");
        assert_eq!(decide(at(2, 15)), Decision::LostBranch, "epoch 2 is not part of this");
        assert_eq!(decide(at(2, 99)), Decision::LostBranch, "nor will it be");
        assert_eq!(decide(at(4, 15)), Decision::Wait, "epoch 4 is news");
    }

    #[test]
    fn the_first_read_of_a_connection_asks_the_leader() {
        let unknown = SessionClock::Unknown;
        let decide =
            |change: fn(&mut ReadView<'_>)| decide_with(Consistency::Session, unknown, change);
        assert_eq!(decide(|_| {}), Decision::Probe);
        assert_eq!(decide(|view| view.attached = false), Decision::Forward);
    }

    #[test]
    fn a_bounded_read_is_served_while_the_newest_applied_probe_is_young_enough() {
        let decide = |bound, change: fn(&mut ReadView<'_>)| {
            decide_with(Consistency::Bounded(bound), SessionClock::Unknown, change)
        };
        assert_eq!(decide(100, |_| {}), Decision::Serve);
        assert_eq!(decide(99, |_| {}), Decision::Probe);
        assert_eq!(decide(99, |view| view.attached = false), Decision::Forward);
        assert_eq!(decide(100, |view| view.fresh_at = None), Decision::Probe);
    }

    #[test]
    fn linearizable_reads_go_to_the_leader_and_eventual_ones_stay() {
        let unknown = SessionClock::Unknown;
        assert_eq!(decide_with(Consistency::Linearizable, unknown, |_| {}), Decision::Forward);
        assert_eq!(decide_with(Consistency::Eventual, unknown, |_| {}), Decision::Serve);
    }

    #[test]
    fn who_is_not_ready_serves_nothing() {
        let unready = |view: &mut ReadView<'_>| view.ready = false;
        for consistency in [Consistency::Eventual, Consistency::Session, Consistency::Bounded(500)]
        {
            assert_eq!(decide_with(consistency, at(1, 1), unready), Decision::Forward);
        }
    }
}
