//! What a follower wants done: every side effect is listed here.

use trefoil_clock::{ClusterId, Epoch, EpochTable, Hlc, Lsn, NodeId, Position};
use trefoil_wire::peer::{Message, Offer, RefuseReason};

/// Something for the shell to do, in order. There is one link at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FollowerAction {
    /// Put a message on the link, fenced by [`super::Follower::fence`].
    Send {
        /// What.
        message: Message<'static>,
    },
    /// Take the runs of the message that is being handled into the log and the apply queue.
    Append {
        /// Their last record.
        last: Lsn,
    },
    /// Write the epoch table down, before records that come later.
    Epochs(EpochTable),
    /// The own history is given up for another one, because a person said so: archive all of it
    /// (a cut to the beginning or an install comes next), and be known as a node of that cluster.
    Adopt {
        /// The other one.
        cluster: ClusterId,
    },
    /// Archive and cut the log behind a record, then report with [`super::Follower::on_cut_done`].
    Cut {
        /// The last record to keep.
        to: Position,
        /// Whether the store shows what is cut and must be loaded again.
        then: AfterCut,
    },
    /// Records up to this one may be applied.
    CommitTo(Lsn),
    /// The leader's clock: the time by which keys expire.
    Clock(Hlc),
    /// Hand the published message that is being handled to those who listen, once this record is
    /// applied.
    Deliver {
        /// The record.
        after: Lsn,
    },
    /// Open the place for a snapshot; keep this many bytes of the one that is there (0: none).
    BeginInstall {
        /// Which snapshot.
        offer: Offer,
        /// Bytes that are there already.
        from: u64,
    },
    /// Write the bytes of the chunk that is being handled, then report with
    /// [`super::Follower::on_chunk_written`].
    WriteChunk {
        /// Where in the file.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// The file is complete: check it, put it in place of log and store, then report with
    /// [`super::Follower::on_installed`] or [`super::Follower::on_install_failed`].
    FinishInstall {
        /// Which snapshot.
        offer: Offer,
    },
    /// Send the log behind `prev` up to `up_to` as Append messages, then report with
    /// [`super::Follower::on_tail_sent`].
    SendTail {
        /// The record before the first one.
        prev: Position,
        /// The last one.
        up_to: Lsn,
    },
    /// Reads may be served.
    Ready,
    /// A probe came back.
    ProbeAnswered {
        /// Which.
        id: u64,
        /// What was committed when it reached the leader.
        commit: Lsn,
    },
    /// A probe will not come back.
    ProbeLost {
        /// Which.
        id: u64,
    },
    /// Close the link; dial again after a pause.
    Close {
        /// Why.
        reason: FollowerCloseReason,
    },
    /// Something a person may want to know.
    Event(FollowerEvent),
}

/// What has to follow a cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterCut {
    /// Nothing: what is cut was never applied.
    GoOn,
    /// The store is loaded again from snapshot and log: it shows what is cut.
    Rebuild,
}

/// Why a follower closes its link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FollowerCloseReason {
    /// Another history.
    WrongCluster,
    /// Another shard.
    WrongShard,
    /// Somebody else than the node that was greeted.
    WrongSender,
    /// An epoch that is over.
    StaleEpoch,
    /// A newer epoch outside a welcome.
    NewerEpoch,
    /// Two nodes lead in this epoch.
    TwoLeaders,
    /// A message that makes no sense here.
    Malformed,
    /// Runs that are not dense or of the wrong epoch.
    BadRuns,
    /// The leader's history lacks what was committed safely.
    WouldLoseCommitted,
    /// The leader said no.
    Refused(RefuseReason),
    /// The snapshot could not be installed.
    InstallFailed,
    /// Nothing was heard for too long.
    Silent,
}

/// What happened, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FollowerEvent {
    /// It follows.
    Following {
        /// Whom.
        leader: NodeId,
        /// In which epoch.
        epoch: Epoch,
    },
    /// Its tail is not in the leader's history and is archived.
    Diverged {
        /// The last record in common.
        fork: Position,
        /// Where the log ended.
        end: Position,
    },
    /// The leader's history lacks what was committed safely: nothing is cut, somebody must decide.
    WouldLoseCommitted {
        /// The leader.
        leader: NodeId,
        /// The last record in common.
        fork: Lsn,
        /// What is known to be committed safely.
        safe: Lsn,
    },
    /// Two nodes lead in one epoch.
    TwoLeaders {
        /// The epoch.
        epoch: Epoch,
        /// The leader that is known.
        known: NodeId,
        /// Who says it is the leader.
        other: NodeId,
    },
    /// The log is too old for the leader, a snapshot is fetched.
    Reseeding {
        /// Bytes of the snapshot.
        bytes: u64,
        /// Bytes that are there already.
        from: u64,
    },
}
