//! What a leader wants done: every side effect is listed here.

use trefoil_clock::{Epoch, Lsn, NodeId, Position};
use trefoil_wire::peer::{Message, SnapshotId};

use crate::LinkId;

/// Something for the shell to do, in order. An action for a link that is gone is dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeaderAction {
    /// Put a message on the link, fenced by [`super::Leader::fence`].
    Send {
        /// Where.
        link: LinkId,
        /// What.
        message: Message<'static>,
    },
    /// Put a heartbeat on the link, stamped with the clock as it leaves.
    Heartbeat {
        /// Where.
        link: LinkId,
        /// Its number.
        id: u64,
        /// The last record that the leader has.
        end: Lsn,
        /// What is committed.
        commit: Lsn,
        /// What of it members acknowledged under the rule.
        safe: Lsn,
    },
    /// Read records from the log and put them on the link, at least one run, then report with
    /// [`super::Leader::on_streamed`] (or [`super::Leader::on_gone`]). One at a time per link.
    Stream {
        /// Where.
        link: LinkId,
        /// The record before the first one.
        prev: Position,
        /// The last record to send.
        up_to: Lsn,
        /// Stop before this many bytes are exceeded, but not before the first run.
        bytes_max: u64,
        /// What the messages say is committed.
        commit: Lsn,
    },
    /// Get a snapshot that starts at `start_min` or later (a new one, or one that is there already),
    /// keep its file, and report with [`super::Leader::on_snapshot_ready`] or
    /// [`super::Leader::on_snapshot_failed`].
    TakeSnapshot {
        /// Its start must not be before this record.
        start_min: Lsn,
    },
    /// Read a part of the snapshot's file and put it on the link as a chunk; report with
    /// [`super::Leader::on_chunk_sent`].
    SendChunk {
        /// Where.
        link: LinkId,
        /// Which snapshot.
        snapshot: SnapshotId,
        /// From where in its file.
        offset: u64,
        /// At most so many bytes.
        bytes_max: u64,
    },
    /// Nobody needs the snapshot any more; its file may go.
    ReleaseSnapshot {
        /// Which.
        snapshot: SnapshotId,
    },
    /// The watermarks rose: tell who waits.
    Watermarks {
        /// What is committed.
        commit: Lsn,
        /// What replies wait for.
        released: Lsn,
    },
    /// Write the electable set down, synced; report with [`super::Leader::on_members_persisted`].
    PersistMembers {
        /// All members, ascending.
        members: Vec<NodeId>,
    },
    /// The own log is to be enough from here on: write that down where elections look, then
    /// [`super::Leader::on_waived`].
    Waive,
    /// Close the link, after what was sent before.
    Close {
        /// Which.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// Somebody of this history has proved a newer epoch: acknowledge nothing from here on.
    StepDown {
        /// The newer epoch.
        epoch: Epoch,
    },
    /// Something a person may want to know: log it, count it, publish it.
    Event(LeaderEvent),
}

/// Why a leader closes a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// The node has a newer link.
    Replaced,
    /// Another history.
    WrongCluster,
    /// Another shard.
    WrongShard,
    /// Somebody else than the node that was greeted.
    WrongSender,
    /// A message of an epoch that is over.
    StaleEpoch,
    /// A message of an epoch that this leader never led.
    NewerEpoch,
    /// An acknowledgement of what was not sent, or of another history.
    ImpossibleAck,
    /// A message that makes no sense here.
    Malformed,
    /// Nothing was heard for too long.
    Silent,
    /// The link came and went too often; it may come back later.
    Flapping,
    /// A snapshot transfer stood still for too long.
    TransferStalled,
    /// Every snapshot that was made for it came too late.
    SnapshotsInVain,
    /// No snapshot could be made.
    NoSnapshot,
}

/// What happened, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaderEvent {
    /// The follower has what the leader has, give or take a moment.
    CaughtUp {
        /// Which.
        node: NodeId,
    },
    /// The log does not hold what the follower needs; it starts again from a snapshot.
    Lost {
        /// Which.
        node: NodeId,
    },
    /// The follower's link is gone.
    Detached {
        /// Which.
        node: NodeId,
    },
    /// Its history and this one part before its end; it cuts its tail off.
    Diverged {
        /// Which.
        node: NodeId,
        /// The last record in common.
        fork: Position,
        /// Where its log ended.
        end: Position,
    },
    /// It knows another leader of an epoch that is in this history.
    TwoLeaders {
        /// Who told.
        node: NodeId,
        /// The epoch.
        epoch: Epoch,
        /// Whom it knows.
        leader: NodeId,
    },
    /// A node counts as electable from now on.
    MemberAdded {
        /// Which.
        node: NodeId,
    },
    /// A node does not count any more.
    MemberForgotten {
        /// Which.
        node: NodeId,
    },
    /// Too few members are attached.
    Blocked,
    /// Enough are attached again.
    Unblocked,
    /// Too few for too long: the own log is enough from now on.
    Degraded,
    /// The rule that was set holds again.
    Restored,
    /// A follower is further behind than allowed.
    LagAlert {
        /// Which.
        node: NodeId,
    },
    /// It is not any more.
    LagOver {
        /// Which.
        node: NodeId,
    },
}
