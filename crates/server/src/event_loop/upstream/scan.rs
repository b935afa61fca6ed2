//! Finds where replies end while they come in pieces, in constant memory: what is passed on need not
//! be kept, however long it is.

use memchr::memchr;

/// See the module.
#[derive(Debug)]
pub(super) struct ReplyScan {
    /// Replies to come until the one at hand is complete, nested ones included.
    left: u64,
    at: At,
    outcome: Option<Outcome>,
}

/// What the next byte is part of.
#[derive(Clone, Copy, Debug)]
enum At {
    Type,
    Length { kind: u8, value: u64, negative: bool },
    LengthEnd { kind: u8, value: u64, negative: bool },
    Line,
    LineEnd,
    Text { left: u64 },
}

/// What a reply was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Value,
    Null,
    Error,
}

/// No reply looks like that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

impl ReplyScan {
    pub(super) fn new() -> ReplyScan {
        ReplyScan { left: 1, at: At::Type, outcome: None }
    }

    /// Reads on. How many bytes belong to the reply at hand, and what it was if it ends there. Then
    /// the next reply begins.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Outcome>), Malformed> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            match self.at {
                At::Line => match memchr(b'\r', &bytes[used..]) {
                    Some(found) => {
                        used += found + 1;
                        self.at = At::LineEnd;
                    }
                    None => used = bytes.len(),
                },
                At::Text { left } => {
                    let here = left.min((bytes.len() - used) as u64);
                    used += here as usize;
                    self.at = At::Text { left: left - here };
                    if left == here {
                        self.end_one();
                    }
                }
                _ => {
                    used += 1;
                    self.step(byte)?;
                }
            }
            if self.left == 0 {
                let outcome = self.outcome.unwrap_or(Outcome::Value);
                *self = ReplyScan::new();
                return Ok((used, Some(outcome)));
            }
        }
        Ok((used, None))
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        match self.at {
            At::Type => return self.begin(byte),
            At::Length { kind, value, negative } => {
                self.at = match byte {
                    b'0'..=b'9' => {
                        let value = value * 10 + u64::from(byte - b'0');
                        if value > u64::from(u32::MAX) {
                            return Err(Malformed);
                        }
                        At::Length { kind, value, negative }
                    }
                    b'-' if value == 0 => At::Length { kind, value, negative: true },
                    b'\r' => At::LengthEnd { kind, value, negative },
                    _ => return Err(Malformed),
                };
            }
            At::LengthEnd { kind, value, negative } if byte == b'\n' => {
                self.on_length(kind, value, negative);
            }
            At::LineEnd if byte == b'\n' => self.end_one(),
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn begin(&mut self, kind: u8) -> Result<(), Malformed> {
        self.at = match kind {
            b'$' | b'=' | b'!' | b'*' | b'~' | b'%' | b'|' => {
                At::Length { kind, value: 0, negative: false }
            }
            b'+' | b'-' | b':' | b',' | b'#' | b'(' | b'_' => At::Line,
            // Nobody listens here, so nothing is pushed.
            _ => return Err(Malformed),
        };
        if self.outcome.is_none() && kind != b'|' {
            self.outcome = Some(match kind {
                b'-' | b'!' => Outcome::Error,
                b'_' => Outcome::Null,
                _ => Outcome::Value,
            });
        }
        Ok(())
    }

    fn on_length(&mut self, kind: u8, value: u64, negative: bool) {
        if negative {
            if self.left == 1 {
                self.outcome = Some(Outcome::Null);
            }
            return self.end_one();
        }
        self.at = At::Type;
        match kind {
            b'$' | b'=' | b'!' => self.at = At::Text { left: value + 2 },
            b'%' => self.left = (self.left - 1).saturating_add(value.saturating_mul(2)),
            // They are about the reply behind them, and none by themselves.
            b'|' => self.left = self.left.saturating_add(value.saturating_mul(2)),
            _ => self.left = (self.left - 1).saturating_add(value),
        }
    }

    fn end_one(&mut self) {
        self.left -= 1;
        self.at = At::Type;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: [(&[u8], Outcome); 13] = [
        (b"+OK\r\n", Outcome::Value),
        (b"-ERR no\r\n", Outcome::Error),
        (b":12\r\n", Outcome::Value),
        (b"$-1\r\n", Outcome::Null),
        (b"_\r\n", Outcome::Null),
        (b"*-1\r\n", Outcome::Null),
        (b"$0\r\n\r\n", Outcome::Value),
        (b"$5\r\na\r\nbc\r\n", Outcome::Value),
        (b"*0\r\n", Outcome::Value),
        (b"%0\r\n", Outcome::Value),
        (b"*3\r\n$-1\r\n*2\r\n-E\r\n:1\r\n%1\r\n+k\r\n$1\r\nv\r\n", Outcome::Value),
        (b"|1\r\n+k\r\n:1\r\n=5\r\ntxt:a\r\n", Outcome::Value),
        (b"!3\r\nERR\r\n", Outcome::Error),
    ];

    #[test]
    fn replies_end_where_they_end_however_they_are_cut() {
        let stream: Vec<u8> = REPLIES.iter().flat_map(|(reply, _)| reply.to_vec()).collect();
        for piece in 1..stream.len() {
            let mut scan = ReplyScan::new();
            let (mut ends, mut at) = (Vec::new(), 0);
            for piece in stream.chunks(piece) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let (used, outcome) = scan.feed(rest).expect("well formed");
                    (at, rest) = (at + used, &rest[used..]);
                    ends.extend(outcome.map(|outcome| (at, outcome)));
                }
            }
            let mut end = 0;
            let expected: Vec<(usize, Outcome)> = REPLIES
                .iter()
                .map(|(reply, outcome)| {
                    end += reply.len();
                    (end, *outcome)
                })
                .collect();
            assert_eq!(ends, expected, "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [&b"GET"[..], b">2\r\n", b"$x\r\n", b"$99999999999\r\n", b"+a\rb"] {
            assert_eq!(ReplyScan::new().feed(bytes), Err(Malformed));
        }
    }
}
