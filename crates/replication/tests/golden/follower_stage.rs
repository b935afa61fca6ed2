//! A follower, node F of cluster 1, on a stage. The leader is A, unless a line says otherwise.

use trefoil_clock::{ClusterId, Epoch, EpochTable, Hlc, Lsn, NodeId, Position, ShardId};
use trefoil_replication::{
    Follower, FollowerAction, FollowerLog, FollowerOptions, Installed, RunHead,
};
use trefoil_wire::peer::{
    Append, Chunk, Fence, Heartbeat, Message, Offer, Refuse, RefuseReason, Welcome,
};

use crate::describe;
use crate::line::{Line, epochs, node, position, runs, snapshot};

const ZEROS: [u8; 1_000] = [0; 1_000];

/// See the module.
pub(crate) struct FollowerStage {
    follower: Follower,
    now_ms: u64,
    leader: NodeId,
    /// What the leader's messages say unless a line says otherwise.
    history: EpochTable,
}

impl FollowerStage {
    pub(crate) fn new(line: &Line) -> FollowerStage {
        let options = FollowerOptions {
            node: node("F"),
            cluster: ClusterId(1),
            shard: ShardId(0),
            adopts: line.has("adopts"),
            client_port: 7_000,
            link_timeout_ms: 5_000,
        };
        let end = line.position("end", Position::default());
        let partial = line.get("partial").map(|text| {
            let (name, bytes) = text.split_once('+').expect("a part is a name and a length");
            (snapshot(name), bytes.parse().expect("a length is a number"))
        });
        let log = FollowerLog {
            end,
            epochs: line.epochs(&EpochTable::default()),
            flushed: line.lsn("flushed", end.lsn),
            applied: line.lsn("applied", end.lsn),
            safe: line.lsn("safe", Lsn::ZERO),
            whole_from: line.lsn("whole", Lsn::ZERO),
            needs_commit_to: line.lsn("needs", end.lsn),
            partial,
        };
        let follower = Follower::new(options, log);
        FollowerStage { follower, now_ms: 0, leader: node("A"), history: epochs("1A1") }
    }

    /// Plays a line; returns what the follower does.
    pub(crate) fn play(&mut self, line: &Line) -> Vec<String> {
        let mut out = Vec::new();
        let said = self.play_question(line);
        if said.is_empty() && !self.play_message(line, &mut out) {
            self.play_event(line, &mut out);
        }
        self.follower.validate();
        said.into_iter().chain(out.iter().map(describe::follower_action)).collect()
    }

    fn play_question(&self, line: &Line) -> Vec<String> {
        let follower = &self.follower;
        match line.word.as_str() {
            "status" => vec![format!(
                "{:?} end={}:{} commit={} safe={} applied={} fresh={:?}{}",
                follower.state(),
                follower.end().epoch,
                follower.end().lsn,
                follower.commit(),
                follower.safe(),
                follower.applied(),
                follower.fresh_at(),
                if follower.is_ready() { " ready" } else { "" },
            )],
            _ => Vec::new(),
        }
    }

    fn play_message(&mut self, line: &Line, out: &mut Vec<FollowerAction>) -> bool {
        let history = line.epochs(&self.history);
        let heads = line.get("runs").map_or(Vec::new(), runs);
        let message = match line.word.as_str() {
            "welcome" => Message::Welcome(Welcome {
                fork: line.position("fork", Position::default()),
                epochs: history.entries().to_vec(),
                commit: line.lsn("commit", Lsn::ZERO),
                client_port: 7_001,
            }),
            "refuse" => Message::Refuse(Refuse { reason: RefuseReason::Busy, text: "later" }),
            "append" => Message::Append(Append {
                prev: line.position("prev", Position::default()),
                commit: line.lsn("commit", Lsn::ZERO),
                clock: Hlc(line.number("clock", 0)),
                flush: false,
                runs: &ZEROS,
            }),
            "heartbeat" => Message::Heartbeat(Heartbeat {
                id: line.number_at(0),
                end: line.lsn("end", Lsn::ZERO),
                commit: line.lsn("commit", Lsn::ZERO),
                safe: line.lsn("safe", Lsn::ZERO),
                clock: Hlc(line.number("clock", 0)),
            }),
            "answer" => {
                let commit = line.lsn("commit", Lsn::ZERO);
                Message::ProbeAnswer { id: line.number_at(0), commit }
            }
            "offer" => Message::Offer(Offer {
                snapshot: snapshot(line.arg(0)),
                start: line.position("start", Position::default()),
                end: line.lsn("end", Lsn::ZERO),
                bytes: line.number("bytes", 0),
                epochs: history.entries().to_vec(),
            }),
            "chunk" => Message::Chunk(Chunk {
                snapshot: snapshot(line.arg(0)),
                offset: line.number_at(1),
                bytes: &ZEROS[..line.number_at(2)],
            }),
            "pull" => Message::Pull { after: position(line.arg(0)) },
            "restart" => Message::Restart,
            _ => return false,
        };
        if message_brings_history(&message) {
            self.history = history;
        }
        self.say(line, &message, &heads, out);
        true
    }

    fn say(
        &mut self,
        line: &Line,
        message: &Message<'_>,
        heads: &[RunHead],
        out: &mut Vec<FollowerAction>,
    ) {
        let epoch = self.history.last().map_or(Epoch(0), |entry| entry.epoch);
        let (cluster, shard) = (ClusterId(1), ShardId(0));
        let fence = line.fence(Fence { cluster, shard, epoch, sender: self.leader });
        self.follower.on_message(self.now_ms, &fence, message, heads, out);
    }

    fn play_event(&mut self, line: &Line, out: &mut Vec<FollowerAction>) {
        let now = self.now_ms;
        let follower = &mut self.follower;
        let end = line.position("end", Position::default());
        match line.word.as_str() {
            "link" => {
                self.leader = node(line.arg(0));
                follower.on_link(now, self.leader, out);
            }
            "down" => follower.on_link_down(now, out),
            "log" => {
                let received = line.lsn("received", Lsn::ZERO);
                follower.on_log(now, received, line.lsn("flushed", Lsn::ZERO), out);
            }
            "applied" => follower.on_applied(now, Lsn(line.number_at(0)), out),
            "cut-done" => {
                let epochs = line.epochs(&EpochTable::default());
                follower.on_cut_done(now, end, epochs, line.lsn("applied", end.lsn), out);
            }
            "chunk-written" => follower.on_chunk_written(now, line.number_at(0), out),
            "installed" => {
                let epochs = line.epochs(&EpochTable::default());
                let applied = line.lsn("applied", end.lsn);
                follower.on_installed(now, Installed { end, epochs, applied }, out);
            }
            "install-failed" => follower.on_install_failed(now, out),
            "tail-sent" => follower.on_tail_sent(now, out),
            "probe" => drop(follower.probe(now, out)),
            "wait" => {
                self.now_ms += line.number_at::<u64>(0);
                follower.on_timeout(self.now_ms, out);
            }
            other => panic!("a follower knows nothing of {other:?}"),
        }
    }
}

fn message_brings_history(message: &Message<'_>) -> bool {
    matches!(message, Message::Welcome(_) | Message::Offer(_))
}
