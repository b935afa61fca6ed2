//! Where foca leaves what it wants done: datagrams, timers, and whom it changed its mind about.
//!
//! Timers belong to us, which gives two rules that the protocol lacks (after Lifeguard, section IV):
//! a node that was late itself blames nobody, and one that others suspect gives its peers more time.

use std::collections::BTreeMap;
use std::time::Duration;

use foca::{Notification, Timer};
use trefoil_clock::NodeId;

use super::identity::Identity;

/// Each step stretches probes by one more of their normal length.
const STRAIN_MAX: u64 = 3;

/// A suspicion that a probe of our own has raised.
pub(super) struct Suspicion {
    pub(super) whom: Identity,
    pub(super) incarnation: u16,
    pub(super) timeout_ms: u64,
}

/// Whether there is anybody to talk to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    Up,
    Cut,
}

/// What foca has asked for since the last look.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) now_ms: u64,
    /// By due time, then by order of asking.
    timers: BTreeMap<(u64, u64), Timer<Identity>>,
    asked: u64,
    /// How much this node distrusts itself, 0 to [`STRAIN_MAX`].
    strain: u64,
    pub(super) sends: Vec<(Identity, Vec<u8>)>,
    /// Nodes whose state may have changed.
    pub(super) touched: Vec<NodeId>,
    pub(super) suspicions: Vec<Suspicion>,
    pub(super) link: Option<Link>,
    pub(super) renewed: bool,
}

impl Effects {
    /// When the first timer is due.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.timers.first_key_value().map(|((due_ms, _), _)| *due_ms)
    }

    /// Takes a timer that is due.
    pub(super) fn pop_due(&mut self) -> Option<Timer<Identity>> {
        let first = self.timers.first_entry()?;
        (first.key().0 <= self.now_ms).then(|| first.remove())
    }

    /// Puts all timers off by as much as the first one is late, if that is more than `slack_ms`: the
    /// answers we waited for may lie unread in our own socket.
    pub(super) fn forgive_lateness(&mut self, slack_ms: u64) {
        let late_ms = self.deadline().map_or(0, |due_ms| self.now_ms.saturating_sub(due_ms));
        if late_ms > slack_ms {
            let put_off = |((due_ms, asked), timer)| ((due_ms + late_ms, asked), timer);
            self.timers = std::mem::take(&mut self.timers).into_iter().map(put_off).collect();
            self.strain();
        }
    }

    /// We may be slow ourselves.
    pub(super) fn strain(&mut self) {
        self.strain = (self.strain + 1).min(STRAIN_MAX);
    }

    /// A probe of ours was answered in time.
    pub(super) fn relax(&mut self) {
        self.strain = self.strain.saturating_sub(1);
    }

    /// Nothing is left to carry out.
    pub(super) fn is_settled(&self) -> bool {
        self.sends.is_empty() && self.touched.is_empty() && self.link.is_none() && !self.renewed
    }
}

impl foca::Runtime<Identity> for Effects {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            Notification::MemberUp(who)
            | Notification::MemberDown(who)
            | Notification::Rename(_, who) => self.touched.push(who.id),
            Notification::Active => self.link = Some(Link::Up),
            Notification::Idle | Notification::Defunct => self.link = Some(Link::Cut),
            Notification::Rejoin(_) => self.renewed = true,
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.sends.push((to, data.to_vec()));
    }

    fn submit_after(&mut self, timer: Timer<Identity>, after: Duration) {
        let mut after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        match &timer {
            Timer::ProbeRandomMember(_) | Timer::SendIndirectProbe { .. } => {
                after_ms *= 1 + self.strain;
            }
            Timer::ChangeSuspectToDown { member_id, incarnation, .. } => {
                after_ms *= 1 + self.strain;
                self.touched.push(member_id.id);
                self.suspicions.push(Suspicion {
                    whom: *member_id,
                    incarnation: *incarnation,
                    timeout_ms: after_ms,
                });
            }
            _ => {}
        }
        self.asked += 1;
        self.timers.insert((self.now_ms.saturating_add(after_ms), self.asked), timer);
    }
}

#[cfg(test)]
mod tests {
    use foca::Runtime;

    use super::*;

    fn with_a_probe_at_500() -> Effects {
        let mut effects = Effects::default();
        effects.submit_after(Timer::ProbeRandomMember(1), Duration::from_millis(500));
        effects
    }

    #[test]
    fn a_timer_waits_for_its_time() {
        let mut effects = with_a_probe_at_500();
        effects.now_ms = 499;
        assert_eq!(effects.pop_due(), None);
        effects.now_ms = 500;
        assert_eq!(effects.pop_due(), Some(Timer::ProbeRandomMember(1)));
    }

    #[test]
    fn who_slept_through_its_timers_waits_anew() {
        let mut effects = with_a_probe_at_500();
        effects.submit_after(Timer::PeriodicGossip(1), Duration::from_millis(600));
        effects.now_ms = 10_000;
        effects.forgive_lateness(100);
        assert_eq!(effects.pop_due(), Some(Timer::ProbeRandomMember(1)));
        assert_eq!(effects.pop_due(), None, "the rest keeps its distance");
        assert_eq!(effects.deadline(), Some(10_100));
    }

    #[test]
    fn a_node_under_suspicion_gives_others_more_time() {
        let mut effects = with_a_probe_at_500();
        for _ in 0..9 {
            effects.strain();
        }
        effects.submit_after(Timer::ProbeRandomMember(2), Duration::from_millis(500));
        effects.now_ms = 500;
        assert!(effects.pop_due().is_some());
        assert_eq!(effects.deadline(), Some(2_000));
    }
}
