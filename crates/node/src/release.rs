//! Which release this is, and which one of Redis clients may take it for.

/// What HELLO calls the server. Clients and tools know `redis`.
pub const SERVER: &str = "redis";

/// The release of Redis whose commands and replies ours follow; clients choose what they use by it.
pub const REDIS_VERSION: &str = "7.2.4";

/// Our own release.
pub const TREFOIL_VERSION: &str = env!("CARGO_PKG_VERSION");
