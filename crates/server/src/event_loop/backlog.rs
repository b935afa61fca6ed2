//! Peers that are slow to read: when their requests wait, when they are closed.
//!
//! A peer that leaves replies unread first has its requests wait: from 1 MiB of replies on nothing
//! more is read or run for it. Some clients send a whole pipeline before they read the first reply;
//! those would wait for ever, so the bound doubles whenever a peer has taken nothing for a tick.
//! Whoever exceeds `client-output-buffer-limit` is closed.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use trefoil_node::clients::Mark;
use trefoil_node::session::{Restrictions, Session};
use trefoil_node::settings::Settings;

use super::connection::{CONGESTED_BYTES, Connection};

/// Replies that a peer may leave unread before it has authenticated: refusals, all of them.
const STRANGERS_BYTES: u64 = 64 << 10;

/// What is known of a peer that is slow to read.
pub(super) struct Backlog {
    /// What it had taken at the last tick, a position.
    taken: u64,
    /// Since when it has been above the soft limit, seconds of the worker's clock.
    soft_since_s: Option<u32>,
}

/// Why a slow peer is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Overrun {
    /// At once.
    Hard,
    /// It was above the soft limit for too long.
    Soft,
}

impl std::fmt::Display for Overrun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Overrun::Hard => "hard",
            Overrun::Soft => "soft",
        })
    }
}

/// Limits of `client-output-buffer-limit` for one class of clients; 0: none.
pub(super) struct OutputLimits {
    hard_bytes: u64,
    soft_bytes: u64,
    soft_s: u64,
}

impl OutputLimits {
    /// Those in force for a session.
    pub(super) fn of(session: &Session, settings: &Settings) -> OutputLimits {
        if session.restrictions.has(Restrictions::UNAUTHENTICATED) {
            return OutputLimits { hard_bytes: STRANGERS_BYTES, soft_bytes: 0, soft_s: 0 };
        }
        let class = if is_subscriber(session) { 2 } else { 0 };
        let value = |values: &[AtomicU64; 3]| values[class].load(Relaxed);
        OutputLimits {
            hard_bytes: value(&settings.output_hard_bytes),
            soft_bytes: value(&settings.output_soft_bytes),
            soft_s: value(&settings.output_soft_seconds),
        }
    }
}

/// Whether a connection gets messages without asking each time.
pub(super) fn is_subscriber(session: &Session) -> bool {
    session.record.is_marked(Mark::PUBSUB)
}

impl Connection {
    /// Looks at what is left after writing. Why it has to be closed, if it has.
    pub(super) fn on_pending(&mut self, limits: &OutputLimits, now_s: u32) -> Option<Overrun> {
        let pending = self.out.len() as u64;
        self.congested |= self.is_behind();
        if limits.hard_bytes != 0 && pending >= limits.hard_bytes {
            return Some(Overrun::Hard);
        }
        let above_soft = limits.soft_bytes != 0 && pending >= limits.soft_bytes;
        if self.backlog.is_none() && !self.congested && !above_soft {
            return None;
        }
        let taken = self.out.sent();
        let backlog =
            self.backlog.get_or_insert_with(|| Box::new(Backlog { taken, soft_since_s: None }));
        if !above_soft {
            backlog.soft_since_s = None;
            return None;
        }
        let since = *backlog.soft_since_s.get_or_insert(now_s);
        (u64::from(now_s.saturating_sub(since)) > limits.soft_s).then_some(Overrun::Soft)
    }

    /// A tick went by: a peer that takes nothing may send a little more. Whether there still is a
    /// backlog.
    pub(super) fn on_backlog_tick(&mut self) -> bool {
        self.session.record.output_bytes.store(self.out.len() as u64, Relaxed);
        if self.out.is_empty() {
            self.backlog = None;
            self.congested_from = CONGESTED_BYTES;
            return false;
        }
        let sent = self.out.sent();
        let blocked = self.is_write_blocked();
        let Some(backlog) = &mut self.backlog else { return false };
        if std::mem::replace(&mut backlog.taken, sent) == sent && blocked && self.congested {
            self.congested_from = self.congested_from.saturating_mul(2);
        }
        true
    }

    /// Whether it was congested and is not any more: what it sent meanwhile can be run.
    pub(super) fn relieve(&mut self) -> bool {
        if self.congested && !self.is_behind() {
            self.congested = false;
            return true;
        }
        false
    }
}
