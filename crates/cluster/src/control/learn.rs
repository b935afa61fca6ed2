//! What is agreed upon is applied, and told to people; revocations are noticed as soon as they are in the
//! log.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_clock::{Epoch, NodeId, ShardId};

use super::{Action, Control, Event, snapshot};
use crate::raft::{Entry, Index, Payload, Snapshot, Start, Write};
use crate::state::{Command, Granted, Refusal, Shard};

/// Revocations of the shard that are in the log and not applied yet.
#[derive(Debug)]
pub(super) struct Revocations {
    shard: ShardId,
    at: BTreeMap<Index, Epoch>,
}

impl Revocations {
    /// Of a log as it is found.
    pub(super) fn new(shard: ShardId, start: &Start) -> Revocations {
        let mut revocations = Revocations { shard, at: BTreeMap::new() };
        start.entries.iter().for_each(|entry| revocations.note(entry));
        revocations
    }

    fn note(&mut self, entry: &Entry) {
        // What can't be read is dealt with when it is agreed upon.
        if let Payload::Command(bytes) = &entry.payload
            && let Ok(Command::Revoke { shard, epoch, .. }) = Command::decode(bytes)
            && shard == self.shard
        {
            self.at.insert(entry.index, epoch);
        }
    }

    /// The log changes so; it counts from now on, synced or not.
    pub(super) fn on_write(&mut self, write: &Write, applied: Index) {
        if let Some(from) = write.truncate_from {
            self.at.split_off(&from);
        }
        write.entries.iter().filter(|entry| entry.index > applied).for_each(|it| self.note(it));
    }

    fn on_applied(&mut self, applied: Index) {
        self.at = self.at.split_off(&applied.next());
    }

    /// The newest epoch that is revoked, or is about to be.
    pub(super) fn newest(&self, shard: Option<&Shard>) -> Option<Epoch> {
        let agreed = shard.filter(|shard| shard.granted == Granted::Revoked);
        self.at.values().copied().max().max(agreed.map(|shard| shard.epoch))
    }
}

impl Control {
    pub(super) fn on_commit(&mut self, now_ms: u64, entries: &[Entry], out: &mut Vec<Action>) {
        for entry in entries {
            let result = match &entry.payload {
                Payload::Blank | Payload::Config(_) => Ok(()),
                Payload::Command(bytes) => match Command::decode(bytes) {
                    Ok(command) => self.apply(now_ms, &command, out),
                    Err(_) => return self.become_mute(entry.index, out),
                },
            };
            self.applied = entry.index;
            if let Some(controller) = &mut self.controller {
                controller.on_applied(entry.index, &result, &mut self.decisions);
            }
        }
        self.revocations.on_applied(self.applied);
        self.informed = true;
        self.compact();
    }

    pub(super) fn on_install(&mut self, snapshot: &Snapshot, out: &mut Vec<Action>) {
        let Some(state) = snapshot::decode(&snapshot.data) else {
            return self.become_mute(snapshot.index, out);
        };
        self.state = state;
        self.applied = snapshot.index;
        self.revocations.on_applied(self.applied);
        self.informed = true;
    }

    fn apply(
        &mut self,
        now_ms: u64,
        command: &Command,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let leader = self.own_shard().map(|shard| shard.leader);
        let known = matches!(command, Command::Join(member)
            if self.state.members.contains_key(&member.node));
        self.state.apply(command)?;
        // What happened before this start is no news, and no sign of trouble now.
        if self.informed {
            if let Command::Revoke { reason, .. } = command {
                self.damping.on_revoked(now_ms, *reason, &self.options.controller);
            }
            let event = leader.and_then(|leader| event_of(command, leader, known));
            out.extend(event.map(Action::Event));
        }
        Ok(())
    }

    /// Who votes is another set than before.
    pub(super) fn tell_voters(&mut self, out: &mut Vec<Action>) {
        if !self.raft.is_config_committed() || self.told.voters == self.raft.config().voters {
            return;
        }
        let voters = self.raft.config().voters.clone();
        let before = std::mem::replace(&mut self.told.voters, voters);
        let now = &self.told.voters;
        let differs = |a: &BTreeSet<NodeId>, b: &BTreeSet<NodeId>| -> Vec<NodeId> {
            a.difference(b).copied().collect()
        };
        if !before.is_empty() && self.state.is_managed() {
            let added = differs(now, &before).into_iter().map(Event::VoterAdded);
            let removed = differs(&before, now).into_iter().map(Event::VoterRemoved);
            out.extend(added.chain(removed).map(Action::Event));
        }
    }

    /// Another release agreed upon something that this one can't read. What it means nobody here knows,
    /// so nothing is said any more: not to voters, not to a leader, not to this node's clients.
    fn become_mute(&mut self, at: Index, out: &mut Vec<Action>) {
        self.mute = true;
        self.controller = None;
        out.push(Action::Lease { until_ms: 0 });
        out.push(Action::Event(Event::Unreadable(at)));
    }
}

/// What a command that was applied means to people.
fn event_of(command: &Command, leader: NodeId, known: bool) -> Option<Event> {
    match *command {
        Command::Revoke { shard, epoch, reason } => {
            Some(Event::Revoked { shard, epoch, leader, reason })
        }
        Command::Grant { shard, epoch, leader: to } => {
            Some(Event::Granted { shard, epoch, from: leader, to })
        }
        Command::Join(ref member) if known => {
            Some(Event::MemberStarted { node: member.node, generation: member.generation })
        }
        Command::Join(ref member) => Some(Event::MemberJoined(member.node)),
        Command::Leave(node) => Some(Event::MemberLeft(node)),
        Command::Found { .. }
        | Command::Advance { .. }
        | Command::SetPolicy { .. }
        | Command::Electable { .. }
        | Command::SetVoters(_)
        | Command::Bar(_)
        | Command::Unbar(_) => None,
    }
}
