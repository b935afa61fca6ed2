//! Finds where a reply ends without building anything.

use super::head::{Head, ReplyError, ReplyKind, read_head, read_text};

/// Length and type of the reply at the start of `input`; `None` while it has not arrived whole.
/// One pass, whatever the nesting. An attribute in front counts into the length.
pub fn reply_len(input: &[u8]) -> Result<Option<(usize, ReplyKind)>, ReplyError> {
    let mut at = 0;
    loop {
        let Some((head, next)) = read_head(input, at)? else {
            return Ok(None);
        };
        let kind = match head {
            Head::Attribute(replies) => match skip(input, next, replies)? {
                Some(end) => {
                    at = end;
                    continue;
                }
                None => return Ok(None),
            },
            Head::Line(kind, _) => return Ok(Some((next, kind))),
            Head::Text(kind, _) | Head::Aggregate(kind, _) => kind,
        };
        return Ok(skip(input, at, 1)?.map(|end| (end, kind)));
    }
}

/// Where the `left` replies that begin at `at` end. What is nested is just more replies to come,
/// so no stack is needed.
fn skip(input: &[u8], mut at: usize, mut left: u64) -> Result<Option<usize>, ReplyError> {
    while left > 0 {
        let Some((head, next)) = read_head(input, at)? else {
            return Ok(None);
        };
        at = next;
        match head {
            Head::Line(..) => left -= 1,
            Head::Text(_, len) => match read_text(input, at, len)? {
                Some((_, next)) => {
                    at = next;
                    left -= 1;
                }
                None => return Ok(None),
            },
            Head::Aggregate(_, replies) => left = left.saturating_add(replies) - 1,
            Head::Attribute(replies) => left = left.saturating_add(replies),
        }
    }
    Ok(Some(at))
}
