//! A leader that did not stop cleanly: it learns what its members hold before it leads again (rule 2).
//!
//! It lost what it had not synced, its followers may hold that, and it may have been acknowledged. So
//! it hears enough of them to have met every set that can have acknowledged something (rule 9), pulls
//! what the best of them has and it lacks, and leads in a new epoch. It serves nothing meanwhile.
//!
//! Invariants:
//! * What is pulled follows the own end, in the own history.
//! * The new epoch is above every epoch that was heard of.

mod messages;

use std::collections::BTreeMap;

use trefoil_clock::{ClusterId, Epoch, EpochTable, Hlc, Lsn, NodeId, Position, ShardId};
use trefoil_wire::peer::{Fence, Heartbeat, Message};

use crate::{Acks, LinkId};

/// What a recovering leader begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveringOptions {
    /// This node.
    pub node: NodeId,
    /// Its history.
    pub cluster: ClusterId,
    /// The shard.
    pub shard: ShardId,
    /// The electable set, as persisted.
    pub members: Vec<NodeId>,
    /// The acknowledgements that commits needed.
    pub acks: Acks,
    /// With `async`: how long to wait for all members.
    pub async_wait_ms: u64,
    /// How often a heartbeat goes to each link.
    pub heartbeat_ms: u64,
    /// A link from which nothing came for so long is closed.
    pub link_timeout_ms: u64,
}

/// Something for the shell to do, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecoveringAction {
    /// Put a message on the link, fenced by [`Recovering::fence`].
    Send {
        /// Where.
        link: LinkId,
        /// What.
        message: Message<'static>,
    },
    /// Take the runs of the message that is being handled into log and store.
    Append {
        /// Their last record.
        last: Lsn,
    },
    /// Close the link.
    Close {
        /// Which.
        link: LinkId,
    },
    /// A member knows a newer epoch, or another leader of the own one: this node must not lead unless a
    /// person says so with [`Recovering::force`].
    StepDown {
        /// The newest epoch that was heard of.
        epoch: Epoch,
    },
    /// Everything that can have been committed is in the log: sync it, then lead in this epoch. Links stay
    /// up, a [`crate::Leader`] gets them with [`crate::Leader::on_link`]; their nodes ask again.
    Lead {
        /// Above all that were seen.
        epoch: Epoch,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Recovering {
    options: RecoveringOptions,
    end: Position,
    epochs: EpochTable,
    /// The newest epoch that was heard of, at least the own one.
    newest: Epoch,
    links: BTreeMap<LinkId, Waiting>,
    /// Where the tail comes from at present.
    pulling: Option<LinkId>,
    started_ms: u64,
    next_beat_ms: u64,
    stage: Stage,
}

/// A member that is attached.
#[derive(Debug)]
struct Waiting {
    node: NodeId,
    heard_at_ms: u64,
    /// The end of its log, once it reported.
    end: Option<Position>,
}

/// How it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Gathering,
    /// Somebody else led: only a person can go on.
    Superseded,
    /// The action to lead was given.
    Done,
}

impl Recovering {
    /// A recovering leader whose own log ends at `end`. Without members it leads at once, see `out`.
    #[must_use]
    pub fn new(
        options: RecoveringOptions,
        end: Position,
        epochs: EpochTable,
        now_ms: u64,
        out: &mut Vec<RecoveringAction>,
    ) -> Recovering {
        let newest = epochs.last().map(|entry| entry.epoch).unwrap_or_default();
        let mut recovering = Recovering {
            options,
            end,
            epochs,
            newest,
            links: BTreeMap::new(),
            pulling: None,
            started_ms: now_ms,
            next_beat_ms: now_ms,
            stage: Stage::Gathering,
        };
        recovering.proceed(now_ms, out);
        recovering
    }

    /// What stands in front of everything that this node says.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence {
            cluster: self.options.cluster,
            shard: self.options.shard,
            epoch: self.epochs.last().map(|entry| entry.epoch).unwrap_or_default(),
            sender: self.options.node,
        }
    }

    /// A link to a follower is up, after the greeting. An older one of the same node is closed.
    pub fn on_link(
        &mut self,
        now_ms: u64,
        link: LinkId,
        node: NodeId,
        out: &mut Vec<RecoveringAction>,
    ) {
        let old = self.links.iter().find(|(_, waiting)| waiting.node == node).map(|it| *it.0);
        if let Some(old) = old {
            self.close(now_ms, old, out);
        }
        self.links.insert(link, Waiting { node, heard_at_ms: now_ms, end: None });
    }

    /// A link is gone; what its node reported does not count any more.
    pub fn on_link_down(&mut self, now_ms: u64, link: LinkId, out: &mut Vec<RecoveringAction>) {
        self.links.remove(&link);
        if self.pulling == Some(link) {
            self.pulling = None;
            self.proceed(now_ms, out);
        }
    }

    /// A person says: lead with what is here.
    pub fn force(&mut self, out: &mut Vec<RecoveringAction>) {
        if self.stage != Stage::Done {
            self.lead(out);
        }
    }

    /// When [`Recovering::on_timeout`] is to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if self.stage != Stage::Gathering {
            return None;
        }
        let beat = (!self.links.is_empty()).then_some(self.next_beat_ms);
        let waits = self.waits_for_all() && self.pulling.is_none();
        let end_of_wait = self.started_ms.saturating_add(self.options.async_wait_ms);
        beat.into_iter().chain(waits.then_some(end_of_wait)).min()
    }

    /// Time has passed.
    pub fn on_timeout(&mut self, now_ms: u64, out: &mut Vec<RecoveringAction>) {
        if self.stage != Stage::Gathering {
            return;
        }
        let timeout_ms = self.options.link_timeout_ms;
        let silent = |it: &Waiting| now_ms.saturating_sub(it.heard_at_ms) >= timeout_ms;
        let closed: Vec<LinkId> =
            self.links.iter().filter(|(_, it)| silent(it)).map(|(&link, _)| link).collect();
        for link in closed {
            self.close(now_ms, link, out);
        }
        if now_ms >= self.next_beat_ms {
            self.next_beat_ms = now_ms + self.options.heartbeat_ms;
            for &link in self.links.keys() {
                out.push(RecoveringAction::Send { link, message: self.heartbeat() });
            }
        }
        self.proceed(now_ms, out);
    }

    /// Keeps followers from taking the link for dead; they do nothing with it before a welcome.
    fn heartbeat(&self) -> Message<'static> {
        let (commit, safe) = (Lsn::ZERO, Lsn::ZERO);
        Message::Heartbeat(Heartbeat { id: 0, end: self.end.lsn, commit, safe, clock: Hlc(0) })
    }

    /// Members that reported, and how many have to.
    #[must_use]
    pub fn reports(&self) -> (usize, usize) {
        let reported = self.links.values().filter(|waiting| waiting.end.is_some()).count();
        (reported, self.options.acks.reports_needed(self.options.members.len()))
    }

    /// Where the own log ends by now.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    fn waits_for_all(&self) -> bool {
        self.options.acks.needed(self.options.members.len()) == Some(0)
    }

    /// Pulls, leads, or goes on waiting.
    fn proceed(&mut self, now_ms: u64, out: &mut Vec<RecoveringAction>) {
        if self.stage != Stage::Gathering || self.pulling.is_some() {
            return;
        }
        let (reported, needed) = self.reports();
        let waited = now_ms.saturating_sub(self.started_ms) >= self.options.async_wait_ms;
        if reported < needed && !(self.waits_for_all() && waited) {
            return;
        }
        let ends = self.links.iter().filter_map(|(&link, it)| Some((it.end?, link)));
        match ends.max() {
            Some((end, link)) if end > self.end => {
                self.pulling = Some(link);
                let message = Message::Pull { after: self.end };
                out.push(RecoveringAction::Send { link, message });
            }
            _ => self.lead(out),
        }
    }

    fn lead(&mut self, out: &mut Vec<RecoveringAction>) {
        self.stage = Stage::Done;
        self.pulling = None;
        out.push(RecoveringAction::Lead { epoch: self.newest.next() });
        for (&link, waiting) in &self.links {
            if waiting.end.is_some() {
                out.push(RecoveringAction::Send { link, message: Message::Restart });
            }
        }
    }

    fn close(&mut self, now_ms: u64, link: LinkId, out: &mut Vec<RecoveringAction>) {
        out.push(RecoveringAction::Close { link });
        self.on_link_down(now_ms, link, out);
    }

    /// Panics if an invariant does not hold; for tests and simulations.
    pub fn validate(&self) {
        assert_eq!(self.epochs.position(self.end.lsn), self.end, "the end is of the history");
        let pulls_from = self.pulling.map(|link| self.links.get(&link).and_then(|it| it.end));
        assert!(pulls_from.is_none_or(|end| end.is_some()), "records are pulled from who reported");
        let own = self.epochs.last().map(|entry| entry.epoch).unwrap_or_default();
        assert!(self.newest >= own, "the newest epoch is at least the own one");
    }
}
