//! Alerts about followers that are too far behind.
//!
//! An alert is raised above a limit and ends at half of it, so that a follower that hovers around the
//! limit does not raise one a second. Each kind of lag has its own.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use trefoil_clock::{Lsn, NodeId};

use crate::node::Node;
use crate::pubsub::hub::Kind;

use super::follower::FollowerRow;

/// The lag that raises an alert; 0: none does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LagLimits {
    /// Records that are not applied.
    pub records: u64,
    /// Bytes of log that they are.
    pub bytes: u64,
    /// Age of what readers see, milliseconds.
    pub millis: u64,
}

/// What a follower has too much of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LagKind {
    /// Records.
    Records,
    /// Bytes of log.
    Bytes,
    /// Milliseconds.
    Millis,
}

impl LagKind {
    const ALL: [LagKind; 3] = [LagKind::Records, LagKind::Bytes, LagKind::Millis];

    /// The unit, as the parameters are called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LagKind::Records => "records",
            LagKind::Bytes => "bytes",
            LagKind::Millis => "ms",
        }
    }

    fn limit(self, limits: &LagLimits) -> u64 {
        match self {
            LagKind::Records => limits.records,
            LagKind::Bytes => limits.bytes,
            LagKind::Millis => limits.millis,
        }
    }

    /// A follower that is not attached shows what is at least as old as its silence.
    fn lag(self, row: &FollowerRow) -> u64 {
        match self {
            LagKind::Records => row.lag_records,
            LagKind::Bytes => row.lag_bytes,
            LagKind::Millis => {
                row.lag_ms.filter(|_| row.state.is_attached()).unwrap_or(row.silent_ms)
            }
        }
    }
}

/// An alert begins or ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LagEvent {
    /// Whose lag.
    pub follower: NodeId,
    /// Of what.
    pub kind: LagKind,
    /// Which of the two.
    pub change: LagChange,
    /// How much it is; 0 for a follower that is not there any more, `u64::MAX` if nobody knows.
    pub lag: u64,
    /// The limit in force.
    pub limit: u64,
}

/// See [`LagEvent`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LagChange {
    /// It is above the limit now.
    Raised,
    /// It is at half of the limit or below, or there is no limit any more, or no follower.
    Over,
}

impl LagEvent {
    /// The message on the channel.
    #[must_use]
    pub fn message(&self) -> String {
        let LagEvent { follower, kind, lag, limit, .. } = self;
        let change = match self.change {
            LagChange::Raised => "raised",
            LagChange::Over => "over",
        };
        let lag = if *lag == u64::MAX { "unknown".to_string() } else { lag.to_string() };
        format!("{change} follower={follower} kind={} lag={lag} limit={limit}", kind.name())
    }
}

/// The channel that tells of alerts.
pub const LAG_CHANNEL: &str = "__trefoil__:lag";

/// Which alerts are raised. The peers thread has one.
#[derive(Default)]
pub struct LagWatch {
    raised: BTreeSet<(NodeId, LagKind)>,
}

impl LagWatch {
    /// Compares the followers with the limits: marks in the rows who is lagging, and tells what changed
    /// since the last call.
    pub fn look(&mut self, rows: &mut [FollowerRow], limits: &LagLimits) -> Vec<LagEvent> {
        let mut events = Vec::new();
        for row in &mut *rows {
            row.is_lagging = false;
            for kind in LagKind::ALL {
                let (lag, limit, key) = (kind.lag(row), kind.limit(limits), (row.node, kind));
                let was = self.raised.contains(&key);
                let is = limit != 0 && (lag > limit || was && lag > limit / 2);
                row.is_lagging |= is;
                if is == was {
                    continue;
                }
                let change = if is { LagChange::Raised } else { LagChange::Over };
                let _changed = if is { self.raised.insert(key) } else { self.raised.remove(&key) };
                events.push(LagEvent { follower: row.node, kind, change, lag, limit });
            }
        }
        self.raised.retain(|&(follower, kind)| {
            let is_there = rows.iter().any(|row| row.node == follower);
            if !is_there {
                let (change, limit) = (LagChange::Over, kind.limit(limits));
                events.push(LagEvent { follower, kind, change, lag: 0, limit });
            }
            is_there
        });
        events
    }
}

impl Node {
    /// Tells people and programs of alerts: a line, the counter, the channel.
    pub fn announce_lag(&self, events: &[LagEvent]) {
        for event in events {
            let message = event.message();
            eprintln!("trefoil: lag alert {message}");
            if event.change == LagChange::Raised {
                self.replication.lag_alerts.fetch_add(1, Relaxed);
            }
            let message = (LAG_CHANNEL.as_bytes(), message.as_bytes());
            self.hub.publish(&*self.post, Kind::Plain, message, Lsn::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use trefoil_wire::resp::ReplyBuf;

    use super::*;
    use crate::harness::TestNode;
    use crate::mail::Mail;
    use crate::replication::testing::row;

    const LIMITS: LagLimits = LagLimits { records: 100, bytes: 0, millis: 1_000 };

    fn lag(records: u64) -> [FollowerRow; 1] {
        [FollowerRow { lag_records: records, lag_bytes: 1 << 40, ..row(7) }]
    }

    #[test]
    fn an_alert_begins_above_the_limit_and_ends_at_half_of_it() {
        let mut watch = LagWatch::default();
        let mut changes = Vec::new();
        for records in [100, 101, 99, 51, 50, 100, 101] {
            let mut rows = lag(records);
            let events = watch.look(&mut rows, &LIMITS);
            changes.push((events.first().map(|event| event.change), rows[0].is_lagging));
        }
        let (raised, over) = (Some(LagChange::Raised), Some(LagChange::Over));
        let expected = [
            (None, false),
            (raised, true),
            (None, true),
            (None, true),
            (over, false),
            (None, false),
            (raised, true),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn each_kind_of_lag_has_its_own_alert() {
        let mut watch = LagWatch::default();
        let mut rows = [FollowerRow { lag_ms: None, silent_ms: 2_000, lag_records: 200, ..row(7) }];
        let events = watch.look(&mut rows, &LIMITS);
        assert_eq!(
            events.iter().map(|e| e.kind).collect::<Vec<_>>(),
            [LagKind::Records, LagKind::Millis]
        );
        rows[0].lag_records = 0;
        let events = watch.look(&mut rows, &LIMITS);
        assert_eq!(events.iter().map(|e| e.kind).collect::<Vec<_>>(), [LagKind::Records]);
        assert!(rows[0].is_lagging);
        assert_eq!(watch.look(&mut rows, &LagLimits::default()).len(), 1);
        assert!(!rows[0].is_lagging);
    }

    #[test]
    fn a_follower_that_is_forgotten_ends_its_alert() {
        let mut watch = LagWatch::default();
        watch.look(&mut lag(200), &LIMITS);
        let events = watch.look(&mut [], &LIMITS);
        assert_eq!((events.len(), events[0].change), (1, LagChange::Over));
        assert_eq!(watch.look(&mut [], &LIMITS), []);
    }

    #[test]
    fn alerts_are_counted_and_published() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.run(&mut client, "SUBSCRIBE __trefoil__:lag");
        let events = LagWatch::default().look(&mut lag(200), &LIMITS);
        node.node.announce_lag(&events);
        let mail = node.mail();
        let [(0, Mail::Deliver(delivery))] = &mail[..] else { panic!("no message") };
        let mut out = ReplyBuf::new();
        assert!(delivery.write(&client.session, &mut out));
        let sent = String::from_utf8_lossy(out.next_slice(out.position()));
        let expected = format!("raised follower={} kind=records lag=200 limit=100", NodeId(7));
        assert!(sent.contains(&expected), "{sent}");
        assert_eq!(node.node.replication.lag_alerts.load(Relaxed), 1);
    }
}
