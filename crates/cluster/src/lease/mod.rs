//! The lease under which a leader answers its clients (rule 11), on both of its ends.
//!
//! A leader asks all voters, again and again, whether it may go on; a voter says yes unless a
//! revocation of that epoch is in its log, committed or not. So an answer that a majority gave to a
//! question means: no revocation was committed before the question was sent, and none becomes known as
//! committed earlier than that. Whoever wants the next epoch waits for a lease's length from when it
//! learned of the commit, on its own clock. The leader counts from when it sent the question, on its own
//! clock. No clock is compared with another; two only have to run at about the same pace.
//!
//! Majorities of which voters? A question names them, and only a voter whose newest configuration has
//! the same ones answers. A later configuration is committed by a majority that meets every majority of
//! the one before it, in a voter that does not answer any more.
//!
//! Nothing here is written down: a leader that starts again has no lease until it has asked.

mod holder;
mod voter;

pub(crate) use holder::Holder;
pub(crate) use voter::{Known, Voter};

#[cfg(test)]
mod tests;
