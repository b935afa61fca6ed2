//! The client's end of RESP: encodes commands, decodes replies.
//!
//! For tests, the load generator and tools; the server does not use it. Commands are always arrays
//! of bulk strings. Replies may be RESP2 or RESP3, streamed types (`$?`) excepted: Redis sends none.

mod encode;
mod head;
mod skip;
mod value;

pub use encode::encode_command;
pub use head::{ReplyError, ReplyKind};
pub use skip::reply_len;
pub use value::{DEPTH_MAX, Value, decode};
