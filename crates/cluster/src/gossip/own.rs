//! This node's own record and lives: publishing, coming back after being declared dead, farewell.

use super::identity::{Generation, Identity};
use super::packet::Packet;
use super::record::{Metadata, NodeRecord, Presence, RecordTooBig};
use super::{Action, Event, Gossip, Message, Options, State};
use trefoil_clock::NodeId;

/// News of one node follow each other no faster.
const NEWS_INTERVAL_MS: u64 = 200;

/// A node takes on lives no faster: two that claim to be the same one must not race.
const LIVES_INTERVAL_MS: u64 = 1_000;

/// Another node of the same id is reported no more often.
const REPORTS_INTERVAL_MS: u64 = 10_000;

/// How often a farewell is told to a few members.
const FAREWELLS: usize = 3;

/// What this node says about itself.
pub(super) struct Own {
    /// As it was published last.
    record: NodeRecord,
    /// As it is.
    draft: Metadata,
    published_at_ms: u64,
    publish_at_ms: Option<u64>,
    renewed_at_ms: Option<u64>,
    reported_at_ms: Option<u64>,
}

impl Own {
    pub(super) fn new(record: NodeRecord, now_ms: u64) -> Result<Own, RecordTooBig> {
        with_longest_numbers(&record, record.metadata.clone())?;
        let draft = record.metadata.clone();
        Ok(Own {
            record,
            draft,
            published_at_ms: now_ms,
            publish_at_ms: None,
            renewed_at_ms: None,
            reported_at_ms: None,
        })
    }

    pub(super) fn id(&self) -> NodeId {
        self.record.identity.id
    }

    pub(super) fn record(&self) -> &NodeRecord {
        &self.record
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.publish_at_ms
    }
}

/// A record that stays short enough, however long it counts.
fn with_longest_numbers(record: &NodeRecord, metadata: Metadata) -> Result<Vec<u8>, RecordTooBig> {
    let identity = Identity { generation: Generation(u64::MAX), ..record.identity };
    NodeRecord { identity, counter: u64::MAX, presence: Presence::Leaving, metadata }.encode()
}

impl Gossip {
    /// Says something else about this node. Numbers that always move (LSNs, load) are told at leisure,
    /// everything else within 200 ms.
    ///
    /// # Errors
    /// It is too much; what was said before stays.
    pub fn set_own(
        &mut self,
        now_ms: u64,
        metadata: Metadata,
        out: &mut Vec<Action>,
    ) -> Result<(), RecordTooBig> {
        with_longest_numbers(&self.own.record, metadata.clone())?;
        if self.own.draft == metadata || self.has_left {
            return Ok(());
        }
        let gap_ms = match metadata.differs_in_numbers_only(&self.own.record.metadata) {
            true => Options::numbers_interval_ms(self.scale),
            false => NEWS_INTERVAL_MS,
        };
        self.own.draft = metadata;
        let due_ms = self.own.published_at_ms + gap_ms;
        self.own.publish_at_ms = Some(self.own.publish_at_ms.map_or(due_ms, |at| at.min(due_ms)));
        self.effects.now_ms = now_ms;
        self.publish_if_due(now_ms);
        self.settle(now_ms, out);
        Ok(())
    }

    pub(super) fn publish_if_due(&mut self, now_ms: u64) {
        if self.own.publish_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.publish(now_ms);
        }
    }

    /// Hands the record to foca for spreading.
    pub(super) fn publish(&mut self, now_ms: u64) {
        self.own.record.metadata = self.own.draft.clone();
        self.own.record.counter += 1;
        self.own.published_at_ms = now_ms;
        self.own.publish_at_ms = None;
        let bytes = self.own.record.encode().expect("it was measured with the longest numbers");
        self.foca.add_broadcast(&bytes).expect("a record is a valid broadcast");
    }

    /// Looks for news about ourselves: that we are dead, or that another life of ours was seen. True: the
    /// datagram is done with.
    pub(super) fn is_about_our_lives(
        &mut self,
        now_ms: u64,
        packet: &Packet<'_>,
        out: &mut Vec<Action>,
    ) -> bool {
        let own = *self.foca.identity();
        let seen = packet.members().filter(|seen| seen.id == own.id).copied();
        if let Some(newest) = seen.max_by_key(|seen| seen.generation)
            && self.meet_own_life(now_ms, newest, out)
        {
            return true;
        }
        let is_declared_down = (packet.header.message == Message::TurnUndead
            && packet.header.dst == own)
            || packet.updates.iter().any(|it| *it.id() == own && it.state() == State::Down);
        packet.header.src.id == own.id || (is_declared_down && !self.may_renew(now_ms))
    }

    fn may_renew(&self, now_ms: u64) -> bool {
        self.own.renewed_at_ms.is_none_or(|at_ms| at_ms + LIVES_INTERVAL_MS <= now_ms)
    }

    /// Goes on above another life of ours, if it is not an older one. Whether it was such a one.
    pub(super) fn meet_own_life(
        &mut self,
        now_ms: u64,
        seen: Identity,
        out: &mut Vec<Action>,
    ) -> bool {
        let own = *self.foca.identity();
        if seen == own || seen.generation < own.generation {
            return false;
        }
        let is_fresh =
            self.own.reported_at_ms.is_none_or(|at_ms| at_ms + REPORTS_INTERVAL_MS <= now_ms);
        if seen.address != own.address && is_fresh {
            self.own.reported_at_ms = Some(now_ms);
            out.push(Action::Event(Event::Impostor(seen)));
        }
        if !self.may_renew(now_ms) {
            return true;
        }
        if let Some(next) = own.after(seen.generation) {
            // It differs from the present one and encodes like it: it can't be refused.
            let _ = self.foca.change_identity(next, &mut self.effects);
            self.effects.renewed = true;
        }
        true
    }

    /// foca goes by another identity now.
    pub(super) fn after_renewal(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        self.own.renewed_at_ms = Some(now_ms);
        self.own.record.identity = *self.foca.identity();
        self.own.record.counter = 0;
        self.counters.renewed += 1;
        let generation = self.own.record.identity.generation;
        out.push(Action::Renewed { generation });
        self.publish(now_ms);
        self.is_connected = false;
        self.seeking.soon(now_ms);
        // A new identity begins unconnected; this makes it look at the members it has.
        let _ = self.foca.apply_many(std::iter::empty(), false, &mut self.effects);
    }

    /// Says farewell to a few members, who tell the others. Nothing is sent or taken from then on.
    pub fn leave(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        if self.has_left {
            return;
        }
        self.effects.now_ms = now_ms;
        self.own.record.presence = Presence::Leaving;
        self.publish(now_ms);
        // These only encode and send.
        let _ = self.foca.leave_cluster(&mut self.effects);
        for _ in 1..FAREWELLS {
            let _ = self.foca.gossip(&mut self.effects);
        }
        self.settle(now_ms, out);
        self.has_left = true;
    }
}
