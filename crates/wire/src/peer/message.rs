//! What nodes say to each other about one shard.
//!
//! A follower dials the leader. After the greeting (see `handshake.rs`) every message carries a
//! [`Fence`]; who receives one that does not fit drops the link, whatever the message says (rule 10 of
//! the pitfalls). Payloads of records and of snapshots are opaque here.

use trefoil_clock::{ClusterId, Epoch, EpochEntry, Hlc, Lsn, NodeId, Position, ShardId};

/// Who says it, about what, believing which epoch to be in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fence {
    /// The history that both belong to.
    pub cluster: ClusterId,
    /// The shard.
    pub shard: ShardId,
    /// The epoch in which the sender leads or follows.
    pub epoch: Epoch,
    /// The sender.
    pub sender: NodeId,
}

/// A message after the greeting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// Follower to leader: may I follow, this is what I hold.
    Follow(Follow),
    /// Leader to follower: your log is mine up to `fork`; cut what is behind it, then it goes on.
    Welcome(Welcome),
    /// Leader to follower: not from me, and why.
    Refuse(Refuse<'a>),
    /// Leader to follower: records.
    Append(Append<'a>),
    /// Leader to follower, when nothing else is to be said: where it stands.
    Heartbeat(Heartbeat),
    /// Follower to leader: how far it has come.
    Ack(Ack),
    /// Follower to leader: where do you stand, right now?
    Probe {
        /// The follower's own number for it; rises.
        id: u64,
    },
    /// Leader to follower: as of the moment that the probe came.
    ProbeAnswer {
        /// The probe.
        id: u64,
        /// What was committed by then.
        commit: Lsn,
    },
    /// Leader to follower: your log is too old, load this snapshot first.
    Offer(Offer),
    /// Follower to leader: send me the snapshot from this offset on.
    Fetch {
        /// Which snapshot.
        snapshot: SnapshotId,
        /// Bytes that are there already.
        offset: u64,
    },
    /// Leader to follower: a part of it.
    Chunk(Chunk<'a>),
    /// Recovering leader to a follower: send me your records behind this position.
    Pull {
        /// Where the leader's own log ends.
        after: Position,
    },
    /// Follower to recovering leader: that was all, here my log ends.
    Pulled {
        /// The end.
        end: Position,
    },
    /// Leader to follower: you are not needed any more in this epoch; ask me again.
    Restart,
    /// Leader to follower: a client published a message; no record.
    Publish(Publish<'a>),
}

/// See [`Message::Follow`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Follow {
    /// The end of its log: what it has received.
    pub end: Position,
    /// Its epochs, ascending.
    pub epochs: Vec<EpochEntry>,
    /// What it has synced.
    pub flushed: Lsn,
    /// What it has applied.
    pub applied: Lsn,
    /// It holds this much of a snapshot that it began to fetch.
    pub partial: Option<(SnapshotId, u64)>,
    /// It belongs to no history yet, or gives its own up, because a person said so.
    pub adopts: bool,
    /// Where clients reach it, for ROLE and INFO: host (may be empty: the link's) and port.
    pub client_port: u16,
}

/// See [`Message::Welcome`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// The last record that both logs have in common.
    pub fork: Position,
    /// The leader's epochs, the present one last.
    pub epochs: Vec<EpochEntry>,
    /// What is committed.
    pub commit: Lsn,
    /// Where clients reach the leader.
    pub client_port: u16,
}

/// See [`Message::Refuse`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refuse<'a> {
    /// For programs.
    pub reason: RefuseReason,
    /// For people.
    pub text: &'a str,
}

/// Why somebody is not followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RefuseReason {
    /// It does not lead.
    NotLeader = 1,
    /// Another history, and the follower did not say that it gives its own up.
    OtherCluster = 2,
    /// The follower knows of a newer epoch than the leader.
    StaleLeader = 3,
    /// It is being set up; try again.
    Busy = 4,
}

/// See [`Message::Append`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append<'a> {
    /// The record before the first one.
    pub prev: Position,
    /// What is committed.
    pub commit: Lsn,
    /// The leader's clock: the time by which keys expire.
    pub clock: Hlc,
    /// Somebody waits until these records survive a power loss of the follower: it syncs them at once.
    pub flush: bool,
    /// One or more runs, dense, each as it stands in a frame of the log: header, length, payload. The
    /// log's own decoder reads it.
    pub runs: &'a [u8],
}

/// See [`Message::Heartbeat`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// The leader's number for it; rises. Comes back in the next [`Ack`].
    pub id: u64,
    /// The last record that the leader has.
    pub end: Lsn,
    /// What is committed.
    pub commit: Lsn,
    /// What of it members acknowledged, so that a follower must not give it up (not what an `async` or
    /// degraded leader committed alone).
    pub safe: Lsn,
    /// The leader's clock.
    pub clock: Hlc,
}

/// See [`Message::Ack`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack {
    /// The last record that its operating system has.
    pub received: Position,
    /// The last record that survives power loss.
    pub flushed: Lsn,
    /// The last record that its readers see.
    pub applied: Lsn,
    /// The last heartbeat that came.
    pub heartbeat: u64,
}

/// Names a snapshot of a leader: where it ends, and a random number against mistakes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SnapshotId(pub u128);

/// See [`Message::Offer`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// Records behind this one follow from the log.
    pub start: Position,
    /// Nothing is to be served before this record.
    pub end: Lsn,
    /// How long the file is.
    pub bytes: u64,
    /// The leader's epochs, the present one last.
    pub epochs: Vec<EpochEntry>,
}

/// See [`Message::Chunk`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk<'a> {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// Where in the file.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// See [`Message::Publish`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish<'a> {
    /// Not to be seen before this record is.
    pub after: Lsn,
    /// It is for a shard channel.
    pub sharded: bool,
    /// Where it was published.
    pub channel: &'a [u8],
    /// What.
    pub payload: &'a [u8],
}
