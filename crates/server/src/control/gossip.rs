//! The node's part in gossip. It begins when the node belongs to a cluster of several, ends with a farewell.
//!
//! Invariant: gossip decides nothing; whoever is agreed upon is introduced to it, nobody is removed by it.

use std::io;
use std::net::SocketAddr;

use trefoil_cluster::control::ControlView;
use trefoil_cluster::gossip::{
    Action, Event, Generation, Gossip, Identity, Metadata, NodeKind, NodeRecord, Options,
};
use trefoil_cluster::state::{Member, MemberKind};

use super::clock::uptime_ms;
use super::storage::Job;
use super::{ControlThread, OF_GOSSIP};

/// How often the node says how it is, and looks how the others are.
const TELL_MS: u64 = 1_000;

/// See the module.
pub(super) struct Gossiping {
    /// This node, as the others are told.
    own: Member,
    gossip: Option<Gossip>,
    tell_at_ms: u64,
    /// To be carried out.
    out: Vec<Action>,
}

impl Gossiping {
    pub(super) fn new(own: Member) -> Gossiping {
        Gossiping { own, gossip: None, tell_at_ms: 0, out: Vec::new() }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        let gossip = self.gossip.as_ref()?;
        Some(gossip.deadline().map_or(self.tell_at_ms, |at_ms| at_ms.min(self.tell_at_ms)))
    }

    pub(super) fn on_datagram(&mut self, now_ms: u64, from: SocketAddr, datagram: &[u8]) {
        if let Some(gossip) = &mut self.gossip {
            gossip.on_datagram(now_ms, from, datagram, &mut self.out);
        }
    }

    /// Takes the members that are agreed upon for alive, until they are found not to be.
    pub(super) fn meet(&mut self, now_ms: u64, view: &ControlView) {
        if self.gossip.is_none() {
            let options = Options { cluster: Some(view.state.cluster), ..Options::default() };
            let seed = rand::random();
            match Gossip::new(options, record(&self.own), seed, now_ms) {
                Ok(gossip) => self.gossip = Some(gossip),
                Err(error) => return eprintln!("trefoil: this node can't gossip: {error}"),
            }
        }
        let Some(gossip) = &mut self.gossip else { return };
        let is_strange = |member: &&Member| {
            member.node != self.own.node
                && gossip
                    .member(member.node)
                    .is_none_or(|row| row.identity.generation < Generation(member.generation))
        };
        let strangers: Vec<NodeRecord> =
            view.state.members.values().filter(is_strange).map(record).collect();
        if !strangers.is_empty() {
            gossip.introduce(now_ms, &strangers, &mut self.out);
        }
    }

    /// Says farewell, so that the others know it was no failure.
    pub(super) fn leave(&mut self, now_ms: u64) {
        if let Some(gossip) = &mut self.gossip {
            gossip.leave(now_ms, &mut self.out);
        }
    }
}

impl ControlThread {
    /// What gossip has to do now.
    pub(super) fn gossip_on(&mut self) -> io::Result<()> {
        let now_ms = uptime_ms();
        let Gossiping { own, gossip, tell_at_ms, out } = &mut self.gossiping;
        let Some(gossip) = gossip else { return Ok(()) };
        if gossip.deadline().is_some_and(|at_ms| at_ms <= now_ms) {
            gossip.on_timeout(now_ms, out);
        }
        if *tell_at_ms <= now_ms {
            *tell_at_ms = now_ms + TELL_MS;
            let raft_leader = self.node.agreement.view().and_then(|view| view.raft_leader);
            let about = self.node.about(own, raft_leader);
            if let Err(error) = gossip.set_own(now_ms, about, out) {
                eprintln!("trefoil: {error}");
            }
            self.node.agreement.membership.set_seen(gossip.members().map(Into::into).collect());
        }
        self.carry_out_gossip()
    }

    pub(super) fn carry_out_gossip(&mut self) -> io::Result<()> {
        for action in std::mem::take(&mut self.gossiping.out) {
            match action {
                Action::Send { to, datagram } => self.send(OF_GOSSIP, &datagram, to),
                Action::Renewed { generation } => self.keep(Job::Generation(generation.0))?,
                Action::Event(event) => say(event),
            }
        }
        Ok(())
    }
}

fn record(member: &Member) -> NodeRecord {
    let identity = Identity {
        id: member.node,
        generation: Generation(member.generation),
        address: member.addresses.peers,
    };
    let metadata = Metadata {
        region: member.place.region.clone(),
        zone: member.place.zone.clone(),
        kind: match member.kind {
            MemberKind::Data => NodeKind::Data,
            MemberKind::Witness => NodeKind::Witness,
        },
        ..Metadata::default()
    };
    NodeRecord::new(identity, metadata)
}

fn say(event: Event) {
    match event {
        Event::MemberDown(who) => eprintln!("trefoil: node {} is not heard any more", who.id),
        Event::MemberLeft(who) => eprintln!("trefoil: node {} said farewell", who.id),
        Event::Impostor(who) => eprintln!(
            "trefoil: another process at {} claims to be this node; was its data folder copied?",
            who.address
        ),
        Event::ClusterFound(_)
        | Event::MemberUp(_)
        | Event::MemberSuspect(_)
        | Event::MemberUpdated(_) => {}
    }
}
