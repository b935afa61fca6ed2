//! RESP, the protocol of Redis, versions 2 and 3.
//!
//! Requests come in through [`Parser`], replies go out through [`Reply`] into a [`ReplyBuf`].
//! [`client`] is the other end, for tests and tools.

pub mod client;
mod count;
mod double;
mod error;
mod inline;
mod limits;
mod parser;
mod reply;
mod reply_buf;

pub use double::format_double;
pub use error::ProtocolError;
pub use limits::{Limits, Trust};
pub use parser::{Parsed, Parser};
pub use reply::{Aggregate, Protocol, Reply};
pub use reply_buf::{ReplyBuf, SharedBytes};
