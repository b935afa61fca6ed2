//! How a command changes the state.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use trefoil_clock::{Epoch, NodeId, ShardId};

use super::{
    Command, ControlState, DEFAULT_KEYSPACE, Granted, KeyspacePolicy, MEMBERS_MAX, Member,
    MemberKind, NAME_BYTES_MAX, Origin, Shard, VOTERS_ALLOWED,
};

/// Why a command changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Error, Serialize, Deserialize)]
pub enum Refusal {
    /// It is founded once.
    #[error("the cluster exists already")]
    Founded,
    /// It is not founded.
    #[error("there is no shard {0}")]
    NoShard(u32),
    /// The epoch is not the present one: somebody else was faster.
    #[error("epoch {given} is not the present one, {present}")]
    OtherEpoch {
        /// The command's.
        given: Epoch,
        /// The shard's.
        present: Epoch,
    },
    /// It was revoked.
    #[error("epoch {0} is revoked")]
    Revoked(Epoch),
    /// It was not revoked.
    #[error("epoch {0} is not revoked, so the next one can't be granted")]
    NotRevoked(Epoch),
    /// Nobody who lacks records may lead.
    #[error("node {0} is not electable")]
    NotElectable(NodeId),
    /// An electable set without the leader, or with strangers.
    #[error("node {0} can't be in the electable set")]
    BadElectable(NodeId),
    /// Who is electable is needed.
    #[error("node {0} is electable: it can't leave before it is not")]
    StillElectable(NodeId),
    /// Not a member.
    #[error("node {0} is no member")]
    NoMember(NodeId),
    /// An older start of the same node.
    #[error("node {node} has started again since: its generation is {present}, not {given}")]
    OldGeneration {
        /// Who.
        node: NodeId,
        /// The command's.
        given: u64,
        /// The member's.
        present: u64,
    },
    /// The electable set was changed since, or this was asked for before.
    #[error("change {given} of the electable set does not follow change {present}")]
    OldVersion {
        /// The command's.
        given: u64,
        /// The shard's.
        present: u64,
    },
    /// An even number of voters survives no more than the odd one below it.
    #[error("{0} voters: 1, 3, 5 or 7 are possible")]
    BadVoters(u8),
    /// Too many.
    #[error("a cluster has at most {MEMBERS_MAX} members")]
    TooManyMembers,
    /// Names have bounds.
    #[error("a name of {0} bytes: at most {NAME_BYTES_MAX} are allowed")]
    LongName(usize),
    /// There is no such keyspace.
    #[error("there is no keyspace {0}")]
    NoKeyspace(String),
    /// From the second member on nobody begins an epoch by itself.
    #[error("epochs are granted by the cluster")]
    Managed,
}

impl ControlState {
    /// Applies a command. Whether anything changed.
    ///
    /// # Errors
    /// The state is as it was.
    pub fn apply(&mut self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Found { member, shard, epoch, policy } => {
                if !self.members.is_empty() {
                    return Err(Refusal::Founded);
                }
                check_names(member)?;
                self.members.insert(member.node, member.clone());
                self.keyspaces.insert(DEFAULT_KEYSPACE.to_owned(), *policy);
                let founded = Shard::founded(*epoch, member.node, policy.acks.acks);
                self.shards.insert(*shard, founded);
                Ok(())
            }
            Command::Advance { shard, epoch } => self.advance(*shard, *epoch),
            Command::Join(member) => self.join(member),
            Command::Leave(node) => self.leave(*node),
            Command::SetPolicy { keyspace, policy } => {
                let known = self.keyspaces.get_mut(keyspace);
                *known.ok_or_else(|| Refusal::NoKeyspace(keyspace.clone()))? =
                    KeyspacePolicy { origin: Origin::Chosen, ..*policy };
                Ok(())
            }
            Command::Electable { shard, epoch, generation, version, electable, acks } => {
                let members = &self.members;
                let shard = granted(self.shards.get_mut(shard), *shard, *epoch)?;
                let present = members.get(&shard.leader).map_or(0, |leader| leader.generation);
                if *generation != present {
                    let (node, given) = (shard.leader, *generation);
                    return Err(Refusal::OldGeneration { node, given, present });
                }
                if *version != shard.version + 1 {
                    return Err(Refusal::OldVersion { given: *version, present: shard.version });
                }
                if !electable.contains(&shard.leader) {
                    return Err(Refusal::BadElectable(shard.leader));
                }
                if let Some(&stranger) = electable.iter().find(|node| !members.contains_key(node)) {
                    return Err(Refusal::BadElectable(stranger));
                }
                shard.electable.clone_from(electable);
                shard.acks = *acks;
                shard.version = *version;
                Ok(())
            }
            Command::Revoke { shard, epoch, reason: _ } => {
                granted(self.shards.get_mut(shard), *shard, *epoch)?.granted = Granted::Revoked;
                Ok(())
            }
            Command::SetVoters(voters) => {
                if !VOTERS_ALLOWED.contains(voters) {
                    return Err(Refusal::BadVoters(*voters));
                }
                self.voters = *voters;
                Ok(())
            }
            Command::Bar(node) => {
                if !self.members.contains_key(node) {
                    return Err(Refusal::NoMember(*node));
                }
                self.barred.insert(*node);
                Ok(())
            }
            Command::Unbar(node) => {
                self.barred.remove(node);
                Ok(())
            }
            Command::Grant { shard, epoch, leader } => self.grant(*shard, *epoch, *leader),
        }
    }

    fn advance(&mut self, shard: ShardId, epoch: Epoch) -> Result<(), Refusal> {
        if self.is_managed() {
            return Err(Refusal::Managed);
        }
        let shard = self.shards.get_mut(&shard).ok_or(Refusal::NoShard(shard.0))?;
        if epoch < shard.epoch {
            return Err(Refusal::OtherEpoch { given: epoch, present: shard.epoch });
        }
        if epoch > shard.epoch || shard.granted == Granted::Revoked {
            shard.grant(epoch, shard.leader);
        }
        Ok(())
    }

    fn join(&mut self, member: &Member) -> Result<(), Refusal> {
        check_names(member)?;
        match self.members.get(&member.node) {
            Some(known) if known.generation > member.generation => Err(Refusal::OldGeneration {
                node: member.node,
                given: member.generation,
                present: known.generation,
            }),
            None if self.members.len() >= MEMBERS_MAX => Err(Refusal::TooManyMembers),
            _ => {
                self.members.insert(member.node, member.clone());
                let holds_data = |member: &&Member| member.kind == MemberKind::Data;
                let data = self.members.values().filter(holds_data).count();
                self.keyspaces.values_mut().for_each(|policy| policy.on_members(data));
                Ok(())
            }
        }
    }

    fn leave(&mut self, node: NodeId) -> Result<(), Refusal> {
        if self.shards.values().any(|shard| shard.electable.contains(&node)) {
            return Err(Refusal::StillElectable(node));
        }
        self.barred.remove(&node);
        self.members.remove(&node).map(|_| ()).ok_or(Refusal::NoMember(node))
    }

    fn grant(&mut self, shard: ShardId, epoch: Epoch, leader: NodeId) -> Result<(), Refusal> {
        let shard = self.shards.get_mut(&shard).ok_or(Refusal::NoShard(shard.0))?;
        if epoch != shard.epoch.next() {
            return Err(Refusal::OtherEpoch { given: epoch, present: shard.epoch });
        }
        if shard.granted != Granted::Revoked {
            return Err(Refusal::NotRevoked(shard.epoch));
        }
        if !shard.electable.contains(&leader) {
            return Err(Refusal::NotElectable(leader));
        }
        shard.grant(epoch, leader);
        Ok(())
    }
}

/// The shard, if that epoch is in force.
fn granted(shard: Option<&mut Shard>, id: ShardId, epoch: Epoch) -> Result<&mut Shard, Refusal> {
    let shard = shard.ok_or(Refusal::NoShard(id.0))?;
    if shard.epoch != epoch {
        return Err(Refusal::OtherEpoch { given: epoch, present: shard.epoch });
    }
    if shard.granted == Granted::Revoked {
        return Err(Refusal::Revoked(epoch));
    }
    Ok(shard)
}

fn check_names(member: &Member) -> Result<(), Refusal> {
    let names = [&member.place.region, &member.place.zone, &member.addresses.client_host];
    // A host may be longer than a label: 253 bytes (RFC 1035), but nothing here needs that.
    match names.into_iter().map(String::len).find(|&bytes| bytes > NAME_BYTES_MAX * 4) {
        Some(bytes) => Err(Refusal::LongName(bytes)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
