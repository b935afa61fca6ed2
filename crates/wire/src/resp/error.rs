//! What can be wrong with a request's framing, in Redis's words.

use std::fmt;

/// The stream of requests cannot be understood any more. The shell sends the text behind `ERR ` and
/// closes the connection: where the next frame begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number behind `*` is no number, or beyond the limit.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// More arguments than a client may send before it has authenticated.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// The number behind `$` is no number, negative or beyond the limit.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// A longer argument than a client may send before it has authenticated.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// An argument does not begin with `$` but with this byte.
    #[error("Protocol error: expected '$', got '{}'", Shown(*.0))]
    ExpectedBulk(u8),
    /// Behind a length or an argument there is no line end where there must be one.
    #[error("Protocol error: invalid CRLF in request")]
    InvalidLineEnd,
    /// The line that begins with `*` does not end.
    #[error("Protocol error: too big mbulk count string")]
    TooBigMultibulkCount,
    /// A line that begins with `$` does not end.
    #[error("Protocol error: too big bulk count string")]
    TooBigBulkCount,
    /// An inline command does not end.
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// An inline command has a quote that is not closed, or text right behind a closing one.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
}

/// A byte as it can stand in an error line: as itself, a line end as a blank (as Redis does), what
/// cannot be printed as an escape.
struct Shown(u8);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\r' | b'\n' => f.write_str(" "),
            byte @ b' '..=b'~' => write!(f, "{}", char::from(byte)),
            byte => write!(f, "{}", byte.escape_ascii()),
        }
    }
}
