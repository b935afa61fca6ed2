//! Who is there, who seems not to be, and what each says about itself: SWIM membership by foca.
//!
//! Gossip reports and decides nothing: who leads, votes or holds data is agreed upon elsewhere. After Das,
//! Gupta and Motivala, "SWIM" (2002), with two ideas of Dadgar, Phillips and Currey, "Lifeguard" (2018).
//! See docs/gossip.md for what it costs in time, docs/adr/0017-gossip-with-foca.md for why so.
//!
//! Invariants:
//! * A newer life of a node replaces an older one at once, and no older one comes back.
//! * Of records about a node the one with the highest (generation, counter) is kept.
//! * Members, records and datagrams are bounded, whatever comes in.
//! * Same seed and same calls: same actions.

mod action;
mod effects;
mod identity;
mod options;
mod own;
mod packet;
mod random;
mod record;
pub mod rehearsal;
mod roster;
mod seek;
mod sync;
mod wire;

use std::net::SocketAddr;

use foca::{Foca, Member, Message, PostcardCodec, State, Timer};
use trefoil_clock::{ClusterId, NodeId};

pub use action::{Action, Counters, Event, MemberRow, MemberState};
pub use identity::{Generation, Identity};
pub use options::Options;
pub use record::{
    DiskHealth, Load, Metadata, NodeKind, NodeRecord, Presence, RECORD_BYTES_MAX, RecordTooBig,
    RecordVersion, Seat, ShardClock,
};
pub use seek::SEEDS_MAX;
pub use wire::DATAGRAM_BYTES_MAX;

use effects::{Effects, Link};
use options::Scale;
use own::Own;
use packet::{News, Packet};
use random::SplitMix;
use roster::Roster;
use seek::Seeking;
use sync::Syncing;
use wire::{Body, Content};

/// Members and records are swept so often.
const SWEEP_INTERVAL_MS: u64 = 60_000;

/// The membership core of one node.
pub struct Gossip {
    options: Options,
    /// None while only a seed's address is known.
    cluster: Option<ClusterId>,
    foca: Foca<Identity, PostcardCodec, SplitMix, News>,
    effects: Effects,
    /// What the configuration of foca is made for.
    scale: Scale,
    roster: Roster,
    own: Own,
    seeking: Seeking,
    syncing: Syncing,
    random: SplitMix,
    /// There is a member to talk to.
    is_connected: bool,
    /// It said farewell and is silent from then on.
    has_left: bool,
    sweep_at_ms: u64,
    counters: Counters,
}

impl Gossip {
    /// A node alone. Its generation must be above that of all its starts before.
    ///
    /// # Errors
    /// It says too much about itself.
    pub fn new(
        options: Options,
        own: NodeRecord,
        seed: u64,
        now_ms: u64,
    ) -> Result<Gossip, RecordTooBig> {
        let mut random = SplitMix::new(seed);
        let for_foca = SplitMix::new(random.next());
        let scale = Scale::of(1);
        let config = options.foca(scale);
        let identity = own.identity;
        let mut gossip = Gossip {
            cluster: options.cluster,
            foca: Foca::with_custom_broadcast(identity, config, for_foca, PostcardCodec, News),
            effects: Effects::default(),
            scale,
            roster: Roster::new(options.members_max.saturating_sub(1)),
            own: Own::new(own, now_ms)?,
            seeking: Seeking::new(&mut random),
            syncing: Syncing::new(now_ms),
            random,
            is_connected: false,
            has_left: false,
            sweep_at_ms: now_ms + SWEEP_INTERVAL_MS,
            counters: Counters::default(),
            options,
        };
        gossip.publish(now_ms);
        Ok(gossip)
    }

    /// The members, this node not among them, by id.
    pub fn members(&self) -> impl Iterator<Item = MemberRow<'_>> {
        self.roster.rows()
    }

    /// One member.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<MemberRow<'_>> {
        self.roster.row(id)
    }

    /// What this node has published about itself.
    #[must_use]
    pub fn own(&self) -> &NodeRecord {
        self.own.record()
    }

    /// The cluster, once it is known.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// What happened so often.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes members for alive that are known from elsewhere (what was agreed upon, the last run), until
    /// probes say otherwise. Not told to others.
    pub fn introduce(&mut self, now_ms: u64, records: &[NodeRecord], out: &mut Vec<Action>) {
        self.effects.now_ms = now_ms;
        for record in records {
            self.learn(now_ms, record.clone(), out);
        }
        self.settle(now_ms, out);
    }

    /// A datagram came in, already unsealed.
    pub fn on_datagram(
        &mut self,
        now_ms: u64,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut Vec<Action>,
    ) {
        if self.has_left {
            return;
        }
        self.effects.now_ms = now_ms;
        self.counters.received += 1;
        let Some((cluster, content)) = wire::open(datagram) else {
            self.counters.malformed += 1;
            return;
        };
        if !self.is_for_us(cluster, &content) {
            self.counters.foreign += 1;
            return;
        }
        match content {
            Content::Swim(data) => self.on_swim(now_ms, data, out),
            Content::Ours(Body::Seek { nonce }) => self.on_seek(from, nonce, out),
            Content::Ours(Body::Here { nonce, identity }) => {
                self.on_here(cluster, nonce, identity, out);
            }
            Content::Ours(Body::Suspected { by, whom, incarnation }) => {
                self.on_suspected(by, whom, incarnation);
            }
            Content::Ours(Body::Digest { run, held }) => self.on_digest(from, run, &held, out),
            Content::Ours(Body::Want { ids }) => self.on_want(from, &ids, out),
            Content::Ours(Body::Records { records, rest }) => {
                self.on_records(now_ms, from, records, rest, out);
            }
        }
        self.settle(now_ms, out);
    }

    /// Who seeks may know no cluster yet, and then the answer tells it.
    fn is_for_us(&self, cluster: Option<ClusterId>, content: &Content<'_>) -> bool {
        match (content, self.cluster) {
            (Content::Ours(Body::Seek { .. }), Some(_)) if cluster.is_none() => true,
            (Content::Ours(Body::Here { .. }), None) => cluster.is_some(),
            (_, ours) => ours.is_some() && cluster == ours,
        }
    }

    fn on_swim(&mut self, now_ms: u64, data: &[u8], out: &mut Vec<Action>) {
        let Some(packet) = Packet::parse(data) else {
            self.counters.malformed += 1;
            return;
        };
        if self.is_about_our_lives(now_ms, &packet, out) {
            return;
        }
        let mut unknown: Vec<NodeId> = packet.members().map(|member| member.id).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown.retain(|id| *id != self.own.id() && !self.roster.knows(*id));
        if !self.make_room(unknown.len()) {
            self.counters.refused += 1;
            return;
        }
        let mut news = Vec::new();
        for bytes in &packet.records {
            let Some(record) = NodeRecord::decode(bytes) else {
                self.counters.malformed += 1;
                return;
            };
            if self.keep(now_ms, record, out) {
                news.push(*bytes);
            }
        }
        self.effects.touched.extend(packet.members().map(|member| member.id));
        // Errors concern this datagram only, which is worth no more than a lost one.
        if self.foca.handle_data(&packet.with_records(&news), &mut self.effects).is_err() {
            self.counters.malformed += 1;
        }
    }

    /// Keeps a record of another node. Says whether it was news.
    fn keep(&mut self, now_ms: u64, record: NodeRecord, out: &mut Vec<Action>) -> bool {
        let event = match record.identity.id == self.own.id() {
            true => None,
            false => self.roster.keep(now_ms, record),
        };
        out.extend(event.map(Action::Event));
        event.is_some()
    }

    /// Keeps a record, and takes the node for alive unless more is known. Says whether it was news.
    fn learn(&mut self, now_ms: u64, record: NodeRecord, out: &mut Vec<Action>) -> bool {
        let identity = record.identity;
        if identity.id == self.own.id() {
            self.meet_own_life(now_ms, identity, out);
            return false;
        }
        let is_known = self.roster.knows(identity.id);
        if !is_known && !self.make_room(1) {
            self.counters.refused += 1;
            return false;
        }
        let is_news = self.keep(now_ms, record, out);
        if !is_known || is_news {
            self.apply(Member::alive(identity));
            self.observe(now_ms, out);
        }
        is_news
    }

    /// Tells foca about a member, but not through it the others.
    fn apply(&mut self, member: Member<Identity>) {
        self.effects.touched.push(member.id().id);
        // Encoding plain data does not fail, and nothing else can.
        let _ = self.foca.apply_many(std::iter::once(member), false, &mut self.effects);
    }

    /// Forgets those who are gone for longest until so many more members fit.
    fn make_room(&mut self, wanted: usize) -> bool {
        while self.roster.room() < wanted {
            let Some(identity) = self.roster.longest_gone() else { return false };
            self.forget(identity);
        }
        true
    }

    fn forget(&mut self, identity: Identity) {
        // Removing a member has no way to fail.
        let _ = self.foca.handle_timer(Timer::RemoveDown(identity), &mut self.effects);
        self.roster.forget(identity.id);
    }

    /// One of the times has come.
    pub fn on_timeout(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        if self.has_left {
            return;
        }
        self.effects.now_ms = now_ms;
        self.effects.forgive_lateness(self.options.probe_timeout_ms);
        while let Some(timer) = self.effects.pop_due() {
            self.on_timer(timer);
            self.settle(now_ms, out);
        }
        if self.sweep_at_ms <= now_ms {
            self.sweep_at_ms = now_ms + SWEEP_INTERVAL_MS;
            if let Some(since_ms) = now_ms.checked_sub(self.options.forget_down_ms) {
                self.roster.gone_since(since_ms).into_iter().for_each(|who| self.forget(who));
            }
            self.roster.sweep();
        }
        self.publish_if_due(now_ms);
        self.seek_if_due(now_ms, out);
        self.sync_if_due(now_ms, out);
        self.warn_suspects_if_due(now_ms, out);
        self.settle(now_ms, out);
    }

    fn on_timer(&mut self, timer: Timer<Identity>) {
        if self.is_refuted(&timer) {
            return;
        }
        let ends_a_probe = matches!(timer, Timer::ProbeRandomMember(_));
        // It recovers by itself from what it calls errors here: timers that came late.
        let _ = self.foca.handle_timer(timer, &mut self.effects);
        match (ends_a_probe, self.effects.suspicions.is_empty()) {
            (true, true) => self.effects.relax(),
            (true, false) => self.counters.probes_failed += 1,
            (false, _) => {}
        }
    }

    /// Whether a suspect's time is over that has long spoken. foca would change nothing here, but tell it
    /// that it is dead all the same.
    fn is_refuted(&self, timer: &Timer<Identity>) -> bool {
        let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = timer else { return false };
        !self.foca.iter_membership_state().any(|member| {
            member.id() == member_id
                && member.incarnation() == *incarnation
                && member.state() == State::Suspect
        })
    }

    /// When to call [`Gossip::on_timeout`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if self.has_left {
            return None;
        }
        let times = [
            Some(self.sweep_at_ms),
            self.effects.deadline(),
            self.own.deadline(),
            self.seek_deadline(),
            self.sync_deadline(),
            self.syncing.warning_deadline(),
        ];
        times.into_iter().flatten().min()
    }

    /// Carries out what foca asked for, until nothing follows from it any more.
    fn settle(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        loop {
            self.observe(now_ms, out);
            for (to, data) in std::mem::take(&mut self.effects.sends) {
                // foca may remember our own earlier lives as members.
                if to.id != self.own.id() {
                    let datagram = wire::close(self.cluster, &Content::Swim(&data));
                    out.push(Action::Send { to: to.address, datagram });
                }
            }
            match self.effects.link.take() {
                Some(Link::Up) => self.on_link_up(now_ms),
                Some(Link::Cut) => self.on_link_cut(now_ms),
                None => {}
            }
            if std::mem::take(&mut self.effects.renewed) {
                self.after_renewal(now_ms, out);
            }
            if self.effects.is_settled() {
                break;
            }
        }
        self.warn_new_suspects(now_ms, out);
        self.rescale();
    }

    /// Looks at those members whose state may have changed.
    fn observe(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let mut touched = std::mem::take(&mut self.effects.touched);
        touched.sort_unstable();
        touched.dedup();
        if touched.is_empty() {
            return;
        }
        for member in self.foca.iter_membership_state() {
            let id = member.id().id;
            if id != self.own.id() && touched.binary_search(&id).is_ok() {
                out.extend(self.roster.observe(now_ms, member).map(Action::Event));
            }
        }
    }

    fn on_link_up(&mut self, now_ms: u64) {
        self.is_connected = true;
        self.syncing.soon(now_ms);
    }

    fn on_link_cut(&mut self, now_ms: u64) {
        self.is_connected = false;
        self.seeking.soon(now_ms);
    }

    /// Times and repetitions follow the size of the cluster.
    fn rescale(&mut self) {
        let scale = Scale::of(self.foca.num_members() + 1);
        if scale != self.scale {
            self.scale = scale;
            let config = self.options.foca(scale);
            self.foca.set_config(config).expect("probe times never change");
        }
    }

    /// Says what is true at all times.
    ///
    /// # Panics
    /// If it is not.
    pub fn validate(&self) {
        let others = |member: &&Member<Identity>| member.id().id != self.own.id();
        let known = self.foca.iter_membership_state().filter(others).count();
        assert_eq!(known, self.roster.rows().count(), "rows are the members that foca knows");
        assert!(known < self.options.members_max.max(1), "members are bounded");
        for member in self.foca.iter_membership_state().filter(others) {
            let row = self.roster.row(member.id().id).expect("each member has a row");
            assert_eq!(row.identity, *member.id(), "a row shows the life that foca knows");
            let gone = matches!(row.state, MemberState::Down | MemberState::Left);
            assert_eq!(gone, member.state() == State::Down, "a row shows the state foca knows");
        }
        assert_eq!(self.own.record().identity, *self.foca.identity(), "one own identity");
    }
}

#[cfg(test)]
mod tests;
