//! A leader, node A of cluster 1, on a stage. Each record has 100 bytes.

use std::collections::BTreeMap;

use trefoil_clock::{ClusterId, Epoch, EpochTable, Lsn, NodeId, Position, ShardId};
use trefoil_replication::{
    AckLevel, AckPolicy, Acks, Leader, LeaderAction, LeaderOptions, LeaderStart, LinkId, LocalRule,
    LogState, MaxLag, OnLost, SnapshotReady,
};
use trefoil_wire::peer::{Ack, Fence, Follow, Message};

use crate::describe;
use crate::line::{Line, node, nodes, snapshot};

const RECORD_BYTES: u64 = 100;

const POLICY: AckPolicy = AckPolicy {
    acks: Acks::Async,
    level: AckLevel::Received,
    on_lost: OnLost::Block,
    degrade_after_ms: 1_000,
};

/// See the module.
pub(crate) struct LeaderStage {
    leader: Leader,
    epochs: EpochTable,
    log: LogState,
    policy: AckPolicy,
    now_ms: u64,
    /// Who is at the other end.
    links: BTreeMap<LinkId, NodeId>,
}

impl LeaderStage {
    pub(crate) fn new(line: &Line) -> LeaderStage {
        let options = options(line);
        let epochs = line.epochs(&crate::line::epochs("1A1"));
        let log = log(line, &LogState::default());
        let policy = line.policy(POLICY);
        let local = if line.has("durable") { LocalRule::Durable } else { LocalRule::Appended };
        let start = LeaderStart {
            epochs: epochs.clone(),
            log,
            committed: line.lsn("committed", Lsn::ZERO),
            members: line.nodes("members"),
        };
        let leader = Leader::new(options, start, policy, local, 0);
        LeaderStage { leader, epochs, log, policy, now_ms: 0, links: BTreeMap::new() }
    }

    /// Plays a line; returns what the leader does.
    pub(crate) fn play(&mut self, line: &Line) -> Vec<String> {
        let mut out = Vec::new();
        let mut said = self.play_question(line);
        if said.is_empty() && !self.play_message(line, &mut out) {
            said.extend(self.play_event(line, &mut out));
        }
        self.leader.validate();
        said.extend(out.iter().map(describe::leader_action));
        said
    }

    fn play_question(&self, line: &Line) -> Vec<String> {
        let leader = &self.leader;
        match line.word.as_str() {
            "rows" => leader.rows(self.now_ms).iter().map(describe::row).collect(),
            "status" => vec![format!(
                "commit={} released={} safe={} members={} in sync={}{}{}{}",
                leader.commit(),
                leader.released(),
                leader.safe(),
                describe::all(&leader.members()),
                leader.attached_in_sync(),
                if leader.is_blocked() { " blocked" } else { "" },
                if leader.is_degraded() { " degraded" } else { "" },
                if leader.is_settled() { "" } else { " unsettled" },
            )],
            "needed" => vec![format!("the log behind {}", leader.needed_after())],
            "deadline" => vec![format!("{:?}", leader.deadline())],
            _ => Vec::new(),
        }
    }

    /// Messages of followers. Their first argument is the link.
    fn play_message(&mut self, line: &Line, out: &mut Vec<LeaderAction>) -> bool {
        let received = line.position("received", Position::default());
        let message = match line.word.as_str() {
            "follow" => self.follow(line),
            "ack" => Message::Ack(Ack {
                received,
                flushed: line.lsn("flushed", received.lsn),
                applied: line.lsn("applied", received.lsn),
                heartbeat: line.number("beat", 0),
            }),
            "probe" => Message::Probe { id: line.number_at(1) },
            "fetch" => {
                Message::Fetch { snapshot: snapshot(line.arg(1)), offset: line.number_at(2) }
            }
            _ => return false,
        };
        let link = LinkId(line.number_at(0));
        let sender = self.links.get(&link).copied().unwrap_or(NodeId(0));
        let fence = line.fence(Fence { sender, ..self.leader.fence() });
        self.leader.on_message(self.now_ms, link, &fence, &message, out);
        true
    }

    fn follow(&self, line: &Line) -> Message<'static> {
        let epochs = line.epochs(&self.epochs);
        let end = line.position("end", Position::default());
        Message::Follow(Follow {
            end,
            epochs: epochs.entries().to_vec(),
            flushed: line.lsn("flushed", end.lsn),
            applied: line.lsn("applied", end.lsn),
            partial: None,
            adopts: line.has("adopts"),
            client_port: 7_000,
        })
    }

    fn play_event(&mut self, line: &Line, out: &mut Vec<LeaderAction>) -> Vec<String> {
        let now = self.now_ms;
        let leader = &mut self.leader;
        let link = || LinkId(line.number_at(0));
        match line.word.as_str() {
            "begin-epoch" => leader.begin_epoch(Lsn(line.number_at(0))),
            "link" => {
                self.links.insert(link(), node(line.arg(1)));
                leader.on_link(now, link(), node(line.arg(1)), out);
            }
            "down" => leader.on_link_down(now, link(), out),
            "log" => {
                self.log = log(line, &self.log);
                leader.on_log(now, self.log, out);
            }
            "streamed" => {
                let last = Lsn(line.number_at(1));
                let bytes = line.number("bytes", RECORD_BYTES);
                leader.on_streamed(now, link(), last, bytes, out);
            }
            "gone" => leader.on_gone(now, link(), out),
            "snapshot-ready" => leader.on_snapshot_ready(now, ready(line), out),
            "snapshot-failed" => leader.on_snapshot_failed(now, out),
            "chunk-sent" => leader.on_chunk_sent(now, link(), line.number_at(1), out),
            "policy" => {
                self.policy = line.policy(self.policy);
                leader.set_policy(now, self.policy, out);
            }
            "persisted" => leader.on_members_persisted(now, &nodes(line.arg(0)), out),
            "waived" => leader.on_waived(now, out),
            "forget" => {
                let forgotten = leader.forget(now, node(line.arg(0)), out);
                return forgotten.err().map(|error| format!("{error:?}")).into_iter().collect();
            }
            "wait" => {
                self.now_ms += line.number_at::<u64>(0);
                leader.on_timeout(self.now_ms, out);
            }
            other => panic!("a leader knows nothing of {other:?}"),
        }
        Vec::new()
    }
}

fn options(line: &Line) -> LeaderOptions {
    let usual = LeaderOptions::new(NodeId(u128::from(b'A')), ClusterId(1), ShardId(0));
    LeaderOptions {
        window_bytes: line.number("window", 1_000),
        stream_bytes_max: line.number("stream", 500),
        chunk_bytes_max: line.number("chunk", 400),
        retained_bytes_max: line.number("retained", 1 << 20),
        snapshot_retries_max: line.number("retries", 2),
        max_lag: MaxLag {
            records: line.number("lag-records", 0),
            bytes: line.number("lag-bytes", 0),
            ms: line.number("lag-ms", 0),
        },
        ..usual
    }
}

fn log(line: &Line, before: &LogState) -> LogState {
    let end = line.lsn("end", before.end);
    let floor = line.lsn("floor", before.floor);
    LogState {
        end,
        durable: line.lsn("durable", before.durable).min(end),
        floor,
        end_bytes: end.0 * RECORD_BYTES,
        floor_bytes: floor.0 * RECORD_BYTES,
    }
}

fn ready(line: &Line) -> SnapshotReady {
    SnapshotReady {
        snapshot: snapshot(line.arg(0)),
        start: line.position("start", Position { epoch: Epoch(1), lsn: Lsn(1) }),
        end: line.lsn("end", Lsn(1)),
        bytes: line.number("bytes", 1_000),
    }
}
