//! Nodes that want to be members, and members that have started again.

use trefoil_clock::NodeId;

use super::{Controller, Decision, Purpose, Sight};
use crate::message::{Admission, Join, JoinRefused, Message};
use crate::state::{Command, MEMBERS_MAX};

impl Controller {
    /// Answered when it is agreed upon, and asked again until then.
    pub(crate) fn on_join(
        &mut self,
        from: NodeId,
        join: Join,
        sight: &Sight<'_>,
        out: &mut Vec<Decision>,
    ) {
        let Join { member, admission } = join;
        if member.node != from || self.joining.contains_key(&from) {
            return;
        }
        let known = sight.state.members.get(&from);
        let refused = match known {
            None if admission == Admission::Known => Some(JoinRefused::Removed),
            None if sight.state.members.len() >= MEMBERS_MAX => Some(JoinRefused::Full),
            Some(_) if admission == Admission::New && sight.config.is_voter(from) => {
                Some(JoinRefused::Voter)
            }
            Some(known) if known.generation > member.generation => Some(JoinRefused::OldGeneration),
            _ => None,
        };
        if let Some(why) = refused {
            tell(from, Message::JoinRefused(why), out);
            return;
        }
        if known == Some(&member) {
            if sight.config.members().any(|node| node == from) {
                tell(from, Message::Joined, out);
            }
        } else if known.is_some() || sight.may_admit {
            let command = Command::Join(member);
            out.push(Decision::Propose { command, purpose: Purpose::Joining(from) });
        }
    }
}

fn tell(to: NodeId, message: Message, out: &mut Vec<Decision>) {
    out.push(Decision::Tell { to, message });
}
