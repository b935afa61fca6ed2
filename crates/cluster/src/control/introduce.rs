//! A node makes itself known: to a cluster that is to take it in, or as a new start of a member.
//!
//! Said again and again until it is agreed upon. Who does not lead consensus says who does.

use std::net::SocketAddr;

use trefoil_clock::{ClusterId, NodeId};

use super::{Action, Control, Event};
use crate::message::{Admission, Join, JoinRefused, Message};

/// How soon it is said to somebody who was named.
const REDIRECT_MS: u64 = 20;
/// Who was refused asks that much more rarely.
const REFUSED_TIMES: u64 = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Introduction {
    /// Whom to ask to be taken in; none: this node belongs to a cluster.
    seeds: Option<Vec<SocketAddr>>,
    /// Somebody said that the raft leader is there.
    named: Option<SocketAddr>,
    next_ms: u64,
    /// Why it was refused last, so that people are told once.
    refused: Option<JoinRefused>,
}

impl Introduction {
    pub(super) fn new(now_ms: u64) -> Introduction {
        Introduction { seeds: None, named: None, next_ms: now_ms, refused: None }
    }

    pub(super) fn join(&mut self, now_ms: u64, seeds: Vec<SocketAddr>) {
        *self = Introduction { seeds: Some(seeds), ..Introduction::new(now_ms) };
    }

    pub(super) fn is_joining(&self) -> bool {
        self.seeds.is_some()
    }
}

impl Control {
    /// Whether this start of this node, where it is reached now, is agreed upon.
    pub(super) fn is_start_agreed(&self) -> bool {
        self.state.members.get(&self.own.node) == Some(&self.own)
    }

    /// When it is to be said again.
    pub(super) fn introduction_ms(&self) -> Option<u64> {
        let needed = self.introduction.is_joining() || !self.is_start_agreed();
        needed.then_some(self.introduction.next_ms)
    }

    pub(super) fn introduce(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        if self.introduction_ms().is_none_or(|at_ms| at_ms > now_ms) {
            return;
        }
        self.introduction.next_ms = now_ms.saturating_add(self.options.ask_ms);
        let joins = self.introduction.is_joining();
        let admission = if joins { Admission::New } else { Admission::Known };
        let message = || Message::Join(Join { member: self.own.clone(), admission });
        let message = message();
        if let Some(address) = self.introduction.named.take() {
            self.send_to(address, message, out);
        } else if let Some(seeds) = &self.introduction.seeds {
            for &address in seeds {
                self.send_to(address, message.clone(), out);
            }
        } else if let Some(leader) = self.raft.leader() {
            self.send(leader, message, out);
        } else {
            let own = self.own.node;
            let others = self.raft.config().voters.iter().copied().filter(|&node| node != own);
            for node in others.collect::<Vec<NodeId>>() {
                self.send(node, message.clone(), out);
            }
        }
    }

    /// Somebody else makes itself known.
    pub(super) fn on_join(
        &mut self,
        now_ms: u64,
        from: NodeId,
        address: Option<SocketAddr>,
        join: Join,
        out: &mut Vec<Action>,
    ) {
        if self.controller.is_some() {
            if let Some(address) = address {
                self.book.note_asking(from, address);
            }
            self.with_controller(now_ms, |controller, sight, decisions| {
                controller.on_join(from, join, sight, decisions);
            });
            return;
        }
        let leader = self.raft.leader().filter(|&leader| leader != self.own.node);
        if let Some(to) = address
            && let Some(there) = leader.and_then(|leader| self.address(leader))
        {
            self.send_to(to, Message::Redirect(there), out);
        }
    }

    /// The raft leader is there.
    pub(super) fn on_redirect(&mut self, now_ms: u64, there: SocketAddr) {
        if self.introduction_ms().is_some() {
            self.introduction.named = Some(there);
            self.introduction.next_ms = now_ms.saturating_add(REDIRECT_MS);
        }
    }

    /// This cluster has taken the node in.
    pub(super) fn on_joined(&mut self, cluster: ClusterId, out: &mut Vec<Action>) {
        if self.introduction.seeds.take().is_some() {
            self.become_nobody(cluster);
            out.push(Action::Admitted { cluster });
        }
    }

    pub(super) fn on_join_refused(&mut self, now_ms: u64, why: JoinRefused, out: &mut Vec<Action>) {
        if self.introduction_ms().is_none() {
            return;
        }
        let rarely_ms = self.options.ask_ms.saturating_mul(REFUSED_TIMES);
        self.introduction.next_ms = now_ms.saturating_add(rarely_ms);
        if self.introduction.refused.replace(why) != Some(why) {
            out.push(Action::Event(Event::JoinRefused(why)));
        }
    }
}
