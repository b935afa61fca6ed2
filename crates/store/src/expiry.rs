//! Active expiry: deletes keys whose deadline has passed though nobody asks for them.
//!
//! A cursor walks the index of deadlines, a bucket at a time; each expired key is deleted by a
//! transaction of its own, so that a follower and a replay see when. How long a step may take is
//! the caller's decision: it calls again while the answers say that it is worth it. Where expired keys
//! are only hidden (on a follower, during a pause) there is nothing to do.

use crate::entry::Entry;
use crate::key::STRIPES;
use crate::keyspace::Keyspace;
use crate::record::codec::TABLES;
use crate::stripe::place_of;
use crate::txn::{Txn, Writer};

/// Where the walk stands. Every worker walks its own share of stripes.
#[derive(Clone, Copy, Default, Debug)]
pub struct ExpiryCursor {
    table: u8,
    stripe: u16,
    place: u64,
}

/// What a step found.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ExpiryStep {
    /// Keys with a deadline that were looked at.
    pub looked_at: usize,
    /// Keys that were deleted.
    pub deleted: usize,
    /// The walk came to the end and starts again.
    pub wrapped: bool,
}

/// Looks at one bucket of the index of deadlines and deletes what has expired in it. `share` and
/// `shares`: this walk visits every stripe whose number is `share` modulo `shares`.
pub fn expire_step(
    keyspace: &Keyspace,
    writer: &mut Writer,
    cursor: &mut ExpiryCursor,
    share: usize,
    shares: usize,
) -> ExpiryStep {
    let mut step = ExpiryStep::default();
    if writer.following_ms.is_some() || writer.hides_expired {
        step.wrapped = true;
        return step;
    }
    if !keyspace.has_table(cursor.table)
        || usize::from(cursor.stripe) % shares != share
        || keyspace.sum(|tally| tally.deadlines(cursor.table)) == 0
    {
        step.wrapped = cursor.skip(keyspace, share, shares);
        return step;
    }
    let mut expired: Vec<Vec<u8>> = Vec::new();
    let next = {
        let held = keyspace.hold(cursor.table, cursor.stripe);
        held.state().deadlines.visit_bucket(cursor.place, place_of(keyspace.hasher()), |pointer| {
            step.looked_at += 1;
            let entry = Entry::from_pointer(pointer);
            if entry.deadline().is_some_and(|deadline| deadline <= writer.now_ms) {
                expired.push(entry.key().to_vec());
            }
        })
    };
    for bytes in expired {
        let key = keyspace.key(&bytes);
        let mut txn = Txn::single_in_table(keyspace, writer, cursor.table, &key);
        // Meeting an expired key deletes it; it may have got a new life meanwhile.
        step.deleted += usize::from(txn.peek(&key).is_none());
        txn.commit();
    }
    match next {
        Some(place) => cursor.place = place,
        None => step.wrapped = cursor.next_stripe(shares, share),
    }
    step
}

impl ExpiryCursor {
    /// Skips a stripe that is not ours, or a table that has nothing to expire.
    fn skip(&mut self, keyspace: &Keyspace, share: usize, shares: usize) -> bool {
        let has_deadlines =
            keyspace.has_table(self.table) && keyspace.sum(|tally| tally.deadlines(self.table)) > 0;
        if has_deadlines {
            return self.next_stripe(shares, share);
        }
        self.next_table(share)
    }

    fn next_stripe(&mut self, shares: usize, share: usize) -> bool {
        let stripe = usize::from(self.stripe);
        let next = if stripe % shares == share { stripe + shares } else { stripe + 1 };
        self.place = 0;
        if next < STRIPES {
            self.stripe = next as u16;
            return false;
        }
        self.next_table(share)
    }

    fn next_table(&mut self, share: usize) -> bool {
        self.place = 0;
        self.stripe = share as u16;
        self.table = (self.table + 1) % TABLES;
        self.table == 0
    }
}
