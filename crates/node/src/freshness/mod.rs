//! How fresh a follower's answers are: what each session has seen, and what is done with a read.
//!
//! The leader keeps nothing of this, its answers are always the newest. A follower keeps a clock for
//! each session: the newest record that the session wrote or saw through this node. Connections that
//! share a name, or come from one host, share a session, because clients with a pool of connections
//! write on one and read on another.
//!
//! Invariants: a clock never goes back; an answer that came from the leader is shown to a client only
//! when the clock covers it; what a new connection reads first is not older than the connection.

mod clock;
mod errand;
mod probes;
mod put_off;
mod read;
mod session;
mod sessions;
mod view;

pub use clock::Clock;
pub use errand::Errand;
pub use probes::{ProbeState, ProbeTicket, Probes};
pub(crate) use read::Verdict;
pub use session::Freshness;
pub use sessions::Sessions;
pub(crate) use view::FollowerView;
