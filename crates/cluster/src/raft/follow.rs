//! A follower: takes its leader's entries where the logs agree, and learns what is committed.
//!
//! Invariants: nothing up to the commit index is cut; what is said to be here is on disk first.

use trefoil_clock::NodeId;

use super::message::Append;
use super::{Action, Body, Ignored, Raft, State};

impl Raft {
    /// The leader of the own term was heard.
    pub(super) fn follow(&mut self, now_ms: u64, from: NodeId) -> Result<(), Ignored> {
        match self.state {
            State::Leader(_) => return Err(Ignored::OtherLeader),
            State::Follower { leader: Some(leader) } if leader != from => {
                return Err(Ignored::OtherLeader);
            }
            State::Follower { .. } | State::Campaign(_) => {}
        }
        self.state = State::Follower { leader: Some(from) };
        self.leader_heard_ms = Some(now_ms);
        self.arm(now_ms);
        Ok(())
    }

    pub(super) fn on_append(
        &mut self,
        now_ms: u64,
        from: NodeId,
        append: Append,
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        if !append.is_well_formed(self.hard.term) {
            return Err(Ignored::Malformed);
        }
        self.follow(now_ms, from)?;
        let end = append.end();
        let Append { seq, prev, commit, entries } = append;
        if !self.journal.agrees(prev) {
            self.reject(from, seq, prev, out);
            return Ok(());
        }
        let merge = self.journal.merge(entries)?;
        if let Some(index) = merge.truncate_from {
            self.journal.truncate(index);
            self.writing.truncate(index);
        }
        for entry in merge.fresh {
            self.writing.append(entry.clone());
            self.journal.append(entry);
        }
        // Beyond `end` this log may hold what the leader does not have.
        self.commit_to(commit.min(end).max(self.committed()), out);
        self.forget_old_parts();
        let matched = end.max(self.committed());
        self.send_when_durable(matched, from, Body::Accepted { seq, matched }, out);
        Ok(())
    }

    /// Says where the logs may agree, so that the leader need not try one entry after the other.
    fn reject(&mut self, to: NodeId, seq: u64, prev: super::LogPosition, out: &mut Vec<Action>) {
        // What is committed here is in the leader's log.
        let shared = self.journal.shared_with(prev.index.prev(), prev.term).max(self.committed());
        let hint = self.journal.position(shared).expect("what is committed last is held");
        self.send(to, Body::Rejected { seq, prev: prev.index, hint }, out);
    }
}
