//! After each event: everything that follows from it, until nothing does; then what changed is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use trefoil_clock::NodeId;

use super::{Action, Control, ControlView};
use crate::controller::Stage;
use crate::raft::{Config, Index, Term};
use crate::state::Directive;

/// An event that is not at rest after so many rounds goes on as the next one.
const ROUNDS_MAX: usize = 64;

/// What the shell was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    directive: Option<Directive>,
    lease_ms: u64,
    pub(super) voters: BTreeSet<NodeId>,
    view: Option<Seen>,
    view_ms: u64,
}

/// What makes a view worth publishing.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    index: Index,
    leader: Option<NodeId>,
    term: Term,
    config: Config,
    stage: Option<Stage>,
}

impl Control {
    pub(super) fn settle(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        for _ in 0..ROUNDS_MAX {
            if self.mute {
                return;
            }
            self.carry_out_wanted(now_ms, out);
            self.keep_controller(now_ms);
            let own = self.own.node;
            while let Some(message) = self.inbox.pop_front() {
                self.on_message(now_ms, own, message, out);
            }
            self.with_controller(now_ms, |controller, sight, decisions| {
                controller.step(sight, decisions);
            });
            self.carry_out_decisions(now_ms, out);
            self.do_what_is_due(now_ms, out);
            if !self.is_restless() {
                break;
            }
        }
        self.direct(out);
        self.tell_lease(out);
        self.tell_voters(out);
        self.publish(now_ms, out);
    }

    fn is_restless(&self) -> bool {
        !(self.wanted.is_empty() && self.inbox.is_empty() && self.decisions.is_empty())
    }

    fn do_what_is_due(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        self.introduce(now_ms, out);
        self.say_advance(now_ms);
        self.give_handover_up(now_ms, out);
        self.pursue_wish(now_ms, out);
        self.ask_again(now_ms, out);
        self.lead(now_ms, out);
        self.tell_heard(now_ms, out);
        self.tell_standing(now_ms, out);
    }

    /// When [`Control::on_timeout`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if self.mute {
            return None;
        }
        if self.is_restless() {
            return Some(0);
        }
        let controller = self.controller.as_ref().and_then(|controller| controller.deadline());
        let is_managed = self.state.is_managed();
        let times = [
            self.raft.deadline(),
            controller,
            self.introduction_ms(),
            self.handing_ms(),
            self.wish_ms(),
            self.asks.deadline(),
            self.leading_ms(),
            self.voting_ms(),
            self.reporting_ms(),
            is_managed.then_some(self.told.view_ms),
        ];
        times.into_iter().flatten().min()
    }

    /// Says what this node is to do, if that is news. That the electable set of its own epoch is another
    /// one a leader learns by [`Action::Electable`].
    fn direct(&mut self, out: &mut Vec<Action>) {
        let is_needed = self.state.is_managed() || self.told.directive.is_some();
        // What an earlier start reported is not counted any more once this one is agreed upon: before
        // that, nothing may change here.
        let known = self.state.members.get(&self.own.node);
        let is_awaited = known.is_some_and(|known| known.generation != self.own.generation);
        if !self.informed || !is_needed || is_awaited {
            return;
        }
        let directive = self.state.directive(self.shard, self.own.node);
        let is_known = match (&self.told.directive, &directive) {
            (Some(Directive::Lead { epoch: told, .. }), Directive::Lead { epoch, .. }) => {
                told == epoch
            }
            (told, directive) => told.as_ref().unwrap_or(&Directive::Nothing) == directive,
        };
        if !is_known {
            self.told.directive = Some(directive.clone());
            out.push(Action::Directive(directive));
        }
    }

    fn tell_lease(&mut self, out: &mut Vec<Action>) {
        let until_ms = self.holder.until_ms();
        if self.told.lease_ms != until_ms {
            self.told.lease_ms = until_ms;
            out.push(Action::Lease { until_ms });
        }
    }

    fn stage(&self) -> Option<Stage> {
        let stage = self.controller.as_ref().map_or(Stage::Learning, |it| it.stage());
        self.raft.is_leader().then_some(stage)
    }

    fn publish(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let config = self.raft.config();
        let is_same = self.told.view.as_ref().is_some_and(|seen| {
            seen.index == self.applied
                && seen.leader == self.raft.leader()
                && seen.term == self.raft.term()
                && seen.config == *config
                && seen.stage == self.stage()
        });
        if is_same && (!self.state.is_managed() || now_ms < self.told.view_ms) {
            return;
        }
        let seen = Seen {
            index: self.applied,
            leader: self.raft.leader(),
            term: self.raft.term(),
            config: config.clone(),
            stage: self.stage(),
        };
        let view = self.view(now_ms, &seen);
        self.told.view = Some(seen);
        self.told.view_ms = now_ms.saturating_add(self.options.view_ms);
        out.push(Action::Published(Arc::new(view)));
    }

    fn view(&self, now_ms: u64, seen: &Seen) -> ControlView {
        let silent = self
            .raft
            .progress()
            .into_iter()
            .filter_map(|row| Some((row.node, now_ms.saturating_sub(row.heard_ms?))));
        ControlView {
            own: self.own.node,
            shard: self.shard,
            state: self.state.clone(),
            raft_leader: seen.leader,
            term: seen.term,
            index: seen.index,
            voters: seen.config.voters.clone(),
            learners: seen.config.learners.clone(),
            silent_ms: silent.collect(),
            stage: seen.stage,
            damped_until_ms: self.damping.held_until_ms(now_ms),
            lease_until_ms: self.holder.until_ms(),
        }
    }
}
