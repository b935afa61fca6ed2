//! What a leader does because time has passed: heartbeats, and an end to what stands still.

use trefoil_clock::NodeId;

use super::progress::{Place, Progress, Stage};
use super::{CloseReason, Leader, LeaderAction, LeaderEvent};
use crate::{LinkId, OnLost};

impl Leader {
    /// When [`Leader::on_timeout`] is to be called next; none: something else has to happen first.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let beat = (!self.followers.is_empty()).then_some(self.next_beat_ms);
        let degrades = self.policy.on_lost == OnLost::Degrade;
        let after_ms = self.policy.degrade_after_ms;
        let degrade = self.marks.degrades_at_ms(after_ms).filter(|_| degrades);
        let forget = self.followers.values().filter_map(|progress| self.forgotten_at_ms(progress));
        if self.deposed_by.is_some() {
            return None;
        }
        beat.into_iter().chain(degrade).chain(forget).min()
    }

    /// Time has passed.
    pub fn on_timeout(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {
        if self.deposed_by.is_some() {
            return;
        }
        self.end_what_stands_still(now_ms, out);
        self.forget_absent(now_ms, out);
        if now_ms >= self.next_beat_ms && !self.followers.is_empty() {
            self.next_beat_ms = now_ms + self.options.heartbeat_ms;
            self.beat(now_ms, out);
        }
        self.judge_lag(now_ms, out);
        self.advance(now_ms, out);
    }

    /// A heartbeat to everybody who asked to follow; the lag of who is away is measured by them too.
    fn beat(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {
        let id = self.beats.beat(now_ms, self.log.end);
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            let Some(attached) = self.attached_by(link) else { continue };
            if let Some(flow) = attached.stage.flow_mut() {
                flow.retry();
            }
            if !matches!(attached.stage, Stage::Connecting) {
                self.send_heartbeat(link, id, out);
            }
            self.pump(link, out);
        }
    }

    fn end_what_stands_still(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {
        let links: Vec<(LinkId, NodeId)> =
            self.links.iter().map(|(&link, &node)| (link, node)).collect();
        for (link, node) in links {
            let Some(attached) = self.attached(node) else { continue };
            let since = |then_ms: u64| now_ms.saturating_sub(then_ms);
            if since(attached.heard_at_ms) >= self.options.link_timeout_ms {
                self.close(now_ms, link, CloseReason::Silent, out);
                continue;
            }
            let Stage::Transfer(transfer) = &attached.stage else { continue };
            let patience_ms = if transfer.is_complete() {
                self.options.install_timeout_ms
            } else {
                self.options.transfer_timeout_ms
            };
            if since(transfer.moved_at_ms()) >= patience_ms {
                self.give_up(now_ms, link, CloseReason::TransferStalled, out);
            }
        }
    }

    /// When a node that is away is not waited for any more, with its snapshot or altogether.
    fn forgotten_at_ms(&self, progress: &Progress) -> Option<u64> {
        let Place::Away { since_ms } = progress.place else { return None };
        let seeding = progress.is_seeding.then_some(self.options.transfer_timeout_ms);
        let stranger =
            (!self.rules.is_member(progress.node)).then_some(self.options.forget_after_ms);
        let patience_ms = seeding.into_iter().chain(stranger).min()?;
        Some(since_ms.saturating_add(patience_ms))
    }

    fn forget_absent(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {
        let due = |progress: &&Progress| {
            self.forgotten_at_ms(progress).is_some_and(|at_ms| now_ms >= at_ms)
        };
        let due: Vec<NodeId> =
            self.followers.values().filter(due).map(|progress| progress.node).collect();
        for node in due {
            let progress = self.followers.get_mut(&node).expect("it was just listed");
            if progress.is_seeding {
                progress.end_seeding();
            } else {
                self.followers.remove(&node);
            }
        }
        self.find_lost(out);
        self.release_unused_snapshot(out);
    }

    /// Raises and ends alerts; one ends at half of what raises it.
    fn judge_lag(&mut self, now_ms: u64, out: &mut Vec<LeaderAction>) {
        let max = self.options.max_lag;
        for row in self.rows(now_ms) {
            let lags = [
                (row.lag_records, max.records),
                (row.lag_bytes.unwrap_or(u64::MAX), max.bytes),
                (row.lag_ms.unwrap_or(0), max.ms),
            ];
            let beyond = |part: u64| lags.iter().any(|&(lag, max)| max > 0 && lag > max / part);
            let node = row.node;
            let alert = if row.alert { beyond(2) } else { beyond(1) };
            if alert == row.alert {
                continue;
            }
            let event =
                if alert { LeaderEvent::LagAlert { node } } else { LeaderEvent::LagOver { node } };
            out.push(LeaderAction::Event(event));
            self.followers.get_mut(&node).expect("a row is of a follower").alert = alert;
        }
    }
}
