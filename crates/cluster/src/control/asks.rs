//! What this node asks the raft leader: again until it is answered, or for long enough.

use std::collections::BTreeMap;

use trefoil_clock::Epoch;

use super::{Action, Control, Done, Request, RequestError, RequestId};
use crate::message::Message;

/// Who wants the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// The shell.
    Person,
    /// This node's wish for another electable set.
    Wish,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Asks {
    last: u64,
    open: BTreeMap<u64, Asked>,
}

#[derive(Debug)]
struct Asked {
    request: Request,
    origin: Origin,
    /// What the asker knew of.
    epoch: Epoch,
    next_ms: u64,
    until_ms: u64,
}

impl Asks {
    /// Somebody else leads consensus, who was not asked yet.
    pub(super) fn ask_at_once(&mut self, now_ms: u64) {
        self.open.values_mut().for_each(|asked| asked.next_ms = now_ms);
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.open.values().map(|asked| asked.next_ms.min(asked.until_ms)).min()
    }

    /// Nobody wants the answer any more.
    pub(super) fn withdraw(&mut self, seq: u64) {
        self.open.remove(&seq);
    }
}

impl Control {
    pub(super) fn ask(&mut self, now_ms: u64, request: Request, origin: Origin) -> RequestId {
        self.asks.last += 1;
        let seq = self.asks.last;
        let until_ms = now_ms.saturating_add(self.options.request_ms);
        let asked = Asked { request, origin, epoch: self.epoch(), next_ms: now_ms, until_ms };
        self.asks.open.insert(seq, asked);
        self.request_id(seq)
    }

    fn request_id(&self, seq: u64) -> RequestId {
        RequestId { node: self.own.node, generation: self.own.generation, seq }
    }

    /// Asks what is due to be asked, and gives up what took too long.
    pub(super) fn ask_again(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let over = |_: &u64, asked: &mut Asked| asked.until_ms <= now_ms;
        let over: Vec<(u64, Asked)> = self.asks.open.extract_if(.., over).collect();
        for (seq, asked) in over {
            self.conclude(now_ms, seq, asked.origin, Err(RequestError::Unanswered), out);
        }
        let leader = self.raft.leader();
        let next_ms = now_ms.saturating_add(self.options.ask_ms);
        let mut due = Vec::new();
        for (&seq, asked) in self.asks.open.iter_mut().filter(|(_, it)| it.next_ms <= now_ms) {
            asked.next_ms = next_ms;
            due.push((seq, asked.epoch, asked.request.clone()));
        }
        for (seq, epoch, request) in due {
            let id = self.request_id(seq);
            if let Some(leader) = leader {
                self.send(leader, Message::Ask { id, epoch, request }, out);
            }
        }
    }

    /// What came of a question.
    pub(super) fn on_answer(
        &mut self,
        now_ms: u64,
        id: RequestId,
        result: Result<Done, RequestError>,
        out: &mut Vec<Action>,
    ) {
        if id == self.request_id(id.seq)
            && let Some(asked) = self.asks.open.remove(&id.seq)
        {
            self.conclude(now_ms, id.seq, asked.origin, result, out);
        }
    }

    fn conclude(
        &mut self,
        now_ms: u64,
        seq: u64,
        origin: Origin,
        result: Result<Done, RequestError>,
        out: &mut Vec<Action>,
    ) {
        match origin {
            Origin::Person => {
                let id = self.request_id(seq);
                out.push(Action::Answer { id, result });
            }
            Origin::Wish => self.on_wish_answered(now_ms, seq, result.is_ok()),
        }
    }
}
