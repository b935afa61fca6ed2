//! Terms: spans of time in which one leader led without a break. What may be lost is lost at their end.

use super::nodes::Nodes;
use std::sync::Arc;

use super::workload::Arena;

/// A span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) begun_us: u64,
    /// Just before the leader was killed; None: it leads to the end.
    pub(super) ended_us: Option<u64>,
    /// Another node led afterwards.
    pub(super) failed_over: bool,
}

/// All terms so far.
pub(super) struct Terms {
    arena: Arc<Arena>,
    pub(super) list: Vec<Term>,
}

impl Terms {
    /// The first one has begun.
    pub(super) fn new(arena: Arc<Arena>) -> Terms {
        let first = Term { begun_us: arena.now_us(), ended_us: None, failed_over: false };
        Terms { arena, list: vec![first] }
    }

    /// The leader is about to be killed.
    pub(super) fn end(&mut self, nodes: &Nodes, failed_over: bool) {
        nodes.end_term();
        let last = self.list.last_mut().expect("there is a first term");
        last.ended_us = Some(self.arena.now_us());
        last.failed_over = failed_over;
    }

    /// A leader leads again.
    pub(super) fn begin(&mut self, nodes: &Nodes) {
        nodes.end_term();
        self.list.push(Term { begun_us: self.arena.now_us(), ended_us: None, failed_over: false });
    }
}
