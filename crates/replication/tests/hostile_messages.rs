//! No message, in any order and with any numbers, breaks a core: links are closed, invariants hold.

use proptest::collection::vec;
use proptest::prelude::*;
use trefoil_clock::{
    ClusterId, Epoch, EpochEntry, EpochTable, Hlc, Lsn, NodeId, Position, ShardId,
};
use trefoil_replication::{
    AckLevel, AckPolicy, Acks, Follower, FollowerLog, FollowerOptions, Leader, LeaderOptions,
    LeaderStart, LinkId, LocalRule, LogState, OnLost, Recovering, RecoveringOptions, RunHead,
};
use trefoil_wire::peer::{
    Ack, Append, Chunk, Fence, Follow, Heartbeat, Message, Offer, Refuse, RefuseReason, SnapshotId,
    Welcome,
};

const CLUSTER: ClusterId = ClusterId(1);
const SHARD: ShardId = ShardId(0);
const SELF: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

/// Small numbers, which may fit, and the greatest ones.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..12_u64, 1 => (u64::MAX - 2)..=u64::MAX]
}

fn position() -> impl Strategy<Value = Position> {
    (number(), number()).prop_map(|(epoch, lsn)| Position { epoch: Epoch(epoch), lsn: Lsn(lsn) })
}

fn entry() -> impl Strategy<Value = EpochEntry> {
    (number(), 1..3_u128, number()).prop_map(|(epoch, leader, first)| EpochEntry {
        epoch: Epoch(epoch),
        leader: NodeId(leader),
        first_lsn: Lsn(first),
    })
}

/// Epochs that may fit: the history that the cores have, or any.
fn epochs() -> impl Strategy<Value = Vec<EpochEntry>> {
    prop_oneof![
        Just(history(SELF).entries().to_vec()),
        Just(history(OTHER).entries().to_vec()),
        vec(entry(), 0..3),
    ]
}

fn run() -> impl Strategy<Value = RunHead> {
    (number(), number(), 0..4_u32).prop_map(|(epoch, first, count)| RunHead {
        epoch: Epoch(epoch),
        first: Lsn(first),
        count,
    })
}

fn message() -> impl Strategy<Value = Message<'static>> {
    let follow = (position(), epochs(), number(), number(), any::<bool>()).prop_map(
        |(end, epochs, flushed, applied, adopts)| {
            let (flushed, applied) = (Lsn(flushed), Lsn(applied));
            let (partial, client_port) = (None, 0);
            Message::Follow(Follow { end, epochs, flushed, applied, partial, adopts, client_port })
        },
    );
    let welcome = (position(), epochs(), number()).prop_map(|(fork, epochs, commit)| {
        Message::Welcome(Welcome { fork, epochs, commit: Lsn(commit), client_port: 0 })
    });
    let ack = (position(), number(), number(), number()).prop_map(|(received, a, b, heartbeat)| {
        Message::Ack(Ack { received, flushed: Lsn(a), applied: Lsn(b), heartbeat })
    });
    let append = (position(), number()).prop_map(|(prev, commit)| {
        let (commit, clock) = (Lsn(commit), Hlc(0));
        Message::Append(Append { prev, commit, clock, flush: false, runs: b"-" })
    });
    let heartbeat = (number(), number(), number(), number()).prop_map(|(id, end, commit, safe)| {
        let (end, commit, safe) = (Lsn(end), Lsn(commit), Lsn(safe));
        Message::Heartbeat(Heartbeat { id, end, commit, safe, clock: Hlc(0) })
    });
    let offer =
        (position(), number(), number(), epochs()).prop_map(|(start, end, bytes, epochs)| {
            Message::Offer(Offer { snapshot: SnapshotId(1), start, end: Lsn(end), bytes, epochs })
        });
    let others =
        (0..8_u8, number(), number(), position()).prop_map(|(kind, a, b, at)| match kind {
            0 => Message::Probe { id: a },
            1 => Message::ProbeAnswer { id: a, commit: Lsn(b) },
            2 => Message::Fetch { snapshot: SnapshotId(1), offset: a },
            3 => Message::Chunk(Chunk { snapshot: SnapshotId(1), offset: a, bytes: b"abc" }),
            4 => Message::Pull { after: at },
            5 => Message::Pulled { end: at },
            6 => Message::Refuse(Refuse { reason: RefuseReason::Busy, text: "" }),
            _ => Message::Restart,
        });
    prop_oneof![follow, welcome, ack, append, heartbeat, offer, others]
}

fn fence() -> impl Strategy<Value = Fence> {
    let mostly = |usual: u64| prop_oneof![9 => Just(usual), 1 => number()];
    (mostly(1), mostly(0), mostly(2)).prop_map(|(cluster, shard, epoch)| Fence {
        cluster: ClusterId(u128::from(cluster)),
        shard: ShardId(u32::try_from(shard).unwrap_or(9)),
        epoch: Epoch(epoch),
        sender: OTHER,
    })
}

fn letters() -> impl Strategy<Value = Vec<(Fence, Message<'static>, Vec<RunHead>)>> {
    vec((fence(), message(), vec(run(), 0..3)), 0..40)
}

/// Epoch 1 from record 1 and epoch 2 from record 5, the latter of `leader`.
fn history(leader: NodeId) -> EpochTable {
    EpochTable::from_entries(vec![
        EpochEntry { epoch: Epoch(1), leader: SELF, first_lsn: Lsn(1) },
        EpochEntry { epoch: Epoch(2), leader, first_lsn: Lsn(5) },
    ])
    .expect("they ascend")
}

fn leader() -> Leader {
    let log = LogState { end: Lsn(10), durable: Lsn(9), floor: Lsn(2), ..LogState::default() };
    let (epochs, committed, members) = (history(SELF), Lsn(5), vec![OTHER]);
    let start = LeaderStart { epochs, log, committed, members };
    let (acks, level, on_lost) = (Acks::Sync, AckLevel::Applied, OnLost::Block);
    let policy = AckPolicy { acks, level, on_lost, degrade_after_ms: 0 };
    let options = LeaderOptions::new(SELF, CLUSTER, SHARD);
    Leader::new(options, start, policy, LocalRule::Durable, 0)
}

fn follower() -> Follower {
    let options = FollowerOptions {
        node: SELF,
        cluster: CLUSTER,
        shard: SHARD,
        adopts: false,
        client_port: 0,
        link_timeout_ms: 5_000,
    };
    let epochs = history(OTHER);
    let end = epochs.position(Lsn(8));
    let (flushed, applied, safe) = (Lsn(7), Lsn(8), Lsn(5));
    let needs_commit_to = Lsn(8);
    let partial = None;
    let whole_from = Lsn::ZERO;
    let log =
        FollowerLog { end, epochs, flushed, applied, safe, whole_from, needs_commit_to, partial };
    Follower::new(options, log)
}

proptest! {
    #[test]
    fn a_leader_withstands_any_messages(letters in letters()) {
        let mut leader = leader();
        let mut out = Vec::new();
        for (at, (fence, message, _)) in letters.iter().enumerate() {
            let link = LinkId(at as u64);
            if leader.rows(0).iter().all(|row| row.link.is_none()) {
                leader.on_link(10_000 * at as u64, link, OTHER, &mut out);
            }
            let link = leader.rows(0).iter().find_map(|row| row.link).unwrap_or(link);
            leader.on_message(at as u64, link, fence, message, &mut out);
            leader.validate();
            prop_assert!(leader.commit() <= Lsn(9), "no more is committed than is durable");
        }
    }

    #[test]
    fn a_follower_withstands_any_messages(letters in letters()) {
        let mut follower = follower();
        let mut out = Vec::new();
        for (fence, message, runs) in &letters {
            if follower.deadline().is_none() {
                follower.on_link(0, OTHER, &mut out);
            }
            follower.on_message(0, fence, message, runs, &mut out);
            follower.validate();
            prop_assert!(follower.safe() >= Lsn(5), "what is safe stays");
        }
    }

    #[test]
    fn a_recovering_leader_withstands_any_messages(letters in letters()) {
        let options = RecoveringOptions {
            node: SELF,
            cluster: CLUSTER,
            shard: SHARD,
            members: vec![OTHER, NodeId(3)],
            acks: Acks::Sync,
            async_wait_ms: 1_000,
            heartbeat_ms: 100,
            link_timeout_ms: 5_000,
        };
        let mut out = Vec::new();
        let history = history(SELF);
        let mut core = Recovering::new(options, history.position(Lsn(6)), history, 0, &mut out);
        for (at, (fence, message, runs)) in letters.iter().enumerate() {
            core.on_link(0, LinkId(at as u64), OTHER, &mut out);
            core.on_message(0, LinkId(at as u64), fence, message, runs, &mut out);
            core.validate();
        }
    }
}
