//! Anti-entropy: what spreading has missed, and what a newcomer has not heard, is fetched by comparison.
//!
//! Each so often a node pushes its own record to a random member and compares versions of a run of ids with
//! it. A newcomer holds nothing, so its run is the whole space: the answer comes in portions, and each portion
//! that brought news is followed by the question for the next.
//!
//! Also here: a suspect is told of the suspicion by whoever raised it (Lifeguard's buddy system).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use foca::Member;
use trefoil_clock::NodeId;

use super::identity::Identity;
use super::record::{NodeRecord, RecordVersion};
use super::wire::{self, Body, Content, DIGEST_ENTRIES_MAX, RECORDS_BYTES_MAX, Run};
use super::{Action, Gossip, MemberState, State};

/// Most datagrams in answer to one.
const PORTION_DATAGRAMS: usize = 8;

/// A suspect is told so often within the time it has.
const WARNINGS: u64 = 4;

pub(super) struct Syncing {
    at_ms: u64,
    /// Where the next run begins.
    cursor: NodeId,
    warnings: BTreeMap<NodeId, Warning>,
}

/// A suspect that we want to hear of it.
struct Warning {
    whom: Identity,
    incarnation: u16,
    next_ms: u64,
    gap_ms: u64,
    left: u64,
}

impl Syncing {
    pub(super) fn new(now_ms: u64) -> Syncing {
        Syncing { at_ms: now_ms, cursor: NodeId(0), warnings: BTreeMap::new() }
    }

    pub(super) fn soon(&mut self, now_ms: u64) {
        self.at_ms = now_ms;
    }

    pub(super) fn warning_deadline(&self) -> Option<u64> {
        self.warnings.values().map(|warning| warning.next_ms).min()
    }
}

impl Gossip {
    pub(super) fn sync_deadline(&self) -> Option<u64> {
        self.is_connected.then_some(self.syncing.at_ms)
    }

    pub(super) fn sync_if_due(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        if self.sync_deadline().is_none_or(|at_ms| now_ms < at_ms) {
            return;
        }
        self.syncing.at_ms = now_ms + self.options.sync_interval_ms;
        let members: Vec<SocketAddr> = self.roster.active().map(|member| member.address).collect();
        if members.is_empty() {
            return;
        }
        let to = members[self.random.below(members.len())];
        let own = vec![self.own.record().clone()];
        self.say(to, Body::Records { records: own, rest: None }, out);
        let (run, held) = self.digest(Run { first: self.syncing.cursor, ..Run::ALL });
        self.syncing.cursor = NodeId(run.last.0.wrapping_add(1));
        self.say(to, Body::Digest { run, held }, out);
    }

    pub(super) fn say(&self, to: SocketAddr, body: Body, out: &mut Vec<Action>) {
        out.push(Action::Send { to, datagram: wire::close(self.cluster, &Content::Ours(body)) });
    }

    /// Versions held in a run, which is cut where they no longer fit.
    pub(super) fn digest(&self, run: Run) -> (Run, Vec<(NodeId, RecordVersion)>) {
        let records = self.roster.active_records(run).take(DIGEST_ENTRIES_MAX);
        let held: Vec<_> = records.map(|it| (it.identity.id, it.version())).collect();
        match held.last() {
            Some((id, _)) if held.len() == DIGEST_ENTRIES_MAX => (Run { last: *id, ..run }, held),
            _ => (run, held),
        }
    }

    /// Answers with what is newer here, and asks for what is newer there.
    pub(super) fn on_digest(
        &self,
        from: SocketAddr,
        run: Run,
        held: &[(NodeId, RecordVersion)],
        out: &mut Vec<Action>,
    ) {
        let theirs: BTreeMap<NodeId, RecordVersion> = held.iter().copied().collect();
        let is_older = |record: &&NodeRecord| {
            theirs.get(&record.identity.id).is_none_or(|version| *version < record.version())
        };
        let own = self.own.id();
        let ourselves = Some(self.own.record()).filter(|_| (run.first..=run.last).contains(&own));
        let newer = ourselves.into_iter().chain(self.roster.active_records(run)).filter(is_older);
        self.send_records(from, newer, Some(run), out);
        let mut ids: Vec<NodeId> = theirs.keys().copied().collect();
        ids.retain(|id| *id != own && self.roster.version(*id) < theirs[id]);
        ids.truncate(DIGEST_ENTRIES_MAX);
        if !ids.is_empty() {
            self.say(from, Body::Want { ids }, out);
        }
    }

    /// Sends one portion. With a run, the last datagram says what of it was left out.
    fn send_records<'a>(
        &'a self,
        to: SocketAddr,
        records: impl Iterator<Item = &'a NodeRecord>,
        run: Option<Run>,
        out: &mut Vec<Action>,
    ) {
        let mut portion: Vec<Vec<NodeRecord>> = Vec::new();
        let mut room = 0;
        let mut rest = None;
        for record in records {
            // Whoever made it kept to the limit, or it would not have been taken.
            let Ok(bytes) = record.encode() else { continue };
            if room < bytes.len() {
                if portion.len() == PORTION_DATAGRAMS {
                    rest = run.map(|run| Run { first: record.identity.id, ..run });
                    break;
                }
                portion.push(Vec::new());
                room = RECORDS_BYTES_MAX;
            }
            room -= bytes.len();
            portion.last_mut().expect("there is room in one").push(record.clone());
        }
        let last = portion.len();
        for (at, records) in portion.into_iter().enumerate() {
            let rest = rest.filter(|_| at + 1 == last);
            self.say(to, Body::Records { records, rest }, out);
        }
    }

    pub(super) fn on_want(&self, from: SocketAddr, ids: &[NodeId], out: &mut Vec<Action>) {
        let asked = ids.iter().take(DIGEST_ENTRIES_MAX);
        let records = asked.filter_map(|id| self.roster.row(*id)?.record);
        self.send_records(from, records, None, out);
    }

    pub(super) fn on_records(
        &mut self,
        now_ms: u64,
        from: SocketAddr,
        records: Vec<NodeRecord>,
        rest: Option<Run>,
        out: &mut Vec<Action>,
    ) {
        let mut is_news = false;
        let is_portion = records.len() > 1 || rest.is_some();
        for record in records {
            if record.encode().is_ok() {
                is_news |= self.learn(now_ms, record, out);
            }
        }
        // Who was far behind may be still, and of a portion much may be lost: compare again soon.
        if is_news && is_portion {
            let soon_ms = now_ms + self.options.gossip_interval_ms;
            self.syncing.at_ms = self.syncing.at_ms.min(soon_ms);
        }
        // Only news lead on, so that two nodes never talk in circles.
        if let Some(run) = rest.filter(|_| is_news) {
            let (run, held) = self.digest(run);
            self.say(from, Body::Digest { run, held }, out);
        }
    }

    /// Notes the suspicions that our own probes have raised, and tells the suspects.
    pub(super) fn warn_new_suspects(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        for suspicion in std::mem::take(&mut self.effects.suspicions) {
            let warning = Warning {
                whom: suspicion.whom,
                incarnation: suspicion.incarnation,
                next_ms: now_ms,
                gap_ms: (suspicion.timeout_ms / WARNINGS).max(1),
                left: WARNINGS,
            };
            self.syncing.warnings.insert(suspicion.whom.id, warning);
        }
        self.warn_suspects_if_due(now_ms, out);
    }

    pub(super) fn warn_suspects_if_due(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        if self.syncing.warning_deadline().is_none_or(|at_ms| now_ms < at_ms) {
            return;
        }
        let mut warnings = std::mem::take(&mut self.syncing.warnings);
        warnings.retain(|id, warning| {
            let row = self.roster.row(*id);
            let is_suspect = row.is_some_and(|row| {
                row.identity == warning.whom && row.state == MemberState::Suspect
            });
            is_suspect && warning.left > 0
        });
        for warning in warnings.values_mut().filter(|warning| warning.next_ms <= now_ms) {
            warning.next_ms = now_ms + warning.gap_ms;
            warning.left -= 1;
            let by = self.own.record().identity;
            let (whom, incarnation) = (warning.whom, warning.incarnation);
            self.say(whom.address, Body::Suspected { by, whom, incarnation }, out);
        }
        self.syncing.warnings = warnings;
    }

    /// We are under suspicion: refute, to the one who asks first.
    pub(super) fn on_suspected(&mut self, by: Identity, whom: Identity, incarnation: u16) {
        if whom != *self.foca.identity() || !self.roster.is_active(&by) {
            return;
        }
        self.effects.strain();
        // Both only encode and send.
        let suspicion = Member::new(whom, incarnation, State::Suspect);
        let _ = self.foca.apply_many(std::iter::once(suspicion), true, &mut self.effects);
        let _ = self.foca.announce(by, &mut self.effects);
    }
}
