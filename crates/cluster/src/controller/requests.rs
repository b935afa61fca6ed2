//! What members ask for, each once: asked again it is answered again, not done again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use trefoil_clock::{Epoch, NodeId};

use super::{Controller, Decision, Purpose, Sight};
use crate::control::{Done, Request, RequestError, RequestId};
use crate::raft::{Config, Index};
use crate::state::{Command, Granted, Refusal, Shard};

/// Answers that are kept for those who did not get them.
const ANSWERS_MAX: usize = 256;

/// Requests that are under way, and answers.
#[derive(Debug, Default)]
pub(super) struct Desk {
    open: BTreeSet<RequestId>,
    /// Those that are done when an entry is agreed upon.
    waiting: BTreeMap<Index, RequestId>,
    answered: VecDeque<(RequestId, Result<Done, RequestError>)>,
}

impl Desk {
    pub(super) fn answer(
        &mut self,
        id: RequestId,
        result: Result<Done, RequestError>,
        out: &mut Vec<Decision>,
    ) {
        self.open.remove(&id);
        if self.answered.len() >= ANSWERS_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back((id, result.clone()));
        out.push(Decision::Answer { id, result });
    }

    /// Where the proposal that a request led to stands. None: it has to be asked again.
    pub(super) fn on_proposed(&mut self, id: RequestId, index: Option<Index>) {
        match index {
            Some(index) => {
                self.waiting.insert(index, id);
            }
            None => {
                self.open.remove(&id);
            }
        }
    }

    pub(super) fn on_applied(
        &mut self,
        index: Index,
        result: Result<(), RequestError>,
        out: &mut Vec<Decision>,
    ) {
        if let Some(id) = self.waiting.remove(&index) {
            self.answer(id, result.map(|()| Done::Agreed), out);
        }
    }
}

/// How a request goes on.
enum Next {
    Answer(Result<Done, RequestError>),
    Propose(Command),
    Reconfigure(Config),
    /// It is answered later.
    Wait,
    /// It is to be asked again.
    Forget,
}

impl Controller {
    pub(crate) fn on_ask(
        &mut self,
        id: RequestId,
        epoch: Epoch,
        request: Request,
        sight: &Sight<'_>,
        out: &mut Vec<Decision>,
    ) {
        if let Some((_, result)) = self.desk.answered.iter().find(|(known, _)| *known == id) {
            out.push(Decision::Answer { id, result: result.clone() });
            return;
        }
        if !self.desk.open.insert(id) {
            return;
        }
        match self.next(id, epoch, request, sight, out) {
            Next::Answer(result) => self.desk.answer(id, result, out),
            Next::Propose(command) => {
                out.push(Decision::Propose { command, purpose: Purpose::Asked(id) });
            }
            Next::Reconfigure(config) => {
                out.push(Decision::Reconfigure { config, asker: Some(id) });
            }
            Next::Wait => {}
            Next::Forget => {
                self.desk.open.remove(&id);
            }
        }
    }

    fn next(
        &mut self,
        id: RequestId,
        epoch: Epoch,
        request: Request,
        sight: &Sight<'_>,
        out: &mut Vec<Decision>,
    ) -> Next {
        match request {
            Request::Failover { to, force } => {
                let shard = sight.state.shards.get(&self.shard);
                if let Some(shard) =
                    shard.filter(|it| it.granted == Granted::Yes && it.epoch > epoch)
                {
                    let (node, epoch) = (shard.leader, shard.epoch);
                    return Next::Answer(Ok(Done::Leads { node, epoch }));
                }
                self.order_failover(sight, id, to, force).map_or(Next::Wait, Next::Answer)
            }
            Request::Plan => Next::Answer(
                self.plan(sight).map(|plan| Done::Plan(Box::new(plan))).ok_or(RequestError::Alone),
            ),
            Request::SetPolicy { keyspace, policy } => {
                Next::Propose(Command::SetPolicy { keyspace, policy })
            }
            Request::SetVoters(voters) => Next::Propose(Command::SetVoters(voters)),
            Request::AddVoter(node) => self.add_voter(sight, node),
            Request::RemoveVoter(node) => self.remove_voter(sight, node),
            Request::RemoveMember(node) => self.remove_member(id, sight, node, out),
            Request::Electable { epoch, version, electable, acks } => {
                let shard = self.shard;
                let done = sight.state.shards.get(&shard).is_some_and(|it| {
                    it.epoch == epoch
                        && it.version == version
                        && it.electable == electable
                        && it.acks == acks
                });
                if done {
                    return Next::Answer(Ok(Done::Unchanged));
                }
                let leads = |it: &Shard| it.leader == id.node;
                if !sight.state.shards.get(&shard).is_some_and(leads) {
                    return Next::Answer(Err(Refusal::BadElectable(id.node).into()));
                }
                let generation = id.generation;
                Next::Propose(Command::Electable {
                    shard,
                    epoch,
                    generation,
                    version,
                    electable,
                    acks,
                })
            }
        }
    }

    fn add_voter(&self, sight: &Sight<'_>, node: NodeId) -> Next {
        let refuse = |text: &str| Next::Answer(Err(RequestError::Members(text.to_owned())));
        let voters = sight.config.voters.len();
        if !sight.state.members.contains_key(&node) {
            return Next::Answer(Err(RequestError::NoMember(node)));
        }
        if sight.state.barred.contains(&node) {
            return Next::Propose(Command::Unbar(node));
        }
        if sight.config.is_voter(node) {
            return Next::Answer(Ok(Done::Unchanged));
        }
        if voters >= usize::from(sight.state.voters) {
            return refuse("there are as many voters as wanted: remove one, or want more");
        }
        if !voters.is_multiple_of(2) && self.candidates(sight).count() < 2 {
            return refuse("an even number of voters survives no more than the odd one below it");
        }
        let mut config = sight.config.clone();
        config.learners.remove(&node);
        config.voters.insert(node);
        Next::Reconfigure(config)
    }

    fn remove_voter(&self, sight: &Sight<'_>, node: NodeId) -> Next {
        if sight.state.barred.contains(&node) {
            return Next::Answer(Ok(Done::Unchanged));
        }
        if sight.config.is_voter(node) && !self.can_do_without(sight, node) {
            return Next::Answer(Err(RequestError::Quorum(node)));
        }
        Next::Propose(Command::Bar(node))
    }

    fn remove_member(
        &mut self,
        id: RequestId,
        sight: &Sight<'_>,
        node: NodeId,
        out: &mut Vec<Decision>,
    ) -> Next {
        if !sight.state.members.contains_key(&node) {
            return Next::Answer(Err(RequestError::NoMember(node)));
        }
        let is_needed = |shard: &Shard| shard.leader == node || shard.electable.contains(&node);
        if sight.state.shards.values().any(is_needed) {
            return Next::Answer(Err(RequestError::Needed(node)));
        }
        if sight.config.is_voter(node) && !self.can_do_without(sight, node) {
            return Next::Answer(Err(RequestError::Quorum(node)));
        }
        if node == self.own {
            return match self.successor(sight) {
                Some(to) => {
                    out.push(Decision::Transfer(to));
                    Next::Forget
                }
                None => Next::Answer(Err(RequestError::Quorum(node))),
            };
        }
        self.upkeep.leaving.insert(node, id);
        Next::Wait
    }
}
