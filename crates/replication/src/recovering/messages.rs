//! What a recovering leader does with messages: each handler is a ladder of early exits.

use trefoil_clock::{EpochTable, Position};
use trefoil_wire::peer::{Append, Fence, Follow, Message, Refuse, RefuseReason};

use super::{Recovering, RecoveringAction, Stage};
use crate::fork::{fork, last_of_runs};
use crate::{LinkId, RunHead};

impl Recovering {
    /// A message came over a link; `runs` are those of an Append, else empty.
    pub fn on_message(
        &mut self,
        now_ms: u64,
        link: LinkId,
        fence: &Fence,
        message: &Message<'_>,
        runs: &[RunHead],
        out: &mut Vec<RecoveringAction>,
    ) {
        if self.stage == Stage::Done {
            return;
        }
        let Some(waiting) = self.links.get_mut(&link) else {
            // The link was closed, its last messages are of no interest.
            return;
        };
        let fits = fence.sender == waiting.node && fence.shard == self.options.shard;
        waiting.heard_at_ms = now_ms;
        if !fits {
            return self.close(now_ms, link, out);
        }
        match message {
            Message::Follow(follow) => self.on_follow(now_ms, link, fence, follow, out),
            _ if fence.cluster != self.options.cluster || fence.epoch != self.fence().epoch => {
                self.close(now_ms, link, out);
            }
            Message::Append(append) => self.on_append(now_ms, link, append, runs, out),
            Message::Pulled { end } => self.on_pulled(now_ms, link, *end, out),
            Message::Ack(_) | Message::Probe { .. } | Message::Fetch { .. } => {}
            _ => self.close(now_ms, link, out),
        }
    }

    fn on_follow(
        &mut self,
        now_ms: u64,
        link: LinkId,
        fence: &Fence,
        follow: &Follow,
        out: &mut Vec<RecoveringAction>,
    ) {
        let node = self.links.get(&link).map(|waiting| waiting.node);
        let member = node.is_some_and(|node| self.options.members.contains(&node));
        if !member || fence.cluster != self.options.cluster || self.stage == Stage::Superseded {
            let text = "this node recovers and hears its members first";
            let message = Message::Refuse(Refuse { reason: RefuseReason::Busy, text });
            out.push(RecoveringAction::Send { link, message });
            return self.close(now_ms, link, out);
        }
        let theirs = EpochTable::from_entries(follow.epochs.clone());
        let Some(theirs) = theirs.filter(|theirs| theirs.position(follow.end.lsn) == follow.end)
        else {
            return self.close(now_ms, link, out);
        };
        let told = theirs.last().map_or(fence.epoch, |last| last.epoch.max(fence.epoch));
        self.newest = self.newest.max(told);
        let fork = fork(&self.epochs, self.end.lsn, &theirs, follow.end.lsn);
        let parted = fork.at.lsn < self.end.lsn && fork.at.lsn < follow.end.lsn;
        if told > self.fence().epoch || fork.two_leaders.is_some() || parted {
            self.stage = Stage::Superseded;
            self.pulling = None;
            out.push(RecoveringAction::StepDown { epoch: self.newest });
            return;
        }
        if self.pulling == Some(link) {
            // It began anew in the middle of its tail.
            self.pulling = None;
        }
        if let Some(waiting) = self.links.get_mut(&link) {
            waiting.end = Some(follow.end);
        }
        self.proceed(now_ms, out);
    }

    fn on_append(
        &mut self,
        now_ms: u64,
        link: LinkId,
        append: &Append<'_>,
        runs: &[RunHead],
        out: &mut Vec<RecoveringAction>,
    ) {
        if self.pulling != Some(link) {
            return;
        }
        let last = last_of_runs(append.prev.lsn, runs, &self.epochs);
        match last.filter(|_| append.prev == self.end) {
            Some(last) => {
                self.end = self.epochs.position(last);
                out.push(RecoveringAction::Append { last });
            }
            None => self.close(now_ms, link, out),
        }
    }

    fn on_pulled(
        &mut self,
        now_ms: u64,
        link: LinkId,
        end: Position,
        out: &mut Vec<RecoveringAction>,
    ) {
        if self.pulling != Some(link) {
            return;
        }
        if end > self.end {
            // It has more than it sent.
            return self.close(now_ms, link, out);
        }
        if let Some(waiting) = self.links.get_mut(&link) {
            waiting.end = Some(end);
        }
        self.pulling = None;
        self.proceed(now_ms, out);
    }
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{ClusterId, Epoch, EpochEntry, Hlc, Lsn, NodeId, ShardId};

    use super::*;
    use crate::{Acks, RecoveringOptions};

    /// Two epochs of node 1, the second one from record 11.
    fn table() -> EpochTable {
        let entry = |epoch, first| EpochEntry {
            epoch: Epoch(epoch),
            leader: NodeId(1),
            first_lsn: Lsn(first),
        };
        EpochTable::from_entries(vec![entry(1, 1), entry(2, 11)]).expect("they ascend")
    }

    fn at(lsn: u64) -> Position {
        table().position(Lsn(lsn))
    }

    fn start(acks: Acks, members: u128, out: &mut Vec<RecoveringAction>) -> Recovering {
        let options = RecoveringOptions {
            node: NodeId(1),
            cluster: ClusterId(1),
            shard: ShardId(0),
            members: (2..2 + members).map(NodeId).collect(),
            acks,
            async_wait_ms: 10_000,
            heartbeat_ms: 100,
            link_timeout_ms: 5_000,
        };
        Recovering::new(options, at(15), table(), 0, out)
    }

    fn say(
        core: &mut Recovering,
        node: u64,
        epoch: u64,
        message: &Message<'_>,
        runs: &[RunHead],
    ) -> Vec<RecoveringAction> {
        let sender = NodeId(u128::from(node));
        let fence = Fence { sender, epoch: Epoch(epoch), ..core.fence() };
        let mut out = Vec::new();
        core.on_message(1, LinkId(node), &fence, message, runs, &mut out);
        core.validate();
        out
    }

    /// Node `node` comes and reports a log of the own history that ends there.
    fn report(core: &mut Recovering, node: u64, end: u64) -> Vec<RecoveringAction> {
        core.on_link(1, LinkId(node), NodeId(u128::from(node)), &mut Vec::new());
        say(core, node, 2, &follow(at(end), table().entries()), &[])
    }

    fn follow(end: Position, epochs: &[EpochEntry]) -> Message<'static> {
        Message::Follow(Follow {
            end,
            epochs: epochs.to_vec(),
            flushed: end.lsn,
            applied: end.lsn,
            partial: None,
            adopts: false,
            client_port: 0,
        })
    }

    fn lead(epoch: u64) -> RecoveringAction {
        RecoveringAction::Lead { epoch: Epoch(epoch) }
    }

    fn restart(link: u64) -> RecoveringAction {
        RecoveringAction::Send { link: LinkId(link), message: Message::Restart }
    }

    #[test]
    fn without_members_it_leads_at_once_in_a_new_epoch() {
        let mut out = Vec::new();
        let core = start(Acks::Sync, 0, &mut out);
        assert_eq!(out, [lead(3)]);
        assert_eq!(core.deadline(), None);
    }

    #[test]
    fn with_sync_one_report_is_enough() {
        let mut core = start(Acks::Sync, 3, &mut Vec::new());
        assert_eq!(report(&mut core, 2, 12), [lead(3), restart(2)]);
    }

    #[test]
    fn with_one_of_two_acknowledging_both_must_report_and_the_best_is_pulled_from() {
        let mut core = start(Acks::SemiSync(1), 2, &mut Vec::new());
        assert_eq!(report(&mut core, 2, 14), []);
        assert_eq!(core.reports(), (1, 2));
        let pull = Message::Pull { after: at(15) };
        let asked = [RecoveringAction::Send { link: LinkId(3), message: pull }];
        assert_eq!(report(&mut core, 3, 18), asked);
        let append = |prev| {
            Message::Append(Append {
                prev: at(prev),
                commit: Lsn(0),
                clock: Hlc(0),
                flush: false,
                runs: b"-",
            })
        };
        let run = |first, count| RunHead { epoch: Epoch(2), first: Lsn(first), count };
        let taken = say(&mut core, 3, 2, &append(15), &[run(16, 3)]);
        assert_eq!(taken, [RecoveringAction::Append { last: Lsn(18) }]);
        let done = say(&mut core, 3, 2, &Message::Pulled { end: at(18) }, &[]);
        assert_eq!(done, [lead(3), restart(2), restart(3)]);
    }

    #[test]
    fn records_that_do_not_follow_the_own_end_are_not_taken() {
        let mut core = start(Acks::Sync, 2, &mut Vec::new());
        report(&mut core, 2, 18);
        let append =
            Append { prev: at(16), commit: Lsn(0), clock: Hlc(0), flush: false, runs: b"-" };
        let run = RunHead { epoch: Epoch(2), first: Lsn(17), count: 2 };
        let answer = say(&mut core, 2, 2, &Message::Append(append), &[run]);
        assert_eq!(answer, [RecoveringAction::Close { link: LinkId(2) }]);
        assert_eq!(core.end(), at(15));
    }

    #[test]
    fn a_source_that_goes_away_is_replaced_by_the_next_report() {
        let mut core = start(Acks::Sync, 2, &mut Vec::new());
        report(&mut core, 2, 18);
        core.on_link_down(2, LinkId(2), &mut Vec::new());
        let pull = Message::Pull { after: at(15) };
        let asked = [RecoveringAction::Send { link: LinkId(3), message: pull }];
        assert_eq!(report(&mut core, 3, 17), asked);
    }

    #[test]
    fn with_async_all_are_waited_for_but_not_for_ever() {
        let mut core = start(Acks::Async, 2, &mut Vec::new());
        assert_eq!(report(&mut core, 2, 12), []);
        let mut out = Vec::new();
        while out.is_empty() || !out.contains(&lead(3)) {
            let now_ms = core.deadline().expect("it waits for a limited time");
            assert!(now_ms <= 10_000);
            say(&mut core, 2, 2, &Message::Probe { id: 1 }, &[]);
            core.links.values_mut().for_each(|waiting| waiting.heard_at_ms = now_ms);
            core.on_timeout(now_ms, &mut out);
        }
    }

    #[test]
    fn a_member_that_knows_a_newer_epoch_ends_the_recovery_until_a_person_says_otherwise() {
        let mut core = start(Acks::Sync, 2, &mut Vec::new());
        core.on_link(1, LinkId(2), NodeId(2), &mut Vec::new());
        let newer = EpochEntry { epoch: Epoch(4), leader: NodeId(2), first_lsn: Lsn(14) };
        let mut entries = table().entries().to_vec();
        entries.push(newer);
        let end = Position { epoch: Epoch(4), lsn: Lsn(16) };
        let answer = say(&mut core, 2, 4, &follow(end, &entries), &[]);
        assert_eq!(answer, [RecoveringAction::StepDown { epoch: Epoch(4) }]);
        let mut out = Vec::new();
        core.force(&mut out);
        assert_eq!(out, [lead(5)]);
    }

    #[test]
    fn who_is_no_member_has_to_wait() {
        let mut core = start(Acks::Sync, 1, &mut Vec::new());
        core.on_link(1, LinkId(9), NodeId(9), &mut Vec::new());
        let answer = say(&mut core, 9, 2, &follow(at(15), table().entries()), &[]);
        assert!(matches!(answer[0], RecoveringAction::Send { message: Message::Refuse(_), .. }));
        assert_eq!(answer[1], RecoveringAction::Close { link: LinkId(9) });
    }
}
