//! What the peers thread is asked to do by commands and other threads.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use trefoil_clock::{ClusterId, NodeId};
use trefoil_cluster::state::{Directive, ResignReason};

use crate::agreement::Electable;

/// An order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// REPLICAOF: give this node's own history up and follow the leader whose clients use this address.
    Follow {
        /// Its host.
        host: String,
        /// Its port for clients.
        port: u16,
    },
    /// REPLICAOF NO ONE: lead, in a new epoch.
    Lead,
    /// REPLICATION FORGET: this node is not electable any more and nothing is kept for it.
    Forget(NodeId),
    /// The configuration of acknowledgements, limits or secrets has changed.
    Reconfigure,
    /// A snapshot was taken, or could not be.
    SnapshotEnded,
    /// Somebody waits for the answer of a probe that is sent after now.
    Probe,
    /// The cluster has agreed upon this.
    Agreed {
        /// Which cluster.
        cluster: ClusterId,
        /// What this node is to do.
        directive: Directive,
    },
    /// It is agreed who is electable.
    Published(Electable),
    /// Hand leadership over.
    HandOver {
        /// To whom.
        to: NodeId,
        /// Within this time, milliseconds; else this node leads on.
        within_ms: u64,
    },
    /// It is too late for that: this node leads on.
    LeadOn,
    /// Give leadership back, whoever takes it.
    StepDown(ResignReason),
}

/// Orders that wait for the peers thread. Bounded by what they are: a later one of the same kind takes
/// an earlier one's place.
#[derive(Default)]
pub struct Orders(Mutex<VecDeque<Order>>);

impl Orders {
    /// Adds an order. The caller wakes the peers thread.
    pub fn put(&self, order: Order) {
        let mut orders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same_kind = |other: &Order| match order {
            Order::Forget(_) => *other == order,
            _ => std::mem::discriminant(other) == std::mem::discriminant(&order),
        };
        orders.retain(|other| !same_kind(other));
        orders.push_back(order);
    }

    /// Takes the oldest order.
    pub fn take(&self) -> Option<Order> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_order_takes_the_place_of_an_earlier_one_of_its_kind() {
        let orders = Orders::default();
        for port in [1, 2] {
            orders.put(Order::Follow { host: "h".into(), port });
        }
        orders.put(Order::Forget(NodeId(1)));
        orders.put(Order::Forget(NodeId(2)));
        orders.put(Order::Forget(NodeId(1)));
        assert_eq!(orders.take(), Some(Order::Follow { host: "h".into(), port: 2 }));
        assert_eq!(orders.take(), Some(Order::Forget(NodeId(2))));
        assert_eq!(orders.take(), Some(Order::Forget(NodeId(1))));
        assert_eq!(orders.take(), None);
    }
}
